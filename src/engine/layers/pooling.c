/*
 * pooling.c - maximum or average over windows; bottom (N,C,H,W), top
 * (N,C,Ho,Wo), a second top gets the place of each maximum in its plane.
 *
 * Caffe's rules: sizes round up, so the last window may hang over; padding
 * counts in an average, the overhang does not; padding never is a maximum,
 * the first of equals is.  oneDNN does this where padding and overhang do not
 * meet; plain loops do the rest.  Without avx512 its kernels take twice to ten
 * times as long as our own loops over channels, which then go first.
 */
#include <float.h>
#include <omp.h>
#include <string.h>

#include "engine/elementwise.h"
#include "engine/kernel.h"
#include "engine/plan.h"
#include "engine/vectors/pooling.h"

struct pooling {
    struct pooling_window h, w;
    bool is_max;
    int64_t planes;
    const struct pooling_loops *loops; /* our own, channels last; NULL: not by these */
    bool is_fast;                      /* by oneDNN */
    bool has_workspace;
    struct kernel forward, backward;
};

/* ---- settings ---- */

static enum status pooling_setup(struct layer *l, struct error *err)
{
    static const Caffe__PoolingParameter defaults = CAFFE__POOLING_PARAMETER__INIT;
    struct pooling *s = l->state;
    const Caffe__PoolingParameter *p = l->def->param->pooling_param;
    if (!p)
        p = &defaults;
    if (p->pool == CAFFE__POOLING_PARAMETER__POOL_METHOD__STOCHASTIC)
        return error_set(err, UNSUPPORTED, "stochastic pooling is not in this build");
    const struct shape *bottom = &l->bottoms[0].shape, *top = &l->tops[0].shape;
    s->is_max = p->pool == CAFFE__POOLING_PARAMETER__POOL_METHOD__MAX;
    s->planes = shape_count_range(bottom, 0, 2);
    s->h = (struct pooling_window){bottom->dim[2], top->dim[2], (int)p->kernel_size, (int)p->stride,
                                   (int)p->pad};
    s->w = (struct pooling_window){bottom->dim[3], top->dim[3], (int)p->kernel_size, (int)p->stride,
                                   (int)p->pad};
    if (p->has_kernel_h) {
        s->h.kernel = (int)p->kernel_h;
        s->w.kernel = (int)p->kernel_w;
    }
    if (p->has_stride_h) {
        s->h.stride = (int)p->stride_h;
        s->w.stride = (int)p->stride_w;
    }
    if (p->has_pad_h) {
        s->h.pad = (int)p->pad_h;
        s->w.pad = (int)p->pad_w;
    }
    if (p->global_pooling) {
        s->h.kernel = s->h.size;
        s->w.kernel = s->w.size;
    }
    return OK;
}

/* ---- oneDNN ---- */

/* Elements right of the image that the last window covers; negative when it ends before. */
static int right_pad(const struct pooling_window *w)
{
    return (w->pooled - 1) * w->stride + w->kernel - w->size - w->pad;
}

static bool last_is_empty(const struct pooling_window *w)
{
    return (w->pooled - 1) * w->stride - w->pad >= w->size;
}

static bool choose_algorithm(const struct pooling *s, dnnl_alg_kind_t *ret)
{
    if (last_is_empty(&s->h) || last_is_empty(&s->w))
        return false;
    if (s->is_max)
        *ret = dnnl_pooling_max;
    else if (s->h.pad == 0 && s->w.pad == 0)
        *ret = dnnl_pooling_avg_exclude_padding;
    else if (right_pad(&s->h) <= s->h.pad && right_pad(&s->w) <= s->w.pad)
        *ret = dnnl_pooling_avg_include_padding;
    else
        return false;
    return true;
}

static dnnl_format_tag_t tag_of(const dnnl_memory_desc_t *desc)
{
    if (desc_is_plain(desc))
        return tag_plain(desc->ndims);
    return desc_is_nhwc(desc) ? tag_nhwc(desc->ndims) : tag_blocked16(desc->ndims);
}

static enum status plan_fast(struct layer *l, struct planner *p, struct error *err)
{
    struct pooling *s = l->state;
    dnnl_alg_kind_t algorithm;
    if (l->n_tops > 1 || !choose_algorithm(s, &algorithm))
        return OK;
    bool is_training = plan_is_training(p) && plan_wants_bottom_diff(p, 0);
    dnnl_format_tag_t tag = tag_of(plan_bottom_desc(p, 0));
    dnnl_memory_desc_t src, dst;
    desc_by_tag(&l->bottoms[0].shape, tag, &src);
    desc_by_tag(&l->tops[0].shape, tag, &dst);
    dnnl_data_type_t type = plan_bottom_desc(p, 0)->data_type;
    src = desc_of_type(&src, type);
    dst = desc_of_type(&dst, type);
    dnnl_dims_t strides = {s->h.stride, s->w.stride}, kernel = {s->h.kernel, s->w.kernel};
    dnnl_dims_t left = {s->h.pad, s->w.pad}, right = {right_pad(&s->h), right_pad(&s->w)};
    CLEANUP(pd_freep) dnnl_primitive_desc_t forward = NULL, backward = NULL;
    dnnl_pooling_desc_t op;
    if (dnnl_pooling_forward_desc_init(&op, is_training ? dnnl_forward_training : dnnl_forward_inference,
                                       algorithm, &src, &dst, strides, kernel, left, right) != dnnl_success)
        return OK;
    forward = pd_make(&op, NULL, NULL);
    if (!forward || pd_is_reference(forward))
        return OK;
    if (is_training) {
        if (dnnl_pooling_backward_desc_init(&op, algorithm, &src, &dst, strides, kernel, left, right) !=
            dnnl_success)
            return OK;
        backward = pd_make(&op, NULL, forward);
        if (!backward || pd_is_reference(backward))
            return OK;
    }
    const dnnl_memory_desc_t *workspace = pd_query(forward, dnnl_query_workspace_md);
    s->has_workspace = is_training && s->is_max && workspace && dnnl_memory_desc_get_size(workspace) > 0;
    TRY(kernel_init(&s->forward, forward, err));
    kernel_arg(&s->forward, DNNL_ARG_SRC, &src);
    kernel_arg(&s->forward, DNNL_ARG_DST, &dst);
    if (s->has_workspace) {
        kernel_arg(&s->forward, DNNL_ARG_WORKSPACE, workspace);
        plan_workspace(p, dnnl_memory_desc_get_size(workspace));
    }
    plan_scratch(p, s->forward.scratch_bytes);
    if (is_training) {
        TRY(kernel_init(&s->backward, backward, err));
        kernel_arg(&s->backward, DNNL_ARG_DIFF_DST, &dst);
        kernel_arg(&s->backward, DNNL_ARG_DIFF_SRC, &src);
        if (s->has_workspace)
            kernel_arg(&s->backward, DNNL_ARG_WORKSPACE, workspace);
        plan_scratch(p, s->backward.scratch_bytes);
    }
    plan_bottom(p, 0, &src);
    plan_top(p, 0, &dst);
    s->is_fast = true;
    return OK;
}

/* ---- our own loops ---- */

static bool plan_own(struct layer *l, struct planner *p)
{
    struct pooling *s = l->state;
    const struct pooling_loops *loops = pooling_loops();
    const dnnl_memory_desc_t *lies = plan_bottom_desc(p, 0);
    if (!loops || l->n_tops > 1 || !desc_is_nhwc(lies) || lies->data_type != dnnl_f32 ||
        (int64_t)s->h.kernel * s->w.kernel > POOLING_PLACES_MAX)
        return false;
    dnnl_memory_desc_t src, dst;
    desc_by_tag(&l->bottoms[0].shape, tag_nhwc(4), &src);
    desc_by_tag(&l->tops[0].shape, tag_nhwc(4), &dst);
    s->has_workspace = s->is_max && plan_is_training(p) && plan_wants_bottom_diff(p, 0);
    if (s->has_workspace)
        plan_workspace(p, (size_t)shape_count(&l->tops[0].shape) + POOLING_WHERE_SLACK);
    plan_bottom(p, 0, &src);
    plan_top(p, 0, &dst);
    s->loops = loops;
    return true;
}

static void run_own(const struct layer *l, bool backward)
{
    const struct pooling *s = l->state;
    const struct shape *shape = &l->bottoms[0].shape;
    const struct pooling_blobs b = {s->h, s->w, (size_t)shape->dim[1], s->is_max};
    size_t rows = (size_t)shape->dim[0] * (size_t)(backward ? s->h.size : s->h.pooled);
    size_t threads = (size_t)omp_get_max_threads();
    uint8_t *where = s->has_workspace ? l->workspace : NULL;
#pragma omp parallel for schedule(static, 1) if (shape_count(shape) >= ELEMENTWISE_PARALLEL / 4)
    for (size_t t = 0; t < threads; t++) {
        size_t from = rows * t / threads, to = rows * (t + 1) / threads;
        if (backward)
            s->loops->backward(&b, l->tops[0].diff, where, l->bottoms[0].diff, from, to);
        else
            s->loops->forward(&b, l->bottoms[0].data, l->tops[0].data, where, from, to);
    }
}

static enum status pooling_plan(struct layer *l, struct planner *p, struct error *err)
{
    struct pooling *s = l->state;
    if (plan_own(l, p))
        return OK;
    TRY(plan_fast(l, p, err));
    if (!s->is_fast && s->is_max)
        plan_workspace(p, (size_t)shape_count(&l->tops[0].shape) * sizeof(int32_t));
    return OK;
}

/* ---- plain loops ---- */

/* where: place of the maximum in the plane, -1 when the window has none. */
static void max_plane(const struct pooling *s, const float *x, float *y, int32_t *where)
{
    for (int ph = 0; ph < s->h.pooled; ph++) {
        struct pooling_range h = pooling_range_of(&s->h, ph);
        for (int pw = 0; pw < s->w.pooled; pw++) {
            struct pooling_range w = pooling_range_of(&s->w, pw);
            float best = -FLT_MAX;
            int32_t place = -1;
            for (int i = h.start; i < h.end; i++) {
                for (int j = w.start; j < w.end; j++) {
                    if (x[i * s->w.size + j] > best) {
                        place = i * s->w.size + j;
                        best = x[place];
                    }
                }
            }
            *y++ = best;
            *where++ = place;
        }
    }
}

static void average_plane(const struct pooling *s, const float *x, float *y)
{
    for (int ph = 0; ph < s->h.pooled; ph++) {
        struct pooling_range h = pooling_range_of(&s->h, ph);
        for (int pw = 0; pw < s->w.pooled; pw++) {
            struct pooling_range w = pooling_range_of(&s->w, pw);
            float sum = 0;
            for (int i = h.start; i < h.end; i++)
                for (int j = w.start; j < w.end; j++)
                    sum += x[i * s->w.size + j];
            *y++ = sum / (float)(h.positions * w.positions);
        }
    }
}

static void average_plane_backward(const struct pooling *s, const float *dy, float *dx)
{
    for (int ph = 0; ph < s->h.pooled; ph++) {
        struct pooling_range h = pooling_range_of(&s->h, ph);
        for (int pw = 0; pw < s->w.pooled; pw++) {
            struct pooling_range w = pooling_range_of(&s->w, pw);
            float share = *dy++ / (float)(h.positions * w.positions);
            for (int i = h.start; i < h.end; i++)
                for (int j = w.start; j < w.end; j++)
                    dx[i * s->w.size + j] += share;
        }
    }
}

static void plain_forward(struct layer *l)
{
    const struct pooling *s = l->state;
    int64_t in = (int64_t)s->h.size * s->w.size, out = (int64_t)s->h.pooled * s->w.pooled;
    const float *x = l->bottoms[0].data;
    float *y = l->tops[0].data;
    int32_t *where = l->workspace;
#pragma omp parallel for if (s->planes * in >= ELEMENTWISE_PARALLEL / 4)
    for (int64_t i = 0; i < s->planes; i++) {
        if (s->is_max)
            max_plane(s, x + i * in, y + i * out, where + i * out);
        else
            average_plane(s, x + i * in, y + i * out);
    }
    if (s->is_max && l->n_tops > 1)
        for (int64_t i = 0; i < s->planes * out; i++)
            l->tops[1].data[i] = (float)where[i];
}

static void plain_backward(struct layer *l)
{
    const struct pooling *s = l->state;
    int64_t in = (int64_t)s->h.size * s->w.size, out = (int64_t)s->h.pooled * s->w.pooled;
    const float *dy = l->tops[0].diff;
    float *dx = l->bottoms[0].diff;
    const int32_t *where = l->workspace;
#pragma omp parallel for if (s->planes * in >= ELEMENTWISE_PARALLEL / 4)
    for (int64_t i = 0; i < s->planes; i++) {
        memset(dx + i * in, 0, (size_t)in * sizeof(float));
        if (!s->is_max) {
            average_plane_backward(s, dy + i * out, dx + i * in);
            continue;
        }
        for (int64_t j = i * out; j < (i + 1) * out; j++)
            if (where[j] >= 0)
                dx[i * in + where[j]] += dy[j];
    }
}

/* ---- running ---- */

static enum status pooling_forward(struct layer *l, struct error *err)
{
    (void)err;
    struct pooling *s = l->state;
    if (s->loops)
        run_own(l, false);
    else if (s->is_fast)
        KERNEL_RUN(&s->forward, l->scratch, l->bottoms[0].data, l->tops[0].data, l->workspace);
    else
        plain_forward(l);
    return OK;
}

static void pooling_backward(struct layer *l)
{
    struct pooling *s = l->state;
    if (!l->bottoms[0].diff)
        return;
    if (s->loops)
        run_own(l, true);
    else if (s->is_fast)
        KERNEL_RUN(&s->backward, l->scratch, l->tops[0].diff, l->bottoms[0].diff, l->workspace);
    else
        plain_backward(l);
}

static void pooling_release(struct layer *l)
{
    struct pooling *s = l->state;
    kernel_release(&s->forward);
    kernel_release(&s->backward);
}

const struct layer_ops layer_pooling = {
    .type = "Pooling",
    .state_size = sizeof(struct pooling),
    .bf16 = true,
    .setup = pooling_setup,
    .plan = pooling_plan,
    .forward = pooling_forward,
    .backward = pooling_backward,
    .release = pooling_release,
};
