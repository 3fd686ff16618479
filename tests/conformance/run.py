#!/usr/bin/python3
"""Caffe's recorded cases against this build, in TAP, a line a case.

    tests/conformance/run.py build/et [REGEX]

not-yet.tsv lists the cases whose layers or features this build does not have:
case, tab, reason.  They are run too, and one that passes is a failure, so
that the list stays true.  Ends with: N passed, N failed, N skipped.
"""
import argparse
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import compare

HERE = os.path.dirname(os.path.abspath(__file__))


def not_yet():
    """Case -> reason."""
    rows = {}
    with open(os.path.join(HERE, 'not-yet.tsv')) as file:
        for line in file:
            if line.strip() and not line.startswith('#'):
                case, reason = line.rstrip('\n').split('\t')
                rows[case] = reason
    return rows


def options(engine):
    """compare.py's options for our engine: its defaults, and every log line compared."""
    return argparse.Namespace(engine=engine, suite=HERE, rel=1e-3, abs=1e-5, upd=1e-2, timeout=300, strict_log=True,
                              strict_shape=True, keep=False, tmp=None)


def on_one_thread(case):
    """The case with its commands on one thread each: cases run beside each other instead."""
    commands = [command + ' --threads=1' for command in case['commands'].split(' ;; ')]
    return dict(case, commands=' ;; '.join(commands))


def verdict(passed, reason):
    """'passed', 'failed' or 'skipped', and what to say about it."""
    if reason is None:
        return ('passed', '') if passed else ('failed', '')
    if passed:
        return 'failed', 'passes, but is in not-yet.tsv (%s): take it out' % reason
    return 'skipped', reason


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    engine = os.path.abspath(sys.argv[1])
    wanted = re.compile(sys.argv[2] if len(sys.argv) > 2 else '')
    reasons = not_yet()
    index = compare.load_index(os.path.join(HERE, 'INDEX.tsv'))
    unknown = sorted(set(reasons) - {case['case'] for case in index})
    if unknown:
        sys.exit('not-yet.tsv names cases that do not exist: ' + ', '.join(unknown))
    cases = [on_one_thread(case) for case in index if wanted.search(case['case'])]
    print('1..%d' % len(cases))
    counts = {'passed': 0, 'failed': 0, 'skipped': 0}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        runs = pool.map(lambda case: compare.run_case(case, options(engine)), cases)
        for number, (case, difference, notes, _) in enumerate(runs, 1):
            outcome, note = verdict(not difference.msgs, reasons.get(case['case']))
            counts[outcome] += 1
            print('%s %d - %s%s' % ('not ok' if outcome == 'failed' else 'ok', number, case['case'],
                                    ' # SKIP ' + note if outcome == 'skipped' else ''), flush=True)
            if outcome == 'failed':
                for message in ([note] if note else []) + difference.msgs[:4] + notes[:2]:
                    print('# ' + message)
    print('# %(passed)d passed, %(failed)d failed, %(skipped)d skipped' % counts)
    sys.exit(1 if counts['failed'] else 0)


if __name__ == '__main__':
    main()
