/* logs.c - `et logs`: what a training job printed, and what it prints now. */
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/job.h"

static const char help[] = "usage: et logs [-f] [options] ID\n\n"
                           "Prints the log of a training job, all attempts.\n\n"
                           "  -f, --follow           go on until the job has ended\n" CLIENT_OPTIONS_HELP
                           "\nexample:\n"
                           "  et logs -f 019a3f0c1d2e4b5a69788796a5b4c3d2\n";

static enum status print_part(void *context, const void *bytes, size_t size, struct error *err)
{
    int64_t *offset = context;
    if (fwrite(bytes, 1, size, stdout) != size || fflush(stdout))
        return error_set(err, FAILED, "cannot write to standard output");
    *offset += (int64_t)size;
    return OK;
}

/* Everything past *offset. */
static enum status print_rest(struct client *c, const char *id, int64_t *offset, struct error *err)
{
    CLEANUP(freep) char *path = xasprintf("/training-jobs/%s/logs", id);
    CLEANUP(freep) char *range = xasprintf("Range: bytes=%lld-", (long long)*offset);
    const char *const headers[] = {range, NULL};
    struct http_request request = {.headers = *offset ? headers : NULL, .sink = print_part, .context = offset};
    CLEANUP(freep) char *url = xasprintf("%s%s", c->server, path);
    request.url = url;
    request.bearer = c->token;
    struct http_response response;
    TRY(http_perform(c->http, &request, &response, err));
    int status = response.status;
    http_response_release(&response);
    if (status == 416) /* nothing new */
        return OK;
    if (status == 404)
        return error_set(err, NOT_FOUND, "there is no training job '%s' on %s", id, c->server);
    if (status >= 400)
        return error_set(err, status == 401 || status == 403 ? DENIED : INVALID, "%s answered with status %d",
                         c->server, status);
    return OK;
}

struct follow {
    const char *id;
    int64_t offset;
};

static enum status follow_more(void *context, struct client *c, const json_t *document, struct error *err)
{
    (void)document;
    struct follow *f = context;
    return print_rest(c, f->id, &f->offset, err);
}

int command_logs(int argc, char **argv)
{
    struct job_arguments arguments;
    int end = job_arguments(argc, argv, help, "follow", false, &arguments);
    if (end >= 0)
        return end;
    struct error err = {0};
    CLEANUP(client_release) struct client c = {0};
    if (client_open(&arguments.settings, true, &c, &err) != OK)
        return command_fail(&err);
    struct follow follow = {.id = arguments.id};
    if (!arguments.has_extra)
        return print_rest(&c, arguments.id, &follow.offset, &err) == OK ? EXIT_DONE : command_fail(&err);
    CLEANUP(json_decrefp) json_t *document = NULL;
    if (job_wait(&c, arguments.id, follow_more, &follow, &document, &err) != OK)
        return command_fail(&err);
    return job_exit_status(document);
}
