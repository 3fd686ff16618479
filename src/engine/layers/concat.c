/*
 * concat.c - bottoms one after the other along an axis.
 *
 * Along the channels, bottoms that all lie channels last stay so, and where
 * most lie in whole blocks of 16 all are put so: either way the top is rows,
 * each made of a piece of every bottom.
 */
#include <string.h>

#include "engine/elementwise.h"
#include "engine/plan.h"

struct concat {
    int axis;
    int64_t rows;
    int64_t *pieces; /* bytes of a row that come from a bottom */
    int64_t row;     /* bytes */
};

static enum status concat_setup(struct layer *l, struct error *err)
{
    (void)err;
    struct concat *s = l->state;
    const Caffe__ConcatParameter *param = l->def->param->concat_param;
    int axis = param ? (param->has_concat_dim ? (int)param->concat_dim : param->axis) : 1;
    s->axis = shape_axis(&l->bottoms[0].shape, axis);
    s->pieces = xcalloc((size_t)l->n_bottoms, sizeof(*s->pieces));
    return OK;
}

/* How many bottoms. */
static int n_that_lie(const struct layer *l, const struct planner *p,
                      bool (*like)(const dnnl_memory_desc_t *))
{
    int n = 0;
    for (int i = 0; i < l->n_bottoms; i++)
        n += like(plan_bottom_desc(p, i));
    return n;
}

/* In bf16 when a bottom is: what it has lost, the others may lose. */
static dnnl_data_type_t type_of(const struct layer *l, const struct planner *p)
{
    for (int i = 0; i < l->n_bottoms; i++)
        if (plan_bottom_desc(p, i)->data_type == dnnl_bf16)
            return dnnl_bf16;
    return dnnl_f32;
}

static bool whole_blocks(const struct layer *l)
{
    for (int i = 0; i < l->n_bottoms; i++)
        if (l->bottoms[i].shape.dim[1] % 16 != 0)
            return false;
    return true;
}

static enum status concat_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    struct concat *s = l->state;
    const struct shape *top = &l->tops[0].shape;
    int n_axes = top->n_axes;
    dnnl_format_tag_t tag = dnnl_format_tag_undef;
    bool is_last = false;
    if (s->axis == 1 && 2 * n_that_lie(l, p, desc_is_blocked16) > l->n_bottoms && whole_blocks(l)) {
        tag = tag_blocked16(n_axes);
    } else if (s->axis == 1 && n_that_lie(l, p, desc_is_nhwc) == l->n_bottoms) {
        tag = tag_nhwc(n_axes);
        is_last = true;
    }
    s->rows = shape_count_range(top, 0, s->axis);
    int64_t inner = shape_count_range(top, s->axis + 1, n_axes);
    if (is_last) {
        s->rows *= inner;
        inner = 1;
    }
    bool is_plain = tag == dnnl_format_tag_undef;
    dnnl_data_type_t type = is_plain ? dnnl_f32 : type_of(l, p);
    inner *= type == dnnl_bf16 ? 2 : 4;
    s->row = top->dim[s->axis] * inner;
    for (int i = 0; i < l->n_bottoms; i++)
        s->pieces[i] = l->bottoms[i].shape.dim[s->axis] * inner;
    if (is_plain)
        return OK;
    dnnl_memory_desc_t desc;
    for (int i = 0; i < l->n_bottoms; i++) {
        desc_by_tag(&l->bottoms[i].shape, tag, &desc);
        desc = desc_of_type(&desc, type);
        plan_bottom(p, i, &desc);
    }
    desc_by_tag(top, tag, &desc);
    desc = desc_of_type(&desc, type);
    plan_top(p, 0, &desc);
    return OK;
}

static enum status concat_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct concat *s = l->state;
    int64_t offset = 0;
    for (int i = 0; i < l->n_bottoms; i++) {
        const char *from = (const char *)l->bottoms[i].data;
        char *to = (char *)l->tops[0].data + offset;
        int64_t piece = s->pieces[i];
#pragma omp parallel for if (piece * s->rows >= 4 * ELEMENTWISE_PARALLEL)
        for (int64_t r = 0; r < s->rows; r++)
            memcpy(to + r * s->row, from + r * piece, (size_t)piece);
        offset += piece;
    }
    return OK;
}

static void concat_backward(struct layer *l)
{
    const struct concat *s = l->state;
    int64_t offset = 0;
    for (int i = 0; i < l->n_bottoms; i++) {
        const char *from = (const char *)l->tops[0].diff + offset;
        char *to = (char *)l->bottoms[i].diff;
        int64_t piece = s->pieces[i];
        offset += piece;
        if (!to)
            continue;
#pragma omp parallel for if (piece * s->rows >= 4 * ELEMENTWISE_PARALLEL)
        for (int64_t r = 0; r < s->rows; r++)
            memcpy(to + r * piece, from + r * s->row, (size_t)piece);
    }
}

static void concat_release(struct layer *l)
{
    freep(&((struct concat *)l->state)->pieces);
}

const struct layer_ops layer_concat = {
    .type = "Concat",
    .state_size = sizeof(struct concat),
    .bf16 = true,
    .setup = concat_setup,
    .plan = concat_plan,
    .forward = concat_forward,
    .backward = concat_backward,
    .release = concat_release,
};
