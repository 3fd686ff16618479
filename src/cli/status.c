/* status.c - `et status`: where a job stands. */
#include <string.h>

#include "cli/commands.h"
#include "cli/job.h"

#define RESULT_SHOWN 1000

static const char help[] =
    "usage: et status [options] ID\n\n"
    "Prints the state of a job (or of any document), and how far training is.\n\n" CLIENT_OPTIONS_HELP
    "\nexample:\n"
    "  et status 019a3f0c1d2e4b5a69788796a5b4c3d2\n";

static void print_training(const json_t *status)
{
    int64_t done = json_get_int(status, "last-iteration", 0);
    int64_t total = json_get_int(status, "max-iterations", 0);
    if (total)
        printf("  iteration %lld of %lld", (long long)done, (long long)total);
    json_t *loss = json_object_get(status, "loss");
    if (json_is_number(loss))
        printf("  loss %.4g", json_number_value(loss));
    json_t *left = json_object_get(status, "seconds-left");
    if (json_is_number(left))
        printf("  %.0f s left", json_number_value(left));
}

/* Of a script: how it ended, and what it gave. */
static void print_script(const json_t *job)
{
    const json_t *result = json_object_get(job, "result");
    size_t n = json_array_size(json_object_get(job, "artifacts"));
    if (n)
        printf("  %zu %s", n, n == 1 ? "artifact" : "artifacts");
    if (!json_is_object(result))
        return;
    CLEANUP(freep) char *text = json_text(result);
    printf("\n  %.*s%s", RESULT_SHOWN, text, strlen(text) > RESULT_SHOWN ? "..." : "");
}

static enum status show(struct client *c, const char *id, struct error *err)
{
    CLEANUP(json_decrefp) json_t *document = NULL;
    TRY(client_document(c, id, &document, err));
    bool training = !strcmp(json_get_string(document, "type", ""), "training-job");
    CLEANUP(json_decrefp) json_t *status = NULL;
    if (training) {
        CLEANUP(freep) char *path = xasprintf("/training-jobs/%s/status", id);
        TRY(client_json(c, "GET", path, NULL, &status, err));
    }
    if (c->as_json) {
        client_print(c, training ? status : document, " ");
        return OK;
    }
    if (json_object_get(document, "jobs")) {
        CLEANUP(freep) char *counts = array_counts_text(document);
        printf("array %s: %s\n", id, counts);
        return OK;
    }
    printf("%s %s: %s", json_get_string(document, "type", "document"), id,
           json_get_string(document, "processing-state", "stored"));
    const char *detail = json_get_string(document, "state", "");
    if (!strcmp(detail, "waiting") || !strcmp(detail, "cancelled"))
        printf(" (%s)", detail);
    if (training)
        print_training(status);
    print_script(document);
    const char *reason = json_get_string(document, "processing-log", "");
    printf("%s%s\n", *reason ? "\n  " : "", reason);
    return OK;
}

int command_status(int argc, char **argv)
{
    return job_command(argc, argv, help, show);
}
