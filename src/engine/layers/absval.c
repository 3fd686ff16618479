/* absval.c - y = |x| */
#include <math.h>

#include "engine/elementwise.h"
#include "engine/layer.h"

static enum status absval_forward(struct layer *l, struct error *err)
{
    (void)err;
    const float *x = l->bottoms[0].data;
    float *y = l->tops[0].data;
    ELEMENTWISE(i, l->tops[0].n_floats, y[i] = fabsf(x[i]));
    return OK;
}

static void absval_backward(struct layer *l)
{
    float *dx = l->bottoms[0].diff;
    if (!dx)
        return;
    const float *x = l->bottoms[0].data;
    const float *dy = l->tops[0].diff;
    ELEMENTWISE(i, l->tops[0].n_floats, dx[i] = x[i] > 0 ? dy[i] : x[i] < 0 ? -dy[i] : 0);
}

const struct layer_ops layer_absval = {
    .type = "AbsVal",
    .backward_needs = NEEDS_BOTTOM_DATA,
    .any_representation = true,
    .forward = absval_forward,
    .backward = absval_backward,
};
