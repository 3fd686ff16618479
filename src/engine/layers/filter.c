/*
 * filter.c - passes on the items whose value in the last bottom, the
 * selector, is not 0.
 *
 * bottoms (N,...)..., selector (N,1...); tops (n,...)..., where n is known
 * only while running.  The tops have room for N; what is behind the n-th item
 * is 0.  net_tail.c runs the layers behind on n items.
 */
#include "engine/layers/filter.h"

#include <string.h>

#include "engine/plan.h"

struct filter {
    int n;
    int n_passed;
    int *passed; /* items, ascending */
};

int filter_n_passed(const struct layer *l)
{
    return ((const struct filter *)l->state)->n_passed;
}

static enum status filter_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    struct filter *s = l->state;
    s->n = l->bottoms[l->n_bottoms - 1].shape.dim[0];
    s->passed = plan_keep(p, (size_t)s->n * sizeof(int));
    return OK;
}

static size_t item_floats(const struct filter *s, const struct view *view)
{
    return s->n ? view->n_floats / (size_t)s->n : 0;
}

static enum status filter_forward(struct layer *l, struct error *err)
{
    (void)err;
    struct filter *s = l->state;
    const float *selector = l->bottoms[l->n_bottoms - 1].data;
    s->n_passed = 0;
    for (int i = 0; i < s->n; i++)
        if (selector[i] != 0)
            s->passed[s->n_passed++] = i;
    for (int t = 0; t < l->n_tops; t++) {
        size_t size = item_floats(s, &l->bottoms[t]), n = (size_t)s->n_passed;
        float *top = l->tops[t].data;
        for (size_t i = 0; i < n; i++)
            memcpy(top + i * size, l->bottoms[t].data + (size_t)s->passed[i] * size, size * sizeof(float));
        memset(top + n * size, 0, ((size_t)s->n - n) * size * sizeof(float));
    }
    return OK;
}

static void filter_backward(struct layer *l)
{
    const struct filter *s = l->state;
    for (int t = 0; t < l->n_tops; t++) {
        float *dx = l->bottoms[t].diff;
        size_t size = item_floats(s, &l->bottoms[t]);
        if (!dx)
            continue;
        memset(dx, 0, l->bottoms[t].n_floats * sizeof(float));
        for (int i = 0; i < s->n_passed; i++)
            memcpy(dx + (size_t)s->passed[i] * size, l->tops[t].diff + (size_t)i * size,
                   size * sizeof(float));
    }
}

const struct layer_ops layer_filter = {
    .type = "Filter",
    .state_size = sizeof(struct filter),
    .plan = filter_plan,
    .forward = filter_forward,
    .backward = filter_backward,
};
