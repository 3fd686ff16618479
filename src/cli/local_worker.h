/*
 * local_worker.h - the worker that `et serve` starts beside itself.
 *
 * A child process of the same binary.  It is started again with a growing
 * pause when it dies, and ends by itself when the server's end of its stdin
 * closes, so that none outlives a server that was killed.
 */
#ifndef ET_LOCAL_WORKER_H
#define ET_LOCAL_WORKER_H

#include <sys/types.h>

#include "base/base.h"

struct local_worker {
    const char *server; /* "http://127.0.0.1:8080" */
    const char *token_file;
    const char *folder; /* where its jobs run */
    int slots;
    const char *pools; /* by spaces; NULL: the usual */
    bool unsafe_scripts;
    const char *gpus;             /* names of those that jobs may have; NULL: the usual */
    const char *scripts;          /* folder of those that Orders name; NULL: none */
    pid_t pid;                    /* 0: not running */
    int lifeline;                 /* write end of its stdin; -1 */
    int64_t started_ms, again_ms; /* monotonic; again_ms: when to start it anew */
    int64_t pause_ms;
};

void local_worker_init(struct local_worker *w, const char *server, const char *token_file, const char *folder,
                       int slots);
/* Starts it when it is due. */
void local_worker_tick(struct local_worker *w, int64_t now_ms);
/* After SIGCHLD: notices its end. */
void local_worker_reap(struct local_worker *w, int64_t now_ms);
/* Asks it to end (SIGTERM), or makes it (SIGKILL). */
void local_worker_signal(struct local_worker *w, int signal_number);

#endif
