/*
 * mvn.c - each plane (or with across_channels each item) to mean 0 and,
 * with normalize_variance, deviation 1
 *
 *   y = (x - mean) / (deviation + eps): eps is added to the deviation, not to the variance
 */
#include <math.h>

#include "engine/layers/layer_util.h"
#include "engine/plan.h"

struct mvn {
    bool has_variance;
    float eps;
    size_t n, d; /* x (n, d) */
};

static enum status mvn_setup(struct layer *l, struct error *err)
{
    (void)err;
    struct mvn *s = l->state;
    const Caffe__MVNParameter *p = LAYER_PARAM(l, Caffe__MVNParameter, mvn_param, CAFFE__MVNPARAMETER__INIT);
    const struct shape *shape = &l->bottoms[0].shape;
    s->has_variance = p->normalize_variance;
    s->eps = p->eps;
    s->n = (size_t)shape_count_range(shape, 0, MIN(shape->n_axes, p->across_channels ? 1 : 2));
    s->d = s->n ? (size_t)shape_count(shape) / s->n : 0;
    return OK;
}

static enum status mvn_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    plan_workspace(p, ((const struct mvn *)l->state)->n * sizeof(float));
    return OK;
}

static enum status mvn_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct mvn *s = l->state;
    float *divisors = l->workspace;
    for (size_t r = 0; r < s->n; r++) {
        const float *x = l->bottoms[0].data + r * s->d;
        float *y = l->tops[0].data + r * s->d;
        double sum = 0, squares = 0;
        for (size_t i = 0; i < s->d; i++)
            sum += x[i];
        float mean = (float)(sum / (double)s->d);
        for (size_t i = 0; i < s->d; i++) {
            y[i] = x[i] - mean;
            squares += y[i] * y[i];
        }
        divisors[r] = s->has_variance ? (float)sqrt(squares / (double)s->d) + s->eps : 1;
        for (size_t i = 0; i < s->d; i++)
            y[i] /= divisors[r];
    }
    return OK;
}

static void mvn_backward(struct layer *l)
{
    const struct mvn *s = l->state;
    const float *divisors = l->workspace;
    for (size_t r = 0; l->bottoms[0].diff && r < s->n; r++) {
        const float *y = l->tops[0].data + r * s->d, *dy = l->tops[0].diff + r * s->d;
        float *dx = l->bottoms[0].diff + r * s->d;
        double sum = 0, product = 0;
        for (size_t i = 0; i < s->d; i++) {
            sum += dy[i];
            product += dy[i] * y[i];
        }
        float mean = (float)(sum / (double)s->d);
        float along = s->has_variance ? (float)(product / (double)s->d) : 0;
        for (size_t i = 0; i < s->d; i++)
            dx[i] = (dy[i] - mean - y[i] * along) / divisors[r];
    }
}

const struct layer_ops layer_mvn = {
    .type = "MVN",
    .state_size = sizeof(struct mvn),
    .backward_needs = NEEDS_TOP_BLOB,
    .setup = mvn_setup,
    .plan = mvn_plan,
    .forward = mvn_forward,
    .backward = mvn_backward,
};
