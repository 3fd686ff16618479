"""A server and a worker that are killed and started again, and a client that does not give up.

Nothing here waits by the clock: processes are waited for, a server's
readiness is the line it prints, and a document's end is told by a long poll.
"""
import atexit
import base64
import http.client
import io
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import postgres

DATABASE = os.environ.get('ET_TEST_DATABASE', 'sqlite')  # or postgres
ET = os.path.abspath(os.environ.get('ET', 'build/et'))

NET = '''
name: "two"
layer { name: "data" type: "ImageData" top: "data" top: "label" include { phase: TRAIN }
  transform_param { scale: 0.00390625 }
  image_data_param { source: "training.txt" batch_size: 4 is_color: false } }
layer { name: "data" type: "ImageData" top: "data" top: "label" include { phase: TEST }
  transform_param { scale: 0.00390625 }
  image_data_param { source: "testing.txt" batch_size: 4 is_color: false } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
'''
SOLVER = '''
net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 display: 10
max_iter: %d snapshot: 0 random_seed: 1
'''
CLASSIFIER = '''
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 1 dim: 8 dim: 8 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 2 } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
'''

FED_CLASSIFIER = CLASSIFIER.replace(
    'type: "Input" top: "data" input_param { shape { dim: 2 dim: 1 dim: 8 dim: 8 } }',
    'type: "MemoryData" top: "data" top: "label" '
    'memory_data_param { batch_size: 2 channels: 1 height: 8 width: 8 }')


def png(rows):
    """A grey PNG of rows of bytes."""
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    head = struct.pack('>IIBBBBB', len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) +
            chunk(b'IDAT', zlib.compress(b''.join(b'\0' + bytes(row) for row in rows))) + chunk(b'IEND', b''))


def picture(label, number):
    """8x8: label 'left' is bright on the left, 'right' on the right; no two are equal."""
    bright, dark = 200 + number, 10 + number
    row = [bright] * 4 + [dark] * 4
    return png([row if label == 'left' else row[::-1]] * 8)


def pictures_archive(per_label=8):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w:gz') as tar:
        for label in ('left', 'right'):
            for number in range(per_label):
                data = picture(label, number)
                entry = tarfile.TarInfo('%s/%d.png' % (label, number))
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


class Gone(Exception):
    """The server did not answer, or not to the end."""


class Service:
    """`et serve` without workers and one `et worker`, each restarted when a fault point ends it.

    database: 'sqlite', 'postgres' or the URL of a database that another one uses.
    """

    def __init__(self, server_fault='', worker_fault='', serve=(), worker=(), environment=(), database=DATABASE,
                 has_worker=True):
        self.serve, self.work = list(serve), list(worker)
        self.environment = dict(environment)
        self.database = None
        self.folder = tempfile.mkdtemp(prefix='et-fault-')
        self.data = os.path.join(self.folder, 'data')
        if database == 'postgres':
            self.database = postgres.shared().schema('t' + os.urandom(8).hex())
        elif database != 'sqlite':
            self.database = database
        if self.database:
            self.serve += ['--database', self.database]
        self.log = open(os.path.join(self.folder, 'log'), 'ab')
        self.address = '127.0.0.1:0'
        self.deaths = {'server': 0, 'worker': 0}
        self.stopping = False
        self.up = threading.Event()
        self.key, self.key_name = 0, os.urandom(8).hex()
        self.authorization = 'Basic ' + base64.b64encode(b'ada:a-long-password').decode()
        self.server = self.start_server(server_fault)
        if not self.up.is_set():  # the fault struck while it started
            self.server.wait()
            self.server.stdout.close()
            self.deaths['server'] += 1
            self.server = self.start_server()
        self.worker = self.start_worker(worker_fault) if has_worker else None
        self.roles = ['server', 'worker'] if has_worker else ['server']
        self.watchers = [threading.Thread(target=self.watch, args=(role,), daemon=True) for role in self.roles]
        for watcher in self.watchers:
            watcher.start()
        atexit.register(self.abandon)

    def start(self, arguments, fault, **more):
        environment = dict(os.environ, TMPDIR=self.folder, XDG_CACHE_HOME=self.folder, **self.environment)
        environment.pop('ET_FAULT', None)
        if fault:
            environment['ET_FAULT'] = fault
        return subprocess.Popen([ET] + arguments, stderr=self.log, stdin=subprocess.DEVNULL, env=environment, **more)

    def start_server(self, fault=''):
        server = self.start(['serve', '--data', self.data, '--listen', self.address, '--workers', '0',
                             '--lease-seconds', '2', '--backoff-ms', '200', '--webhook-ms', '1000'] + self.serve, fault, stdout=subprocess.PIPE, text=True)
        line = server.stdout.readline()
        if line.startswith('listening on http://'):
            self.address = line.split('//')[1].strip()
            self.up.set()
        return server

    def start_worker(self, fault=''):
        return self.start(['worker', '--server', 'http://' + self.address, '--token-file',
                           os.path.join(self.data, 'worker-token'), '--work', os.path.join(self.folder, 'work'),
                           '--slots', '2'] + self.work, fault, stdout=subprocess.DEVNULL)

    def watch(self, role):
        """Starts a process again when it was killed."""
        while True:
            process = getattr(self, role)
            process.wait()
            if self.stopping:
                return
            self.deaths[role] += 1
            if role == 'server':
                self.up.clear()
                process.stdout.close()
            setattr(self, role, self.start_server() if role == 'server' else self.start_worker())

    def close(self):
        self.stopping = True
        statuses = []
        for role in reversed(self.roles):  # a worker gives its jobs back to a server that is there
            getattr(self, role).terminate()
            statuses.append(getattr(self, role).wait())
        for watcher in self.watchers:
            watcher.join()
        self.server.stdout.close()
        self.log.close()
        return statuses

    def abandon(self):
        """After a test that failed: nothing is left running."""
        self.stopping = True
        for role in self.roles:
            getattr(self, role).kill()

    def remove(self):
        shutil.rmtree(self.folder)

    def log_text(self):
        with open(os.path.join(self.folder, 'log'), encoding='utf-8', errors='replace') as file:
            return file.read()

    # ---- requests ----

    def once(self, method, path, body=None, headers=()):
        """One try; Gone when the server went away meanwhile."""
        if not self.up.wait(60):
            raise AssertionError('the server did not come back\n' + self.log_text()[-3000:])
        try:
            connection = http.client.HTTPConnection(self.address, timeout=180)
            connection.request(method, path, body, dict(headers, Authorization=self.authorization))
            answer = connection.getresponse()
            data = answer.read()
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise Gone from error
        return answer.status, data

    def request(self, method, path, body=None, content_type=None):
        """Tries until there is an answer; a POST repeats its Idempotency-Key."""
        headers = {}
        if content_type:
            headers['Content-Type'] = content_type
        if method == 'POST':
            self.key += 1
            headers['Idempotency-Key'] = '%s-%d' % (self.key_name, self.key)
        while True:
            try:
                status, data = self.once(method, path, body, headers)
            except Gone:
                continue
            if status == 503 or (status == 409 and b'under way' in data):
                continue
            return status, data

    def json(self, method, path, body=None):
        text = None if body is None else json.dumps(body).encode()
        status, data = self.request(method, path, text, 'application/json' if text else None)
        if status >= 400:
            raise AssertionError('%s %s: %d %s\n%s' % (method, path, status, data, self.log_text()[-3000:]))
        return json.loads(data)

    def form(self, path, parts):
        body = b''
        for name, file_name, data in parts:
            head = 'Content-Disposition: form-data; name="%s"' % name
            head += '; filename="%s"' % file_name if file_name else ''
            body += b'--et-test\r\n%s\r\n\r\n%s\r\n' % (head.encode(), data)
        status, data = self.request('POST', path, body + b'--et-test--\r\n', 'multipart/form-data; boundary=et-test')
        if status >= 400:
            raise AssertionError('POST %s: %d %s\n%s' % (path, status, data, self.log_text()[-3000:]))
        return json.loads(data)

    def changes(self, since):
        return self.json('GET', '/elastic-thought/_changes?feed=longpoll&timeout=20000&since=%d' % since)['last_seq']

    def until(self, path, condition):
        """The document, as soon as the condition holds for it; asked anew at each change of the owner's feed."""
        since = self.json('GET', '/elastic-thought/_changes?since=now')['last_seq']
        while True:
            document = self.json('GET', path)
            if condition(document):
                return document
            since = self.changes(since)

    def wait_for_log(self, path, text, count=1):
        """Until the log of the document's job, followed, has the text so many times."""
        while True:
            found = self.follow(path + '/logs?follow=1', text, count)
            if found:
                return
            state = self.json('GET', path)['processing-state']
            if state not in ('pending', 'processing'):
                raise AssertionError('%s is %s, without %r in its log' % (path, state, text))

    def follow(self, path, text, count):
        """False: the stream ended before, with its job or with the server."""
        if not self.up.wait(60):
            raise AssertionError('the server did not come back')
        connection = http.client.HTTPConnection(self.address, timeout=180)
        try:
            connection.request('GET', path, headers={'Authorization': self.authorization})
            answer = connection.getresponse()
            tail, piece = b'', answer.read1(65536)
            while piece:
                tail += piece
                count -= tail.count(text)
                if count <= 0:
                    return True
                tail = tail[-len(text) + 1:] if len(text) > 1 else b''
                piece = answer.read1(65536)
            return False
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def ended(self, path):
        return self.until(path, lambda d: d['processing-state'] in ('finished_successfully', 'failed'))

    # ---- the work ----

    def register(self):
        status, data = self.request('POST', '/users', json.dumps(
            {'username': 'ada', 'email': 'ada@example.org', 'password': 'a-long-password'}).encode(), 'application/json')
        if status not in (201, 409):
            raise AssertionError(data)

    def make_dataset(self, archive=None):
        datafile = self.form('/datafiles', [('document', None, b'{}'),
                                            ('url', 'p.tar.gz', archive or pictures_archive())])['id']
        return self.json('POST', '/datasets', {
            'training': {'datafile-id': datafile, 'split-percentage': 0.5},
            'test': {'datafile-id': datafile, 'split-percentage': 0.5}})['_id']

    def make_solver(self, dataset, max_iter):
        return self.form('/solvers', [
            ('document', None, json.dumps({'dataset-id': dataset}).encode()),
            ('specification-url', 'solver.prototxt', (SOLVER % max_iter).encode()),
            ('specification-net-url', 'net.prototxt', NET.encode())])['_id']

    def make_job(self, solver):
        return self.json('POST', '/training-jobs', {'solver-id': solver, 'threads': 1})['_id']

    def run_script(self, text, name='job.py', **document):
        """Queues a script; its id."""
        return self.form('/jobs', [('document', None, json.dumps(document).encode()),
                                   ('script', name, text if isinstance(text, bytes) else text.encode())])['_id']

    def metrics(self, job):
        """name -> [(step, value)], in the order in which they were told."""
        series = self.json('GET', '/jobs/%s/metrics' % job)['series']
        return {one['name']: list(zip(one['steps'], one['values'])) for one in series}

    def make_classifier(self, job, net=CLASSIFIER):
        return self.form('/classifiers', [
            ('document', None, json.dumps({'training-job-id': job, 'scale': '0.99609375', 'image-width': '8',
                                           'image-height': '8', 'color': False}).encode()),
            ('specification-url', 'c.prototxt', net.encode())])['_id']

    def classify(self, job, net=CLASSIFIER):
        return self.form('/classifiers/%s/classify' % self.make_classifier(job, net),
                         [('files', 'a.png', picture('left', 20)), ('files', 'b.png', picture('right', 20))])['_id']

    def outcomes(self, job):
        """Outcomes of the job's attempts, read from the database; after close()."""
        if self.database:
            return [int(row[0]) for row in postgres.shared().query(
                "SELECT outcome FROM attempts WHERE job = '%s' ORDER BY attempt" % job, self.database)]
        with sqlite3.connect(os.path.join(self.data, 'et.db')) as database:
            return [row[0] for row in database.execute(
                'SELECT outcome FROM attempts WHERE job = ? ORDER BY attempt', (job,))]

    def database_is_whole(self):
        if self.database:
            return True  # it checks itself
        with sqlite3.connect(os.path.join(self.data, 'et.db')) as database:
            return database.execute('PRAGMA integrity_check').fetchone()[0] == 'ok'
