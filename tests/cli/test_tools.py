"""Caffe's tools: their files against Caffe's own, and against numbers worked out here."""
import os
import random
import re
import shutil
import struct
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree
import zlib

ET = os.environ['ET']
CAFFE = os.environ['ET_CAFFE_FILES']
CASES = os.environ['ET_CONFORMANCE_CASES']
NETS = os.environ['ET_BENCH_NETS']
SIDE, IMAGES = 12, 40


def write_png(path, pixels, side=SIDE):
    """pixels: rows of R, G, B."""
    rows = b''.join(b'\0' + bytes(pixels[y * side * 3:(y + 1) * side * 3]) for y in range(side))

    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    with open(path, 'wb') as file:
        file.write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)) +
                   chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


class Tools(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='et-tools-')
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        with open(self.path(name), 'rb') as file:
            return file.read()

    def et(self, *args, status=0):
        result = subprocess.run([ET, *args], cwd=self.folder, capture_output=True, text=True, timeout=120)
        self.assertEqual(result.returncode, status, (args, result.stderr))
        return result.stderr

    def make_images(self):
        """The images of which Caffe's recorded files were made; returns their pixels."""
        random.seed(1)
        os.mkdir(self.path('img'))
        images = []
        with open(self.path('list.txt'), 'w') as file:
            for i in range(IMAGES):
                label = i % 4
                images.append([random.randrange(80) + label * 40 for _ in range(SIDE * SIDE * 3)])
                write_png(self.path('img/%d.png' % i), images[-1])
                file.write('%d.png %d\n' % (i, label))
        return images

    def make_data(self):
        images = self.make_images()
        self.et('convert-imageset', 'img/', 'list.txt', 'train_lmdb')
        self.et('compute-image-mean', 'train_lmdb', 'mean.binaryproto')
        for name in os.listdir(CAFFE):
            shutil.copy(os.path.join(CAFFE, name), self.folder)
        return images

    def test_the_mean_is_that_of_the_pixels(self):
        images = self.make_images()
        means = {}
        for flags, out in ((['--backend=lmdb'], 'a'), (['--backend=leveldb'], 'b'),
                           (['--backend=lmdb', '--encoded'], 'c')):
            self.et('convert-imageset', *flags, 'img/', 'list.txt', 'db_' + out)
            log = self.et('compute-image-mean', flags[0], 'db_' + out, out)
            means[out] = self.read(out)
        self.assertEqual(means['a'], means['b'])
        self.assertEqual(means['a'], means['c'])
        n = SIDE * SIDE * 3
        # BlobProto: num 1, channels 3, height 12, width 12, then the packed floats: blue, green, red planes.
        head = b'\x08\x01\x10\x03\x18\x0c\x20\x0c\x2a' + bytes([4 * n & 0x7f | 0x80, 4 * n >> 7])
        self.assertEqual(means['a'][:len(head)], head)
        values = struct.unpack('<%df' % n, means['a'][len(head):])
        for c in range(3):
            plane = [sum(image[i * 3 + 2 - c] for image in images) / IMAGES for i in range(SIDE * SIDE)]
            for got, want in zip(values[c * SIDE * SIDE:], plane):
                self.assertAlmostEqual(got, want, places=4)
            self.assertIn('mean_value channel [%d]: %.6g' % (c, sum(plane) / len(plane)), log)
        self.assertIn('Processed 40 files.', log)

    def test_images_of_different_sizes_have_no_mean(self):
        self.make_images()
        self.et('convert-imageset', '--gray', 'img/', 'list.txt', 'db')
        log = self.et('compute-image-mean', 'absent', status=1)
        self.assertIn("'absent'", log)
        write_png(self.path('img/7.png'), [0] * 11 * 11 * 3, side=11)
        self.et('convert-imageset', 'img/', 'list.txt', 'mixed')
        log = self.et('compute-image-mean', 'mixed', 'mean', status=1)
        self.assertIn("record 7 of 'mixed': it is 3 x 11 x 11 (channels, height, width), the first was 3 x 12 x 12", log)
        self.assertFalse(os.path.exists(self.path('mean')))

    def test_training_goes_on_from_what_caffe_wrote(self):
        self.make_data()
        log = self.et('train', '--solver=solver.prototxt', '--snapshot=c_iter_10.solverstate', '--threads=1')
        caffe = self.read('log.txt').decode()
        recorded = float(re.search(r'Iteration 20, loss = (\S+)', caffe).group(1))
        self.assertAlmostEqual(float(re.search(r'Iteration 20, loss = (\S+)', log).group(1)) / recorded, 1,
                               places=3)
        log = self.et('test', '--model=net.prototxt', '--weights=c_iter_20.caffemodel', '--iterations=5')
        tested = float(re.findall(r'#1: loss = (\S+)', caffe)[-1])
        self.assertAlmostEqual(float(re.search(r'Loss: (\S+)', log).group(1)) / tested, 1, places=4)

    def test_features_are_records_of_floats(self):
        self.make_data()
        log = self.et('extract-features', 'c_iter_20.caffemodel', 'net.prototxt', 'ip,conv', 'ip_lmdb,conv_lmdb',
                      '5', 'lmdb', '--threads=1')
        self.assertIn('Extracted features of 40 query images for feature blob ip', log)
        with open(self.path('features.prototxt'), 'w') as file:
            file.write('''
layer { name: "f" type: "Data" top: "ip" top: "l" data_param { source: "ip_lmdb" backend: LMDB batch_size: 8 } }
layer { name: "d" type: "Data" top: "d" top: "label"
  data_param { source: "train_lmdb" backend: LMDB batch_size: 8 } }
layer { name: "s" type: "Silence" bottom: "d" bottom: "l" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
''')
        # The loss of the features is the loss of the net that they were taken from, as Caffe recorded it.
        log = self.et('test', '--model=features.prototxt', '--weights=c_iter_20.caffemodel', '--iterations=5')
        tested = float(re.findall(r'#1: loss = (\S+)', self.read('log.txt').decode())[-1])
        self.assertAlmostEqual(float(re.search(r'Loss: (\S+)', log).group(1)) / tested, 1, places=4)

    def test_features_of_images_given_to_memory_data_are_those_of_the_same_images_as_data(self):
        self.make_data()
        text = self.read('net.prototxt').decode()
        layers = re.split(r'(?m)^(?=layer)', text)
        memory = '''layer { name: "data" type: "MemoryData" top: "data" top: "label"
  transform_param { scale: 0.5 mean_value: 3 mean_value: 5 mean_value: 7 }
  memory_data_param { batch_size: 8 channels: 3 height: 12 width: 12 } }
'''
        data = memory.replace('MemoryData', 'Data').replace(
            'memory_data_param { batch_size: 8 channels: 3 height: 12 width: 12 }',
            'data_param { source: "train_lmdb" backend: LMDB batch_size: 8 }')
        rest = ''.join(layer for layer in layers if layer.startswith('layer') and 'Data"' not in layer)
        for name, first in (('memory', memory), ('data', data)):
            with open(self.path(name + '.prototxt'), 'w') as file:
                file.write(first + rest)
        lines = self.read('list.txt').decode().splitlines()
        with open(self.path('images.txt'), 'w') as file:
            file.write(''.join('img/%s\n' % line for line in lines))
        # Six batches of eight: after the 40 images the first ones again.
        blobs = ['ip', 'label']
        for name, flags in (('memory', ['--images=images.txt']), ('data', [])):
            self.et('extract-features', 'c_iter_20.caffemodel', name + '.prototxt', ','.join(blobs),
                    ','.join(name + '_' + blob for blob in blobs), '6', 'lmdb', '--threads=1', *flags)
        for blob in blobs:
            self.assertEqual(self.read('memory_%s/data.mdb' % blob), self.read('data_%s/data.mdb' % blob), blob)

    def test_images_that_memory_data_cannot_take_are_told(self):
        self.make_data()
        net = '''layer { name: "m" type: "MemoryData" top: "data" top: "label" transform_param { crop_size: %d }
  memory_data_param { batch_size: 1 channels: 3 height: 8 width: 8 } }
'''
        for crop, lines, flags, words in (
                (0, 'img/0.png 0', [], 'MemoryData gets its images from a program'),
                (0, 'img/none.png 0', ['--images=some.txt'], "layer 'm': image 'img/none.png': cannot open"),
                (9, 'img/0.png 0', ['--images=some.txt'], "layer 'm': image 'img/0.png': a batch of such images is"),
                (13, 'img/0.png 0', ['--images=some.txt'], "layer 'm': image 'img/0.png': "),
                (0, '', ['--images=some.txt'], 'some.txt'), (0, 'x 0', ['--images=absent'], 'absent')):
            for name, content in (('net.prototxt', net % crop), ('some.txt', lines + '\n')):
                with open(self.path(name), 'w') as file:
                    file.write(content)
            log = self.et('extract-features', 'c_iter_20.caffemodel', 'net.prototxt', 'data', 'out', '1', 'lmdb',
                          *flags, status=1)
            self.assertIn(words, log)
            self.assertFalse(os.path.exists(self.path('out')))
        with open(self.path('net.prototxt'), 'w') as file:
            file.write('layer { name: "i" type: "Input" top: "data" input_param { shape { dim: 1 } } }')
        log = self.et('extract-features', 'c_iter_20.caffemodel', 'net.prototxt', 'data', 'out', '1', 'lmdb',
                      '--images=some.txt', status=1)
        self.assertIn('the net has no MemoryData layer to put images into', log)

    def test_features_of_what_is_not_there_leave_nothing_behind(self):
        self.make_data()
        for blobs, out, words in (('ip,nope', 'a,b', "no blob 'nope'"), ('ip', 'a,b', 'one database for each')):
            log = self.et('extract-features', 'c_iter_20.caffemodel', 'net.prototxt', blobs, out, '1', 'lmdb',
                          status=1)
            self.assertIn(words, log)
            self.assertFalse(os.path.exists(self.path('a')))

    def test_tables_are_those_of_caffes_parser(self):
        for name in ('log.txt', 'log.txt.train', 'log.txt.test'):
            shutil.copy(os.path.join(CAFFE, name), self.folder)
        os.mkdir(self.path('out'))
        self.et('parse-log', 'log.txt', 'out')
        for name in ('log.txt.train', 'log.txt.test'):
            self.assertEqual(self.read('out/' + name), self.read(name))
        # Newer glog prints the year, too.
        with open(self.path('year.txt'), 'wb') as file:
            file.write(re.sub(rb'(?m)^I', b'I2026', self.read('log.txt')))
        self.et('parse-log', 'year.txt', 'out')
        self.assertEqual(self.read('out/year.txt.train'), self.read('log.txt.train'))

    def test_a_log_crosses_new_year(self):
        with open(self.path('log'), 'w') as file:
            file.write('I1231 23:59:50.000000 1 solver.cpp:289] Solving n\n'
                       'I1231 23:59:51.500000 1 solver.cpp:239] Iteration 0, loss = 3\n'
                       'I1231 23:59:51.500000 1 solver.cpp:258]     Train net output #0: a = 3 (* 1 = 3 loss)\n'
                       'I1231 23:59:51.600000 1 sgd_solver.cpp:112] Iteration 0, lr = 1e-05\n'
                       'a line of something else\n'
                       'I0101 00:00:02.000001 1 solver.cpp:239] Iteration 1000, loss = 2.5\n'
                       'I0101 00:00:02.000001 1 solver.cpp:258]     Train net output #0: a = 2.5e-7\n'
                       'I0101 00:00:02.000001 1 sgd_solver.cpp:112] Iteration 1000, lr = 1e-05\n'
                       'I0101 00:00:03.000000 1 solver.cpp:258]     Train net output #0: a = nan\n')
        self.et('parse-log', 'log', '--delimiter=;')
        self.assertEqual(self.read('log.train').decode(),
                         'NumIters;Seconds;LearningRate;a\r\n0.0;1.5;1e-05;3.0\r\n'
                         '1000.0;12.000001;1e-05;2.5e-07\r\n')
        self.assertFalse(os.path.exists(self.path('log.test')))
        self.assertIn("no line says 'Solving'", self.et('parse-log', os.path.join(CAFFE, 'net.prototxt'), status=1))

    def test_old_nets_and_models_are_rewritten(self):
        case = os.path.join(CASES, 'net_v1_mix')
        for name in os.listdir(case):
            if os.path.isfile(os.path.join(case, name)):
                shutil.copy(os.path.join(case, name), self.folder)
        self.et('upgrade-net', 'net.prototxt', 'new.prototxt')
        text = self.read('new.prototxt').decode()
        self.assertNotIn('layers {', text)
        self.assertNotIn('blobs_lr', text)
        log = self.et('upgrade-net', 'new.prototxt', 'again.prototxt')
        self.assertIn('File already in latest proto format: new.prototxt', log)
        self.assertEqual(self.read('again.prototxt'), self.read('new.prototxt'))
        self.et('upgrade-net', 'init.caffemodel', 'new.caffemodel')
        losses = [re.search(r'Loss: (\S+)', self.et('test', '--model=' + net, '--weights=' + weights,
                                                    '--iterations=2', '--threads=1')).group(1)
                  for net, weights in (('net.prototxt', 'init.caffemodel'), ('new.prototxt', 'new.caffemodel'))]
        self.assertEqual(losses[0], losses[1])

    def test_an_old_solver_is_rewritten(self):
        with open(self.path('old'), 'w') as file:
            file.write('net: "x" solver_type: NESTEROV base_lr: 0.5')
        self.et('upgrade-solver', 'old', 'new')
        self.assertEqual(sorted(self.read('new').decode().split('\n')),
                         ['', 'base_lr: 0.5', 'net: "x"', 'type: "Nesterov"'])
        with open(self.path('old'), 'w') as file:
            file.write('nett: "x"')
        self.assertIn("unknown field 'nett'", self.et('upgrade-solver', 'old', 'other', status=1))
        self.assertFalse(os.path.exists(self.path('other')))

    def test_a_net_is_drawn_without_overlaps(self):
        svg = '{http://www.w3.org/2000/svg}'
        for net, flags in ((os.path.join(NETS, 'lenet.prototxt'), []),
                           (os.path.join(CASES, 'net_inception', 'net.prototxt'), ['--input=data=2,3,32,32'])):
            self.et('draw-net', net, 'net.svg', *flags)
            root = xml.etree.ElementTree.fromstring(self.read('net.svg'))
            width, height = float(root.get('width')), float(root.get('height'))
            boxes = [[float(r.get(k)) for k in ('x', 'y', 'width', 'height')] for r in root.iter(svg + 'rect')
                     if r.get('rx')]
            self.assertGreater(len(boxes), 5)
            for i, (x, y, w, h) in enumerate(boxes):
                self.assertTrue(x > -30 and y >= 0 and x + w <= width and y + h <= height)
                for x2, y2, w2, h2 in boxes[:i]:
                    self.assertTrue(x >= x2 + w2 or x2 >= x + w or y >= y2 + h2 or y2 >= y + h)
        self.et('draw-net', os.path.join(NETS, 'lenet.prototxt'), 'net.svg')
        text = self.read('net.svg').decode()
        for words in ('conv1', 'Convolution 5 x 5', '64 x 20 x 24 x 24', '520 parameters', 'Max pooling 2 x 2, stride 2',
                      '431 k parameters'):
            self.assertIn('>' + words, text)

    def test_wrong_usage_is_2_and_help_shows_an_example(self):
        for command, few in (('compute-image-mean', []), ('extract-features', ['a', 'b']), ('upgrade-net', ['a']),
                             ('upgrade-solver', []), ('draw-net', ['a']), ('parse-log', []), ('check', [])):
            self.et(command, *few, status=2)
            self.et(command, '--nonsense', status=2)
            result = subprocess.run([ET, command, '--help'], capture_output=True, text=True)
            self.assertEqual(result.returncode, 0)
            self.assertIn('example:\n  et %s ' % command if command != 'parse-log' else 'et parse-log lenet.log',
                          result.stdout)
        self.assertIn('it must be a number above 0',
                      self.et('extract-features', 'a', 'b', 'c', 'd', '0', 'lmdb', status=2))
        self.assertIn('lmdb and leveldb are known',
                      self.et('extract-features', 'a', 'b', 'c', 'd', '1', 'sqlite', status=2))


if __name__ == '__main__':
    unittest.main()
