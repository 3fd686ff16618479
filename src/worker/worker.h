/*
 * worker.h - leases jobs from a server and runs them, a thread a job.
 *
 * Each worker has a folder of its own below work_folder, locked as long as
 * it lives; at its start the folders of dead workers are removed.
 */
#ifndef ET_WORKER_H
#define ET_WORKER_H

#include "worker/job.h"

struct worker_options {
    const char *server;      /* URL */
    const char *token;       /* of scope worker */
    const char *work_folder; /* made when it is not there */
    int slots;               /* jobs at a time; at least 1 */
    int64_t max_fetch_bytes; /* of one URL; 0: no limit */
    struct script_limits scripts;
    const struct pools *pools; /* in order of preference; none: cpu, with cores and memory by slots */
    const char *gpus;          /* names of those that jobs may have, "0,1"; NULL: as devices.h finds them */
    const char *cgroup;        /* control group to divide (cgroup.h); NULL: our own; "": none */
    bool exit_when_drained;    /* worker_run ends when the server has drained it */
};

struct worker;

enum status worker_new(const struct worker_options *options, struct worker **ret_worker, struct error *err);
void worker_free(struct worker *w);
void worker_freep(struct worker **w);

/*
 * Leases and runs until worker_stop(), or until it is drained when that is to
 * end it.  OK: stopped, and every job was finished or released.  Errors: DENIED, the server does not take the
 * token.
 */
enum status worker_run(struct worker *w, struct error *err);

/*
 * Any thread.  Jobs are asked to stop (training snapshots) and are released;
 * what cannot be told to the server within 25 s is left to its lease.
 */
void worker_stop(struct worker *w);

#endif
