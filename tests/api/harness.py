"""Starts the real server for a test, and speaks HTTP to it, well and badly.

    with Server() as server:
        reply = server.request('GET', '/healthz')

The binary is $ET, else build/et.  Nothing sleeps: a server is ready when it
has printed its address.
"""

import base64
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ET = os.path.abspath(os.environ.get('ET', os.path.join(ROOT, 'build', 'et')))
READY_SECONDS = 60
DATABASE = os.environ.get('ET_TEST_DATABASE', 'sqlite')  # or postgres


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return '<%d %r>' % (self.status, self.body[:600])


def basic(name, password):
    return 'Basic ' + base64.b64encode(('%s:%s' % (name, password)).encode()).decode()


class Server:
    """`et serve` on a free port and a folder of its own.

    arguments: further flags; data: a folder to go on with (kept at the end).
    Where ET_TEST_DATABASE is postgres, each folder has a schema of its own in a server of the test's.
    """

    def __init__(self, arguments=(), data=None, env=None, workers=0):
        self.owns_data = data is None
        self.data = data or tempfile.mkdtemp(prefix='et-test-')
        self.log_path = os.path.join(self.data, 'server.log')
        self.process = None
        command = [ET, 'serve', '--listen', '127.0.0.1:0', '--data', self.data] + self._database()
        arguments = list(arguments)
        if '--workers' not in arguments:
            command += ['--workers', str(workers)]
        variables = {k: v for k, v in os.environ.items() if not k.startswith('ET_')}
        variables.update(env or {})
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(command + arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=log, env=variables)
        line = self._first_line()
        match = re.fullmatch(r'listening on (http://(.+):(\d+))\n', line)
        if not match:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            text = self.log()
            self._leave()
            raise RuntimeError('the server did not start: %r\n%s' % (line, text))
        self.url, self.host, self.port = match.group(1), match.group(2), int(match.group(3))

    def _database(self):
        if DATABASE == 'sqlite':
            return []
        sys.path.insert(0, os.path.join(ROOT, 'tests'))
        import postgres
        path = os.path.join(self.data, 'test-database')
        if not os.path.exists(path):
            with open(path, 'w', encoding='ascii') as file:
                file.write(postgres.shared().schema('t' + os.urandom(8).hex()))
        with open(path, encoding='ascii') as file:
            return ['--database', file.read()]

    def _first_line(self):
        end, line = time.monotonic() + READY_SECONDS, b''
        fd = self.process.stdout.fileno()
        while not line.endswith(b'\n') and time.monotonic() < end:
            if select.select([fd], [], [], end - time.monotonic())[0]:
                piece = os.read(fd, 4096)
                if not piece:
                    break
                line += piece
        return line.decode()

    def log(self):
        with open(self.log_path, errors='replace') as log:
            return log.read()

    def token(self, name):
        with open(os.path.join(self.data, name)) as file:
            return file.read().strip()

    @property
    def worker_token(self):
        return self.token('worker-token')

    @property
    def admin_token(self):
        return self.token('admin-token')

    def stop(self, signal_number=signal.SIGTERM, timeout=120):
        """Ends it; returns its exit status.  A sanitizer's finding is an error."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal_number)
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.process.stdout.close()
            text = self.log()
            self._leave()
        for mark in ('ThreadSanitizer', 'AddressSanitizer', 'LeakSanitizer', 'runtime error:'):
            if mark in text:
                raise AssertionError(text[text.index(mark):][:6000])
        if signal_number == signal.SIGTERM and status:
            raise AssertionError('exit status %d\n%s' % (status, text[-4000:]))
        return status

    def _leave(self):
        if self.owns_data:
            shutil.rmtree(self.data, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def connect(self, timeout=120):
        """A plain socket, for what no HTTP client would send."""
        return socket.create_connection((self.host, self.port), timeout)

    def request(self, method, path, body=None, headers=None, user=None, token=None, timeout=60):
        """body: bytes, or what becomes JSON; user: (name, password). Events are not read: they do not end."""
        headers = dict(headers or {})
        if user:
            headers['Authorization'] = basic(*user)
        if token:
            headers['Authorization'] = 'Bearer ' + token
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers.setdefault('Content-Type', 'application/json')
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            endless = reply.headers['Content-Type'] == 'text/event-stream'
            return Reply(reply.status, reply.headers, b'' if endless else reply.read())
        finally:
            connection.close()

    def user(self, name='foo', password='bar'):
        """Registers a user and returns (name, password)."""
        reply = self.request('POST', '/users', {'username': name, 'email': name + '@example.org',
                                                'password': password})
        assert reply.status == 201, reply
        return name, password

    def metric(self, name):
        """One number of /metrics."""
        text = self.request('GET', '/metrics').body.decode()
        match = re.search(r'^%s ([-0-9.]+)$' % re.escape(name), text, re.M)
        assert match, (name, text)
        return float(match.group(1))


def exchange(server, data, pieces=(), timeout=120):
    """Sends raw bytes and reads until the server closes; returns all it sent."""
    with server.connect(timeout) as s:
        try:
            s.sendall(data)
            for piece in pieces:
                s.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return read_all(s)


def read_all(s):
    got = b''
    try:
        while True:
            piece = s.recv(65536)
            if not piece:
                return got
            got += piece
    except ConnectionResetError:
        return got


def status_of(raw):
    """Status of the first reply in raw bytes; 0 when there is none."""
    match = re.match(rb'HTTP/1\.1 (\d{3}) ', raw)
    return int(match.group(1)) if match else 0
