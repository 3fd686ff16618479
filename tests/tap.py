#!/usr/bin/python3
"""Runs one unittest file and prints TAP, a line a test, for Meson.

    ET=build/et tests/tap.py tests/api/test_http.py
"""
import os
import sys
import unittest


class TapResult(unittest.TestResult):
    """Prints each test's line as it ends."""

    def __init__(self):
        super().__init__()
        self.number = 0

    def line(self, ok, test, note=''):
        self.number += 1
        print('%s %d - %s%s' % ('ok' if ok else 'not ok', self.number, test.id(), note), flush=True)

    def trouble(self, test, err):
        self.line(False, test)
        for text in self._exc_info_to_string(err, test).splitlines():
            print('# ' + text, flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.line(True, test)

    def addError(self, test, err):
        super().addError(test, err)
        self.trouble(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.trouble(test, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.line(True, test, ' # SKIP ' + reason)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self.trouble(subtest, err)


def of_this_database(suite):
    """The tests, but those whose class or method has an `only_database` that is not the tested one."""
    database = os.environ.get('ET_TEST_DATABASE', 'sqlite')
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from of_this_database(test)
        elif {getattr(place, 'only_database', database)
              for place in (type(test), getattr(test, test.id().rsplit('.', 1)[1], None))} == {database}:
            yield test


def main():
    path = os.path.abspath(sys.argv[1])
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:0] = [os.path.dirname(path), os.path.join(here, 'api'), os.path.join(here, 'fault')]
    suite = unittest.defaultTestLoader.loadTestsFromName(os.path.splitext(os.path.basename(path))[0])
    result = TapResult()
    unittest.TestSuite(of_this_database(suite)).run(result)
    print('1..%d' % result.number)
    sys.exit(0 if result.wasSuccessful() else 1)


if __name__ == '__main__':
    main()
