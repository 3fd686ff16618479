#!/usr/bin/python3
"""Five nets: training steps and predictions of et, BVLC Caffe, PyTorch and OpenCV, time and memory.

    CAFFE=/path/to/caffe bench/nets_run.py [rounds] [--nets a,b] [--threads 1,2] [--batch N] [--batches 1,32]

A step is a whole one: data, forward, backward, momentum update.  Rounds are interleaved, and the fastest of them counts,
by the median of its steps: for et and Caffe from one line of their log to the next, PyTorch and OpenCV measure their
own loop.  --batch is
that of the big nets in training, --batches are those of predictions.  Memory is the peak of the resident set.  The
share of the processor's peak counts the operations of direct convolutions, which Winograd's algorithm does not need.
"""
import argparse
import datetime
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import common

PYTHON = '/usr/bin/python3'
PEAK = os.path.join(os.path.dirname(common.ET), 'bench', 'bench_peak')
NETS = ['lenet', 'cifar10_quick', 'alexnet', 'googlenet', 'resnet50']
STEPS = {'lenet': 200, 'cifar10_quick': 40}  # of a run; 3 otherwise
BIG = ['googlenet', 'resnet50']
SOLVER = ('net: "%s" base_lr: 0.0001 momentum: 0.9 weight_decay: 0.0005 lr_policy: "fixed" display: 1 max_iter: %d '
          'random_seed: 1 snapshot_prefix: "%s" snapshot_after_train: %s test_initialization: false\n')


# A line of the log each step begins with the time, as glog writes it.
STEP = re.compile(r'^I(?:\d{4})?\d{4} (\d\d:\d\d:\d\d\.\d{6}) .*\] +(?:Iteration|Batch) (\d+)[ ,]', re.MULTILINE)


def run(command, folder, threads):
    """(seconds, MiB at the peak, output)."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads))
    start = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        took = time.monotonic() - start
        log.seek(0)
        text = log.read().decode('utf-8', 'replace')
    if process.returncode:
        sys.exit('%s: exit status %d\n%s' % (' '.join(command), process.returncode, text[-2000:]))
    return took, usage.ru_maxrss / 1024, text


class Bench:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.batches = [int(word) for word in args.batches.split(',')]

    def generate(self, net, batch, data, name):
        text = subprocess.run([sys.executable, os.path.join(common.HERE, 'nets.py'), net, '--batch', str(batch),
                               '--data', data], capture_output=True, text=True, check=True).stdout
        path = os.path.join(self.folder, name)
        with open(path, 'w') as file:
            file.write(text)
        return path

    def solver(self, net, iterations, snapshot=False):
        path = os.path.join(self.folder, 'solver_%d.prototxt' % iterations)
        with open(path, 'w') as file:
            file.write(SOLVER % (net, iterations, os.path.join(self.folder, 'trained'), str(snapshot).lower()))
        return path

    def logged_loop(self, command, threads):
        """Seconds of a step, the median of all but the first, and MiB."""
        _, mib, text = run(command, self.folder, threads)
        at = {int(n): datetime.datetime.strptime(time, '%H:%M:%S.%f') for time, n in STEP.findall(text)}
        took = [(at[n + 1] - at[n]).total_seconds() % 86400 for n in at if n > 0 and n + 1 in at]
        return statistics.median(took), mib

    def own_loop(self, command, threads):
        _, mib, text = run(command, self.folder, threads)
        return float(text.split()[-1]), mib

    def training(self, peer, net, steps, threads):
        if peer == 'PyTorch':
            return self.own_loop([PYTHON, os.path.join(common.HERE, 'nets_torch.py'), net, 'train', str(threads),
                                  str(steps)], threads)
        solver = self.solver(net, 2 + steps)
        if peer == 'et':
            return self.logged_loop([common.ET, 'train', '--solver=' + solver, '--threads=%d' % threads], threads)
        return self.logged_loop([common.CAFFE, 'train', '-solver=' + solver], threads)

    def predicting(self, peer, net, batch, steps, threads):
        plain = os.path.join(self.folder, '%s_%d.prototxt' % (net, batch))
        deployed = os.path.join(self.folder, '%s_%d_input.prototxt' % (net, batch))
        weights = os.path.join(self.folder, net + '.caffemodel')
        if peer == 'PyTorch':
            return self.own_loop([PYTHON, os.path.join(common.HERE, 'nets_torch.py'), deployed, 'test', str(threads),
                                  str(steps)], threads)
        if peer == 'OpenCV':
            return self.own_loop([PYTHON, os.path.join(common.HERE, 'nets_opencv.py'), deployed, weights, str(batch),
                                  str(threads), str(steps)], threads)
        program = [common.ET, 'test', '--threads=%d' % threads] if peer == 'et' else [common.CAFFE, 'test']
        return self.logged_loop(program + ['-model=' + plain, '-weights=' + weights, '-iterations=%d' % (2 + steps)],
                                threads)

    def prepare(self, net):
        """The nets of each batch, and weights that fit them."""
        for batch in self.batches:
            plain = self.generate(net, batch, 'dummy', '%s_%d.prototxt' % (net, batch))
            self.generate(net, batch, 'input', '%s_%d_input.prototxt' % (net, batch))
            if batch == self.batches[0]:
                run([common.ET, 'train', '--solver=' + self.solver(plain, 1, True)], self.folder, 1)
        os.rename(os.path.join(self.folder, 'trained_iter_1.caffemodel'),
                  os.path.join(self.folder, net + '.caffemodel'))

    def interleaved(self, peers, measure):
        """peer: (seconds a step, MiB)."""
        results = {peer: [] for peer in peers}
        for _ in range(self.args.rounds):
            for peer in peers:
                results[peer].append(measure(peer))
        return {peer: (min(r[0] for r in rows), max(r[1] for r in rows)) for peer, rows in results.items()}


def row(name, threads, results):
    base_s, base_mib = results['et']
    cells = [name, threads, '%.1f ms' % (1e3 * base_s), '%.0f MiB' % base_mib]
    for peer, (seconds, mib) in results.items():
        if peer != 'et':
            cells.append('%s %.2fx (%.0f MiB)' % (peer, seconds / base_s, mib))
    return cells


def training_operations(net):
    """Forward, and twice as many backward, but for the first layer: nobody wants the gradient of the data."""
    checked = json.loads(subprocess.run([common.ET, 'check', net, '--phase=TRAIN', '--json'], capture_output=True,
                                        text=True, check=True).stdout)
    return 3 * checked['operations'] - next(l['operations'] for l in checked['layers'] if l['operations'])


def share_of_peak(net, threads, seconds):
    peak = float(subprocess.run([PEAK], capture_output=True, text=True, check=True).stdout)
    return '%.0f %% of %d x %.0f GFLOP/s' % (training_operations(net) / seconds / threads / peak / 1e7, threads, peak)


def has(module):
    return subprocess.run([PYTHON, '-c', 'import ' + module], stderr=subprocess.DEVNULL).returncode == 0


def two_jobs(bench):
    """Work a second of two one-thread jobs at once, times that of one job on two threads."""
    net, steps = os.path.join(common.HERE, 'nets', 'cifar10_quick.prototxt'), 60
    together, alone = [], []
    for _ in range(bench.args.rounds):
        start = time.monotonic()
        jobs = [subprocess.Popen([common.ET, 'train', '--solver=' + bench.solver(net, steps), '--threads=1'],
                                 stderr=subprocess.DEVNULL) for _ in range(2)]
        if any(job.wait() for job in jobs):
            sys.exit('a job failed')
        together.append(time.monotonic() - start)
        alone.append(run([common.ET, 'train', '--solver=' + bench.solver(net, 2 * steps), '--threads=2'],
                         bench.folder, 2)[0])
    return min(alone) / min(together)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('rounds', nargs='?', type=int, default=3)
    parser.add_argument('--nets', default=','.join(NETS))
    parser.add_argument('--threads', default='1,2')
    parser.add_argument('--batches', default='1,32')
    parser.add_argument('--batch', type=int)
    args = parser.parse_args()
    peers = ['et'] + (['Caffe'] if common.CAFFE else []) + (['PyTorch'] if has('torch') else [])
    nets, threads = args.nets.split(','), [int(n) for n in args.threads.split(',')]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, folder)
        rows = []
        for net in nets:
            path = os.path.join(common.HERE, 'nets', net + '.prototxt')
            if net in BIG and args.batch:
                path = bench.generate(net, args.batch, 'dummy', 'training.prototxt')
            for n in threads:
                results = bench.interleaved(peers, lambda peer: bench.training(peer, path, STEPS.get(net, 3), n))
                rows.append(row(net, n, results) + [share_of_peak(path, n, results['et'][0])])
        common.table('A training step, others as times et\'s',
                     ('net', 'threads', 'et', 'memory') + ('',) * (len(peers) - 1) + ('et of the peak',), rows)
        rows = []
        for net in (net for net in nets if net in BIG):
            bench.prepare(net)
            for batch in bench.batches:
                for n in threads:
                    rows.append(row('%s, batch %d' % (net, batch), n, bench.interleaved(
                        peers + (['OpenCV'] if has('cv2') else []),
                        lambda peer: bench.predicting(peer, net, batch, 10 if batch == 1 else 2, n))))
        common.table('Predictions of a batch, others as times et\'s',
                     ('net', 'threads', 'et', 'memory', '', '', ''), rows)
        common.table('Two one-thread jobs at once', ('measured', 'wanted'),
                     [('%.2f times the work of one on two threads' % two_jobs(bench), 'at least 1')])


if __name__ == '__main__':
    main()
