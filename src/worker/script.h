/*
 * script.h - a user's program, run in the sandbox: what a job of kind
 * `script` is, and a Boss's Order.
 *
 * In the job's folder lies the box, all that the program may write:
 *
 *   box/job/                 its working folder, /job inside
 *   box/job/parameters.json  the same JSON as its one argument
 *   box/job/inputs/NAME      what it works on
 *   box/job/artifacts/       what it wants kept
 *   box/tmp/  box/shm/       /tmp and /dev/shm inside
 *
 * script_prepare() makes these, the caller puts the program into box/job,
 * script_run() runs it.  docs/scripts.md is the program's side of it.
 */
#ifndef ET_SCRIPT_H
#define ET_SCRIPT_H

#include "worker/job.h"

#define SCRIPT_FOLDER    "box/job" /* below the job's folder */
#define SCRIPT_ARTIFACTS "box/job/artifacts"

struct script {
    const char *program;      /* a path below box/job: "train.py" */
    const json_t *parameters; /* an object; lent */
    bool is_order;            /* its result is an Outcome, which may have a "metric" */
    bool network;             /* it may reach others */
    int gpus;                 /* above 0: it sees the machine's */
    int cpus;                 /* threads that it is told to use; 0: what the host gives a job */
    int64_t memory_bytes;     /* all its processes together; 0: what the host gives a job */
};

/* Makes the box, empty but for its folders. */
enum status script_prepare(struct job *job, struct error *err);

/*
 * Runs the program to its end, with parameters.json written first.  Its
 * metrics go to the server as they come, its artifacts when it has ended.
 *
 * *ret_result (owned by the caller) is written however the program ended,
 * and stays as it was when it never ran:
 *   {"exit-status": 3 or null, "signal": "SIGSEGV" or null,
 *    "result": last JSON object line without "metric", or null,
 *    "artifacts": [NAME...]}
 *
 * OK: exit status 0.  Errors: FAILED ("exit status 3: last line on stderr",
 * "killed by signal 11 (SIGSEGV)", "used more than its 512 MiB of memory");
 * UNSUPPORTED when this machine has no sandbox; INVALID for a program that
 * is none; NO_SPACE, UNAVAILABLE (the machine's doing); CANCELLED.
 */
enum status script_run(struct job *job, const struct script *script, json_t **ret_result, struct error *err);

#endif
