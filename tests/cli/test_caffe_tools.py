"""et train, test and time as programs: flags, exit statuses, signals, progress and snapshots."""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

ET = os.environ['ET']
CASES = os.environ['ET_CONFORMANCE_CASES']
NETS = os.environ['ET_BENCH_NETS']
SOLVER = '--solver=solver.prototxt'


class CaffeTools(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='et-cli-')
        self.addCleanup(shutil.rmtree, self.folder)
        for name in ('net.prototxt', 'init.caffemodel', 'data.h5', 'data.txt'):
            shutil.copy(os.path.join(CASES, 'sgd', name), self.folder)
        self.write_solver(max_iter=8)

    def write_solver(self, max_iter, more=''):
        with open(os.path.join(self.folder, 'solver.prototxt'), 'w') as file:
            file.write('net: "net.prototxt" base_lr: 0.01 momentum: 0.9 lr_policy: "fixed" random_seed: 1\n'
                       'snapshot_prefix: "s" solver_mode: CPU max_iter: %d %s\n' % (max_iter, more))

    def run_et(self, *args, program=ET):
        return subprocess.run([program, *args], cwd=self.folder, capture_output=True, text=True, timeout=120)

    def has(self, name):
        return os.path.exists(os.path.join(self.folder, name))

    def read(self, name):
        with open(os.path.join(self.folder, name), 'rb') as file:
            return file.read()

    def start(self, *args):
        """A training run with progress; returns the process and an iterator over its lines."""
        receive, send = os.pipe()
        command = [ET, 'train', SOLVER, '--threads=1', '--progress-fd=%d' % send, *args]
        process = subprocess.Popen(command, cwd=self.folder, pass_fds=[send], text=True,
                                   stderr=subprocess.PIPE)
        os.close(send)
        lines = os.fdopen(receive)
        self.addCleanup(lines.close)
        return process, lines

    def test_flags_are_read_as_gflags_does(self):
        for args in (['--iterations=2'], ['--iterations', '2'], ['-iterations=2'], ['-iterations', '2']):
            result = self.run_et('test', '--model=net.prototxt', '-weights', 'init.caffemodel', *args)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn('Running for 2 iterations.', result.stderr)
            self.assertRegex(result.stderr, r'caffe\.cpp:304\] Batch 1, loss = [\d.]+\n')

    def test_wrong_usage_is_2_and_failed_work_is_1(self):
        for args, status, words in (
                (['train'], 2, 'train needs --solver'),
                (['test', '--model=net.prototxt'], 2, 'test needs --model and --weights'),
                (['time'], 2, 'time needs --model'),
                (['train', SOLVER, '--snapshot=a', '--weights=b'], 2, 'not both'),
                (['train', '--slover=x'], 2, "flag '--slover=x' is not known"),
                (['train', SOLVER, 'stray'], 2, "'stray' is no flag"),
                (['time', '--model=net.prototxt', '--phase=BOTH'], 2, 'TRAIN or TEST'),
                (['train', '--sigint_effect=explode'], 2, 'snapshot, stop or none'),
                (['train', '--solver=absent.prototxt'], 1, "'absent.prototxt': No such file"),
                (['train', SOLVER, '--weights=absent.caffemodel'], 1, 'absent.caffemodel'),
                (['train', SOLVER, '--snapshot=absent.solverstate'], 1, 'absent.solverstate')):
            result = self.run_et(*args)
            self.assertEqual(result.returncode, status, args)
            self.assertIn(words, result.stderr)

    def test_help_shows_an_example(self):
        for name in ('train', 'test', 'time'):
            result = self.run_et(name, '--help')
            self.assertEqual(result.returncode, 0)
            self.assertIn('example:\n  et %s --' % name, result.stdout)

    def test_a_link_named_caffe_runs_caffes_commands_only(self):
        link = os.path.join(self.folder, 'caffe')
        os.symlink(ET, link)
        result = self.run_et('train', SOLVER, program=link)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stderr.count('Optimization Done.'), 2)
        self.assertEqual(self.run_et('ps', program=link).returncode, 2)

    def test_time_prints_caffes_averages(self):
        result = self.run_et('time', '--model=net.prototxt', '--iterations=2', '--gpu=0')
        self.assertEqual(result.returncode, 0, result.stderr)
        for line in (r'       ip1\tforward: \S+ ms\.', r'Average Forward pass: \S+ ms\.',
                     r'Average Backward pass: \S+ ms\.',
                     r'Average Forward-Backward: \S+ ms\.', 'the CPU is used'):
            self.assertRegex(result.stderr, line)

    def test_a_trace_has_a_span_for_each_layer_and_reorder(self):
        net = os.path.join(NETS, 'lenet.prototxt')
        result = self.run_et('time', '--model=' + net, '--iterations=2', '--threads=1', '--trace=trace.json')
        self.assertEqual(result.returncode, 0, result.stderr)
        events = json.loads(self.read('trace.json'))['traceEvents']
        for event in events:
            self.assertEqual(event['ph'], 'X')
            self.assertGreaterEqual(event['ts'], 0)
            self.assertGreaterEqual(event['dur'], 0)
        names = [(event['cat'], event['name']) for event in events]
        layers = ('data', 'conv1', 'pool1', 'conv2', 'pool2', 'ip1', 'relu1', 'ip2', 'loss')
        for layer in layers:
            self.assertEqual(names.count(('forward', layer)), 2, layer)
        for layer in layers[1:]:
            self.assertEqual(names.count(('backward', layer)), 2, layer)
        self.assertEqual(names.count(('pass', 'iteration 2')), 1)
        self.assertTrue(all(name.startswith('reorder for ') for cat, name in names if cat == 'reorder'))
        # Layers follow each other, inside their iteration.
        whole = [event for event in events if event['cat'] == 'pass'][1]
        inside = [e for e in events if e['cat'] != 'pass' and e['ts'] >= whole['ts']]
        for before, after in zip(inside, inside[1:]):
            self.assertLessEqual(before['ts'] + before['dur'], after['ts'] + 0.01)
        self.assertLessEqual(sum(e['dur'] for e in inside), whole['dur'] * 1.01)

    def test_a_run_with_progress_ends_with_the_times_of_its_layers(self):
        process, lines = self.start()
        told = [json.loads(line) for line in lines]
        process.communicate(timeout=120)
        times = told[-1]['layer_times']
        self.assertEqual([(one['layer'], one['type']) for one in times][:3],
                         [('data', 'HDF5Data'), ('ip1', 'InnerProduct'), ('t1', 'TanH')])
        self.assertTrue(all(one['forward-us'] > 0 for one in times))
        self.assertEqual(times[0]['backward-us'], 0)
        self.assertGreater(times[1]['backward-us'], 0)

    def test_digits_finds_its_lines(self):
        self.write_solver(20, 'display: 10 snapshot: 10 test_iter: 1 test_interval: 10')
        result = self.run_et('train', SOLVER)
        lines = [re.match(r'(\w)(\d{4} \S{8}).*]\s+(\S.*)$', line) for line in result.stderr.splitlines()]
        messages = [line.group(3) for line in lines if line]
        self.assertTrue(any(re.match(r'Memory required for data:\s+\d+', m) for m in messages))
        for number, message in enumerate(messages):
            if message.startswith('Snapshotting to '):
                self.assertTrue(messages[number + 1].startswith('Snapshotting solver state'))
        self.assertEqual(sum(bool(re.match(r'Iteration \d+, lr = ', m)) for m in messages), 2)
        self.assertEqual(sum(bool(re.match(r'Test net output #0: loss = ', m)) for m in messages), 3)

    def test_progress_is_a_json_line_a_display(self):
        self.write_solver(30, 'display: 10 test_iter: 1 test_interval: 15')
        process, lines = self.start()
        told = [json.loads(line) for line in lines]
        process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0)
        trained = [line for line in told if 'loss' in line]
        self.assertEqual([line['iteration'] for line in trained if line['iteration'] % 10 == 1], [1, 11, 21])
        self.assertEqual(trained[-1]['iteration'], 30)
        self.assertEqual(trained[-1]['max_iterations'], 30)
        self.assertEqual(trained[-1]['lr'], float(trained[0]['lr']))
        self.assertEqual(list(trained[-1]['outputs']), ['loss'])
        self.assertGreater(trained[-1]['images_per_second'], 0)
        self.assertEqual([line['iteration'] for line in told if 'test' in line], [0, 15, 30])
        told = [line for line in told if 'layer_times' not in line]
        self.assertEqual([line['snapshot'] for line in told if 'snapshot' in line][-1],
                         {'iteration': 30, 'model': 's_iter_30.caffemodel', 'state': 's_iter_30.solverstate',
                          'service': False})

    def signalled(self, number, *args):
        """Sends a signal once training runs; returns exit status, log, and the lines that came after."""
        self.write_solver(100000000)
        process, lines = self.start(*args)
        self.assertIn('iteration', json.loads(lines.readline()))
        process.send_signal(number)
        rest = [json.loads(line) for line in lines]
        log = process.communicate(timeout=120)[1]
        return process.returncode, log, [line for line in rest if 'layer_times' not in line]

    def test_sigterm_snapshots_and_stops_with_status_1(self):
        status, log, told = self.signalled(signal.SIGTERM, '--service-snapshot=live')
        self.assertEqual(status, 1)
        self.assertRegex(log, r'et: stopped at iteration \d+ of 100000000\n$')
        self.assertEqual([line['snapshot']['service'] for line in told if 'snapshot' in line], [False, True])
        iteration = told[-1]['snapshot']['iteration']
        self.assertTrue(self.has('s_iter_%d.solverstate' % iteration))
        self.assertEqual(self.read('live.caffemodel'), self.read('s_iter_%d.caffemodel' % iteration))

    def test_sigint_stops_as_caffe_does(self):
        status, log, _ = self.signalled(signal.SIGINT)
        self.assertEqual(status, 0)
        self.assertIn('Optimization stopped early.', log)

    def test_sighup_snapshots_and_goes_on(self):
        self.write_solver(100000000)
        process, lines = self.start()
        lines.readline()
        process.send_signal(signal.SIGHUP)
        for line in lines:
            if 'snapshot' in line:
                break
        after = json.loads(lines.readline())
        self.assertIn('iteration', after)
        process.send_signal(signal.SIGTERM)
        for line in lines:
            pass
        process.communicate(timeout=120)
        self.assertEqual(process.returncode, 1)

    def test_a_run_goes_on_from_the_services_snapshot(self):
        status, _, told = self.signalled(signal.SIGTERM, '--service-snapshot=live', '--snapshot-every=1')
        self.assertEqual(status, 1)
        iteration = told[-1]['snapshot']['iteration']
        self.write_solver(iteration + 5)
        whole = self.run_et('train', SOLVER, '--threads=1')
        self.assertEqual(whole.returncode, 0, whole.stderr)
        expected = self.read('s_iter_%d.caffemodel' % (iteration + 5))
        resumed = self.run_et('train', SOLVER, '--threads=1', '--snapshot=live.solverstate')
        self.assertEqual(resumed.returncode, 0, resumed.stderr)
        self.assertIn('Resuming from live.solverstate', resumed.stderr)
        self.assertEqual(self.read('s_iter_%d.caffemodel' % (iteration + 5)), expected)

    def test_a_diverging_run_fails_and_says_where(self):
        with open(os.path.join(self.folder, 'solver.prototxt'), 'w') as file:
            file.write('net: "net.prototxt" base_lr: 1e38 lr_policy: "fixed" max_iter: 50 random_seed: 1\n'
                       'snapshot_prefix: "s"\n')
        result = self.run_et('train', SOLVER)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr,
                         r"et: the loss is \S+ at iteration \d+: (values|parameters) of layer '\w+' are not finite")
        self.assertFalse(any(name.startswith('s_iter') for name in os.listdir(self.folder)))


if __name__ == '__main__':
    unittest.main()
