#!/usr/bin/python3
"""The real PouchDB 9 pulls a user's documents, live, across restarts of the server.

Needs node and `npm ci` in this folder (make test does that); skipped without.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'api'))

import harness  # noqa: E402
import kit  # noqa: E402


@unittest.skipUnless(shutil.which('node') and os.path.exists(os.path.join(HERE, 'node_modules', 'pouchdb-core')),
                     'node, or what `npm ci` installs in tests/e2e, is missing')
class PouchDB(unittest.TestCase):
    def start(self, port=0):
        self.server = harness.Server(['--listen', '127.0.0.1:%d' % port, '--registration', 'open'], data=self.data)
        self.client = kit.Client(self.server.url, 'foo', 'bar')
        self.chain = kit.Chain(self.client, kit.Worker(self.server.url, self.server.worker_token))

    def setUp(self):
        self.data = tempfile.mkdtemp(prefix='et-pouchdb-')
        self.addCleanup(shutil.rmtree, self.data, True)
        self.start()
        self.server.user()
        token = self.client.post('/tokens', {'name': 'replica'}).json['token']
        self.pull = subprocess.Popen(['node', 'pull.mjs', self.server.url + '/elastic-thought', token], cwd=HERE,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end)

    def end(self):
        self.pull.stdin.close()
        self.pull.wait(30)
        self.pull.stdout.close()
        if self.server:
            self.server.stop()

    def until(self, wanted):
        """Reads what the replica says until it says what is wanted."""
        for line in self.pull.stdout:
            said = json.loads(line)
            self.assertNotIn('error', said)
            if wanted(said):
                return said
        self.fail('the replica ended')

    def arrived(self, id, rev=None, deleted=False):
        return self.until(lambda c: c.get('id') == id and c['deleted'] == deleted and rev in (None, c['rev']))

    def ask(self, id):
        self.pull.stdin.write(id + '\n')
        self.pull.stdin.flush()
        return self.until(lambda said: said.get('got') == id)

    def test_made_changed_and_deleted_documents_arrive_across_restarts(self):
        datafile = self.chain.datafile()['id']
        self.arrived(datafile)
        dataset = self.chain.dataset(datafile)
        self.arrived(dataset['id'], dataset['_rev'])
        self.chain.worker.split()
        finished = self.client.get('/datasets/' + dataset['id']).json
        self.arrived(dataset['id'], finished['_rev'])
        mine = self.ask(dataset['id'])['doc']
        self.assertEqual('finished_successfully', mine['processing-state'])
        self.assertNotIn('_conflicts', mine)

        port = self.server.port
        self.server.stop(signal.SIGKILL)
        self.start(port)
        self.assertEqual(204, self.client.delete('/datasets/' + dataset['id']).status)
        self.arrived(dataset['id'], deleted=True)
        self.assertEqual((404, 'deleted'), tuple(self.ask(dataset['id'])[k] for k in ('status', 'reason')))

        self.server.stop()
        self.start(port)
        second = self.chain.datafile()['id']
        self.arrived(second)
        self.assertEqual('datafile', self.ask(second)['doc']['type'])
        self.assertEqual('user', self.ask('user:foo')['doc']['type'])


if __name__ == '__main__':
    unittest.main()
