/*
 * reduction.c - the axes from `axis` on become one number: coeff times their
 * sum, mean, sum of absolute values or sum of squares
 */
#include <math.h>

#include "engine/layers/layer_util.h"

struct reduction {
    Caffe__ReductionParameter__ReductionOp operation;
    float coeff;
    size_t n, d; /* bottom (n, d), top (n) */
};

static enum status reduction_setup(struct layer *l, struct error *err)
{
    (void)err;
    struct reduction *s = l->state;
    const Caffe__ReductionParameter *p =
        LAYER_PARAM(l, Caffe__ReductionParameter, reduction_param, CAFFE__REDUCTION_PARAMETER__INIT);
    const struct shape *shape = &l->bottoms[0].shape;
    int axis = shape_axis(shape, p->axis);
    s->operation = p->operation;
    s->n = (size_t)shape_count_range(shape, 0, axis);
    s->d = (size_t)shape_count_range(shape, axis, shape->n_axes);
    s->coeff = p->coeff;
    if (p->operation == CAFFE__REDUCTION_PARAMETER__REDUCTION_OP__MEAN)
        s->coeff /= (float)s->d;
    return OK;
}

static enum status reduction_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct reduction *s = l->state;
    for (size_t r = 0; r < s->n; r++) {
        const float *x = l->bottoms[0].data + r * s->d;
        double sum = 0;
        for (size_t i = 0; i < s->d; i++)
            sum += s->operation == CAFFE__REDUCTION_PARAMETER__REDUCTION_OP__ASUM    ? fabsf(x[i])
                   : s->operation == CAFFE__REDUCTION_PARAMETER__REDUCTION_OP__SUMSQ ? x[i] * x[i]
                                                                                     : x[i];
        l->tops[0].data[r] = s->coeff * (float)sum;
    }
    return OK;
}

static void reduction_backward(struct layer *l)
{
    const struct reduction *s = l->state;
    for (size_t r = 0; l->bottoms[0].diff && r < s->n; r++) {
        const float *x = l->bottoms[0].data + r * s->d;
        float *dx = l->bottoms[0].diff + r * s->d;
        float slope = s->coeff * l->tops[0].diff[r];
        for (size_t i = 0; i < s->d; i++)
            dx[i] = s->operation == CAFFE__REDUCTION_PARAMETER__REDUCTION_OP__ASUM
                        ? slope * (float)((x[i] > 0) - (x[i] < 0))
                    : s->operation == CAFFE__REDUCTION_PARAMETER__REDUCTION_OP__SUMSQ ? 2 * slope * x[i]
                                                                                      : slope;
    }
}

const struct layer_ops layer_reduction = {
    .type = "Reduction",
    .state_size = sizeof(struct reduction),
    .backward_needs = NEEDS_BOTTOM_DATA,
    .setup = reduction_setup,
    .forward = reduction_forward,
    .backward = reduction_backward,
};
