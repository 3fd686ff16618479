/*
 * split.c - every top is the bottom; the bottom's gradient is the sum of the
 * tops'.  Nothing is copied forward; backward works in the representation in
 * which the bottom was written.  A top that gets no gradient is left out.
 */
#include <string.h>

#include "engine/elementwise.h"
#include "engine/plan.h"

static enum status split_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    const dnnl_memory_desc_t desc = *plan_bottom_desc(p, 0);
    plan_bottom(p, 0, &desc);
    for (int i = 0; i < l->n_tops; i++)
        plan_top(p, i, &desc);
    return OK;
}

static void split_backward(struct layer *l)
{
    float *sum = l->bottoms[0].diff;
    if (!sum)
        return;
    size_t n = l->bottoms[0].n_floats;
    const float *first = NULL;
    bool started = false;
    for (int i = 0; i < l->n_tops; i++) {
        const float *more = l->tops[i].diff;
        if (!more)
            continue;
        if (started) {
            ELEMENTWISE(j, n, sum[j] += more[j]);
        } else if (first) {
            ELEMENTWISE(j, n, sum[j] = first[j] + more[j]);
            started = true;
        } else {
            first = more;
        }
    }
    if (!started && first)
        memcpy(sum, first, n * sizeof(float));
    else if (!first)
        memset(sum, 0, n * sizeof(float));
}

const struct layer_ops layer_split = {
    .type = "Split",
    .tops_are_bottom = true,
    .plan = split_plan,
    .backward = split_backward,
};
