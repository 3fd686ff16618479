#!/usr/bin/python3
"""A PostgreSQL server in a temporary folder, for tests and benchmarks.

    tests/postgres.py COMMAND...      runs it with ET_TEST_POSTGRES=URL, then stops the server

It listens on a Unix socket in its folder only.  The server refuses to run as
root: then it runs as Debian's user postgres.
"""
import atexit
import glob
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile

SETTINGS = {
    'listen_addresses': '', 'max_connections': '60', 'shared_buffers': '64MB', 'log_min_messages': 'fatal',
    'autovacuum_naptime': '5s',
}


def programs():
    """Debian keeps them out of the path, a folder a version."""
    folders = sorted(glob.glob('/usr/lib/postgresql/*/bin'), key=lambda p: int(p.split('/')[4]))
    return folders[-1] if folders else os.path.dirname(shutil.which('initdb') or '/missing/initdb')


class Postgres:
    """durable=False: as fast as tests like it; survives the end of its processes, not of the machine."""

    def __init__(self, durable=False):
        self.bin = programs()
        self.demote = None
        base = tempfile.gettempdir()
        if os.geteuid() == 0:
            self.user = pwd.getpwnam('postgres')
            self.demote = {'user': self.user.pw_uid, 'group': self.user.pw_gid, 'extra_groups': []}
            if subprocess.run(['test', '-x', base], cwd='/', **self.demote).returncode:
                base = '/tmp'
        self.folder = tempfile.mkdtemp(prefix='et-pg-', dir=base)
        self.data = os.path.join(self.folder, 'data')
        self.settings = dict(SETTINGS)
        if not durable:
            self.settings['fsync'] = 'off'
        if self.demote:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        os.chmod(self.folder, 0o755)  # the socket is for others
        self.call([os.path.join(self.bin, 'initdb'), '-D', self.data, '-U', 'et', '-A', 'trust', '-E', 'UTF8',
                   '--locale=C', '--no-sync'])
        self.process = None
        self.start()
        self.url = 'postgres://et@/postgres?host=' + self.folder

    def schema(self, name):
        """The URL of a database of its own, as far as one server can tell."""
        self.query('CREATE SCHEMA ' + name)
        return '%s&options=-csearch_path%%3D%s' % (self.url, name)

    def call(self, command):
        done = subprocess.run(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, **(self.demote or {}))
        if done.returncode:
            raise RuntimeError('%s: %s' % (command[0], done.stdout.decode('utf-8', 'replace')))

    def start(self):
        """Returns when it takes connections."""
        self.log = open(os.path.join(self.folder, 'log'), 'ab')
        command = [os.path.join(self.bin, 'postgres'), '-D', self.data, '-k', self.folder]
        for name, value in self.settings.items():
            command += ['-c', '%s=%s' % (name, value)]
        self.process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, **(self.demote or {}))
        asked = [os.path.join(self.bin, 'pg_isready'), '-q', '-h', self.folder]
        while subprocess.run(asked, cwd='/').returncode:
            try:
                self.process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError('PostgreSQL does not start: ' + self.log_text())

    def log_text(self):
        with open(os.path.join(self.folder, 'log'), encoding='utf-8', errors='replace') as file:
            return file.read()[-3000:]

    def kill(self):
        """As when the machine's power goes, for the processes: the postmaster and its children."""
        with open('/proc/%d/task/%d/children' % (self.process.pid, self.process.pid)) as file:
            children = [int(pid) for pid in file.read().split()]
        self.process.kill()
        for pid in children:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.log.close()

    def query(self, sql, url=None):
        """Rows of text columns."""
        done = subprocess.run([os.path.join(self.bin, 'psql'), '-X', '-q', '-A', '-t', '-F', '\t', '-v', 'ON_ERROR_STOP=1',
                               '-d', url or self.url, '-c', sql], check=True, stdout=subprocess.PIPE, text=True, cwd='/')
        return [line.split('\t') for line in done.stdout.splitlines()]

    def close(self):
        self.process.send_signal(signal.SIGQUIT)  # at once: nothing here has to last
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder)


def shared():
    """One server for all that this process tests."""
    if not hasattr(shared, 'server'):
        shared.server = Postgres()
        atexit.register(shared.server.close)
    return shared.server


def main():
    server = Postgres()
    try:
        status = subprocess.run(sys.argv[1:], env=dict(os.environ, ET_TEST_POSTGRES=server.url)).returncode
    finally:
        server.close()
    sys.exit(status if status >= 0 else 128 - status)


if __name__ == '__main__':
    main()
