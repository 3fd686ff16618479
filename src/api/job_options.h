/*
 * job_options.h - what every request that makes a job may say about it, and
 * a job made ready before it is put into the queue.
 */
#ifndef ET_JOB_OPTIONS_H
#define ET_JOB_OPTIONS_H

#include "api/resource.h"

extern const struct field id_rows[];

/* Rows of a request, and of the document that answers it. */
#define JOB_OPTION_ROWS                                                                                          \
    {"priority",  FIELD_INT,       0, "Higher goes first among one's own jobs.", .min = -1000,                   \
     .max = 1000, .otherwise = "0"},                                                                             \
        {"after",                                                                                                \
         FIELD_ARRAY,                                                                                            \
         0,                                                                                                      \
         "Documents whose jobs, or arrays all of whose jobs, must finish first; one that fails fails this too.", \
         .max = 64,                                                                                              \
         .fields = id_rows},                                                                                     \
        {"not-before", FIELD_STRING, 0, "Begin at this time, RFC 3339.", .max = 40},                             \
        {"retries", FIELD_INT, 0, "Further attempts when a machine is at fault; else 5.", .max = 100},           \
        {"retry-on-failure", FIELD_BOOL, 0, "Retry also when the job itself fails."},                            \
    {                                                                                                            \
        "retry-delay-seconds", FIELD_INT, 0, "Before the first retry, then doubled; else 5.", .min = 1,          \
                                                                                              .max = 86400       \
    }
#define JOB_OPTION_OUT_ROWS                                                                                  \
    {"priority", FIELD_INT, READ_ONLY, "Higher goes first."},                                                \
        {"after", FIELD_ARRAY, READ_ONLY, "Documents whose jobs had to finish first.", .fields = id_rows},   \
        {"not-before", FIELD_STRING, READ_ONLY, "Not to begin before this time."},                           \
        {"retries", FIELD_INT, READ_ONLY, "Further attempts allowed."},                                      \
        {"retry-on-failure", FIELD_BOOL, READ_ONLY, "Retried also when the job itself fails."},              \
        {"retry-delay-seconds", FIELD_INT, READ_ONLY, "Before the first retry."},                            \
        {"array-id", FIELD_STRING, READ_ONLY, "Array or schedule that it belongs to."},                      \
    {                                                                                                        \
        "array-index", FIELD_INT, READ_ONLY, "Its place in an array, from 0."                                \
    }

/*
 * Puts a request's options into a job.  own: what the job needs anyway, lent
 * for the job's life like the request.  The job's `after` is ret_after, for
 * the caller to free.
 * Errors: INVALID at the field: a time that is none, an `after` that is not there.
 */
enum status job_options_read(const struct request *r, struct response *response, const json_t *in,
                             const char *const *own, int n_own, struct new_job *job, const char ***ret_after,
                             struct error *err);

/* A document and its job, with what their pointers lead to; it stays where it is. */
struct job_plan {
    char id[ID_MAX];
    json_t *body, *spec;
    const char **after;
    struct new_job job;
    struct new_document document;
    void *own; /* the kind's */
    void (*release_own)(void *own);
};
void job_plan_release(struct job_plan *p);

/* A kind of job that arrays and schedules can make. */
struct job_maker {
    const struct resource *resource;
    const struct field *in; /* of the request for one */
    /* Lends the request and `in`, which is decoded by the table; the plan stays where it is. */
    enum status (*plan)(struct request *r, struct response *response, const json_t *in,
                        struct job_plan *ret_plan, struct error *err);
    /*
     * What sets an element of an array apart: a merge patch {"body": {}, "spec": {}},
     * the latter for the job's spec.  The plan's id stands for the element's.
     */
    enum status (*vary)(struct request *r, struct job_plan *plan, const json_t *parameters,
                        json_t **ret_patch, struct error *err);
};
extern const struct job_maker training_job_maker, script_job_maker, classify_job_maker;
/* By the type of the documents: "training-job".  NULL: none. */
const struct job_maker *job_maker_of(const char *type);
#define JOB_MAKER_TYPES "training-job|job|classify-job"

/* The handler of a POST whose body is `in`: answers 201 with the job, or the array, that it asks for. */
enum status job_create_request(struct request *r, struct response *response, const struct job_maker *maker,
                               const json_t *in, struct error *err);

#endif
