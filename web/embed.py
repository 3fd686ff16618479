#!/usr/bin/python3
"""Writes files as C arrays: embed.py OUT.h NAME=FILE..."""
import sys


def array(name, data):
    lines = [', '.join(str(b) for b in data[i:i + 24]) for i in range(0, len(data), 24)]
    return 'static const char %s[] = {\n%s};\n' % (name, ''.join('    %s,\n' % line for line in lines))


with open(sys.argv[1], 'w') as out:
    for word in sys.argv[2:]:
        name, path = word.split('=', 1)
        with open(path, 'rb') as file:
            out.write(array(name, bytes(b if b < 128 else ord('?') for b in file.read())))
