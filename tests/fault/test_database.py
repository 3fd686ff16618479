#!/usr/bin/python3
"""PostgreSQL goes away and comes back; and two servers share it."""
import http.client
import json
import os
import threading
import time
import unittest

import postgres
from service import Gone, Service

DONE = 1


def token(service, name):
    with open(os.path.join(service.data, name), encoding='ascii') as file:
        return file.read().strip()


def lease(service, request_id, wait_ms):
    """One lease as a worker asks for it; the jobs, and when they came."""
    connection = http.client.HTTPConnection(service.address, timeout=60)
    connection.request('POST', '/leases', json.dumps(
        {'request_id': request_id, 'worker': 'w', 'pools': ['cpu'], 'slots': 1, 'wait_ms': wait_ms}).encode(),
        {'Authorization': 'Bearer ' + token(service, 'worker-token'), 'Content-Type': 'application/json'})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    if answer.status not in (200, 204):
        raise AssertionError((answer.status, data))
    return (json.loads(data)['jobs'] if answer.status == 200 else []), time.monotonic()


def metrics(service):
    """From this machine, without a user."""
    connection = http.client.HTTPConnection(service.address, timeout=60)
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
            connection = http.client.HTTPConnection(service.address, timeout=60)
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


class Beside(unittest.TestCase):
    def test_a_job_posted_at_one_server_is_leased_at_once_by_a_worker_that_waits_at_the_other(self):
        service = Service(has_worker=False, serve=['--allow-private-urls'])
        other = Service(has_worker=False, database=service.database,
                        serve=['--blobs', os.path.join(service.data, 'blobs')])
        service.register()
        got = []
        waiting = threading.Thread(target=lambda: got.extend(lease(other, 'a' * 32, 20000)))
        waiting.start()
        while b'et_http_requests_waiting 1' not in metrics(other):
            pass
        posted = time.monotonic()
        datafile = service.json('POST', '/datafiles', {'url': 'http://127.0.0.1:9/a.tar.gz'})['id']
        waiting.join()
        jobs, leased = got
        self.assertEqual([datafile], [job['job'] for job in jobs])
        self.assertLess(leased - posted, 3, 'it was told by the fallback of 5 s only')
        self.assertEqual('processing', service.json('GET', '/datafiles/' + datafile)['processing-state'])
        self.assertEqual([0], other.close())
        self.assertEqual([0], service.close())
        other.remove()
        service.remove()


if __name__ == '__main__':
    unittest.main()
