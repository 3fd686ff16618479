/*
 * caffe_log.h - log lines in glog's form, as Caffe's parsers read them:
 *
 *   I1121 13:40:00.123456  4242 solver.cpp:239] Iteration 100, loss = 0.25
 *
 * Goes to stderr.  `place` is the file and line of Caffe that prints the
 * same message, because DIGITS and parse_log.py match on it.
 */
#ifndef ET_CAFFE_LOG_H
#define ET_CAFFE_LOG_H

#include "base/base.h"

void caffe_log(char level, const char *place, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A float as C++ streams print it: 6 significant digits ("%g"). */
#define CAFFE_FLOAT "%g"

#endif
