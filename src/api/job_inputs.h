/* job_inputs.h - files of other documents, laid before a script. */
#ifndef ET_JOB_INPUTS_H
#define ET_JOB_INPUTS_H

#include "api/resource.h"

#define INPUTS_MAX  100
#define SCRIPT_BLOB "script" /* under which a job has its script; no input has this name */

/* Rows of a request's input, and of the document's. */
extern const struct field job_input_rows[];

struct inputs {
    int n;
    char *ids[INPUTS_MAX];
    const char *jobs[INPUTS_MAX]; /* those of ids that may have to be waited for */
    int n_jobs;
    json_t *names;  /* array, for the worker */
    json_t *shown;  /* array, for the document */
    json_t *leased; /* array of job_input() */
};
void inputs_release(struct inputs *in);

/* Errors: INVALID at /inputs/N. */
enum status inputs_read(const struct request *r, struct response *response, const json_t *asked,
                        struct inputs *ret_inputs, struct error *err);

#endif
