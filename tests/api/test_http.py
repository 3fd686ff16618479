"""HTTP as such: what is refused, limits, slow clients, ranges, clients that go away."""

import contextlib
import hashlib
import http.client
import os
import signal
import threading
import time
import unittest

from harness import Server, basic, exchange, read_all, status_of

EDGE = 'edge'


def form(data, name='url', file_name='data.tar.gz', end=True):
    """A form with the document and one file; end: with its last boundary."""
    text = ('--%s\r\nContent-Disposition: form-data; name="document"\r\n\r\n{}\r\n'
            '--%s\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\n\r\n' % (EDGE, EDGE, name, file_name))
    return text.encode() + data + (b'\r\n--%s--\r\n' % EDGE.encode() if end else b'')


def blob_files(server):
    """Every file below the blob folder, finished or not."""
    return sorted(os.path.join(folder, name) for folder, _, names in os.walk(os.path.join(server.data, 'blobs'))
                  for name in names)


def unfinished(server):
    """Files of uploads that are not at their end."""
    return [f for f in blob_files(server) if os.path.relpath(f, server.data).split(os.sep)[1] == 'tmp']


def until(condition, seconds=120):
    """Waits for what another process does; the test fails when it never does."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError('it did not happen within %d s' % seconds)
        threading.Event().wait(0.01)


class Served(unittest.TestCase):
    arguments = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server(cls.arguments)
        try:
            cls.user = cls.server.user()
        except BaseException:
            cls.server.stop()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def head(self, method, path, *lines):
        lines = ('%s %s HTTP/1.1' % (method, path), 'Host: h', 'Authorization: ' + basic(*self.user)) + lines
        return ('\r\n'.join(lines) + '\r\n\r\n').encode()

    def get(self, path, **headers):
        return self.server.request('GET', path, headers={k.replace('_', '-'): v for k, v in headers.items()},
                                   user=self.user)

    def upload(self, data):
        reply = self.server.request('POST', '/datafiles', form(data), user=self.user,
                                    headers={'Content-Type': 'multipart/form-data; boundary=' + EDGE})
        self.assertEqual(reply.status, 201, reply)
        return '/blobs/%s/data.tar.gz' % reply.json['id']


class Heads(Served):
    def test_what_two_parsers_could_read_differently_is_refused_and_the_connection_ends(self):
        rows = {
            'both lengths': b'POST /users HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
            'differing lengths': b'POST /users HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ',
            'repeated length': b'POST /users HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}',
            'repeated host': b'GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
            'no host': b'GET /healthz HTTP/1.1\r\n\r\n',
            'bare CR': b'GET /healthz HTTP/1.1\r\nHost: h\r\nX: a\rY: b\r\n\r\n',
            'NUL': b'GET /healthz HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n',
            'NUL in a name': b'GET /healthz HTTP/1.1\r\nHost: h\r\nX\0: a\r\n\r\n',
            'folded line': b'GET /healthz HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n',
            'folded first': b'GET /healthz HTTP/1.1\r\n Host: h\r\n\r\n',
            'bare LF': b'GET /healthz HTTP/1.1\nHost: h\n\n',
            'unknown encoding': b'POST /users HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n',
            'length in words': b'POST /users HTTP/1.1\r\nHost: h\r\nContent-Length: two\r\n\r\n',
            'length beyond all': b'POST /users HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n',
            'space in the target': b'GET /health z HTTP/1.1\r\nHost: h\r\n\r\n',
            'CR in the target': b'GET /health\rz HTTP/1.1\r\nHost: h\r\n\r\n',
            'space in a name': b'GET /healthz HTTP/1.1\r\nHost: h\r\nX : a\r\n\r\n',
        }
        for what, data in rows.items():
            with self.subTest(what):
                raw = exchange(self.server, data + b'GET /healthz HTTP/1.1\r\nHost: smuggled\r\n\r\n')
                self.assertIn(status_of(raw), (400, 413), raw)
                self.assertEqual(raw.count(b'HTTP/1.1 200'), 0, raw)

    def test_a_head_that_is_too_large_is_refused(self):
        raw = exchange(self.server, self.head('GET', '/healthz', 'X: ' + 'x' * 100000))
        self.assertIn(status_of(raw), (400, 413, 431), raw[:200])
        raw = exchange(self.server, self.head('GET', '/healthz', *['X-%d: y' % i for i in range(150)]))
        self.assertIn(status_of(raw), (400, 413, 431), raw[:200])

    def test_requests_share_a_connection(self):
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=120)
        connection.request('GET', '/healthz')
        self.assertEqual(connection.getresponse().read(), b'OK')
        first = connection.sock
        for method, path, body, status in (('GET', '/nope', None, 404), ('POST', '/users', '{}', 415),
                                           ('POST', '/users', 'x' * 3000, 415), ('GET', '/healthz', None, 200)):
            connection.request(method, path, body, {'Content-Type': 'text/plain'} if body else {})
            reply = connection.getresponse()
            reply.read()
            self.assertEqual(reply.status, status)
            self.assertIs(connection.sock, first, (method, path))
        connection.close()

    def test_pipelined_requests_are_answered_in_order(self):
        raw = exchange(self.server, b'GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET /nope HTTP/1.1\r\nHost: h\r\n\r\n'
                                    b'GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n')
        self.assertEqual([part[:3] for part in raw.split(b'HTTP/1.1 ')[1:]], [b'200', b'404', b'200'])


class Answers(Served):
    def test_an_unknown_path_gets_a_problem(self):
        reply = self.get('/nope?secret=1')
        self.assertEqual((reply.status, reply.headers['Content-Type']), (404, 'application/problem+json; charset=utf-8'))
        problem = reply.json
        self.assertEqual((problem['status'], problem['title'], problem['instance']), (404, 'Not Found', '/nope'))
        self.assertEqual(reply.headers['X-Request-Id'], problem['request-id'])
        self.assertNotIn('secret', self.server.log())

    def test_a_wrong_method_is_told_the_right_ones(self):
        reply = self.server.request('DELETE', '/healthz')
        self.assertEqual((reply.status, reply.headers['Allow']), (405, 'GET, HEAD, OPTIONS'))
        reply = self.server.request('OPTIONS', '/users')
        self.assertEqual((reply.status, reply.headers['Allow'], reply.body), (204, 'POST, OPTIONS', b''))
        self.assertEqual(self.server.request('BREW', '/healthz').status, 405)

    def test_head_has_the_length_and_no_body(self):
        whole, head = self.server.request('GET', '/docs'), self.server.request('HEAD', '/docs')
        self.assertEqual((head.status, head.body), (200, b''))
        self.assertEqual(head.headers['Content-Length'], str(len(whole.body)))

    def test_broken_escapes_are_refused(self):
        for path in ('/blobs/%/x', '/blobs/%00/x', '/healthz?a=%zz', '/blobs/%4'):
            with self.subTest(path):
                raw = exchange(self.server, self.head('GET', path, 'Connection: close'))
                self.assertIn(status_of(raw), (400, 404), raw)

    def test_bad_json_is_answered_with_its_place(self):
        rows = {
            '{"username":': (1, None), '{"username":"a",\n"username":"b"}': (2, None), '[]': (None, ''),
            '"x"': (None, ''), 'NaN': (1, None), '{"username":5}': (None, '/username'),
            '{"username":"a","pasword":"b"}': (None, '/pasword'), '[' * 100000: (1, None), '{}': (None, '/username'),
            '{"username":"\\u0000"}': (1, None), '{"username":"a b","password":"x"}': (None, '/username'),
        }
        for body, (line, pointer) in rows.items():
            with self.subTest(body[:40]):
                reply = self.server.request('POST', '/users', body, {'Content-Type': 'application/json'})
                self.assertEqual(reply.status, 400, reply)
                self.assertEqual(reply.json.get('line'), line, reply)
                self.assertEqual(reply.json.get('errors', [{}])[0].get('pointer'), pointer, reply)

    def test_deep_nesting_within_the_limits_is_answered(self):
        body = '{"username":' + '[' * 2000 + ']' * 2000 + '}'
        reply = self.server.request('POST', '/users', body, {'Content-Type': 'application/json'})
        self.assertEqual(reply.status, 400, reply)

    def test_other_types_of_body_are_refused(self):
        for content_type in ('text/plain', 'application/jsonp'):
            self.assertEqual(self.server.request('POST', '/users', '{}', {'Content-Type': content_type}).status, 415)
        for content_type in ('application/json; charset=utf-8', 'Application/JSON'):
            self.assertEqual(self.server.request('POST', '/users', '{}', {'Content-Type': content_type}).status, 400)

    def test_json_that_curl_calls_a_form_is_taken_but_not_from_a_browser(self):
        headers = {'Content-Type': 'application/x-www-form-urlencoded'}
        self.assertEqual(self.server.request('POST', '/tokens', '{"name":"t"}', headers, user=self.user).status, 201)
        headers['Origin'] = 'http://example.org'
        self.assertEqual(self.server.request('POST', '/tokens', '{"name":"t"}', headers, user=self.user).status, 415)

    def test_another_sites_page_may_not_write(self):
        headers = {'Sec-Fetch-Site': 'cross-site'}
        self.assertEqual(self.server.request('POST', '/tokens', {}, headers, user=self.user).status, 403)
        self.assertEqual(self.server.request('GET', '/tokens', None, headers, user=self.user).status, 200)


class Forms(Served):
    def post(self, body, boundary=EDGE):
        return self.server.request('POST', '/datafiles', body, user=self.user,
                                   headers={'Content-Type': 'multipart/form-data; boundary=' + boundary})

    def test_a_form_that_is_none_is_refused_and_leaves_nothing(self):
        rows = {
            'cut short': form(b'x' * 1000, end=False), 'another boundary': form(b'x').replace(EDGE.encode(), b'egde'),
            'empty': b'', 'no form': b'hello', 'unknown part': form(b'x', name='file'),
            'no file name': form(b'x').replace(b'; filename="data.tar.gz"', b''),
            'document that is no JSON': form(b'x').replace(b'{}', b'{'),
            'given twice': form(b'x').replace(b'{}', b'{"url":"http://h/x"}'),
        }
        for what, body in rows.items():
            with self.subTest(what):
                self.assertEqual(self.post(body).status, 400)
        reply = self.server.request('POST', '/datafiles', form(b'x'), user=self.user,
                                    headers={'Content-Type': 'multipart/form-data'})
        self.assertEqual(reply.status, 400, reply)
        self.assertEqual(unfinished(self.server), [])
        self.assertEqual(self.get('/datafiles').json['items'], [])

    def test_bytes_that_look_like_boundaries_arrive_whole(self):
        data = b'\r\n--edg\r\n--\r\n-\r\n' * 1000 + b'\r\n--edgE--\r\n'
        path = self.upload(data)
        self.assertEqual(self.get(path).body, data)

    def test_any_size_around_the_pieces_arrives_whole(self):
        for size in (0, 1, 262143, 262144, 262145, 1000003):
            with self.subTest(size):
                data = os.urandom(size)
                path = self.upload(data)
                self.assertEqual(self.get(path).body, data)


class Limits(Served):
    arguments = ('--max-upload', '1M')

    def test_a_body_over_the_limit_is_refused_before_it_arrives(self):
        with self.server.connect() as s:
            s.sendall(self.head('POST', '/datafiles', 'Content-Type: multipart/form-data; boundary=edge',
                                'Content-Length: 1048577', 'Expect: 100-continue'))
            raw = read_all(s)
        self.assertEqual(status_of(raw), 413, raw)

    def test_one_that_is_sent_all_the_same_reads_its_answer(self):
        raw = exchange(self.server, self.head('POST', '/datafiles', 'Content-Type: multipart/form-data; boundary=edge',
                                              'Content-Length: 50000000'), [b'x' * 100000] * 500)
        self.assertEqual(status_of(raw), 413, raw)
        self.assertIn(b'1048576', raw)

    def test_a_chunked_body_is_counted(self):
        chunk = b'10000\r\n' + b'x' * 65536 + b'\r\n'
        first = form(b'', end=False)
        raw = exchange(self.server, self.head('POST', '/datafiles', 'Content-Type: multipart/form-data; boundary=edge',
                                              'Transfer-Encoding: chunked'),
                       [b'%x\r\n' % len(first) + first + b'\r\n'] + [chunk] * 100)
        self.assertEqual(status_of(raw), 413, raw)
        until(lambda: not unfinished(self.server))

    def test_json_over_a_mebibyte_is_refused(self):
        for size, status in ((1048576 + 1, 413), (1048576, 400)):
            body = b'{"username":"' + b'a' * (size - 15) + b'"}'
            self.assertEqual(len(body), size)
            reply = self.server.request('POST', '/users', body, {'Content-Type': 'application/json'})
            self.assertEqual(reply.status, status, reply)

    def test_nothing_is_read_for_those_who_may_not(self):
        with self.server.connect() as s:
            s.sendall(b'POST /datafiles HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n'
                      b'Content-Type: multipart/form-data; boundary=edge\r\n\r\n')
            raw = read_all(s)
        self.assertEqual(status_of(raw), 401, raw)
        self.assertIn(b'WWW-Authenticate: Basic', raw)

    def test_continue_is_said_to_those_who_may(self):
        body = form(b'x' * 1000)
        with self.server.connect() as s:
            s.sendall(self.head('POST', '/datafiles', 'Content-Type: multipart/form-data; boundary=edge',
                                'Content-Length: %d' % len(body), 'Expect: 100-continue', 'Connection: close'))
            self.assertEqual(s.recv(25), b'HTTP/1.1 100 Continue\r\n\r\n')
            s.sendall(body)
            self.assertEqual(status_of(read_all(s)), 201)


class Slow(Served):
    arguments = ('--head-ms', '3000', '--body-window-ms', '400', '--body-rate', '1000', '--idle-ms', '1500')

    def dribble(self, s, piece):
        """Sends piece by piece until the server has had enough."""
        end = time.monotonic() + 120
        s.settimeout(0.05)
        while time.monotonic() < end:
            try:
                s.sendall(piece)
                if s.recv(4096) == b'':
                    return
            except TimeoutError:
                continue
            except OSError:
                return
        self.fail('the connection was let live')

    def test_a_head_that_dribbles_is_cut(self):
        with self.server.connect() as s:
            s.sendall(b'GET /healthz HTTP/1.1\r\nHost: h\r\n')
            self.dribble(s, b'X: y\r\n')

    def test_a_connection_that_says_nothing_is_cut(self):
        with self.server.connect() as s:
            self.assertEqual(s.recv(1), b'')

    def test_a_second_head_that_dribbles_is_cut(self):
        with self.server.connect() as s:
            s.sendall(b'GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n')
            self.assertTrue(s.recv(4096).startswith(b'HTTP/1.1 200'))
            s.sendall(b'GET /healthz HTTP/1.1\r\nHost: h\r\n')
            self.dribble(s, b'X: y\r\n')

    def test_a_body_that_dribbles_is_cut_and_leaves_nothing(self):
        with self.server.connect() as s:
            s.sendall(self.head('POST', '/datafiles', 'Content-Type: multipart/form-data; boundary=edge',
                                'Content-Length: 1000000') + form(b'x' * 10, end=False))
            self.dribble(s, b'x')
        until(lambda: not unfinished(self.server))
        self.assertEqual(self.server.request('GET', '/healthz').status, 200)

    def test_a_body_of_moderate_speed_is_let_through(self):
        data = b'x' * 20000
        body = form(data)
        with self.server.connect() as s:
            s.sendall(self.head('POST', '/datafiles', 'Content-Type: multipart/form-data; boundary=edge',
                                'Content-Length: %d' % len(body), 'Connection: close'))
            for i in range(0, len(body), 1000):
                s.sendall(body[i:i + 1000])
                threading.Event().wait(0.05)
            self.assertEqual(status_of(read_all(s)), 201)


class Downloads(Served):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = os.urandom(300000)
        reply = cls.server.request('POST', '/datafiles', form(cls.data), user=cls.user,
                                   headers={'Content-Type': 'multipart/form-data; boundary=' + EDGE})
        assert reply.status == 201, reply
        cls.path = '/blobs/%s/data.tar.gz' % reply.json['id']

    def test_the_whole(self):
        reply = self.get(self.path)
        self.assertEqual((reply.status, reply.body), (200, self.data))
        self.assertEqual(reply.headers['ETag'], '"%s"' % hashlib.sha256(self.data).hexdigest())
        self.assertEqual(reply.headers['Accept-Ranges'], 'bytes')
        self.assertEqual(reply.headers['Content-Type'], 'application/gzip')
        head = self.server.request('HEAD', self.path, user=self.user)
        self.assertEqual((head.status, head.body, head.headers['Content-Length']), (200, b'', '300000'))

    def test_a_range(self):
        for header, part, where in (('bytes=0-0', self.data[:1], '0-0'), ('bytes=100000-199999',
                                    self.data[100000:200000], '100000-199999'),
                                    ('bytes=299990-', self.data[-10:], '299990-299999'),
                                    ('bytes=-5', self.data[-5:], '299995-299999')):
            reply = self.get(self.path, Range=header)
            self.assertEqual((reply.status, reply.body), (206, part), header)
            self.assertEqual(reply.headers['Content-Range'], 'bytes %s/300000' % where)

    def test_a_range_outside(self):
        reply = self.get(self.path, Range='bytes=300000-')
        self.assertEqual((reply.status, reply.headers['Content-Range']), (416, 'bytes */300000'))

    def test_what_is_no_range_gets_the_whole(self):
        for header in ('bytes=--5', 'bytes=a-', 'lines=1-2', 'bytes=1-2,5-6', 'bytes=5-1'):
            self.assertEqual(self.get(self.path, Range=header).status, 200, header)

    def test_conditions(self):
        tag = self.get(self.path).headers['ETag']
        self.assertEqual(self.get(self.path, If_None_Match=tag).status, 304)
        self.assertEqual(self.get(self.path, If_None_Match='"x", W/' + tag).status, 304)
        self.assertEqual(self.get(self.path, If_None_Match='"x"').status, 200)
        self.assertEqual(self.get(self.path, If_Match='"x"').status, 412)
        self.assertEqual(self.get(self.path, Range='bytes=0-0', If_Range=tag).status, 206)
        self.assertEqual(self.get(self.path, Range='bytes=0-0', If_Range='"x"').status, 200)

    def test_what_is_not_there(self):
        folder = self.path.rsplit('/', 1)[0]
        for path in (folder + '/nothing', '/blobs/' + '0' * 32 + '/data.tar.gz', '/blobs/x/y'):
            self.assertEqual(self.get(path).status, 404, path)
        self.assertEqual(self.server.request('GET', self.path).status, 401)
        other = self.server.user('other')
        self.assertEqual(self.server.request('GET', self.path, user=other).status, 404)


class Departures(Served):
    arguments = ('--head-ms', '120000')  # a busy machine may take long to make a thousand connections

    def test_an_upload_cut_off_leaves_nothing(self):
        before = blob_files(self.server)
        with self.server.connect() as s:
            s.sendall(self.head('POST', '/datafiles', 'Content-Type: multipart/form-data; boundary=edge',
                                'Content-Length: 100000000') + form(b'x' * 3000000, end=False))
            until(lambda: len(blob_files(self.server)) > len(before))
        until(lambda: blob_files(self.server) == before)
        self.assertEqual(self.get('/datafiles').json['items'], [])

    def test_one_who_waits_and_goes_is_noticed(self):
        reply = self.get('/elastic-thought/_changes')
        since = reply.json['last_seq']
        for more in (b'', b'GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n'):
            with self.server.connect() as s:
                s.sendall(self.head('GET', '/elastic-thought/_changes?feed=longpoll&since=%s' % since) + more)
                until(lambda: self.server.metric('et_http_requests_waiting') == 1)
            until(lambda: self.server.metric('et_http_requests_waiting') == 0)

    def test_a_thousand_idle_connections_disturb_nobody(self):
        sockets = []
        try:
            for _ in range(1000):
                sockets.append(self.server.connect())
            for s in sockets[::99]:  # of each of the server's threads, which take connections in turn
                s.sendall(b'GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n')
                self.assertEqual(s.recv(4096)[:12], b'HTTP/1.1 200')
            self.assertEqual(self.server.request('GET', '/healthz').status, 200)
            until(lambda: self.server.metric('et_http_connections') >= 1000)
        finally:
            for s in sockets:
                s.close()
        until(lambda: self.server.metric('et_http_connections') < 100)

    def test_each_of_many_that_speak_at_once_is_answered(self):
        """Where the kernel gives exactly as many events as were asked for, there need not be more."""
        events, threads = 128, max(2, min(os.cpu_count(), 4))
        request, answer = b'GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n', b'HTTP/1.1 200'
        numbers = range(threads * (events - 3), threads * (events + 3))
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(self.server.connect()) for _ in range(numbers[-1])]
            for s in sockets:
                s.sendall(request)
                self.assertEqual(s.recv(4096)[:12], answer)
            for n in numbers:
                self.server.process.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, self.server.process.pid, os.WSTOPPED)
                for s in sockets[:n]:
                    s.sendall(request)
                self.server.process.send_signal(signal.SIGCONT)
                for s in sockets[:n]:
                    self.assertEqual(s.recv(4096)[:12], answer, n)


def children(pid):
    """Processes that pid started and that still run."""
    found = []
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/stat' % name) as file:
                state, parent = file.read().rsplit(') ', 1)[1].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != 'Z':
            found.append(int(name))
    return found


def runs(pid):
    try:
        with open('/proc/%d/stat' % pid) as file:
            return file.read().rsplit(') ', 1)[1][0] != 'Z'
    except OSError:
        return False


class LocalWorker(unittest.TestCase):
    def test_it_is_started_again_and_ends_with_its_server(self):
        server = Server(workers=1)
        pid = server.process.pid
        until(lambda: children(pid))
        first, = children(pid)
        os.kill(first, signal.SIGKILL)
        until(lambda: children(pid) not in ([], [first]))
        second, = children(pid)
        self.assertEqual(server.stop(), 0)
        self.assertFalse(runs(second))

    def test_it_does_not_outlive_a_server_that_was_killed(self):
        server = Server(workers=1)
        until(lambda: server.metric('et_http_requests_waiting') == 1)
        worker, = children(server.process.pid)
        server.stop(signal.SIGKILL)
        until(lambda: not runs(worker))


class FullDisk(unittest.TestCase):
    """The second write of a blob and all later ones find the disk full."""

    def test_an_upload_is_told_and_leaves_nothing(self):
        with Server(env={'ET_FAULT': 'blob.write:2:error'}) as server:
            user = server.user()
            for size in (600000, 30000000):
                head = ('POST /datafiles HTTP/1.1\r\nHost: h\r\nAuthorization: %s\r\nContent-Length: %d\r\n'
                        'Content-Type: multipart/form-data; boundary=edge\r\nConnection: close\r\n\r\n')
                body = form(os.urandom(1000) * (size // 1000))
                with self.subTest(size):
                    raw = exchange(server, (head % (basic(*user), len(body))).encode(), [body])
                    self.assertEqual(status_of(raw), 507, raw[:300])
            until(lambda: not unfinished(server))
            self.assertEqual(server.request('GET', '/readyz').status, 200)
            self.assertEqual(server.request('GET', '/datafiles', user=user).json['items'], [])


class Ends(unittest.TestCase):
    def test_those_who_wait_are_answered_when_it_stops(self):
        server = Server()
        user = server.user()
        replies = []

        def wait():
            replies.append(server.request('GET', '/elastic-thought/_changes?feed=longpoll&since=100', user=user))

        threads = [threading.Thread(target=wait) for _ in range(5)]
        for t in threads:
            t.start()
        until(lambda: server.metric('et_http_requests_waiting') == 5)
        self.assertEqual(server.stop(), 0)
        for t in threads:
            t.join(120)
        self.assertEqual([r.status in (200, 204) for r in replies], [True] * 5, replies)

    def test_it_stops_in_time_with_an_upload_under_way(self):
        server = Server()
        user = server.user()
        with server.connect() as s:
            s.sendall(('POST /datafiles HTTP/1.1\r\nHost: h\r\nAuthorization: %s\r\nContent-Length: 100000000\r\n'
                       'Content-Type: multipart/form-data; boundary=edge\r\n\r\n' % basic(*user)).encode()
                      + form(b'x' * 1000000, end=False))
            until(lambda: blob_files(server))
            self.assertEqual(server.stop(), 0)

    def test_one_server_a_folder(self):
        with Server() as server:
            with self.assertRaises(RuntimeError) as refused:
                Server(data=server.data)
            self.assertIn('another', str(refused.exception))

    def test_documents_and_tokens_survive_a_restart(self):
        server = Server()
        server.owns_data = False
        try:
            user = server.user()
            made = server.request('POST', '/tokens', {}, user=user).json
            worker = server.worker_token
            server.stop()
            server = Server(data=server.data)
            self.assertEqual(server.request('GET', '/users/foo', token=made['token']).status, 200)
            self.assertEqual(server.worker_token, worker)
        finally:
            server.owns_data = True
            server.stop()

    def test_wrong_settings_are_told(self):
        for arguments, says in ((['--registration', 'maybe'], 'registration'), (['--workers', 'x'], 'workers'),
                                (['--listen', 'nowhere'], 'ADDR:PORT'), (['--max-upload', '5X'], 'max-upload'),
                                (['--nothing'], '--nothing'), (['--config', '/nonexistent'], '/nonexistent')):
            with self.subTest(arguments):
                with self.assertRaises(RuntimeError) as refused:
                    Server(arguments)
                self.assertIn(says, str(refused.exception))

    def test_settings_come_from_flags_variables_and_a_file(self):
        with Server(env={'ET_REGISTRATION': 'closed'}) as server:
            reply = server.request('POST', '/users', {'username': 'a', 'password': 'b'})
            self.assertEqual(reply.status, 403, reply)
            config = os.path.join(server.data, 'et.conf')
            with open(config, 'w') as file:
                file.write('# settings\nregistration = closed\nmax-upload = 2M\n')
            with Server(['--config', config]) as other:
                self.assertEqual(other.request('POST', '/users', {'username': 'a', 'password': 'b'}).status, 403)
            with Server(['--config', config, '--registration', 'open'], env={'ET_REGISTRATION': 'closed'}) as third:
                self.assertEqual(third.request('POST', '/users', {'username': 'a', 'password': 'b'}).status, 201)


if __name__ == '__main__':
    unittest.main()
