#!/usr/bin/python3
"""Kills the server around the sending of webhooks: every end of a job arrives, each under one id.

    ET=build/et python3 -m unittest tests/fault/test_webhooks.py
"""
import collections
import os
import sys
import unittest

from service import Service

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'api'))
from receiver import Receiver  # noqa: E402

POINTS = ['webhook.send:1', 'webhook.send:3', 'webhook.sent:1', 'webhook.sent:2', 'store.commit:9',
          'store.committed:9', 'store.committed:20']
JOBS = 3


class Webhooks(unittest.TestCase):
    def scenario(self, point):
        receiver = Receiver()
        self.addCleanup(receiver.close)
        service = Service(server_fault=point, serve=['--allow-private-urls'])
        service.register()
        hook = service.json('POST', '/webhooks', {'url': receiver.url, 'events': ['dataset.*']})
        datasets = [service.make_dataset() for _ in range(JOBS)]
        for dataset in datasets:
            service.ended('/datasets/' + dataset)
        ids = collections.defaultdict(set)
        while len(ids) < JOBS:
            got = receiver.next(60)
            if hook['secret']:  # null when a repeated request made the hook
                self.assertTrue(got.is_signed_with(hook['secret']))
            self.assertEqual('dataset.finished', got.json['type'])
            ids[got.json['data']['id']].add(got.id)
        self.assertEqual(set(datasets), set(ids))
        self.assertEqual([1] * JOBS, [len(same) for same in ids.values()])
        states = set()
        while states != {'delivered'}:
            items = service.json('GET', '/webhooks/%s/deliveries' % hook['id'])['items']
            states = {item['state'] for item in items}
        self.assertEqual(JOBS, len(items))
        self.assertEqual([0, 0], service.close())
        self.assertEqual(1, service.deaths['server'], 'the fault %s never struck' % point)
        self.assertTrue(service.database_is_whole())
        service.remove()


def add_scenarios():
    for point in POINTS:
        def test(self, point=point):
            self.scenario(point)
        setattr(Webhooks, 'test_server_killed_at_' + point.replace('.', '_').replace(':', '_'), test)


add_scenarios()

if __name__ == '__main__':
    unittest.main()
