#!/usr/bin/python3
"""Writes the big nets of the benchmarks as Caffe prototxt, from the tables of the papers.

    bench/nets.py googlenet|resnet50 [--batch N] [--data dummy|input|FOLDER_OF_AN_LMDB]

  googlenet  Szegedy et al., Going deeper with convolutions (2014), table 1, with both side classifiers in training
  resnet50   He et al., Deep residual learning for image recognition (2015), table 1, BatchNorm and Scale in place

dummy (the default) has the shapes of the data and no data; input is the net for predictions; an LMDB holds images of
at least 224 x 224, cut out at random and mirrored.  bench/nets/googlenet.prototxt and resnet50.prototxt are what this
writes for batches of 32 and 16.
"""
import argparse

SIDE = 224
CLASSES = 1000
# columns of the paper: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, after the pool
INCEPTIONS = {
    '3a': (64, 96, 128, 16, 32, 32), '3b': (128, 128, 192, 32, 96, 64),
    '4a': (192, 96, 208, 16, 48, 64), '4b': (160, 112, 224, 24, 64, 64), '4c': (128, 128, 256, 24, 64, 64),
    '4d': (112, 144, 288, 32, 64, 64), '4e': (256, 160, 320, 32, 128, 128),
    '5a': (256, 160, 320, 32, 128, 128), '5b': (384, 192, 384, 48, 128, 128),
}
STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))  # blocks, width; a block ends four times as wide


class Net:
    """Layers as lines of prototxt; each method returns the name of its top."""

    def __init__(self, name, batch, data):
        self.lines = ['name: "%s"' % name]
        self.is_deployed = data == 'input'
        if self.is_deployed:
            self.layer('data', 'Input', [], ['data'],
                       'input_param { shape { dim: %d dim: 3 dim: %d dim: %d } }' % (batch, SIDE, SIDE))
        elif data == 'dummy':
            self.layer('data', 'DummyData', [], ['data', 'label'],
                       'dummy_data_param { shape { dim: %d dim: 3 dim: %d dim: %d } shape { dim: %d } '
                       'data_filler { type: "constant" value: 0.5 } data_filler { type: "constant" value: 3 } }'
                       % (batch, SIDE, SIDE, batch))
        else:
            self.layer('data', 'Data', [], ['data', 'label'],
                       'transform_param { crop_size: %d mirror: true scale: 0.0078125 mean_value: 128 } '
                       'data_param { source: "%s" backend: LMDB batch_size: %d }' % (SIDE, data, batch))

    def layer(self, name, kind, bottoms, tops, settings=''):
        words = ['name: "%s" type: "%s"' % (name, kind)]
        words += ['bottom: "%s"' % bottom for bottom in bottoms] + ['top: "%s"' % top for top in tops]
        self.lines.append('layer { %s }' % ' '.join(words + ([settings] if settings else [])))
        return tops[0]

    def conv(self, name, bottom, outputs, kernel, stride=1, filler='type: "xavier"', bias=True):
        settings = 'num_output: %d kernel_size: %d' % (outputs, kernel)
        settings += ' stride: %d' % stride if stride > 1 else ''
        settings += ' pad: %d' % (kernel // 2) if kernel > 1 else ''
        rates = 'param { lr_mult: 1 }'
        if bias:
            settings += ' bias_filler { value: 0.2 }'
            rates += ' param { lr_mult: 2 decay_mult: 0 }'
        else:
            settings += ' bias_term: false'
        return self.layer(name, 'Convolution', [bottom], [name],
                          '%s convolution_param { %s weight_filler { %s } }' % (rates, settings, filler))

    def dense(self, name, bottom, outputs, more=''):
        return self.layer(name, 'InnerProduct', [bottom], [name],
                          'param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 } '
                          'inner_product_param { num_output: %d weight_filler { type: "xavier" } }%s' % (outputs, more))

    def relu(self, bottom, more=''):
        return self.layer('relu_' + bottom, 'ReLU', [bottom], [bottom], more)

    def pool(self, name, bottom, kind, kernel, stride, pad=0, more=''):
        return self.layer(name, 'Pooling', [bottom], [name],
                          'pooling_param { pool: %s kernel_size: %d stride: %d%s }%s'
                          % (kind, kernel, stride, ' pad: %d' % pad if pad else '', more))

    def norm(self, name, bottom):
        return self.layer(name, 'LRN', [bottom], [name], 'lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }')

    def dropout(self, bottom, ratio, more=''):
        return self.layer('drop_' + bottom, 'Dropout', [bottom], [bottom],
                          'dropout_param { dropout_ratio: %g }%s' % (ratio, more))

    def end(self, bottom):
        if self.is_deployed:
            self.layer('prob', 'Softmax', [bottom], ['prob'])
            return
        self.layer('loss', 'SoftmaxWithLoss', [bottom, 'label'], ['loss'])
        self.layer('accuracy', 'Accuracy', [bottom, 'label'], ['accuracy'], 'include { phase: TEST }')

    def text(self):
        return '\n'.join(self.lines) + '\n'


def inception(net, name, bottom, columns):
    one, reduce3, three, reduce5, five, after = columns
    tops = [net.relu(net.conv(name + '/1x1', bottom, one, 1))]
    for kernel, reduce, outputs in ((3, reduce3, three), (5, reduce5, five)):
        size = '/%dx%d' % (kernel, kernel)
        small = net.relu(net.conv(name + size + '_reduce', bottom, reduce, 1))
        tops.append(net.relu(net.conv(name + size, small, outputs, kernel)))
    pooled = net.pool(name + '/pool', bottom, 'MAX', 3, 1, 1)
    tops.append(net.relu(net.conv(name + '/pool_proj', pooled, after, 1)))
    return net.layer(name, 'Concat', tops, [name])


def side_classifier(net, name, bottom):
    train = ' include { phase: TRAIN }'
    top = net.pool(name + '/pool', bottom, 'AVE', 5, 3, more=train)
    net.conv(name + '/conv', top, 128, 1)
    net.lines[-1] = net.lines[-1][:-2] + train + ' }'
    net.relu(name + '/conv', train)
    net.relu(net.dense(name + '/fc', name + '/conv', 1024, train), train)
    net.dropout(name + '/fc', 0.7, train)
    net.dense(name + '/classifier', name + '/fc', CLASSES, train)
    net.layer(name + '/loss', 'SoftmaxWithLoss', [name + '/classifier', 'label'], [name + '/loss'],
              'loss_weight: 0.3' + train)


def googlenet(batch, data):
    net = Net('GoogLeNet', batch, data)
    top = net.relu(net.conv('conv1', 'data', 64, 7, 2))
    top = net.norm('norm1', net.pool('pool1', top, 'MAX', 3, 2))
    top = net.relu(net.conv('conv2/reduce', top, 64, 1))
    top = net.relu(net.conv('conv2', top, 192, 3))
    top = net.pool('pool2', net.norm('norm2', top), 'MAX', 3, 2)
    for name, columns in INCEPTIONS.items():
        top = inception(net, name, top, columns)
        if name in ('3b', '4e'):
            top = net.pool('pool' + name[0], top, 'MAX', 3, 2)
        if name in ('4a', '4d') and not net.is_deployed:
            side_classifier(net, 'side' + name, top)
    top = net.dropout(net.pool('pool5', top, 'AVE', 7, 1), 0.4)
    net.end(net.dense('classifier', top, CLASSES))
    return net.text()


def normalised(net, name, bottom, outputs, kernel, stride=1):
    top = net.conv(name, bottom, outputs, kernel, stride, 'type: "msra"', bias=False)
    net.layer(name + '/norm', 'BatchNorm', [top], [top])
    return net.layer(name + '/scale', 'Scale', [top], [top], 'scale_param { bias_term: true }')


def block(net, name, bottom, width, stride, is_first):
    short = normalised(net, name + '/short', bottom, 4 * width, 1, stride) if is_first else bottom
    top = net.relu(normalised(net, name + '/reduce', bottom, width, 1, stride))
    top = net.relu(normalised(net, name + '/3x3', top, width, 3))
    top = normalised(net, name + '/expand', top, 4 * width, 1)
    return net.relu(net.layer(name, 'Eltwise', [short, top], [name]))


def resnet50(batch, data):
    net = Net('ResNet-50', batch, data)
    top = net.relu(normalised(net, 'conv1', 'data', 64, 7, 2))
    top = net.pool('pool1', top, 'MAX', 3, 2)
    for stage, (blocks, width) in enumerate(STAGES, 2):
        for i in range(blocks):
            stride = 2 if i == 0 and stage > 2 else 1
            top = block(net, 'res%d%s' % (stage, 'abcdef'[i]), top, width, stride, i == 0)
    top = net.pool('pool5', top, 'AVE', 7, 1)
    net.end(net.dense('classifier', top, CLASSES))
    return net.text()


NETS = {'googlenet': (googlenet, 32), 'resnet50': (resnet50, 16)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('net', choices=NETS)
    parser.add_argument('--batch', type=int)
    parser.add_argument('--data', default='dummy')
    args = parser.parse_args()
    write, batch = NETS[args.net]
    print(write(args.batch or batch, args.data), end='')


if __name__ == '__main__':
    main()
