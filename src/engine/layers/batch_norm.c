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
 *
 * A Scale and a ReLU that follow are done here in the same passes over
 * memory, forward and backward: after the statistics one pass writes the top,
 * after the sums of the gradient one pass writes the bottom's.
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
    const struct layer *scale; /* taken over; NULL: none */
    bool is_rectified;         /* a ReLU was taken over */
};

/* Of each channel, kept for backward: y = (x - shift) * factor + add, where inverse is 1 / deviation. */
struct kept {
    float *shift, *inverse, *factor, *add;
};

static struct kept kept_values(const struct layer *l)
{
    size_t n = ((const struct batch_norm *)l->state)->of.n_padded;
    float *values = l->workspace;
    return (struct kept){values, values + n, values + 2 * n, values + 3 * n};
}

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
    plan_workspace(p, 4 * s->of.n_padded * sizeof(float));
    plan_scratch(p, channels_scratch(&s->of));
    s->scale = plan_take_change(p);
    s->is_rectified = plan_take_relu_both_ways(p);
    if (s->is_global && !s->scale && !s->is_rectified)
        plan_backward_needs(p, 0);
    return OK;
}

/* Mean (shift) and deviation of this batch, which the parameters gather. */
static void use_batch(struct layer *l, const struct kept *kept)
{
    const struct batch_norm *s = l->state;
    const struct channel_values each = channels_values(&s->of, l->scratch);
    float *means = l->params[0]->data, *variances = l->params[1]->data, *weight = l->params[2]->data;
    double m = (double)s->of.items * (double)s->of.inner;
    channels_first(&s->of, l->bottoms[0].data, kept->shift);
    channels_moments(&s->of, l->bottoms[0].data, kept->shift, each.sums, each.products, l->scratch);
    for (size_t c = 0; c < s->of.n; c++) {
        double off = each.sums[c] / m, variance = MAX(each.products[c] / m - off * off, 0.0);
        kept->shift[c] += (float)off;
        means[c] = means[c] * s->fraction + kept->shift[c];
        variances[c] = variances[c] * s->fraction + (float)(m > 1 ? m / (m - 1) : 1) * (float)variance;
        kept->inverse[c] = 1 / sqrtf((float)variance + s->eps);
    }
    *weight = *weight * s->fraction + 1;
    for (int i = 0; i < 3; i++)
        l->params[i]->version++;
}

static void use_gathered(struct layer *l, const struct kept *kept)
{
    const struct batch_norm *s = l->state;
    const float *means = l->params[0]->data, *variances = l->params[1]->data, *weight = l->params[2]->data;
    float per_weight = *weight == 0 ? 0 : 1 / *weight;
    for (size_t c = 0; c < s->of.n; c++) {
        kept->shift[c] = means[c] * per_weight;
        kept->inverse[c] = 1 / sqrtf(variances[c] * per_weight + s->eps);
    }
}

static struct channel_change change_of(const struct batch_norm *s, const struct kept *kept)
{
    return (struct channel_change){kept->shift, kept->factor, kept->add, s->is_rectified};
}

static enum status batch_norm_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct batch_norm *s = l->state;
    const struct kept kept = kept_values(l);
    const struct channel_change change = change_of(s, &kept);
    memset(l->workspace, 0, 4 * s->of.n_padded * sizeof(float));
    if (s->is_global)
        use_gathered(l, &kept);
    else
        use_batch(l, &kept);
    for (size_t c = 0; c < s->of.n; c++)
        kept.factor[c] = 1;
    if (s->scale)
        s->scale->ops->fold(s->scale, kept.factor, kept.add);
    for (size_t c = 0; c < s->of.n; c++)
        kept.factor[c] *= kept.inverse[c];
    channels_affine(&s->of, &change, l->bottoms[0].data, l->tops[0].data);
    return OK;
}

/*
 * With y = (x - mean) / deviation * a + b, g the gradient of y and u = x - mean:
 *   dx = a / deviation * (g - mean of g - u / variance * mean of g * u)
 * without the means when the statistics are fixed.
 */
static void batch_norm_backward(struct layer *l)
{
    const struct batch_norm *s = l->state;
    const struct kept kept = kept_values(l);
    const struct channel_change change = change_of(s, &kept);
    const struct channel_values each = channels_values(&s->of, l->scratch);
    const float *x = l->bottoms[0].data, *dy = l->tops[0].diff;
    float *dx = l->bottoms[0].diff;
    double m = (double)s->of.items * (double)s->of.inner;
    if (s->scale || (dx && !s->is_global)) {
        channels_gradient_sums(&s->of, &change, x, dy, each.sums, each.products, l->scratch);
        for (size_t c = 0; c < s->of.n; c++)
            each.products[c] *= kept.inverse[c];
    }
    if (s->scale)
        s->scale->ops->learn(s->scale, each.sums, each.products);
    if (!dx)
        return;
    if (s->is_global && !s->is_rectified) {
        const struct channel_change multiply = {each.shift, kept.factor, each.add, false};
        channels_affine(&s->of, &multiply, dy, dx);
        return;
    }
    for (size_t c = 0; c < s->of.n && !s->is_global; c++) {
        each.factor[c] = -(float)(each.products[c] / m) * kept.inverse[c] * kept.factor[c];
        each.add[c] = -(float)(each.sums[c] / m) * kept.factor[c];
    }
    channels_gradient(&s->of, &change, x, dy, each.factor, each.add, dx);
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
    .backward_needs = NEEDS_BOTTOM_DATA,
    .gradient_in_place = true,
    .setup = batch_norm_setup,
    .plan = batch_norm_plan,
    .forward = batch_norm_forward,
    .folds = batch_norm_folds,
    .fold = batch_norm_fold,
    .backward = batch_norm_backward,
};
