#!/usr/bin/python3
"""Orders of the Boss and items of a bucket, when their workers and the server die.

    ET=build/et ET_FAULT_SEED=7 tests/tap.py tests/fault/test_orders.py

Nothing is lost, nothing is done twice, and no Order is with two living
workers: a node here is a thread that speaks as the original worker node does,
and what it holds is written on a desk that all of them share.
"""
import collections
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

from service import Gone, Service, picture
from test_scripts import sandbox_works

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'api'))
from kit import Origin  # noqa: E402

SEED = int(os.environ.get('ET_FAULT_SEED', '1'))
print('# ET_FAULT_SEED=%d' % SEED)
rng = random.Random(SEED)

# Outcomes of attempts as the store writes them (store/queue.h).
DONE, FAILED, RETRY, LAPSED = 1, 2, 3, 6
NONE = {'error': 'No Jobs or all are assigned.'}
BUCKET = '/cats-request'

# Waits until it is told to end; the Job says by which word it is found.
PATIENT = '''
import json, os, signal
told, tell = os.pipe()
os.set_blocking(tell, False)
signal.set_wakeup_fd(tell)
signal.signal(signal.SIGUSR1, lambda *_: None)
os.read(told, 1)
print(json.dumps({'status': 'completed', 'loss': '0.5'}))
'''
QUICK = '''
import json, sys
print(json.dumps({'status': 'completed', 'loss': '0.5', 'metric': json.loads(sys.argv[1])['number']}))
'''


def patients(mark):
    """The processes of PATIENT scripts with this mark that can be told to end."""
    found = []
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/cmdline' % name, 'rb') as file:
                if mark.encode() not in file.read():
                    continue
            with open('/proc/%s/status' % name, encoding='ascii', errors='replace') as file:
                caught = next(int(line.split()[1], 16) for line in file if line.startswith('SigCgt:'))
        except (OSError, StopIteration):
            continue
        if caught >> (signal.SIGUSR1 - 1) & 1:
            found.append(int(name))
    return found


class Boss:
    """The Boss's API of a service, as its clients and nodes use it."""

    def __init__(self, service):
        self.service = service

    def once(self, method, path, body=None):
        text = None if body is None else json.dumps(body).encode()
        status, data = self.service.once(method, path, text, {'Content-Type': 'application/json'} if text else {})
        if status != 200:
            raise Gone(data)
        return json.loads(data) if data else None

    def repeat(self, method, path, body=None):
        while True:
            try:
                return self.once(method, path, body)
            except Gone:
                continue

    def create(self, **job):
        return self.repeat('POST', '/job/create', dict(job, projectName='p'))['_id']

    def orders(self):
        return self.repeat('GET', '/retrieve/order')

    def order(self, wanted):
        return next(order for order in self.orders() if order['_id'] == wanted)

    def until(self, wanted, condition):
        while True:
            order = self.order(wanted)
            if condition(order):
                return order

    def assigned(self, wanted, but=None):
        """Who holds the Order, as soon as somebody else than `but` does; one that is just taken may have no name yet."""
        return self.until(wanted, lambda o: o['status'] == 'assigned' and
                          o.get('assignedNode', but) != but)['assignedNode']

    def callback(self, order, node, **more):
        return self.repeat('POST', '/callback', dict({'orderId': order, 'status': 'completed', 'workerNodeName': node},
                                                     **more))


class Desk:
    """Who holds what: an Order that is given out while a living node has it is a fault."""

    def __init__(self):
        self.lock = threading.Lock()
        self.held, self.faults = {}, []
        self.over = threading.Event()

    def take(self, order, node):
        with self.lock:
            if order in self.held:
                self.faults.append('%s was given to %s while %s had it' % (order, node, self.held[order]))
            self.held[order] = node

    def leave(self, order):
        with self.lock:
            self.held.pop(order, None)


class Node(threading.Thread):
    """Says that it is bored, reads the Job, posts the Outcome; of at most `most` Orders."""

    def __init__(self, boss, desk, name, most=1000):
        super().__init__()
        self.boss, self.desk, self.most, self.name = boss, desk, most, name

    def run(self):
        while self.most and not self.desk.over.is_set():
            try:
                order = self.boss.once('POST', '/bored/' + self.name)
            except Gone:
                continue
            if '_id' not in order:
                continue
            self.desk.take(order['_id'], self.name)
            for _ in range(5):  # its work
                self.boss.repeat('GET', '/retrieve/job/' + order['jobId'])
            self.boss.callback(order['_id'], self.name)
            self.desk.leave(order['_id'])
            self.most -= 1


class Case(unittest.TestCase):
    def begin(self, has_worker=False, lease_seconds=2, **more):
        if has_worker and not sandbox_works():
            self.skipTest('bubblewrap does not work on this machine')
        self.scripts = tempfile.mkdtemp(prefix='et-scripts-')
        self.addCleanup(shutil.rmtree, self.scripts)
        for name, text in (('patient.py', PATIENT), ('quick.py', QUICK)):
            with open(os.path.join(self.scripts, name), 'w', encoding='ascii') as file:
                file.write(text)
        self.service = Service(serve=['--boss-api', 'boss', '--scripts', self.scripts,
                                      '--lease-seconds', str(lease_seconds)],
                               worker=['--scripts', self.scripts], has_worker=has_worker, **more)
        self.boss = Boss(self.service)

    def end(self, orders, deaths):
        """Closes; each Order was done once."""
        statuses = self.service.close()
        self.assertEqual([0] * len(statuses), statuses)
        self.assertEqual(deaths, {k: v for k, v in self.service.deaths.items() if v})
        self.assertTrue(self.service.database_is_whole())
        for order in orders:
            self.assertEqual(1, self.service.outcomes(order).count(DONE), (order, self.service.outcomes(order)))
        self.service.remove()

    def share(self, nodes, n_orders, **job):
        """The Orders that were acknowledged, when all that there are have ended; nodes as threads."""
        desk = Desk()
        threads = [Node(self.boss, desk, name, most) for name, most in nodes.items()]
        for thread in threads:
            thread.start()
        made = [self.boss.create(number=number, **job) for number in range(n_orders)]
        while any(order['status'] in ('assigned', 'unassigned') for order in self.boss.orders()):
            pass
        desk.over.set()
        for thread in threads:
            thread.join()
        self.assertEqual([], desk.faults)
        orders = self.boss.orders()  # more than made, when an answer was lost
        self.assertEqual({'completed'}, {order['status'] for order in orders}, orders)
        self.assertLessEqual(set(made), {order['_id'] for order in orders})
        self.assertLessEqual(len(orders), n_orders + 1)
        return orders


class Nodes(Case):
    """Worker nodes from outside, and a server that dies."""

    def test_a_server_that_dies_between_hand_out_and_outcome_gives_the_order_to_nobody_else(self):
        self.begin()
        order = self.boss.create()
        self.assertEqual(order, self.boss.once('POST', '/bored/one')['_id'])
        self.service.server.kill()
        self.assertEqual('one', self.boss.assigned(order))
        self.assertEqual(NONE, self.boss.repeat('POST', '/bored/two'))
        self.assertEqual('completed', self.boss.callback(order, 'one')['status'])
        self.assertEqual('completed', self.boss.callback(order, 'one', status='failed')['status'])
        self.end([order], {'server': 1})

    def test_a_node_that_dies_loses_its_order_when_it_is_bored_again_and_others_get_it(self):
        self.begin()
        first, second = self.boss.create(), self.boss.create()
        self.assertEqual(first, self.boss.once('POST', '/bored/dies')['_id'])
        self.service.server.kill()  # what it held is not forgotten
        self.assertEqual(second, self.boss.repeat('POST', '/bored/lives')['_id'])
        self.assertEqual(first, self.boss.once('POST', '/bored/dies')['_id'])
        self.assertEqual(first, self.boss.once('POST', '/bored/dies')['_id'])
        self.boss.callback(first, 'dies')
        self.boss.callback(second, 'lives')
        self.assertEqual([RETRY, RETRY, DONE], self.attempts([first, second], first))

    def attempts(self, orders, one):
        self.addCleanup(setattr, self.service, 'remove', self.service.remove)
        remove, self.service.remove = self.service.remove, lambda: None
        self.end(orders, {'server': 1})
        outcomes = self.service.outcomes(one)
        remove()
        return outcomes

    def killed_at(self, point):
        self.begin(server_fault=point)
        orders = self.share({'node-%d' % number: 1000 for number in range(4)}, 30)
        self.end([order['_id'] for order in orders], {'server': 1})


def add_scenarios():
    for point, counts in (('store.commit', range(8, 30)), ('store.committed', range(8, 30)),
                          ('api.reply', range(10, 60)), ('api.reply', range(60, 110))):
        count = rng.choice(counts)

        def test(self, fault='%s:%d' % (point, count)):
            self.killed_at(fault)
        setattr(Nodes, 'test_nodes_share_orders_with_a_server_killed_at_%s_%d' % (point.replace('.', '_'), count), test)


add_scenarios()


class Workers(Case):
    """A worker of ours, with scripts in the sandbox, beside nodes from outside."""

    def begin_patient(self, **more):
        self.begin(has_worker=True, **more)
        self.mark = 'et-order-' + os.urandom(8).hex()
        return self.boss.create(scriptName='patient.py', mark=self.mark)

    def wait_for_script(self, but=()):
        """Its process, as soon as there is one that is not among those."""
        while True:
            found = patients(self.mark)
            self.assertLessEqual(len(set(found) - set(but)), 1)
            if found and not set(found) & set(but):
                return found[0]
            self.boss.orders()

    def wait_for_none(self):
        while patients(self.mark):
            self.boss.orders()

    def test_a_worker_that_dies_takes_its_script_with_it_and_the_order_comes_back(self):
        order = self.begin_patient()
        first, worker = self.wait_for_script(), self.boss.assigned(order)
        self.service.worker.kill()
        self.assertNotEqual(worker, self.boss.assigned(order, but=worker))
        os.kill(self.wait_for_script(but=[first]), signal.SIGUSR1)
        ended = self.boss.until(order, lambda o: o['status'] != 'assigned')
        self.assertEqual('completed', ended['status'])
        self.assertNotEqual(worker, ended['assignedNode'])
        self.wait_for_none()
        self.end([order], {'worker': 1})

    def test_a_worker_that_always_dies_fails_the_order_after_three_times(self):
        order = self.begin_patient()
        seen = []
        for _ in range(3):
            seen.append(self.wait_for_script(but=seen))
            self.service.worker.kill()
        ended = self.boss.until(order, lambda o: o['status'] not in ('assigned', 'unassigned'))
        self.assertEqual('failed', ended['status'])
        self.wait_for_none()
        self.end([], {'worker': 3})

    def test_a_server_that_dies_finds_the_script_still_running_and_takes_its_outcome(self):
        order = self.begin_patient(lease_seconds=30)  # it must not lapse on a busy machine
        script, worker = self.wait_for_script(), self.boss.assigned(order)
        self.service.server.kill()
        self.assertEqual(worker, self.boss.assigned(order))
        self.assertEqual(NONE, self.boss.repeat('POST', '/bored/other'))
        self.assertEqual([script], patients(self.mark))
        os.kill(script, signal.SIGUSR1)
        ended = self.boss.until(order, lambda o: o['status'] != 'assigned')
        self.assertEqual(('completed', worker), (ended['status'], ended['assignedNode']))
        self.end([order], {'server': 1})

    def test_a_worker_that_slept_too_long_ends_its_script_when_it_wakes(self):
        order = self.begin_patient()
        self.wait_for_script()
        self.service.worker.send_signal(signal.SIGSTOP)
        given = NONE
        while given == NONE:
            given = self.boss.repeat('POST', '/bored/awake')
        self.assertEqual(order, given['_id'])
        self.service.worker.send_signal(signal.SIGCONT)
        self.wait_for_none()
        self.assertEqual('awake', self.boss.order(order)['assignedNode'])
        self.assertEqual('completed', self.boss.callback(order, 'awake')['status'])
        self.end([order], {})

    def killed_at(self, role, point):
        self.begin(has_worker=True, **{role + '_fault': point})
        orders = self.share({'node': 3}, 8, scriptName='quick.py')
        self.end([order['_id'] for order in orders], {role: 1})

    def test_both_kinds_share_orders_with_a_worker_killed_before_it_begins(self):
        self.killed_at('worker', 'worker.lease:%d' % rng.randint(1, 2))

    def test_both_kinds_share_orders_with_a_worker_killed_before_it_reports(self):
        self.killed_at('worker', 'worker.finish:%d' % rng.randint(1, 3))

    def test_both_kinds_share_orders_with_a_worker_killed_after_it_reported(self):
        self.killed_at('worker', 'worker.finished:%d' % rng.randint(1, 3))

    def test_both_kinds_share_orders_with_a_server_killed(self):
        self.killed_at('server', 'store.committed:%d' % rng.randint(8, 20))


class Taker(threading.Thread):
    """A bucket's worker, as the original: takes an item, posts its result, until told that it is over."""

    def __init__(self, boss, taken, over):
        super().__init__()
        self.boss, self.taken, self.over = boss, taken, over

    def run(self):
        while not self.over.is_set():
            try:
                item = self.boss.once('GET', BUCKET + '/queue')
            except Gone:
                continue
            if item['error']:
                continue
            self.taken.append(item['request_id'])
            with open(item['value'], 'rb') as file:
                value = 'seen ' + file.read().decode()
            self.boss.repeat('POST', BUCKET + '/queue', dict(item, progress=50, value='looking'))
            self.boss.repeat('POST', BUCKET + '/queue', dict(item, progress=100, value=value))


class Items(unittest.TestCase):
    """A bucket's items: files of the server, whatever its database."""

    only_database = 'sqlite'

    def begin(self, *more, **faults):
        self.origin = Origin()
        self.addCleanup(self.origin.close)
        self.service = Service(serve=['--bucket', 'cats-request:cats', '--allow-private-urls'] + list(more),
                               has_worker=False, **faults)
        self.boss = Boss(self.service)

    def ask(self, number):
        url = self.origin.put('/%d.png' % number, b'%d' % number)
        item = self.boss.repeat('POST', BUCKET, {'data_from_frontend': url, 'create_request': True})
        self.assertEqual('', item['error'])
        return item['request_id']

    def see(self, request_id):
        while True:
            try:
                status, data = self.service.once('GET', BUCKET, None, {'Request-Id': request_id})
            except Gone:
                continue
            self.assertEqual(200, status)
            return json.loads(data)

    def end(self, deaths):
        self.assertEqual([0], self.service.close())
        self.assertEqual(deaths, self.service.deaths['server'])
        self.service.remove()

    def killed_at(self, point):
        self.begin(server_fault=point)
        taken, over = [], threading.Event()
        takers = [Taker(self.boss, taken, over) for _ in range(3)]
        for taker in takers:
            taker.start()
        asked = [self.ask(number) for number in range(12)]
        for number, request_id in enumerate(asked):
            while True:
                item = self.see(request_id)
                self.assertEqual('', item['error'])
                if item['progress'] == 100:
                    break
            self.assertEqual('seen %d' % number, item['value'])
        over.set()
        self.end(1)
        for taker in takers:
            taker.join()
        counts = collections.Counter(taken)
        self.assertEqual(set(asked), set(counts))
        self.assertLessEqual(max(counts.values()), 2)  # again only after the one restart

    def test_takers_share_items_with_a_server_killed_early(self):
        self.killed_at('api.reply:%d' % rng.randint(3, 12))

    def test_takers_share_items_with_a_server_killed_late(self):
        self.killed_at('api.reply:%d' % rng.randint(13, 40))

    def test_a_server_killed_between_hand_out_and_result_hands_it_out_again_and_the_first_result_counts(self):
        self.begin()
        request_id = self.ask(1)
        item = self.boss.once('GET', BUCKET + '/queue')
        self.service.server.kill()
        again = self.boss.repeat('GET', BUCKET + '/queue')
        self.assertEqual((request_id, item['value']), (again['request_id'], again['value']))
        with open(again['value'], 'rb') as file:
            self.assertEqual(hashlib.sha256(b'1').hexdigest() + '.png', os.path.basename(file.name))
        told = self.boss.repeat('POST', BUCKET + '/queue', dict(item, progress=100, value='first'))
        self.assertEqual(told, self.boss.repeat('POST', BUCKET + '/queue', dict(again, progress=100, value='second')))
        self.assertEqual('first', self.see(request_id)['value'])
        self.end(1)

    def test_a_worker_that_dies_with_an_item_loses_it_to_the_one_that_waits(self):
        self.begin('--item-lease-ms', '500')
        request_id = self.ask(1)
        dies = subprocess.Popen([sys.executable, '-c', '''
import sys, time, urllib.request
print(urllib.request.urlopen(sys.argv[1]).read().decode(), flush=True)
sys.stdin.read()
''', 'http://%s%s/queue' % (self.service.address, BUCKET)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(request_id, json.loads(dies.stdout.readline())['request_id'])
        dies.kill()
        dies.communicate()
        item = self.boss.once('GET', BUCKET + '/queue')
        self.assertEqual(request_id, item['request_id'])
        self.boss.once('POST', BUCKET + '/queue', dict(item, progress=100, value='done'))
        self.assertEqual('done', self.see(request_id)['value'])
        self.end(0)


class OwnClassifier(unittest.TestCase):
    """A bucket that one of our classifiers serves, with the real engine and no worker from outside."""

    def test_a_pictures_url_goes_in_and_its_label_comes_out_also_when_the_server_dies(self):
        origin = Origin()
        self.addCleanup(origin.close)
        service = Service(serve=['--allow-private-urls'])
        boss = Boss(service)
        service.register()
        job = service.make_job(service.make_solver(service.make_dataset(), 40))
        self.assertEqual('finished_successfully', service.ended('/training-jobs/' + job)['processing-state'])
        service.serve += ['--bucket', 'pets:ada:' + service.make_classifier(job)]
        service.server.kill()

        def ask(label, number):
            url = origin.put('/%s.png' % label, picture(label, number))
            return boss.repeat('POST', '/pets', {'data_from_frontend': url, 'create_request': True})['request_id']
        items = self.watch(service, ask('left', 30))
        self.assertEqual(sorted(item['progress'] for item in items), [item['progress'] for item in items])
        self.assertEqual((100, "[WORKER - ACK] it's a 'left'!", ''),
                         tuple(items[-1][field] for field in ('progress', 'value', 'error')))
        right = ask('right', 30)
        service.server.kill()
        self.assertEqual("[WORKER - ACK] it's a 'right'!", self.watch(service, right)[-1]['value'])
        self.assertEqual([0, 0], service.close())
        self.assertEqual({'server': 2, 'worker': 0}, service.deaths)
        service.remove()

    def watch(self, service, request_id):
        """The item as the browser sees it change, to its end."""
        while True:
            try:
                status, data = service.once('GET', '/pets/events?request_id=' + request_id.replace('+', '%2B'))
            except Gone:
                continue
            self.assertEqual(200, status)
            return [json.loads(line[6:]) for line in data.decode().splitlines() if line.startswith('data: ')]


if __name__ == '__main__':
    unittest.main()
