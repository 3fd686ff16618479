/*
 * What a process takes at its peak, without running it: the nets' plans, the
 * solver's histories, and what is in memory only for a moment.  The figures
 * for the process itself were measured: see PROCESS_BYTES.
 */
#include <string.h>

#include "cli/net_facts.h"
#include "engine/kernel.h"
#include "engine/solvers/rule.h"

/*
 * Resident memory of `et test` with a net of one small layer, less what the
 * plan of that net says: code of et and its libraries, oneDNN's tables.
 * Each kernel adds its generated code; oneDNN's sgemm, which processors without
 * avx512 use in most nets, the code that generates it.
 */
enum { PROCESS_BYTES = 23 << 20, GEMM_BYTES = 5 << 19, LAYER_BYTES = 64 << 10 };

static int64_t process_bytes(void)
{
    return PROCESS_BYTES + (kernel_uses_jit_gemm() ? GEMM_BYTES : 0);
}

void solver_state_of(const Caffe__NetParameter *net, const Caffe__SolverParameter *solver, int test,
                     struct net_state *ret_state)
{
    struct net_state state = {.phase = test < 0 ? CAFFE__PHASE__TRAIN : CAFFE__PHASE__TEST};
    net_state_merge(&state, net->state);
    if (solver && test < 0) {
        net_state_merge(&state, solver->train_state);
        state.level = 0; /* --level's default wins, as in Caffe */
    } else if (solver && (size_t)test < solver->n_test_state) {
        net_state_merge(&state, solver->test_state[test]);
    }
    *ret_state = state;
}

static enum status plan(const Caffe__NetParameter *net, const struct net_state *state,
                        struct input_shapes *inputs, const struct net_options *options, struct net **ret_net,
                        struct error *err)
{
    CLEANUP(freep) struct source_shape *sources = NULL;
    struct netdef_options known = net_state_options(state);
    CLEANUP(problems_release) struct problems ignored = {0};
    sources_look(net, &known, inputs, &ignored, &sources, &known.n_sources);
    known.sources = sources;
    return net_create(net, &known, options, ret_net, err);
}

static int64_t largest_layer_bytes(const struct netdef *def)
{
    int64_t largest = 0;
    for (int i = 0; i < def->n_layers; i++)
        largest = MAX(largest, layer_facts(def, i).parameter_bytes);
    return largest;
}

static int64_t largest_parameter_bytes(const struct netdef *def)
{
    int64_t largest = 0;
    for (int i = 0; i < def->n_params; i++)
        largest = MAX(largest, shape_count(&def->params[i].shape) * (int64_t)sizeof(float));
    return largest;
}

static int64_t running_bytes(const struct net *net)
{
    struct net_memory m = net_memory(net);
    return m.blobs + m.params + m.scratch + m.ahead + m.n_layers * LAYER_BYTES;
}

static int n_histories(const Caffe__SolverParameter *solver)
{
    const struct rule *rule;
    return solver && rule_find(solver, &rule, NULL) == OK ? rule->n_histories : 1;
}

static bool writes_snapshots(const Caffe__SolverParameter *solver)
{
    return !solver || solver->snapshot > 0 || solver->snapshot_after_train;
}

/* The states of all nets of the solver, planned together: test nets share the parameters of the train net. */
static enum status training_peak(const Caffe__NetParameter *net, const Caffe__SolverParameter *solver,
                                 struct input_shapes *inputs, const struct peak_options *how,
                                 int64_t *ret_bytes, int64_t *ret_layer_bytes, struct error *err)
{
    struct net_options options = {.threads = how->threads, .precision = how->precision, .plan_only = true};
    CLEANUP(net_freep) struct net *train = NULL;
    CLEANUP(net_state_release) struct net_state state = {0};
    solver_state_of(net, solver, -1, &state);
    TRY(plan(net, &state, inputs, &options, &train, err));
    int64_t bytes = running_bytes(train);
    if (solver && solver->iter_size > 1)
        bytes += net_memory(train).spare;
    options.share = train;
    options.inference = true;
    for (int i = 0; solver && i < (int)solver->n_test_iter; i++) {
        CLEANUP(net_freep) struct net *test = NULL;
        CLEANUP(net_state_release) struct net_state test_state = {0};
        solver_state_of(net, solver, i, &test_state);
        TRY(plan(net, &test_state, inputs, &options, &test, err));
        bytes += running_bytes(test);
    }
    int64_t histories = net_def(train)->parameter_bytes * n_histories(solver);
    /* A snapshot has one parameter, or its history, in the file's order at a time. */
    int64_t snapshot = largest_parameter_bytes(net_def(train));
    *ret_layer_bytes = largest_layer_bytes(net_def(train));
    *ret_bytes = process_bytes() + bytes + histories + (writes_snapshots(solver) ? snapshot : 0);
    return OK;
}

/*
 * While weights are read, one layer of the file and its values lie beside the
 * parameters; the blobs are not yet used.  The file has what was trained,
 * which may be more than the net for predictions has.
 */
static enum status inference_peak(const Caffe__NetParameter *net, const Caffe__SolverParameter *solver,
                                  struct input_shapes *inputs, const struct peak_options *how,
                                  int64_t trained_layer_bytes, int64_t *ret_bytes, struct error *err)
{
    const struct net_options options = {
        .threads = how->threads, .precision = how->precision, .plan_only = true, .inference = true};
    CLEANUP(net_freep) struct net *test = NULL;
    CLEANUP(net_state_release) struct net_state state = {0};
    solver_state_of(net, solver, 0, &state);
    TRY(plan(net, &state, inputs, &options, &test, err));
    int64_t layer = MAX(largest_layer_bytes(net_def(test)), trained_layer_bytes);
    int64_t reading = net_def(test)->parameter_bytes + 2 * layer;
    *ret_bytes = process_bytes() + MAX(running_bytes(test), reading);
    return OK;
}

enum status peak_estimate(const Caffe__NetParameter *net, const Caffe__SolverParameter *solver,
                          struct input_shapes *inputs, const struct peak_options *how, struct peak *ret_peak,
                          struct error *err)
{
    struct peak peak = {-1, -1};
    int64_t layer_bytes;
    TRY(training_peak(net, solver, inputs, how, &peak.training, &layer_bytes, err));
    TRY(inference_peak(net, solver, inputs, how, layer_bytes, &peak.inference, err));
    *ret_peak = peak;
    return OK;
}
