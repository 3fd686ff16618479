#include "cli/job.h"

#include <getopt.h>
#include <string.h>

#include "base/buf.h"

int job_arguments(int argc, char **argv, const char *help, const char *extra, bool extra_takes_value,
                  struct job_arguments *ret_arguments)
{
    enum { EXTRA = 1 };
    const struct option options[] = {
        {"help", no_argument, NULL, 'h'},
        CLIENT_OPTIONS,
        {extra, extra_takes_value ? required_argument : no_argument, NULL, EXTRA},
        {NULL, 0, NULL, 0}};
    const char short_extra = extra ? extra[0] : 'h';
    const char shorts[] = {'h', short_extra, extra_takes_value ? ':' : '\0', '\0'};
    struct job_arguments a = {0};
    for (int option; (option = getopt_long(argc, argv, shorts, options, NULL)) != -1;) {
        if (option == 'h')
            return fputs(help, stdout), EXIT_DONE;
        if (option == EXTRA || option == short_extra) {
            a.has_extra = true;
            a.extra = optarg;
        } else if (!client_option(option, optarg, &a.settings)) {
            return EXIT_USAGE;
        }
    }
    if (optind == argc)
        return command_usage(argv[0], "an id is needed");
    if (optind + 1 < argc)
        return command_usage(argv[0], "'%s' is one argument too many", argv[optind + 1]);
    a.id = argv[optind];
    *ret_arguments = a;
    return -1;
}

int job_command(int argc, char **argv, const char *help,
                enum status (*act)(struct client *c, const char *id, struct error *err))
{
    struct job_arguments arguments;
    int end = job_arguments(argc, argv, help, NULL, false, &arguments);
    if (end >= 0)
        return end;
    struct error err = {0};
    CLEANUP(client_release) struct client c = {0};
    if (client_open(&arguments.settings, true, &c, &err) != OK || act(&c, arguments.id, &err) != OK)
        return command_fail(&err);
    return EXIT_DONE;
}

static int64_t sequence_now(struct client *c, struct error *err)
{
    CLEANUP(json_decrefp) json_t *changes = NULL;
    if (client_json(c, "GET", "/elastic-thought/_changes?since=now", NULL, &changes, err) != OK)
        return -1;
    return json_get_int(changes, "last_seq", 0);
}

enum status job_wait(struct client *c, const char *id,
                     enum status (*each)(void *context, struct client *c, const json_t *document,
                                         struct error *err),
                     void *context, json_t **ret_document, struct error *err)
{
    /* The sequence is taken before the document: a change in between is seen again, never missed. */
    int64_t since = sequence_now(c, err);
    if (since < 0)
        return err->status;
    for (;;) {
        CLEANUP(json_decrefp) json_t *document = NULL;
        TRY(client_document(c, id, &document, err));
        if (each)
            TRY(each(context, c, document, err));
        if (state_has_ended(document)) {
            *ret_document = json_incref(document);
            return OK;
        }
        CLEANUP(json_decrefp) json_t *changes = NULL;
        CLEANUP(freep)
        char *path = xasprintf("/elastic-thought/_changes?feed=longpoll&since=%lld&timeout=%d",
                               (long long)since, each ? 500 : 20000);
        TRY(client_json(c, "GET", path, NULL, &changes, err));
        since = json_get_int(changes, "last_seq", since);
    }
}

int job_exit_status(const json_t *document)
{
    return state_is_good(document) ? EXIT_DONE : EXIT_WORK_FAILED;
}

char *array_counts_text(const json_t *array)
{
    struct buf text;
    const char *state;
    json_t *n;
    buf_init(&text, 4096);
    buf_printf(&text, "%lld jobs", (long long)json_get_int(array, "size", 0));
    json_object_foreach(json_object_get(array, "jobs"), state, n)
        if (json_integer_value(n))
            buf_printf(&text, "  %lld %s", (long long)json_integer_value(n), state);
    return buf_take(&text, NULL);
}

int job_exit_status_told(const json_t *document)
{
    const char *id = json_get_string(document, "_id", ""),
               *why = json_get_string(document, "processing-log", "");
    if (state_is_good(document))
        return EXIT_DONE;
    if (json_object_get(document, "jobs"))
        fprintf(stderr, "et: not all jobs of the array finished well: 'et get %s' lists them\n", id);
    else
        fprintf(stderr, "et: the job failed: %s\n", why);
    return EXIT_WORK_FAILED;
}
