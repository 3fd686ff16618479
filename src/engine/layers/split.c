/*
 * split.c - every top is the bottom; the bottom's gradient is the sum of the
 * tops'.  Nothing is copied forward; backward works in the representation in
 * which the bottom was written.  A top that gets no gradient is left out.
 */
#include <string.h>

#include "engine/bf16.h"
#include "engine/plan.h"

static enum status split_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    const dnnl_memory_desc_t desc = *plan_bottom_desc(p, 0);
    plan_bottom(p, 0, &desc);
    for (int i = 0; i < l->n_tops; i++)
        plan_top(p, i, &desc);
    plan_scratch(p, (size_t)l->n_tops * sizeof(bf16 *));
    return OK;
}

#define CHUNK 512

/* The sum of an element is made in f32 and rounded once; sum may be one of `from`. */
BF16_CODE static void add_chunk(const bf16 *const *from, int n_from, bf16 *sum, size_t begin, size_t n)
{
    float totals[CHUNK] = {0};
    for (int i = 0; i < n_from; i++) {
        const bf16 *more = from[i] + begin;
#pragma omp simd
        for (size_t j = 0; j < n; j++)
            totals[j] += bf16_to_float(more[j]);
    }
#pragma omp simd
    for (size_t j = 0; j < n; j++)
        sum[begin + j] = bf16_of(totals[j]);
}

static void split_backward_bf16(struct layer *l)
{
    const bf16 **from = l->scratch;
    int n_from = 0;
    for (int i = 0; i < l->n_tops; i++)
        if (l->tops[i].diff)
            from[n_from++] = bf16_diff(&l->tops[i]);
    bf16 *sum = bf16_diff(&l->bottoms[0]);
    size_t n = l->bottoms[0].n_floats;
#pragma omp parallel for if (n >= ELEMENTWISE_PARALLEL)
    for (size_t begin = 0; begin < n; begin += CHUNK)
        add_chunk(from, n_from, sum, begin, MIN(n - begin, (size_t)CHUNK));
}

static void split_backward(struct layer *l)
{
    if (l->bottoms[0].diff && view_is_bf16(&l->bottoms[0])) {
        split_backward_bf16(l);
        return;
    }
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
    if (!started && first && first != sum)
        memcpy(sum, first, n * sizeof(float));
    else if (!first)
        memset(sum, 0, n * sizeof(float));
}

const struct layer_ops layer_split = {
    .type = "Split",
    .tops_are_bottom = true,
    .bf16 = true,
    .gradient_in_place = true,
    .plan = split_plan,
    .backward = split_backward,
};
