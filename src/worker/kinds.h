/*
 * kinds.h - what jobs there are: one file a kind, one row in kinds.c.
 *
 * run() works in the job's folder.  OK: *ret_result is the result of
 * docs/worker-protocol.md (a script's is written when it fails, too).  Errors decide the outcome: UNAVAILABLE
 * and NO_SPACE are tried again, CANCELLED is an end that was asked for, all others are the user's to know.
 */
#ifndef ET_KINDS_H
#define ET_KINDS_H

#include "worker/job.h"

struct job_kind {
    const char *name;
    enum status (*run)(struct job *job, json_t **ret_result, struct error *err);
    bool keeps_logs; /* its two streams become blobs */
};

const struct job_kind *job_kind_find(const char *name); /* NULL: not one of this worker */

enum status job_run_fetch(struct job *job, json_t **ret_result, struct error *err);
enum status job_run_order(struct job *job, json_t **ret_result, struct error *err);
enum status job_run_script(struct job *job, json_t **ret_result, struct error *err);
enum status job_run_split(struct job *job, json_t **ret_result, struct error *err);
enum status job_run_train(struct job *job, json_t **ret_result, struct error *err);
enum status job_run_classify(struct job *job, json_t **ret_result, struct error *err);

/*
 * The bytes behind a user's URL, to a file of the job's folder.
 * Errors: UNAVAILABLE (not reached, 5xx), INVALID (refused, 4xx),
 * TOO_LARGE past max_bytes (0: no limit), NO_SPACE, CANCELLED.
 */
enum status job_fetch_url(struct job *job, const char *url, const char *file_name, int64_t max_bytes,
                          struct error *err);

#endif
