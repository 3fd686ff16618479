"""/openapi.json and /docs: every route is there, and every path survives junk."""

import json
import random
import re
import unittest

from harness import Server

SEED = 20261121
PARAMETER = re.compile(r'\{(\w+)\}')


class OpenApi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(['--boss-api', 'boss'])
        try:
            cls.user = cls.server.user()
            cls.document = cls.server.request('GET', '/openapi.json').json
        except BaseException:
            cls.server.stop()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def operations(self):
        for path, methods in self.document['paths'].items():
            for method, operation in methods.items():
                yield method.upper(), path, operation

    def test_the_contracts_paths_are_there(self):
        have = {(method, path) for method, path, _ in self.operations()}
        for method, path in (('POST', '/users'), ('POST', '/datafiles'), ('POST', '/datasets'), ('POST', '/solvers'),
                             ('POST', '/training-jobs'), ('GET', '/training-jobs/{id}/status'),
                             ('GET', '/training-jobs/{id}/logs'), ('POST', '/classifiers'),
                             ('POST', '/classifiers/{id}/classify'), ('GET', '/elastic-thought/{id}'),
                             ('GET', '/elastic-thought/_changes'), ('GET', '/blobs/{id}/{name}'), ('POST', '/tokens'),
                             ('POST', '/leases'), ('GET', '/healthz'), ('GET', '/readyz'), ('GET', '/metrics'),
                             ('GET', '/openapi.json'), ('GET', '/docs')):
            self.assertIn((method, path), have)

    def test_every_operation_is_complete(self):
        ids = set()
        for method, path, operation in self.operations():
            with self.subTest(method + ' ' + path):
                self.assertTrue(operation['summary'].endswith('.'), operation['summary'])
                self.assertNotIn(operation['operationId'], ids)
                ids.add(operation['operationId'])
                self.assertEqual([p['name'] for p in operation['parameters'] if p['in'] == 'path'],
                                 PARAMETER.findall(path))
                self.assertTrue({'4XX', '5XX'} <= set(operation['responses']))
                for requirement in operation['security']:
                    for name in requirement:
                        self.assertIn(name, self.document['components']['securitySchemes'])

    def test_every_reference_leads_somewhere(self):
        def walk(node):
            if isinstance(node, dict):
                if '$ref' in node:
                    target = self.document
                    for part in node['$ref'].removeprefix('#/').split('/'):
                        target = target[part]
                for inner in node.values():
                    walk(inner)
            elif isinstance(node, list):
                for inner in node:
                    walk(inner)
        walk(self.document)

    def test_what_needs_credentials_gets_401_without(self):
        for method, path, operation in self.operations():
            if not operation['security'] or {} in operation['security']:
                continue
            with self.subTest(method + ' ' + path):
                reply = self.server.request(method, PARAMETER.sub('0' * 32, path))
                # A lease's path says 404 when its attempt is no number.
                self.assertIn(reply.status, (401, 404) if '{attempt}' in path else (401,), reply)

    def junk(self, source):
        return source.choice([
            b'', b'{', b'{}', b'[]', b'null', b'"x"', b'\xff\xfe', b'{"a":1}', b'x' * 5000, b'\0' * 100,
            json.dumps({'url': 5, 'username': [], 'id': None}).encode(), b'{"username":{"a":{}}}',
            b'--e\r\nContent-Disposition: form-data; name="url"; filename="x"\r\n\r\nx\r\n--e--\r\n',
            b'--e\r\nContent-Disposition: form-data; name="document"\r\n\r\n[1]\r\n--e--\r\n', b'--e\r\n',
        ])

    def test_no_path_fails_on_junk(self):
        source = random.Random(SEED)
        identities = [{}, {'user': self.user}, {'token': self.server.admin_token},
                      {'token': self.server.worker_token}, {'token': 'et_' + 'x' * 43}]
        types = ['application/json', 'multipart/form-data; boundary=e', 'text/plain', '']
        values = ['0' * 32, 'x', '%20', '-1', '1', '..', '%2F', 'user:foo', 'x' * 500, '%F0%9F%98%80']
        queries = ['', '?limit=5', '?limit=x', '?limit=-1', '?state=zzz', '?page_token=%25', '?since=99999999999999999999',
                   '?offset=-1&stream=x', '?offset=5&stream=stderr', '?feed=normal&since=0', '?a&b=&=c']
        for method, path, _ in self.operations():
            for _ in range(12):
                target = PARAMETER.sub(lambda _: source.choice(values), path) + source.choice(queries)
                headers = {'Content-Type': source.choice(types), 'Range': source.choice(['bytes=--5', 'bytes=0-']),
                           'If-Match': source.choice(['"x"', '1-x', '*'])}
                body = None if method == 'GET' else self.junk(source)
                who = source.choice(identities)
                with self.subTest('%s %s %r %r' % (method, target, body, who)):
                    reply = self.server.request(method, target, body, headers, **who)
                    self.assertLess(reply.status, 500, reply)
                    if reply.status >= 400:
                        self.assertEqual(reply.headers['Content-Type'], 'application/problem+json; charset=utf-8')
                        self.assertEqual(reply.json['status'], reply.status)
        self.assertEqual(self.server.request('GET', '/readyz').status, 200)

    def test_the_page_for_people_loads_nothing(self):
        reply = self.server.request('GET', '/docs')
        self.assertEqual((reply.status, reply.headers['Content-Type']), (200, 'text/html; charset=utf-8'))
        page = reply.body.decode()
        for _, path, operation in self.operations():
            self.assertIn(path.replace('&', '&amp;'), page)
        for word in ('<script', ' src=', '@import', 'url(', 'http://', 'https://'):
            self.assertNotIn(word, re.sub(r'<td>.*?</td>', '', page), word)
        self.assertIn("default-src 'none'", reply.headers['Content-Security-Policy'])


if __name__ == '__main__':
    unittest.main()
