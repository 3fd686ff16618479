/* tanh.c - y = tanh(x) */
#include <math.h>

#include "engine/elementwise.h"
#include "engine/layer.h"

static enum status tanh_forward(struct layer *l, struct error *err)
{
    (void)err;
    const float *x = l->bottoms[0].data;
    float *y = l->tops[0].data;
    ELEMENTWISE(i, l->tops[0].n_floats, y[i] = tanhf(x[i]));
    return OK;
}

static void tanh_backward(struct layer *l)
{
    float *dx = l->bottoms[0].diff;
    if (!dx)
        return;
    const float *y = l->tops[0].data;
    const float *dy = l->tops[0].diff;
    ELEMENTWISE(i, l->tops[0].n_floats, dx[i] = dy[i] * (1 - y[i] * y[i]));
}

const struct layer_ops layer_tanh = {
    .type = "TanH",
    .backward_needs = NEEDS_TOP_BLOB,
    .any_representation = true,
    .forward = tanh_forward,
    .backward = tanh_backward,
};
