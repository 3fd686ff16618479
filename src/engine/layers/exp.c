/*
 * exp.c - y = base ^ (shift + scale * x); base -1 stands for e
 *
 *   y = factor * exp(slope * x),  slope = scale * ln(base),  factor = base ^ shift
 */
#include <math.h>

#include "engine/elementwise.h"
#include "engine/layers/layer_util.h"

struct exp {
    float slope, factor;
};

static enum status exp_setup(struct layer *l, struct error *err)
{
    const Caffe__ExpParameter *p = LAYER_PARAM(l, Caffe__ExpParameter, exp_param, CAFFE__EXP_PARAMETER__INIT);
    if (p->base != -1 && !(p->base > 0))
        return error_set(err, INVALID, "base must be above 0, or -1 for e, not %g", p->base);
    float ln_base = p->base == -1 ? 1 : logf(p->base);
    *(struct exp *)l->state = (struct exp){.slope = ln_base * p->scale, .factor = expf(ln_base * p->shift)};
    return OK;
}

static enum status exp_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct exp s = *(const struct exp *)l->state;
    const float *x = l->bottoms[0].data;
    float *y = l->tops[0].data;
    ELEMENTWISE(i, l->tops[0].n_floats, y[i] = s.factor * expf(s.slope * x[i]));
    return OK;
}

static void exp_backward(struct layer *l)
{
    const struct exp s = *(const struct exp *)l->state;
    const float *y = l->tops[0].data, *dy = l->tops[0].diff;
    float *dx = l->bottoms[0].diff;
    if (dx)
        ELEMENTWISE(i, l->tops[0].n_floats, dx[i] = s.slope * y[i] * dy[i]);
}

const struct layer_ops layer_exp = {
    .type = "Exp",
    .state_size = sizeof(struct exp),
    .backward_needs = NEEDS_TOP_BLOB,
    .in_place = true,
    .setup = exp_setup,
    .forward = exp_forward,
    .backward = exp_backward,
};
