/*
 * euclidean_loss.c - sum((a - b)^2) / (2 N), N the first axis; gradient to both
 */
#include "engine/elementwise.h"
#include "engine/layers/layer_util.h"
#include "engine/layers/loss.h"

static enum status euclidean_loss_forward(struct layer *l, struct error *err)
{
    (void)err;
    const float *a = l->bottoms[0].data, *b = l->bottoms[1].data;
    double sum = 0;
    for (size_t i = 0; i < l->bottoms[0].n_floats; i++) {
        float d = a[i] - b[i];
        sum += d * d;
    }
    l->tops[0].data[0] = (float)(sum / (double)batch_of(&l->bottoms[0].shape) / 2);
    return OK;
}

static void euclidean_loss_backward(struct layer *l)
{
    const float *a = l->bottoms[0].data, *b = l->bottoms[1].data;
    float slope = l->tops[0].diff[0] / (float)batch_of(&l->bottoms[0].shape);
    size_t n = l->bottoms[0].n_floats;
    float *da = l->bottoms[0].diff, *db = l->bottoms[1].diff;
    if (da)
        ELEMENTWISE(i, n, da[i] = slope * (a[i] - b[i]));
    if (db)
        ELEMENTWISE(i, n, db[i] = slope * (b[i] - a[i]));
}

const struct layer_ops layer_euclidean_loss = {
    .type = "EuclideanLoss",
    .backward_needs = NEEDS_BOTTOM_DATA,
    .forward = euclidean_loss_forward,
    .backward = euclidean_loss_backward,
};
