/* job_flags.h - what `et submit`, `et run` and `et classify` take alike about a job. */
#ifndef ET_JOB_FLAGS_H
#define ET_JOB_FLAGS_H

#include "base/json.h"

enum {
    JOB_FLAG_AFTER = 2000,
    JOB_FLAG_AT,
    JOB_FLAG_RETRY_ON_FAILURE,
    JOB_FLAG_SWEEP,
    JOB_FLAG_ARRAY,
    JOB_FLAG_NUMBERS, /* and those that follow, one a number */
    JOB_FLAG_END = JOB_FLAG_NUMBERS + 4
};
/* Rows of a getopt_long table. */
#define JOB_FLAGS                                                                                            \
    {"after", required_argument, NULL, JOB_FLAG_AFTER}, {"at", required_argument, NULL, JOB_FLAG_AT},        \
        {"not-before", required_argument, NULL, JOB_FLAG_AT},                                                \
        {"retry-on-failure", no_argument, NULL, JOB_FLAG_RETRY_ON_FAILURE},                                  \
        {"priority", required_argument, NULL, JOB_FLAG_NUMBERS},                                             \
        {"max-seconds", required_argument, NULL, JOB_FLAG_NUMBERS + 1},                                      \
        {"retries", required_argument, NULL, JOB_FLAG_NUMBERS + 2},                                          \
    {                                                                                                        \
        "retry-delay", required_argument, NULL, JOB_FLAG_NUMBERS + 3                                         \
    }
#define ARRAY_FLAGS                                                                                          \
    {"sweep", required_argument, NULL, JOB_FLAG_SWEEP},                                                      \
    {                                                                                                        \
        "array", required_argument, NULL, JOB_FLAG_ARRAY                                                     \
    }

#define JOB_FLAGS_HELP                                                                                       \
    "      --priority N       higher goes first among your own jobs (default 0)\n"                           \
    "      --after ID         begin when this job, or all of this array, has finished; repeated for more\n"  \
    "      --at TIME          begin then: 2026-11-21T13:40:00Z, or +90s, +30m, +2h, +1d from now\n"          \
    "      --max-seconds N    fail it when an attempt takes longer\n"                                        \
    "      --retries N        further attempts when a machine is at fault (default 5)\n"                     \
    "      --retry-delay N    seconds before the first of them, then doubled (default 5)\n"                  \
    "      --retry-on-failure retry also when the job itself fails\n"

struct job_flags {
    json_t *job;  /* fields of the request */
    json_t *sets; /* of an array; NULL: none is wanted */
};
void job_flags_init(struct job_flags *f);
void job_flags_release(struct job_flags *f);

/* Takes an option of the above.  -1: it did; else the exit status to end with. */
int job_flags_take(struct job_flags *f, const char *command, int option, const char *value);

#endif
