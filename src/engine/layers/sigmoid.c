/* sigmoid.c - y = 1 / (1 + exp(-x)) */
#include <math.h>

#include "engine/elementwise.h"
#include "engine/layer.h"

static enum status sigmoid_forward(struct layer *l, struct error *err)
{
    (void)err;
    const float *x = l->bottoms[0].data;
    float *y = l->tops[0].data;
    ELEMENTWISE(i, l->tops[0].n_floats, y[i] = 0.5f * tanhf(0.5f * x[i]) + 0.5f);
    return OK;
}

static void sigmoid_backward(struct layer *l)
{
    float *dx = l->bottoms[0].diff;
    if (!dx)
        return;
    const float *y = l->tops[0].data;
    const float *dy = l->tops[0].diff;
    ELEMENTWISE(i, l->tops[0].n_floats, dx[i] = dy[i] * y[i] * (1 - y[i]));
}

const struct layer_ops layer_sigmoid = {
    .type = "Sigmoid",
    .backward_needs = NEEDS_TOP_BLOB,
    .in_place = true,
    .forward = sigmoid_forward,
    .backward = sigmoid_backward,
};
