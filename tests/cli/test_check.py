"""et check: every mistake at once, shapes and numbers by hand, and memory against what a run really takes."""
import json
import os
import re
import shutil
import struct
import subprocess
import tempfile
import unittest
import zlib

ET = os.environ['ET']
NETS = os.environ['ET_BENCH_NETS']
SANITIZED = os.environ['ET_SANITIZE'] != 'none'

DATA = '''layer { name: "in" type: "Data" top: "data" top: "label"
  data_param { source: "absent" backend: LMDB batch_size: 4 } }
'''
NET = DATA + '''
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 5 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 7 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
'''
BAD = '''layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "a" type: "Convolution" botom: "data" top: "a" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "b" type: "InnerProduct" bottom: "dta" top: "b" inner_product_param { num_output: four } }
layer { name: "c" type: "Poolling" bottom: "data" top: "c" }
layer { name: "d" type: "Convolution" bottom: "data" top: "d"
  convolution_param { num_output: 4 kernel_size: 30 } }
layer { name: "e" type: "ReLU" bottom: "d" top: "c" }
layer { name: "f" type: "Python" bottom: "d" top: "f" }
'''


# The numbers in the list of images choose what passes the Filter.
FILTERED = '''layer { name: "in" type: "ImageData" top: "data" top: "which"
  image_data_param { source: "list.txt" batch_size: 32 } }
layer { name: "conv0" type: "Convolution" bottom: "data" top: "c0"
  convolution_param { num_output: 16 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "filter" type: "Filter" bottom: "c0" bottom: "which" bottom: "which" top: "few" top: "label"
  propagate_down: true propagate_down: false propagate_down: false }
layer { name: "conv" type: "Convolution" bottom: "few" top: "h"
  convolution_param { num_output: 32 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "h" top: "h" }
layer { name: "pool" type: "Pooling" bottom: "h" top: "p" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "p" top: "y" inner_product_param { num_output: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "loss" propagate_down: true
  propagate_down: false }
'''


def png(size):
    """A black image of so many pixels a side."""
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', size, size, 8, 2, 0, 0, 0)) +
            chunk(b'IDAT', zlib.compress((b'\0' + bytes(3 * size)) * size)) + chunk(b'IEND', b''))


def processor_has_bf16():
    with open('/proc/cpuinfo', encoding='ascii', errors='replace') as file:
        return any('avx512_bf16' in line.split() for line in file if line.startswith('flags'))


class Check(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='et-check-')
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self, name, text):
        with open(os.path.join(self.folder, name), 'w') as file:
            file.write(text)

    def check(self, *args):
        return subprocess.run([ET, 'check', *args], cwd=self.folder, capture_output=True, text=True,
                              timeout=120)

    def check_json(self, *args):
        result = self.check(*args, '--json')
        return result.returncode, json.loads(result.stdout)

    def test_every_mistake_is_told_at_once(self):
        self.write('bad.prototxt', BAD)
        status, found = self.check_json('bad.prototxt')
        told = [error['message'] for error in found['errors']]
        self.assertEqual(status, 1)
        for words in ("line 2, column 39: unknown field 'botom' in LayerParameter; did you mean 'bottom'?",
                      "line 3, column 97: expected an integer, not 'four'",
                      "layer 'b': unknown bottom 'dta': no layer before it has that top; did you mean 'data'?",
                      "layer 'a': type Convolution takes at least 1 bottom, not 0",
                      "layer 'c': unknown layer type 'Poolling'; did you mean 'Pooling'?",
                      "layer 'd': kernel of 30 does not fit",
                      "layer 'e': top 'c' is made by layer 'c' already",
                      "layer 'f': layers of type 'Python' are not run here"):
            self.assertTrue(any(words in message for message in told), (words, told))
        self.assertEqual(found['errors'][0]['line'], 2)
        self.assertEqual(len([m for m in told if "layer 'c'" in m and 'unknown' in m]), 1)
        self.assertEqual([layer['name'] for layer in found['layers'] if layer['type'] != 'Split'],
                         ['in', 'a', 'b', 'c', 'd', 'e', 'f'])

    def test_a_net_whose_data_is_missing_is_right_with_a_warning(self):
        self.write('net.prototxt', NET)
        result = self.check('net.prototxt')
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("warning: layer 'in': cannot open lmdb 'absent'", result.stderr)
        self.assertIn('peak memory of training: not known', result.stdout)

    def test_numbers_are_those_of_a_calculation_by_hand(self):
        self.write('net.prototxt', NET)
        status, found = self.check_json('net.prototxt', '--input', 'data=4,3,6,6')
        self.assertEqual(status, 0)
        self.assertEqual(found['errors'] + found['warnings'], [])
        layers = {layer['name']: layer for layer in found['layers']}
        # name: top shape, parameters, bytes of top and parameters, 2 x multiply-adds (and bias adds)
        rows = {
            'in': ([4, 3, 6, 6], 0, 4 * (4 * 3 * 36 + 4)),
            'conv': ([4, 5, 4, 4], 5 * 27 + 5, 4 * (4 * 5 * 16 + 140)),
            'relu': ([4, 5, 4, 4], 0, 0),
            'ip': ([4, 7], 7 * 80 + 7, 4 * (28 + 567)),
            'loss': ([], 0, 4),
        }
        for name, (shape, parameters, memory) in rows.items():
            self.assertEqual(layers[name]['tops'][0]['shape'], shape, name)
            self.assertEqual(layers[name]['parameters'], parameters, name)
            self.assertEqual(layers[name]['memory-bytes'], memory, name)
        self.assertEqual(layers['in']['tops'][1]['shape'], [4])
        self.assertEqual(found['parameters'], 140 + 567)
        self.assertAlmostEqual(layers['conv']['operations'], 2 * 4 * 5 * 16 * 27, delta=2 * 4 * 5 * 16)
        self.assertAlmostEqual(layers['ip']['operations'], 2 * 4 * 7 * 80, delta=2 * 4 * 7)

    def test_the_solver_is_checked_with_the_net(self):
        self.write('net.prototxt', NET)
        self.write('solver.prototxt', 'net: "net.prototxt" base_lrr: 1 lr_policy: "stepp" iter_size: 0\n'
                                      'test_iter: 3 max_iter: 5 type: "SGD"\n')
        status, found = self.check_json('net.prototxt', '--solver=solver.prototxt', '--input=data=4,3,6,6')
        told = [error['message'] for error in found['errors']]
        self.assertEqual(status, 1)
        for words in ("unknown field 'base_lrr' in SolverParameter; did you mean 'base_lr'?", 'stepp',
                      'test_interval must be above 0'):
            self.assertTrue(any(words in message for message in told), (words, told))

    def test_wrong_usage_is_2(self):
        self.write('net.prototxt', NET)
        for args, words in (([], 'one net is needed'), (['a', 'b'], 'one net is needed'),
                            (['net.prototxt', '--input=data=4,x'], 'as in data=64,1,28,28'),
                            (['net.prototxt', '--input=data=0,3'], 'as in data=64,1,28,28'),
                            (['net.prototxt', '--phase=BOTH'], 'TRAIN or TEST'),
                            (['net.prototxt', '--precision=f16'], "--precision is 'f16'; it must be f32 or bf16"),
                            (['net.prototxt', '--threads=-1'], '--threads')):
            result = self.check(*args)
            self.assertEqual(result.returncode, 2, args)
            self.assertIn(words, result.stderr)
        result = self.check('absent.prototxt')
        self.assertEqual(result.returncode, 1)
        self.assertIn("'absent.prototxt'", result.stderr)
        _, found = self.check_json('net.prototxt', '--input=dat=4,3,6,6')
        self.assertIn("input 'dat': no layer brings that blob in from outside", found['errors'][-1]['message'])

    def peak_of(self, *args):
        """Resident bytes at the peak of a run; a perturbed allocator would touch what nobody uses."""
        command = [ET, *args, '--threads=1']
        environment = {name: value for name, value in os.environ.items() if name != 'MALLOC_PERTURB_'}
        process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0, command)
        return usage.ru_maxrss * 1024

    def expect_peaks(self, names, *flags):
        for name in names:
            net = os.path.join(NETS, name + '.prototxt')
            if name in ('googlenet', 'resnet50'):  # their memory is known for any batch; two images are quick
                with open(net) as file:
                    self.write(name + '.prototxt', re.sub(r'dim: (32|16)\b', 'dim: 2', file.read()))
                net = os.path.join(self.folder, name + '.prototxt')
            self.write('solver.prototxt', 'net: "%s" base_lr: 0.0001 momentum: 0.9 lr_policy: "fixed"\n'
                                          'max_iter: 2 random_seed: 1 snapshot_prefix: "s"\n' % net)
            status, found = self.check_json(net, '--solver=solver.prototxt', '--threads=1', *flags)
            self.assertEqual(status, 0)
            peak = self.peak_of('train', '--solver=solver.prototxt', *flags)
            self.assertAlmostEqual(found['training-peak-bytes'] / peak, 1, delta=0.1, msg=name)
            peak = self.peak_of('test', '--model=' + net, '--weights=s_iter_2.caffemodel', '--iterations=1', *flags)
            self.assertAlmostEqual(found['inference-peak-bytes'] / peak, 1, delta=0.1, msg=name)

    @unittest.skipIf(SANITIZED, 'a sanitizer takes memory of its own')
    def test_peaks_are_within_a_tenth_of_what_a_run_takes(self):
        self.expect_peaks(('lenet', 'cifar10_quick', 'alexnet', 'googlenet', 'resnet50'))

    @unittest.skipIf(SANITIZED, 'a sanitizer takes memory of its own')
    def test_what_is_behind_a_filter_is_counted_for_each_number_that_passes(self):
        with open(os.path.join(self.folder, 'a.png'), 'wb') as file:
            file.write(png(64))
        passing = range(31, 21, -1)  # of 32 images in each batch
        self.write('list.txt', ''.join('a.png %d\n' % (i < n) for n in passing for i in range(32)))
        self.write('net.prototxt', FILTERED)
        self.write('solver.prototxt', 'net: "net.prototxt" base_lr: 0.0001 momentum: 0.9 lr_policy: "fixed"\n'
                                      'max_iter: %d snapshot_after_train: false\n' % len(passing))
        status, found = self.check_json('net.prototxt', '--solver=solver.prototxt', '--threads=1')
        self.assertEqual(status, 0)
        peak = self.peak_of('train', '--solver=solver.prototxt')
        self.assertAlmostEqual(found['training-peak-bytes'] / peak, 1, delta=0.1)

    @unittest.skipIf(SANITIZED, 'a sanitizer takes memory of its own')
    @unittest.skipUnless(processor_has_bf16(), 'this processor has no avx512_bf16')
    def test_so_are_those_in_bf16(self):
        self.expect_peaks(('lenet', 'cifar10_quick', 'googlenet'), '--precision=bf16')

    def test_bf16_is_refused_with_the_reason_where_the_processor_has_none(self):
        self.write('net.prototxt', NET)
        result = subprocess.run([ET, 'check', 'net.prototxt', '--input=data=4,3,6,6', '--precision=bf16'],
                                cwd=self.folder, capture_output=True, text=True, timeout=120,
                                env={**os.environ, 'ONEDNN_MAX_CPU_ISA': 'AVX2'})
        self.assertEqual(result.returncode, 1)
        self.assertIn('error: precision bf16 needs the instructions avx512_bf16, which ONEDNN_MAX_CPU_ISA=AVX2 '
                      'does not allow', result.stderr)
        self.assertIn('peak memory of training: not known', result.stdout)

    @unittest.skipIf(SANITIZED, 'a sanitizer takes memory of its own')
    def test_a_snapshot_and_its_reading_take_no_more_than_one_parameter_more(self):
        layers = ''.join('layer { name: "ip%d" type: "InnerProduct" bottom: "x%d" top: "x%d"\n'
                         '  inner_product_param { num_output: 2048 weight_filler { type: "constant" } } }\n'
                         % (i, i, i + 1) for i in range(4))
        self.write('net.prototxt', 'layer { name: "in" type: "DummyData" top: "x0" top: "y"\n'
                                   '  dummy_data_param { shape { dim: 4 dim: 2048 } shape { dim: 4 dim: 2048 } } }\n'
                                   '%slayer { name: "loss" type: "EuclideanLoss" bottom: "x4" bottom: "y" }' % layers)
        solver = 'net: "net.prototxt" base_lr: 0.01 momentum: 0.9 lr_policy: "fixed" max_iter: %d %s\n'
        self.write('none.prototxt', solver % (2, 'snapshot_after_train: false'))
        without = self.peak_of('train', '--solver=none.prototxt')
        parameter = 2048 * 2048 * 4
        slack = 6 << 20  # code that is touched for it, that of HDF5 among it; each parameter has 16 MiB
        for form, extension in (('BINARYPROTO', ''), ('HDF5', '.h5')):
            self.write('s.prototxt', solver % (2, 'snapshot_prefix: "s" snapshot_format: %s' % form))
            peak = self.peak_of('train', '--solver=s.prototxt')
            self.assertLess(peak - without, parameter + slack, form)
            self.write('more.prototxt', solver % (3, 'snapshot_after_train: false'))
            peak = self.peak_of('train', '--solver=more.prototxt', '--snapshot=s_iter_2.solverstate' + extension)
            self.assertLess(peak - without, 2 * parameter + slack, form)


if __name__ == '__main__':
    unittest.main()
