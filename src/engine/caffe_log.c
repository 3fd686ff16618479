#include "engine/caffe_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

void caffe_log(char level, const char *place, const char *format, ...)
{
    struct timespec now;
    struct tm local;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &local);
    va_list args;
    va_start(args, format);
    CLEANUP(freep) char *message = NULL;
    if (vasprintf(&message, format, args) < 0)
        message = NULL;
    va_end(args);
    /* One write a line: a reader at the other end of a pipe sees whole lines. */
    CLEANUP(freep)
    char *line = xasprintf("%c%02d%02d %02d:%02d:%02d.%06ld %5d %s] %s\n", level, local.tm_mon + 1,
                           local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec, now.tv_nsec / 1000,
                           (int)gettid(), place, message ? message : format);
    fputs(line, stderr);
}
