/* elu.c - y = x for x > 0, alpha * (exp(x) - 1) otherwise */
#include <math.h>

#include "engine/elementwise.h"
#include "engine/layers/layer_util.h"

struct elu {
    float alpha;
};

static enum status elu_setup(struct layer *l, struct error *err)
{
    (void)err;
    ((struct elu *)l->state)->alpha =
        LAYER_PARAM(l, Caffe__ELUParameter, elu_param, CAFFE__ELUPARAMETER__INIT)->alpha;
    return OK;
}

static enum status elu_forward(struct layer *l, struct error *err)
{
    (void)err;
    float alpha = ((const struct elu *)l->state)->alpha;
    const float *x = l->bottoms[0].data;
    float *y = l->tops[0].data;
    ELEMENTWISE(i, l->tops[0].n_floats, y[i] = x[i] > 0 ? x[i] : alpha * (expf(x[i]) - 1));
    return OK;
}

static void elu_backward(struct layer *l)
{
    float alpha = ((const struct elu *)l->state)->alpha;
    const float *x = l->bottoms[0].data, *y = l->tops[0].data, *dy = l->tops[0].diff;
    float *dx = l->bottoms[0].diff;
    if (dx)
        ELEMENTWISE(i, l->tops[0].n_floats, dx[i] = x[i] > 0 ? dy[i] : (alpha + y[i]) * dy[i]);
}

const struct layer_ops layer_elu = {
    .type = "ELU",
    .state_size = sizeof(struct elu),
    .backward_needs = NEEDS_BOTTOM_DATA | NEEDS_TOP_BLOB,
    .any_representation = true,
    .setup = elu_setup,
    .forward = elu_forward,
    .backward = elu_backward,
};
