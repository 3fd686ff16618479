#include "cli/caffe_flags.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "engine/caffe_log.h"
#include "engine/net_log.h"

enum flag {
    FLAG_GPU = 1,
    FLAG_HELP,
    FLAG_ITERATIONS,
    FLAG_LEVEL,
    FLAG_LOGGING,
    FLAG_MODEL,
    FLAG_PHASE,
    FLAG_PRECISION,
    FLAG_PROGRESS_FD,
    FLAG_SERVICE_SNAPSHOT,
    FLAG_SIGHUP_EFFECT,
    FLAG_SIGINT_EFFECT,
    FLAG_SIGTERM_EFFECT,
    FLAG_SNAPSHOT,
    FLAG_SNAPSHOT_EVERY,
    FLAG_SOLVER,
    FLAG_STAGE,
    FLAG_THREADS,
    FLAG_TRACE,
    FLAG_WEIGHTS,
};

static const struct option options[] = {
    {"gpu", required_argument, NULL, FLAG_GPU},
    {"help", no_argument, NULL, FLAG_HELP},
    {"iterations", required_argument, NULL, FLAG_ITERATIONS},
    {"level", required_argument, NULL, FLAG_LEVEL},
    {"model", required_argument, NULL, FLAG_MODEL},
    {"phase", required_argument, NULL, FLAG_PHASE},
    {"precision", required_argument, NULL, FLAG_PRECISION},
    {"progress-fd", required_argument, NULL, FLAG_PROGRESS_FD},
    {"service-snapshot", required_argument, NULL, FLAG_SERVICE_SNAPSHOT},
    {"sighup_effect", required_argument, NULL, FLAG_SIGHUP_EFFECT},
    {"sigint_effect", required_argument, NULL, FLAG_SIGINT_EFFECT},
    {"sigterm_effect", required_argument, NULL, FLAG_SIGTERM_EFFECT},
    {"snapshot", required_argument, NULL, FLAG_SNAPSHOT},
    {"snapshot-every", required_argument, NULL, FLAG_SNAPSHOT_EVERY},
    {"solver", required_argument, NULL, FLAG_SOLVER},
    {"stage", required_argument, NULL, FLAG_STAGE},
    {"threads", required_argument, NULL, FLAG_THREADS},
    {"trace", required_argument, NULL, FLAG_TRACE},
    {"weights", required_argument, NULL, FLAG_WEIGHTS},
    /* glog's, which scripts give: the log goes to stderr anyway. */
    {"alsologtostderr", optional_argument, NULL, FLAG_LOGGING},
    {"logtostderr", optional_argument, NULL, FLAG_LOGGING},
    {NULL, 0, NULL, 0},
};

static bool read_int(const char *text, int min, int *ret_value)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < min || value > INT_MAX)
        return false;
    *ret_value = (int)value;
    return true;
}

static bool read_effect(const char *text, enum solver_action *ret_action)
{
    static const struct {
        const char *name;
        enum solver_action action;
    } effects[] = {{"none", SOLVER_GO_ON}, {"snapshot", SOLVER_SNAPSHOT}, {"stop", SOLVER_STOP}};
    for (size_t i = 0; i < ARRAY_SIZE(effects); i++)
        if (!strcmp(effects[i].name, text)) {
            *ret_action = effects[i].action;
            return true;
        }
    return false;
}

static bool read_stages(const char *text, struct caffe_flags *f)
{
    free(f->stage_text);
    f->stage_text = xstrdup(text);
    f->n_stages = 0;
    char *rest = NULL;
    for (char *stage = strtok_r(f->stage_text, ",", &rest); stage; stage = strtok_r(NULL, ",", &rest)) {
        if (f->n_stages == CAFFE_MAX_STAGES)
            return false;
        f->stages[f->n_stages++] = stage;
    }
    return true;
}

/* NULL, or what would have been right. */
static const char *take_flag(enum flag flag, const char *value, struct caffe_flags *f)
{
    switch (flag) {
    case FLAG_GPU:
        return f->gpu = value, NULL;
    case FLAG_SOLVER:
        return f->solver = value, NULL;
    case FLAG_MODEL:
        return f->model = value, NULL;
    case FLAG_SNAPSHOT:
        return f->snapshot = *value ? value : NULL, NULL;
    case FLAG_WEIGHTS:
        return f->weights = *value ? value : NULL, NULL;
    case FLAG_SERVICE_SNAPSHOT:
        return f->service_snapshot = value, NULL;
    case FLAG_TRACE:
        return f->trace = value, NULL;
    case FLAG_PHASE:
        f->phase = *value ? value : NULL;
        return !*value || !strcmp(value, "TRAIN") || !strcmp(value, "TEST") ? NULL : "TRAIN or TEST";
    case FLAG_STAGE:
        return read_stages(value, f) ? NULL : "at most 64 stages";
    case FLAG_LEVEL:
        return read_int(value, INT_MIN, &f->level) ? NULL : "a whole number";
    case FLAG_ITERATIONS:
        return read_int(value, 1, &f->iterations) ? NULL : "a number above 0";
    case FLAG_THREADS:
        return read_int(value, 0, &f->threads) ? NULL : "a number, or 0 for all processors";
    case FLAG_PRECISION:
        return precision_read(value, &f->precision) ? NULL : "f32 or bf16";
    case FLAG_SNAPSHOT_EVERY:
        return read_int(value, 0, &f->snapshot_every_s) ? NULL : "a number of seconds";
    case FLAG_PROGRESS_FD:
        return read_int(value, 0, &f->progress_fd) ? NULL : "the number of an open file";
    case FLAG_SIGINT_EFFECT:
        return read_effect(value, &f->on_sigint) ? NULL : "snapshot, stop or none";
    case FLAG_SIGHUP_EFFECT:
        return read_effect(value, &f->on_sighup) ? NULL : "snapshot, stop or none";
    case FLAG_SIGTERM_EFFECT:
        return read_effect(value, &f->on_sigterm) ? NULL : "snapshot, stop or none";
    case FLAG_HELP:
    case FLAG_LOGGING:
        break;
    }
    return NULL;
}

int caffe_flags_read(const char *command, const char *help, int argc, char **argv,
                     struct caffe_flags *ret_flags)
{
    CLEANUP(caffe_flags_release)
    struct caffe_flags f = {
        .iterations = 50,
        .on_sigint = SOLVER_STOP,
        .on_sighup = SOLVER_SNAPSHOT,
        .on_sigterm = SOLVER_STOP,
        .progress_fd = -1,
    };
    optind = 0;
    opterr = 0;
    int index = 0;
    for (int flag; (flag = getopt_long_only(argc, argv, "", options, &index)) != -1;) {
        if (flag == '?')
            return command_usage(command, "flag '%s' is not known, or has no value", argv[optind - 1]);
        if (flag == FLAG_HELP)
            return fputs(help, stdout), EXIT_DONE;
        const char *right = take_flag((enum flag)flag, optarg, &f);
        if (right)
            return command_usage(command, "--%s is '%s'; it must be %s", options[index].name, optarg, right);
    }
    if (optind < argc)
        return command_usage(command, "'%s' is no flag", argv[optind]);
    *ret_flags = f;
    f = (struct caffe_flags){0};
    return -1;
}

void caffe_flags_release(struct caffe_flags *f)
{
    free(f->stage_text);
    *f = (struct caffe_flags){0};
}

void caffe_flags_log_device(const struct caffe_flags *f, bool solver_wants_gpu)
{
    if (f->gpu && *f->gpu)
        caffe_log('W', "caffe.cpp:197", "--gpu=%s: this engine has no GPU code; the CPU is used.", f->gpu);
    else if (solver_wants_gpu)
        caffe_log('W', "caffe.cpp:197", "solver_mode is GPU: this engine has no GPU code; the CPU is used.");
    caffe_log('I', "caffe.cpp:197", "Use CPU.");
    if (f->precision == PRECISION_BF16)
        caffe_log('I', "caffe.cpp:197", "Precision: bf16.");
}

static void net_parameter_freep(Caffe__NetParameter **p)
{
    if (*p)
        caffe__net_parameter__free_unpacked(*p, NULL);
}

static enum status load_weights(struct net *net, const char *list, struct error *err)
{
    CLEANUP(freep) char *names = xstrdup(list);
    char *rest = NULL;
    for (char *name = strtok_r(names, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
        TRY(net_load_weights(net, name, err));
    return OK;
}

enum status caffe_flags_net(const struct caffe_flags *f, Caffe__Phase phase, bool inference,
                            struct net **ret_net, struct error *err)
{
    CLEANUP(net_parameter_freep) Caffe__NetParameter *param = NULL;
    TRY(net_read_file(f->model, &param, err));
    /* The tool's phase and level win over the file's state; stages add up. */
    size_t n_own = param->state ? param->state->n_stage : 0;
    CLEANUP(freep) const char **stages = xcalloc(n_own + (size_t)f->n_stages + 1, sizeof(*stages));
    for (size_t i = 0; i < n_own; i++)
        stages[i] = param->state->stage[i];
    for (int i = 0; i < f->n_stages; i++)
        stages[n_own + (size_t)i] = f->stages[i];
    const struct netdef_options state = {
        .phase = phase,
        .level = f->level,
        .n_stages = (int)n_own + f->n_stages,
        .stages = stages,
    };
    const struct net_options net_options = {
        .threads = f->threads,
        .precision = f->precision,
        .seed = 1,
        .inference = inference,
        .keep_blobs = f->keep_blobs,
        .feeds_memory = f->feeds_memory,
        .debug_info = param->debug_info,
    };
    CLEANUP(net_freep) struct net *net = NULL;
    if (net_create(param, &state, &net_options, &net, err) != OK)
        return error_context(err, "'%s'", f->model);
    net_log(net);
    if (param->debug_info)
        net_set_debug_info(net, true);
    if (f->weights)
        TRY(load_weights(net, f->weights, err));
    *ret_net = TAKE(net);
    return OK;
}
