/*
 * job.h - one leased job while it runs: its folder, its way to the server,
 * its log, and whether it should stop.
 *
 * Three threads a job:
 *   the job's own (runner.c): does the work
 *   the heart: renews the lease, learns that the job was cancelled or lost
 *   the courier: carries log, metrics and snapshots to the server as they come
 *
 * A server that is away stops nothing: the work goes on, the courier tries
 * again, and output waits on disk in the job's folder.  A 409 ends it all.
 */
#ifndef ET_JOB_H
#define ET_JOB_H

#include "base/pools.h"
#include "worker/lease.h"

/* What a worker lets a script do; 0 is the usual. */
struct script_limits {
    bool unsafe;          /* run them without a sandbox */
    int processes;        /* 512 */
    int64_t memory_bytes; /* of one whose pool has no size: the machine's by slots */
    int64_t disk_bytes;   /* 8 GiB */
    int64_t log_bytes;    /* of each of its streams: 64 MiB */
    int64_t grace_ms;     /* from SIGTERM to SIGKILL when it is cancelled or out of time: 10 s */
    const char *folder;   /* scripts that a Boss's Orders name; NULL: none, and no Orders */
};

/* What all jobs of a worker share; lent to them. */
struct job_host {
    const char *server_url;
    const char *folder;      /* job folders are made here */
    int threads;             /* of one job that asks for none: cores / slots */
    int64_t max_fetch_bytes; /* of one URL; 0: no limit */
    struct script_limits scripts;
    const struct pools *pools;     /* what a job of each may use */
    const struct cgroups *cgroups; /* where scripts' control groups are made; base NULL: none are */
};

/* Why a job should end; a later reason only replaces a lesser one. */
enum job_end { JOB_GOES_ON, JOB_RELEASED, JOB_CANCELLED, JOB_KILLED, JOB_ABANDONED, JOB_LOST };

enum job_stream { JOB_STDOUT, JOB_STDERR };

struct job; /* job.c's own */

/* Makes the folder and starts heart and courier.  The lease is taken over on OK. */
enum status job_start(const struct job_host *host, struct lease *lease, struct job **ret_job,
                      struct error *err);
/*
 * Waits until courier and heart have ended (job_finish does that), removes
 * the folder and frees.
 */
void job_free(struct job *job);
void job_freep(struct job **job);

const struct lease *job_lease(const struct job *job);
const struct job_host *job_host(const struct job *job);
const char *job_folder(const struct job *job);
/* Names of the GPUs that are the job's own, with commas between; "" is none.  Lent for the job's life. */
void job_set_gpus(struct job *job, const char *names);
const char *job_gpus(const struct job *job);
struct http_client *job_http(struct job *job); /* for the job's own thread only */

/* ---- stopping ---- */

/* Any thread.  RELEASED and CANCELLED ask, KILLED ends the child at once; ABANDONED and LOST also end every
 * exchange with the server. */
void job_end(struct job *job, enum job_end why);
enum job_end job_ending(const struct job *job);
const atomic_bool *job_stop_flag(const struct job *job); /* true once it should end, for whatever reason */
int job_wake_fd(const struct job *job); /* becomes readable when it should end; never read it */
/* CANCELLED once the job should end, with the reason's words. */
enum status job_check(const struct job *job, struct error *err);

/* ---- the server ---- */

/*
 * lease_send() again and again, with growing pauses, until it answers: only
 * the end of the job (ABANDONED, LOST) gives up, with CANCELLED.
 */
enum status job_call(struct job *job, const struct lease_call *call, json_t **ret_json, struct error *err);

/* Downloads an input to a file of the job's folder and checks its hash. */
enum status job_get_input(struct job *job, const char *name, const char *file_name, struct error *err);
/* Uploads a file of the job's folder as a blob. */
enum status job_put_blob(struct job *job, const char *file_name, const char *blob_name, struct error *err);

/* ---- what the courier carries; any thread ---- */

/* Raw output of the child.  NO_SPACE, FAILED when the folder's disk does not take it. */
enum status job_output(struct job *job, enum job_stream stream, const void *bytes, size_t size,
                       struct error *err);
/* The same, joined to the log (stderr), which shows both streams, but never its last line. */
enum status job_echo(struct job *job, const void *bytes, size_t size, struct error *err);
/* A line of the service's own on stderr. */
void job_log(struct job *job, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The child's last line on stderr that is not empty, for "failed: ...".  Writes "" when there is none. */
void job_last_line(const struct job *job, char *out, size_t size);

void job_metric(struct job *job, const char *name, int64_t step, double value);
void job_progress(struct job *job, json_t *progress); /* taken; replaces what has not been sent */
/*
 * A pair of files of the job's folder, to be uploaded in one
 * snapshot.tar and removed after it; a newer pair replaces one
 * that waits.
 */
void job_snapshot(struct job *job, const char *model_file, const char *state_file);

/* ---- the end ---- */

/*
 * Sends all that waits, the two logs as blobs when `keep_logs`, and the
 * outcome, then stops heart and courier.  OK also when the job was lost.
 */
void job_finish(struct job *job, const char *outcome, const char *reason, json_t *result /* lent */,
                bool keep_logs);

#endif
