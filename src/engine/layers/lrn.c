/*
 * lrn.c - local response normalisation; bottom and top (N,C,H,W).
 *
 *   across channels: y = x * (k + alpha / size * sum of squares over size channels)^-beta
 *   within channel:  y = x * (1 + alpha * mean of squares over size x size pixels)^-beta
 *
 * The mean within a channel divides by size * size at the edges too, and
 * ignores k: both as in Caffe.  The first reads its blobs in blocks of 16
 * channels or with channels last, in f32 or bf16 (vectors/lrn.h); plain loops
 * do the second.
 */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "engine/elementwise.h"
#include "engine/kernel.h"
#include "engine/plan.h"
#include "engine/vectors/lrn.h"

struct lrn {
    int n, c, h, w, size;
    float alpha, beta, k;
    bool within;
    bool reads_top; /* across: layers behind overwrite it, and the gradient sees that */
    struct lrn_blobs across;
    const struct lrn_loops *loops;
    int threads;
};

static enum status lrn_setup(struct layer *l, struct error *err)
{
    static const Caffe__LRNParameter defaults = CAFFE__LRNPARAMETER__INIT;
    struct lrn *s = l->state;
    const Caffe__LRNParameter *p = l->def->param->lrn_param;
    if (!p)
        p = &defaults;
    const int *dim = l->bottoms[0].shape.dim;
    *s = (struct lrn){
        .n = dim[0],
        .c = dim[1],
        .h = dim[2],
        .w = dim[3],
        .size = (int)p->local_size,
        .alpha = p->alpha,
        .beta = p->beta,
        .k = p->k,
        .within = p->norm_region == CAFFE__LRNPARAMETER__NORM_REGION__WITHIN_CHANNEL,
    };
    if (s->size % 2 != 1)
        return error_set(err, INVALID, "local_size is %d, not odd", s->size);
    return OK;
}

/* ---- across channels ---- */

static void plan_across(struct layer *l, struct planner *p)
{
    enum { BLOCK = 16 };
    struct lrn *s = l->state;
    const dnnl_memory_desc_t *lies = plan_bottom_desc(p, 0);
    bool in_blocks =
        s->c % BLOCK == 0 && (desc_is_blocked16(lies) || (!desc_is_nhwc(lies) && blocks_are_liked()));
    dnnl_memory_desc_t desc;
    desc_by_tag(&l->bottoms[0].shape, in_blocks ? dnnl_nChw16c : dnnl_nhwc, &desc);
    desc = desc_of_type(&desc, lies->data_type);
    s->across = (struct lrn_blobs){
        .area = (size_t)s->h * (size_t)s->w,
        .channels = (size_t)s->c,
        .block = in_blocks ? BLOCK : (size_t)s->c,
        .is_bf16 = desc.data_type == dnnl_bf16,
        .size = s->size,
        .alpha = s->alpha,
        .beta = s->beta,
        .k = s->k,
    };
    s->loops = lrn_loops();
    s->threads = omp_get_max_threads();
    plan_scratch(p, (size_t)s->threads * lrn_scratch_floats(&s->across) * sizeof(float));
    s->reads_top = plan_top_is_overwritten(p);
    plan_backward_needs(p, NEEDS_BOTTOM_DATA | (s->reads_top ? NEEDS_TOP_BLOB : 0));
    plan_bottom(p, 0, &desc);
    plan_top(p, 0, &desc);
}

static void run_across(const struct layer *l, bool backward)
{
    const struct lrn *s = l->state;
    const struct view *x = &l->bottoms[0], *y = &l->tops[0];
    size_t pixels = (size_t)s->n * s->across.area, threads = (size_t)s->threads;
    size_t floats = lrn_scratch_floats(&s->across);
#pragma omp parallel for schedule(static, 1) num_threads(s->threads)
    for (size_t t = 0; t < threads; t++) {
        float *scratch = (float *)l->scratch + t * floats;
        size_t from = pixels * t / threads, to = pixels * (t + 1) / threads;
        memset(scratch, 0, floats * sizeof(float));
        if (backward)
            s->loops->backward(&s->across, x->data, s->reads_top ? y->data : NULL, y->diff, x->diff, scratch,
                               from, to);
        else
            s->loops->forward(&s->across, x->data, y->data, scratch, from, to);
    }
}

/* ---- within a channel, plain ---- */

/* out = sum of in over size x size pixels around each, in each plane. */
static void sum_within(const struct lrn *s, const float *in, float *out)
{
    int64_t plane = (int64_t)s->h * s->w, planes = (int64_t)s->n * s->c;
    int half = s->size / 2;
#pragma omp parallel for if (planes * plane >= ELEMENTWISE_PARALLEL / 4)
    for (int64_t p = 0; p < planes; p++) {
        for (int y = 0; y < s->h; y++) {
            for (int x = 0; x < s->w; x++) {
                float sum = 0;
                for (int i = MAX(y - half, 0); i <= MIN(y + half, s->h - 1); i++)
                    for (int j = MAX(x - half, 0); j <= MIN(x + half, s->w - 1); j++)
                        sum += in[p * plane + (int64_t)i * s->w + j];
                out[p * plane + (int64_t)y * s->w + x] = sum;
            }
        }
    }
}

static void within_forward(struct layer *l)
{
    const struct lrn *s = l->state;
    size_t n = l->bottoms[0].n_floats;
    const float *x = l->bottoms[0].data;
    float *y = l->tops[0].data, *scale = l->workspace, *square = l->scratch;
    float alpha = s->alpha / (float)(s->size * s->size), beta = s->beta;
    ELEMENTWISE(i, n, square[i] = x[i] * x[i]);
    sum_within(s, square, scale);
    ELEMENTWISE(i, n, scale[i] = 1 + alpha * scale[i]);
#pragma omp parallel for if (n >= ELEMENTWISE_PARALLEL / 16)
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * powf(scale[i], -beta);
}

/* As across channels; the sum is made in dx, then read and overwritten element by element. */
static void within_backward(struct layer *l)
{
    const struct lrn *s = l->state;
    size_t n = l->bottoms[0].n_floats;
    const float *x = l->bottoms[0].data, *y = l->tops[0].data, *dy = l->tops[0].diff, *scale = l->workspace;
    float *dx = l->bottoms[0].diff, *ratio = l->scratch;
    float factor = 2 * s->alpha / (float)(s->size * s->size) * s->beta, beta = s->beta;
    ELEMENTWISE(i, n, ratio[i] = dy[i] * y[i] / scale[i]);
    sum_within(s, ratio, dx);
#pragma omp parallel for if (n >= ELEMENTWISE_PARALLEL / 16)
    for (size_t i = 0; i < n; i++)
        dx[i] = dy[i] * powf(scale[i], -beta) - factor * x[i] * dx[i];
}

/* ---- both ---- */

/* The workspace within a channel is the sum in brackets, of each element. */
static enum status lrn_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    struct lrn *s = l->state;
    if (!s->within) {
        plan_across(l, p);
        return OK;
    }
    size_t bytes = (size_t)shape_count(&l->bottoms[0].shape) * sizeof(float);
    plan_workspace(p, bytes);
    plan_scratch(p, bytes);
    return OK;
}

static enum status lrn_forward(struct layer *l, struct error *err)
{
    (void)err;
    if (((struct lrn *)l->state)->within)
        within_forward(l);
    else
        run_across(l, false);
    return OK;
}

static void lrn_backward(struct layer *l)
{
    if (!l->bottoms[0].diff)
        return;
    if (((struct lrn *)l->state)->within)
        within_backward(l);
    else
        run_across(l, true);
}

const struct layer_ops layer_lrn = {
    .type = "LRN",
    .state_size = sizeof(struct lrn),
    .bf16 = true,
    .backward_needs = NEEDS_BOTTOM_DATA | NEEDS_TOP_DATA,
    .setup = lrn_setup,
    .plan = lrn_plan,
    .forward = lrn_forward,
    .backward = lrn_backward,
};
