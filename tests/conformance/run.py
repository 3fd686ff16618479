#!/usr/bin/python3
"""Caffe's recorded cases against this build, in TAP, a line a case.

    tests/conformance/run.py build/et [REGEX]

Ends with: N passed, N failed.
"""
import argparse
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import compare

HERE = os.path.dirname(os.path.abspath(__file__))


def options(engine):
    """compare.py's options for our engine: its defaults, and every log line compared."""
    return argparse.Namespace(engine=engine, suite=HERE, rel=1e-3, abs=1e-5, upd=1e-2, timeout=300, strict_log=True,
                              strict_shape=True, keep=False, tmp=None)


def on_one_thread(case):
    """The case with its commands on one thread each: cases run beside each other instead."""
    commands = [command + ' --threads=1' for command in case['commands'].split(' ;; ')]
    return dict(case, commands=' ;; '.join(commands))


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    engine = os.path.abspath(sys.argv[1])
    wanted = re.compile(sys.argv[2] if len(sys.argv) > 2 else '')
    index = compare.load_index(os.path.join(HERE, 'INDEX.tsv'))
    cases = [on_one_thread(case) for case in index if wanted.search(case['case'])]
    print('1..%d' % len(cases))
    n_failed = 0
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        runs = pool.map(lambda case: compare.run_case(case, options(engine)), cases)
        for number, (case, difference, notes, _) in enumerate(runs, 1):
            failed = bool(difference.msgs)
            n_failed += failed
            print('%s %d - %s' % ('not ok' if failed else 'ok', number, case['case']), flush=True)
            if failed:
                for message in difference.msgs[:4] + notes[:2]:
                    print('# ' + message)
    print('# %d passed, %d failed' % (len(cases) - n_failed, n_failed))
    sys.exit(1 if n_failed else 0)


if __name__ == '__main__':
    main()
