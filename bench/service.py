#!/usr/bin/python3
"""What the service adds to the work itself.

Start-up of a job on an idle server; LeNet through the service against
`et train` alone; two one-thread jobs at once against one; memory of the
server while 1 GiB goes up and down.
"""
import datetime
import http.client
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

import common

GIB = 1 << 30


def archive(folder, name):
    """A folder as the bytes of a .tar.gz."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w:gz', compresslevel=1) as tar:
        tar.add(os.path.join(folder, name), name)
    return out.getvalue()


def make_solver(server, folder):
    """Datafiles, dataset and solver of the digits; returns the solver's id."""
    ids = []
    for name in ('train_lmdb', 'test_lmdb'):
        document = b'{"layers_type": "DATA", "layers_data_param": {"backend": "LMDB"}}'
        ids.append(server.upload('/datafiles', [('document', None, document),
                                                ('url', name + '.tar.gz', archive(folder, name))])['id'])
    dataset = server.json('POST', '/datasets', {'training': {'datafile-id': ids[0], 'split-percentage': 0.0},
                                                'test': {'datafile-id': ids[1], 'split-percentage': 0.0}})['_id']
    server.wait('/datasets/' + dataset)
    read = lambda name: open(os.path.join(folder, name), 'rb').read()
    return server.upload('/solvers', [('document', None, ('{"dataset-id": "%s"}' % dataset).encode()),
                                      ('specification-url', 'solver.prototxt', read('solver.prototxt')),
                                      ('specification-net-url', 'net.prototxt', read('net.prototxt'))])['_id']


def first_line_at(server, job):
    """Wall-clock time of the child's first log line, from its own stamp (LMMDD hh:mm:ss.uuuuuu)."""
    text = server.request('GET', '/training-jobs/%s/logs' % job).decode()
    stamp = re.search(r'^I(\d{4} \d\d:\d\d:\d\d\.\d{6})', text, re.M).group(1)
    year = datetime.datetime.now().year
    return datetime.datetime.strptime('%d%s' % (year, stamp), '%Y%m%d %H:%M:%S.%f').timestamp()


def run_jobs(server, solver, jobs, threads):
    """Seconds from the first 201 to the end of the last job, and the first's start-up in ms."""
    start, ids, accepted = time.monotonic(), [], None
    for _ in range(jobs):
        ids.append(server.json('POST', '/training-jobs', {'solver-id': solver, 'threads': threads})['_id'])
        accepted = accepted or time.time()
    for job in ids:
        server.wait('/training-jobs/' + job)
    return time.monotonic() - start, 1000 * (first_line_at(server, ids[0]) - accepted)


def bare_jobs(folder, jobs):
    """Seconds that as many `et train --threads=1` at once take, without any service: the machine's limit."""
    start = time.monotonic()
    command = [common.ET, 'train', '--solver=solver.prototxt', '--threads=1']
    running = [subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) for _ in range(jobs)]
    for process in running:
        if process.wait():
            sys.exit('et train: exit status %d' % process.returncode)
    return time.monotonic() - start


def measure_jobs(rounds):
    cores = os.cpu_count()
    alone, service, starts, one, two, limit = [], [], [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        data = common.prepare_digits(folder)
        with common.Server(workers=1) as wide, common.Server(workers=2) as pair:
            wide_solver, pair_solver = make_solver(wide, folder), make_solver(pair, folder)
            for _ in range(rounds):
                alone.append(common.quiet([common.ET, 'train', '--solver=solver.prototxt', '--threads=%d' % cores], folder))
                took, start = run_jobs(wide, wide_solver, 1, cores)
                service.append(took)
                starts.append(start)
                one.append(run_jobs(pair, pair_solver, 1, 1)[0])
                two.append(run_jobs(pair, pair_solver, 2, 1)[0])
                limit.append(2 * bare_jobs(folder, 1) / bare_jobs(folder, 2))
    common.table('LeNet, 1,000 iterations of 64, %s, %d processors, %d rounds' % (data, cores, rounds),
                 ('', 'measured', 'wanted'), [
                     ('from 201 to the first log line, ms', common.spread(starts), 'at most 100'),
                     ('through the service / et train alone', common.spread([s / a for s, a in zip(service, alone)]),
                      'at most 1.05'),
                     ('two one-thread jobs at once / one, in work per second',
                      common.spread([2 * a / b for a, b in zip(one, two)]), 'at least 1.8'),
                     ('the same without the service', common.spread(limit), '')])


class Noise:
    """A file of bytes that do not compress, made as it is read; close to random, cheap."""

    def __init__(self, size):
        self.left, self.block = size, os.urandom(1 << 20)

    def read(self, n=-1):
        part = self.block[:min(n if n >= 0 else len(self.block), self.left, len(self.block))]
        self.left -= len(part)
        return part


def peak_mib(pid):
    with open('/proc/%d/status' % pid) as file:
        return int(re.search(r'VmHWM:\s+(\d+)', file.read()).group(1)) / 1024


def measure_transfer():
    with common.Server(workers=0) as server:
        head = (b'--et-bench\r\nContent-Disposition: form-data; name="document"\r\n\r\n{}\r\n'
                b'--et-bench\r\nContent-Disposition: form-data; name="url"; filename="big.tar.gz"\r\n\r\n')
        tail = b'\r\n--et-bench--\r\n'
        connection = http.client.HTTPConnection(server.address, timeout=600)
        start = time.monotonic()
        connection.putrequest('POST', '/datafiles')
        for name, value in (('Authorization', server.authorization),
                            ('Content-Type', 'multipart/form-data; boundary=et-bench'),
                            ('Content-Length', str(len(head) + GIB + len(tail)))):
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(head)
        noise = Noise(GIB)
        while part := noise.read(1 << 20):
            connection.send(part)
        connection.send(tail)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 201:
            sys.exit('upload: %d %s' % (answer.status, text))
        up = time.monotonic() - start
        datafile = common.json.loads(text)['id']
        start = time.monotonic()
        connection.request('GET', '/blobs/%s/big.tar.gz' % datafile, headers={'Authorization': server.authorization})
        answer, received = connection.getresponse(), 0
        while part := answer.read(1 << 20):
            received += len(part)
        down = time.monotonic() - start
        if received != GIB:
            sys.exit('download: %d bytes' % received)
        # The limit: the same bytes through one file of the same disk.
        start = time.monotonic()
        with tempfile.TemporaryFile(dir=server.folder) as file:
            shutil.copyfileobj(Noise(GIB), file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
        disk = time.monotonic() - start
        common.table('1 GiB in one request', ('', 'measured', 'wanted'), [
            ('peak memory of the server, MiB', '%.0f' % peak_mib(server.process.pid), 'under 64'),
            ('upload, MiB/s (a plain file of the same disk: %.0f)' % (1024 / disk), '%.0f' % (1024 / up), ''),
            ('download, MiB/s', '%.0f' % (1024 / down), '')])


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    measure_transfer()
    measure_jobs(rounds)


if __name__ == '__main__':
    main()
