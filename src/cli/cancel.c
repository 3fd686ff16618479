/* cancel.c - `et cancel`: stops a job, saving what it has. */
#include <string.h>

#include "cli/commands.h"
#include "cli/job.h"

static const char help[] =
    "usage: et cancel [--force] [options] ID\n\n"
    "Ends a job that waits at once; one that runs is told to save and stop.  Of an array:\n"
    "all of its jobs.\n"
    "It is cancelled when its process is gone: 'et wait ID' waits for that.\n\n"
    "  -f, --force            do not let it save: end its process at once\n" CLIENT_OPTIONS_HELP
    "\nexample:\n"
    "  et cancel 019a3f0c1d2e4b5a69788796a5b4c3d2\n";

static enum status cancel(struct client *c, const char *id, bool force, struct error *err)
{
    CLEANUP(json_decrefp) json_t *document = NULL;
    TRY(client_document(c, id, &document, err));
    const char *collection = client_collection(json_get_string(document, "type", ""));
    if (!collection)
        return error_set(err, INVALID, "'%s' is no job", id);
    CLEANUP(freep) char *path = xasprintf("/%s/%s/cancel", collection, id);
    CLEANUP(json_decrefp) json_t *body = json_pack("{s:b}", "force", (int)force);
    CLEANUP(json_decrefp) json_t *answer = NULL;
    TRY(client_json(c, "POST", path, body, &answer, err));
    client_print(c, answer, "%s",
                 state_has_ended(answer) ? "cancelled"
                 : force                 ? "cancelling"
                                         : "cancelling: it saves and stops");
    return OK;
}

int command_cancel(int argc, char **argv)
{
    struct job_arguments arguments;
    int end = job_arguments(argc, argv, help, "force", false, &arguments);
    if (end >= 0)
        return end;
    struct error err = {0};
    CLEANUP(client_release) struct client c = {0};
    if (client_open(&arguments.settings, true, &c, &err) != OK ||
        cancel(&c, arguments.id, arguments.has_extra, &err) != OK)
        return command_fail(&err);
    return EXIT_DONE;
}
