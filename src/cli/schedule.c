/* schedule.c - `et schedule`: jobs that are made again and again. */
#include <getopt.h>
#include <string.h>

#include "cli/client.h"
#include "cli/commands.h"

static const char help[] =
    "usage: et schedule [options] 'MINUTE HOUR DAY MONTH WEEKDAY' JOB\n"
    "       et schedule [options]\n"
    "       et schedule --pause ID | --resume ID | --delete ID\n\n"
    "Runs a job again at times that come again, as crontab(5) writes them, in UTC: as an existing training\n"
    "job, script or classification (of URLs) was made.  Without arguments: lists your schedules.\n\n"
    "      --overlap HOW      when the run before has not ended: skip (default), or queue one behind it\n"
    "      --pause ID         make no jobs for now\n"
    "      --resume ID        make them again\n"
    "      --delete ID        never again; jobs that were made stay\n" CLIENT_OPTIONS_HELP "\nexample:\n"
    "  et schedule '30 2 * * mon-fri' 019a3f0c1d2e4b5a69788796a5b4c3d2\n";

/* What a job was made with, to be made again.  New. */
static json_t *settings_of(const json_t *job, const char *type)
{
    static const char *const keys[] = {"solver-id",    "classifier-id", "urls",
                                       "entry",        "inputs",        "cpu",
                                       "memory",       "network",       "priority",
                                       "gpu",          "threads",       "precision",
                                       "gpu-required", "retries",       "retry-on-failure",
                                       "parameters",   "max-seconds",   "retry-delay-seconds"};
    json_t *settings = json_object();
    bool is_script = !strcmp(type, "job");
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (json_object_get(job, keys[i]) && (is_script || strcmp(keys[i], "parameters")))
            json_object_set(settings, keys[i], json_object_get(job, keys[i]));
    if (is_script)
        json_object_set(settings, "script-of", json_object_get(job, "_id"));
    return settings;
}

static enum status add(struct client *c, const char *cron, const char *job_id, const char *overlap,
                       struct error *err)
{
    CLEANUP(json_decrefp) json_t *job = NULL;
    CLEANUP(json_decrefp) json_t *schedule = NULL;
    TRY(client_document(c, job_id, &job, err));
    const char *type = json_get_string(job, "type", "");
    if (strcmp(type, "training-job") && strcmp(type, "job") && strcmp(type, "classify-job"))
        return error_set(err, INVALID, "'%s' is no training job, script or classification", job_id);
    CLEANUP(json_decrefp)
    json_t *body = json_pack("{s:s, s:s, s:s, s:o}", "cron", cron, "overlap", overlap, "type", type, "job",
                             settings_of(job, type));
    TRY(client_json(c, "POST", "/schedules", body, &schedule, err));
    client_print(c, schedule, "%s", json_get_string(schedule, "id", ""));
    return OK;
}

static enum status list(struct client *c, struct error *err)
{
    CLEANUP(json_decrefp) json_t *page = NULL;
    TRY(client_json(c, "GET", "/schedules?limit=1000", NULL, &page, err));
    const json_t *items = json_object_get(page, "items");
    if (c->as_json) {
        client_print(c, items, " ");
        return OK;
    }
    size_t i;
    json_t *s;
    json_array_foreach(items, i, s) {
        const char *note = json_get_string(s, "note", "");
        printf("%s  %-12s  %-16s  next %-24s  %lld runs%s%s\n", json_get_string(s, "id", ""),
               json_get_string(s, "of", ""), json_get_string(s, "cron", ""),
               json_get_string(s, "next-run", "never: paused"), (long long)json_get_int(s, "runs", 0),
               *note ? "  " : "", note);
    }
    if (!json_array_size(items))
        fprintf(stderr, "no schedules\n");
    return OK;
}

static enum status pause_or_resume(struct client *c, const char *id, bool paused, struct error *err)
{
    CLEANUP(freep) char *name = url_escape(id);
    CLEANUP(freep) char *path = xasprintf("/schedules/%s", name);
    CLEANUP(json_decrefp) json_t *body = json_pack("{s:b}", "paused", (int)paused);
    CLEANUP(json_decrefp) json_t *schedule = NULL;
    TRY(client_json(c, "PATCH", path, body, &schedule, err));
    client_print(c, schedule, "next: %s", json_get_string(schedule, "next-run", "never: paused"));
    return OK;
}

static enum status remove_one(struct client *c, const char *id, struct error *err)
{
    CLEANUP(freep) char *name = url_escape(id);
    CLEANUP(freep) char *path = xasprintf("/schedules/%s", name);
    CLEANUP(json_decrefp) json_t *nothing = NULL;
    return client_json(c, "DELETE", path, NULL, &nothing, err);
}

int command_schedule(int argc, char **argv)
{
    enum { OVERLAP = 1, PAUSE, RESUME, DELETE };
    static const struct option options[] = {{"overlap", required_argument, NULL, OVERLAP},
                                            {"pause", required_argument, NULL, PAUSE},
                                            {"resume", required_argument, NULL, RESUME},
                                            {"delete", required_argument, NULL, DELETE},
                                            {"help", no_argument, NULL, 'h'},
                                            CLIENT_OPTIONS,
                                            {NULL, 0, NULL, 0}};
    struct client_settings settings = {0};
    const char *overlap = "skip", *id = NULL;
    int verb = 0;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (option == 'h')
            return fputs(help, stdout), EXIT_DONE;
        if (option == OVERLAP)
            overlap = optarg;
        else if (option >= PAUSE && option <= DELETE)
            verb = option, id = optarg;
        else if (!client_option(option, optarg, &settings))
            return EXIT_USAGE;
    }
    int n = argc - optind;
    if (n != 0 && (n != 2 || verb))
        return command_usage("schedule", "times and a job are wanted, such as '30 2 * * *' ID");
    struct error err = {0};
    CLEANUP(client_release) struct client c = {0};
    enum status status = client_open(&settings, true, &c, &err);
    if (status == OK)
        status = verb == DELETE ? remove_one(&c, id, &err)
                 : verb         ? pause_or_resume(&c, id, verb == PAUSE, &err)
                 : n            ? add(&c, argv[optind], argv[optind + 1], overlap, &err)
                                : list(&c, &err);
    return status == OK ? EXIT_DONE : command_fail(&err);
}
