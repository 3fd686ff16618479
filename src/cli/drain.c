/* drain.c - `et drain`: a worker gets no new jobs. */
#include <getopt.h>
#include <string.h>

#include "cli/client.h"
#include "cli/commands.h"

static const char help[] =
    "usage: et drain [options] WORKER\n"
    "       et drain\n\n"
    "The worker gets no new jobs; those that it runs go on to their end.  One started with\n"
    "--exit-when-drained then exits.  Without a name: lists the workers.  This is for the operator:\n"
    "the server keeps a token for it in DIR/admin-token.\n\n"
    "      --undo             give it jobs again\n" CLIENT_OPTIONS_HELP "\nexample:\n"
    "  et drain --token-file ~/.local/share/et/admin-token host-1234\n";

static void print_worker(const json_t *w)
{
    const char *state = !json_get_bool(w, "alive", false)    ? "gone"
                        : json_get_bool(w, "drained", false) ? "drained"
                                                             : "serving";
    printf("%-32s  %-8s  %lld of %lld running  ", json_get_string(w, "name", ""), state,
           (long long)json_get_int(w, "running", 0), (long long)json_get_int(w, "slots", 0));
    size_t i;
    json_t *pool;
    json_array_foreach(json_object_get(w, "pools"), i, pool)
        printf("%s%s", i ? "," : "", json_string_value(pool));
    printf("\n");
}

static enum status list(struct client *c, struct error *err)
{
    CLEANUP(json_decrefp) json_t *workers = NULL;
    TRY(client_json(c, "GET", "/workers", NULL, &workers, err));
    const json_t *items = json_object_get(workers, "workers");
    if (c->as_json) {
        client_print(c, items, " ");
        return OK;
    }
    size_t i;
    json_t *worker;
    json_array_foreach(items, i, worker)
        print_worker(worker);
    if (!json_array_size(items))
        fprintf(stderr, "no workers\n");
    return OK;
}

static enum status drain(struct client *c, const char *name, bool undo, struct error *err)
{
    CLEANUP(json_decrefp) json_t *worker = NULL;
    CLEANUP(freep) char *escaped = url_escape(name);
    CLEANUP(freep) char *path = xasprintf("/workers/%s/%s", escaped, undo ? "resume" : "drain");
    TRY(client_json(c, "POST", path, NULL, &worker, err));
    if (c->as_json)
        client_print(c, worker, " ");
    else
        print_worker(worker);
    return OK;
}

int command_drain(int argc, char **argv)
{
    enum { UNDO = 1 };
    static const struct option options[] = {{"undo", no_argument, NULL, UNDO},
                                            {"help", no_argument, NULL, 'h'},
                                            CLIENT_OPTIONS,
                                            {NULL, 0, NULL, 0}};
    struct client_settings settings = {0};
    bool undo = false;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (option == UNDO)
            undo = true;
        else if (option == 'h')
            return fputs(help, stdout), EXIT_DONE;
        else if (!client_option(option, optarg, &settings))
            return EXIT_USAGE;
    }
    if (optind + 1 < argc)
        return command_usage("drain", "'%s' is one argument too many", argv[optind + 1]);
    if (optind == argc && undo)
        return command_usage("drain", "--undo of which worker?");
    struct error err = {0};
    CLEANUP(client_release) struct client c = {0};
    enum status status = client_open(&settings, true, &c, &err);
    if (status == OK)
        status = optind < argc ? drain(&c, argv[optind], undo, &err) : list(&c, &err);
    return status == OK ? EXIT_DONE : command_fail(&err);
}
