/*
 * prelu.c - y = x for x > 0, a[c] * x otherwise, with a learned slope a for
 * each channel (axis 1), or one for all with channel_shared.
 */
#include "engine/layers/layer_util.h"

struct prelu {
    struct around of; /* axis 1; with channel_shared all channels count as one */
};

static enum status prelu_setup(struct layer *l, struct error *err)
{
    (void)err;
    struct prelu *s = l->state;
    bool shared =
        LAYER_PARAM(l, Caffe__PReLUParameter, prelu_param, CAFFE__PRE_LUPARAMETER__INIT)->channel_shared;
    s->of = shared ? (struct around){1, 1, (size_t)shape_count(&l->bottoms[0].shape)}
                   : shape_around(&l->bottoms[0].shape, 1);
    return OK;
}

static enum status prelu_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct around of = ((const struct prelu *)l->state)->of;
    const float *slopes = l->params[0]->data;
#pragma omp parallel for if (of.outer * of.n * of.inner >= 65536)
    for (size_t r = 0; r < of.outer * of.n; r++) {
        const float *x = l->bottoms[0].data + r * of.inner;
        float *y = l->tops[0].data + r * of.inner;
        float slope = slopes[r % of.n];
#pragma omp simd
        for (size_t i = 0; i < of.inner; i++)
            y[i] = x[i] > 0 ? x[i] : slope * x[i];
    }
    return OK;
}

static void add_slope_gradients(struct layer *l, const struct around of)
{
    float *gradients = param_diff_add(l->params[0]);
    for (size_t r = 0; r < of.outer * of.n; r++) {
        const float *x = l->bottoms[0].data + r * of.inner;
        const float *dy = l->tops[0].diff + r * of.inner;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t i = 0; i < of.inner; i++)
            sum += x[i] > 0 ? 0 : x[i] * dy[i];
        gradients[r % of.n] += sum;
    }
}

static void prelu_backward(struct layer *l)
{
    const struct around of = ((const struct prelu *)l->state)->of;
    const float *slopes = l->params[0]->data;
    if (l->param_propagate_down[0])
        add_slope_gradients(l, of);
    if (!l->bottoms[0].diff)
        return;
#pragma omp parallel for if (of.outer * of.n * of.inner >= 65536)
    for (size_t r = 0; r < of.outer * of.n; r++) {
        const float *x = l->bottoms[0].data + r * of.inner;
        const float *dy = l->tops[0].diff + r * of.inner;
        float *dx = l->bottoms[0].diff + r * of.inner;
        float slope = slopes[r % of.n];
#pragma omp simd
        for (size_t i = 0; i < of.inner; i++)
            dx[i] = x[i] > 0 ? dy[i] : slope * dy[i];
    }
}

const struct layer_ops layer_prelu = {
    .type = "PReLU",
    .state_size = sizeof(struct prelu),
    .backward_needs = NEEDS_BOTTOM_DATA,
    .in_place = true,
    .keeps_bottom = true,
    .setup = prelu_setup,
    .forward = prelu_forward,
    .backward = prelu_backward,
};
