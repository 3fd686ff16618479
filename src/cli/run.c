/* run.c - `et run`: a script as a job. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/size.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/job.h"
#include "cli/job_flags.h"
#include "cli/pack.h"

#define PARAMETERS_MAX (1 << 20)

static const char help[] =
    "usage: et run [options] SCRIPT\n\n"
    "Runs a script on the service: a file (Python, shell, any program), a folder or an archive with a\n"
    "file named run or main, .py or .sh too. It finds its parameters in parameters.json and in its\n"
    "argument, its inputs in inputs/, and leaves what is to be kept in artifacts/.\n\n"
    "  -p, --param KEY=VALUE  a parameter, repeated; VALUE is JSON, or else text\n"
    "      --params FILE      all parameters, a JSON object\n"
    "  -i, --input [NAME=]ID[/FILE]  a file of a datafile, training job or job, repeated\n"
    "      --installed        SCRIPT is the name of one that the operator installed\n"
    "      --entry FILE       file of the folder or archive to run\n"
    "      --cpu N            processors wanted\n"
    "      --memory SIZE      memory wanted, as 512M or 4G\n"
    "      --gpu N            GPUs wanted\n"
    "      --network          it needs the network\n" JOB_FLAGS_HELP
    "      --sweep KEY=A,B    make an array: a job with each value of a parameter; repeated: with each\n"
    "                         combination\n"
    "      --array FILE       make an array: a job for each parameter set of a file: .csv, or JSON, one a\n"
    "                         line or an array\n"
    "  -w, --wait             wait until it has ended; exit status 1 when it failed\n" CLIENT_OPTIONS_HELP
    "\nexample:\n"
    "  JOB=$(et run -w -p trees=100 examples/scripts/sklearn_train.py) && et get $JOB/model.pkl\n"
    "  ARRAY=$(et run -w --sweep trees=10,100,1000 examples/scripts/sklearn_train.py) && et get $ARRAY\n";

struct run {
    struct job_flags flags; /* their fields are the document's */
    json_t *document;       /* flags.job */
    const char *script;
    bool installed, wait;
};

static void run_release(struct run *run)
{
    job_flags_release(&run->flags);
}

/* ---- what is asked for ---- */

static bool add_parameter(json_t *parameters, const char *text)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return false;
    CLEANUP(freep) char *key = strndup(text, (size_t)(equals - text));
    json_t *value = NULL;
    if (json_read(equals + 1, strlen(equals + 1), &value, NULL) != OK)
        value = json_string(equals + 1);
    return !json_object_set_new(parameters, key, value);
}

static enum status read_parameters(const char *path, json_t *parameters, struct error *err)
{
    CLEANUP(freep) char *text = NULL;
    CLEANUP(json_decrefp) json_t *json = NULL;
    size_t size;
    TRY(file_read(path, PARAMETERS_MAX, &text, &size, err));
    if (json_read(text, size, &json, err) != OK)
        return error_context(err, "file '%s'", path);
    if (!json_is_object(json))
        return error_set(err, INVALID, "file '%s' holds no JSON object", path);
    json_object_update(parameters, json);
    return OK;
}

/* "NAME=ID/FILE", of which NAME and FILE may be absent. */
static void add_input(json_t *inputs, const char *text)
{
    json_t *input = json_object();
    const char *equals = strchr(text, '=');
    if (equals) {
        json_object_set_new(input, "name", json_stringn(text, (size_t)(equals - text)));
        text = equals + 1;
    }
    const char *slash = strchr(text, '/');
    json_object_set_new(input, "id", json_stringn(text, slash ? (size_t)(slash - text) : strlen(text)));
    if (slash)
        json_object_set_new(input, "file", json_string(slash + 1));
    json_array_append_new(inputs, input);
}

static bool add_integer(json_t *document, const char *key, const char *text)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    return !errno && end != text && !*end && !json_object_set_new(document, key, json_integer(value));
}

enum { PARAMS = 1, INSTALLED, ENTRY, CPU, MEMORY, GPU, NETWORK };

/* false: the value is not what the option takes. */
static bool take_option(struct run *run, int option, const char *value)
{
    json_t *d = run->document;
    int64_t bytes;
    switch (option) {
    case 'p':
        return add_parameter(json_object_get(d, "parameters"), value);
    case 'i':
        add_input(json_object_get(d, "inputs"), value);
        return true;
    case INSTALLED:
        return run->installed = true;
    case ENTRY:
        return !json_object_set_new(d, "entry", json_string(value));
    case CPU:
        return add_integer(d, "cpu", value);
    case MEMORY:
        return size_read(value, &bytes) && !json_object_set_new(d, "memory", json_integer(bytes));
    case GPU:
        return add_integer(d, "gpu", value);
    case NETWORK:
        return !json_object_set_new(d, "network", json_true());
    default:
        return run->wait = true;
    }
}

static const char *option_takes(int option)
{
    return option == 'p'      ? "-p, --param takes NAME=VALUE, such as trees=100"
           : option == MEMORY ? "--memory takes bytes, as 16G, 512M or 1000"
           : option == CPU    ? "--cpu takes a whole number of processors"
                              : "--gpu takes a whole number of GPUs";
}

/* ---- sending ---- */

static enum status send_script(struct client *c, const struct run *run, json_t **ret_job, struct error *err)
{
    struct stat st;
    if (run->flags.sets)
        json_object_set(run->document, "array", run->flags.sets);
    if (run->installed) {
        json_object_set_new(run->document, "script", json_string(run->script));
        return client_json(c, "POST", "/jobs", run->document, ret_job, err);
    }
    if (stat(run->script, &st))
        return error_set(err, status_from_errno(errno), "cannot open '%s': %s", run->script, strerror(errno));
    CLEANUP(packed_releasep) struct packed packed = {0};
    if (S_ISDIR(st.st_mode))
        TRY(pack_folder(run->script, &packed, err));
    CLEANUP(freep) char *text = json_text(run->document);
    CLEANUP(form_release) struct form form;
    form_init(&form);
    form_value(&form, "document", text);
    form_file(&form, "script", packed.path ? packed.path : run->script);
    return form_send(&form, c, "/jobs", ret_job, err);
}

static int finish(struct client *c, const struct run *run, const json_t *job)
{
    const char *id = json_get_string(job, "_id", "");
    struct error err = {0};
    CLEANUP(json_decrefp) json_t *ended = NULL;
    if (!run->wait)
        return client_print(c, job, "%s", id), EXIT_DONE;
    if (!c->as_json) {
        client_print(c, job, "%s", id);
        fflush(stdout);
    }
    if (job_wait(c, id, NULL, NULL, &ended, &err) != OK)
        return command_fail(&err);
    if (c->as_json)
        client_print(c, ended, " ");
    return job_exit_status_told(ended);
}

int command_run_script(int argc, char **argv)
{
    static const struct option options[] = {{"param", required_argument, NULL, 'p'},
                                            {"params", required_argument, NULL, PARAMS},
                                            {"input", required_argument, NULL, 'i'},
                                            {"installed", no_argument, NULL, INSTALLED},
                                            {"entry", required_argument, NULL, ENTRY},
                                            {"cpu", required_argument, NULL, CPU},
                                            {"memory", required_argument, NULL, MEMORY},
                                            {"gpu", required_argument, NULL, GPU},
                                            {"network", no_argument, NULL, NETWORK},
                                            ARRAY_FLAGS,
                                            JOB_FLAGS,
                                            {"wait", no_argument, NULL, 'w'},
                                            {"help", no_argument, NULL, 'h'},
                                            CLIENT_OPTIONS,
                                            {NULL, 0, NULL, 0}};
    struct client_settings settings = {0};
    struct error err = {0};
    CLEANUP(run_release) struct run run = {.wait = false};
    job_flags_init(&run.flags);
    run.document = run.flags.job;
    json_object_set_new(run.document, "parameters", json_object());
    json_object_set_new(run.document, "inputs", json_array());
    for (int option; (option = getopt_long(argc, argv, "+p:i:wh", options, NULL)) != -1;) {
        if (option == 'h')
            return fputs(help, stdout), EXIT_DONE;
        if (option == PARAMS) {
            if (read_parameters(optarg, json_object_get(run.document, "parameters"), &err) != OK)
                return command_fail(&err);
        } else if (option == 'p' || option == 'i' || option == 'w' || (option > 0 && option <= NETWORK)) {
            if (!take_option(&run, option, optarg))
                return command_usage("run", "'%s': %s", optarg, option_takes(option));
        } else if (option >= JOB_FLAG_AFTER && option < JOB_FLAG_END) {
            int end = job_flags_take(&run.flags, "run", option, optarg);
            if (end >= 0)
                return end;
        } else if (!client_option(option, optarg, &settings)) {
            return EXIT_USAGE;
        }
    }
    if (optind + 1 != argc)
        return command_usage("run", "one script is wanted, after the options");
    run.script = argv[optind];
    CLEANUP(client_release) struct client c = {0};
    CLEANUP(json_decrefp) json_t *job = NULL;
    if (client_open(&settings, true, &c, &err) != OK || send_script(&c, &run, &job, &err) != OK)
        return command_fail(&err);
    return finish(&c, &run, job);
}
