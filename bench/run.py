#!/usr/bin/python3
"""Every benchmark in turn: what `make bench` calls."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BENCHES = ['lenet.py', 'precision.py', 'service.py', 'watch.py', 'queue.py']


def main():
    failed = [name for name in BENCHES
              if subprocess.run(['/usr/bin/python3', os.path.join(HERE, name)] + sys.argv[1:]).returncode]
    if failed:
        sys.exit('failed: ' + ', '.join(failed))


if __name__ == '__main__':
    main()
