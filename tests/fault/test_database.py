#!/usr/bin/python3
"""PostgreSQL goes away and comes back; and two servers share it."""
import http.client
import json
import os
import sys
import threading
import unittest

import postgres
from service import Gone, Service

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'api'))
from receiver import Receiver  # noqa: E402

DONE = 1


def token(service, name):
    with open(os.path.join(service.data, name), encoding='ascii') as file:
        return file.read().strip()


def lease(service, request_id, wait_ms):
    """One lease as a worker asks for it; the jobs."""
    connection = http.client.HTTPConnection(service.address, timeout=180)
    connection.request('POST', '/leases', json.dumps(
        {'request_id': request_id, 'worker': 'w', 'pools': ['cpu'], 'slots': 1, 'wait_ms': wait_ms}).encode(),
        {'Authorization': 'Bearer ' + token(service, 'worker-token'), 'Content-Type': 'application/json'})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    if answer.status not in (200, 204):
        raise AssertionError((answer.status, data))
    return json.loads(data)['jobs'] if answer.status == 200 else []


def metrics(service):
    """From this machine, without a user."""
    connection = http.client.HTTPConnection(service.address, timeout=180)
    connection.request('GET', '/metrics')
    text = connection.getresponse().read()
    connection.close()
    return text


class Away(unittest.TestCase):
    def setUp(self):
        self.database = postgres.shared()
        self.service = Service()
        self.service.register()

    def once(self, method, path):
        try:
            return self.service.once(method, path)
        except Gone:
            self.fail('the server ended with its database')

    def finish(self, jobs):
        service = self.service
        for job in jobs:
            self.assertEqual('finished_successfully', service.ended('/training-jobs/' + job)['processing-state'])
        self.assertEqual([0, 0], service.close())
        self.assertEqual({'server': 0, 'worker': 0}, service.deaths)
        for job in jobs:
            self.assertEqual(1, service.outcomes(job).count(DONE), service.outcomes(job))
        service.remove()

    def test_killed_in_the_middle_it_costs_time_and_nothing_else(self):
        service = self.service
        solver = service.make_solver(service.make_dataset(), 200)
        jobs, problems = [], []

        def post():
            try:
                jobs.extend(service.make_job(solver) for _ in range(10))
            except AssertionError as error:
                problems.append(error)
        client = threading.Thread(target=post)
        client.start()
        for _ in range(3):
            self.database.kill()
            self.database.start()
            service.json('GET', '/training-jobs')
        client.join()
        self.assertEqual([], problems)
        self.assertEqual(10, len(set(jobs)))
        self.finish(jobs)

    def test_while_it_is_away_requests_get_503_and_a_time_and_readyz_says_so(self):
        service = self.service
        self.assertEqual(200, self.once('GET', '/readyz')[0])
        self.database.kill()
        for method, path in (('GET', '/readyz'), ('GET', '/training-jobs'), ('GET', '/elastic-thought'),
                             ('POST', '/tokens')):
            connection = http.client.HTTPConnection(service.address, timeout=180)
            connection.request(method, path, b'{}' if method == 'POST' else None,
                               {'Authorization': service.authorization, 'Content-Type': 'application/json'})
            answer = connection.getresponse()
            text = answer.read().decode()
            connection.close()
            self.assertEqual(503, answer.status, (path, text))
            self.assertTrue(int(answer.getheader('Retry-After')) > 0)
            self.assertNotIn(self.database.folder + '/data', text)
        self.assertEqual(200, self.once('GET', '/healthz')[0])
        self.database.start()
        while self.once('GET', '/readyz')[0] != 200:
            pass
        self.finish([])


class Watcher:
    """A long poll after the other at one server, from now on; their answers come within a minute each."""

    def __init__(self, service):
        self.service, self.problem = service, None
        self.since = service.json('GET', '/elastic-thought/_changes?since=now')['last_seq']
        self.seen = threading.Condition()
        self.ids, self.stopping = set(), False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while not self.stopping:
                answer = self.service.json('GET', '/elastic-thought/_changes?feed=longpoll&timeout=60000&heartbeat=60000'
                                           '&since=%s' % self.since)
                if not answer['results']:
                    raise AssertionError('a poll ended without a change')
                with self.seen:
                    self.since = answer['last_seq']
                    self.ids.update(change['id'] for change in answer['results'])
                    self.seen.notify_all()
        except BaseException as error:
            with self.seen:
                self.problem = error
                self.seen.notify_all()

    def wait_for(self, id):
        with self.seen:
            self.seen.wait_for(lambda: id in self.ids or self.problem)
            if self.problem:
                raise self.problem

    def close(self, service):
        """With a last change, which ends the poll."""
        self.stopping = True
        datafile(service)
        self.thread.join()


def datafile(service):
    return service.form('/datafiles', [('document', None, b'{}'), ('url', 'a.tar.gz', b'x')])['id']


class Beside(unittest.TestCase):
    # Who waits hears of a change from the other server, or not at all: neither on a look at everything because
    # something may have been missed, nor at the look that each takes every few seconds.
    ONLY_TOLD = 'peers.look:1:error,waits.fallback:1:error'
    NO_LOOK_OF_ITS_OWN = 'waits.fallback:1:error'

    def two(self, server_fault='', other_fault=NO_LOOK_OF_ITS_OWN):
        service = Service(has_worker=False, server_fault=server_fault)
        other = Service(has_worker=False, database=service.database, server_fault=other_fault,
                        serve=['--blobs', os.path.join(service.data, 'blobs'), '--allow-private-urls'])
        service.register()
        return service, other

    def close(self, *services):
        for service in services:
            self.assertEqual(0, service.close()[0])
            service.remove()

    def test_a_watcher_at_one_server_sees_at_once_what_is_written_at_the_other(self):
        service, other = self.two(other_fault=self.ONLY_TOLD)
        watcher = Watcher(other)
        for _ in range(3):
            watcher.wait_for(datafile(service))
        watcher.close(other)
        self.close(other, service)

    def test_a_server_killed_between_a_commit_and_its_notification_leaves_no_watcher_behind(self):
        service, other = self.two(server_fault='store.committed:9')
        watcher = Watcher(other)
        made = []
        while not service.deaths['server']:
            made.append(datafile(service))
        for id in made:
            watcher.wait_for(id)
        self.assertEqual(1, service.deaths['server'])
        watcher.close(other)
        self.close(other, service)

    def test_a_notification_that_is_dropped_is_made_up_for(self):
        service, other = self.two(server_fault='peers.tell:1:error')
        watcher = Watcher(other)
        for _ in range(2):
            watcher.wait_for(datafile(service))
        watcher.close(other)
        self.close(other, service)

    def test_a_listener_that_loses_its_connection_misses_nothing(self):
        service, other = self.two()
        watcher = Watcher(other)
        for _ in range(5):
            postgres.shared().query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
                                    " backend_type = 'client backend' AND (query LIKE 'LISTEN%' OR"
                                    " query LIKE '%pg_notify%' OR query LIKE '%clock_timestamp%')"
                                    " AND pid <> pg_backend_pid()")
            watcher.wait_for(datafile(service))
        watcher.close(other)
        self.close(other, service)

    def test_a_webhook_is_sent_once_by_one_of_the_servers(self):
        receiver = Receiver()
        self.addCleanup(receiver.close)
        patient = ['--allow-private-urls', '--webhook-ms', '60000']  # none is sent again for being slow
        service = Service(serve=patient)
        other = Service(has_worker=False, database=service.database,
                        serve=['--blobs', os.path.join(service.data, 'blobs')] + patient)
        service.register()
        hook = service.json('POST', '/webhooks', {'url': receiver.url, 'events': ['dataset.*']})
        datasets = [(service, other)[i % 2].make_dataset() for i in range(6)]
        for dataset in datasets:
            other.ended('/datasets/' + dataset)
        states = set()
        while states != {'delivered'}:
            items = other.json('GET', '/webhooks/%s/deliveries' % hook['id'])['items']
            states = {item['state'] for item in items} if len(items) == len(datasets) else set()
        self.assertEqual([1] * len(datasets), [item['attempts'] for item in items])
        got = [receiver.next(60) for _ in datasets]
        self.assertEqual(sorted(datasets), sorted(one.json['data']['id'] for one in got))
        self.assertEqual([0], other.close())
        self.assertEqual([0, 0], service.close())
        self.assertTrue(receiver.got.empty())
        other.remove()
        service.remove()

    def test_a_job_posted_at_one_server_is_leased_at_once_by_a_worker_that_waits_at_the_other(self):
        service = Service(has_worker=False, serve=['--allow-private-urls'])
        other = Service(has_worker=False, database=service.database, server_fault=self.ONLY_TOLD,
                        serve=['--blobs', os.path.join(service.data, 'blobs')])
        service.register()
        got = []
        waiting = threading.Thread(target=lambda: got.extend(lease(other, 'a' * 32, 60000)))
        waiting.start()
        while b'et_http_requests_waiting 1' not in metrics(other):
            pass
        datafile = service.json('POST', '/datafiles', {'url': 'http://127.0.0.1:9/a.tar.gz'})['id']
        waiting.join()
        self.assertEqual([datafile], [job['job'] for job in got])
        self.assertEqual('processing', service.json('GET', '/datafiles/' + datafile)['processing-state'])
        self.assertEqual([0], other.close())
        self.assertEqual([0], service.close())
        other.remove()
        service.remove()


if __name__ == '__main__':
    unittest.main()
