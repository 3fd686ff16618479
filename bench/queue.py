#!/usr/bin/python3
"""How fast jobs come in, and are leased and finished: our store and our HTTP API over both databases, and two peers.

    bench/queue.py [ROUNDS] [--finished N] [--seconds S] [--clients 1,8,64]

A cycle is a lease and its finish.  Everything is durable: SQLite syncs at each commit, PostgreSQL has
synchronous_commit=on, beanstalkd -f0, Redis appendfsync always.  The peers keep neither documents nor a feed.  The raw
loop is one connection that does 64 at once in a transaction, by the store's own statements.  Jobs are those of 100
owners, through HTTP of one user.  The rounds of SQLite and the peers come first, those of PostgreSQL after them, for
its servers work on when they are not asked; a ratio is taken within each round.
"""
import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile

import common

sys.path.insert(0, os.path.join(common.ROOT, 'tests'))
import postgres

QUEUE = os.path.join(os.path.dirname(common.ET), 'bench', 'bench_queue')
BULLMQ = os.path.join(common.HERE, 'node_modules', 'bullmq')  # put there by deps/npm
KINDS = ('SQLite', 'PostgreSQL')
ENQUEUES, CYCLES = 0, 1


def output(command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    if done.returncode:
        sys.exit('%s: %s' % (' '.join(command), done.stderr))
    return done.stdout


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Database:
    """One of both, with its ended jobs; a folder for the rest."""

    def __init__(self, kind, finished=0):
        self.folder = tempfile.mkdtemp(prefix='et-bench-queue-')
        self.server = postgres.Postgres(durable=True) if kind == 'PostgreSQL' else None
        self.url = self.server.url if self.server else 'sqlite:%s/et.db' % self.folder
        self.blobs = os.path.join(self.folder, 'blobs')
        self.knows_user = False
        if finished:
            output([QUEUE, 'store', self.url, self.blobs, '--seconds', '0', '--finished', str(finished)])
            if self.server:  # what the server would do by itself in the minutes after such a load
                self.server.query('VACUUM (ANALYZE)')
                self.server.query('CHECKPOINT')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.server:
            self.server.close()
        shutil.rmtree(self.folder)


def wait_for(port):
    while True:
        with socket.socket() as s:
            if s.connect_ex(('127.0.0.1', port)) == 0:
                return


class Peer:
    """A server of theirs on a free port, with its files in a folder."""

    def __init__(self, command):
        self.port, self.folder = free_port(), tempfile.mkdtemp(prefix='et-bench-queue-')
        self.process = subprocess.Popen([word.format(port=self.port, folder=self.folder) for word in command],
                                        stdout=subprocess.DEVNULL)
        wait_for(self.port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder)


class Bench:
    def __init__(self, options):
        self.options = options
        self.kept = {}   # ended jobs: the database of the present kind
        self.rates = {}  # (row, clients): [(enqueues/s, cycles/s) of each round]

    def run(self):
        for kind in KINDS:
            with Database(kind) as new, Database(kind, self.options.finished) as old:
                self.kept = {0: new, self.options.finished: old}
                for _ in range(self.options.rounds):
                    self.round(kind)
                    if kind == 'SQLite':
                        self.round_of_peers()
                    print('.', end='', file=sys.stderr, flush=True)

    def note(self, row, clients, command):
        words = output(command)
        self.rates.setdefault((row, clients), []).append([float(word) for word in words.split()])

    def ours(self, row, clients, *words):
        self.note(row, clients, [QUEUE, *words, '--clients', str(clients), '--seconds', str(self.options.seconds)])

    def run_store(self, kind, finished, clients):
        database = self.kept[finished]
        self.ours((kind + ', store', finished), clients, 'store', database.url, database.blobs)

    def run_http(self, kind, finished, clients):
        database = self.kept[finished]
        with common.Server(workers=0, more=['--database', database.url, '--allow-private-urls'],
                           knows_user=database.knows_user) as server:
            database.knows_user = True
            server.json('GET', '/datafiles')  # a password's first check takes long
            token = os.path.join(server.folder, 'data', 'worker-token')
            self.ours((kind + ', HTTP', finished), clients, 'http', server.address, token)

    def run_fresh(self, row, kind, mode, clients, *more):
        with Database(kind) as database:
            self.ours((row, 0), clients, mode, database.url, database.blobs, *more)

    def run_beanstalkd(self, clients):
        with Peer(['beanstalkd', '-l', '127.0.0.1', '-p', '{port}', '-b', '{folder}', '-f0']) as peer:
            self.ours(('beanstalkd -f0', None), clients, 'beanstalkd', '127.0.0.1:%d' % peer.port)

    def run_bullmq(self, clients):
        with Peer(['redis-server', '--bind', '127.0.0.1', '--port', '{port}', '--dir', '{folder}', '--save', '',
                   '--appendonly', 'yes', '--appendfsync', 'always']) as peer:
            self.note(('BullMQ, Redis always', None), clients,
                      ['node', os.path.join(common.HERE, 'bullmq.js'), str(peer.port), str(clients),
                       str(self.options.seconds)])

    def round(self, kind):
        for through in (self.run_store, self.run_http):
            for clients in self.options.clients:
                for finished in (0, self.options.finished):
                    through(kind, finished, clients)
        most = max(self.options.clients)
        self.run_fresh(kind + ', raw loop', kind, 'raw', 1)
        self.run_fresh(kind + ', store, one owner', kind, 'store', most, '--owners', '1')
        self.run_fresh(kind + ', store, 100 owners', kind, 'store', most)
        self.run_fresh(kind + ', store, 10,000 owners', kind, 'store', most, '--owners', '10000')

    def round_of_peers(self):
        for clients in self.options.clients:
            self.run_beanstalkd(clients)
            if os.path.exists(BULLMQ):
                self.run_bullmq(clients)

    def spread(self, row, clients, what):
        values = self.rates.get((row, clients))
        return common.spread([value[what] for value in values]) if values else ''

    def ratio(self, of, to, what=CYCLES):
        return common.spread([a[what] / b[what] for a, b in zip(self.rates[of], self.rates[to])])

    def tables(self):
        options = self.options
        rows = list(dict.fromkeys(row for row, _ in self.rates))
        head = ['', 'ended jobs']
        head += ['%s, %d' % (word, n) for n in options.clients for word in ('enqueues/s', 'cycles/s')]
        common.table('Queue: rates by clients at once, %d rounds of %g s' % (options.rounds, options.seconds), head,
                     [[row[0], '{:,}'.format(row[1]) if row[1] is not None else ''] +
                      [self.spread(row, n, what) for n in options.clients for what in (ENQUEUES, CYCLES)]
                      for row in rows])

        most, old = max(options.clients), options.finished
        found = []
        for kind, least in zip(KINDS, (0.8, 1.0)):
            store, fresh = (kind + ', store', 0), (kind + ', store, 100 owners', 0)
            found.append(('%s: %d clients / raw loop' % (kind, most),
                          self.ratio((fresh, most), ((kind + ', raw loop', 0), 1)), 'at least %g' % least))
            found += [('%s: {:,} ended / none, %d clients'.format(old) % (kind, n),
                       self.ratio(((kind + ', store', old), n), (store, n)), 'at least 0.8') for n in options.clients]
            found += [('%s: %s / 100 owners, %d clients' % (kind, owners, most),
                       self.ratio(((kind + ', store, ' + owners, 0), most), (fresh, most)), 'at least %g' % least)
                      for owners, least in (('one owner', 0.8), ('10,000 owners', 0.67))]
        store = ('SQLite, store', 0)
        if {1, 8} <= set(options.clients):
            found += [('SQLite: 8 clients / 1, ' + word, self.ratio((store, 8), (store, 1), what), 'at least 2')
                      for word, what in (('enqueues', ENQUEUES), ('cycles', CYCLES))]
        if 8 in options.clients:
            found += [('SQLite / %s, 8 clients' % peer, self.ratio((store, 8), ((peer, None), 8)),
                       'at least %g' % least)
                      for peer, least in (('beanstalkd -f0', 0.7), ('BullMQ, Redis always', 0.6))
                      if ((peer, None), 8) in self.rates]
        common.table('Ratios, of cycles where nothing else is said', ('', 'measured', 'wanted'), found)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('rounds', nargs='?', type=int, default=3)
    parser.add_argument('--finished', type=int, default=1000000, help='ended jobs in the second row of each')
    parser.add_argument('--seconds', type=float, default=1)
    parser.add_argument('--clients', type=lambda s: [int(n) for n in s.split(',')], default=[1, 8, 64])
    bench = Bench(parser.parse_args())
    bench.run()
    bench.tables()


if __name__ == '__main__':
    main()
