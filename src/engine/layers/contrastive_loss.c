/*
 * contrastive_loss.c - brings pairs of a kind together and others a margin apart
 *
 *   bottoms a (N, D), b (N, D), y (N): 1 for a pair of a kind; d = |a - b|
 *   loss = sum(y d^2 + (1 - y) max(margin - d, 0)^2) / (2 N)
 *
 * The legacy version has max(margin - d^2, 0) as the second term.
 */
#include <math.h>

#include "engine/layers/layer_util.h"
#include "engine/layers/loss.h"

struct contrastive {
    size_t n, d;
    float margin;
    bool is_legacy;
};

static enum status contrastive_setup(struct layer *l, struct error *err)
{
    struct contrastive *s = l->state;
    const Caffe__ContrastiveLossParameter *p = LAYER_PARAM(
        l, Caffe__ContrastiveLossParameter, contrastive_loss_param, CAFFE__CONTRASTIVE_LOSS_PARAMETER__INIT);
    s->n = batch_of(&l->bottoms[0].shape);
    s->d = s->n ? (size_t)shape_count(&l->bottoms[0].shape) / s->n : 0;
    s->margin = p->margin;
    s->is_legacy = p->legacy_version;
    if ((size_t)shape_count(&l->bottoms[1].shape) != s->n * s->d ||
        (size_t)shape_count(&l->bottoms[2].shape) != s->n)
        return error_set(err, INVALID, "needs two blobs of one size and a label for each of the %zu pairs",
                         s->n);
    return OK;
}

static float squared_distance(const struct layer *l, size_t pair, size_t d)
{
    const float *a = l->bottoms[0].data + pair * d, *b = l->bottoms[1].data + pair * d;
    float sum = 0;
    for (size_t i = 0; i < d; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

static enum status contrastive_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct contrastive *s = l->state;
    double sum = 0;
    for (size_t r = 0; r < s->n; r++) {
        float square = squared_distance(l, r, s->d);
        float gap = fmaxf(s->margin - (s->is_legacy ? square : sqrtf(square)), 0);
        if ((int)l->bottoms[2].data[r])
            sum += square;
        else
            sum += s->is_legacy ? gap : gap * gap;
    }
    l->tops[0].data[0] = (float)(sum / (double)s->n / 2);
    return OK;
}

/* The gradient of the pair's term to a is this times (a - b). */
static float pair_slope(const struct contrastive *s, bool is_alike, float square)
{
    if (is_alike)
        return 1;
    if (s->is_legacy)
        return s->margin - square > 0 ? -1 : 0;
    float distance = sqrtf(square);
    float gap = s->margin - distance;
    /* 1e-4 as in Caffe: two equal points have no direction to part in. */
    return gap > 0 ? -gap / (distance + 1e-4f) : 0;
}

static void contrastive_backward(struct layer *l)
{
    const struct contrastive *s = l->state;
    float scale = l->tops[0].diff[0] / (float)s->n;
    for (size_t r = 0; r < s->n; r++) {
        float slope = scale * pair_slope(s, (int)l->bottoms[2].data[r] != 0, squared_distance(l, r, s->d));
        for (size_t i = r * s->d; i < (r + 1) * s->d; i++) {
            float towards = slope * (l->bottoms[0].data[i] - l->bottoms[1].data[i]);
            if (l->bottoms[0].diff)
                l->bottoms[0].diff[i] = towards;
            if (l->bottoms[1].diff)
                l->bottoms[1].diff[i] = -towards;
        }
    }
}

const struct layer_ops layer_contrastive_loss = {
    .type = "ContrastiveLoss",
    .state_size = sizeof(struct contrastive),
    .backward_needs = NEEDS_BOTTOM_DATA,
    .setup = contrastive_setup,
    .forward = contrastive_forward,
    .backward = contrastive_backward,
};
