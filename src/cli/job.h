/*
 * job.h - what status, logs, cancel, wait and get share: one option table,
 * one argument, and following a job to its end.
 */
#ifndef ET_JOB_H
#define ET_JOB_H

#include "cli/client.h"
#include "cli/command.h"

/*
 * Reads `et VERB [options] ID`, with `extra` a further option of the verb
 * ("output" with its value, or "follow"; NULL: none).  Returns -1 to go on,
 * or the exit status to end with.
 */
struct job_arguments {
    struct client_settings settings;
    const char *id;
    bool has_extra;
    const char *extra;
};
int job_arguments(int argc, char **argv, const char *help, const char *extra, bool extra_takes_value,
                  struct job_arguments *ret_arguments);

/* The whole of a verb that has no further option: `act` does it for the id and prints. */
int job_command(int argc, char **argv, const char *help,
                enum status (*act)(struct client *c, const char *id, struct error *err));

/*
 * Waits until the document has ended, a long poll of the changes at a time.
 * `each` (may be NULL) is called with every version seen.
 */
enum status job_wait(struct client *c, const char *id,
                     enum status (*each)(void *context, struct client *c, const json_t *document,
                                         struct error *err),
                     void *context, json_t **ret_document, struct error *err);

/* EXIT_DONE only when it finished well; the other says on stderr why not. */
int job_exit_status(const json_t *document);
int job_exit_status_told(const json_t *document);

/* "100 jobs  8 ready  90 finished  2 failed": an array's, for the caller to free. */
char *array_counts_text(const json_t *array);

#endif
