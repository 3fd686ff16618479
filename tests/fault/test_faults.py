#!/usr/bin/python3
"""Kills the server and the worker at named points and checks that every accepted job ended exactly once.

    ET=build/et python3 -m unittest tests/fault/test_faults.py

A scenario arms one fault point of one process; its count comes from a seed
(ET_FAULT_SEED, printed). The killed process is started again, the client
repeats what got no answer, and at the end the database tells what happened.
"""
import os
import random
import signal
import unittest

from service import Service

SEED = int(os.environ.get('ET_FAULT_SEED', '1'))
print('# ET_FAULT_SEED=%d' % SEED)

# Outcomes of attempts as the store writes them (store/queue.h).
DONE, CANCELLED = 1, 5

# process, point, highest count that the work below surely reaches
POINTS = [
    ('server', 'store.commit', 30),
    ('server', 'store.committed', 30),
    ('server', 'blob.commit', 8),
    ('server', 'blob.moved', 8),
    ('server', 'api.reply', 40),
    ('worker', 'worker.lease', 3),
    ('worker', 'worker.train', 2),
    ('worker', 'worker.script', 5),
    ('worker', 'worker.upload', 5),
    ('worker', 'worker.finish', 3),
    ('worker', 'worker.finished', 3),
]
ROUNDS = 2


SCRIPT = '''
import json, sys
for step in range(5):
    print(json.dumps({'metric': 'm', 'step': step, 'value': step * step}))
open('artifacts/kept', 'w').write(sys.argv[1])
print('{"result": 42}')
'''


class Faults(unittest.TestCase):
    def check_script(self, service, job):
        ended = service.ended('/jobs/' + job)
        self.assertEqual('finished_successfully', ended['processing-state'], ended)
        self.assertEqual({'result': 42}, ended['result'])
        self.assertEqual(b'{"n":1}', service.request('GET', '/blobs/%s/kept' % job)[1])
        self.assertEqual([(n, n * n) for n in range(5)], sorted(service.metrics(job)['m']))

    def run_work(self, service, jobs=2):
        """The whole way, from user to labels, and a script; returns the ids of all jobs."""
        service.register()
        script = service.run_script(SCRIPT, parameters={'n': 1})
        dataset = service.make_dataset()
        solver = service.make_solver(dataset, 40)
        trainings = [service.make_job(solver) for _ in range(jobs)]
        for job in trainings:
            self.assertEqual('finished_successfully', service.ended('/training-jobs/' + job)['processing-state'])
        classify = service.classify(trainings[0])
        labels = service.ended('/classify-jobs/' + classify)
        self.assertEqual('finished_successfully', labels['processing-state'], labels)
        self.assertEqual({'left', 'right'}, set(labels['results'].values()))
        self.assertEqual('finished_successfully', service.ended('/datasets/' + dataset)['processing-state'])
        self.check_script(service, script)
        return [dataset, classify, script] + trainings

    def check(self, service, jobs):
        self.assertTrue(service.database_is_whole())
        for job in jobs:
            self.assertEqual(1, service.outcomes(job).count(DONE), (job, service.outcomes(job)))

    def scenario(self, role, point, count):
        fault = '%s:%d' % (point, count)
        # A lease that lapses costs nothing here but an attempt, and half of these wait for that.
        service = Service(serve=['--lease-seconds', '1'], **{role + '_fault': fault})
        jobs = self.run_work(service)
        statuses = service.close()
        self.assertEqual([0, 0], statuses)
        self.assertEqual(1, service.deaths[role], 'the fault %s of the %s never struck' % (fault, role))
        self.check(service, jobs)
        service.remove()


def add_scenarios():
    rng = random.Random(SEED)
    for role, point, highest in POINTS:
        for count in sorted(rng.sample(range(1, highest + 1), min(ROUNDS, highest))):
            def test(self, role=role, point=point, count=count):
                self.scenario(role, point, count)
            name = 'test_%s_killed_at_%s_%d' % (role, point.replace('.', '_'), count)
            setattr(Faults, name, test)


add_scenarios()


class Scripts(unittest.TestCase):
    """Workers that go while a script runs: all of it goes with them, and it starts anew elsewhere."""

    TEXT = '''
import os, signal, subprocess, sys
first = sys.argv[1]
print('begun', flush=True)
subprocess.Popen(['/bin/sh', '-c', 'while :; do sleep 1000; done', 'MARK'], start_new_session=True)
signal.pause()
'''

    def processes(self, mark):
        found = []
        for name in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open('/proc/%s/cmdline' % name, 'rb') as file:
                    if mark in file.read().split(b'\0'):
                        found.append(int(name))
            except OSError:
                continue
        return found

    def lose(self, number):
        """Ends the worker with this signal while a script runs, sees it begin again, and cancels it."""
        mark = 'et-script-%d-%d' % (os.getpid(), number)
        service = Service()
        service.register()
        job = service.run_script(self.TEXT.replace('MARK', mark))
        self.wait_for(service, job, 1)
        while len(self.processes(mark.encode())) != 1:
            service.json('GET', '/jobs/' + job)
        before = self.processes(mark.encode())
        service.worker.send_signal(number)
        self.wait_for(service, job, 2)
        self.assertFalse(set(before) & set(self.processes(mark.encode())))
        service.request('POST', '/jobs/%s/cancel' % job)
        ended = service.ended('/jobs/' + job)
        self.assertTrue(ended['cancelled'])
        self.assertEqual([], self.processes(mark.encode()))
        self.assertEqual([0, 0], service.close())
        self.assertEqual(0, service.outcomes(job).count(DONE))
        self.assertEqual(1, service.outcomes(job).count(CANCELLED))
        service.remove()

    def wait_for(self, service, job, count):
        service.wait_for_log('/jobs/' + job, b'begun', count)

    def test_a_worker_that_is_killed_takes_its_scripts_with_it(self):
        self.lose(signal.SIGKILL)

    def test_a_worker_told_to_stop_gives_its_scripts_back(self):
        self.lose(signal.SIGTERM)


class Interruptions(unittest.TestCase):
    """Ends that are asked for, and kills in the middle of training."""

    def training(self, lease=10):
        """A service with a job that trains for as long as it is let; the lease outlasts a slow machine's answers."""
        service = Service(serve=['--lease-seconds', str(lease)])
        service.register()
        solver = service.make_solver(service.make_dataset(), 100000000)
        job = service.make_job(solver)
        service.until('/training-jobs/' + job, lambda d: d['processing-state'] == 'processing')
        service.wait_for_log('/training-jobs/' + job, b'Iteration 20,')
        return service, job

    def end(self, service, job):
        """Cancels the job and closes."""
        service.request('POST', '/training-jobs/%s/cancel' % job)
        document = service.ended('/training-jobs/' + job)
        self.assertEqual('failed', document['processing-state'])
        self.assertTrue(document['cancelled'])
        self.assertIn('cancelled by', document['processing-log'])
        self.assertEqual([0, 0], service.close())
        self.assertEqual(0, service.outcomes(job).count(DONE))
        self.assertEqual(1, service.outcomes(job).count(CANCELLED), service.outcomes(job))
        service.remove()

    def test_a_worker_told_to_stop_saves_and_gives_the_job_back_and_the_next_goes_on_from_there(self):
        service, job = self.training()
        service.worker.send_signal(signal.SIGTERM)
        service.wait_for_log('/training-jobs/' + job, b'Resuming from')
        self.end(service, job)

    def test_a_worker_that_is_killed_loses_its_lease_and_the_job_starts_again(self):
        service, job = self.training(lease=3)
        service.worker.kill()
        service.wait_for_log('/training-jobs/' + job, b'Iteration 20,', 2)
        self.end(service, job)

    def test_a_server_told_to_stop_and_started_again_finds_the_job_still_running(self):
        service, job = self.training()
        service.server.send_signal(signal.SIGTERM)
        service.wait_for_log('/training-jobs/' + job, b'Iteration 40,')
        self.end(service, job)

    def test_a_server_that_is_killed_finds_the_job_still_running(self):
        service, job = self.training()
        service.server.kill()
        service.wait_for_log('/training-jobs/' + job, b'Iteration 40,')
        document = service.json('GET', '/training-jobs/' + job)
        self.assertEqual('processing', document['processing-state'])
        self.end(service, job)

    def test_a_job_that_is_cancelled_is_over_only_when_its_process_is_gone(self):
        service, job = self.training()
        self.end(service, job)

    def test_the_disk_of_the_server_is_full_and_then_is_not(self):
        # No worker: one that has just been started may not yet catch SIGTERM.
        service = Service(server_fault='blob.write:1:error', has_worker=False)
        service.register()
        status, _ = service.request('POST', '/datafiles', b'--et-test\r\nContent-Disposition: form-data; name="url"; '
                                    b'filename="a.tar.gz"\r\n\r\nbytes\r\n--et-test--\r\n', 'multipart/form-data; boundary=et-test')
        self.assertEqual(507, status)
        self.assertIsNone(service.server.poll())
        self.assertEqual([0], service.close())
        leftovers = [name for _, _, names in os.walk(os.path.join(service.data, 'blobs')) for name in names]
        self.assertLessEqual(set(leftovers), {'lock'})
        service.remove()


if __name__ == '__main__':
    unittest.main()
