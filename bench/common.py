"""What the benchmarks share: digits, a server to measure, medians and tables."""
import base64
import gzip
import http.client
import json
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
ET = os.path.abspath(os.environ.get('ET', os.path.join(ROOT, 'build', 'et')))
CAFFE = os.environ.get('CAFFE')   # a BVLC Caffe to compare with
MNIST = os.environ.get('MNIST')   # a folder with t10k-*-ubyte.gz; without it digits are drawn


def quiet(command, folder, **more):
    """Runs a command; its output goes to a file that is shown when it fails. Returns wall seconds."""
    with tempfile.TemporaryFile() as log:
        start = time.monotonic()
        status = subprocess.run(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, **more).returncode
        took = time.monotonic() - start
        log.seek(0)
        text = log.read().decode('utf-8', 'replace')
    if status:
        sys.exit('%s: exit status %d\n%s' % (' '.join(command), status, text[-3000:]))
    quiet.text = text
    return took


def read_idx(path):
    """An IDX file as (shape, bytes)."""
    with gzip.open(path) as file:
        data = file.read()
    axes = data[3]
    return struct.unpack('>%dI' % axes, data[4:4 + 4 * axes]), data[4 + 4 * axes:]


def write_idx(path, shape, data):
    with open(path, 'wb') as file:
        file.write(bytes([0, 0, 8, len(shape)]) + struct.pack('>%dI' % len(shape), *shape) + data)


def drawn_digits(count):
    """Digits drawn from fonts, for machines without MNIST."""
    sys.path.insert(0, os.path.join(ROOT, 'examples', 'alphabet'))
    import make_images
    fonts, rng = make_images.find_fonts(), random.Random(1)
    labels = bytes(i % 10 for i in range(count))
    return b''.join(make_images.draw(str(d), fonts[i % len(fonts)], rng).tobytes() for i, d in enumerate(labels)), labels


def prepare_digits(folder):
    """train.images, train.labels (8,000) and test.* (2,000) as IDX, and train_lmdb, test_lmdb."""
    if MNIST:
        _, images = read_idx(os.path.join(MNIST, 't10k-images-idx3-ubyte.gz'))
        _, labels = read_idx(os.path.join(MNIST, 't10k-labels-idx1-ubyte.gz'))
    else:
        images, labels = drawn_digits(10000)
    for name, first, last in (('train', 0, 8000), ('test', 8000, 10000)):
        write_idx(os.path.join(folder, name + '.images'), (last - first, 28, 28), images[784 * first:784 * last])
        write_idx(os.path.join(folder, name + '.labels'), (last - first,), labels[first:last])
        quiet([ET, 'convert-mnist', name + '.images', name + '.labels', name + '_lmdb', '--backend=lmdb'], folder)
    for name in ('solver.prototxt', 'net.prototxt'):
        shutil.copy(os.path.join(HERE, 'lenet', name), folder)
    return 'MNIST test set' if MNIST else 'digits drawn from fonts'


class Server:
    """et serve in a temporary folder, with one user."""

    def __init__(self, workers=1, more=(), knows_user=False):
        self.folder = tempfile.mkdtemp(prefix='et-bench-')
        self.log = open(os.path.join(self.folder, 'log'), 'w+')
        self.process = subprocess.Popen(
            [ET, 'serve', '--data', os.path.join(self.folder, 'data'), '--listen', '127.0.0.1:0',
             '--workers', str(workers), *more], stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        if not line.startswith('listening on http://'):
            self.log.seek(0)
            sys.exit('the server did not start: ' + self.log.read())
        self.address = line.split('//')[1].strip()
        self.authorization = 'Basic ' + base64.b64encode(b'bench:bench-password').decode()
        if not knows_user:
            self.json('POST', '/users', {'username': 'bench', 'email': 'b@example.org', 'password': 'bench-password'})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder)

    def request(self, method, path, body=None, content_type=None, connection=None):
        mine = connection or http.client.HTTPConnection(self.address, timeout=600)
        headers = {'Authorization': self.authorization}
        if content_type:
            headers['Content-Type'] = content_type
        mine.request(method, path, body, headers)
        answer = mine.getresponse()
        data = answer.read()
        if not connection:
            mine.close()
        if answer.status >= 400:
            sys.exit('%s %s: %d %s' % (method, path, answer.status, data.decode('utf-8', 'replace')))
        return data

    def json(self, method, path, body=None, connection=None):
        text = json.dumps(body).encode() if body is not None else None
        return json.loads(self.request(method, path, text, 'application/json' if text else None, connection))

    def upload(self, path, parts):
        """multipart/form-data of (name, file name or None, bytes)."""
        boundary = 'et-bench-boundary'
        body = b''
        for name, file_name, data in parts:
            head = 'Content-Disposition: form-data; name="%s"' % name
            head += '; filename="%s"' % file_name if file_name else ''
            body += b'--%s\r\n%s\r\n\r\n%s\r\n' % (boundary.encode(), head.encode(), data)
        body += b'--%s--\r\n' % boundary.encode()
        return json.loads(self.request('POST', path, body, 'multipart/form-data; boundary=' + boundary))

    def wait(self, path):
        while True:
            document = self.json('GET', path)
            state = document.get('processing-state') or document.get('state')
            if state == 'failed':
                sys.exit('%s failed: %s' % (path, document.get('processing-log')))
            if state == 'finished_successfully':
                return document
            time.sleep(0.1)  # a client that asks more often takes from what is measured


def number(value):
    """Three digits: 0.0123, 45.6, 7,890."""
    rounded = float('%.3g' % value)
    return '%g' % rounded if abs(rounded) < 1000 else '{:,}'.format(int(rounded))


def spread(values):
    return '%s [%s..%s]' % tuple(map(number, (statistics.median(values), min(values), max(values))))


def table(title, head, rows):
    print('\n%s\n' % title)
    print('| ' + ' | '.join(head) + ' |')
    print('|' + '---|' * len(head))
    for row in rows:
        print('| ' + ' | '.join(str(cell) for cell in row) + ' |')
    sys.stdout.flush()
