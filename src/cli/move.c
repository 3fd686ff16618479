/* move.c - `et move`: another place for a job that has not begun. */
#include <getopt.h>
#include <string.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/number.h"

static const char help[] =
    "usage: et move [options] ID first|last|OTHER-ID\n"
    "       et move --priority N [options] ID\n\n"
    "Moves a job that has not begun to another place among your own of the same pool:\n"
    "to the front, to the end, or before another, whose priority it then has.  Of an\n"
    "array all jobs that have not begun are moved, in their order.\n\n"
    "      --priority N       or give it this priority, -1000 to 1000\n" CLIENT_OPTIONS_HELP "\nexample:\n"
    "  et move 019a3f0c1d2e4b5a69788796a5b4c3d2 first\n";

static enum status move(struct client *c, const char *id, json_t *body, struct error *err)
{
    CLEANUP(json_decrefp) json_t *document = NULL;
    CLEANUP(json_decrefp) json_t *moved = NULL;
    TRY(client_document(c, id, &document, err));
    const char *collection = client_collection(json_get_string(document, "type", ""));
    bool is_array = collection && !strcmp(collection, "arrays");
    if (!collection || !(is_array || json_object_get(document, "processing-state")))
        return error_set(err, INVALID, "'%s' is neither a job nor an array", id);
    CLEANUP(freep) char *path = xasprintf("/%s/%s/move", collection, id);
    TRY(client_json(c, "POST", path, body, &moved, err));
    if (is_array)
        client_print(c, moved, "moved, all of it that has not begun");
    else
        client_print(c, moved, "moved; its priority is %lld", (long long)json_get_int(moved, "priority", 0));
    return OK;
}

int command_move(int argc, char **argv)
{
    enum { PRIORITY = 1 };
    static const struct option options[] = {{"priority", required_argument, NULL, PRIORITY},
                                            {"help", no_argument, NULL, 'h'},
                                            CLIENT_OPTIONS,
                                            {NULL, 0, NULL, 0}};
    struct client_settings settings = {0};
    CLEANUP(json_decrefp) json_t *body = json_object();
    int64_t priority;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (option == 'h')
            return fputs(help, stdout), EXIT_DONE;
        if (option == PRIORITY) {
            if (!read_integer(optarg, -1000, 1000, &priority))
                return command_usage("move", "--priority %s: a whole number from -1000 to 1000 is wanted",
                                     optarg);
            json_object_set_new(body, "priority", json_integer(priority));
        } else if (!client_option(option, optarg, &settings)) {
            return EXIT_USAGE;
        }
    }
    int wanted = json_object_size(body) ? 1 : 2;
    if (argc - optind != wanted)
        return command_usage("move",
                             wanted == 2 ? "a job and its new place are wanted" : "one job is wanted");
    if (wanted == 2)
        json_object_set_new(body, "before", json_string(argv[optind + 1]));
    struct error err = {0};
    CLEANUP(client_release) struct client c = {0};
    if (client_open(&settings, true, &c, &err) != OK || move(&c, argv[optind], body, &err) != OK)
        return command_fail(&err);
    return EXIT_DONE;
}
