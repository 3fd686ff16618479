/*
 * bias.c - y = x + b, with b repeated over the axes that it does not have
 *
 *   x (outer, n, inner), b (n): a parameter, or the second bottom
 */
#include <string.h>

#include "engine/layers/layer_util.h"

struct bias {
    struct around of;
};

static enum status bias_setup(struct layer *l, struct error *err)
{
    struct bias *s = l->state;
    const Caffe__BiasParameter *p =
        LAYER_PARAM(l, Caffe__BiasParameter, bias_param, CAFFE__BIAS_PARAMETER__INIT);
    const struct shape *x = &l->bottoms[0].shape;
    const struct shape *b = l->n_bottoms > 1 ? &l->bottoms[1].shape : &l->params[0]->def->shape;
    int axis = b->n_axes ? shape_axis(x, p->axis) : 0;
    if (axis < 0 || axis + b->n_axes > x->n_axes)
        return error_set(err, INVALID, "axis %d does not fit the bottom", p->axis);
    s->of = (struct around){
        .outer = (size_t)shape_count_range(x, 0, axis),
        .n = (size_t)shape_count(b),
        .inner = (size_t)shape_count_range(x, axis + b->n_axes, x->n_axes),
    };
    return OK;
}

static enum status bias_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct around of = ((const struct bias *)l->state)->of;
    const float *b = l->n_bottoms > 1 ? l->bottoms[1].data : l->params[0]->data;
    for (size_t r = 0; r < of.outer * of.n; r++) {
        const float *x = l->bottoms[0].data + r * of.inner;
        float *y = l->tops[0].data + r * of.inner;
        for (size_t i = 0; i < of.inner; i++)
            y[i] = x[i] + b[r % of.n];
    }
    return OK;
}

static void add_sums(const struct around of, const float *dy, float *sums)
{
    for (size_t r = 0; r < of.outer * of.n; r++) {
        float sum = 0;
        for (size_t i = 0; i < of.inner; i++)
            sum += dy[r * of.inner + i];
        sums[r % of.n] += sum;
    }
}

static void bias_backward(struct layer *l)
{
    const struct around of = ((const struct bias *)l->state)->of;
    const float *dy = l->tops[0].diff;
    if (l->n_bottoms == 1 && l->param_propagate_down[0])
        add_sums(of, dy, param_diff_add(l->params[0]));
    if (l->n_bottoms > 1 && l->bottoms[1].diff) {
        memset(l->bottoms[1].diff, 0, of.n * sizeof(float));
        add_sums(of, dy, l->bottoms[1].diff);
    }
    if (l->bottoms[0].diff && l->bottoms[0].diff != dy)
        memcpy(l->bottoms[0].diff, dy, of.outer * of.n * of.inner * sizeof(float));
}

const struct layer_ops layer_bias = {
    .type = "Bias",
    .state_size = sizeof(struct bias),
    .in_place = true,
    .setup = bias_setup,
    .forward = bias_forward,
    .backward = bias_backward,
};
