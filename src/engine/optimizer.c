#include "engine/optimizer.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/caffe_log.h"
#include "engine/solvers/rate.h"

struct optimizer {
    const Caffe__SolverParameter *param;
    const struct rule *rule;
    struct param **params;
    int n_params;
    int threads;
    int step;
    bool decay_is_l1;
    float **histories; /* n_params of the first kind, then of the second */
    float *steps;      /* with snapshot_diff: as large as the largest parameter */
    double *sums;      /* of squares, a chunk of SUM_CHUNK floats each */
};

enum { SUM_CHUNK = 16384 };

static bool decay_is_l1(const Caffe__SolverParameter *param)
{
    return !strcmp(param->regularization_type, "L1");
}

enum status optimizer_check(const Caffe__SolverParameter *param, struct error *err)
{
    const struct rule *rule;
    TRY(rule_find(param, &rule, err));
    TRY(rate_check(param, err));
    if (rule->check)
        TRY(rule->check(param, err));
    if (param->iter_size < 1)
        return error_set(err, INVALID, "iter_size must be at least 1, not %d", param->iter_size);
    if (!decay_is_l1(param) && strcmp(param->regularization_type, "L2"))
        return error_set(err, INVALID, "regularization_type '%s' is not known; known are L1, L2",
                         param->regularization_type);
    return OK;
}

struct optimizer *optimizer_new(const Caffe__SolverParameter *param, struct param **params, int n_params,
                                int threads)
{
    struct optimizer *o = xcalloc(1, sizeof(*o));
    o->param = param;
    rule_find(param, &o->rule, NULL);
    o->params = params;
    o->n_params = n_params;
    o->threads = MAX(threads, 1);
    o->decay_is_l1 = decay_is_l1(param);
    o->histories = xcalloc((size_t)optimizer_n_histories(o) + 1, sizeof(*o->histories));
    size_t largest = 0;
    for (int i = 0; i < optimizer_n_histories(o); i++) {
        size_t n = params[i % n_params]->n_floats;
        o->histories[i] = xcalloc(n + 1, sizeof(float));
        largest = MAX(largest, n);
    }
    if (param->snapshot_diff)
        o->steps = xcalloc(largest + 1, sizeof(float));
    o->sums = xcalloc(largest / SUM_CHUNK + 1, sizeof(*o->sums));
    return o;
}

void optimizer_free(struct optimizer *o)
{
    if (!o)
        return;
    for (int i = 0; i < optimizer_n_histories(o); i++)
        free(o->histories[i]);
    free(o->histories);
    free(o->steps);
    free(o->sums);
    free(o);
}

void optimizer_freep(struct optimizer **o)
{
    optimizer_free(*o);
    *o = NULL;
}

int optimizer_step(const struct optimizer *o)
{
    return o->step;
}

void optimizer_set_step(struct optimizer *o, int step)
{
    o->step = step;
}

int optimizer_n_histories(const struct optimizer *o)
{
    return o->n_params * o->rule->n_histories;
}

const struct param *optimizer_history_param(const struct optimizer *o, int index)
{
    return o->params[index % o->n_params];
}

float *optimizer_history(struct optimizer *o, int index)
{
    return o->histories[index];
}

float optimizer_rate(struct optimizer *o, int64_t iteration)
{
    int before = o->step;
    float rate = rate_at(o->param, iteration, &o->step);
    if (o->step != before && !strcmp(o->param->lr_policy, "multistep"))
        caffe_log('I', "sgd_solver.cpp:49", "MultiStep Status: Iteration %lld, step = %d",
                  (long long)iteration, o->step);
    return rate;
}

/* In chunks of fixed size, added in order, so that the bits do not depend on the number of threads. */
static double sum_of_squares(struct optimizer *o, const struct param *p)
{
    size_t n_chunks = (p->n_floats + SUM_CHUNK - 1) / SUM_CHUNK;
#pragma omp parallel for schedule(static) num_threads(o->threads) if (p->n_floats > RULE_PARALLEL_FLOATS)
    for (size_t c = 0; c < n_chunks; c++) {
        const float *diff = p->diff + c * SUM_CHUNK;
        size_t n = MIN((size_t)SUM_CHUNK, p->n_floats - c * SUM_CHUNK);
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t i = 0; i < n; i++)
            sum += (double)diff[i] * diff[i];
        o->sums[c] = sum;
    }
    double total = 0;
    for (size_t c = 0; c < n_chunks; c++)
        total += o->sums[c];
    return total;
}

/* Factor that brings the norm of all gradients together down to clip_gradients. */
static float clip_factor(struct optimizer *o)
{
    float limit = o->param->clip_gradients;
    if (limit < 0)
        return 1;
    double total = 0;
    for (int i = 0; i < o->n_params; i++)
        total += sum_of_squares(o, o->params[i]);
    float norm = (float)sqrt(total);
    if (!(norm > limit))
        return 1;
    float factor = limit / norm;
    caffe_log('I', "sgd_solver.cpp:92",
              "Gradient clipping: scaling down gradients (L2 norm " CAFFE_FLOAT " > " CAFFE_FLOAT
              ") by scale factor " CAFFE_FLOAT,
              norm, limit, factor);
    return factor;
}

/*
 * The rule applied to a copy that starts at 0, so that the step itself can be
 * kept in diff, where Caffe leaves it for snapshot_diff.
 */
static void update_keeping_step(struct optimizer *o, const struct rule *rule, struct param *p,
                                struct update u)
{
    for (size_t i = 0; i < p->n_floats; i++)
        p->diff[i] = update_gradient(&u, i);
    memset(o->steps, 0, p->n_floats * sizeof(float));
    u.data = o->steps;
    u.scale = 1;
    u.decay = u.decay_sign = 0;
    rule->update(&u);
    for (size_t i = 0; i < p->n_floats; i++) {
        p->diff[i] = -o->steps[i];
        p->data[i] -= p->diff[i];
    }
}

void optimizer_update(struct optimizer *o, int64_t iteration, float rate)
{
    const Caffe__SolverParameter *s = o->param;
    for (int i = 0; i < o->n_params; i++)
        param_diff_add(o->params[i]);
    float scale = clip_factor(o) / (float)s->iter_size;
    for (int i = 0; i < o->n_params; i++) {
        struct param *p = o->params[i];
        float decay = s->weight_decay * (float)p->def->decay_mult;
        struct update u = {
            .n = p->n_floats,
            .data = p->data,
            .diff = p->diff,
            .scale = scale,
            .decay = o->decay_is_l1 ? 0 : decay,
            .decay_sign = o->decay_is_l1 ? decay : 0,
            .rate = rate * (float)p->def->lr_mult,
            .momentum = s->momentum,
            .momentum2 = s->momentum2,
            .rms_decay = s->rms_decay,
            /* Padding holds zeros and stays so: 0 / 0 must not happen there. */
            .delta = s->delta > 0 ? s->delta : FLT_MIN,
            .iteration = iteration,
            .threads = o->threads,
        };
        for (int h = 0; h < o->rule->n_histories; h++)
            u.history[h] = o->histories[h * o->n_params + i];
        if (o->steps)
            update_keeping_step(o, o->rule, p, u);
        else
            o->rule->update(&u);
        p->version++;
    }
}
