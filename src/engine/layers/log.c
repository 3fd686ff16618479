/* log.c - y = log_base(shift + scale * x); base -1 stands for e */
#include <math.h>

#include "engine/elementwise.h"
#include "engine/layers/layer_util.h"

struct log {
    float per_ln_base, scale, shift;
    bool in_place;
};

static enum status log_setup(struct layer *l, struct error *err)
{
    const Caffe__LogParameter *p = LAYER_PARAM(l, Caffe__LogParameter, log_param, CAFFE__LOG_PARAMETER__INIT);
    if (p->base != -1 && (!(p->base > 0) || p->base == 1))
        return error_set(err, INVALID, "base must be above 0 and not 1, or -1 for e, not %g", p->base);
    *(struct log *)l->state = (struct log){
        .per_ln_base = p->base == -1 ? 1 : 1 / logf(p->base),
        .scale = p->scale,
        .shift = p->shift,
        .in_place = l->def->bottoms[0] == l->def->tops[0],
    };
    if (((struct log *)l->state)->in_place)
        warn_of_gradient_in_place(l);
    return OK;
}

static enum status log_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct log s = *(const struct log *)l->state;
    const float *x = l->bottoms[0].data;
    float *y = l->tops[0].data;
    ELEMENTWISE(i, l->tops[0].n_floats, y[i] = s.per_ln_base * logf(s.scale * x[i] + s.shift));
    return OK;
}

static void log_backward(struct layer *l)
{
    const struct log s = *(const struct log *)l->state;
    const float *x = l->bottoms[0].data, *dy = l->tops[0].diff;
    float *dx = l->bottoms[0].diff;
    float slope = s.scale * s.per_ln_base;
    if (!dx)
        return;
    if (s.in_place)
        ELEMENTWISE(i, l->tops[0].n_floats, {
            float d = slope / (s.scale * x[i] + s.shift);
            dx[i] = d * d;
        });
    else
        ELEMENTWISE(i, l->tops[0].n_floats, dx[i] = dy[i] * slope / (s.scale * x[i] + s.shift));
}

const struct layer_ops layer_log = {
    .type = "Log",
    .state_size = sizeof(struct log),
    .backward_needs = NEEDS_BOTTOM_DATA,
    .in_place = true,
    .setup = log_setup,
    .forward = log_forward,
    .backward = log_backward,
};
