/* swish.c - y = x / (1 + exp(-beta * x)) */
#include <math.h>

#include "engine/elementwise.h"
#include "engine/layers/layer_util.h"

struct swish {
    float beta;
};

static inline float sigmoid(float x)
{
    return 0.5f * tanhf(0.5f * x) + 0.5f;
}

/* dy/dx = s + beta * x * s * (1 - s), s = sigmoid(beta * x); as Caffe, which reads x * s from the top. */
static inline float slope(float x, float y, float beta)
{
    return beta * y + sigmoid(beta * x) * (1 - beta * y);
}

static enum status swish_setup(struct layer *l, struct error *err)
{
    (void)err;
    ((struct swish *)l->state)->beta =
        LAYER_PARAM(l, Caffe__SwishParameter, swish_param, CAFFE__SWISH_PARAMETER__INIT)->beta;
    return OK;
}

static enum status swish_forward(struct layer *l, struct error *err)
{
    (void)err;
    float beta = ((const struct swish *)l->state)->beta;
    const float *x = l->bottoms[0].data;
    float *y = l->tops[0].data;
    ELEMENTWISE(i, l->tops[0].n_floats, y[i] = x[i] * sigmoid(beta * x[i]));
    return OK;
}

static void swish_backward(struct layer *l)
{
    float beta = ((const struct swish *)l->state)->beta;
    const float *x = l->bottoms[0].data, *y = l->tops[0].data, *dy = l->tops[0].diff;
    float *dx = l->bottoms[0].diff;
    if (dx)
        ELEMENTWISE(i, l->tops[0].n_floats, dx[i] = dy[i] * slope(x[i], y[i], beta));
}

const struct layer_ops layer_swish = {
    .type = "Swish",
    .state_size = sizeof(struct swish),
    .backward_needs = NEEDS_BOTTOM_DATA | NEEDS_TOP_BLOB,
    .any_representation = true,
    .keeps_bottom = true,
    .setup = swish_setup,
    .forward = swish_forward,
    .backward = swish_backward,
};
