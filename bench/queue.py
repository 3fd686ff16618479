#!/usr/bin/python3
"""How fast jobs come in, and are leased and finished: our store and our HTTP API over both databases, and two peers.

    bench/queue.py [ROUNDS] [--finished N] [--seconds S] [--clients 1,8,64]

A cycle is a lease and its finish. Everything is durable: SQLite syncs at each commit, PostgreSQL has
synchronous_commit=on, beanstalkd -f0, Redis appendfsync always. The peers keep neither documents nor a feed.
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

    def __init__(self, kind, finished):
        self.folder = tempfile.mkdtemp(prefix='et-bench-queue-')
        self.server = postgres.Postgres(durable=True) if kind == 'PostgreSQL' else None
        self.url = self.server.url if self.server else 'sqlite:%s/et.db' % self.folder
        self.blobs = os.path.join(self.folder, 'blobs')
        if finished:
            output([QUEUE, 'store', self.url, self.blobs, '--seconds', '0', '--finished', str(finished)])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.server:
            self.server.close()
        shutil.rmtree(self.folder)


def rates(command, options, clients):
    words = output(command + ['--clients', str(clients), '--seconds', str(options.seconds)]).split()
    return [float(word) for word in words]


def through_store(kind, finished, options, clients):
    with Database(kind, finished) as d:
        return rates([QUEUE, 'store', d.url, d.blobs], options, clients)


def through_http(kind, finished, options, clients):
    with Database(kind, finished) as d:
        with common.Server(workers=0, more=['--database', d.url, '--allow-private-urls']) as server:
            token = os.path.join(server.folder, 'data', 'worker-token')
            return rates([QUEUE, 'http', server.address, token], options, clients)


def beanstalkd(options, clients):
    port, folder = free_port(), tempfile.mkdtemp(prefix='et-bench-queue-')
    server = subprocess.Popen(['beanstalkd', '-l', '127.0.0.1', '-p', str(port), '-b', folder, '-f0'])
    wait_for(port)
    try:
        return rates([QUEUE, 'beanstalkd', '127.0.0.1:%d' % port], options, clients)
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder)


def wait_for(port):
    while True:
        with socket.socket() as s:
            if s.connect_ex(('127.0.0.1', port)) == 0:
                return


def bullmq(options, clients):
    port, folder = free_port(), tempfile.mkdtemp(prefix='et-bench-queue-')
    server = subprocess.Popen(['redis-server', '--bind', '127.0.0.1', '--port', str(port), '--dir', folder, '--save', '',
                               '--appendonly', 'yes', '--appendfsync', 'always'], stdout=subprocess.DEVNULL)
    wait_for(port)
    try:
        words = output(['node', os.path.join(common.HERE, 'bullmq.js'), str(port), str(clients), str(options.seconds)]).split()
        return [float(word) for word in words]
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder)


def measure(what, options, finished):
    cells = [[] for _ in range(2 * len(options.clients))]
    for _ in range(options.rounds):
        for i, clients in enumerate(options.clients):
            for k, value in enumerate(what(clients)):
                cells[2 * i + k].append(value)
    print('.', end='', file=sys.stderr, flush=True)
    return ['{:,}'.format(finished) if finished is not None else ''] + cells


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('rounds', nargs='?', type=int, default=3)
    parser.add_argument('--finished', type=int, default=100000, help='ended jobs in the second row of each')
    parser.add_argument('--seconds', type=float, default=1)
    parser.add_argument('--clients', type=lambda s: [int(n) for n in s.split(',')], default=[1, 8, 64])
    options = parser.parse_args()

    measured = {}
    for kind in ('SQLite', 'PostgreSQL'):
        for name, through in (('store', through_store), ('HTTP', through_http)):
            for finished in (0, options.finished):
                measured['%s, %s' % (kind, name), finished] = measure(
                    lambda clients: through(kind, finished, options, clients), options, finished)
    measured['beanstalkd -f0', None] = measure(lambda clients: beanstalkd(options, clients), options, None)
    if os.path.exists(BULLMQ):
        measured['BullMQ, Redis always', None] = measure(lambda clients: bullmq(options, clients), options, None)

    head = ['', 'ended jobs'] + ['%s, %d' % (word, n) for n in options.clients for word in ('enqueues/s', 'cycles/s')]
    common.table('Queue: rates by clients at once, %d rounds of %g s' % (options.rounds, options.seconds), head,
                 [[name] + cells[:1] + [common.spread(c) for c in cells[1:]] for (name, _), cells in measured.items()])
    if 8 in options.clients:
        ratios(measured, options)


def ratios(measured, options):
    """Against the targets of 8 clients each."""
    at = 2 + 2 * options.clients.index(8)
    median = lambda name, finished: statistics.median(measured[name, finished][at])
    sqlite, old = median('SQLite, store', 0), options.finished
    rows = [
        ('SQLite / beanstalkd -f0', '%.2f' % (sqlite / median('beanstalkd -f0', None)), 'at least 0.7'),
        ('SQLite, {:,} ended / none'.format(old), '%.2f' % (median('SQLite, store', old) / sqlite), 'at least 0.8'),
        ('PostgreSQL, {:,} ended / none'.format(old),
         '%.2f' % (median('PostgreSQL, store', old) / median('PostgreSQL, store', 0)), 'at least 0.8')]
    if ('BullMQ, Redis always', None) in measured:
        rows.insert(1, ('SQLite / BullMQ', '%.2f' % (sqlite / median('BullMQ, Redis always', None)), 'at least 0.6'))
    common.table('Ratios of cycles, 8 clients', ('', 'measured', 'wanted'), rows)


if __name__ == '__main__':
    main()
