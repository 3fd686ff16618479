#!/usr/bin/python3
"""The peer of lenet.py on PyTorch: same net, settings, batches and tests; data in memory, channels last."""
import math
import struct

import torch
import torch.nn.functional as F


def read(name):
    with open(name + '.images', 'rb') as file:
        raw = file.read()
    count = struct.unpack('>I', raw[4:8])[0]
    images = torch.frombuffer(bytearray(raw[16:]), dtype=torch.uint8).reshape(count, 1, 28, 28)
    with open(name + '.labels', 'rb') as file:
        labels = torch.frombuffer(bytearray(file.read()[8:]), dtype=torch.uint8).long()
    return images, labels


class LeNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(1, 20, 5)
        self.conv2 = torch.nn.Conv2d(20, 50, 5)
        self.ip1 = torch.nn.Linear(800, 500)
        self.ip2 = torch.nn.Linear(500, 10)
        for layer in (self.conv1, self.conv2, self.ip1, self.ip2):
            limit = math.sqrt(3.0 / layer.weight[0].numel())
            torch.nn.init.uniform_(layer.weight, -limit, limit)
            torch.nn.init.zeros_(layer.bias)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x), 2)
        x = F.max_pool2d(self.conv2(x), 2)
        return self.ip2(F.relu(self.ip1(x.flatten(1))))


def test(net, images, labels):
    with torch.no_grad():
        right = sum((net(images[i:i + 100].float() * 0.00390625).argmax(1) == labels[i:i + 100]).sum().item()
                    for i in range(0, 2000, 100))
    print('Test net output #0: accuracy = %g' % (right / 2000))


def main():
    torch.manual_seed(1)
    images, labels = read('train')
    test_images, test_labels = read('test')
    net = LeNet().to(memory_format=torch.channels_last)
    weights = [p for n, p in net.named_parameters() if n.endswith('weight')]
    biases = [p for n, p in net.named_parameters() if n.endswith('bias')]
    optimizer = torch.optim.SGD([{'params': weights, 'scale': 1}, {'params': biases, 'scale': 2}],
                                lr=0.01, momentum=0.9, weight_decay=0.0005)
    at = 0
    for iteration in range(1001):
        if iteration % 500 == 0:
            test(net, test_images, test_labels)
        if iteration == 1000:
            break
        rows = [(at + i) % 8000 for i in range(64)]
        at = (at + 64) % 8000
        first = rows[0]
        batch = images[first:first + 64] if first + 64 <= 8000 else images[rows]
        wanted = labels[first:first + 64] if first + 64 <= 8000 else labels[rows]
        x = (batch.float() * 0.00390625).contiguous(memory_format=torch.channels_last)
        for group in optimizer.param_groups:
            group['lr'] = 0.01 * (1 + 0.0001 * iteration) ** -0.75 * group['scale']
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(net(x), wanted)
        loss.backward()
        optimizer.step()


if __name__ == '__main__':
    main()
