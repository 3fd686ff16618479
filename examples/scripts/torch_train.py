#!/usr/bin/python3
"""Trains a small convolutional net with PyTorch, as a job:

    JOB=$(et run -w -p epochs=5 examples/scripts/torch_train.py) && et get $JOB/model.pt

Its pictures are made here: bars that stand or lie, in noise. With a GPU in the
job's pool (et run --gpu 1) it trains there.
Parameters: epochs (3), batch (64), rate (0.05), seed (1).
"""
import json
import sys

import torch
from torch import nn

SIDE, PICTURES = 16, 1024


def make_pictures(count):
    """count pictures (count, 1, SIDE, SIDE) and their labels: 0 standing, 1 lying."""
    pictures = 0.3 * torch.randn(count, 1, SIDE, SIDE)
    labels = torch.randint(2, (count,))
    places = torch.randint(SIDE, (count,))
    for picture, label, place in zip(pictures, labels, places):
        if label:
            picture[0, place] += 1
        else:
            picture[0, :, place] += 1
    return pictures, labels


def main():
    parameters = json.loads(sys.argv[1])
    torch.manual_seed(parameters.get('seed', 1))
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    batch = parameters.get('batch', 64)
    train = [part.to(device) for part in make_pictures(PICTURES)]
    test = [part.to(device) for part in make_pictures(PICTURES // 4)]
    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                        nn.Linear(8 * SIDE * SIDE // 4, 2)).to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=parameters.get('rate', 0.05), momentum=0.9)
    step = 0
    for _ in range(parameters.get('epochs', 3)):
        for pictures, labels in zip(train[0].split(batch), train[1].split(batch)):
            loss = nn.functional.cross_entropy(net(pictures), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            print(json.dumps({'metric': 'loss', 'step': step, 'value': loss.item()}))
        with torch.no_grad():
            accuracy = (net(test[0]).argmax(1) == test[1]).float().mean().item()
        print(json.dumps({'metric': 'accuracy', 'step': step, 'value': accuracy}))
    torch.save(net.state_dict(), 'artifacts/model.pt')
    print(json.dumps({'accuracy': accuracy, 'device': device, 'steps': step}))


main()
