#!/usr/bin/python3
"""LeNet with Caffe's own settings, whole runs: et, BVLC Caffe, PyTorch, in turn.

    CAFFE=/path/to/caffe MNIST=/path/to/folder bench/lenet.py [rounds]

A run is a process from start to end: 1,000 iterations of 64 with the data
feed, updates, and tests at 0, 500 and 1,000.
"""
import os
import re
import subprocess
import sys
import tempfile

import common


def accuracy(text):
    found = re.findall(r'Test net output #\d+: accuracy = ([0-9.]+)', text)
    return float(found[-1]) if found else float('nan')


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    runs = {'et train': [common.ET, 'train', '--solver=solver.prototxt']}
    if common.CAFFE:
        runs['BVLC Caffe'] = [common.CAFFE, 'train', '--solver=solver.prototxt']
    torch = ['/usr/bin/python3', os.path.join(common.HERE, 'lenet_torch.py')]
    if subprocess.run(['/usr/bin/python3', '-c', 'import torch'], stderr=subprocess.DEVNULL).returncode == 0:
        runs['PyTorch'] = torch
    seconds, reached = {name: [] for name in runs}, {}
    with tempfile.TemporaryDirectory() as folder:
        data = common.prepare_digits(folder)
        for _ in range(rounds):
            for name, command in runs.items():
                seconds[name].append(common.quiet(command, folder))
                reached[name] = accuracy(common.quiet.text)
    base = seconds['et train']
    rows = []
    for name in runs:
        ratio = '' if name == 'et train' else common.spread([b / a for a, b in zip(base, seconds[name])])
        rows.append((name, common.spread(seconds[name]), '%.2f %%' % (100 * reached[name]), ratio))
    common.table('LeNet, 1,000 iterations of 64, %s, %d processors' % (data, os.cpu_count()),
                 ('', 'seconds', 'test accuracy', 'times et\'s'), rows)


if __name__ == '__main__':
    main()
