/*
 * power.c - y = (shift + scale * x) ^ power
 *
 * With power 0 or scale 0 the top is a constant and no gradient flows.
 */
#include <math.h>

#include "engine/elementwise.h"
#include "engine/layers/layer_util.h"
#include "engine/plan.h"

struct power {
    float power, scale, shift;
    bool in_place;
};

static bool is_constant(const struct power *s)
{
    return s->power == 0 || s->scale == 0;
}

static enum status power_setup(struct layer *l, struct error *err)
{
    (void)err;
    const Caffe__PowerParameter *p =
        LAYER_PARAM(l, Caffe__PowerParameter, power_param, CAFFE__POWER_PARAMETER__INIT);
    bool in_place = l->def->bottoms[0] == l->def->tops[0];
    *(struct power *)l->state = (struct power){p->power, p->scale, p->shift, in_place};
    if (in_place)
        warn_of_gradient_in_place(l);
    return OK;
}

static enum status power_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    const struct power *s = l->state;
    plan_backward_needs(p, is_constant(s) || (s->power == 1 && !s->in_place) ? 0 : NEEDS_BOTTOM_DATA);
    return OK;
}

static enum status power_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct power s = *(const struct power *)l->state;
    size_t n = l->tops[0].n_floats;
    const float *x = l->bottoms[0].data;
    float *y = l->tops[0].data;
    if (is_constant(&s)) {
        float value = s.power == 0 ? 1 : powf(s.shift, s.power);
        ELEMENTWISE(i, n, y[i] = value);
    } else if (s.power == 1) {
        ELEMENTWISE(i, n, y[i] = s.scale * x[i] + s.shift);
    } else if (s.power == 2) {
        ELEMENTWISE(i, n, y[i] = (s.scale * x[i] + s.shift) * (s.scale * x[i] + s.shift));
    } else {
        ELEMENTWISE(i, n, y[i] = powf(s.scale * x[i] + s.shift, s.power));
    }
    return OK;
}

/* dy/dx from the only thing that is left in place, y, as Caffe computes it. */
static inline float slope_in_place(const struct power *s, float y)
{
    float slope = s->power * s->scale;
    if (s->power == 1)
        return slope;
    if (s->power == 2)
        return slope * (s->scale * y + s->shift);
    return s->shift == 0 ? s->power * (y / y) : slope * y / (s->scale * y + s->shift);
}

static void power_backward(struct layer *l)
{
    const struct power s = *(const struct power *)l->state;
    size_t n = l->tops[0].n_floats;
    const float *x = l->bottoms[0].data, *dy = l->tops[0].diff;
    float *dx = l->bottoms[0].diff;
    float slope = s.power * s.scale;
    if (!dx)
        return;
    if (is_constant(&s))
        ELEMENTWISE(i, n, dx[i] = 0);
    else if (s.in_place)
        ELEMENTWISE(i, n, dx[i] = slope_in_place(&s, x[i]) * slope_in_place(&s, x[i]));
    else if (s.power == 1)
        ELEMENTWISE(i, n, dx[i] = slope * dy[i]);
    else if (s.power == 2)
        ELEMENTWISE(i, n, dx[i] = slope * (s.scale * x[i] + s.shift) * dy[i]);
    else
        ELEMENTWISE(i, n, dx[i] = slope * powf(s.scale * x[i] + s.shift, s.power - 1) * dy[i]);
}

const struct layer_ops layer_power = {
    .type = "Power",
    .state_size = sizeof(struct power),
    .in_place = true,
    .setup = power_setup,
    .plan = power_plan,
    .forward = power_forward,
    .backward = power_backward,
};
