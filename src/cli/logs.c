/* logs.c - `et logs`: what a job printed, and what it prints now. */
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/job.h"

static const char help[] =
    "usage: et logs [-f] [options] ID\n\n"
    "Prints the log of a training job, a script or a classification, all attempts.\n\n"
    "  -f, --follow           go on until the job has ended, whatever comes between\n" CLIENT_OPTIONS_HELP
    "\nexample:\n"
    "  et logs -f 019a3f0c1d2e4b5a69788796a5b4c3d2\n";

struct printing {
    struct client *client;
    const char *collection, *id;
    bool follows;
    int64_t offset; /* of the bytes printed */
};

static enum status print_part(void *context, const void *bytes, size_t size, struct error *err)
{
    struct printing *p = context;
    if (fwrite(bytes, 1, size, stdout) != size || fflush(stdout))
        return error_set(err, FAILED, "cannot write to standard output");
    p->offset += (int64_t)size;
    return OK;
}

/* Everything past the offset; when following, what comes until the job is over. */
static enum status print_rest(void *context, bool *ret_progress, struct error *err)
{
    struct printing *p = context;
    int64_t before = p->offset;
    CLEANUP(freep)
    char *path = xasprintf("/%s/%s/logs%s", p->collection, p->id, p->follows ? "?follow=1" : "");
    CLEANUP(freep) char *range = xasprintf("Range: bytes=%lld-", (long long)p->offset);
    const char *const headers[] = {range, NULL};
    struct http_request request = {
        .headers = p->offset ? headers : NULL, .sink = print_part, .context = p, .may_be_silent = p->follows};
    struct http_response response;
    enum status status = client_perform(p->client, &request, path, &response, err);
    *ret_progress = p->offset > before;
    if (status == OK)
        http_response_release(&response);
    return status;
}

int command_logs(int argc, char **argv)
{
    struct job_arguments arguments;
    int end = job_arguments(argc, argv, help, "follow", false, &arguments);
    if (end >= 0)
        return end;
    struct error err = {0};
    CLEANUP(client_release) struct client c = {0};
    CLEANUP(json_decrefp) json_t *document = NULL;
    struct printing printing = {.client = &c, .id = arguments.id, .follows = arguments.has_extra};
    bool progress;
    if (client_open(&arguments.settings, true, &c, &err) != OK ||
        client_document(&c, arguments.id, &document, &err) != OK)
        return command_fail(&err);
    printing.collection = client_collection(json_get_string(document, "type", ""));
    bool is_array = json_object_get(document, "jobs") != NULL;
    if (!printing.collection || is_array) {
        error_set(&err, INVALID,
                  is_array ? "'%s' is an array: its jobs have logs; 'et get' of it lists them"
                           : "'%s' is no job",
                  arguments.id);
        return command_fail(&err);
    }
    json_decref(TAKE(document));
    if (!printing.follows)
        return print_rest(&printing, &progress, &err) == OK ? EXIT_DONE : command_fail(&err);
    if (follow(print_rest, &printing, true, &err) != OK ||
        job_wait(&c, arguments.id, NULL, NULL, &document, &err) != OK)
        return command_fail(&err);
    return job_exit_status(document);
}
