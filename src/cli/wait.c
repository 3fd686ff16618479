/* wait.c - `et wait`: until a job has ended. */
#include "cli/commands.h"
#include "cli/job.h"

static const char help[] =
    "usage: et wait [options] ID\n\n"
    "Waits until the job, or all of an array, has ended. Exit status 0 when it finished, 1 when it failed.\n\n" CLIENT_OPTIONS_HELP
    "\nexample:\n"
    "  et wait $JOB && et get $JOB -o model.caffemodel\n";

int command_wait(int argc, char **argv)
{
    struct job_arguments arguments;
    int end = job_arguments(argc, argv, help, NULL, false, &arguments);
    if (end >= 0)
        return end;
    struct error err = {0};
    CLEANUP(client_release) struct client c = {0};
    CLEANUP(json_decrefp) json_t *document = NULL;
    if (client_open(&arguments.settings, true, &c, &err) != OK ||
        job_wait(&c, arguments.id, NULL, NULL, &document, &err) != OK)
        return command_fail(&err);
    if (json_object_get(document, "jobs")) {
        CLEANUP(freep) char *counts = array_counts_text(document);
        client_print(&c, document, "%s", counts);
        return job_exit_status(document);
    }
    const char *reason = json_get_string(document, "processing-log", "");
    client_print(&c, document, "%s%s%s", json_get_string(document, "processing-state", ""),
                 *reason ? ": " : "", reason);
    return job_exit_status(document);
}
