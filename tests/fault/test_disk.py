#!/usr/bin/python3
"""A server whose disk is full says so, keeps what it has, and goes on when there is room again.

    ET=build/et python3 -m unittest tests/fault/test_disk.py

Its folder is a small file system in memory, mounted where only the server sees it.
"""
import json
import os
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'api'))
import harness

SIZE_MIB = 24
# The server's process is the mounting one: unshare and sh replace themselves.
MOUNTS = '''#!/bin/sh
exec unshare %s --mount sh -c 'mount -t tmpfs -o size=%dm none "$0" && exec "$@"' '%s' '%s' "$@"
'''


class FullDisk(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix='et-disk-')
        self.addCleanup(folder.cleanup)
        data, script = os.path.join(folder.name, 'data'), os.path.join(folder.name, 'et')
        os.mkdir(data)
        with open(script, 'w') as file:
            file.write(MOUNTS % ('--map-root-user' if os.getuid() else '', SIZE_MIB, data, harness.ET))
        os.chmod(script, 0o700)
        real, harness.ET = harness.ET, script
        try:
            self.server = harness.Server(['--registration', 'open'], data=data)
        finally:
            harness.ET = real
        self.addCleanup(lambda: self.server.process.returncode is None and self.server.stop())
        self.data = '/proc/%d/root%s' % (self.server.process.pid, data)
        self.user = 'ada', 'a-long-password'
        reply = self.post('/users', {'username': 'ada', 'email': '', 'password': 'a-long-password'}, user=None)
        self.assertEqual(reply.status, 201, reply)

    def post(self, path, document, **more):
        return self.server.request('POST', path, json.dumps(document).encode(), {'Content-Type': 'application/json'},
                                   **dict({'user': self.user}, **more))

    def upload(self, size):
        body = (b'--et-disk\r\nContent-Disposition: form-data; name="document"\r\n\r\n{}\r\n'
                b'--et-disk\r\nContent-Disposition: form-data; name="url"; filename="a.tar.gz"\r\n\r\n'
                + os.urandom(size) + b'\r\n--et-disk--\r\n')
        return self.server.request('POST', '/datafiles', body, {'Content-Type': 'multipart/form-data; boundary=et-disk'},
                                   user=self.user)

    def fill(self, leave):
        """A file that leaves so many bytes of the disk."""
        with open(os.path.join(self.data, 'filler'), 'ab', buffering=0) as filler:
            space = os.statvfs(self.data)
            left = space.f_bavail * space.f_frsize - leave
            while left > 0:
                left -= filler.write(b'\0' * min(left, 1 << 16))

    def documents(self):
        return [d['id'] for d in self.server.request('GET', '/datafiles', user=self.user).json['items']]

    def test_an_upload_that_does_not_fit_is_refused_and_leaves_nothing(self):
        reply = self.upload(100000)
        self.assertEqual(reply.status, 201, reply)
        kept = reply.json['id']
        self.fill(leave=1 << 20)
        for _ in range(3):
            reply = self.upload(4 << 20)
            self.assertEqual(reply.status, 507, reply)
            self.assertIn('No space left on device', reply.json['detail'])
        # The answer comes before the end of the body, and the file goes when the connection does.
        end = time.monotonic() + 60
        while os.listdir(os.path.join(self.data, 'blobs', 'tmp')):
            self.assertLess(time.monotonic(), end, 'half a blob is left')
            self.server.request('GET', '/healthz')
        self.assertEqual(self.documents(), [kept])
        os.remove(os.path.join(self.data, 'filler'))
        self.assertEqual(self.upload(4 << 20).status, 201)
        self.assertEqual(self.server.stop(), 0)

    def test_a_document_that_the_database_cannot_hold_is_refused_and_nothing_is_lost(self):
        accepted = []
        self.fill(leave=0)
        while True:  # the log of the database may have room for some
            reply = self.post('/datafiles', {'url': 'http://example.org/%s/a.tar.gz' % ('x' * 1500)})
            if reply.status != 201:
                break
            accepted.append(reply.json['id'])
        self.assertEqual(reply.status, 507, reply)
        self.assertIn('full', reply.json['detail'])
        self.assertEqual(self.server.request('GET', '/healthz').status, 200)
        self.assertEqual(sorted(self.documents()), sorted(accepted))
        os.remove(os.path.join(self.data, 'filler'))
        reply = self.post('/datafiles', {'url': 'http://example.org/a.tar.gz'})
        self.assertEqual(reply.status, 201, reply)
        self.assertEqual(sorted(self.documents()), sorted(accepted + [reply.json['id']]))
        self.assertEqual(self.server.stop(), 0)


if __name__ == '__main__':
    unittest.main()
