#!/usr/bin/python3
"""Training steps in f32 and in bf16 in turn, where the processor has avx512_bf16.

    bench/precision.py [rounds [net...]]

The nets are files of bench/nets without their ending; one thread.  The time is that of the processor, which other
programs on the machine disturb least.
"""
import os
import re
import subprocess
import sys

import common

STEP = os.path.join(os.path.dirname(common.ET), 'bench', 'bench_step')
NETS = ['lenet', 'cifar10_quick', 'alexnet', 'googlenet']


def step_ms(net, precision):
    command = [STEP, os.path.join(common.HERE, 'nets', net + '.prototxt'), '1', '2', precision]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, 'OMP_NUM_THREADS': '1'})
    if 'precision bf16 needs' in done.stderr:
        print('bench/precision.py: ' + done.stderr.strip())
        sys.exit(0)
    if done.returncode:
        sys.exit(done.stderr.strip())
    return float(re.search(r'processor ([0-9.]+)', done.stdout).group(1))


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    rows = []
    for net in sys.argv[2:] or NETS:
        full, half = [], []
        for _ in range(rounds):
            full.append(step_ms(net, 'f32'))
            half.append(step_ms(net, 'bf16'))
        ratios = [a / b for a, b in zip(full, half)]
        rows.append((net, common.spread(full), common.spread(half), common.spread(ratios)))
    common.table('Training steps by precision, processor time, one thread',
                 ('net', 'f32, ms', 'bf16, ms', 'f32 / bf16'), rows)


if __name__ == '__main__':
    main()
