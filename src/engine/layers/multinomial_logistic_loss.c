/*
 * multinomial_logistic_loss.c - -log of the label's probability, over N
 *
 *   bottom 0 probabilities (N, D), bottom 1 labels (N)
 */
#include <math.h>
#include <string.h>

#include "engine/layers/layer_util.h"
#include "engine/layers/loss.h"

/* Smaller probabilities count as this. */
#define LEAST 1e-20f

static size_t classes_of(const struct layer *l)
{
    size_t n = batch_of(&l->bottoms[0].shape);
    return n ? (size_t)shape_count(&l->bottoms[0].shape) / n : 0;
}

static enum status multinomial_forward(struct layer *l, struct error *err)
{
    size_t n = batch_of(&l->bottoms[0].shape), d = classes_of(l);
    double sum = 0;
    for (size_t r = 0; r < n; r++) {
        int label = 0;
        TRY(label_read(l->bottoms[1].data[r], d, &label, err));
        sum -= log(fmaxf(l->bottoms[0].data[r * d + (size_t)label], LEAST));
    }
    l->tops[0].data[0] = (float)(sum / (double)n);
    return OK;
}

static void multinomial_backward(struct layer *l)
{
    size_t n = batch_of(&l->bottoms[0].shape), d = classes_of(l);
    float scale = -l->tops[0].diff[0] / (float)n;
    if (!l->bottoms[0].diff)
        return;
    memset(l->bottoms[0].diff, 0, n * d * sizeof(float));
    for (size_t r = 0; r < n; r++) {
        size_t at = r * d + (size_t)l->bottoms[1].data[r];
        l->bottoms[0].diff[at] = scale / fmaxf(l->bottoms[0].data[at], LEAST);
    }
}

const struct layer_ops layer_multinomial_logistic_loss = {
    .type = "MultinomialLogisticLoss",
    .backward_needs = NEEDS_BOTTOM_DATA,
    .forward = multinomial_forward,
    .backward = multinomial_backward,
};
