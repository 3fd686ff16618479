#!/usr/bin/python3
"""The page of a bucket in a real browser: a picture is asked for, a worker
tells of its progress, and the page shows it as it comes.

Needs Debian's chromium, node and `npm ci` in this folder (make test does that); skipped without.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'api'))

import harness  # noqa: E402
import kit  # noqa: E402

CHROMIUM = shutil.which('chromium')
HAVE = CHROMIUM and shutil.which('node') and os.path.exists(os.path.join(HERE, 'node_modules', 'playwright-core'))
LABEL = "[WORKER - ACK] it's a 'cat'!"


@unittest.skipUnless(HAVE, 'chromium, node, or what `npm ci` installs in tests/e2e, is missing')
class QueuePage(unittest.TestCase):
    def setUp(self):
        self.origin = kit.Origin()
        self.addCleanup(self.origin.close)
        self.server = harness.Server(['--bucket', 'cats-request:cats', '--allow-private-urls'])
        self.addCleanup(self.server.stop)
        profile = tempfile.mkdtemp(prefix='et-chromium-')
        self.addCleanup(shutil.rmtree, profile, True)
        self.browser = subprocess.Popen(['node', 'queue_page.mjs', CHROMIUM, profile], cwd=HERE,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.close)
        self.step(goto=self.server.url + '/queue/cats-request')

    def close(self):
        self.browser.stdin.close()
        self.browser.wait(60)
        self.browser.stdout.close()

    def step(self, **wanted):
        self.browser.stdin.write(json.dumps(wanted) + '\n')
        self.browser.stdin.flush()
        said = json.loads(self.browser.stdout.readline())
        self.assertNotIn('error', said)
        return said['faults']

    def post(self, item, **changes):
        self.server.request('POST', '/cats-request/queue', {**item, **changes})

    def test_a_picture_is_asked_for_and_its_progress_shown_live(self):
        url = self.origin.put('/cat.png', b'cat')
        self.step(ask=url + '?w=1')
        item = self.server.request('GET', '/cats-request/queue').json
        ack = '[BACKEND - ACK] Requested "%s" (request ID: %s)' % (item['value'], item['request_id'])
        self.step(see=ack, progress=0, state='waiting')
        self.post(item, progress=50, value='[WORKER - ACK] looking')
        self.step(see='[WORKER - ACK] looking', progress=50, state='waiting')
        self.post(item, progress=100, value=LABEL)
        self.step(see=LABEL, progress=100, state='done')
        self.assertEqual(self.step(faults=True), [])

        self.step(forget=True)
        self.step(empty=True)
        self.step(ask=url)
        again = self.server.request('GET', '/cats-request/queue').json
        self.assertEqual(again['request_id'], item['request_id'])
        self.post(again, error='no model for <b>this</b>')
        self.step(see='no model for <b>this</b>', progress=0, state='failed')

    def test_what_cannot_be_asked_for_is_said(self):
        self.step(ask=self.origin.url + '/nothing.png')
        self.step(problem='the server answers 404')
        self.step(ask=self.origin.url + '/cat.gif')
        self.step(problem='must end in .jpg, .jpeg or .png')
        self.assertEqual(self.step(faults=True), [])


if __name__ == '__main__':
    unittest.main()
