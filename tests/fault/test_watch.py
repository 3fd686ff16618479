#!/usr/bin/python3
"""Readers that miss nothing: several writers, a reader that comes back again
and again, and a server that is killed in between.

    ET=build/et python3 -m unittest tests/fault/test_watch.py

The reader drops its connection at counted events (from ET_FAULT_SEED, printed)
and goes on from the last id that it got; the server is killed at a named point.
"""
import http.client
import json
import os
import random
import signal
import subprocess
import threading
import unittest

from service import CLASSIFIER, ET, FED_CLASSIFIER, Service

SEED = int(os.environ.get('ET_FAULT_SEED', '1'))
print('# ET_FAULT_SEED=%d' % SEED)

WRITERS, EACH = 4, 15


class Reader:
    """Events from everything on; a connection is given up after a counted number of them."""

    def __init__(self, service, path, rng, header='Last-Event-ID'):
        self.service, self.path, self.rng = service, path, rng
        self.last = None
        self.connections = 0

    def events(self):
        """Yields (type, data, id) for ever."""
        while True:
            if not self.service.up.wait(60):
                raise AssertionError('the server did not come back')
            try:
                yield from self.connection(self.rng.randint(1, 9))
            except (OSError, http.client.HTTPException):
                continue

    def connection(self, count):
        self.connections += 1
        connection = http.client.HTTPConnection(self.service.address, timeout=180)
        headers = {'Authorization': self.service.authorization}
        if self.last:
            headers['Last-Event-ID'] = self.last
        connection.request('GET', self.path, headers=headers)
        answer = connection.getresponse()
        if answer.status == 503:
            raise OSError
        if answer.status != 200:
            raise AssertionError((answer.status, answer.read()))
        fields = {}
        while count:
            line = answer.readline().decode()
            if not line:
                break
            if line != '\n':
                key, _, value = line.rstrip('\n').partition(': ')
                fields[key] = value
                continue
            if 'data' in fields:
                self.last = fields['id']
                count -= 1
                yield fields.get('event'), json.loads(fields['data']), fields['id']
            fields = {}
        connection.close()


class Watching(unittest.TestCase):
    def write(self, service, results):
        """One writer: documents, each made until it is answered, some deleted again."""
        for i in range(EACH):
            made = service.form('/datafiles', [('document', None, b'{}'), ('url', 'a.tar.gz', b'x')])['id']
            results.append((made, i % 3 == 0))
            if i % 3 == 0:
                service.request('DELETE', '/datafiles/' + made)

    def scenario(self, fault):
        rng = random.Random(SEED)
        service = Service(server_fault=fault)
        service.register()
        results, errors = [], []

        def writer():
            client = Client(service)
            try:
                self.write(client, results)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=writer) for _ in range(WRITERS)]
        for thread in threads:
            thread.start()
        seqs, state, reader = [], {}, Reader(service, '/events?types=document&since=0', rng)
        feed = reader.events()

        def read_on():
            _, change, id = next(feed)
            seqs.append(change['seq'])
            self.assertEqual(change['seq'], int(id.split('/')[0]))
            state[change['id']] = change.get('deleted', False)

        while any(thread.is_alive() for thread in threads):
            read_on() if len(seqs) < WRITERS * EACH else threads[0].join(0.01)
        for thread in threads:
            thread.join()
        self.assertEqual([], errors)
        last = service.json('GET', '/elastic-thought')['update_seq']
        while seqs[-1] < last:
            read_on()
        self.assertEqual(sorted(set(seqs)), seqs, 'twice, or out of order')
        for id, deleted in results:
            self.assertEqual(deleted, state.get(id), 'the reader holds something else of ' + id)
        self.assertEqual([0, 0], service.close())
        self.assertEqual(1 if fault else 0, service.deaths['server'])
        self.assertGreater(reader.connections, 5)
        service.remove()

    def test_a_reader_that_comes_back_sees_every_change_once_and_in_order(self):
        self.scenario('')


def add_scenarios():
    rng = random.Random(SEED)
    for point, highest in (('store.commit', 60), ('store.committed', 60), ('api.reply', 60)):
        count = rng.randint(10, highest)

        def test(self, fault='%s:%d' % (point, count)):
            self.scenario(fault)
        setattr(Watching, 'test_the_same_when_the_server_is_killed_at_%s' % point.replace('.', '_'), test)


add_scenarios()


class Client:
    """Requests of one thread; the keys of its POSTs are its own."""

    request, form = Service.request, Service.form

    def __init__(self, service):
        self.once, self.log_text = service.once, service.log_text
        self.key, self.key_name = 0, os.urandom(8).hex()


class Jobs(unittest.TestCase):
    """Metrics and logs of a real job, watched through kills of server and worker."""

    def test_metrics_and_log_are_whole_when_server_and_worker_are_killed(self):
        rng = random.Random(SEED)
        service = Service()
        service.register()
        job = service.make_job(service.make_solver(service.make_dataset(), 100000000))
        service.until('/training-jobs/' + job, lambda d: d['processing-state'] == 'processing')
        reader = Reader(service, '/events?since=0/0/0:0&types=metric,log&log=' + job, rng)
        text, points, killed, attempts = '', {}, 0, set()
        for kind, data, id in reader.events():
            if kind == 'log':
                text += data['text']
                attempts.add(data['attempt'])
            else:
                for point in data['points']:
                    points[point['name'], point['step']] = point['value']
            if killed == 0 and text.count('Iteration 20,') == 1:
                service.server.send_signal(signal.SIGKILL)
                killed = 1
            elif killed == 1 and text.count('Iteration 60,') == 1:
                service.worker.send_signal(signal.SIGKILL)
                killed = 2
            elif killed == 2 and 2 in attempts and points:
                break
        service.request('POST', '/training-jobs/%s/cancel' % job)
        service.ended('/training-jobs/' + job)
        whole = service.request('GET', '/training-jobs/%s/logs' % job)[1].decode()
        for kind, data, id in reader.events():
            if kind == 'log':
                text += data['text']
            else:
                for point in data['points']:
                    points[point['name'], point['step']] = point['value']
            if len(text) >= len(whole):
                break
        self.assertEqual(whole, text)
        stored = service.json('GET', '/training-jobs/%s/metrics' % job)
        self.assertFalse(stored['more'])
        last = service.json('GET', '/training-jobs/%s/metrics?since=%d' % (job, stored['last']))
        self.assertEqual([], last['series'])
        expected = {(s['name'], step): value for s in stored['series'] for step, value in zip(s['steps'], s['values'])}
        self.assertTrue(expected)
        missing = {key for key in expected if key not in points and key[1] < max(k[1] for k in points)}
        self.assertEqual(set(), missing)
        self.assertEqual([0, 0], service.close())
        service.remove()


class CommandLine:
    """The command line beside a service."""

    def log_in(self, service):
        token = os.path.join(service.folder, 'token')
        with open(token, 'w') as file:
            file.write(service.json('POST', '/tokens', {'name': 'cli'})['token'])
        self.where = ['--server', 'http://' + service.address, '--token-file', token]

    def et(self, service, *arguments):
        done = subprocess.run([ET] + list(arguments[:1]) + self.where + list(arguments[1:]), capture_output=True,
                              env=dict(os.environ, LC_ALL='C.UTF-8'))
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout.decode()


class Commands(CommandLine, unittest.TestCase):
    """et logs -f, et top and et plot beside a job that loses server and worker."""

    def test_a_followed_log_is_the_whole_log(self):
        service = Service()
        service.register()
        job = service.make_job(service.make_solver(service.make_dataset(), 100000000))
        self.log_in(service)
        service.until('/training-jobs/' + job, lambda d: d['processing-state'] == 'processing')
        logs = subprocess.Popen([ET, 'logs', '-f'] + self.where + [job], stdout=subprocess.PIPE)
        got, seen = b'', 0
        for line in logs.stdout:
            got += line
            if b'Iteration 20,' not in line:
                continue
            seen += 1
            if seen == 1:
                self.look(service, job)
                service.server.send_signal(signal.SIGKILL)
                service.worker.send_signal(signal.SIGKILL)
            else:  # the second attempt, on the second server
                service.request('POST', '/training-jobs/%s/cancel' % job)
                break
        got += logs.stdout.read()
        logs.stdout.close()
        self.assertEqual(1, logs.wait())
        self.assertEqual(service.request('GET', '/training-jobs/%s/logs' % job)[1], got)
        self.assertEqual([0, 0], service.close())
        service.remove()

    def look(self, service, job):
        top = self.et(service, 'top')
        self.assertIn(job, top)
        self.assertNotIn('\033', top)
        everything = json.loads(self.et(service, 'top', '--json'))
        self.assertEqual([job], [j['id'] for worker in everything['workers'] for j in worker['jobs']])
        while not service.json('GET', '/training-jobs/%s/metrics' % job)['series']:
            pass  # each request takes its time
        plot = self.et(service, 'plot', '--metric', 'loss', job)
        self.assertTrue(plot.startswith('loss  '), plot)
        self.assertTrue(any('\u2801' <= c <= '\u28ff' for c in plot), plot)
        self.assertNotIn('\033', plot)
        self.assertIn('<path ', self.et(service, 'plot', '--svg', '-', job))


class Trained(CommandLine, unittest.TestCase):
    """What a job that has ended is good for."""

    def test_its_layers_are_drawn_and_its_net_takes_images_from_memory(self):
        service = Service()
        service.register()
        job = service.make_job(service.make_solver(service.make_dataset(), 30))
        self.log_in(service)
        self.assertEqual('finished_successfully', service.ended('/training-jobs/' + job)['processing-state'])
        bars = self.et(service, 'plot', '--layers', job)
        for layer in ('data', 'ip', 'loss'):
            self.assertIn(layer, bars)
        self.assertIn('<rect ', self.et(service, 'plot', '--layers', '--svg', '-', job))
        fed, put = (service.ended('/classify-jobs/' + service.classify(job, net))['results']
                    for net in (FED_CLASSIFIER, CLASSIFIER))
        self.assertEqual(put, fed)
        self.assertEqual([0, 0], service.close())
        service.remove()


if __name__ == '__main__':
    unittest.main()
