#!/usr/bin/python3
"""Many at once: a thousand workers that wait for jobs and ten thousand watchers, on one server that is
stopped and started again in the middle.

    ET=build/et python3 -m unittest tests/fault/test_soak.py

Every job is leased once and ends once, every watcher learns of the end of each of its owner's jobs in the order
of the feed, and when all have gone the server holds no connection of theirs. While all wait, its memory is bounded.
ET_SOAK_SHARE makes the crowd smaller (0.1: a tenth), for sanitizers; so do too few descriptors.
"""
import asyncio
import json
import os
import re
import resource
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'api'))
import harness

os.environ.pop('MALLOC_PERTURB_', None)  # Meson's: it would fill what the server never touches
KEPT = 600  # descriptors of everything else: the server takes 512 off what it may have


def share():
    """What was asked for, or what the descriptors of this machine allow."""
    wanted = float(os.environ.get('ET_SOAK_SHARE', '1'))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    needed = int(11000 * wanted) + KEPT
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit, needed), max(limit, needed)))
        return wanted
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        print('# only %d descriptors are allowed here' % limit)
        return (limit - KEPT) / 11000


SHARE = share()
WORKERS, WATCHERS, OWNERS = int(1000 * SHARE), int(10000 * SHARE), max(2, int(50 * SHARE))
ROUNDS, JOBS = 3, 4  # of each owner, in each round
DESCRIPTORS = WORKERS + WATCHERS + KEPT


async def answer(reader):
    """(status, body) of an answer with a Content-Length, or without a body."""
    head = (await reader.readuntil(b'\r\n\r\n')).decode()
    length = re.search(r'(?i)^content-length: (\d+)', head, re.M)
    body = await reader.readexactly(int(length.group(1))) if length else b''
    return int(head.split()[1]), body


async def events(reader):
    """Each event of a chunked stream, as text."""
    text = b''
    while size := int(await reader.readuntil(b'\r\n'), 16):
        text += await reader.readexactly(size)
        await reader.readexactly(2)
        *whole, text = text.split(b'\n\n')
        for event in whole:
            yield event.decode()


class Client:
    """One connection for requests, made anew when it is lost."""

    def __init__(self, soak, authorization):
        self.soak, self.authorization = soak, authorization
        self.reader = self.writer = None

    async def request(self, method, path, body, kind='application/json', authorization=None, more=''):
        """Repeats it until it is answered: all that are sent here may be."""
        while True:
            try:
                if not self.writer:
                    self.reader, self.writer = await self.soak.connect()
                head = '%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s' % (
                    method, path, authorization or self.authorization, kind, len(body), more)
                self.writer.write(head.encode() + b'\r\n' + body)
                status, answered = await answer(self.reader)
            except (OSError, asyncio.IncompleteReadError):
                self.close()
                continue
            if status != 503:
                return status, answered

    async def json(self, method, path, body, **more):
        status, answered = await self.request(method, path, json.dumps(body).encode(), **more)
        if status >= 400:
            raise AssertionError((method, path, status, answered))
        return json.loads(answered) if answered else None

    def close(self):
        if self.writer:
            self.writer.close()
        self.reader = self.writer = None


class Soak:
    def __init__(self, folder):
        self.folder = folder
        self.is_up = asyncio.Event()
        self.leases = {}                           # (job, attempt) -> how often it was handed out
        self.jobs = {}                             # owner's authorization -> its jobs
        self.seen = [{} for _ in range(WATCHERS)]  # of each watcher: job -> the state last told
        self.watching = self.left = 0              # streams that are open; ends that are not told yet
        self.told = asyncio.Condition()
        self.failure = None

    def start(self):
        self.server = harness.Server(['--registration', 'open', '--lease-seconds', '300', '--max-connections',
                                      str(DESCRIPTORS)], data=self.folder)

    async def restart(self):
        self.is_up.clear()
        await asyncio.to_thread(self.server.stop)
        await asyncio.to_thread(self.start)
        self.is_up.set()

    async def connect(self):
        while True:
            await self.is_up.wait()
            try:
                return await asyncio.open_connection(self.server.host, self.server.port)
            except OSError:
                if self.is_up.is_set():
                    raise

    async def one_of_the_crowd(self, life):
        """Runs one, and tells when it fails."""
        try:
            await life
        except Exception as error:
            self.failure = error
            await self.tell()

    async def work(self, number, token):
        """A worker: leases one job at a time, puts its bytes, and finishes it."""
        client = Client(self, 'Bearer ' + token)
        try:
            while True:
                leased = await client.json('POST', '/leases', {
                    'request_id': os.urandom(16).hex(), 'worker': 'soak-%d' % number, 'pools': ['cpu'], 'slots': 1,
                    'wait_ms': 60000})
                for job in leased['jobs'] if leased else []:
                    key = job['job'], job['attempt']
                    self.leases[key] = self.leases.get(key, 0) + 1
                    path, lease = '/leases/%s/%d/' % key, 'Bearer ' + job['token']
                    await client.json('POST', path + 'heartbeat', {}, authorization=lease)
                    await client.request('PUT', path + 'blobs/' + job['spec']['name'], b'bytes of %d' % number,
                                         'application/octet-stream', lease)
                    await client.json('POST', path + 'finish', {'outcome': 'done', 'reason': '', 'result': {}},
                                      authorization=lease)
        finally:
            client.close()

    async def watch(self, number, authorization):
        """A watcher: goes on from the last id whenever its stream ends."""
        last = None
        while True:
            writer = None
            try:
                reader, writer = await self.connect()
                head = 'GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n' % authorization
                writer.write((head + ('Last-Event-ID: %s\r\n' % last if last else '') + '\r\n').encode())
                status = (await reader.readuntil(b'\r\n\r\n')).split()[1]
                if status != b'200':
                    raise AssertionError(status)
                self.watching += 1
                await self.tell()
                try:
                    async for event in events(reader):
                        last = await self.take(number, event, last)
                finally:
                    self.watching -= 1
            except (OSError, asyncio.IncompleteReadError):
                continue
            finally:
                if writer:
                    writer.close()

    async def take(self, number, event, last):
        found = re.search(r'^id: ((\d+)/.*)$', event, re.M)
        if not found:
            return last
        if last and int(found.group(2)) < int(last.split('/')[0]):
            raise AssertionError('%s after %s' % (found.group(1), last))
        data = re.search(r'^data: (.*)$', event, re.M)
        document = json.loads(data.group(1)).get('doc', {}) if data else {}
        if document.get('type') == 'datafile':
            before = self.seen[number].get(document['_id'])
            self.seen[number][document['_id']] = document['processing-state']
            if document['processing-state'] == 'finished_successfully' != before:
                self.left -= 1
                if not self.left:
                    await self.tell()
        return found.group(1)

    async def tell(self):
        async with self.told:
            self.told.notify_all()

    async def until(self, condition):
        """Until it holds, or one of the crowd has failed."""
        async with self.told:
            await asyncio.wait_for(self.told.wait_for(lambda: self.failure or condition()), 240)
        if self.failure:
            raise self.failure

    async def enqueue(self, authorization):
        client = Client(self, authorization)
        for _ in range(JOBS):
            made = await client.json('POST', '/datafiles', {'url': 'http://example.org/a.tar.gz'},
                                     more='Idempotency-Key: %s\r\n' % os.urandom(8).hex())
            self.jobs[authorization].append(made['_id'])
        client.close()

    def new_owner(self, number):
        name = 'owner%d' % number
        for path, document, user in (
                ('/users', {'username': name, 'email': '', 'password': 'a-long-password'}, None),
                ('/tokens', {'name': 'soak'}, (name, 'a-long-password'))):
            reply = self.server.request('POST', path, json.dumps(document).encode(),
                                        {'Content-Type': 'application/json'}, user=user)
            if reply.status != 201:
                raise AssertionError(reply)
        return 'Bearer ' + reply.json['token']

    async def run(self):
        self.start()
        self.is_up.set()
        owners = [self.new_owner(number) for number in range(OWNERS)]
        self.jobs = {owner: [] for owner in owners}
        token = self.server.worker_token
        lives = [self.watch(n, owners[n % OWNERS]) for n in range(WATCHERS)]
        lives += [self.work(n, token) for n in range(WORKERS)]
        crowd = [asyncio.ensure_future(self.one_of_the_crowd(life)) for life in lives]
        try:
            await self.until(lambda: self.watching == WATCHERS)
            self.resident = resident_bytes(self.server.process.pid)
            for number in range(ROUNDS):
                self.left = WATCHERS * JOBS
                enqueuing = asyncio.gather(*(self.enqueue(owner) for owner in owners))
                if number == 1:
                    await self.restart()
                await enqueuing
                await self.until(lambda: self.left <= 0)
        finally:
            for one in crowd:
                one.cancel()
            await asyncio.gather(*crowd, return_exceptions=True)


def resident_bytes(pid):
    with open('/proc/%d/statm' % pid) as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


class Many(unittest.TestCase):
    def test_a_thousand_workers_and_ten_thousand_watchers_on_one_server(self):
        with tempfile.TemporaryDirectory(prefix='et-soak-') as folder:
            soak = Soak(folder)
            asyncio.run(soak.run())
            if SHARE == 1:  # 300 MB for the watchers, which are idle, and 30 for the workers
                self.assertLess(soak.resident, 330_000_000)
            jobs = [job for mine in soak.jobs.values() for job in mine]
            self.assertEqual(len(jobs), OWNERS * ROUNDS * JOBS)
            self.assertEqual(sorted(soak.leases), sorted((job, 1) for job in jobs))
            self.assertEqual(set(soak.leases.values()), {1})
            for number, seen in enumerate(soak.seen):
                mine = list(soak.jobs.values())[number % OWNERS]
                self.assertEqual(seen, {job: 'finished_successfully' for job in mine})
            self.connections_are_closed(soak.server)
            self.assertEqual(soak.server.stop(), 0)

    def connections_are_closed(self, server):
        """The server finds out within seconds, whoever went away without a word."""
        end = time.monotonic() + 60
        while len(os.listdir('/proc/%d/fd' % server.process.pid)) > 200:
            self.assertLess(time.monotonic(), end, 'connections are left')
            server.request('GET', '/healthz')


if __name__ == '__main__':
    unittest.main()
