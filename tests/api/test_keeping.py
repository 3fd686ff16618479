"""What is kept, for how long, and within which quota; what is deleted is gone."""

import http.client
import json
import os
import subprocess
import time
import unittest

import harness
from kit import Case, Client, multipart

BIG = b'x' * 300000


class Keeping(Case):
    arguments = ['--allow-private-urls', '--quota', '1000000', '--blob-grace-ms', '2000', '--sweep-ms', '200']

    def setUp(self):
        super().setUp()
        self.admin = Client(self.server.url, token=self.server.admin_token)

    def usage(self, client=None):
        reply = (client or self.client).get('/usage')
        self.assertEqual(reply.status, 200, reply)
        return reply.json['items'][0]

    def set_quota(self, number):
        reply = self.admin.request('PUT', '/users/%s/quota' % self.name, {'bytes': number})
        self.assertEqual(reply.status, 200, reply)
        return reply.json

    def blob_path(self, reply):
        digest = reply.headers['ETag'].strip('"')
        return os.path.join(self.server.data, 'blobs', 'sha256', digest[:2], digest[2:])

    def until(self, condition):
        end = time.monotonic() + 120
        while not condition():
            self.assertLess(time.monotonic(), end)

    def test_usage_counts_each_blob_once(self):
        for _ in range(2):
            self.chain.datafile(BIG)
        self.chain.datafile(b'1234')
        self.assertEqual(self.usage(), {'owner': self.owner, 'blob-bytes': 300004, 'log-bytes': 0, 'documents': 4,
                                        'metric-points': 0, 'quota': 1000000, 'keep-days': None})

    def test_logs_and_metrics_count_too(self):
        self.chain.dataset()
        lease = self.worker.lease()
        lease.log('a line\n')
        lease.metrics([{'name': 'a', 'step': 1, 'value': 1}, {'name': 'a', 'step': 2, 'value': 1}])
        usage = self.usage()
        self.assertEqual((usage['log-bytes'], usage['metric-points']), (7, 2))

    def test_the_operator_sees_all_and_users_themselves_only(self):
        other = self.new_user()
        owners = {item['owner'] for item in self.admin.get('/usage').json['items']}
        self.assertLessEqual({self.owner, other.owner}, owners)
        self.assertEqual([item['owner'] for item in other.get('/usage').json['items']], [other.owner])
        for path, body in (('quota', {'bytes': 5}), ('retention', {'keep-days': 5})):
            reply = other.request('PUT', '/users/%s/%s' % (self.name, path), body)
            self.assertEqual(reply.status, 403 if path == 'quota' else 404, reply)
        self.assertEqual(other.delete('/users/' + self.name).status, 404)
        self.assertEqual(self.client.request('PUT', '/users/%s/quota' % self.name, {'bytes': 5}).status, 403)

    def test_an_upload_over_the_quota_is_refused_with_the_figures(self):
        self.chain.datafile(BIG)
        self.assertEqual(self.set_quota(500000)['quota'], 500000)
        reply = self.client.post('/datafiles', parts=[('document', '{}'), ('url', 'data.tar.gz', b'y' * 300000)])
        self.assertEqual(reply.status, 507, reply)
        self.assertEqual((reply.json['used'], reply.json['quota']), (300000, 500000))
        self.assertIn('500000 bytes, of which 300000', reply.json['detail'])
        self.assertEqual(self.usage()['documents'], 2)
        self.chain.datafile(b'z' * 199999)
        reply = self.client.post('/datafiles', parts=[('document', '{}'), ('url', 'data.tar.gz', b'12')])
        self.assertEqual(reply.status, 507)
        self.set_quota(0)
        self.assertIsNone(self.usage()['quota'])
        self.chain.datafile(b'y' * 300000)
        self.set_quota(None)
        self.assertEqual(self.usage()['quota'], 1000000)

    def test_an_upload_is_refused_while_it_streams(self):
        """The answer comes when the quota is passed, long before the body's end."""
        body, kind = multipart([('document', '{}'), ('url', 'data.tar.gz', b'y' * 1500000)])
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=120)
        connection.putrequest('POST', '/datafiles')
        connection.putheader('Content-Type', kind)
        connection.putheader('Transfer-Encoding', 'chunked')
        connection.putheader('Authorization', self.client.authorization)
        connection.endheaders()
        piece = body[:1400000]
        connection.send(b'%x\r\n%s\r\n' % (len(piece), piece))
        reply = connection.getresponse()
        self.assertEqual(reply.status, 507)
        self.assertEqual(json.loads(reply.read())['quota'], 1000000)
        connection.close()

    def test_uploads_at_the_same_time_share_the_quota(self):
        self.set_quota(700000)
        waits = [self.in_background(lambda i=i: self.client.post('/datafiles', parts=[
            ('document', '{}'), ('url', 'data.tar.gz', b'%d' % i + BIG)]).status) for i in range(6)]
        statuses = [wait() for wait in waits]
        self.assertLessEqual(statuses.count(201), 2, statuses)
        self.assertLessEqual(self.usage()['blob-bytes'], 700000)

    def test_a_job_over_the_quota_is_told_so_and_not_to_try_again(self):
        self.chain.dataset(self.chain.datafile(BIG)['id'])
        self.set_quota(400000)
        lease = self.worker.lease()
        reply = lease.put('training.tar.gz', b'y' * 200000)
        self.assertEqual(reply.status, 413, reply)
        self.assertEqual((reply.json['used'], reply.json['quota']), (300000, 400000))
        self.assertEqual(lease.put('training.tar.gz', b'y' * 50000).status, 200)

    def test_deleted_bytes_are_gone_from_the_disk(self):
        made = self.chain.datafile(b'only here ' * 100)
        path = self.blob_path(self.client.get('/blobs/%s/data.tar.gz' % made['id']))
        self.assertTrue(os.path.exists(path))
        self.assertEqual(self.client.delete('/datafiles/' + made['id']).status, 204)
        self.until(lambda: not os.path.exists(path))
        self.assertEqual(self.usage()['blob-bytes'], 0)

    def test_a_user_goes_with_everything(self):
        made = self.chain.datafile(b'hers alone ' * 100)
        path = self.blob_path(self.client.get('/blobs/%s/data.tar.gz' % made['id']))
        token = self.client.post('/tokens', {}).json['token']
        self.chain.dataset(made['id'])
        lease = self.worker.lease()
        self.assertEqual(self.client.delete('/users/' + self.name).status, 204)
        self.assertEqual(self.client.get('/datafiles').status, 401)
        self.assertEqual(Client(self.server.url, token=token).get('/datafiles').status, 401)
        self.until(lambda: not os.path.exists(path))
        self.assertIn(lease.heartbeat().status, (401, 409))
        reply = Client(self.server.url).post('/users', {'username': self.name, 'password': 'again'})
        self.assertEqual(reply.status, 409)
        self.client = self.new_user()

    def test_the_operator_deletes_users(self):
        other = self.new_user()
        self.assertEqual(self.admin.delete('/users/' + other.name).status, 204)
        self.assertEqual(self.admin.delete('/users/' + other.name).status, 404)
        self.assertEqual(other.get('/datafiles').status, 401)

    def test_the_time_to_keep_is_ones_own(self):
        reply = self.client.request('PUT', '/users/%s/retention' % self.name, {'keep-days': 30})
        self.assertEqual((reply.status, reply.json['keep-days']), (200, 30))
        for body in ({}, {'keep-days': -1}, {'keep-days': 'x'}, {'keep-days': 40000}):
            reply = self.client.request('PUT', '/users/%s/retention' % self.name, body)
            self.assertEqual((reply.status, reply.json['errors'][0]['pointer']), (400, '/keep-days'), body)
        reply = self.client.request('PUT', '/users/%s/retention' % self.name, {'keep-days': None})
        self.assertIsNone(reply.json['keep-days'])

    def test_the_gauges_tell_of_blobs_and_damage(self):
        self.assertEqual(self.server.metric('et_webhook_deliveries_pending'), 0)
        made = self.chain.datafile(b'to be damaged ' * 10)
        path = self.blob_path(self.client.get('/blobs/%s/data.tar.gz' % made['id']))
        self.assertGreaterEqual(self.server.metric('et_blob_bytes{state="live"}'), 140)
        os.unlink(path)
        self.until(lambda: self.server.metric('et_blob_damage') == 1)
        self.assertIn('event=blob.damaged sha256=', self.server.log())
        self.assertEqual(self.client.delete('/datafiles/' + made['id']).status, 204)
        self.until(lambda: self.server.metric('et_blob_damage') == 0)

    def test_et_usage_shows_it(self):
        self.chain.datafile(BIG)
        token = self.client.post('/tokens', {}).json['token']
        environment = dict(os.environ, ET_SERVER=self.server.url, ET_TOKEN=token)
        text = subprocess.run([harness.ET, 'usage'], env=environment, capture_output=True, text=True, check=True).stdout
        self.assertIn(self.owner, text)
        self.assertIn('293.0 KiB', text)
        out = subprocess.run([harness.ET, 'usage', '--json'], env=environment, capture_output=True, text=True, check=True)
        self.assertEqual(json.loads(out.stdout), [self.usage()])

    def test_a_repeated_request_makes_no_second_user_or_token(self):
        name = self.name + 'x'
        body, key = {'username': name, 'password': 'secret'}, {'Idempotency-Key': name}
        first, second = (Client(self.server.url).post('/users', body, headers=key) for _ in range(2))
        self.assertEqual((first.status, second.status), (201, 201), second)
        self.assertEqual(first.json, second.json)
        first, second = (self.client.post('/tokens', {}, headers={'Idempotency-Key': 'k'}) for _ in range(2))
        self.assertEqual(dict(first.json, token=None), second.json)
        self.assertEqual(len(self.client.get('/tokens').json['tokens']), 1)


if __name__ == '__main__':
    unittest.main()
