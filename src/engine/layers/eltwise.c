/*
 * eltwise.c - sum (with coefficients), product or maximum of two or more
 * blobs of one shape.
 *
 * Maximum: of equal values the second of the first two bottoms wins, then
 * only a greater one; the gradient goes to the winner, whose number is kept.
 * The product's gradient is the product of the others (stable_prod_grad), or
 * top / bottom.  A sum also does the ReLU that follows it.
 */
#include <string.h>

#include "engine/elementwise.h"
#include "engine/layers/layer_util.h"
#include "engine/plan.h"

struct eltwise {
    Caffe__EltwiseParameter__EltwiseOp operation;
    bool divides;       /* gradient of a product by division */
    const float *coeff; /* lent; NULL: all 1 */
    bool is_rectified;  /* a sum that does the ReLU behind it */
};

static enum status eltwise_setup(struct layer *l, struct error *err)
{
    struct eltwise *s = l->state;
    const Caffe__EltwiseParameter *p =
        LAYER_PARAM(l, Caffe__EltwiseParameter, eltwise_param, CAFFE__ELTWISE_PARAMETER__INIT);
    bool is_sum = p->operation == CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__SUM;
    if (p->n_coeff && (!is_sum || p->n_coeff != (size_t)l->n_bottoms))
        return error_set(err, INVALID,
                         "%zu values of coeff; a sum takes none or one for each of its %d bottoms",
                         p->n_coeff, l->n_bottoms);
    *s = (struct eltwise){
        .operation = p->operation,
        .divides = !p->stable_prod_grad,
        .coeff = p->n_coeff ? p->coeff : NULL,
    };
    return OK;
}

/* Padding is 0, and so is its sum: any layout will do. */
static const dnnl_memory_desc_t *layout_of_most(const struct layer *l, const struct planner *p)
{
    const dnnl_memory_desc_t *best = NULL;
    for (int i = 0, most = 0; i < l->n_bottoms; i++) {
        const dnnl_memory_desc_t *desc = plan_bottom_desc(p, i);
        int n = 0;
        for (int k = 0; k < l->n_bottoms; k++)
            n += dnnl_memory_desc_equal(desc, plan_bottom_desc(p, k));
        if (n > most) {
            best = desc;
            most = n;
        }
    }
    return best;
}

static enum status eltwise_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    struct eltwise *s = l->state;
    if (s->operation == CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__PROD)
        plan_backward_needs(p, NEEDS_BOTTOM_DATA | (s->divides ? NEEDS_TOP_BLOB : 0));
    if (s->operation == CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__MAX && plan_is_training(p))
        plan_workspace(p, (size_t)shape_count(&l->tops[0].shape) * sizeof(int));
    if (s->operation == CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__SUM) {
        const dnnl_memory_desc_t desc = *layout_of_most(l, p);
        for (int i = 0; i < l->n_bottoms; i++)
            plan_bottom(p, i, &desc);
        plan_top(p, 0, &desc);
        s->is_rectified = plan_take_relu_both_ways(p);
        plan_backward_needs(p, s->is_rectified ? NEEDS_TOP_DATA : 0);
    }
    return OK;
}

static float coeff_of(const struct eltwise *s, int bottom)
{
    return s->coeff ? s->coeff[bottom] : 1;
}

/* NaN stays. */
static inline float rectify(float value)
{
    return value < 0 ? 0 : value;
}

static void forward_sum(struct layer *l, float *y, size_t n)
{
    const struct eltwise *s = l->state;
    const float *a = l->bottoms[0].data, *b = l->bottoms[1].data;
    float first = coeff_of(s, 0), second = coeff_of(s, 1);
    if (s->is_rectified && l->n_bottoms == 2) {
        ELEMENTWISE(i, n, y[i] = rectify(first * a[i] + second * b[i]));
        return;
    }
    ELEMENTWISE(i, n, y[i] = first * a[i] + second * b[i]);
    for (int k = 2; k < l->n_bottoms; k++) {
        const float *x = l->bottoms[k].data;
        float coeff = coeff_of(s, k);
        ELEMENTWISE(i, n, y[i] += coeff * x[i]);
    }
    if (s->is_rectified)
        ELEMENTWISE(i, n, y[i] = rectify(y[i]));
}

static void forward_product(struct layer *l, float *y, size_t n)
{
    const float *a = l->bottoms[0].data, *b = l->bottoms[1].data;
    ELEMENTWISE(i, n, y[i] = a[i] * b[i]);
    for (int k = 2; k < l->n_bottoms; k++) {
        const float *x = l->bottoms[k].data;
        ELEMENTWISE(i, n, y[i] *= x[i]);
    }
}

static void forward_max(struct layer *l, float *y, size_t n)
{
    const float *a = l->bottoms[0].data, *b = l->bottoms[1].data;
    int *winner = l->workspace;
    if (winner)
        ELEMENTWISE(i, n, winner[i] = a[i] > b[i] ? 0 : 1);
    ELEMENTWISE(i, n, y[i] = a[i] > b[i] ? a[i] : b[i]);
    for (int k = 2; k < l->n_bottoms; k++) {
        const float *x = l->bottoms[k].data;
        if (winner)
            ELEMENTWISE(i, n, winner[i] = x[i] > y[i] ? k : winner[i]);
        ELEMENTWISE(i, n, y[i] = x[i] > y[i] ? x[i] : y[i]);
    }
}

static enum status eltwise_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct eltwise *s = l->state;
    float *y = l->tops[0].data;
    size_t n = l->tops[0].n_floats;
    switch (s->operation) {
    case CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__PROD:
        forward_product(l, y, n);
        break;
    case CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__MAX:
        forward_max(l, y, n);
        break;
    default:
        forward_sum(l, y, n);
    }
    return OK;
}

static void backward_product(struct layer *l, int bottom, float *dx, size_t n)
{
    const float *dy = l->tops[0].diff;
    if (((const struct eltwise *)l->state)->divides) {
        const float *x = l->bottoms[bottom].data, *y = l->tops[0].data;
        ELEMENTWISE(i, n, dx[i] = y[i] / x[i] * dy[i]);
        return;
    }
    ELEMENTWISE(i, n, dx[i] = dy[i]);
    for (int k = 0; k < l->n_bottoms; k++) {
        const float *other = l->bottoms[k].data;
        if (k != bottom)
            ELEMENTWISE(i, n, dx[i] *= other[i]);
    }
}

static void backward_sum(struct layer *l, int bottom, float *dx, size_t n)
{
    const struct eltwise *s = l->state;
    const float *dy = l->tops[0].diff, *y = l->tops[0].data;
    float coeff = coeff_of(s, bottom);
    if (s->is_rectified)
        ELEMENTWISE(i, n, dx[i] = coeff * dy[i] * (float)(y[i] > 0));
    else
        ELEMENTWISE(i, n, dx[i] = coeff * dy[i]);
}

/* Of a sum of two and its ReLU, in one pass; a may be dy. */
static void backward_rectified_sum(struct layer *l, float *a, float *b, size_t n)
{
    const struct eltwise *s = l->state;
    const float *dy = l->tops[0].diff, *y = l->tops[0].data;
    float first = coeff_of(s, 0), second = coeff_of(s, 1);
    ELEMENTWISE(i, n, {
        float g = dy[i] * (float)(y[i] > 0);
        b[i] = second * g;
        a[i] = first * g;
    });
}

/* The gradient of the first bottom may lie in the place of the top's, so it is written last. */
static void eltwise_backward(struct layer *l)
{
    const struct eltwise *s = l->state;
    const float *dy = l->tops[0].diff;
    const int *winner = l->workspace;
    size_t n = l->tops[0].n_floats;
    if (s->is_rectified && l->n_bottoms == 2 && l->bottoms[0].diff && l->bottoms[1].diff) {
        backward_rectified_sum(l, l->bottoms[0].diff, l->bottoms[1].diff, n);
        return;
    }
    for (int k = l->n_bottoms - 1; k >= 0; k--) {
        float *dx = l->bottoms[k].diff;
        if (!dx)
            continue;
        if (s->operation == CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__PROD)
            backward_product(l, k, dx, n);
        else if (s->operation == CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__MAX)
            ELEMENTWISE(i, n, dx[i] = winner[i] == k ? dy[i] : 0);
        else
            backward_sum(l, k, dx, n);
    }
}

const struct layer_ops layer_eltwise = {
    .type = "Eltwise",
    .state_size = sizeof(struct eltwise),
    .gradient_in_place = true,
    .setup = eltwise_setup,
    .plan = eltwise_plan,
    .forward = eltwise_forward,
    .backward = eltwise_backward,
};
