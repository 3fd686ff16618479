/*
 * hinge_loss.c - one-against-all hinge loss, L1 or L2
 *
 *   m = max(0, 1 + x) for the wrong classes, max(0, 1 - x) for the label's
 *   loss = sum(m) / N, or sum(m^2) / N
 *
 * bottom 0 (N, D), bottom 1 (N): one label an item, whatever the axes of D.
 */
#include "engine/layers/layer_util.h"
#include "engine/layers/loss.h"

struct hinge_loss {
    bool squared;
    size_t n, d;
};

static enum status hinge_loss_setup(struct layer *l, struct error *err)
{
    struct hinge_loss *s = l->state;
    s->squared =
        LAYER_PARAM(l, Caffe__HingeLossParameter, hinge_loss_param, CAFFE__HINGE_LOSS_PARAMETER__INIT)
            ->norm == CAFFE__HINGE_LOSS_PARAMETER__NORM__L2;
    s->n = batch_of(&l->bottoms[0].shape);
    s->d = s->n ? (size_t)shape_count(&l->bottoms[0].shape) / s->n : 0;
    if ((size_t)shape_count(&l->bottoms[1].shape) < s->n)
        return error_set(err, INVALID, "%lld labels for %zu items",
                         (long long)shape_count(&l->bottoms[1].shape), s->n);
    return OK;
}

static inline float margin(float x, bool is_label)
{
    float m = 1 + (is_label ? -x : x);
    return m > 0 ? m : 0;
}

static enum status hinge_loss_forward(struct layer *l, struct error *err)
{
    const struct hinge_loss *s = l->state;
    double sum = 0;
    for (size_t r = 0; r < s->n; r++) {
        const float *x = l->bottoms[0].data + r * s->d;
        int label = 0;
        TRY(label_read(l->bottoms[1].data[r], s->d, &label, err));
        for (size_t k = 0; k < s->d; k++) {
            float m = margin(x[k], (size_t)label == k);
            sum += s->squared ? m * m : m;
        }
    }
    l->tops[0].data[0] = (float)(sum / (double)s->n);
    return OK;
}

static void hinge_loss_backward(struct layer *l)
{
    const struct hinge_loss *s = l->state;
    float slope = l->tops[0].diff[0] / (float)s->n;
    if (!l->bottoms[0].diff)
        return;
    for (size_t r = 0; r < s->n; r++) {
        const float *x = l->bottoms[0].data + r * s->d;
        float *dx = l->bottoms[0].diff + r * s->d;
        size_t label = (size_t)l->bottoms[1].data[r];
        for (size_t k = 0; k < s->d; k++) {
            float m = margin(x[k], label == k);
            dx[k] = (label == k ? -slope : slope) * (s->squared ? 2 * m : m > 0 ? 1 : 0);
        }
    }
}

const struct layer_ops layer_hinge_loss = {
    .type = "HingeLoss",
    .state_size = sizeof(struct hinge_loss),
    .backward_needs = NEEDS_BOTTOM_DATA,
    .setup = hinge_loss_setup,
    .forward = hinge_loss_forward,
    .backward = hinge_loss_backward,
};
