"""A receiver of webhooks on loopback that checks signatures by itself, and can behave badly."""

import base64
import hashlib
import hmac
import http.server
import json
import queue
import threading


def signature(secret, identity, timestamp, body):
    """As standardwebhooks.com says, by Python's own hmac."""
    key = base64.b64decode(secret.removeprefix('whsec_'))
    signed = ('%s.%s.' % (identity, timestamp)).encode() + body
    return 'v1,' + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class Delivery:
    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, headers, body
        self.id = headers['webhook-id']

    @property
    def json(self):
        return json.loads(self.body)

    def is_signed_with(self, secret):
        return hmac.compare_digest(self.headers['webhook-signature'],
                                   signature(secret, self.id, self.headers['webhook-timestamp'], self.body))


class Receiver:
    """Puts what comes into `got`; answers by path: the next of answers[path], else 200.

    An answer is a status, (status, headers, body), 'hang' or 'endless'.
    """

    def __init__(self):
        self.got = queue.Queue()
        self.answers = {}
        self.over = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_POST(self):
                body = self.rfile.read(int(self.headers['Content-Length']))
                outer.got.put(Delivery(self.path, self.headers, body))
                waiting = outer.answers.get(self.path)
                outer.answer(self, waiting.pop(0) if waiting else 200)

            def do_GET(self):
                outer.got.put(Delivery('GET ' + self.path, {'webhook-id': ''}, b''))
                outer.answer(self, 200)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # the sender hangs up on those who talk too long

        self.server = Server(('127.0.0.1', 0), Handler)
        self.url = 'http://127.0.0.1:%d' % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, handler, answer):
        if answer == 'hang':
            self.over.wait()
            handler.close_connection = True
            return
        if answer == 'endless':
            handler.send_response(200)
            handler.end_headers()
            handler.close_connection = True
            while not self.over.is_set():
                handler.wfile.write(b'for ever ' * 1000)
            return
        status, headers, body = answer if isinstance(answer, tuple) else (answer, {}, b'')
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header('Content-Length', str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def next(self, timeout=120):
        return self.got.get(timeout=timeout)

    def close(self):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
