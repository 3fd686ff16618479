/* ps.c - `et ps`: the caller's jobs, youngest first. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/job.h"

static const char help[] =
    "usage: et ps [--all] [--type TYPE] [--state STATE] [options]\n\n"
    "Lists your jobs that have not ended, the youngest first: training, scripts, classification, Orders of\n"
    "a Boss. The jobs of an array are one line.\n\n"
    "  -a, --all              ended jobs too\n"
    "      --type TYPE        training-job, job (a script), classify-job, order; or dataset, datafile,\n"
    "                         solver, classifier, array, schedule\n"
    "      --state STATE      waiting, ready, leased, finished, failed, cancelled;\n"
    "                         or pending, processing, finished_successfully\n"
    "      --elements         a line for each job of an array\n" CLIENT_OPTIONS_HELP "\nexample:\n"
    "  et ps --all --state failed\n";

struct listing {
    struct client *client;
    const char *type, *state; /* NULL: all */
    bool all, elements;
    json_t *documents; /* array */
};

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

/* What people call it. */
static const char *kind_of(const char *type)
{
    static const char *const rows[][2] = {
        {"training-job", "training"}, {"job", "script"}, {"classify-job", "classify"}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (!strcmp(type, rows[i][0]))
            return rows[i][1];
    return type;
}

static void print_progress(struct client *c, const char *id)
{
    struct error ignored;
    CLEANUP(json_decrefp) json_t *status = NULL;
    CLEANUP(freep) char *path = xasprintf("/training-jobs/%s/status", id);
    if (client_json(c, "GET", path, NULL, &status, &ignored) != OK)
        return;
    int64_t total = json_get_int(status, "max-iterations", 0);
    if (total)
        printf("  %lld/%lld  loss %.4g", (long long)json_get_int(status, "last-iteration", 0),
               (long long)total, json_number_value(json_object_get(status, "loss")));
}

static void print_start(const char *id, const char *kind, const char *state)
{
    printf("%-32s  %-8s  %-9s  ", id, kind, state);
    print_age(id);
}

static void print_row(struct client *c, const json_t *document)
{
    const char *id = json_get_string(document, "_id", ""), *type = json_get_string(document, "type", "");
    const char *state = json_get_string(document, "state", json_get_string(document, "processing-state", ""));
    print_start(id, kind_of(type), state);
    if (!strcmp(type, "training-job") && !strcmp(state, "leased"))
        print_progress(c, id);
    if (!strcmp(type, "job"))
        printf("  %s", json_get_string(document, "script", ""));
    const char *reason = json_get_string(document, "processing-log", "");
    printf("%s%.*s\n", *reason ? "  " : "", 80, reason);
}

static void print_array(struct client *c, const char *id)
{
    struct error ignored;
    CLEANUP(json_decrefp) json_t *array = NULL;
    if (client_document(c, id, &array, &ignored) != OK)
        return;
    CLEANUP(freep) char *counts = array_counts_text(array);
    print_start(id, "array", json_get_bool(array, "ended", false) ? "ended" : "-");
    printf("  %s  %s\n", kind_of(json_get_string(array, "of", "")), counts);
}

/* Of an array's jobs, NULL for all others. */
static const char *array_of(const json_t *document)
{
    return json_object_get(document, "array-index") ? json_get_string(document, "array-id", NULL) : NULL;
}

static void print_all(struct listing *l)
{
    CLEANUP(json_decrefp) json_t *shown = json_object();
    size_t i;
    json_t *document;
    json_array_foreach(l->documents, i, document) {
        const char *array = l->elements ? NULL : array_of(document);
        if (!array)
            print_row(l->client, document);
        else if (!json_object_get(shown, array))
            print_array(l->client, array);
        if (array)
            json_object_set_new(shown, array, json_true());
    }
}

/* Every page of a list. */
static enum status list_pages(struct listing *l, const char *collection, const char *state, struct error *err)
{
    CLEANUP(freep) char *token = NULL;
    do {
        CLEANUP(freep)
        char *path = xasprintf("/%s?limit=1000%s%s%s%s", collection, state ? "&state=" : "",
                               state ? state : "", token ? "&page_token=" : "", token ? token : "");
        CLEANUP(json_decrefp) json_t *page = NULL;
        TRY(client_json(l->client, "GET", path, NULL, &page, err));
        json_array_extend(l->documents, json_object_get(page, "items"));
        freep(&token);
        const char *next = json_get_string(page, "next_page_token", NULL);
        token = next && *next ? xstrdup(next) : NULL;
    } while (token);
    return OK;
}

static bool has_states(const char *type)
{
    static const char *const without[] = {"solver", "classifier", "array", "schedule"};
    for (size_t i = 0; i < ARRAY_SIZE(without); i++)
        if (!strcmp(type, without[i]))
            return false;
    return true;
}

static enum status list_type(struct listing *l, const char *type, struct error *err)
{
    const char *collection = client_collection(type);
    if (l->all || l->state || !has_states(type))
        return list_pages(l, collection, l->state, err);
    TRY(list_pages(l, collection, "pending", err));
    return list_pages(l, collection, "processing", err);
}

/* Ids begin with the time of their making; in an array the last is the youngest. */
static int compare(const void *a, const void *b)
{
    const json_t *const *x = a, *const *y = b;
    const char *id = json_get_string(*x, "_id", ""), *other = json_get_string(*y, "_id", "");
    const char *array = array_of(*x), *others = array_of(*y);
    if (array && others && !strcmp(array, others) && strcmp(id, other))
        return json_get_int(*y, "array-index", 0) > json_get_int(*x, "array-index", 0) ? 1 : -1;
    return strcmp(other, id);
}

/* The youngest first, and one that moved from page to page once. */
static void sort(struct listing *l)
{
    size_t n = json_array_size(l->documents);
    CLEANUP(freep) json_t **all = xcalloc(n + 1, sizeof(json_t *));
    json_t *sorted = json_array();
    for (size_t i = 0; i < n; i++)
        all[i] = json_array_get(l->documents, i);
    qsort(all, n, sizeof(json_t *), compare);
    for (size_t i = 0; i < n; i++)
        if (!i || compare(&all[i - 1], &all[i]))
            json_array_append(sorted, all[i]);
    json_decref(l->documents);
    l->documents = sorted;
}

static enum status list(struct listing *l, struct error *err)
{
    static const char *const jobs[] = {"training-job", "job", "classify-job", "order"};
    if (l->type) {
        TRY(list_type(l, l->type, err));
        sort(l);
        return OK;
    }
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
        enum status status = list_type(l, jobs[i], err);
        if (status != OK && status != NOT_FOUND) /* where no Boss is served there are no Orders */
            return status;
    }
    sort(l);
    return OK;
}

int command_ps(int argc, char **argv)
{
    enum { TYPE = 1, STATE, ELEMENTS };
    static const struct option options[] = {{"all", no_argument, NULL, 'a'},
                                            {"type", required_argument, NULL, TYPE},
                                            {"state", required_argument, NULL, STATE},
                                            {"elements", no_argument, NULL, ELEMENTS},
                                            {"help", no_argument, NULL, 'h'},
                                            CLIENT_OPTIONS,
                                            {NULL, 0, NULL, 0}};
    struct client_settings settings = {0};
    struct client c = {0};
    struct listing l = {.client = &c};
    for (int option; (option = getopt_long(argc, argv, "ah", options, NULL)) != -1;) {
        if (option == 'a')
            l.all = true;
        else if (option == TYPE)
            l.type = optarg;
        else if (option == STATE)
            l.state = optarg;
        else if (option == ELEMENTS)
            l.elements = true;
        else if (option == 'h')
            return fputs(help, stdout), EXIT_DONE;
        else if (!client_option(option, optarg, &settings))
            return EXIT_USAGE;
    }
    if (optind < argc)
        return command_usage("ps", "'%s' is one argument too many", argv[optind]);
    if (l.type && !client_collection(l.type))
        return command_usage("ps", "no type '%s'", l.type);
    struct error err = {0};
    l.documents = json_array();
    enum status status = client_open(&settings, true, &c, &err);
    if (status == OK)
        status = list(&l, &err);
    if (status == OK && c.as_json)
        client_print(&c, l.documents, " ");
    else if (status == OK)
        print_all(&l);
    if (status == OK && !c.as_json && !json_array_size(l.documents))
        fprintf(stderr, "no %ss%s\n", l.type ? l.type : "job",
                l.all || l.state ? "" : " under way ('et ps --all' shows the ended ones)");
    json_decref(l.documents);
    client_release(&c);
    return status == OK ? EXIT_DONE : command_fail(&err);
}
