/*
 * submit.c - `et submit`: a folder with solver, net and data becomes a
 * datafile, a dataset, a solver and a training job.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/job.h"
#include "cli/job_flags.h"
#include "cli/number.h"
#include "cli/pack.h"
#include "netdef/netdef.h"

#define THREADS_MAX 1024

static const char help[] =
    "usage: et submit [options] FOLDER\n\n"
    "FOLDER holds\n"
    "  solver.prototxt        whose `net:` names the net's file in the folder\n"
    "  and the data, as one of\n"
    "    data.tar.gz (.zip, .tar.xz, .tar.zst) or data/      one folder a label, divided by --split\n"
    "    train.tar.gz and test.tar.gz, or train/ and test/   already divided\n\n"
    "      --split SHARE      part of data that trains, 0 to 1 (default 0.7)\n"
    "      --dataset ID       use this dataset instead of the folder's data\n"
    "      --threads N        processors to use (default: the worker's cores divided by its slots)\n"
    "      --precision P      f32 (default), or bf16: faster where the worker's processor has avx512_bf16\n"
    "      --gpu              insist on a machine with a GPU, and wait for one\n" JOB_FLAGS_HELP
    "      --param NAME=A,B   make an array: a job with each value of a field of the solver; repeated:\n"
    "                         with each combination\n"
    "      --array FILE       make an array: a job for each parameter set of a file: .csv, or JSON, one a\n"
    "                         line or an array\n"
    "  -w, --wait             wait until it has ended; exit status 1 when it failed\n" CLIENT_OPTIONS_HELP
    "\nexample:\n"
    "  JOB=$(et submit examples/alphabet) && et logs -f $JOB\n";

struct submission {
    const char *folder;
    const char *dataset;
    double split;
    struct job_flags flags;
    bool wait;
};

/* The first of base.tar.gz, .tgz, .zip, .tar.xz, .tar.zst, .tar, or the folder base, that is there; NULL:
 * none. */
static char *find_data(const char *folder, const char *base)
{
    static const char *const endings[] = {".tar.gz", ".tgz", ".zip", ".tar.xz", ".tar.zst", ".tar", ""};
    for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
        CLEANUP(freep) char *name = xasprintf("%s%s", base, endings[i]);
        CLEANUP(freep) char *path = path_join(folder, name);
        if (!access(path, R_OK))
            return TAKE(path);
    }
    return NULL;
}

/* Uploads an archive, or a folder packed into one; ret_id takes 33 bytes. */
static enum status upload_data(struct client *c, const char *path, char *ret_id, struct error *err)
{
    struct stat st;
    if (stat(path, &st))
        return error_set(err, status_from_errno(errno), "cannot open '%s': %s", path, strerror(errno));
    CLEANUP(packed_releasep) struct packed packed = {0};
    if (S_ISDIR(st.st_mode))
        TRY(pack_folder(path, &packed, err));
    CLEANUP(form_release) struct form form;
    form_init(&form);
    form_value(&form, "document", "{}");
    form_file(&form, "url", packed.path ? packed.path : path);
    CLEANUP(json_decrefp) json_t *datafile = NULL;
    TRY(form_send(&form, c, "/datafiles", &datafile, err));
    snprintf(ret_id, 33, "%s", json_get_string(datafile, "id", ""));
    return OK;
}

static enum status make_dataset(struct client *c, const struct submission *s, char *ret_id, struct error *err)
{
    CLEANUP(freep) char *data = find_data(s->folder, "data");
    CLEANUP(freep) char *train = find_data(s->folder, "train");
    CLEANUP(freep) char *test = find_data(s->folder, "test");
    CLEANUP(json_decrefp) json_t *body = NULL;
    char first[33], second[33];
    if (data) {
        TRY(upload_data(c, data, first, err));
        body = json_pack("{s:{s:s,s:f},s:{s:s,s:f}}", "training", "datafile-id", first, "split-percentage",
                         s->split, "test", "datafile-id", first, "split-percentage", 1.0 - s->split);
    } else if (train && test) {
        TRY(upload_data(c, train, first, err));
        TRY(upload_data(c, test, second, err));
        body = json_pack("{s:{s:s,s:f},s:{s:s,s:f}}", "training", "datafile-id", first, "split-percentage",
                         0.0, "test", "datafile-id", second, "split-percentage", 0.0);
    } else {
        return error_set(err, INVALID,
                         "'%s' has neither data.tar.gz nor data/, nor train and test; see et submit --help",
                         s->folder);
    }
    CLEANUP(json_decrefp) json_t *dataset = NULL;
    TRY(client_json(c, "POST", "/datasets", body, &dataset, err));
    snprintf(ret_id, 33, "%s", json_get_string(dataset, "_id", ""));
    return OK;
}

/* The net's file that the solver names, as a path; for the caller to free. */
static enum status net_path(const char *folder, const char *solver_path, char **ret_path, struct error *err)
{
    Caffe__SolverParameter *solver = NULL;
    TRY(solver_read_file(solver_path, &solver, err));
    const char *net = solver->net ? solver->net : solver->train_net;
    enum status status = OK;
    if (!net)
        status = error_set(err, INVALID, "'%s' names no net: it needs a line like net: \"net.prototxt\"",
                           solver_path);
    else
        *ret_path = path_join(folder, net);
    caffe__solver_parameter__free_unpacked(solver, NULL);
    if (status == OK && access(*ret_path, R_OK)) {
        status = error_set(err, NOT_FOUND, "cannot open '%s', which '%s' names: %s", *ret_path, solver_path,
                           strerror(errno));
        freep(ret_path);
    }
    return status;
}

static enum status make_solver(struct client *c, const char *solver_file, const char *net_file,
                               const char *dataset, char *ret_id, struct error *err)
{
    CLEANUP(json_decrefp) json_t *document = json_pack("{s:s}", "dataset-id", dataset);
    CLEANUP(freep) char *text = json_text(document);
    CLEANUP(form_release) struct form form;
    form_init(&form);
    form_value(&form, "document", text);
    form_file(&form, "specification-url", solver_file);
    form_file(&form, "specification-net-url", net_file);
    CLEANUP(json_decrefp) json_t *solver = NULL;
    TRY(form_send(&form, c, "/solvers", &solver, err));
    snprintf(ret_id, 33, "%s", json_get_string(solver, "_id", ""));
    return OK;
}

static enum status submit(struct client *c, const struct submission *s, json_t **ret_job, struct error *err)
{
    /* What is wrong with the folder is found before anything is sent. */
    CLEANUP(freep) char *solver_file = path_join(s->folder, "solver.prototxt");
    CLEANUP(freep) char *net_file = NULL;
    TRY(net_path(s->folder, solver_file, &net_file, err));
    char dataset[33], solver[33];
    if (s->dataset)
        snprintf(dataset, sizeof(dataset), "%s", s->dataset);
    else
        TRY(make_dataset(c, s, dataset, err));
    TRY(make_solver(c, solver_file, net_file, dataset, solver, err));
    CLEANUP(json_decrefp) json_t *body = json_copy(s->flags.job);
    json_object_set_new(body, "solver-id", json_string(solver));
    if (s->flags.sets)
        json_object_set(body, "array", s->flags.sets);
    return client_json(c, "POST", "/training-jobs", body, ret_job, err);
}

static int finish(struct client *c, const struct submission *s, const json_t *job)
{
    const char *id = json_get_string(job, "_id", "");
    client_print(c, job, "%s", id);
    if (!s->wait)
        return EXIT_DONE;
    fflush(stdout);
    struct error err = {0};
    CLEANUP(json_decrefp) json_t *ended = NULL;
    if (job_wait(c, id, NULL, NULL, &ended, &err) != OK)
        return command_fail(&err);
    return job_exit_status_told(ended);
}

enum { SPLIT = 1, DATASET, THREADS, PRECISION, GPU };

/* One option.  An exit status, or -1 to go on. */
static int read_option(struct submission *s, int option, const char *value)
{
    char *end;
    int64_t n;
    switch (option) {
    case SPLIT:
        s->split = strtod(value, &end);
        if (*end || end == value || !(s->split > 0 && s->split < 1))
            return command_usage("submit", "--split %s: a share between 0 and 1 is wanted, such as 0.7",
                                 value);
        return -1;
    case DATASET:
        s->dataset = value;
        return -1;
    case THREADS:
        if (!read_integer(value, 1, THREADS_MAX, &n))
            return command_usage("submit", "--threads %s: a whole number from 1 to %d is wanted", value,
                                 THREADS_MAX);
        json_object_set_new(s->flags.job, "threads", json_integer(n));
        return -1;
    case PRECISION:
        if (strcmp(value, "f32") != 0 && strcmp(value, "bf16") != 0)
            return command_usage("submit", "--precision %s: f32 or bf16 is wanted", value);
        json_object_set_new(s->flags.job, "precision", json_string(value));
        return -1;
    default:
        json_object_set_new(s->flags.job, "gpu-required", json_true());
        return -1;
    }
}

/* An exit status, or -1 to go on. */
static int read_options(int argc, char **argv, struct submission *s, struct client_settings *settings)
{
    static const struct option options[] = {{"split", required_argument, NULL, SPLIT},
                                            {"dataset", required_argument, NULL, DATASET},
                                            {"threads", required_argument, NULL, THREADS},
                                            {"precision", required_argument, NULL, PRECISION},
                                            {"gpu", no_argument, NULL, GPU},
                                            {"param", required_argument, NULL, JOB_FLAG_SWEEP},
                                            ARRAY_FLAGS,
                                            JOB_FLAGS,
                                            {"wait", no_argument, NULL, 'w'},
                                            {"help", no_argument, NULL, 'h'},
                                            CLIENT_OPTIONS,
                                            {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "wh", options, NULL)) != -1;) {
        int end = -1;
        if (option == 'w')
            s->wait = true;
        else if (option == 'h')
            return fputs(help, stdout), EXIT_DONE;
        else if (option >= SPLIT && option <= GPU)
            end = read_option(s, option, optarg);
        else if (option >= JOB_FLAG_AFTER && option < JOB_FLAG_END)
            end = job_flags_take(&s->flags, "submit", option, optarg);
        else if (!client_option(option, optarg, settings))
            return EXIT_USAGE;
        if (end >= 0)
            return end;
    }
    if (optind + 1 != argc)
        return command_usage("submit", "one folder is wanted");
    s->folder = argv[optind];
    return -1;
}

static void submission_release(struct submission *s)
{
    job_flags_release(&s->flags);
}

int command_submit(int argc, char **argv)
{
    struct client_settings settings = {0};
    CLEANUP(submission_release) struct submission s = {.split = 0.7};
    job_flags_init(&s.flags);
    int end = read_options(argc, argv, &s, &settings);
    if (end >= 0)
        return end;
    struct error err = {0};
    CLEANUP(client_release) struct client c = {0};
    CLEANUP(json_decrefp) json_t *job = NULL;
    if (client_open(&settings, true, &c, &err) != OK || submit(&c, &s, &job, &err) != OK)
        return command_fail(&err);
    return finish(&c, &s, job);
}
