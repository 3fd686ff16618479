#!/usr/bin/python3
"""Predictions of a Caffe net by OpenCV: seconds a batch, wall and processor.

    bench/nets_opencv.py DEPLOY.prototxt WEIGHTS.caffemodel BATCH THREADS STEPS
"""
import statistics
import sys
import time

import cv2
import numpy


def main():
    batch, threads, steps = (int(word) for word in sys.argv[3:6])
    cv2.setNumThreads(threads)
    net = cv2.dnn.readNetFromCaffe(sys.argv[1], sys.argv[2])
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    x = numpy.random.default_rng(1).random((batch, 3, 224, 224), dtype=numpy.float32)
    took = []
    for i in range(steps + 1):
        start = time.perf_counter()
        net.setInput(x)
        net.forward()
        if i:
            took.append(time.perf_counter() - start)
    print('%.6f' % statistics.median(took))


if __name__ == '__main__':
    main()
