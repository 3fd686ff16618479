/*
 * child.h - a job's work in a process of its own: this same binary, started
 * by posix_spawn in the job's folder and in its own process group.
 *
 * Its output goes to the job's log as it comes.  When the job should end the
 * group gets SIGTERM, and after a grace period SIGKILL; it dies with the
 * worker.
 */
#ifndef ET_CHILD_H
#define ET_CHILD_H

#include <sys/types.h>

#include "worker/job.h"

#define CHILD_PROGRESS_FD 3 /* in the child */

/* What is watched of a program that is not ours.  The context is that of the options. */
struct child_guard {
    /* Bytes of its standard output, beside the log. */
    void (*output)(void *context, const char *bytes, size_t size);
    /* Every sample_ms, with the child's number.  A failure kills it, and is what child_watch returns. */
    enum status (*sample)(void *context, pid_t pid, struct error *err);
    int sample_ms;
    /* SIGTERM or SIGKILL to all of it, instead of to the group of pid. */
    void (*signal)(void *context, pid_t pid, int number);
    int64_t log_max;  /* bytes that are kept of each stream */
    int64_t grace_ms; /* from SIGTERM to SIGKILL when it is cancelled or out of time; 0: the usual */
};

struct child_options {
    const char *const *argv; /* argv[0] is "et"; ends with NULL */
    /* Called for each line that the child writes to CHILD_PROGRESS_FD, NUL-terminated; may be NULL. */
    void (*line)(void *context, const char *line);
    void *context;
    const struct child_guard *guard; /* NULL: it is ours */
};

/*
 * Runs to the end.  OK: it exited with status 0.  Errors: FAILED, "killed by
 * signal 11 (SIGSEGV)" or the last line on stderr; NO_SPACE when that line
 * says so; CANCELLED when the job was to end and did.
 */
enum status child_run(struct job *job, const struct child_options *options, struct error *err);

/*
 * Runs to the end, and leaves it to the caller what that means.
 * *ret_wait_status and *ret_asked (the job was to end) are written whenever
 * it was started.  Errors: FAILED past max_seconds, or when it cannot be
 * started; what the guard or the log said.
 */
enum status child_watch(struct job *job, const struct child_options *options, int *ret_wait_status,
                        bool *ret_asked, struct error *err);

/* The same from a wait status and the last line, for its tests. */
enum status child_verdict(int wait_status, const char *last_line, struct error *err);

/* Splits a stream into lines. */
struct line_reader {
    char text[16384];
    size_t size;
    bool too_long; /* the rest of this line is dropped */
};
void line_reader_feed(struct line_reader *r, const char *bytes, size_t size,
                      void (*line)(void *context, const char *line), void *context);

#endif
