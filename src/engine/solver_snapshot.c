#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "engine/caffe_log.h"
#include "engine/solver_internal.h"

/* ---- names ---- */

/* "dir/lenet.prototxt" -> "dir/lenet" */
static char *without_extension(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash ? slash : path, '.');
    return xasprintf("%.*s", (int)(dot ? (size_t)(dot - path) : strlen(path)), path);
}

static bool is_folder(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static char *default_prefix(struct solver *s)
{
    const char *given = s->param->snapshot_prefix;
    CLEANUP(freep) char *stem = without_extension(s->options.solver_path ? s->options.solver_path : "solver");
    if (!given) {
        caffe_log('I', "upgrade_proto.cpp:1108", "snapshot_prefix was not specified and is set to %s", stem);
        return TAKE(stem);
    }
    CLEANUP(freep) char *path = solver_path(s, given);
    if (!is_folder(path))
        return xstrdup(given);
    const char *slash = strrchr(stem, '/');
    char *prefix = path_join(given, slash ? slash + 1 : stem);
    caffe_log('I', "upgrade_proto.cpp:1113", "snapshot_prefix was a directory and is replaced to %s", prefix);
    return prefix;
}

static char *snapshot_name(const struct solver *s, const char *extension)
{
    return xasprintf("%s_iter_%lld%s", s->prefix, (long long)s->iteration, extension);
}

enum status solver_check_prefix(struct solver *s, struct error *err)
{
    s->prefix = default_prefix(s);
    if (s->param->snapshot <= 0 && !s->param->snapshot_after_train)
        return OK;
    CLEANUP(freep) char *name = snapshot_name(s, ".tempfile");
    CLEANUP(freep) char *path = solver_path(s, name);
    CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_set(err, status_from_errno(errno) == NO_SPACE ? NO_SPACE : INVALID,
                         "cannot write to snapshot prefix '%s': %s; the folder must exist and be writable",
                         s->prefix, strerror(errno));
    unlink(path);
    return OK;
}

/* ---- writing ---- */

/* Only outside a test is the present position of a test net where a resumed run starts. */
static enum status take_position(struct solver *s, int net, struct state_position *ret, struct error *err)
{
    if (net == 0)
        return net_save_position(s->net, &ret->bytes, &ret->size, err);
    const struct test_net *test = &s->tests[net - 1];
    if (!s->is_testing || !test->before.bytes)
        return net_save_position(test->net, &ret->bytes, &ret->size, err);
    ret->size = test->before.size;
    ret->bytes = xmalloc(ret->size + 1);
    memcpy(ret->bytes, test->before.bytes, ret->size);
    return OK;
}

static void export_history(void *context, int index, float *ret_values)
{
    struct optimizer *o = context;
    param_export(optimizer_history_param(o, index), optimizer_history(o, index), ret_values);
}

static enum status take_state(struct solver *s, const char *learned_net, struct solver_state *state,
                              struct error *err)
{
    state->iteration = s->iteration;
    state->current_step = optimizer_step(s->optimizer);
    state->learned_net = xstrdup(learned_net);
    solver_state_make_histories(state, optimizer_n_histories(s->optimizer));
    state->history = export_history;
    state->context = s->optimizer;
    for (int i = 0; i < state->n_histories; i++)
        state->histories[i].shape = optimizer_history_param(s->optimizer, i)->def->shape;
    solver_state_make_positions(state, 1 + s->n_tests);
    for (int i = 0; i < state->n_positions; i++)
        TRY(take_position(s, i, &state->positions[i], err));
    return OK;
}

static enum status write_model(struct solver *s, const char *path, bool hdf5, struct error *err)
{
    return hdf5 ? net_save_weights_hdf5(s->net, path, s->param->snapshot_diff, err)
                : net_save_weights(s->net, path, s->param->snapshot_diff, err);
}

static enum status write_state(struct solver *s, const char *path, const char *learned_net, struct error *err)
{
    CLEANUP(solver_state_release) struct solver_state state = {0};
    TRY(take_state(s, learned_net, &state, err));
    return solver_state_write(&state, path, err);
}

enum status solver_snapshot(struct solver *s, struct error *err)
{
    bool hdf5 = s->param->snapshot_format == CAFFE__SOLVER_PARAMETER__SNAPSHOT_FORMAT__HDF5;
    CLEANUP(freep) char *model = snapshot_name(s, hdf5 ? ".caffemodel.h5" : ".caffemodel");
    CLEANUP(freep) char *state = snapshot_name(s, hdf5 ? ".solverstate.h5" : ".solverstate");
    CLEANUP(freep) char *model_path = solver_path(s, model);
    CLEANUP(freep) char *state_path = solver_path(s, state);
    caffe_log('I', hdf5 ? "solver.cpp:474" : "solver.cpp:464", "Snapshotting to %s file %s",
              hdf5 ? "HDF5" : "binary proto", model);
    TRY(write_model(s, model_path, hdf5, err));
    caffe_log('I', hdf5 ? "sgd_solver.cpp:296" : "sgd_solver.cpp:284",
              "Snapshotting solver state to %s file %s", hdf5 ? "HDF5" : "binary proto", state);
    TRY(write_state(s, state_path, model, err));
    if (s->options.watch.snapshotted)
        s->options.watch.snapshotted(s->options.watch.context, model, state, s->iteration);
    return OK;
}

enum status solver_save(struct solver *s, const char *model, const char *state, struct error *err)
{
    CLEANUP(freep) char *model_path = solver_path(s, model);
    CLEANUP(freep) char *state_path = solver_path(s, state);
    TRY(write_model(s, model_path, false, err));
    return write_state(s, state_path, model, err);
}

/* ---- reading ---- */

/* Equal but for leading ones, which Caffe's older files have. */
static bool shapes_agree(const struct shape *a, const struct shape *b)
{
    int i = 0, k = 0;
    while (i < a->n_axes && a->dim[i] == 1)
        i++;
    while (k < b->n_axes && b->dim[k] == 1)
        k++;
    if (a->n_axes - i != b->n_axes - k)
        return false;
    for (; i < a->n_axes; i++, k++)
        if (a->dim[i] != b->dim[k])
            return false;
    return true;
}

static enum status check_histories(const struct solver *s, const struct solver_state *state,
                                   struct error *err)
{
    int n = optimizer_n_histories(s->optimizer);
    if (state->n_histories != n)
        return error_set(err, INVALID, "has %d histories, but this net and solver type need %d",
                         state->n_histories, n);
    for (int i = 0; i < n; i++) {
        const struct param_def *def = optimizer_history_param(s->optimizer, i)->def;
        const struct shape *shape = &state->histories[i].shape;
        char have[SHAPE_TEXT_MAX], want[SHAPE_TEXT_MAX];
        if (!shapes_agree(shape, &def->shape))
            return error_set(err, INVALID, "history %d has shape %s, but parameter %d of layer '%s' has %s",
                             i, shape_text(shape, have), def->index, net_def(s->net)->layers[def->layer].name,
                             shape_text(&def->shape, want));
    }
    return OK;
}

/* learned_net as it says, or the file of that name beside the state; for the caller to free. */
static char *find_learned_net(const struct solver *s, const char *learned_net, const char *state_path)
{
    CLEANUP(freep) char *named = solver_path(s, learned_net);
    const char *slash = strrchr(state_path, '/');
    if (access(named, R_OK) && slash) {
        const char *base = strrchr(learned_net, '/');
        CLEANUP(freep)
        char *beside =
            xasprintf("%.*s/%s", (int)(slash - state_path), state_path, base ? base + 1 : learned_net);
        if (!access(beside, R_OK))
            return TAKE(beside);
    }
    return TAKE(named);
}

static void restore_positions(struct solver *s, const struct solver_state *state)
{
    for (int i = 0; i < MIN(state->n_positions, 1 + s->n_tests); i++) {
        struct error err;
        struct net *net = i ? s->tests[i - 1].net : s->net;
        if (net_load_position(net, state->positions[i].bytes, state->positions[i].size, &err) != OK)
            caffe_log('W', "solver.cpp:482", "Data of net %d starts at its first row: %s", i, err.message);
    }
}

enum status solver_restore(struct solver *s, const char *solverstate_path, struct error *err)
{
    CLEANUP(solver_state_release) struct solver_state state = {0};
    CLEANUP(freep) char *path = solver_path(s, solverstate_path);
    TRY(solver_state_read(path, &state, err));
    if (check_histories(s, &state, err) != OK)
        return error_context(err, "'%s'", path);
    if (state.learned_net) {
        CLEANUP(freep) char *model = find_learned_net(s, state.learned_net, path);
        TRY(net_load_weights(s->net, model, err));
    }
    caffe_log('I', "sgd_solver.cpp:336", "SGDSolver: restoring history");
    for (int i = 0; i < state.n_histories; i++) {
        param_import(optimizer_history_param(s->optimizer, i), state.histories[i].values,
                     optimizer_history(s->optimizer, i));
        freep(&state.histories[i].values);
    }
    malloc_trim(0); /* the allocator would keep what small ones left */
    s->iteration = state.iteration;
    optimizer_set_step(s->optimizer, state.current_step);
    restore_positions(s, &state);
    return OK;
}
