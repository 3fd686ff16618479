/*
 * scale.c - y = x * a (+ b), with a and b repeated over the axes that they do
 * not have.
 *
 *   x (outer, n, inner), a (n), b (n)
 *
 * a is a parameter, or the second bottom; b, with bias_term, is a parameter.
 * Parameters of one value a channel (axis 1) work in the layout in which x lies.
 */
#include <string.h>

#include "engine/layers/channels.h"
#include "engine/layers/layer_util.h"
#include "engine/plan.h"

struct scale {
    struct around of;
    bool has_bias;
    bool by_channel; /* a and b are (C) of x (N,C,...) */
    struct channels channels;
};

static enum status scale_setup(struct layer *l, struct error *err)
{
    struct scale *s = l->state;
    const Caffe__ScaleParameter *p =
        LAYER_PARAM(l, Caffe__ScaleParameter, scale_param, CAFFE__SCALE_PARAMETER__INIT);
    const struct shape *x = &l->bottoms[0].shape;
    const struct shape *a = l->n_bottoms > 1 ? &l->bottoms[1].shape : &l->params[0]->def->shape;
    int axis = a->n_axes ? shape_axis(x, p->axis) : 0;
    if (axis < 0 || axis + a->n_axes > x->n_axes)
        return error_set(err, INVALID, "axis %d does not fit the bottom", p->axis);
    s->of = (struct around){
        .outer = (size_t)shape_count_range(x, 0, axis),
        .n = (size_t)shape_count(a),
        .inner = (size_t)shape_count_range(x, axis + a->n_axes, x->n_axes),
    };
    s->has_bias = p->bias_term;
    s->by_channel = l->n_bottoms == 1 && axis == 1 && a->n_axes == 1;
    return OK;
}

/* ---- a value for each channel, any layout ---- */

static enum status scale_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    struct scale *s = l->state;
    if (!s->by_channel)
        return OK;
    dnnl_memory_desc_t desc = *plan_bottom_desc(p, 0);
    if (!channels_has_layout(&desc))
        desc_plain(&l->bottoms[0].shape, &desc);
    channels_init(&s->channels, &l->bottoms[0].shape, &desc);
    plan_bottom(p, 0, &desc);
    plan_top(p, 0, &desc);
    plan_scratch(p, channels_scratch(&s->channels));
    return OK;
}

static void channels_forward(struct layer *l)
{
    const struct scale *s = l->state;
    const struct channel_values each = channels_values(&s->channels, l->scratch);
    const struct channel_change change = {each.shift, each.factor, each.add, false};
    memcpy(each.factor, l->params[0]->data, s->channels.n * sizeof(float));
    if (s->has_bias)
        memcpy(each.add, l->params[1]->data, s->channels.n * sizeof(float));
    channels_affine(&s->channels, &change, l->bottoms[0].data, l->tops[0].data);
}

static bool bias_learns(const struct layer *l)
{
    return ((const struct scale *)l->state)->has_bias && l->param_propagate_down[1];
}

static void add_to_diff(struct param *p, const double *sums)
{
    float *diff = param_diff_add(p);
    for (size_t i = 0; i < p->n_floats; i++)
        diff[i] += (float)sums[i];
}

static void scale_learn(const struct layer *l, const double *sums, const double *products)
{
    if (bias_learns(l))
        add_to_diff(l->params[1], sums);
    if (l->param_propagate_down[0])
        add_to_diff(l->params[0], products);
}

static void channels_backward(struct layer *l)
{
    const struct scale *s = l->state;
    const struct channel_values each = channels_values(&s->channels, l->scratch);
    const struct channel_change change = {each.shift, each.factor, each.add, false};
    memcpy(each.factor, l->params[0]->data, s->channels.n * sizeof(float));
    const float *dy = l->tops[0].diff;
    if (bias_learns(l) || l->param_propagate_down[0])
        channels_gradient_sums(&s->channels, &change, l->bottoms[0].data, dy, each.sums, each.products,
                               l->scratch);
    scale_learn(l, each.sums, each.products);
    if (l->bottoms[0].diff)
        channels_affine(&s->channels, &change, dy, l->bottoms[0].diff);
}

/* ---- any axes, plain ---- */

static const float *scale_values(const struct layer *l)
{
    return l->n_bottoms > 1 ? l->bottoms[1].data : l->params[0]->data;
}

static struct param *bias_param(const struct layer *l)
{
    return ((const struct scale *)l->state)->has_bias ? l->params[l->n_bottoms > 1 ? 0 : 1] : NULL;
}

static enum status scale_forward(struct layer *l, struct error *err)
{
    (void)err;
    if (((const struct scale *)l->state)->by_channel) {
        channels_forward(l);
        return OK;
    }
    const struct around of = ((const struct scale *)l->state)->of;
    const float *scales = scale_values(l);
    const struct param *bias = bias_param(l);
#pragma omp parallel for if (of.outer * of.n * of.inner >= 65536)
    for (size_t r = 0; r < of.outer * of.n; r++) {
        const float *x = l->bottoms[0].data + r * of.inner;
        float *y = l->tops[0].data + r * of.inner;
        float a = scales[r % of.n], b = bias ? bias->data[r % of.n] : 0;
#pragma omp simd
        for (size_t i = 0; i < of.inner; i++)
            y[i] = a * x[i] + b;
    }
    return OK;
}

/* Sum of dy, times x when there is one, over all that shares each element of a parameter; added to sums. */
static void add_sums(const struct around of, const float *dy, const float *x, float *sums)
{
#pragma omp parallel for if (of.outer * of.n * of.inner >= 65536)
    for (size_t c = 0; c < of.n; c++) {
        float sum = 0;
        for (size_t o = 0; o < of.outer; o++) {
            size_t from = (o * of.n + c) * of.inner;
#pragma omp simd reduction(+ : sum)
            for (size_t i = from; i < from + of.inner; i++)
                sum += x ? dy[i] * x[i] : dy[i];
        }
        sums[c] += sum;
    }
}

static void scale_backward(struct layer *l)
{
    if (((const struct scale *)l->state)->by_channel) {
        channels_backward(l);
        return;
    }
    const struct around of = ((const struct scale *)l->state)->of;
    const float *x = l->bottoms[0].data, *dy = l->tops[0].diff, *scales = scale_values(l);
    struct param *bias = bias_param(l);
    if (bias && l->param_propagate_down[l->n_params - 1])
        add_sums(of, dy, NULL, param_diff_add(bias));
    if (l->n_bottoms == 1 && l->param_propagate_down[0])
        add_sums(of, dy, x, param_diff_add(l->params[0]));
    if (l->n_bottoms > 1 && l->bottoms[1].diff) {
        for (size_t c = 0; c < of.n; c++)
            l->bottoms[1].diff[c] = 0;
        add_sums(of, dy, x, l->bottoms[1].diff);
    }
    if (!l->bottoms[0].diff)
        return;
#pragma omp parallel for if (of.outer * of.n * of.inner >= 65536)
    for (size_t r = 0; r < of.outer * of.n; r++) {
        float *dx = l->bottoms[0].diff + r * of.inner;
        const float *g = dy + r * of.inner;
        float a = scales[r % of.n];
#pragma omp simd
        for (size_t i = 0; i < of.inner; i++)
            dx[i] = a * g[i];
    }
}

static bool scale_folds(const struct layer *l)
{
    return ((const struct scale *)l->state)->by_channel;
}

static void scale_fold(const struct layer *l, float *factor, float *add)
{
    const struct scale *s = l->state;
    for (int c = 0; c < l->bottoms[0].shape.dim[1]; c++) {
        factor[c] *= l->params[0]->data[c];
        add[c] = add[c] * l->params[0]->data[c] + (s->has_bias ? l->params[1]->data[c] : 0);
    }
}

const struct layer_ops layer_scale = {
    .type = "Scale",
    .state_size = sizeof(struct scale),
    .backward_needs = NEEDS_BOTTOM_DATA,
    .setup = scale_setup,
    .plan = scale_plan,
    .forward = scale_forward,
    .folds = scale_folds,
    .fold = scale_fold,
    .learn = scale_learn,
    .backward = scale_backward,
};
