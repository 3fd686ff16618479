/* usage.c - `et usage`: what one's things take, and may take. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "cli/commands.h"

static const char help[] = "usage: et usage [options]\n\n"
                           "Shows the disk space that your files, models and logs take, and your quota;\n"
                           "with the operator's token, everybody's.\n\n" CLIENT_OPTIONS_HELP "\nexample:\n"
                           "  et usage\n";

/* "1.2 GiB"; whole below 1 KiB. */
static const char *size_text(int64_t bytes, char out[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double size = (double)bytes;
    size_t unit = 0;
    while (size >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
        size /= 1024;
        unit++;
    }
    snprintf(out, 32, unit ? "%.1f %s" : "%.0f %s", size, units[unit]);
    return out;
}

static void print_row(const json_t *row)
{
    char blobs[32], logs[32], quota[32];
    int64_t limit = json_get_int(row, "quota", 0), days = json_get_int(row, "keep-days", 0);
    printf("%-24s  %10s  %10s  %12lld  %9lld  %10s  ", json_get_string(row, "owner", ""),
           size_text(json_get_int(row, "blob-bytes", 0), blobs),
           size_text(json_get_int(row, "log-bytes", 0), logs),
           (long long)json_get_int(row, "metric-points", 0), (long long)json_get_int(row, "documents", 0),
           limit ? size_text(limit, quota) : "none");
    if (days)
        printf("%lld days\n", (long long)days);
    else
        printf("for ever\n");
}

int command_usage_show(int argc, char **argv)
{
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'}, CLIENT_OPTIONS, {NULL, 0, NULL, 0}};
    struct client_settings settings = {0};
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (option == 'h')
            return fputs(help, stdout), EXIT_DONE;
        if (!client_option(option, optarg, &settings))
            return EXIT_USAGE;
    }
    if (optind < argc)
        return command_usage("usage", "'%s' is one argument too many", argv[optind]);
    struct error err = {0};
    CLEANUP(client_release) struct client c = {0};
    CLEANUP(json_decrefp) json_t *answer = NULL;
    if (client_open(&settings, true, &c, &err) != OK ||
        client_json(&c, "GET", "/usage", NULL, &answer, &err) != OK)
        return command_fail(&err);
    const json_t *items = json_object_get(answer, "items"), *row;
    if (c.as_json) {
        client_print(&c, items, " ");
        return EXIT_DONE;
    }
    printf("%-24s  %10s  %10s  %12s  %9s  %10s  %s\n", "owner", "blobs", "logs", "metric points", "documents",
           "quota", "kept");
    size_t i;
    json_array_foreach((json_t *)items, i, row)
        print_row(row);
    return EXIT_DONE;
}
