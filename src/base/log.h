/*
 * log.h - the service's log: one key=value line an event, on stderr.
 *
 *   log_event("job.finished", "job=%s attempt=%d", id, attempt);
 *   -> ts=2026-11-21T13:40:00.123Z event=job.finished job=... attempt=1
 *
 * Library code is silent; only the edges (serve, worker) log.  Values that a
 * user wrote go through log_value() first.  Safe from any thread.
 */
#ifndef ET_LOG_H
#define ET_LOG_H

#include "base/base.h"

void log_event(const char *event, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * s as a log value: bare when it is a plain word, else quoted with control
 * bytes escaped and cut at 200 bytes.  Returns out.
 */
#define LOG_VALUE_MAX 1024
const char *log_value(const char *s, char out[LOG_VALUE_MAX]);

#endif
