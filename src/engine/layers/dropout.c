/*
 * dropout.c - in training, sets a share `dropout_ratio` of the elements to 0
 * and scales the others by 1 / (1 - ratio); otherwise the identity.  Any
 * shape, in place or not.
 */
#include <string.h>

#include "engine/bf16.h"
#include "engine/plan.h"

struct dropout {
    float scale;
    uint32_t threshold; /* an element is dropped when its 32 random bits are below */
    bool drops;
};

static enum status dropout_setup(struct layer *l, struct error *err)
{
    struct dropout *s = l->state;
    const Caffe__DropoutParameter *param = l->def->param->dropout_param;
    float ratio = param ? param->dropout_ratio : 0.5f;
    if (!(ratio > 0 && ratio < 1))
        return error_set(err, INVALID, "dropout_ratio is %g, not between 0 and 1", ratio);
    s->drops = l->phase == CAFFE__PHASE__TRAIN;
    s->scale = 1 / (1 - ratio);
    s->threshold = (uint32_t)(ratio * 4294967296.0);
    return OK;
}

static enum status dropout_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    const struct dropout *s = l->state;
    if (s->drops)
        plan_workspace(p, desc_n_elements(plan_bottom_desc(p, 0)) * sizeof(float));
    return OK;
}

/* What each element is multiplied by: 0 or scale.  One draw makes two. */
static void draw_mask(const struct dropout *s, struct rng *rng, size_t n, float *mask)
{
    for (size_t i = 0; i < n; i += 2) {
        uint64_t bits = rng_next(rng);
        mask[i] = (uint32_t)bits < s->threshold ? 0 : s->scale;
        if (i + 1 < n)
            mask[i + 1] = (uint32_t)(bits >> 32) < s->threshold ? 0 : s->scale;
    }
}

/* y = x times the mask; in backward of the gradients. */
BF16_CODE static void apply_bf16(const float *mask, size_t n, const bf16 *x, bf16 *y)
{
    ELEMENTWISE(i, n, y[i] = bf16_of(bf16_to_float(x[i]) * mask[i]));
}

static enum status dropout_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct dropout *s = l->state;
    size_t n = l->bottoms[0].n_floats;
    const float *x = l->bottoms[0].data;
    float *y = l->tops[0].data;
    bool is_bf16 = view_is_bf16(&l->bottoms[0]);
    if (!s->drops) {
        if (x != y)
            memcpy(y, x, n * (is_bf16 ? sizeof(bf16) : sizeof(float)));
        return OK;
    }
    float *mask = l->workspace;
    draw_mask(s, l->rng, n, mask);
    if (is_bf16)
        apply_bf16(mask, n, bf16_data(&l->bottoms[0]), bf16_data(&l->tops[0]));
    else
        ELEMENTWISE(i, n, y[i] = x[i] * mask[i]);
    return OK;
}

static void dropout_backward(struct layer *l)
{
    const struct dropout *s = l->state;
    if (!l->bottoms[0].diff)
        return;
    size_t n = l->bottoms[0].n_floats;
    const float *dy = l->tops[0].diff, *mask = l->workspace;
    float *dx = l->bottoms[0].diff;
    bool is_bf16 = view_is_bf16(&l->bottoms[0]);
    if (s->drops && is_bf16)
        apply_bf16(mask, n, bf16_diff(&l->tops[0]), bf16_diff(&l->bottoms[0]));
    else if (s->drops)
        ELEMENTWISE(i, n, dx[i] = dy[i] * mask[i]);
    else if (dx != dy)
        memcpy(dx, dy, n * (is_bf16 ? sizeof(bf16) : sizeof(float)));
}

const struct layer_ops layer_dropout = {
    .type = "Dropout",
    .state_size = sizeof(struct dropout),
    .any_representation = true,
    .bf16 = true,
    .setup = dropout_setup,
    .plan = dropout_plan,
    .forward = dropout_forward,
    .backward = dropout_backward,
};
