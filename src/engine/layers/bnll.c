/*
 * bnll.c - y = log(1 + exp(x)), the binomial normal log likelihood
 *
 *   dx = dy / (1 + exp(-x))
 *
 * In place, Caffe's backward finds y where x was and takes it for x; nets
 * were trained so, and the recorded case net_v1_mix expects it.
 */
#include <math.h>

#include "engine/elementwise.h"
#include "engine/plan.h"

struct bnll {
    bool is_in_place;
};

static enum status bnll_setup(struct layer *l, struct error *err)
{
    (void)err;
    ((struct bnll *)l->state)->is_in_place = l->def->bottoms[0] == l->def->tops[0];
    return OK;
}

static enum status bnll_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    plan_backward_needs(p, ((const struct bnll *)l->state)->is_in_place ? NEEDS_TOP_DATA : NEEDS_BOTTOM_DATA);
    return OK;
}

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
    const float *x = ((const struct bnll *)l->state)->is_in_place ? l->tops[0].data : l->bottoms[0].data;
    const float *dy = l->tops[0].diff;
    float *dx = l->bottoms[0].diff;
    if (dx)
        ELEMENTWISE(i, l->tops[0].n_floats, dx[i] = dy[i] / (1 + expf(-x[i])));
}

const struct layer_ops layer_bnll = {
    .type = "BNLL",
    .state_size = sizeof(struct bnll),
    .in_place = true,
    .setup = bnll_setup,
    .plan = bnll_plan,
    .forward = bnll_forward,
    .backward = bnll_backward,
};
