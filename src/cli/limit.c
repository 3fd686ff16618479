/* limit.c - `et limit`: how much a user may have under way. */
#include <getopt.h>
#include <string.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/number.h"

#define NONE "none"

static const char help[] =
    "usage: et limit [options] USER\n\n"
    "Tells, or with --running or --queued sets, how much a user may have under way.  To set it is for\n"
    "the operator: the server keeps a token for it in DIR/admin-token.\n\n"
    "      --running N        jobs at a time in each pool; none: no limit\n"
    "      --queued N         jobs that wait for their turn; none: no limit\n" CLIENT_OPTIONS_HELP
    "\nexample:\n"
    "  et limit --token-file ~/.local/share/et/admin-token ada --running 4 --queued 100\n";

static void print_limit(const char *what, int64_t limit)
{
    if (limit)
        printf("%s: at most %lld\n", what, (long long)limit);
    else
        printf("%s: no limit\n", what);
}

static enum status limit(struct client *c, const char *user, const json_t *changes, struct error *err)
{
    CLEANUP(freep) char *name = url_escape(user);
    CLEANUP(freep) char *path = xasprintf("/users/%s/limits", name);
    CLEANUP(json_decrefp) json_t *limits = NULL;
    TRY(client_json(c, "GET", path, NULL, &limits, err));
    if (json_object_size(changes)) {
        CLEANUP(json_decrefp) json_t *wanted = limits;
        limits = NULL;
        json_object_update(wanted, (json_t *)(uintptr_t)changes);
        TRY(client_json(c, "PUT", path, wanted, &limits, err));
    }
    if (c->as_json) {
        client_print(c, limits, " ");
        return OK;
    }
    print_limit("running in each pool", json_get_int(limits, "running", 0));
    print_limit("queued", json_get_int(limits, "queued", 0));
    return OK;
}

int command_limit(int argc, char **argv)
{
    enum { RUNNING = 1, QUEUED };
    static const struct option options[] = {{"running", required_argument, NULL, RUNNING},
                                            {"queued", required_argument, NULL, QUEUED},
                                            {"help", no_argument, NULL, 'h'},
                                            CLIENT_OPTIONS,
                                            {NULL, 0, NULL, 0}};
    struct client_settings settings = {0};
    CLEANUP(json_decrefp) json_t *changes = json_object();
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (option == 'h')
            return fputs(help, stdout), EXIT_DONE;
        if (option == RUNNING || option == QUEUED) {
            int64_t n = 0;
            if (strcmp(optarg, NONE) != 0 && !read_integer(optarg, 1, 1000000, &n))
                return command_usage("limit", "'%s' is no limit: a number from 1, or none", optarg);
            json_object_set_new(changes, option == RUNNING ? "running" : "queued", json_integer(n));
        } else if (!client_option(option, optarg, &settings)) {
            return EXIT_USAGE;
        }
    }
    if (argc - optind != 1)
        return command_usage("limit", "one user is wanted");
    struct error err = {0};
    CLEANUP(client_release) struct client c = {0};
    if (client_open(&settings, true, &c, &err) != OK || limit(&c, argv[optind], changes, &err) != OK)
        return command_fail(&err);
    return EXIT_DONE;
}
