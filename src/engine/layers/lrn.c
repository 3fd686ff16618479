/*
 * lrn.c - local response normalisation; bottom and top (N,C,H,W).
 *
 *   across channels: y = x * (k + alpha / size * sum of squares over size channels)^-beta
 *   within channel:  y = x * (1 + alpha * mean of squares over size x size pixels)^-beta
 *
 * The mean within a channel divides by size * size at the edges too, and
 * ignores k: both as in Caffe.  oneDNN runs the first for size 5 and beta
 * 0.75 (its other cases are reference code); plain loops do the rest.
 */
#include <math.h>
#include <string.h>

#include "engine/elementwise.h"
#include "engine/kernel.h"
#include "engine/plan.h"

struct lrn {
    int n, c, h, w, size;
    float alpha, beta, k;
    bool within, is_fast, has_workspace;
    struct kernel forward, backward;
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

static enum status plan_fast(struct layer *l, struct planner *p, struct error *err)
{
    struct lrn *s = l->state;
    if (s->within || s->size != 5 || s->beta != 0.75f)
        return OK;
    bool is_training = plan_is_training(p) && plan_wants_bottom_diff(p, 0);
    const dnnl_memory_desc_t *lies = plan_bottom_desc(p, 0);
    bool in_blocks = s->c % 16 == 0 && (desc_is_blocked16(lies) || !desc_is_nhwc(lies));
    dnnl_memory_desc_t desc;
    desc_by_tag(&l->bottoms[0].shape, in_blocks ? dnnl_nChw16c : dnnl_nhwc, &desc);
    desc = desc_of_type(&desc, lies->data_type);
    CLEANUP(pd_freep) dnnl_primitive_desc_t forward = NULL, backward = NULL;
    dnnl_lrn_desc_t op;
    if (dnnl_lrn_forward_desc_init(&op, is_training ? dnnl_forward_training : dnnl_forward_inference,
                                   dnnl_lrn_across_channels, &desc, s->size, s->alpha, s->beta,
                                   s->k) != dnnl_success)
        return OK;
    forward = pd_make(&op, NULL, NULL);
    if (!forward || pd_is_reference(forward))
        return OK;
    if (is_training) {
        if (dnnl_lrn_backward_desc_init(&op, dnnl_lrn_across_channels, &desc, &desc, s->size, s->alpha,
                                        s->beta, s->k) != dnnl_success)
            return OK;
        backward = pd_make(&op, NULL, forward);
        if (!backward || pd_is_reference(backward))
            return OK;
    }
    const dnnl_memory_desc_t *workspace = pd_query(forward, dnnl_query_workspace_md);
    s->has_workspace = workspace && dnnl_memory_desc_get_size(workspace) > 0;
    TRY(kernel_init(&s->forward, forward, err));
    kernel_arg(&s->forward, DNNL_ARG_SRC, &desc);
    kernel_arg(&s->forward, DNNL_ARG_DST, &desc);
    if (s->has_workspace) {
        kernel_arg(&s->forward, DNNL_ARG_WORKSPACE, workspace);
        plan_workspace(p, dnnl_memory_desc_get_size(workspace));
    }
    plan_scratch(p, s->forward.scratch_bytes);
    if (is_training) {
        TRY(kernel_init(&s->backward, backward, err));
        kernel_arg(&s->backward, DNNL_ARG_SRC, &desc);
        kernel_arg(&s->backward, DNNL_ARG_DIFF_DST, &desc);
        kernel_arg(&s->backward, DNNL_ARG_DIFF_SRC, &desc);
        if (s->has_workspace)
            kernel_arg(&s->backward, DNNL_ARG_WORKSPACE, workspace);
        plan_scratch(p, s->backward.scratch_bytes);
    }
    plan_backward_needs(p, NEEDS_BOTTOM_DATA);
    plan_bottom(p, 0, &desc);
    plan_top(p, 0, &desc);
    s->is_fast = true;
    return OK;
}

/* The workspace of the plain loops is the sum in brackets, of each element. */
static enum status lrn_plan(struct layer *l, struct planner *p, struct error *err)
{
    struct lrn *s = l->state;
    TRY(plan_fast(l, p, err));
    if (s->is_fast)
        return OK;
    size_t bytes = (size_t)shape_count(&l->bottoms[0].shape) * sizeof(float);
    plan_workspace(p, bytes);
    plan_scratch(p, bytes);
    return OK;
}

/* ---- sums over a neighbourhood, plain ---- */

/* out = sum of in over `size` channels around each; both (N,C,H*W). */
static void sum_across(const struct lrn *s, const float *in, float *out)
{
    int64_t plane = (int64_t)s->h * s->w;
    int half = s->size / 2;
#pragma omp parallel for collapse(2) if (s->n * s->c * plane >= ELEMENTWISE_PARALLEL)
    for (int n = 0; n < s->n; n++) {
        for (int c = 0; c < s->c; c++) {
            float *to = out + (n * (int64_t)s->c + c) * plane;
            memset(to, 0, (size_t)plane * sizeof(float));
            for (int other = MAX(c - half, 0); other <= MIN(c + half, s->c - 1); other++) {
                const float *from = in + (n * (int64_t)s->c + other) * plane;
#pragma omp simd
                for (int64_t i = 0; i < plane; i++)
                    to[i] += from[i];
            }
        }
    }
}

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

static void sum_around(const struct lrn *s, const float *in, float *out)
{
    if (s->within)
        sum_within(s, in, out);
    else
        sum_across(s, in, out);
}

/* Factor of the sum of squares. */
static float alpha_of(const struct lrn *s)
{
    return s->within ? s->alpha / (float)(s->size * s->size) : s->alpha / (float)s->size;
}

static void plain_forward(struct layer *l)
{
    const struct lrn *s = l->state;
    size_t n = l->bottoms[0].n_floats;
    const float *x = l->bottoms[0].data;
    float *y = l->tops[0].data, *scale = l->workspace, *square = l->scratch;
    float alpha = alpha_of(s), k = s->within ? 1 : s->k, beta = s->beta;
    ELEMENTWISE(i, n, square[i] = x[i] * x[i]);
    sum_around(s, square, scale);
    ELEMENTWISE(i, n, scale[i] = k + alpha * scale[i]);
#pragma omp parallel for if (n >= ELEMENTWISE_PARALLEL / 16)
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * powf(scale[i], -beta);
}

/*
 * dx = dy * scale^-beta - 2 alpha beta x * (sum around of dy * y / scale)
 *
 * The sum is made in dx, then read and overwritten element by element.
 */
static void plain_backward(struct layer *l)
{
    const struct lrn *s = l->state;
    size_t n = l->bottoms[0].n_floats;
    const float *x = l->bottoms[0].data, *y = l->tops[0].data, *dy = l->tops[0].diff, *scale = l->workspace;
    float *dx = l->bottoms[0].diff, *ratio = l->scratch;
    float factor = 2 * alpha_of(s) * s->beta, beta = s->beta;
    ELEMENTWISE(i, n, ratio[i] = dy[i] * y[i] / scale[i]);
    sum_around(s, ratio, dx);
#pragma omp parallel for if (n >= ELEMENTWISE_PARALLEL / 16)
    for (size_t i = 0; i < n; i++)
        dx[i] = dy[i] * powf(scale[i], -beta) - factor * x[i] * dx[i];
}

static enum status lrn_forward(struct layer *l, struct error *err)
{
    (void)err;
    struct lrn *s = l->state;
    if (s->is_fast)
        KERNEL_RUN(&s->forward, l->scratch, l->bottoms[0].data, l->tops[0].data, l->workspace);
    else
        plain_forward(l);
    return OK;
}

static void lrn_backward(struct layer *l)
{
    struct lrn *s = l->state;
    if (!l->bottoms[0].diff)
        return;
    if (s->is_fast)
        KERNEL_RUN(&s->backward, l->scratch, l->bottoms[0].data, l->tops[0].diff, l->bottoms[0].diff,
                   l->workspace);
    else
        plain_backward(l);
}

static void lrn_release(struct layer *l)
{
    struct lrn *s = l->state;
    kernel_release(&s->forward);
    kernel_release(&s->backward);
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
    .release = lrn_release,
};
