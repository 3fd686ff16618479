/*
 * relu.c - y = x for x > 0, slope * x otherwise; any shape, in place or not.
 *
 * NaN stays NaN, as in Caffe.  Backward reads the top: it is positive
 * exactly where the bottom was, unless the slope is negative.
 */
#include "engine/bf16.h"
#include "engine/plan.h"

struct relu {
    float slope;
    bool reads_bottom;
};

static enum status relu_setup(struct layer *l, struct error *err)
{
    (void)err;
    struct relu *s = l->state;
    const Caffe__ReLUParameter *param = l->def->param->relu_param;
    s->slope = param ? param->negative_slope : 0;
    s->reads_bottom = s->slope < 0;
    return OK;
}

static enum status relu_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    struct relu *s = l->state;
    plan_backward_needs(p, s->reads_bottom ? NEEDS_BOTTOM_DATA : NEEDS_TOP_DATA);
    return OK;
}

BF16_CODE static void forward_bf16(struct layer *l)
{
    float slope = ((struct relu *)l->state)->slope;
    const bf16 *x = bf16_data(&l->bottoms[0]);
    bf16 *y = bf16_data(&l->tops[0]);
    size_t n = l->bottoms[0].n_floats;
    if (slope == 0)
        ELEMENTWISE(i, n, y[i] = bf16_to_float(x[i]) < 0 ? 0 : x[i]);
    else
        ELEMENTWISE(i, n, y[i] = bf16_to_float(x[i]) < 0 ? bf16_of(slope * bf16_to_float(x[i])) : x[i]);
}

BF16_CODE static void backward_bf16(struct layer *l)
{
    const struct relu *s = l->state;
    float slope = s->slope;
    const bf16 *of = bf16_data(s->reads_bottom ? &l->bottoms[0] : &l->tops[0]);
    const bf16 *dy = bf16_diff(&l->tops[0]);
    bf16 *dx = bf16_diff(&l->bottoms[0]);
    size_t n = l->bottoms[0].n_floats;
    if (slope == 0)
        ELEMENTWISE(i, n, dx[i] = (bf16)(dy[i] * (bf16_to_float(of[i]) > 0)));
    else
        ELEMENTWISE(i, n, dx[i] = bf16_to_float(of[i]) > 0 ? dy[i] : bf16_of(slope * bf16_to_float(dy[i])));
}

static enum status relu_forward(struct layer *l, struct error *err)
{
    (void)err;
    if (view_is_bf16(&l->bottoms[0])) {
        forward_bf16(l);
        return OK;
    }
    float slope = ((struct relu *)l->state)->slope;
    size_t n = l->bottoms[0].n_floats;
    const float *x = l->bottoms[0].data;
    float *y = l->tops[0].data;
    if (slope == 0)
        ELEMENTWISE(i, n, y[i] = x[i] < 0 ? 0 : x[i]);
    else
        ELEMENTWISE(i, n, y[i] = x[i] < 0 ? slope * x[i] : x[i]);
    return OK;
}

static void relu_backward(struct layer *l)
{
    struct relu *s = l->state;
    if (!l->bottoms[0].diff)
        return;
    if (view_is_bf16(&l->bottoms[0])) {
        backward_bf16(l);
        return;
    }
    float slope = s->slope;
    size_t n = l->bottoms[0].n_floats;
    const float *of = s->reads_bottom ? l->bottoms[0].data : l->tops[0].data;
    const float *dy = l->tops[0].diff;
    float *dx = l->bottoms[0].diff;
    ELEMENTWISE(i, n, dx[i] = dy[i] * ((float)(of[i] > 0) + slope * (float)(of[i] <= 0)));
}

const struct layer_ops layer_relu = {
    .type = "ReLU",
    .state_size = sizeof(struct relu),
    .any_representation = true,
    .bf16 = true,
    .setup = relu_setup,
    .plan = relu_plan,
    .forward = relu_forward,
    .backward = relu_backward,
};
