/* get.c - `et get`: the trained model, or any other file of a document. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/job.h"

static const char help[] =
    "usage: et get [-o FILE] [options] ID[/NAME]\n\n"
    "Downloads the model of a training job (trained.caffemodel), the one artifact of a script,\n"
    "or the file NAME of any document: solver.prototxt, training.tar.gz, std-err.txt.\n"
    "Of a classification it prints the labels, of an array the results of its jobs, a line of\n"
    "JSON each.\n\n"
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

/* Prints to the output, or to standard output. */
static void print_line(char *text /* taken */, FILE *out)
{
    fputs(text, out);
    putc('\n', out);
    free(text);
}

static enum status print_json(const json_t *json, bool lines, const char *output, struct error *err)
{
    size_t i;
    json_t *one;
    bool to_file = output && strcmp(output, "-");
    CLEANUP(file_closep) FILE *file = to_file ? fopen(output, "we") : NULL;
    FILE *out = to_file ? file : stdout;
    if (!out)
        return error_set(err, status_from_errno(errno), "cannot create '%s': %s", output, strerror(errno));
    if (lines)
        json_array_foreach((json_t *)(uintptr_t)json, i, one) {
            print_line(json_text(one), out);
        }
    else
        print_line(json_text_as(json, JSON_INDENT(2) | JSON_SORT_KEYS), out);
    if (fflush(out) || ferror(out))
        return error_set(err, FAILED, "cannot write: %s", strerror(errno));
    return OK;
}

/* Every page of an array's results, in a line each. */
static enum status get_results(struct client *c, const char *id, const char *output, struct error *err)
{
    CLEANUP(json_decrefp) json_t *all = json_array();
    CLEANUP(freep) char *token = NULL;
    do {
        CLEANUP(json_decrefp) json_t *page = NULL;
        CLEANUP(freep)
        char *path = xasprintf("/arrays/%s/results?metrics=true%s%s", id, token ? "&page_token=" : "",
                               token ? token : "");
        TRY(client_json(c, "GET", path, NULL, &page, err));
        json_array_extend(all, json_object_get(page, "items"));
        freep(&token);
        const char *next = json_get_string(page, "next_page_token", NULL);
        token = next ? xstrdup(next) : NULL;
    } while (token);
    return print_json(all, true, output, err);
}

/* The file that is meant when none is named. */
static enum status usual_name(const json_t *document, const char **ret_name, struct error *err)
{
    const char *type = json_get_string(document, "type", "document");
    const json_t *artifacts = json_object_get(document, "artifacts");
    size_t n = json_array_size(artifacts), i;
    if (!strcmp(type, "training-job")) {
        *ret_name = "trained.caffemodel";
        return OK;
    }
    if (n == 1) {
        *ret_name = json_get_string(json_array_get(artifacts, 0), "name", "");
        return OK;
    }
    CLEANUP(buf_release) struct buf names;
    buf_init(&names, 400);
    json_t *artifact;
    json_array_foreach((json_t *)(uintptr_t)artifacts, i, artifact)
        buf_printf(&names, "%s%s", i ? ", " : ": ", json_get_string(artifact, "name", ""));
    if (artifacts && !n)
        return error_set(err, NOT_FOUND,
                         "'%s' has left no files: only std-out.txt and std-err.txt, when it is over",
                         json_get_string(document, "_id", ""));
    return error_set(err, INVALID, "'%s' is a %s%s%s: say which file, as ID/NAME",
                     json_get_string(document, "_id", ""), type, n ? " with these files" : "",
                     n ? names.data : "");
}

static enum status get(struct client *c, const char *what, const char *output, struct error *err)
{
    const char *slash = strchr(what, '/');
    CLEANUP(freep) char *id = strndup(what, slash ? (size_t)(slash - what) : strlen(what));
    const char *name = slash ? slash + 1 : NULL;
    CLEANUP(json_decrefp) json_t *document = NULL;
    TRY(client_document(c, id, &document, err));
    const char *type = json_get_string(document, "type", "");
    if (!slash && !strcmp(type, "array"))
        return get_results(c, id, output, err);
    if (!slash && !strcmp(type, "classify-job"))
        return print_json(json_object_get(document, "results"), false, output, err);
    if (!slash)
        TRY(usual_name(document, &name, err));
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
