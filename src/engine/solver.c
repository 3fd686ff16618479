/*
 * One iteration, in Caffe's order:
 *
 *   gradients to 0; tests, when due; iter_size times forward and backward;
 *   display; rate; update; snapshot, when due
 *
 * So "Iteration N" shows the loss before update N, and a snapshot's number
 * is that of the updates done.
 */
#include "engine/solver.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "engine/caffe_log.h"
#include "engine/solver_internal.h"

/* ---- making ---- */

char *solver_path(const struct solver *s, const char *path)
{
    if (path[0] == '/' || !s->options.folder)
        return xstrdup(path);
    return xasprintf("%s/%s", s->options.folder, path);
}

static int learnable_params(struct net *net, struct param **ret_params)
{
    int n = 0;
    for (int i = 0; i < net_n_params(net); i++) {
        struct param *p = net_param(net, i);
        if (p->def->owner == i)
            ret_params[n++] = p;
    }
    return n;
}

/* Images of one pass: the first axis of the first blob that comes from outside. */
static int64_t batch_size(const struct netdef *def)
{
    for (int i = 0; i < def->n_layers; i++) {
        const struct layer_def *layer = &def->layers[i];
        if (!layer->n_bottoms && layer->n_tops && def->blobs[layer->tops[0]].shape.n_axes > 0)
            return def->blobs[layer->tops[0]].shape.dim[0];
    }
    return 1;
}

static enum status solver_init(struct solver *s, struct error *err)
{
    const Caffe__SolverParameter *p = s->param;
    if (p->average_loss < 1)
        return error_set(err, INVALID, "average_loss must be at least 1, not %d", p->average_loss);
    TRY(optimizer_check(p, err));
    TRY(solver_check_prefix(s, err));
    TRY(solver_make_nets(s, err));
    int threads = s->options.threads > 0 ? s->options.threads : (int)sysconf(_SC_NPROCESSORS_ONLN);
    s->learnable = xcalloc((size_t)net_n_params(s->net) + 1, sizeof(*s->learnable));
    int n = learnable_params(s->net, s->learnable);
    s->optimizer = optimizer_new(p, s->learnable, n, threads);
    s->losses = xcalloc((size_t)p->average_loss, sizeof(*s->losses));
    s->batch = batch_size(net_def(s->net));
    caffe_log('I', "solver.cpp:57", "Solver scaffolding done.");
    return OK;
}

enum status solver_create(const struct solver_options *options, struct solver **ret_solver, struct error *err)
{
    CLEANUP(solver_freep) struct solver *s = xcalloc(1, sizeof(*s));
    s->options = *options;
    s->param = options->param;
    TRY(solver_init(s, err));
    *ret_solver = TAKE(s);
    return OK;
}

void solver_free(struct solver *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->n_tests; i++) {
        outputs_release(&s->tests[i].means);
        free(s->tests[i].before.bytes);
        net_free(s->tests[i].net);
    }
    free(s->tests);
    optimizer_free(s->optimizer);
    free(s->learnable);
    outputs_release(&s->outputs);
    net_free(s->net);
    free(s->losses);
    free(s->prefix);
    free(s);
}

void solver_freep(struct solver **s)
{
    solver_free(*s);
    *s = NULL;
}

struct net *solver_net(struct solver *s)
{
    return s->net;
}

int64_t solver_iteration(const struct solver *s)
{
    return s->iteration;
}

const struct outputs *solver_outputs(struct solver *s)
{
    outputs_read(&s->outputs, s->net);
    return &s->outputs;
}

/* ---- what was asked from outside ---- */

static enum status obey(struct solver *s, struct error *err)
{
    if (!s->options.watch.poll)
        return OK;
    switch (s->options.watch.poll(s->options.watch.context, s->is_testing)) {
    case SOLVER_SNAPSHOT:
        return solver_snapshot(s, err);
    case SOLVER_STOP:
        s->stop_asked = true;
        return OK;
    case SOLVER_GO_ON:
        break;
    }
    return OK;
}

/* ---- tests ---- */

static enum status run_test(struct solver *s, int number, struct error *err)
{
    struct test_net *test = &s->tests[number];
    int n_batches = s->param->test_iter[number];
    double loss = 0;
    if (s->param->debug_info)
        net_set_debug_info(test->net, true);
    caffe_log('I', "solver.cpp:347", "Iteration %lld, Testing net (#%d)", (long long)s->iteration, number);
    outputs_clear(&test->means);
    for (int i = 0; i < n_batches && !s->stop_asked; i++) {
        double batch_loss;
        if (net_forward(test->net, &batch_loss, err) != OK)
            return error_context(err, "test net %d", number);
        loss += batch_loss;
        outputs_add(&test->means, test->net);
        TRY(obey(s, err));
    }
    if (s->stop_asked) {
        caffe_log('I', "solver.cpp:396", "Test interrupted.");
        return OK;
    }
    if (!n_batches)
        return OK;
    if (s->param->test_compute_loss)
        caffe_log('I', "solver.cpp:401", "Test loss: " CAFFE_FLOAT, loss / n_batches);
    outputs_divide(&test->means, n_batches);
    outputs_log(&test->means, "solver.cpp:414", "    Test net output");
    if (s->options.watch.tested)
        s->options.watch.tested(s->options.watch.context, number, s->iteration, &test->means);
    return OK;
}

static enum status note_test_positions(struct solver *s, struct error *err)
{
    for (int i = 0; i < s->n_tests; i++) {
        struct state_position *before = &s->tests[i].before;
        free(TAKE(before->bytes));
        TRY(net_save_position(s->tests[i].net, &before->bytes, &before->size, err));
    }
    return OK;
}

static enum status run_tests(struct solver *s, struct error *err)
{
    TRY(note_test_positions(s, err));
    s->is_testing = true;
    enum status status = OK;
    for (int i = 0; i < s->n_tests && !s->stop_asked && status == OK; i++)
        status = run_test(s, i, err);
    /* After a stop the snapshot to come must still know where the test began. */
    s->is_testing = s->stop_asked;
    return status;
}

static bool is_due(int64_t iteration, int interval)
{
    return interval > 0 && iteration % interval == 0;
}

/* ---- training ---- */

static void smooth_loss(struct solver *s, double loss)
{
    int window = s->param->average_loss;
    if (s->n_losses < window) {
        s->losses[s->n_losses++] = loss;
        s->smoothed = (s->smoothed * (s->n_losses - 1) + loss) / s->n_losses;
        return;
    }
    int64_t at = (s->iteration - s->start) % window;
    s->smoothed += (loss - s->losses[at]) / window;
    s->losses[at] = loss;
}

static enum status check_loss(struct solver *s, double loss, struct error *err)
{
    if (isfinite(loss))
        return OK;
    bool is_parameter;
    int layer = net_find_not_finite(s->net, &is_parameter);
    if (layer >= 0)
        return error_set(err, INVALID,
                         "the loss is %g at iteration %lld: %s of layer '%s' are not finite; "
                         "a smaller base_lr may help",
                         loss, (long long)s->iteration, is_parameter ? "parameters" : "values",
                         net_def(s->net)->layers[layer].name);
    return error_set(err, INVALID, "the loss is %g at iteration %lld; a smaller base_lr may help", loss,
                     (long long)s->iteration);
}

/* Gradients of one iteration, and its loss smoothed. */
static enum status run_batches(struct solver *s, struct error *err)
{
    double sum = 0;
    for (int i = 0; i < s->param->iter_size; i++) {
        double loss;
        TRY(net_forward(s->net, &loss, err));
        TRY(check_loss(s, loss, err));
        net_backward(s->net);
        sum += loss;
        s->images += s->batch;
    }
    smooth_loss(s, sum / s->param->iter_size);
    return OK;
}

struct lap {
    double at_s;
    int64_t iteration;
};

/* Finer than clock_monotonic_ms: small nets do thousands of iterations a second. */
static double monotonic_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void show(struct solver *s, struct lap *lap)
{
    double now_s = monotonic_s();
    double seconds = now_s - lap->at_s;
    double per_second = (double)(s->iteration - lap->iteration) / (seconds > 0 ? seconds : 1);
    caffe_log('I', "solver.cpp:239",
              "Iteration %lld (" CAFFE_FLOAT " iter/s, " CAFFE_FLOAT "s/%d iters), loss = " CAFFE_FLOAT,
              (long long)s->iteration, per_second, seconds, s->param->display, s->smoothed);
    *lap = (struct lap){now_s, s->iteration};
    outputs_log(solver_outputs(s), "solver.cpp:258", "    Train net output");
}

static enum status run_iteration(struct solver *s, struct lap *lap, struct error *err)
{
    bool shown = is_due(s->iteration, s->param->display);
    if (s->param->debug_info)
        net_set_debug_info(s->net, shown);
    TRY(run_batches(s, err));
    if (shown)
        show(s, lap);
    float rate = optimizer_rate(s->optimizer, s->iteration);
    if (shown)
        caffe_log('I', "sgd_solver.cpp:112", "Iteration %lld, lr = " CAFFE_FLOAT, (long long)s->iteration,
                  rate);
    optimizer_update(s->optimizer, s->iteration, rate);
    s->iteration++;
    const struct solver_progress progress = {
        .iteration = s->iteration,
        .max_iterations = s->param->max_iter,
        .loss = s->smoothed,
        .rate = rate,
        .images = s->images,
        .displayed = shown,
    };
    if (s->options.watch.trained)
        s->options.watch.trained(s->options.watch.context, &progress);
    if (is_due(s->iteration, s->param->snapshot))
        TRY(solver_snapshot(s, err));
    return obey(s, err);
}

static enum status run_iterations(struct solver *s, struct error *err)
{
    struct lap lap = {monotonic_s(), s->iteration};
    s->start = s->iteration;
    s->n_losses = 0;
    s->smoothed = 0;
    while (s->iteration < s->param->max_iter && !s->stop_asked) {
        net_clear_diffs(s->net);
        if (is_due(s->iteration, s->param->test_interval) &&
            (s->iteration > 0 || s->param->test_initialization))
            TRY(run_tests(s, err));
        if (!s->stop_asked)
            TRY(run_iteration(s, &lap, err));
    }
    return OK;
}

/* After the last update: one more loss and one more test, when their turn has come. */
static enum status run_last_look(struct solver *s, struct error *err)
{
    if (is_due(s->iteration, s->param->display)) {
        double loss;
        TRY(net_forward(s->net, &loss, err));
        smooth_loss(s, loss);
        caffe_log('I', "solver.cpp:327", "Iteration %lld, loss = " CAFFE_FLOAT, (long long)s->iteration,
                  s->smoothed);
    }
    if (is_due(s->iteration, s->param->test_interval))
        TRY(run_tests(s, err));
    return OK;
}

enum status solver_solve(struct solver *s, struct error *err)
{
    caffe_log('I', "solver.cpp:289", "Solving %s", net_def(s->net)->name);
    caffe_log('I', "solver.cpp:290", "Learning Rate Policy: %s", s->param->lr_policy);
    s->stop_asked = s->is_testing = false;
    TRY(run_iterations(s, err));
    if (s->param->snapshot_after_train && !is_due(s->iteration, s->param->snapshot))
        TRY(solver_snapshot(s, err));
    if (s->stop_asked) {
        caffe_log('I', "solver.cpp:311", "Optimization stopped early.");
        return error_set(err, CANCELLED, "stopped at iteration %lld of %d", (long long)s->iteration,
                         s->param->max_iter);
    }
    TRY(run_last_look(s, err));
    caffe_log('I', "solver.cpp:332", "Optimization Done.");
    return OK;
}
