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
#include <string.h>

#include "engine/layers/channels.h"
#include "engine/layers/layer_util.h"
#include "engine/plan.h"

struct batch_norm {
    bool is_global;
    float fraction, eps;
    struct channels of;
};

static enum status batch_norm_setup(struct layer *l, struct error *err)
{
    (void)err;
    struct batch_norm *s = l->state;
    const Caffe__BatchNormParameter *p =
        LAYER_PARAM(l, Caffe__BatchNormParameter, batch_norm_param, CAFFE__BATCH_NORM_PARAMETER__INIT);
    s->is_global = p->has_use_global_stats ? p->use_global_stats : l->phase == CAFFE__PHASE__TEST;
    s->fraction = p->moving_average_fraction;
    s->eps = p->eps;
    return OK;
}

/* What a pass needs for each channel, in the scratch memory behind that of the sums. */
struct per_channel {
    double *sums, *products;
    float *shift, *factor, *add;
};

static size_t per_channel_bytes(const struct channels *of)
{
    return channels_scratch(of) + of->n_padded * (2 * sizeof(double) + 3 * sizeof(float));
}

static struct per_channel per_channel(const struct layer *l)
{
    const struct channels *of = &((const struct batch_norm *)l->state)->of;
    size_t n = of->n_padded;
    double *sums = (double *)((char *)l->scratch + channels_scratch(of));
    float *floats = (float *)(sums + 2 * n);
    memset(floats, 0, 3 * n * sizeof(float));
    return (struct per_channel){sums, sums + n, floats, floats + n, floats + 2 * n};
}

/* The workspace is 1 / deviation of each channel, kept for backward. */
static enum status batch_norm_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    struct batch_norm *s = l->state;
    dnnl_memory_desc_t desc = *plan_bottom_desc(p, 0);
    if (!channels_has_layout(&desc))
        desc_plain(&l->bottoms[0].shape, &desc);
    channels_init(&s->of, &l->bottoms[0].shape, &desc);
    plan_bottom(p, 0, &desc);
    plan_top(p, 0, &desc);
    plan_workspace(p, s->of.n_padded * sizeof(float));
    plan_scratch(p, per_channel_bytes(&s->of));
    if (s->is_global)
        plan_backward_needs(p, 0);
    return OK;
}

/* Mean (shift) and deviation of this batch, which the parameters gather. */
static void use_batch(struct layer *l, const struct per_channel *each, float *inverse)
{
    const struct batch_norm *s = l->state;
    float *means = l->params[0]->data, *variances = l->params[1]->data, *weight = l->params[2]->data;
    double m = (double)s->of.items * (double)s->of.inner;
    channels_first(&s->of, l->bottoms[0].data, each->shift);
    channels_moments(&s->of, l->bottoms[0].data, each->shift, each->sums, each->products, l->scratch);
    for (size_t c = 0; c < s->of.n; c++) {
        double off = each->sums[c] / m, variance = MAX(each->products[c] / m - off * off, 0.0);
        each->shift[c] += (float)off;
        means[c] = means[c] * s->fraction + each->shift[c];
        variances[c] = variances[c] * s->fraction + (float)(m > 1 ? m / (m - 1) : 1) * (float)variance;
        inverse[c] = 1 / sqrtf((float)variance + s->eps);
    }
    *weight = *weight * s->fraction + 1;
    for (int i = 0; i < 3; i++)
        l->params[i]->version++;
}

static void use_gathered(struct layer *l, const struct per_channel *each, float *inverse)
{
    const struct batch_norm *s = l->state;
    const float *means = l->params[0]->data, *variances = l->params[1]->data, *weight = l->params[2]->data;
    float per_weight = *weight == 0 ? 0 : 1 / *weight;
    for (size_t c = 0; c < s->of.n; c++) {
        each->shift[c] = means[c] * per_weight;
        inverse[c] = 1 / sqrtf(variances[c] * per_weight + s->eps);
    }
}

static enum status batch_norm_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct batch_norm *s = l->state;
    float *inverse = l->workspace;
    const struct per_channel each = per_channel(l);
    memset(inverse, 0, s->of.n_padded * sizeof(float));
    if (s->is_global)
        use_gathered(l, &each, inverse);
    else
        use_batch(l, &each, inverse);
    channels_affine(&s->of, l->bottoms[0].data, each.shift, inverse, each.add, l->tops[0].data);
    return OK;
}

/* dx = (dy - mean of dy - y * mean of dy * y) / deviation; without the means when the statistics are fixed.
 */
static void batch_norm_backward(struct layer *l)
{
    const struct batch_norm *s = l->state;
    const float *y = l->tops[0].data, *dy = l->tops[0].diff, *inverse = l->workspace;
    float *dx = l->bottoms[0].diff;
    double m = (double)s->of.items * (double)s->of.inner;
    if (!dx)
        return;
    const struct per_channel each = per_channel(l);
    if (s->is_global) {
        channels_affine(&s->of, dy, each.shift, inverse, each.add, dx);
        return;
    }
    channels_products(&s->of, dy, y, each.sums, each.products, l->scratch);
    for (size_t c = 0; c < s->of.n; c++) {
        each.factor[c] = -(float)(each.products[c] / m) * inverse[c];
        each.add[c] = -(float)(each.sums[c] / m) * inverse[c];
    }
    channels_combine(&s->of, dy, inverse, y, each.factor, each.add, dx);
}

static bool batch_norm_folds(const struct layer *l)
{
    return ((const struct batch_norm *)l->state)->is_global && l->bottoms[0].shape.n_axes > 1;
}

static void batch_norm_fold(const struct layer *l, float *factor, float *add)
{
    const struct batch_norm *s = l->state;
    const float *means = l->params[0]->data, *variances = l->params[1]->data, *weight = l->params[2]->data;
    float per_weight = *weight == 0 ? 0 : 1 / *weight;
    for (int c = 0; c < l->bottoms[0].shape.dim[1]; c++) {
        float inverse = 1 / sqrtf(variances[c] * per_weight + s->eps);
        factor[c] *= inverse;
        add[c] = (add[c] - means[c] * per_weight) * inverse;
    }
}

const struct layer_ops layer_batch_norm = {
    .type = "BatchNorm",
    .state_size = sizeof(struct batch_norm),
    .backward_needs = NEEDS_TOP_DATA,
    .setup = batch_norm_setup,
    .plan = batch_norm_plan,
    .forward = batch_norm_forward,
    .folds = batch_norm_folds,
    .fold = batch_norm_fold,
    .backward = batch_norm_backward,
};
