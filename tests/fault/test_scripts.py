#!/usr/bin/python3
"""Scripts as jobs: the good ones by their contract, the bad ones contained and reported.

    ET=build/et python3 -m unittest tests/fault/test_scripts.py
"""
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import unittest

from service import ET, Service

MIB = 1 << 20
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIMITS = ['--script-disk', '64M', '--script-processes', '64', '--script-log', '1M', '--script-grace', '1']
PYTHON = '/usr/bin/python3'


def sandbox_works():
    try:
        return not subprocess.run(['bwrap', '--ro-bind', '/', '/', '--unshare-all', 'true'],
                                  stderr=subprocess.DEVNULL).returncode
    except FileNotFoundError:
        return False


def bundle(files, executable=()):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w:gz') as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            entry.mode = 0o755 if name in executable else 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


def processes_with(mark):
    """Numbers of the processes on this machine whose command line has the mark."""
    found = []
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/cmdline' % name, 'rb') as file:
                if mark.encode() in file.read() and int(name) != os.getpid():
                    found.append(int(name))
        except OSError:
            continue
    return found


class Case(unittest.TestCase):
    serve, worker = [], LIMITS

    @classmethod
    def setUpClass(cls):
        if not sandbox_works():
            raise unittest.SkipTest('bubblewrap does not work on this machine')
        cls.service = Service(serve=cls.serve, worker=cls.worker)
        cls.service.register()

    @classmethod
    def tearDownClass(cls):
        statuses = cls.service.close()
        log = cls.service.log_text()
        cls.service.remove()
        assert statuses == [0, 0], (statuses, log[-3000:])
        for mark in ('AddressSanitizer', 'LeakSanitizer', 'runtime error:'):
            assert mark not in log, log[log.index(mark):][:6000]

    def run_script(self, text, name='job.py', **document):
        job = self.service.run_script(text, name, **document)
        return self.service.ended('/jobs/' + job)

    def good(self, text, name='job.py', **document):
        ended = self.run_script(text, name, **document)
        self.assertEqual('finished_successfully', ended['processing-state'], (ended, self.log(ended)))
        return ended

    def bad(self, reason, text, name='job.py', **document):
        """Runs a script that must fail with exactly this reason."""
        ended = self.run_script(text, name, **document)
        self.assertEqual('failed', ended['processing-state'], ended)
        self.assertEqual(reason, ended['processing-log'])
        return ended

    def log(self, job):
        return self.service.request('GET', '/jobs/%s/logs' % job['id'])[1]

    def wait_for_log(self, job, text):
        while text not in self.service.request('GET', '/jobs/%s/logs' % job)[1]:
            self.assertIn(self.service.json('GET', '/jobs/' + job)['processing-state'], ('pending', 'processing'))

    def blob(self, job, name):
        status, data = self.service.request('GET', '/blobs/%s/%s' % (job['id'], name))
        self.assertEqual(200, status, (name, data))
        return data

    def refused(self, parts, text):
        """POST /jobs is answered with 400 and this text in the problem."""
        body = b''.join(b'--et-test\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (
            name.encode(), b'; filename="%s"' % file.encode() if file else b'', data) for name, file, data in parts)
        status, data = self.service.request('POST', '/jobs', body + b'--et-test--\r\n', 'multipart/form-data; boundary=et-test')
        self.assertEqual(400, status, data)
        self.assertIn(text, json.loads(data)['detail'])

    def refused_document(self, text, script=b'', **document):
        self.refused([('document', None, json.dumps(document).encode()), ('script', 'a.py', script)], text)


class Contract(Case):
    serve = ['--scripts', ROOT + '/examples/scripts', '--pool', 'big:cpus=8,memory=16G', '--pool', 'cpu:cpus=2,memory=1G']
    worker = LIMITS + ['--pool', 'cpu:cpus=2,memory=1G', '--pool', 'big:cpus=8,memory=16G']

    def test_a_script_gets_its_parameters_and_gives_metrics_a_result_and_artifacts(self):
        job = self.good('''
import json, os, sys
parameters = json.loads(sys.argv[1])
assert parameters == json.load(open('parameters.json')) and len(sys.argv) == 2
for step in range(3):
    print(json.dumps({'metric': 'loss', 'step': step * 10, 'value': 1 / (step + 1)}))
print(json.dumps({'metric': 'counted', 'value': 7}))
print(json.dumps({'metric': 'counted', 'value': float('nan')}))
print(json.dumps({'early': True}))
print('plain words', file=sys.stderr)
with open('artifacts/model.bin', 'wb') as file:
    file.write(bytes(range(256)))
os.makedirs('artifacts/plots/inner')
open('artifacts/plots/inner/a.txt', 'w').write('hi')
print(json.dumps({'sum': parameters['a'] + len(parameters['b']), 'nan': float('nan')}))
''', parameters={'a': 40, 'b': 'ül'})
        self.assertEqual({'sum': 42, 'nan': 'NaN'}, job['result'])
        self.assertEqual(0, job['exit-status'])
        self.assertIsNone(job['signal'])
        self.assertEqual(['model.bin', 'plots.tar.gz'], [a['name'] for a in job['artifacts']])
        self.assertEqual(256, job['artifacts'][0]['size'])
        self.assertEqual(bytes(range(256)), self.blob(job, 'model.bin'))
        with tarfile.open(fileobj=io.BytesIO(self.blob(job, 'plots.tar.gz'))) as tar:
            self.assertEqual(['inner/a.txt'], tar.getnames())
        metrics = self.service.metrics(job['id'])
        self.assertEqual([(0, 1.0), (10, 0.5), (20, 1 / 3)], metrics['loss'])
        self.assertEqual([(0, 7), (1, 'NaN')], metrics['counted'])
        self.assertIn(b'plain words', self.log(job))
        self.assertIn(b'"early"', self.log(job))
        self.assertNotIn(b'plain words', self.blob(job, 'std-out.txt'))

    def test_an_exit_status_is_told_with_the_last_line_on_standard_error(self):
        job = self.bad('exit status 3: the end', '''
import json, sys
print('the start', file=sys.stderr)
print('the end', file=sys.stderr)
print(json.dumps({'status': 400, 'error': 'no data'}))
open('artifacts/part', 'w').write('x')
sys.exit(3)
''')
        self.assertEqual(3, job['exit-status'])
        self.assertEqual({'status': 400, 'error': 'no data'}, job['result'])
        self.assertEqual(b'x', self.blob(job, 'part'))

    def test_any_program_runs_by_its_first_bytes_or_its_ending(self):
        rows = [
            ('a.sh', 'echo "{\\"is\\": \\"sh\\"}"', 'sh'),
            ('b', '#!/bin/sh\necho "{\\"is\\": \\"itself\\"}"', 'itself'),
            ('c.py', 'print(\'{"is": "python"}\')', 'python'),
        ]
        for name, text, result in rows:
            self.assertEqual({'is': result}, self.good(text, name)['result'])
        with open('/bin/true', 'rb') as file:
            self.good(file.read(), 'binary')
        job = self.run_script('neither', 'words.txt')
        self.assertIn("'words.txt' is no program", job['processing-log'])

    def test_a_bundle_is_unpacked_and_its_entry_run(self):
        files = {'main.py': 'import part; part.say("main")', 'sub/other.py': 'print(\'{"from": "other"}\')',
                 'part.py': 'def say(x): print(\'{"from": "%s"}\' % x)'}
        self.assertEqual({'from': 'main'}, self.good(bundle(files), 'b.tar.gz')['result'])
        self.assertEqual({'from': 'other'}, self.good(bundle(files), 'b.tar.gz', entry='sub/other.py')['result'])
        job = self.run_script(bundle({'x.py': ''}), 'b.tar.gz')
        self.assertIn('the bundle has none of run', job['processing-log'])

    def test_inputs_are_laid_out_and_jobs_are_waited_for(self):
        datafile = self.service.form('/datafiles', [('document', None, b'{}'), ('url', 'd.tar.gz', b'the bytes')])['id']
        first = self.service.run_script("open('artifacts/number', 'w').write('41')")
        job = self.good('''
import json
print(json.dumps({'number': int(open('inputs/number').read()) + 1, 'data': open('inputs/data').read()}))
''', inputs=[{'id': first, 'file': 'number'}, {'id': datafile, 'name': 'data'}])
        self.assertEqual({'number': 42, 'data': 'the bytes'}, job['result'])
        self.assertEqual([{'id': first, 'file': 'number', 'name': 'number'},
                          {'id': datafile, 'file': 'd.tar.gz', 'name': 'data'}], job['inputs'])
        failed = self.service.run_script('raise SystemExit(1)')
        after = self.service.ended('/jobs/' + self.service.run_script('', inputs=[{'id': failed, 'file': 'x'}]))
        self.assertEqual('failed', after['processing-state'])

    def test_a_script_of_the_operators_is_run_by_its_plain_name(self):
        job = self.service.json('POST', '/jobs', {'script': 'sklearn_train.py', 'parameters': {'trees': 0}})
        self.assertEqual('sklearn_train.py', job['script'])
        self.service.request('POST', '/jobs/%s/cancel' % job['id'])
        self.service.ended('/jobs/' + job['id'])
        for name in ('../../etc/passwd', 'sub/x', '.hidden', 'none.py', '..'):
            status, data = self.service.request('POST', '/jobs', json.dumps({'script': name}).encode(),
                                                'application/json')
            self.assertEqual(400, status, (name, data))

    def test_a_job_takes_the_smallest_pool_that_holds_it(self):
        rows = [({}, 'cpu'), ({'cpu': 2, 'memory': 1 << 30}, 'cpu'), ({'cpu': 3}, 'big'), ({'memory': 2 << 30}, 'big')]
        for asked, pool in rows:
            job = self.good('import os; print(\'{"threads": %s}\' % os.environ["OMP_NUM_THREADS"])', **asked)
            self.assertEqual(pool, job['pool'], asked)
            self.assertEqual({'threads': asked.get('cpu', 8 if pool == 'big' else 2)}, job['result'])
        self.assertEqual('gpu', self.service.json('GET', '/jobs/' + self.service.run_script('', gpu=1))['pool'])
        self.refused_document('cpu (cpus 2, memory 1 GiB, gpus 0), gpu (', cpu=9)

    def test_wrong_requests_are_refused_with_the_field(self):
        rows = [
            ({'inputs': [{'id': 'f' * 32}]}, "inputs/0: no document"),
            ({'inputs': [{'id': self.service.run_script('')}]}, 'say which of its files'),
            ({'entry': '../x'}, "entry '../x' is no path in the bundle"),
            ({'parameters': {'long': 'x' * 100000}}, 'parameters take 100011 bytes as JSON'),
            ({'parameters': [1]}, 'parameters'),
            ({'network': True}, 'no script reach the network'),
        ]
        for document, text in rows:
            self.refused_document(text, **document)

    def test_the_example_trains_with_scikit_learn(self):
        with open(ROOT + '/examples/scripts/sklearn_train.py') as file:
            job = self.good(file.read(), 'sklearn_train.py', parameters={'trees': 40})
        self.assertGreater(job['result']['accuracy'], 0.9)
        self.assertEqual([20, 40], [step for step, _ in self.service.metrics(job['id'])['accuracy']])
        self.assertEqual(['model.pkl'], [a['name'] for a in job['artifacts']])

    @unittest.skipIf(subprocess.run([PYTHON, '-c', 'import torch'], stderr=subprocess.DEVNULL).returncode,
                     'PyTorch is not installed')
    def test_the_example_trains_with_pytorch(self):
        with open(ROOT + '/examples/scripts/torch_train.py') as file:
            job = self.good(file.read(), 'torch_train.py')
        self.assertGreater(job['result']['accuracy'], 0.9)
        self.assertEqual(48, job['result']['steps'])


class Client(Case):
    """et run, logs, get and ps, as a user calls them."""

    def et(self, *arguments, status=0):
        service = self.service
        environment = dict(os.environ, HOME=service.folder, XDG_CONFIG_HOME=service.folder,
                           ET_SERVER='http://' + service.address)
        done = subprocess.run([ET, *arguments], cwd=service.folder, env=environment, input='a-long-password\n',
                              capture_output=True, text=True)
        self.assertEqual(status, done.returncode, (arguments, done.stdout, done.stderr))
        return done.stdout if not status else done.stderr

    def setUp(self):
        self.et('login', '--user', 'ada')

    def write(self, name, text):
        path = os.path.join(self.service.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as file:
            file.write(text)
        return path

    def test_a_script_is_run_its_log_read_and_its_artifact_fetched(self):
        script = self.write('a.py', '''
import json, sys
print('in the log')
print('{"metric": "m", "value": 1}')
open('artifacts/out.json', 'w').write(sys.argv[1])
''')
        job = self.et('run', '--wait', '-p', 'n=3', '--param', 'words=a b', '--param', 'list=[1, 2]', script).strip()
        self.assertIn('in the log', self.et('logs', job))
        self.assertIn('in the log', self.et('logs', '-f', job))
        self.assertEqual({'n': 3, 'words': 'a b', 'list': [1, 2]}, json.loads(self.et('get', '-o', '-', job + '/out.json')))
        self.assertEqual({'n': 3, 'words': 'a b', 'list': [1, 2]}, json.loads(self.et('get', '-o', '-', job)))
        self.assertRegex(self.et('ps', '--all'), job + ' +script +finished .* a.py')
        self.assertIn('finished', self.et('status', job))
        self.assertIn('m', self.et('plot', job))

    def test_a_folder_is_run_by_its_entry_with_inputs_of_another_job(self):
        first = self.et('run', self.write('one.sh', 'printf 41 > artifacts/number')).strip()
        self.write('folder/main.py', 'raise SystemExit("not this")')
        self.write('folder/other.py', 'print(\'{"is": %s}\' % open("inputs/n").read())')
        folder = os.path.join(self.service.folder, 'folder')
        ended = json.loads(self.et('run', '--json', '-w', '--entry', 'other.py', '-i', 'n=%s/number' % first, folder))
        self.assertEqual({'is': 41}, ended['result'])
        self.assertIn('exit status 1: not this', self.et('run', '-w', folder, status=1))

    def test_an_array_is_run_waited_for_and_its_results_fetched(self):
        script = self.write('square.py', '''
import json, sys
n = json.loads(sys.argv[1])['n']
print(json.dumps({'metric': 'n', 'value': n}))
print(json.dumps({'square': n * n}))
sys.exit(n == 3)
''')
        good = self.et('run', '-w', '--sweep', 'n=1,2', script).strip()
        results = [json.loads(line) for line in self.et('get', good).splitlines()]
        self.assertEqual([({'n': 1}, 'finished', {'square': 1}, 1), ({'n': 2}, 'finished', {'square': 4}, 2)],
                         [(r['parameters'], r['state'], r['result'], r['metrics']['n']['value']) for r in results])
        after = self.et('run', '-w', '--after', good, '-p', 'n=5', script).strip()
        self.assertIn('"square":25', self.et('status', after))
        self.assertIn('not all jobs of the array', self.et('run', '-w', '--sweep', 'n=2,3', script, status=1))

    def test_wrong_usage_is_told(self):
        for arguments, words in ((['run'], 'one script'), (['run', '-p', 'x', 'a.py'], "'x': -p, --param takes NAME=VALUE"),
                                 (['run', '--memory', 'much', 'a.py'], "'much': --memory takes bytes, as 16G"),
                                 (['run', '--cpu', 'x', 'a.py'], "'x': --cpu takes a whole number"),
                                 (['run', '--odd', 'a.py'], 'odd')):
            self.assertIn(words, self.et(*arguments, status=2))
        self.assertIn("cannot open 'none.py'", self.et('run', 'none.py', status=1))
        self.assertIn('no pool of workers', self.et('run', '--gpu', '7', self.write('b.py', ''), status=1))


class Bad(Case):
    def test_a_fork_bomb_ends(self):
        self.bad('started more than its 64 processes', '''
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
''')

    def test_a_full_disk_is_its_own(self):
        reason = 'wrote more than its 64 MiB of disk'
        rows = [
            'n = 0\nwhile True:\n    open("/tmp/%d" % n, "wb").write(bytes(1 << 20)); n += 1',
            'n = 0\nwhile True:\n    open("/dev/shm/%d" % n, "wb").write(bytes(1 << 20)); n += 1',
            # Files without a name: open, and in no folder.
            '''
import os
files = []
while True:
    files.append(open('gone', 'wb')); os.unlink('gone'); files[-1].write(bytes(1 << 20)); files[-1].flush()
''']
        for text in rows:
            self.bad(reason, text)
        # One file: the kernel's own limit, or the worker's look, whichever comes first.
        job = self.run_script('f = open("one", "wb")\nwhile True: f.write(bytes(1 << 20))')
        self.assertIn(job['processing-log'], (reason, 'exit status 1: OSError: [Errno 27] File too large'))

    def test_memory_eaten_is_its_own(self):
        rows = [
            'a = []\nwhile True: a.append(bytearray(b"x" * (4 << 20)))',
            'import os\nwhile True: os.write(os.memfd_create("m"), bytes(1 << 20))',
            # Many that take a little each.
            'import os, signal\nfor _ in range(40): os.fork() or [bytearray(b"x" * (8 << 20)), signal.pause()]\n'
            'signal.pause()',
        ]
        for text in rows:
            job = self.run_script(text, memory=160 * MIB)
            self.assertEqual('used more than its 160 MiB of memory', job['processing-log'], text)

    def test_pages_that_processes_share_count_once(self):
        self.good('''
import os, time
block = bytearray(b"x" * (60 << 20))
children = []
end = os.pipe()
for _ in range(10):
    if not os.fork():
        os.close(end[1])
        os.read(end[0], 1)
        os._exit(0)
until = time.monotonic() + 1
while time.monotonic() < until:
    pass
''', memory=160 * MIB)

    def test_sigterm_ignored_is_followed_by_the_end_of_all_of_it(self):
        mark = 'et-deaf-child-%d' % os.getpid()
        job = self.service.run_script('''
import signal, subprocess
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen(['/bin/sh', '-c', 'trap "" TERM; while :; do sleep 1000; done', '%s'], start_new_session=True)
print('deaf', flush=True)
while True:
    signal.pause()
''' % mark)
        self.wait_for_log(job, b'deaf')
        self.service.request('POST', '/jobs/%s/cancel' % job)
        ended = self.service.ended('/jobs/' + job)
        self.assertTrue(ended['cancelled'])
        self.assertEqual('SIGKILL', ended['signal'])
        self.assertEqual([], processes_with(mark))

    def test_a_forced_cancel_does_not_wait(self):
        job = self.service.run_script('''
import signal
signal.signal(signal.SIGTERM, lambda *_: open('artifacts/saved', 'w').close())
print('ready', flush=True)
while True:
    signal.pause()
''')
        self.wait_for_log(job, b'ready')
        self.service.json('POST', '/jobs/%s/cancel' % job, {'force': True})
        ended = self.service.ended('/jobs/' + job)
        self.assertEqual((True, 'cancelled'), (ended['cancelled'], ended['state']))

    def test_a_script_that_is_cancelled_may_save_what_it_has(self):
        job = self.service.run_script('''
import signal, sys
def save(*_):
    open('artifacts/saved', 'w').write('all')
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print('ready', flush=True)
while True:
    signal.pause()
''')
        self.wait_for_log(job, b'ready')
        self.service.request('POST', '/jobs/%s/cancel' % job)
        ended = self.service.ended('/jobs/' + job)
        self.assertTrue(ended['cancelled'])
        self.assertEqual(b'all', self.blob(ended, 'saved'))

    def wait_for_log(self, job, text):
        self.service.wait_for_log('/jobs/' + job, text)

    def test_time_runs_out(self):
        self.bad('ran longer than its limit of 1 s', 'import signal\nsignal.pause()', **{'max-seconds': 1})

    def test_grandchildren_end_with_the_job(self):
        mark = 'et-left-behind-%d' % os.getpid()
        job = self.good('''
import subprocess
subprocess.Popen(['/bin/sh', '-c', 'trap "" TERM; while :; do sleep 1000; done', '%s'], start_new_session=True)
print('{"left": 1}')
''' % mark)
        self.assertEqual({'left': 1}, job['result'])
        self.assertEqual([], processes_with(mark))

    def test_one_line_of_a_gigabyte_does_not_grow_the_worker(self):
        job = self.good('''
import os
block = b'x' * (1 << 20)
for _ in range(1 << 10):
    os.write(1, block)
print()
print('{"after": true}')
''')
        self.assertEqual({'after': True}, job['result'])
        self.assertLess(len(self.log(job)), 2.2 * MIB)
        self.assertEqual(MIB, len(self.blob(job, 'std-out.txt')))
        with open('/proc/%d/status' % self.service.worker.pid) as file:
            peak = int(re.search(r'VmHWM:\s+(\d+) kB', file.read()).group(1)) * 1024
        if 'asan' not in os.environ.get('ET', ''):
            self.assertLess(peak, 128 * MIB)

    def test_invalid_utf8_and_half_json_are_words_of_the_log(self):
        job = self.good(r'''
import sys
out = sys.stdout.buffer
out.write(b'{"good": 1}\n')
out.write(b'{"bad": "\xff\xfe"}\n')
out.write(b'{"metric": "m", "step": 1, "value": "many"}\n')
out.write(b'[1, 2]\n{"twice": 1, "twice": 2}\n{"nul": "\x00"}\n')
out.write(b'{"half": [1, 2')
''')
        self.assertEqual({'good': 1}, job['result'])
        log = self.log(job)
        self.assertIn(b'{"bad": "\xff\xfe"}', log)
        self.assertIn(b'{"half": [1, 2', log)
        self.assertIn(b'1 metrics were not understood', log)
        self.assertEqual({}, self.service.metrics(job['id']))
        self.bad('exit status 4: not ?? text', r'''
import sys
sys.stderr.buffer.write(b'not \xff\xfe text\n')
sys.exit(4)
''')
        deep = self.good('print("{\\"a\\":" * 95 + "1" + "}" * 95)')
        self.assertIsNone(deep['result'])

    def test_a_signal_is_named(self):
        for name, number in (('SIGSEGV', 11), ('SIGABRT', 6), ('SIGKILL', 9)):
            job = self.bad('killed by signal %d (%s)' % (number, name),
                           'import os\nprint(\'{"so": "far"}\', flush=True)\nos.kill(os.getpid(), %d)' % number)
            self.assertEqual(name, job['signal'])
            self.assertIsNone(job['exit-status'])
            self.assertEqual({'so': 'far'}, job['result'])

    def test_nothing_of_other_jobs_the_server_or_the_worker_is_to_be_seen(self):
        service = self.service
        other = service.run_script('''
import signal
open('secret', 'w').write('of another')
print('written', flush=True)
signal.pause()
''')
        self.wait_for_log(other, b'written')
        secrets = [os.path.join(folder, name) for folder, _, names in os.walk(service.folder) for name in names]
        self.assertTrue([path for path in secrets if path.endswith('/secret')])
        self.assertTrue([path for path in secrets if path.endswith('/et.db')])
        job = self.good('''
import json, os, sys
def reads(path):
    try:
        return bool(open(path, 'rb').read(1)) or True
    except OSError:
        return False
paths = json.loads(sys.argv[1])['paths']
processes = [int(name) for name in os.listdir('/proc') if name.isdigit()]
words = open('/proc/1/cmdline', 'rb').read().split(b'python3')[0]
for process in processes:
    words += open('/proc/%d/environ' % process, 'rb').read()
print(json.dumps({'read': [p for p in paths if reads(p)], 'processes': len(processes), 'user': os.getuid(),
                  'words': words.decode(errors='replace').replace(chr(0), ' '),
                  'root': sorted(os.listdir('/')), 'home': sorted(os.listdir('.')),
                  'fds': len(os.listdir('/proc/self/fd'))}))
''', parameters={'paths': secrets + ['/etc/shadow', '/root/.bashrc', '/proc/1/root/etc/shadow']})
        service.request('POST', '/jobs/%s/cancel' % other)
        result = job['result']
        self.assertEqual([], result['read'])
        self.assertEqual(2, result['processes']) # the sandbox's init, and itself
        self.assertEqual(1000, result['user'])
        self.assertNotIn('ET_TOKEN', result['words'])
        self.assertNotIn(service.folder, result['words'])
        self.assertEqual(['artifacts', 'inputs', 'job.py', 'parameters.json'], result['home'])
        self.assertLessEqual(set(result['root']), {'bin', 'dev', 'etc', 'job', 'lib', 'lib32', 'lib64', 'libx32',
                                                   'proc', 'sbin', 'tmp', 'usr'})
        self.assertEqual(4, result['fds']) # of these one lists them
        service.ended('/jobs/' + other)

    def test_the_system_is_not_to_be_written(self):
        job = self.good('''
import json
def writes(path):
    try:
        open(path, 'w').close()
        return True
    except OSError:
        return False
print(json.dumps({path: writes(path) for path in ('/usr/x', '/etc/x', '/x', '/dev/x', '/proc/sys/kernel/x', '/tmp/x', 'x')}))
''')
        self.assertEqual({'/usr/x': False, '/etc/x': False, '/x': False, '/dev/x': False, '/proc/sys/kernel/x': False,
                          '/tmp/x': True, 'x': True}, job['result'])

    def test_the_network_is_out_of_reach(self):
        host, port = self.service.address.split(':')
        self.bad('exit status 1: OSError: [Errno 101] Network is unreachable', '''
import socket
socket.create_connection(('192.0.2.1', 80), 5)
''')
        job = self.run_script('import socket\nsocket.create_connection(("%s", %s), 5)' % (host, port))
        self.assertIn('Connection refused', job['processing-log'])

    def test_links_pipes_and_odd_names_are_no_artifacts(self):
        job = self.good('''
import os
os.symlink('/etc/passwd', 'artifacts/link')
os.mkfifo('artifacts/pipe')
open('artifacts/odd name', 'w')
open('artifacts/std-out.txt', 'w')
open('artifacts/good', 'w')
''')
        self.assertEqual(['good'], [a['name'] for a in job['artifacts']])
        self.assertIn(b"an artifact is not kept: 'odd name'", self.log(job))
        job = self.good('import os\nos.rmdir("artifacts")\nos.symlink("/etc", "artifacts")')
        self.assertEqual([], job['artifacts'])

    def test_a_folder_that_it_closes_is_removed_all_the_same(self):
        self.good('import os\nos.makedirs("a/b")\nos.chmod("a", 0)')


class Machine(Case):
    """GPUs and control groups, of which this machine needs to have none."""

    serve = ['--pool', 'cpu:cpus=2,memory=1G', '--pool', 'gpu:cpus=2,memory=1G,gpus=2']
    worker = LIMITS + ['--pool', 'gpu:cpus=2,memory=1G,gpus=2', '--pool', 'cpu:cpus=2,memory=1G', '--gpus', '4,5,6,7',
                       '--slots', '3']
    HOLD = """
import os, signal
print('{"gpus": "%s"}' % os.environ['CUDA_VISIBLE_DEVICES'], flush=True)
signal.signal(signal.SIGTERM, lambda *_: exit(0))
signal.pause()
"""

    @classmethod
    def setUpClass(cls):
        cls.group = tempfile.mkdtemp(prefix='et-cgroup-')
        for name, text in (('cgroup.controllers', 'cpu memory pids\n'), ('cgroup.procs', '')):
            with open(os.path.join(cls.group, name), 'w') as file:
                file.write(text)
        cls.worker = cls.worker + ['--cgroup', cls.group]
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.group)

    def test_each_job_has_gpus_of_its_own_and_another_waits_for_them(self):
        held = [self.service.run_script(self.HOLD, gpu=wanted) for wanted in (1, 2)]
        gpus = set()
        for job in held:
            self.service.until('/jobs/' + job, lambda d: d['state'] == 'leased')
            self.wait_for_log(job, b'"gpus"')
            gpus.add(json.loads(self.service.request('GET', '/jobs/%s/logs' % job)[1])['gpus'])
        self.assertEqual({'4,5', '6,7'}, gpus)
        third = self.service.run_script(self.HOLD, gpu=2)
        # A slot is free, and jobs that want no GPU get it.
        self.assertEqual({'gpus': ''}, self.good('import os\nprint(\'{"gpus": "%s"}\' % os.environ["CUDA_VISIBLE_DEVICES"])')
                         ['result'])
        self.assertEqual('ready', self.service.json('GET', '/jobs/' + third)['state'])
        why = self.service.json('GET', '/jobs/%s/why' % third)
        self.assertEqual(('gpu', 1), (why['pool'], why['workers']))
        self.service.request('POST', '/jobs/%s/cancel' % held[0])
        self.wait_for_log(third, b'"gpus"')
        for job in held + [third]:
            self.service.request('POST', '/jobs/%s/cancel' % job)
            self.service.ended('/jobs/' + job)

    def test_a_training_job_that_asks_for_a_gpu_says_where_it_trains(self):
        solver = self.service.make_solver(self.service.make_dataset(), 2)
        for asked in ({'gpu': True}, {'gpu-required': True}):
            job = self.service.json('POST', '/training-jobs', {'solver-id': solver, 'threads': 1, **asked})
            self.assertEqual('gpu', job['pool'])
            self.service.ended('/training-jobs/' + job['_id'])
            log = self.service.request('GET', '/training-jobs/%s/logs' % job['_id'])[1]
            self.assertIn(b'a GPU was asked for: this engine trains on the CPU', log)
        job = self.service.json('POST', '/training-jobs', {'solver-id': solver, 'threads': 1})
        self.assertEqual('cpu', job['pool'])
        self.service.ended('/training-jobs/' + job['_id'])

    def test_a_control_group_has_the_limits_of_a_script(self):
        job = self.good('pass', memory=64 * MIB, cpu=1)
        found = {}
        folder = os.path.join(self.group, 'et-%s-1' % job['id'])
        for name in os.listdir(folder):
            with open(os.path.join(folder, name)) as file:
                found[name] = file.read()
        self.assertEqual({'memory.max': str(64 * MIB), 'memory.swap.max': '0', 'memory.oom.group': '1',
                          'pids.max': str(64 * 4 + 8), 'cpu.max': '100000 100000', 'cgroup.procs': '0',
                          'cgroup.kill': '1'}, found)
        self.assertIn('worker.cgroups base=', self.service.log_text())

    def test_a_worker_without_the_gpus_of_its_pool_does_not_start(self):
        done = subprocess.run([ET, 'worker', '--server', 'http://127.0.0.1:9', '--gpus', '0',
                               '--work', self.service.folder + '/other', '--pool', 'gpu:gpus=2'],
                              env=dict(os.environ, ET_TOKEN='x'), capture_output=True, text=True)
        self.assertEqual(1, done.returncode, done.stderr)
        self.assertIn("pool 'gpu' gives a job 2 GPUs, and this worker has 1: --gpus names them", done.stderr)


class Network(Case):
    serve = ['--script-network']

    def test_a_script_reaches_the_network_where_the_operator_allows_it(self):
        text = '''
import urllib.request
print('{"status": %%d}' %% urllib.request.urlopen('http://%s/healthz').status)
''' % self.service.address
        self.assertEqual({'status': 200}, self.good(text, network=True)['result'])
        self.assertEqual('failed', self.run_script(text)['processing-state'])


class Local(unittest.TestCase):
    def test_the_servers_own_worker_takes_the_pools_that_this_machine_holds(self):
        service = Service(has_worker=False, serve=['--workers', '1', '--pool', 'tiny:cpus=1,memory=64M',
                                                   '--pool', 'huge:cpus=90000'])
        service.register()
        tiny = service.ended('/jobs/' + service.run_script('', memory=32 * MIB))
        self.assertEqual(('tiny', 'finished_successfully'), (tiny['pool'], tiny['processing-state']), tiny)
        huge = service.json('GET', '/jobs/' + service.run_script('', cpu=80000))
        self.assertEqual('huge', huge['pool'])
        over = service.ended('/jobs/' + service.run_script('a = []\nwhile True: a.append(bytearray(b"x" * 1000000))'))
        self.assertEqual('used more than its 64 MiB of memory', over['processing-log'])
        self.assertEqual([0], [status for status in service.close() if status is not None])
        service.remove()

    def test_the_servers_own_worker_has_the_gpus_that_it_is_given(self):
        service = Service(has_worker=False, serve=['--workers', '1', '--gpus', '3'])
        service.register()
        job = service.ended('/jobs/' + service.run_script(
            'import os\nprint(\'{"gpus": "%s"}\' % os.environ["CUDA_VISIBLE_DEVICES"])', gpu=1))
        self.assertEqual(('gpu', {'gpus': '3'}), (job['pool'], job['result']), job)
        self.assertEqual([0], [status for status in service.close() if status is not None])
        service.remove()


class WithoutBubblewrap(unittest.TestCase):
    def outcome(self, worker, path='/nonexistent'):
        service = Service(worker=worker, environment={'PATH': path})
        service.register()
        job = service.ended('/jobs/' + service.run_script('print(\'{"ran": true}\')'))
        self.assertEqual([0, 0], service.close())
        service.remove()
        return job

    def test_scripts_are_refused_with_the_reason(self):
        job = self.outcome([])
        self.assertEqual('failed', job['processing-state'])
        self.assertIn('bubblewrap (bwrap) is not installed there', job['processing-log'])

    def test_a_sandbox_that_cannot_be_made_is_told_with_its_reason(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(folder + '/bwrap', 'w') as file:
                file.write('#!/bin/sh\necho "bwrap: No permissions to create new namespace" >&2\nexit 1\n')
            os.chmod(folder, 0o755)
            os.chmod(folder + '/bwrap', 0o755)
            job = self.outcome([], folder)
        self.assertEqual('this worker cannot make a sandbox: bwrap: No permissions to create new namespace',
                         job['processing-log'])
        self.assertIsNone(job['exit-status'])

    def test_scripts_run_when_the_operator_says_so(self):
        job = self.outcome(['--unsafe-scripts'])
        self.assertEqual({'ran': True}, job['result'], job)


if __name__ == '__main__':
    unittest.main()
