"""Webhooks: signed, in order, sent again; receivers that hang or lie cost nobody else anything."""

import base64
import socket
import time
import unittest

from kit import Case, Chain
from receiver import Receiver

SECRET = 'whsec_' + base64.b64encode(b'0123456789abcdefghijklmnopqrstuv').decode()


class Webhooks(Case):
    def setUp(self):
        super().setUp()
        self.receiver = Receiver()
        self.addCleanup(self.receiver.close)

    def hook(self, path='/', client=None, **more):
        reply = (client or self.client).post('/webhooks', {'url': self.receiver.url + path, **more})
        self.assertEqual(reply.status, 201, reply)
        return reply.json

    def deliveries(self, hook, client=None):
        return (client or self.client).get('/webhooks/%s/deliveries' % hook['id']).json['items']

    def settled(self, hook, condition, client=None):
        """The newest delivery, as soon as the condition holds for it."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            items = self.deliveries(hook, client)
            if items and condition(items[0]):
                return items[0]
        self.fail(self.deliveries(hook, client))

    def tried(self, hook, client=None):
        return self.settled(hook, lambda d: d['attempts'] > 0, client)

    def cancelled_dataset(self, client=None):
        """A job that ended without any worker; returns its id."""
        client = client or self.client
        dataset = Chain(client, self.worker).dataset()['id']
        self.assertEqual(client.post('/datasets/%s/cancel' % dataset).status, 200)
        return dataset

    def test_the_end_of_a_job_arrives_signed(self):
        hook = self.hook('/in', events=['dataset.*'], secret=SECRET)
        self.assertEqual(hook['secret'], SECRET)
        dataset = self.chain.dataset()['id']
        self.worker.split()
        got = self.receiver.next()
        self.assertEqual(got.path, '/in')
        self.assertTrue(got.is_signed_with(SECRET), got.headers)
        self.assertFalse(got.is_signed_with('whsec_' + base64.b64encode(b'x' * 32).decode()))
        self.assertLess(abs(time.time() - int(got.headers['webhook-timestamp'])), 600)
        self.assertEqual(got.headers['Content-Type'], 'application/json')
        self.assertEqual(got.json['type'], 'dataset.finished')
        document = self.client.get('/datasets/' + dataset).json
        data = got.json['data']
        for name in ('id', 'type', '_rev', 'user-id', 'state', 'processing-state', 'processing-log'):
            self.assertEqual(data[name], document[name], name)
        item = self.settled(hook, lambda d: d['state'] == 'delivered')
        self.assertEqual((item['id'], item['event'], item['attempts'], item['response-status'], item['error']),
                         (got.id, 'dataset.finished', 1, 200, ''))

    def test_a_made_secret_signs_and_is_told_once(self):
        hook = self.hook()
        self.assertTrue(hook['secret'].startswith('whsec_'))
        self.assertNotIn('secret', self.client.get('/webhooks/' + hook['id']).json)
        self.assertNotIn('secret', self.client.get('/webhooks').json['items'][0])
        reply = self.client.post('/webhooks/%s/ping' % hook['id'])
        self.assertEqual(reply.status, 202, reply)
        got = self.receiver.next()
        self.assertTrue(got.is_signed_with(hook['secret']))
        self.assertEqual((got.id, got.json['type']), (reply.json['delivery'], 'webhook.ping'))

    def test_only_what_was_asked_for_is_sent(self):
        self.hook('/failed', events=['dataset.failed', 'training-job.*'])
        self.hook('/cancelled', events=['dataset.cancelled'])
        dataset = self.cancelled_dataset()
        got = self.receiver.next()
        self.assertEqual((got.path, got.json['data']['id']), ('/cancelled', dataset))
        self.assertIn('cancelled by', got.json['data']['processing-log'])
        self.cancelled_dataset()
        self.assertEqual(self.receiver.next().path, '/cancelled')

    def test_those_who_depend_on_a_failed_job_are_told_of_too(self):
        self.hook(events=['*'])
        solver = self.chain.solver()
        job = self.chain.training_job(solver['id'])['id']
        self.client.post('/datasets/%s/cancel' % solver['dataset-id'])
        events = {got.json['type']: got.json['data']['id'] for got in (self.receiver.next(), self.receiver.next())}
        self.assertEqual(events, {'dataset.cancelled': solver['dataset-id'], 'training-job.failed': job})

    def test_a_failed_delivery_comes_again_under_its_id_and_before_later_ones(self):
        self.receiver.answers['/'] = [(503, {}, b'not \xffnow\0'), 200]
        hook = self.hook(events=['dataset.cancelled'])
        first, second = self.cancelled_dataset(), self.cancelled_dataset()
        got = [self.receiver.next() for _ in range(3)]
        self.assertEqual([g.json['data']['id'] for g in got], [first, first, second])
        self.assertEqual(got[0].id, got[1].id)
        self.assertNotEqual(got[0].id, got[2].id)
        wait = int(got[1].headers['webhook-timestamp']) - int(got[0].headers['webhook-timestamp'])
        self.assertTrue(4 <= wait <= 20, wait)
        self.settled(hook, lambda d: d['state'] == 'delivered')
        items = self.deliveries(hook)
        self.assertEqual([d['attempts'] for d in items], [1, 2])

    def test_the_history_tells_what_the_receiver_said(self):
        self.receiver.answers['/'] = [(500, {}, b'not \xffnow\0' + b'x' * 5000)]
        hook = self.hook(events=['dataset.cancelled'])
        self.cancelled_dataset()
        item = self.tried(hook)
        self.assertEqual((item['state'], item['response-status']), ('pending', 500))
        self.assertEqual(item['response-body'], 'not ?now?' + 'x' * (1024 - 9))
        self.assertIn('500', item['error'])
        self.assertIsNotNone(item['next-try'])
        later = self.cancelled_dataset()
        items = self.deliveries(hook)
        self.assertEqual((items[0]['attempts'], items[0]['next-try']), (0, None), later)
        page = self.client.get('/webhooks/%s/deliveries?limit=1' % hook['id']).json
        self.assertEqual(page['items'][0]['id'], items[0]['id'])
        page = self.client.get('/webhooks/%s/deliveries?limit=1&page_token=%s' % (hook['id'],
                                                                                 page['next_page_token'])).json
        self.assertEqual([d['id'] for d in page['items']], [items[1]['id']])
        self.assertIsNone(page['next_page_token'])

    def test_gone_disables_until_it_is_enabled_again(self):
        self.receiver.answers['/'] = [410]
        hook = self.hook(events=['dataset.cancelled'])
        self.cancelled_dataset()
        gone = self.settled(hook, lambda d: d['state'] == 'failed')
        shown = self.client.get('/webhooks/' + hook['id']).json
        self.assertFalse(shown['enabled'])
        self.assertIn('410', shown['why-disabled'])
        self.assertEqual(self.client.post('/webhooks/%s/ping' % hook['id']).status, 409)
        resend = '/webhooks/%s/deliveries/%s/resend' % (hook['id'], gone['id'])
        self.assertEqual(self.client.post(resend).status, 409)
        self.receiver.next()
        shown = self.client.request('PATCH', '/webhooks/' + hook['id'], {'enabled': True}).json
        self.assertEqual((shown['enabled'], shown['why-disabled']), (True, ''))
        self.assertEqual(self.client.post(resend).status, 202)
        self.assertEqual(self.receiver.next().id, gone['id'])
        item = self.settled(hook, lambda d: d['state'] == 'delivered')
        self.assertEqual((item['id'], item['attempts']), (gone['id'], 1))

    def test_a_redirect_is_not_followed(self):
        self.receiver.answers['/'] = [(307, {'Location': self.receiver.url + '/elsewhere'}, b'')]
        hook = self.hook(events=['dataset.cancelled'])
        self.cancelled_dataset()
        item = self.tried(hook)
        self.assertEqual((item['state'], item['response-status']), ('pending', 307))
        self.assertEqual(self.receiver.next().path, '/')
        self.assertTrue(self.receiver.got.empty())

    def test_an_endless_answer_is_cut(self):
        self.receiver.answers['/'] = ['endless']
        hook = self.hook(events=['dataset.cancelled'])
        self.cancelled_dataset()
        item = self.settled(hook, lambda d: d['state'] == 'delivered')
        self.assertEqual(len(item['response-body']), 1024)

    def test_who_hangs_holds_up_nobody_else(self):
        self.receiver.answers['/hang'] = ['hang'] * 40
        hangs = [self.hook('/hang', events=['dataset.cancelled']) for _ in range(12)]
        self.cancelled_dataset()
        for _ in range(2):
            self.assertEqual(self.receiver.next().path, '/hang')
        other = self.new_user()
        hook = self.hook('/good', other, events=['dataset.cancelled'])
        self.cancelled_dataset(other)
        while self.receiver.next().path != '/good':
            pass
        self.settled(hook, lambda d: d['state'] == 'delivered', other)
        self.assertIn(0, [self.deliveries(hang)[0]['attempts'] for hang in hangs], 'it came after all who hang')
        item = self.settled(hangs[0], lambda d: d['attempts'] == 1)
        self.assertIn('in time', item['error'])
        for hang in hangs:
            self.assertEqual(self.client.delete('/webhooks/' + hang['id']).status, 204)

    def test_a_server_without_tls_or_none_at_all_is_told_in_the_history(self):
        for url, word in ((self.receiver.url.replace('http:', 'https:'), 'reach'), ('http://127.0.0.1:9', 'reach')):
            hook = self.client.post('/webhooks', {'url': url, 'events': ['dataset.cancelled']}).json
            self.cancelled_dataset()
            item = self.tried(hook)
            self.assertEqual((item['state'], item['response-status']), ('pending', None))
            self.assertIn(word, item['error'])

    def test_what_is_wrong_is_refused(self):
        for body, pointer in (({}, '/url'), ({'url': 'ftp://x.org/'}, '/url'), ({'url': 7}, '/url'),
                              ({'url': 'http://x.org/', 'events': ['dataset.begun']}, '/events/0'),
                              ({'url': 'http://x.org/', 'events': ['*', 'solver.finished']}, '/events/1'),
                              ({'url': 'http://x.org/', 'events': []}, '/events'),
                              ({'url': 'http://x.org/', 'secret': 'whsec_c2hvcnQ='}, '/secret'),
                              ({'url': 'http://x.org/', 'secret': 'plain'}, '/secret')):
            reply = self.client.post('/webhooks', body)
            self.assertEqual(reply.status, 400, body)
            self.assertEqual(reply.json['errors'][0]['pointer'], pointer, reply)

    def test_one_has_at_most_twenty(self):
        for _ in range(20):
            self.hook()
        self.assertEqual(self.client.post('/webhooks', {'url': 'http://x.org/'}).status, 409)

    def test_a_repeated_request_makes_one_and_tells_no_secret(self):
        made = [self.client.post('/webhooks', {'url': 'http://x.org/'}, headers={'Idempotency-Key': 'k'})
                for _ in range(2)]
        self.assertEqual([reply.status for reply in made], [201, 201])
        self.assertIsNone(made[1].json['secret'])
        self.assertEqual(made[0].json['id'], made[1].json['id'])
        self.assertEqual(len(self.client.get('/webhooks').json['items']), 1)

    def test_others_hooks_are_hidden(self):
        hook = self.hook()
        delivery = self.client.post('/webhooks/%s/ping' % hook['id']).json['delivery']
        other = self.new_user()
        base = '/webhooks/' + hook['id']
        self.assertEqual(other.get('/webhooks').json['items'], [])
        for method, path in (('GET', base), ('PATCH', base), ('DELETE', base), ('POST', base + '/ping'),
                             ('GET', base + '/deliveries'),
                             ('POST', base + '/deliveries/%s/resend' % delivery)):
            body = {} if method == 'PATCH' else None
            self.assertEqual(other.request(method, path, body).status, 404, (method, path))

    def test_a_deleted_hook_hears_nothing(self):
        gone, stays = self.hook('/gone'), self.hook('/stays')
        self.assertEqual(self.client.delete('/webhooks/' + gone['id']).status, 204)
        self.assertEqual(self.client.get('/webhooks/' + gone['id']).status, 404)
        self.cancelled_dataset()
        self.assertEqual(self.receiver.next().path, '/stays')
        self.settled(stays, lambda d: d['state'] == 'delivered')
        self.assertTrue(self.receiver.got.empty())


class Guarded(Case):
    arguments = []

    def test_a_private_address_is_refused_at_once_or_when_its_name_is_resolved(self):
        reply = self.client.post('/webhooks', {'url': 'http://127.0.0.1:1/'})
        self.assertEqual((reply.status, reply.json['errors'][0]['pointer']), (400, '/url'))
        hook = self.client.post('/webhooks', {'url': 'http://%s:1/' % socket.gethostname()}).json
        self.client.post('/webhooks/%s/ping' % hook['id'])
        end = time.monotonic() + 120
        item = {'attempts': 0}
        while not item['attempts'] and time.monotonic() < end:
            item = self.client.get('/webhooks/%s/deliveries' % hook['id']).json['items'][0]
        self.assertIn('not on the public internet', item['error'])


if __name__ == '__main__':
    unittest.main()
