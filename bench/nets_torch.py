#!/usr/bin/python3
"""A Caffe net on PyTorch, built from the same prototxt, channels last: seconds a step, wall and processor.

    bench/nets_torch.py NET.prototxt train|test THREADS STEPS

A training step is forward, backward and SGD with momentum and decay; random data stays in memory.
"""
import re
import statistics
import sys
import time

import torch
import torch.nn.functional as F


def parse(text):
    """Prototxt as a dict of lists; messages are such dicts."""
    words = re.findall(r'"[^"]*"|[{}]|[^\s{}:]+', re.sub(r'#.*', '', text))
    at = 0

    def message():
        nonlocal at
        fields = {}
        while at < len(words) and words[at] != '}':
            name = words[at]
            at += 1
            if words[at] == '{':
                at += 1
                value = message()
            else:
                value = words[at].strip('"')
            at += 1
            fields.setdefault(name, []).append(value)
        return fields
    return message()


def one(fields, name, otherwise=None):
    return fields.get(name, [otherwise])[0]


def number(fields, name, otherwise):
    return int(one(fields, name, otherwise))


class Net(torch.nn.Module):
    """Runs the layers of the prototxt in order on a dict of blobs; returns the loss, or the scores in a test."""

    def __init__(self, layers, shapes, is_training):
        super().__init__()
        self.kinds, self.steps, self.parts = [], [], torch.nn.ModuleList()
        blobs = dict(shapes)
        with torch.no_grad():
            self.train(is_training)
            for layer in layers:
                part = self.make(layer, blobs)
                if part is None:
                    continue
                self.parts.append(part if isinstance(part, torch.nn.Module) else torch.nn.Identity())
                self.steps.append((part, layer))
                self.run_one(part, layer, blobs, None)
        self.is_training = is_training

    def make(self, layer, blobs):
        kind = one(layer, 'type')
        x = blobs[one(layer, 'bottom')]
        if kind == 'Convolution':
            p = one(layer, 'convolution_param')
            return torch.nn.Conv2d(x.shape[1], number(p, 'num_output', 0), number(p, 'kernel_size', 1),
                                   number(p, 'stride', 1), number(p, 'pad', 0), groups=number(p, 'group', 1),
                                   bias=one(p, 'bias_term') != 'false')
        if kind == 'InnerProduct':
            p = one(layer, 'inner_product_param')
            return torch.nn.Sequential(torch.nn.Flatten(),
                                       torch.nn.Linear(x[0].numel(), number(p, 'num_output', 0)))
        if kind == 'BatchNorm':  # with the Scale that follows
            return torch.nn.BatchNorm2d(x.shape[1])
        if kind == 'Pooling':
            p = one(layer, 'pooling_param')
            maximum = one(p, 'pool', 'MAX') == 'MAX'
            make = torch.nn.MaxPool2d if maximum else torch.nn.AvgPool2d
            return make(number(p, 'kernel_size', 1), number(p, 'stride', 1), number(p, 'pad', 0), ceil_mode=True)
        if kind == 'LRN':
            p = one(layer, 'lrn_param')
            return torch.nn.LocalResponseNorm(number(p, 'local_size', 5), float(one(p, 'alpha', 1)),
                                              float(one(p, 'beta', 0.75)))
        if kind == 'Dropout':
            return torch.nn.Dropout(float(one(one(layer, 'dropout_param', {}), 'dropout_ratio', 0.5)))
        if kind == 'ReLU':
            return torch.nn.ReLU(inplace=True)
        if kind == 'Concat':
            return lambda *parts: torch.cat(parts, 1)
        if kind == 'Eltwise':
            return lambda a, b: a + b
        if kind == 'Softmax':
            return torch.nn.Softmax(1)
        if kind == 'SoftmaxWithLoss':
            return F.cross_entropy
        if kind in ('Scale', 'Accuracy'):
            return None
        sys.exit('no layer of type %s here' % kind)

    @staticmethod
    def run_one(part, layer, blobs, losses):
        bottoms = [blobs[name] for name in layer['bottom']]
        if one(layer, 'type') == 'SoftmaxWithLoss':
            if losses is not None:
                losses.append(float(one(layer, 'loss_weight', 1)) * part(bottoms[0], bottoms[1]))
            return
        blobs[one(layer, 'top')] = part(*bottoms)

    def forward(self, blobs):
        losses = []
        for part, layer in self.steps:
            self.run_one(part, layer, blobs, losses if self.is_training else None)
        return sum(losses) if losses else next(reversed(blobs.values()))


def main():
    path, mode, threads, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    is_training = mode == 'train'
    with open(path) as file:
        layers = parse(file.read())['layer']
    phase = 'TRAIN' if is_training else 'TEST'
    layers = [l for l in layers if one(one(l, 'include', {}), 'phase', phase) == phase]
    data = one(layers[0], 'dummy_data_param') or one(layers[0], 'input_param')
    dims = [int(d) for d in data['shape'][0]['dim']]
    x = torch.rand(dims).contiguous(memory_format=torch.channels_last)
    blobs = {'data': x, 'label': torch.full((dims[0],), 3)}
    net = Net(layers[1:], blobs, is_training).to(memory_format=torch.channels_last)
    net.train(is_training)
    sgd = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)

    def step():
        if not is_training:
            with torch.no_grad():
                net(dict(blobs))
            return
        sgd.zero_grad(set_to_none=True)
        net(dict(blobs)).backward()
        sgd.step()

    step()
    took = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        took.append(time.perf_counter() - start)
    print('%.6f' % statistics.median(took))


if __name__ == '__main__':
    main()
