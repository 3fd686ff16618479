/* get.c - `et get`: the trained model, or any other file of a document. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/job.h"

static const char help[] =
    "usage: et get [-o FILE] [options] ID[/NAME]\n\n"
    "Downloads the model of a training job (trained.caffemodel), or the file NAME\n"
    "of any document: solver.prototxt, training.tar.gz, std-err.txt.\n\n"
    "  -o, --output FILE      write there; - is standard output (default: NAME)\n" CLIENT_OPTIONS_HELP
    "\nexample:\n"
    "  et get 019a3f0c1d2e4b5a69788796a5b4c3d2 -o digits.caffemodel\n";

static enum status write_part(void *context, const void *bytes, size_t size, struct error *err)
{
    if (fwrite(bytes, 1, size, context) != size)
        return error_set(err, status_from_errno(errno), "cannot write: %s", strerror(errno));
    return OK;
}

static enum status download(struct client *c, const char *path, FILE *out, struct error *err)
{
    struct http_request request = {.sink = write_part, .context = out};
    struct http_response response;
    TRY(client_perform(c, &request, path, &response, err));
    http_response_release(&response);
    if (fflush(out))
        return error_set(err, status_from_errno(errno), "cannot write: %s", strerror(errno));
    return OK;
}

/* Into a name beside it first: a broken download leaves the old file. */
static enum status download_file(struct client *c, const char *path, const char *output, struct error *err)
{
    CLEANUP(freep) char *part = xasprintf("%s.part", output);
    CLEANUP(file_closep) FILE *file = fopen(part, "wbe");
    if (!file)
        return error_set(err, status_from_errno(errno), "cannot create '%s': %s", part, strerror(errno));
    enum status status = download(c, path, file, err);
    if (status == OK && rename(part, output))
        status = error_set(err, status_from_errno(errno), "cannot write '%s': %s", output, strerror(errno));
    if (status != OK)
        unlink(part);
    return status;
}

static enum status get(struct client *c, const char *what, const char *output, struct error *err)
{
    const char *slash = strchr(what, '/');
    CLEANUP(freep) char *id = strndup(what, slash ? (size_t)(slash - what) : strlen(what));
    const char *name = slash ? slash + 1 : "trained.caffemodel";
    CLEANUP(json_decrefp) json_t *document = NULL;
    TRY(client_document(c, id, &document, err));
    if (!slash && strcmp(json_get_string(document, "type", ""), "training-job"))
        return error_set(err, INVALID, "'%s' is a %s, not a training job: say which file, as ID/NAME", id,
                         json_get_string(document, "type", "document"));
    CLEANUP(freep) char *path = xasprintf("/blobs/%s/%s", id, name);
    if (output && !strcmp(output, "-"))
        return download(c, path, stdout, err);
    TRY(download_file(c, path, output ? output : name, err));
    client_print(c, document, "%s", output ? output : name);
    return OK;
}

int command_get(int argc, char **argv)
{
    struct job_arguments arguments;
    int end = job_arguments(argc, argv, help, "output", true, &arguments);
    if (end >= 0)
        return end;
    struct error err = {0};
    CLEANUP(client_release) struct client c = {0};
    if (client_open(&arguments.settings, true, &c, &err) != OK ||
        get(&c, arguments.id, arguments.extra, &err) != OK)
        return command_fail(&err);
    return EXIT_DONE;
}
