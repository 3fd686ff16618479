#!/usr/bin/python3
"""What watchers cost, and how soon they know.

10,000 idle watchers of GET /events on one server: memory of the server a
watcher. 1,000 watchers of which 10 are concerned: from the committed change
(its answer in hand; an event that came before it counts as 0) to the last
byte of the event, at each of the ten.
"""
import base64
import http.client
import json
import os
import re
import resource
import selectors
import socket
import sys
import threading
import time

import common

WATCHERS = int(os.environ.get('WATCHERS', '10000'))


def resident_mib(pid):
    with open('/proc/%d/status' % pid) as file:
        return int(re.search(r'VmRSS:\s+(\d+)', file.read()).group(1)) / 1024


def head(path, authorization):
    return ('GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n\r\n' % (path, authorization)).encode()


def token_of(server, name):
    """A user, and the header of a token of that user's."""
    server.json('POST', '/users', {'username': name, 'email': 'x@example.org', 'password': 'bench-password'})
    connection = http.client.HTTPConnection(server.address)
    connection.request('POST', '/tokens', json.dumps({'name': 'bench'}), {
        'Content-Type': 'application/json',
        'Authorization': 'Basic ' + base64.b64encode((name + ':bench-password').encode()).decode()})
    return 'Bearer ' + json.loads(connection.getresponse().read())['token']


def open_watchers(server, authorizations, path='/events'):
    """Sockets of watchers that have got their greeting, in the order of the list."""
    host, port = server.address.rsplit(':', 1)
    opened = []
    for start in range(0, len(authorizations), 500):
        batch = []
        for authorization in authorizations[start:start + 500]:
            s = socket.create_connection((host, int(port)))
            s.sendall(head(path, authorization))
            batch.append(s)
        for s in batch:
            got = b''
            while b'\n\n' not in got:
                piece = s.recv(4096)
                if not piece:
                    sys.exit('a watcher was refused: %r' % got)
                got += piece
        opened += batch
    return opened


def measure_memory(n):
    with common.Server(workers=0, more=('--max-connections', str(n + 100))) as server:
        tokens = [token_of(server, 'user%d' % i) for i in range(20)]
        before = resident_mib(server.process.pid)
        watchers = open_watchers(server, [tokens[i % len(tokens)] for i in range(n)])
        after = resident_mib(server.process.pid)
        cpu = cpu_seconds(server.process.pid)
        time.sleep(10)
        cpu = (cpu_seconds(server.process.pid) - cpu) / 10
        later = resident_mib(server.process.pid)
        for s in watchers:
            s.close()
    common.table('%d idle watchers of GET /events on one server' % n, ('', 'measured', 'wanted'), [
        ('memory of the server, MiB (%.0f before)' % before, '%.0f' % max(after, later), 'at most 300 for 10,000'),
        ('a watcher, KiB', '%.1f' % (1024 * (max(after, later) - before) / n), ''),
        ('processor while idle, % of one core', '%.1f' % (100 * cpu), '')])


def cpu_seconds(pid):
    with open('/proc/%d/stat' % pid) as file:
        fields = file.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def measure_latency(n, concerned, changes):
    """Each change is made when the one before has reached all, by a client that does nothing else."""
    with common.Server(workers=0, more=('--max-connections', str(n + 100))) as server:
        ours = token_of(server, 'ours')
        others = [token_of(server, 'other%d' % i) for i in range(20)]
        watchers = open_watchers(server, [ours] * concerned + [others[i % 20] for i in range(n - concerned)])
        selector = selectors.DefaultSelector()
        for s in watchers[:concerned]:
            s.setblocking(False)
            selector.register(s, selectors.EVENT_READ)
        connection = http.client.HTTPConnection(server.address)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        late, whole, commits = [], [], []
        body = json.dumps({'url': 'http://example.com/a.tar.gz'})
        for i in range(changes):
            begun = time.perf_counter()
            connection.request('POST', '/datafiles', body, {'Content-Type': 'application/json', 'Authorization': ours})
            answered = None
            left = {s: b'' for s in watchers[:concerned]}
            selector.register(connection.sock, selectors.EVENT_READ)
            while left or answered is None:
                for key, _ in selector.select(10) or sys.exit('a change did not arrive'):
                    now = time.perf_counter()
                    if key.fileobj is connection.sock:
                        selector.unregister(connection.sock)
                        answered = now
                        continue
                    left[key.fileobj] += key.fileobj.recv(65536)
                    if left[key.fileobj].endswith(b'\n\n\r\n'):
                        del left[key.fileobj]
                        late.append(now)
            whole += [1000 * (at - begun) for at in late[-concerned:]]
            late[-concerned:] = [1000 * max(0.0, at - answered) for at in late[-concerned:]]
            commits.append(1000 * (answered - begun))
            connection.getresponse().read()
        for s in watchers:
            s.close()
    for values in (late, whole, commits):
        values.sort()
    at = lambda values, q: values[min(len(values) - 1, int(q * len(values)))]
    common.table('%d watchers, %d of them concerned, %d changes' % (n, concerned, changes), ('ms', 'p50', 'p99', 'wanted'), [
        ('from the answer of the change (it is committed) to the event, at each watcher',
         '%.2f' % at(late, 0.5), '%.2f' % at(late, 0.99), 'p99 under 10'),
        ('from the first byte of the request to the event', '%.2f' % at(whole, 0.5), '%.2f' % at(whole, 0.99), ''),
        ('the limit: the request that makes the change, commit to disk included',
         '%.2f' % at(commits, 0.5), '%.2f' % at(commits, 0.99), '')])


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    n = min(WATCHERS, hard - 200)
    if n < WATCHERS:
        print('only %d descriptors are allowed here: %d watchers' % (hard, n))
    measure_latency(1000, 10, 500)
    measure_memory(n)


if __name__ == '__main__':
    main()
