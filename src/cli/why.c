/* why.c - `et why`: what a job waits for. */
#include <string.h>

#include "cli/commands.h"
#include "cli/job.h"

static const char help[] =
    "usage: et why [options] ID\n\n"
    "Tells what a job, or the first of an array that is not over, waits for: documents, a time, its\n"
    "place in its pool, limits, workers; and when it may start.  Of one that runs or is over it says that.\n\n" CLIENT_OPTIONS_HELP
    "\nexample:\n"
    "  et why 019a3f0c1d2e4b5a69788796a5b4c3d2\n";

static enum status explain(struct client *c, const char *id, struct error *err);

/* Of an array: its counts, and what the first of its jobs that is not over waits for. */
static enum status explain_array(struct client *c, const json_t *array, struct error *err)
{
    static const char *const unfinished[] = {"leased", "ready", "waiting"};
    const char *id = json_get_string(array, "_id", "");
    CLEANUP(freep) char *counts = array_counts_text(array);
    CLEANUP(json_decrefp) json_t *page = NULL;
    CLEANUP(freep) char *path = xasprintf("/arrays/%s/results", id);
    size_t i;
    json_t *job;
    client_print(c, array, "%s", counts);
    if (c->as_json || json_get_bool(array, "ended", false))
        return OK;
    TRY(client_json(c, "GET", path, NULL, &page, err));
    for (size_t k = 0; k < ARRAY_SIZE(unfinished); k++)
        json_array_foreach(json_object_get(page, "items"), i, job)
            if (!strcmp(json_get_string(job, "state", ""), unfinished[k])) {
                printf("%s: ", json_get_string(job, "id", ""));
                return explain(c, json_get_string(job, "id", ""), err);
            }
    return OK;
}

static enum status explain(struct client *c, const char *id, struct error *err)
{
    CLEANUP(json_decrefp) json_t *document = NULL;
    CLEANUP(json_decrefp) json_t *answer = NULL;
    TRY(client_document(c, id, &document, err));
    if (json_object_get(document, "jobs"))
        return explain_array(c, document, err);
    const char *collection = client_collection(json_get_string(document, "type", ""));
    if (!collection || !json_object_get(document, "processing-state"))
        return error_set(err, INVALID, "'%s' is no job", id);
    CLEANUP(freep) char *path = xasprintf("/%s/%s/why", collection, id);
    TRY(client_json(c, "GET", path, NULL, &answer, err));
    client_print(c, answer, "%s", json_get_string(answer, "why", ""));
    return OK;
}

int command_why(int argc, char **argv)
{
    return job_command(argc, argv, help, explain);
}
