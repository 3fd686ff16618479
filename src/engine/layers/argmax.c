/*
 * argmax.c - the top_k largest values, or where they are; no gradient
 *
 * Of equal values the one with the larger index comes first.
 *   axis given:  top has top_k along it, values with out_max_val, else indices
 *   without:     bottom (N,D), top (N,1,top_k) indices, or (N,2,top_k) indices then values
 */
#include <stdbool.h>

#include "engine/layers/layer_util.h"

struct argmax {
    bool has_axis, out_max_val;
    size_t top_k;
    struct around of;
};

static enum status argmax_setup(struct layer *l, struct error *err)
{
    struct argmax *s = l->state;
    const Caffe__ArgMaxParameter *p =
        LAYER_PARAM(l, Caffe__ArgMaxParameter, argmax_param, CAFFE__ARG_MAX_PARAMETER__INIT);
    const struct shape *shape = &l->bottoms[0].shape;
    size_t rows = (size_t)shape->dim[0];
    s->has_axis = p->has_axis;
    s->out_max_val = p->out_max_val;
    s->top_k = p->top_k;
    s->of = p->has_axis ? shape_around(shape, shape_axis(shape, p->axis))
                        : (struct around){rows, (size_t)shape_count_range(shape, 1, shape->n_axes), 1};
    if (s->top_k < 1 || s->top_k > s->of.n)
        return error_set(err, INVALID, "top_k is %u; it must be from 1 to the %zu values there are", p->top_k,
                         s->of.n);
    return OK;
}

/* Index of the largest x[k * stride] that comes after `last` in the order of values; last < 0: of all. */
static long next_largest(const float *x, size_t n, size_t stride, long last)
{
    long best = -1;
    for (long k = 0; k < (long)n; k++) {
        float value = x[(size_t)k * stride];
        if (last >= 0) {
            float limit = x[(size_t)last * stride];
            if (value > limit || (value == limit && k >= last))
                continue;
        }
        if (best < 0 || value >= x[(size_t)best * stride])
            best = k;
    }
    return best < 0 ? 0 : best;
}

static enum status argmax_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct argmax *s = l->state;
    const struct around of = s->of;
    for (size_t o = 0; o < of.outer; o++)
        for (size_t i = 0; i < of.inner; i++) {
            const float *x = l->bottoms[0].data + o * of.n * of.inner + i;
            long last = -1;
            for (size_t k = 0; k < s->top_k; k++) {
                last = next_largest(x, of.n, of.inner, last);
                float value = x[(size_t)last * of.inner];
                if (s->has_axis) {
                    l->tops[0].data[(o * s->top_k + k) * of.inner + i] = s->out_max_val ? value : (float)last;
                    continue;
                }
                float *row = l->tops[0].data + o * s->top_k * (s->out_max_val ? 2 : 1);
                row[k] = (float)last;
                if (s->out_max_val)
                    row[s->top_k + k] = value;
            }
        }
    return OK;
}

const struct layer_ops layer_argmax = {
    .type = "ArgMax",
    .state_size = sizeof(struct argmax),
    .setup = argmax_setup,
    .forward = argmax_forward,
};
