#!/usr/bin/python3
"""Every test, in every build: what `make test` calls.

Builds the tree three times (plain; with address and undefined-behaviour
sanitizers; with the thread sanitizer), runs the suites that belong to each,
and ends with what failed, and one line: N passed, N failed, N skipped.
"""
import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# folder, Meson options, suites (none: all)
BUILDS = [
    ('build', [], []),
    ('build-asan', ['-Db_sanitize=address,undefined', '-Db_lundef=false'], []),
    ('build-tsan', ['-Db_sanitize=thread', '-Db_lundef=false'], ['store', 'api']),
]

SANITIZER_OPTIONS = {
    'ASAN_OPTIONS': 'abort_on_error=1:detect_leaks=1:detect_stack_use_after_return=1',
    'UBSAN_OPTIONS': 'halt_on_error=1:print_stacktrace=1',
    'TSAN_OPTIONS': 'halt_on_error=1:second_deadlock_stack=1',
    'LSAN_OPTIONS': 'suppressions=' + os.path.join(ROOT, 'tests', 'lsan.supp') + ':print_suppressions=0',
}


def build(folder, options):
    is_there = os.path.exists(os.path.join(ROOT, folder, 'build.ninja'))
    # `make` alone builds without the tests.
    setup = ['meson', 'configure' if is_there else 'setup', folder, '-Dtests=true'] + options
    subprocess.run(setup, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(['ninja', '-C', folder, '--quiet'], cwd=ROOT, check=True)


def run(folder, suites):
    """Runs the suites of one build; returns (passed, failed, skipped)."""
    command = ['meson', 'test', '-C', folder, '--no-rebuild', '--print-errorlogs',
               '--num-processes', str(2 * (os.cpu_count() or 1))]  # half of them wait
    for suite in suites:
        command += ['--suite', suite]
    status = subprocess.run(command, cwd=ROOT, env=dict(os.environ, **SANITIZER_OPTIONS)).returncode
    counts = [0, 0, 0]
    report = os.path.join(ROOT, folder, 'meson-logs', 'testlog.junit.xml')
    for suite in xml.parse(report).getroot().iter('testsuite'):
        total, failed, skipped = (int(suite.get(k, 0)) for k in ('tests', 'failures', 'skipped'))
        failed += int(suite.get('errors', 0))
        counts[0] += total - failed - skipped
        counts[1] += failed
        counts[2] += skipped
    if status and not counts[1]:
        counts[1] = 1  # a runner that ended badly without a failed line
    return counts


def failures(folder):
    """The lines of one build's log that say what failed: each test, its bad lines and their reasons."""
    with open(os.path.join(ROOT, folder, 'meson-logs', 'testlog.json'), encoding='utf-8') as log:
        tests = [json.loads(line) for line in log]
    for test in tests:
        if test['result'] in ('OK', 'SKIP'):
            continue
        yield '%s: %s: %s, exit status %s' % (folder, test['name'], test['result'], test['returncode'])
        is_reason = False
        for line in test.get('stdout', '').splitlines():
            is_reason = line.startswith('not ok') or (is_reason and line.startswith('#'))
            if is_reason:
                yield '    ' + line
        for line in test.get('stderr', '').splitlines()[-20:]:
            yield '    ' + line


def main():
    totals = [0, 0, 0]
    failed = []
    for folder, options, suites in BUILDS:
        start = time.monotonic()
        print('== %s %s' % (folder, ' '.join(options)), flush=True)
        try:
            build(folder, options)
            counts = run(folder, suites)
            if counts[1]:
                failed += failures(folder)
        except subprocess.CalledProcessError as error:
            print(error, file=sys.stderr)
            counts = [0, 1, 0]
        totals = [a + b for a, b in zip(totals, counts)]
        print('== %s: %d passed, %d failed, %d skipped, %.0f s'
              % (folder, *counts, time.monotonic() - start), flush=True)
    for line in failed:
        print(line)
    print('%d passed, %d failed, %d skipped' % tuple(totals))
    return 1 if totals[1] else 0


if __name__ == '__main__':
    sys.exit(main())
