/* bnll.c - y = log(1 + exp(x)), the binomial normal log likelihood */
#include <math.h>

#include "engine/elementwise.h"
#include "engine/layer.h"

static enum status bnll_forward(struct layer *l, struct error *err)
{
    (void)err;
    const float *x = l->bottoms[0].data;
    float *y = l->tops[0].data;
    ELEMENTWISE(i, l->tops[0].n_floats, y[i] = (x[i] > 0 ? x[i] : 0) + logf(1 + expf(-fabsf(x[i]))));
    return OK;
}

static void bnll_backward(struct layer *l)
{
    float *dx = l->bottoms[0].diff;
    if (!dx)
        return;
    const float *x = l->bottoms[0].data;
    const float *dy = l->tops[0].diff;
    ELEMENTWISE(i, l->tops[0].n_floats, dx[i] = dy[i] / (1 + expf(-x[i])));
}

const struct layer_ops layer_bnll = {
    .type = "BNLL",
    .backward_needs = NEEDS_BOTTOM_DATA,
    .in_place = true,
    .forward = bnll_forward,
    .backward = bnll_backward,
};
