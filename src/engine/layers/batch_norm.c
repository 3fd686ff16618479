/*
 * batch_norm.c - each channel (axis 1) to mean 0 and variance 1
 *
 *   y = (x - mean) / sqrt(variance + eps)
 *
 * In training mean and variance are the batch's (the variance biased), and
 * the parameters gather them: 0 += mean, 1 += variance (unbiased), 2 += 1,
 * each after its old value was multiplied by moving_average_fraction.  In
 * testing, or with use_global_stats, they are parameters 0 and 1 divided by
 * parameter 2; when that is 0 both count as 0.
 */
#include <math.h>

#include "engine/layers/layer_util.h"
#include "engine/plan.h"

struct batch_norm {
    bool is_global;
    float fraction, eps;
    struct around of; /* x (outer, n channels, inner) */
};

static enum status batch_norm_setup(struct layer *l, struct error *err)
{
    (void)err;
    struct batch_norm *s = l->state;
    const Caffe__BatchNormParameter *p =
        LAYER_PARAM(l, Caffe__BatchNormParameter, batch_norm_param, CAFFE__BATCH_NORM_PARAMETER__INIT);
    const struct shape *shape = &l->bottoms[0].shape;
    s->is_global = p->has_use_global_stats ? p->use_global_stats : l->phase == CAFFE__PHASE__TEST;
    s->fraction = p->moving_average_fraction;
    s->eps = p->eps;
    s->of = shape->n_axes > 1 ? shape_around(shape, 1) : (struct around){(size_t)shape_count(shape), 1, 1};
    return OK;
}

/* The deviation of each channel is kept for backward. */
static enum status batch_norm_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    const struct batch_norm *s = l->state;
    plan_workspace(p, s->of.n * sizeof(float));
    if (s->is_global)
        plan_backward_needs(p, 0);
    return OK;
}

/* Sum over one channel of x, of (x - mean)^2, or of a * b. */
static double channel_sum(const struct around of, size_t c, const float *x)
{
    double sum = 0;
    for (size_t o = 0; o < of.outer; o++) {
        const float *row = x + (o * of.n + c) * of.inner;
#pragma omp simd reduction(+ : sum)
        for (size_t i = 0; i < of.inner; i++)
            sum += row[i];
    }
    return sum;
}

static double channel_squares(const struct around of, size_t c, const float *x, float mean)
{
    double sum = 0;
    for (size_t o = 0; o < of.outer; o++) {
        const float *row = x + (o * of.n + c) * of.inner;
#pragma omp simd reduction(+ : sum)
        for (size_t i = 0; i < of.inner; i++)
            sum += (double)(row[i] - mean) * (row[i] - mean);
    }
    return sum;
}

static double channel_product(const struct around of, size_t c, const float *a, const float *b)
{
    double sum = 0;
    for (size_t o = 0; o < of.outer; o++) {
        size_t at = (o * of.n + c) * of.inner;
#pragma omp simd reduction(+ : sum)
        for (size_t i = at; i < at + of.inner; i++)
            sum += (double)a[i] * b[i];
    }
    return sum;
}

static void normalise(const struct around of, size_t c, const float *x, float mean, float deviation, float *y)
{
    for (size_t o = 0; o < of.outer; o++) {
        size_t at = (o * of.n + c) * of.inner;
#pragma omp simd
        for (size_t i = at; i < at + of.inner; i++)
            y[i] = (x[i] - mean) / deviation;
    }
}

static enum status batch_norm_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct batch_norm *s = l->state;
    const struct around of = s->of;
    const float *x = l->bottoms[0].data;
    float *deviations = l->workspace;
    float *means = l->params[0]->data, *variances = l->params[1]->data, *weight = l->params[2]->data;
    float per_weight = *weight == 0 ? 0 : 1 / *weight;
    double m = (double)of.outer * (double)of.inner;
#pragma omp parallel for if (of.outer * of.n * of.inner >= 65536)
    for (size_t c = 0; c < of.n; c++) {
        float mean = means[c] * per_weight, variance = variances[c] * per_weight;
        if (!s->is_global) {
            mean = (float)(channel_sum(of, c, x) / m);
            variance = (float)(channel_squares(of, c, x, mean) / m);
            means[c] = means[c] * s->fraction + mean;
            variances[c] = variances[c] * s->fraction + (float)(m > 1 ? m / (m - 1) : 1) * variance;
        }
        deviations[c] = sqrtf(variance + s->eps);
        normalise(of, c, x, mean, deviations[c], l->tops[0].data);
    }
    if (!s->is_global) {
        *weight = *weight * s->fraction + 1;
        for (int i = 0; i < 3; i++)
            l->params[i]->version++;
    }
    return OK;
}

static void batch_norm_backward(struct layer *l)
{
    const struct batch_norm *s = l->state;
    const struct around of = s->of;
    const float *y = l->tops[0].data, *dy = l->tops[0].diff, *deviations = l->workspace;
    float *dx = l->bottoms[0].diff;
    double m = (double)of.outer * (double)of.inner;
    if (!dx)
        return;
#pragma omp parallel for if (of.outer * of.n * of.inner >= 65536)
    for (size_t c = 0; c < of.n; c++) {
        float mean = 0, along = 0;
        if (!s->is_global) {
            mean = (float)(channel_sum(of, c, dy) / m);
            along = (float)(channel_product(of, c, dy, y) / m);
        }
        for (size_t o = 0; o < of.outer; o++) {
            size_t at = (o * of.n + c) * of.inner;
            for (size_t i = at; i < at + of.inner; i++)
                dx[i] = (dy[i] - mean - (s->is_global ? 0 : y[i] * along)) / deviations[c];
        }
    }
}

const struct layer_ops layer_batch_norm = {
    .type = "BatchNorm",
    .state_size = sizeof(struct batch_norm),
    .backward_needs = NEEDS_TOP_DATA,
    .setup = batch_norm_setup,
    .plan = batch_norm_plan,
    .forward = batch_norm_forward,
    .backward = batch_norm_backward,
};
