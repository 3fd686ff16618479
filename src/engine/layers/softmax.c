/*
 * softmax.c - y = exp(x - max) / sum over one axis; bottom and top of any
 * shape, plain.
 */
#include "engine/layers/softmax.h"

#include <math.h>

#include "engine/elementwise.h"
#include "engine/plan.h"

struct softmax {
    int64_t outer, classes, inner;
};

static void softmax_row(int64_t classes, int64_t inner, const float *x, float *y)
{
    float top = x[0];
    for (int64_t c = 1; c < classes; c++)
        top = x[c * inner] > top ? x[c * inner] : top;
    float sum = 0;
    for (int64_t c = 0; c < classes; c++)
        sum += y[c * inner] = expf(x[c * inner] - top);
    for (int64_t c = 0; c < classes; c++)
        y[c * inner] /= sum;
}

void softmax_rows(int64_t outer, int64_t classes, int64_t inner, const float *x, float *y)
{
#pragma omp parallel for if (outer * classes * inner >= ELEMENTWISE_PARALLEL / 8)
    for (int64_t i = 0; i < outer * inner; i++) {
        int64_t start = i / inner * classes * inner + i % inner;
        softmax_row(classes, inner, x + start, y + start);
    }
}

static enum status softmax_setup(struct layer *l, struct error *err)
{
    (void)err;
    struct softmax *s = l->state;
    const Caffe__SoftmaxParameter *param = l->def->param->softmax_param;
    const struct shape *shape = &l->bottoms[0].shape;
    int axis = shape_axis(shape, param ? param->axis : 1);
    s->outer = shape_count_range(shape, 0, axis);
    s->classes = shape->dim[axis];
    s->inner = shape_count_range(shape, axis + 1, shape->n_axes);
    return OK;
}

static enum status softmax_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct softmax *s = l->state;
    softmax_rows(s->outer, s->classes, s->inner, l->bottoms[0].data, l->tops[0].data);
    return OK;
}

/* dx = y * (dy - sum over classes of dy * y) */
static void softmax_backward(struct layer *l)
{
    const struct softmax *s = l->state;
    if (!l->bottoms[0].diff)
        return;
    const float *y = l->tops[0].data, *dy = l->tops[0].diff;
    float *dx = l->bottoms[0].diff;
    int64_t inner = s->inner;
#pragma omp parallel for if (s->outer * s->classes * inner >= ELEMENTWISE_PARALLEL)
    for (int64_t i = 0; i < s->outer * inner; i++) {
        int64_t start = i / inner * s->classes * inner + i % inner;
        float sum = 0;
        for (int64_t c = 0; c < s->classes; c++)
            sum += dy[start + c * inner] * y[start + c * inner];
        for (int64_t c = 0; c < s->classes; c++)
            dx[start + c * inner] = y[start + c * inner] * (dy[start + c * inner] - sum);
    }
}

const struct layer_ops layer_softmax = {
    .type = "Softmax",
    .state_size = sizeof(struct softmax),
    .backward_needs = NEEDS_TOP_BLOB,
    .in_place = true,
    .setup = softmax_setup,
    .forward = softmax_forward,
    .backward = softmax_backward,
};
