/* ps.c - `et ps`: the caller's jobs, youngest first. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/client.h"
#include "cli/commands.h"

static const char help[] =
    "usage: et ps [--all] [--type TYPE] [--state STATE] [options]\n\n"
    "Lists your training jobs that have not ended; with --all, the ended ones too.\n\n"
    "  -a, --all              ended jobs too\n"
    "      --type TYPE        training-job (default), job (a script), classify-job, dataset, datafile,\n"
    "                         solver, classifier\n"
    "      --state STATE      waiting, ready, leased, finished, failed, cancelled;\n"
    "                         or pending, processing, finished_successfully\n" CLIENT_OPTIONS_HELP
    "\nexample:\n"
    "  et ps --all --state failed\n";

/* "4 s", "12 min", "3 h", "5 d": the time since an id was made; its first 12 digits are milliseconds. */
static void print_age(const char *id)
{
    char digits[13] = "";
    memcpy(digits, id, MIN(strlen(id), 12));
    int64_t seconds = (clock_now_ms() - (int64_t)strtoll(digits, NULL, 16)) / 1000;
    if (seconds < 120)
        printf("%4lld s  ", (long long)MAX(seconds, 0));
    else if (seconds < 7200)
        printf("%4lld min", (long long)seconds / 60);
    else if (seconds < 172800)
        printf("%4lld h  ", (long long)seconds / 3600);
    else
        printf("%4lld d  ", (long long)seconds / 86400);
}

static void print_row(struct client *c, const json_t *document)
{
    const char *id = json_get_string(document, "_id", "");
    const char *state = json_get_string(document, "state", json_get_string(document, "processing-state", ""));
    printf("%-32s  %-10s  ", id, state);
    print_age(id);
    if (!strcmp(json_get_string(document, "type", ""), "training-job") && !strcmp(state, "leased")) {
        struct error ignored;
        CLEANUP(json_decrefp) json_t *status = NULL;
        CLEANUP(freep) char *path = xasprintf("/training-jobs/%s/status", id);
        int64_t total = 0;
        if (client_json(c, "GET", path, NULL, &status, &ignored) == OK)
            total = json_get_int(status, "max-iterations", 0);
        if (total)
            printf("  %lld/%lld  loss %.4g", (long long)json_get_int(status, "last-iteration", 0),
                   (long long)total, json_number_value(json_object_get(status, "loss")));
    }
    const char *reason = json_get_string(document, "processing-log", "");
    printf("%s%.*s\n", *reason ? "  " : "", 80, reason);
}

static bool is_wanted(const json_t *document, bool all)
{
    return all || !state_has_ended(document);
}

/* Every page of the list, filtered, youngest first. */
static enum status list(struct client *c, const char *collection, const char *state, bool all, json_t *into,
                        struct error *err)
{
    CLEANUP(freep) char *token = NULL;
    do {
        CLEANUP(freep)
        char *path = xasprintf("/%s?limit=500%s%s%s%s", collection, state ? "&state=" : "",
                               state ? state : "", token ? "&page_token=" : "", token ? token : "");
        CLEANUP(json_decrefp) json_t *page = NULL;
        TRY(client_json(c, "GET", path, NULL, &page, err));
        size_t i;
        json_t *document;
        json_array_foreach(json_object_get(page, "items"), i, document)
            if (is_wanted(document, all || state))
                json_array_append(into, document);
        freep(&token);
        const char *next = json_get_string(page, "next_page_token", NULL);
        token = next && *next ? xstrdup(next) : NULL;
    } while (token);
    return OK;
}

int command_ps(int argc, char **argv)
{
    enum { TYPE = 1, STATE };
    static const struct option options[] = {{"all", no_argument, NULL, 'a'},
                                            {"type", required_argument, NULL, TYPE},
                                            {"state", required_argument, NULL, STATE},
                                            {"help", no_argument, NULL, 'h'},
                                            CLIENT_OPTIONS,
                                            {NULL, 0, NULL, 0}};
    struct client_settings settings = {0};
    const char *type = "training-job", *state = NULL;
    bool all = false;
    for (int option; (option = getopt_long(argc, argv, "ah", options, NULL)) != -1;) {
        if (option == 'a')
            all = true;
        else if (option == TYPE)
            type = optarg;
        else if (option == STATE)
            state = optarg;
        else if (option == 'h')
            return fputs(help, stdout), EXIT_DONE;
        else if (!client_option(option, optarg, &settings))
            return EXIT_USAGE;
    }
    if (optind < argc)
        return command_usage("ps", "'%s' is one argument too many", argv[optind]);
    const char *collection = client_collection(type);
    if (!collection)
        return command_usage("ps", "no type '%s'", type);
    struct error err = {0};
    CLEANUP(client_release) struct client c = {0};
    CLEANUP(json_decrefp) json_t *documents = json_array();
    if (client_open(&settings, true, &c, &err) != OK ||
        list(&c, collection, state, all, documents, &err) != OK)
        return command_fail(&err);
    if (c.as_json) {
        client_print(&c, documents, " ");
        return EXIT_DONE;
    }
    if (!json_array_size(documents))
        fprintf(stderr, "no %ss%s\n", type,
                all || state ? "" : " under way ('et ps --all' shows the ended ones)");
    size_t i;
    json_t *document;
    json_array_foreach(documents, i, document)
        print_row(&c, document);
    return EXIT_DONE;
}
