#!/usr/bin/python3
"""The whole job over the REST API, as `make demo` runs it.

Starts `et serve` on a free port with its data in a folder, makes a user, a
datafile of labelled pictures, a dataset split 70/30, a solver, a training job
that is followed live, and a classifier; then classifies every held-back
picture. Fails when fewer than 95 % are right.
"""
import argparse
import base64
import hashlib
import http.client
import io
import json
import os
import secrets
import subprocess
import sys
import tarfile
import time
import urllib.parse

import make_images
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
ACCURACY_WANTED = 95.0
PICTURES_A_REQUEST = 500


class Client:
    """A few lines over http.client: JSON in and out, errors as text."""

    def __init__(self, url, user, password):
        self.address = urllib.parse.urlparse(url).netloc
        self.authorization = 'Basic ' + base64.b64encode(('%s:%s' % (user, password)).encode()).decode()

    def request(self, method, path, body=None, content_type='application/json'):
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.address, timeout=120)
        headers = {'Authorization': self.authorization}
        if body is not None:
            headers['Content-Type'] = content_type
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if answer.status >= 400:
            sys.exit('%s %s: %d %s' % (method, path, answer.status, data.decode('utf-8', 'replace')))
        if answer.headers.get_content_type() == 'application/json':
            return json.loads(data)
        return data

    def form(self, path, parts):
        """multipart/form-data; parts: (name, file name or None, bytes)."""
        boundary = secrets.token_hex(16)
        out = io.BytesIO()
        for name, file_name, data in parts:
            out.write(('--%s\r\nContent-Disposition: form-data; name="%s"' % (boundary, name)).encode())
            if file_name:
                out.write(('; filename="%s"' % file_name).encode())
            out.write(b'\r\n\r\n' + data + b'\r\n')
        out.write(('--%s--\r\n' % boundary).encode())
        return self.request('POST', path, out.getvalue(), 'multipart/form-data; boundary=' + boundary)

    def wait(self, path, each=lambda document: None):
        """Follows a document until it has ended."""
        while True:
            document = self.request('GET', path)
            each(document)
            state = document.get('processing-state') or document.get('state')
            if state == 'finished_successfully':
                return document
            if state == 'failed':
                sys.exit('%s failed: %s' % (path, document.get('processing-log')))
            time.sleep(0.1)


def step(text):
    print('\n\033[1m%s\033[0m' % text if sys.stdout.isatty() else '\n' + text, flush=True)


def show_progress(status):
    """One line that redraws itself on a terminal, and a line now and then elsewhere."""
    if not status.get('max-iterations'):
        return
    done, total = status['last-iteration'], status['max-iterations']
    filled = 30 * done // total
    parts = ['[%s%s] %4d/%d' % ('#' * filled, '.' * (30 - filled), done, total)]
    for name, form in (('loss', 'loss %.3f'), ('accuracy', 'accuracy %.3f'),
                       ('images-per-second', '%.0f images/s'), ('seconds-left', '%.0f s left')):
        if status.get(name) is not None:
            parts.append(form % status[name])
    line = '  '.join(parts)
    if sys.stdout.isatty():
        print('\r\033[K' + line, end='', flush=True)
    elif done >= show_progress.next_line:
        show_progress.next_line = done + total // 5
        print(line, flush=True)


show_progress.next_line = 0


def draw(png, label, truth):
    """A picture as rows of half blocks, with its label beneath."""
    picture = Image.open(io.BytesIO(png)).convert('L').resize((14, 14), Image.BILINEAR)
    shades = ' .:-=+*#%@'
    rows = [''.join(shades[picture.getpixel((x, y)) * (len(shades) - 1) // 255] for x in range(14)) for y in range(0, 14, 2)]
    verdict = label if label == truth else '%s (is %s)' % (label, truth)
    return rows + [verdict.center(14)[:14]]


def draw_side_by_side(pictures):
    for row in zip(*pictures):
        print('   ' + '  '.join(row))


def start_server(et, data):
    server = subprocess.Popen([et, 'serve', '--data', data, '--listen', '127.0.0.1:0', '--workers', '2'],
                              stdout=subprocess.PIPE, stderr=open(os.path.join(os.path.dirname(data), 'server.log'), 'a'),
                              text=True)
    line = server.stdout.readline().strip()
    prefix = 'listening on '
    if not line.startswith(prefix):
        sys.exit('the server did not start; see %s' % os.path.join(os.path.dirname(data), 'server.log'))
    return server, line[len(prefix):]


def credentials(folder):
    """The demo user's name and password, kept from run to run."""
    path = os.path.join(folder, 'user.json')
    if not os.path.exists(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, 'w') as file:
            json.dump({'username': 'demo-' + secrets.token_hex(3), 'password': secrets.token_hex(12)}, file)
    with open(path) as file:
        return json.load(file)


def read(name):
    with open(os.path.join(HERE, name), 'rb') as file:
        return file.read()


def work(client, user, images):
    step('A user, and a datafile of %.1f MB' % (os.path.getsize(images) / 1e6))
    connection = http.client.HTTPConnection(client.address)
    connection.request('POST', '/users', json.dumps(dict(user, email='demo@example.org')),
                       {'Content-Type': 'application/json'})
    created = connection.getresponse().status
    if created not in (201, 409):
        sys.exit('POST /users: %d' % created)
    with open(images, 'rb') as file:
        datafile = client.form('/datafiles', [('document', None, b'{}'), ('url', 'alphabet.tar.gz', file.read())])
    print('POST /datafiles      -> ' + datafile['id'])

    step('A dataset, split 70/30')
    dataset = client.request('POST', '/datasets', {
        'training': {'datafile-id': datafile['id'], 'split-percentage': 0.7},
        'test': {'datafile-id': datafile['id'], 'split-percentage': 0.3}})
    print('POST /datasets       -> ' + dataset['_id'])

    step('A solver: a solver prototxt and a net prototxt')
    solver = client.form('/solvers', [
        ('document', None, json.dumps({'dataset-id': dataset['_id']}).encode()),
        ('specification-url', 'solver.prototxt', read('solver.prototxt')),
        ('specification-net-url', 'net.prototxt', read('net.prototxt'))])
    print('POST /solvers        -> ' + solver['_id'])

    step('A training job; it waits for the split by itself')
    job = client.request('POST', '/training-jobs', {'solver-id': solver['_id'], 'threads': os.cpu_count()})
    print('POST /training-jobs  -> ' + job['_id'])
    client.wait('/training-jobs/%s/status' % job['_id'], show_progress)
    print()

    step('A classifier, and every held-back picture')
    classifier = client.form('/classifiers', [
        ('document', None, json.dumps({'training-job-id': job['_id'], 'scale': '0.99609375', 'image-width': '28',
                                       'image-height': '28', 'color': False, 'gpu': False}).encode()),
        ('specification-url', 'classifier.prototxt', read('classifier.prototxt'))])
    print('POST /classifiers    -> ' + classifier['_id'])
    held_back = client.request('GET', '/blobs/%s/testing.tar.gz' % dataset['_id'])
    pictures = []
    with tarfile.open(fileobj=io.BytesIO(held_back)) as archive:
        for entry in archive:
            if entry.isfile():
                pictures.append((entry.name.split('/')[0], archive.extractfile(entry).read()))
    results = {}
    for first in range(0, len(pictures), PICTURES_A_REQUEST):
        part = pictures[first:first + PICTURES_A_REQUEST]
        classify = client.form('/classifiers/%s/classify' % classifier['_id'],
                               [('files', '%d.png' % i, png) for i, (_, png) in enumerate(part)])
        results.update(client.wait('/classify-jobs/' + classify['_id'])['results'])
    answers = [(results.get(hashlib.sha1(png).hexdigest()), truth, png) for truth, png in pictures]
    right = sum(label == truth for label, truth, _ in answers)
    print('%d of %d held-back pictures are right\n' % (right, len(answers)))
    wrong = [answer for answer in answers if answer[0] != answer[1]]
    shown = answers[::max(1, len(answers) // 4)][:4] + wrong[:1]
    draw_side_by_side([draw(png, str(label), truth) for label, truth, png in shown])
    return job, 100.0 * right / len(answers)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--et', default='build/et', help='the program')
    parser.add_argument('--folder', default='demo', help='where the demo keeps its data')
    parser.add_argument('--per-class', type=int, default=160, help='pictures a label')
    arguments = parser.parse_args()
    folder = os.path.abspath(arguments.folder)
    os.makedirs(folder, exist_ok=True)
    images = os.path.join(folder, 'images-%d.tar.gz' % arguments.per_class)
    if not os.path.exists(images):
        step('Drawing %d pictures from the fonts of this machine' % (arguments.per_class * len(make_images.CLASSES)))
        make_images.write_archive(images + '.part', arguments.per_class)
        os.rename(images + '.part', images)

    data = os.path.join(folder, 'data')
    server, url = start_server(arguments.et, data)
    try:
        print('et serve is %s' % url)
        user = credentials(folder)
        client = Client(url, user['username'], user['password'])
        job, accuracy = work(client, user, images)
        model = os.path.join(folder, 'trained.caffemodel')
        with open(model, 'wb') as file:
            file.write(client.request('GET', '/blobs/%s/trained.caffemodel' % job['_id']))
        log = os.path.join(folder, 'training.log')
        with open(log, 'wb') as file:
            file.write(client.request('GET', '/training-jobs/%s/logs' % job['_id']))
    finally:
        server.terminate()
        server.wait()
    shell = lambda path: path if ' ' not in path else "'%s'" % path
    print('\nmodel:       %s\nlog:         %s' % (shell(model), shell(log)))
    print('start again: %s serve --data %s' % (shell(arguments.et), shell(data)))
    print('user:        %s (password in %s)' % (user['username'], shell(os.path.join(folder, 'user.json'))))
    print('accuracy: %.1f %%' % accuracy)
    if accuracy < ACCURACY_WANTED:
        sys.exit('fewer than %.0f %% of the held-back pictures are right' % ACCURACY_WANTED)


if __name__ == '__main__':
    main()
