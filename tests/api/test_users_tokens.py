"""Users, passwords, tokens and their scopes, and repeated requests."""

import secrets
import threading
import unittest

from harness import Server, basic


class Served(unittest.TestCase):
    arguments = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server(cls.arguments)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def request(self, *args, **more):
        return self.server.request(*args, **more)

    def new_user(self):
        return self.server.user('u' + secrets.token_hex(8), secrets.token_hex(8))


class Users(Served):
    def test_registration_answers_the_document_without_the_password(self):
        reply = self.request('POST', '/users', {'username': 'foo', 'email': 'foo@foo.net', 'password': 'bar'})
        self.assertEqual(reply.status, 201, reply)
        self.assertEqual({k: reply.json[k] for k in ('_id', 'id', 'type', 'username', 'email')},
                         {'_id': 'user:foo', 'id': 'user:foo', 'type': 'user', 'username': 'foo',
                          'email': 'foo@foo.net'})
        self.assertRegex(reply.json['_rev'], '^1-[0-9a-f]{32}$')
        self.assertNotIn(b'bar', reply.body)
        again = self.request('POST', '/users', {'username': 'foo', 'email': '', 'password': 'other'})
        self.assertEqual((again.status, again.json['errors'][0]['pointer']), (409, '/username'))

    def test_names_and_passwords_have_limits(self):
        for body, pointer in (({'username': '', 'password': 'x'}, '/username'),
                              ({'username': 'a/b', 'password': 'x'}, '/username'),
                              ({'username': 'é', 'password': 'x'}, '/username'),
                              ({'username': 'x' * 65, 'password': 'x'}, '/username'),
                              ({'username': 'x', 'password': ''}, '/password'),
                              ({'username': 'x', 'password': 'x' * 1025}, '/password'),
                              ({'username': 'x', 'password': 5}, '/password'), ({'password': 'x'}, '/username')):
            reply = self.request('POST', '/users', body)
            self.assertEqual((reply.status, reply.json['errors'][0]['pointer']), (400, pointer), reply)

    def test_wrong_credentials_get_401_and_are_told_how(self):
        name, password = self.new_user()
        rows = {'none': None, 'wrong password': basic(name, 'x'), 'unknown name': basic('nobody', password),
                'bad name': basic('a b', 'x'), 'no colon': 'Basic Zm9v', 'no base64': 'Basic !!!!',
                'NUL': basic(name, 'x\0y'), 'empty': 'Basic ', 'other scheme': 'Digest x', 'Bearer': 'Bearer x',
                'no token': 'Bearer', 'long': basic(name, 'x' * 5000)}
        for what, header in rows.items():
            with self.subTest(what):
                reply = self.request('GET', '/tokens', headers={'Authorization': header} if header else {})
                self.assertEqual(reply.status, 401, reply)
                self.assertTrue(reply.headers['WWW-Authenticate'].startswith('Basic realm='))
        self.assertEqual(self.request('GET', '/tokens', user=(name, password)).status, 200)

    def test_ones_own_user_can_be_read_and_changed(self):
        user, other = self.new_user(), self.new_user()
        self.assertEqual(self.request('GET', '/users/' + user[0], user=user).json['username'], user[0])
        self.assertEqual(self.request('GET', '/users/' + other[0], user=user).status, 404)
        self.assertEqual(self.request('PATCH', '/users/' + other[0], {'email': 'x'}, user=user).status, 404)
        changed = self.request('PATCH', '/users/' + user[0], {'email': 'new@x', 'password': 'new'}, user=user)
        self.assertEqual((changed.status, changed.json['email']), (200, 'new@x'))
        self.assertEqual(self.request('GET', '/users/' + user[0], user=user).status, 401)
        self.assertEqual(self.request('GET', '/users/' + user[0], user=(user[0], 'new')).json['email'], 'new@x')

    def test_colons_and_accents_in_passwords(self):
        for password in ('a:b:c', 'pässwörd', ' '):
            user = self.server.user('u' + secrets.token_hex(8), password)
            self.assertEqual(self.request('GET', '/tokens', user=user).status, 200, password)


class ClosedRegistration(Served):
    arguments = ('--registration', 'closed')

    def test_only_the_operator_makes_users(self):
        body = {'username': 'foo', 'password': 'bar'}
        self.assertEqual(self.request('POST', '/users', body).status, 403)
        self.assertEqual(self.request('POST', '/users', body, token=self.server.worker_token).status, 403)
        self.assertEqual(self.request('POST', '/users', body, token=self.server.admin_token).status, 201)
        self.assertEqual(self.request('POST', '/users', {'username': 'x', 'password': 'y'},
                                      user=('foo', 'bar')).status, 403)


class Tokens(Served):
    def test_a_token_is_its_user_until_revoked(self):
        user = self.new_user()
        made = self.request('POST', '/tokens', {'name': 'laptop'}, user=user)
        self.assertEqual(made.status, 201, made)
        self.assertRegex(made.json['token'], r'^et_[A-Za-z0-9_-]{43}$')
        secret = made.json['token']
        self.assertEqual(self.request('GET', '/users/' + user[0], token=secret).status, 200)
        listed = self.request('GET', '/tokens', token=secret).json['tokens']
        self.assertEqual([(t['id'], t['name'], t['scope'], t['expires-at']) for t in listed],
                         [(made.json['id'], 'laptop', 'user', None)])
        self.assertNotIn('token', listed[0])
        other = self.new_user()
        self.assertEqual(self.request('DELETE', '/tokens/' + made.json['id'], user=other).status, 404)
        self.assertEqual(self.request('DELETE', '/tokens/' + made.json['id'], user=user).status, 204)
        self.assertEqual(self.request('GET', '/users/' + user[0], token=secret).status, 401)
        self.assertEqual(self.request('DELETE', '/tokens/' + made.json['id'], user=user).status, 404)

    def test_scopes(self):
        user = self.new_user()
        for scope in ('worker', 'admin'):
            self.assertEqual(self.request('POST', '/tokens', {'scope': scope}, user=user).status, 403)
        self.assertEqual(self.request('POST', '/tokens', {'scope': 'root'}, user=user).status, 400)
        admin, worker = self.server.admin_token, self.server.worker_token
        made = self.request('POST', '/tokens', {'scope': 'worker', 'name': 'gpu box'}, token=admin)
        self.assertEqual(made.status, 201, made)
        self.assertEqual(self.request('POST', '/tokens', {'scope': 'user'}, token=admin).status, 400)
        lease = {'request_id': secrets.token_hex(16), 'worker': 'w', 'wait_ms': 0}
        self.assertEqual(self.request('POST', '/leases', lease, token=made.json['token']).status, 204)
        self.assertEqual(self.request('POST', '/leases', lease, token=worker).status, 204)
        self.assertEqual(self.request('POST', '/leases', lease, user=user).status, 403)
        self.assertEqual(self.request('POST', '/leases', lease, token=admin).status, 403)
        self.assertEqual(self.request('GET', '/datasets', token=worker).status, 403)
        self.assertEqual(self.request('GET', '/tokens', token=worker).status, 403)
        self.assertEqual(self.request('GET', '/datasets', token=admin).status, 403)

    def test_metrics_are_for_this_machine_and_for_admins(self):
        self.assertEqual(self.request('GET', '/metrics').status, 200)
        proxied = {'X-Forwarded-For': '192.0.2.1'}
        self.assertEqual(self.request('GET', '/metrics', headers=proxied).status, 401)
        self.assertEqual(self.request('GET', '/metrics', headers=proxied, user=self.new_user()).status, 403)
        self.assertEqual(self.request('GET', '/metrics', headers=proxied, token=self.server.admin_token).status, 200)

    def test_an_end_in_the_future_is_told(self):
        made = self.request('POST', '/tokens', {'expires-in': 3600}, user=self.new_user()).json
        self.assertRegex(made['expires-at'], r'^\d{4}-\d\d-\d\dT')
        self.assertEqual(self.request('POST', '/tokens', {'expires-in': 0}, user=self.new_user()).status, 400)


class RepeatedRequests(Served):
    def post(self, path, body, key, user=None):
        return self.request('POST', path, body, {'Idempotency-Key': key}, user=user)

    def test_the_same_request_gets_the_same_answer_again(self):
        body = {'username': 'again', 'email': 'x', 'password': 'y'}
        first, second = self.post('/users', body, 'k1'), self.post('/users', body, 'k1')
        self.assertEqual((first.status, first.headers['Idempotency-Replayed']), (201, None))
        self.assertEqual((second.status, second.headers['Idempotency-Replayed'], second.body),
                         (201, 'true', first.body))

    def test_another_request_with_the_key_is_refused(self):
        user = self.new_user()
        self.assertEqual(self.post('/tokens', {'name': 'a'}, 'k2', user).status, 201)
        self.assertEqual(self.post('/tokens', {'name': 'b'}, 'k2', user).status, 409)
        self.assertEqual(self.post('/tokens', {'name': 'b'}, 'k2', self.new_user()).status, 201)

    def test_a_failure_is_not_kept(self):
        user = self.new_user()
        self.assertEqual(self.post('/tokens', {'scope': 'admin'}, 'k3', user).status, 403)
        self.assertEqual(self.post('/tokens', {'scope': 'user'}, 'k3', user).status, 201)

    def test_a_tokens_secret_is_told_once_all_the_same(self):
        user = self.new_user()
        first, second = self.post('/tokens', {}, 'k4', user), self.post('/tokens', {}, 'k4', user)
        self.assertEqual((second.status, second.json['id'], second.json['token']), (201, first.json['id'], None))
        self.assertEqual(len(self.request('GET', '/tokens', user=user).json['tokens']), 1)

    def test_many_at_once_make_one(self):
        user = self.new_user()
        replies = []
        threads = [threading.Thread(target=lambda: replies.append(self.post('/tokens', {}, 'k5', user)))
                   for _ in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(120)
        self.assertEqual({r.status for r in replies} - {201, 409}, set(), replies)
        self.assertEqual(len({r.json['id'] for r in replies if r.status == 201}), 1)
        self.assertEqual(len(self.request('GET', '/tokens', user=user).json['tokens']), 1)

    def test_keys_have_a_length(self):
        user = self.new_user()
        self.assertEqual(self.post('/tokens', {}, '', user).status, 400)
        self.assertEqual(self.post('/tokens', {}, 'k' * 300, user).status, 400)


if __name__ == '__main__':
    unittest.main()
