"""--precision=bf16 of et train, test and time: the same learning with half the bits, and where it is refused."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

ET = os.environ['ET']
CASES = os.environ['ET_CONFORMANCE_CASES']


def processor_has_bf16():
    with open('/proc/cpuinfo', encoding='ascii', errors='replace') as file:
        return any('avx512_bf16' in line.split() for line in file if line.startswith('flags'))


class InAFolder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='et-precision-')
        self.addCleanup(shutil.rmtree, self.folder)
        for name in ('net.prototxt', 'init.caffemodel', 'data.h5', 'data.txt'):
            shutil.copy(os.path.join(CASES, 'net_lenet_small', name), self.folder)
        with open(os.path.join(self.folder, 'solver.prototxt'), 'w', encoding='ascii') as file:
            file.write('net: "net.prototxt" base_lr: 0.01 momentum: 0.9 lr_policy: "fixed" random_seed: 1\n'
                       'snapshot_prefix: "s" solver_mode: CPU max_iter: 40 snapshot: 20 display: 1\n'
                       'test_iter: 4 test_interval: 20\n')

    def run_et(self, *args, env=None):
        return subprocess.run([ET, *args], cwd=self.folder, capture_output=True, text=True, timeout=120,
                              env={**os.environ, **(env or {})})

    def train(self, *args):
        result = self.run_et('train', '--solver=solver.prototxt', '--threads=1', *args)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stderr

    def read(self, name):
        with open(os.path.join(self.folder, name), 'rb') as file:
            return file.read()


class Refusal(InAFolder):
    def test_other_words_are_wrong_usage(self):
        for args in (['train', '--solver=solver.prototxt'], ['time', '--model=net.prototxt']):
            result = self.run_et(*args, '--precision=f16')
            self.assertEqual(result.returncode, 2)
            self.assertIn("--precision is 'f16'; it must be f32 or bf16", result.stderr)

    def test_it_is_refused_with_the_reason_where_the_instructions_are_missing(self):
        held = {'ONEDNN_MAX_CPU_ISA': 'AVX2'}
        for args in (['train', '--solver=solver.prototxt'], ['time', '--model=net.prototxt'],
                     ['test', '--model=net.prototxt', '--weights=init.caffemodel']):
            result = self.run_et(*args, '--precision=bf16', env=held)
            self.assertEqual(result.returncode, 1)
            self.assertIn('precision bf16 needs the instructions avx512_bf16, which ONEDNN_MAX_CPU_ISA=AVX2 does '
                          'not allow; use precision f32', result.stderr)
        self.assertEqual(self.run_et('time', '--model=net.prototxt', '--precision=f32', env=held).returncode, 0)

    @unittest.skipIf(processor_has_bf16(), 'this processor has avx512_bf16')
    def test_it_is_refused_where_the_processor_lacks_them(self):
        result = self.run_et('time', '--model=net.prototxt', '--precision=bf16')
        self.assertEqual(result.returncode, 1)
        self.assertIn('needs a processor with avx512_bf16', result.stderr)


@unittest.skipUnless(processor_has_bf16(), 'this processor has no avx512_bf16')
class Learning(InAFolder):
    def losses(self, log):
        return [float(loss) for loss in re.findall(r'Iteration \d+ \(.*loss = ([\d.]+)', log)]

    def test_a_net_learns_alike_in_both(self):
        full = self.losses(self.train('--weights=init.caffemodel'))
        half = self.losses(self.train('--weights=init.caffemodel', '--precision=bf16'))
        self.assertEqual(len(full), 40)
        self.assertEqual(len(half), 40)
        self.assertNotEqual(full, half)
        for iteration, (a, b) in enumerate(zip(full, half)):
            self.assertLess(abs(a - b), 0.03 * a + 0.03, iteration)

    def test_the_same_seed_gives_the_same_bits_twice(self):
        self.train('--precision=bf16')
        first = self.read('s_iter_40.caffemodel')
        self.train('--precision=bf16')
        self.assertEqual(self.read('s_iter_40.caffemodel'), first)

    def test_going_on_from_a_snapshot_gives_the_same_bits(self):
        self.train('--precision=bf16')
        whole = self.read('s_iter_40.caffemodel')
        self.train('--precision=bf16', '--snapshot=s_iter_20.solverstate')
        self.assertEqual(self.read('s_iter_40.caffemodel'), whole)

    def test_snapshots_and_models_serve_both(self):
        self.train('--precision=bf16')
        size = len(self.read('s_iter_40.caffemodel'))
        self.train('--snapshot=s_iter_20.solverstate')
        self.assertEqual(len(self.read('s_iter_40.caffemodel')), size)
        self.train('--precision=bf16', '--snapshot=s_iter_20.solverstate')
        means = {}
        for precision in ('f32', 'bf16'):
            result = self.run_et('test', '--model=net.prototxt', '--weights=s_iter_40.caffemodel',
                                 '--iterations=4', '--precision=' + precision)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual('Precision: bf16.' in result.stderr, precision == 'bf16')
            means[precision] = float(re.search(r'Loss: ([\d.]+)', result.stderr).group(1))
        self.assertLess(abs(means['f32'] - means['bf16']), 0.02 * means['f32'])

    def test_time_runs_in_bf16(self):
        result = self.run_et('time', '--model=net.prototxt', '--iterations=2', '--precision=bf16')
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stderr, r'conv1\tforward: \S+ ms')


if __name__ == '__main__':
    unittest.main()
