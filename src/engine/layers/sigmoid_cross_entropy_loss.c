/*
 * sigmoid_cross_entropy_loss.c - cross entropy of sigmoid(x) and targets t
 *
 *   loss = -sum(t * log(s) + (1 - t) * log(1 - s)) / divisor,  s = sigmoid(x)
 *   dx   = (s - t) / divisor
 *
 * The divisor is the batch size unless loss_param says otherwise.
 */
#include <math.h>

#include "engine/layers/layer_util.h"
#include "engine/layers/loss.h"

struct sigmoid_ce {
    struct ignored ignored;
    Caffe__LossParameter__NormalizationMode mode;
    double divisor; /* of the last forward pass */
};

static enum status sigmoid_ce_setup(struct layer *l, struct error *err)
{
    struct sigmoid_ce *s = l->state;
    const Caffe__LossParameter *p = l->def->param->loss_param;
    if (shape_count(&l->bottoms[0].shape) != shape_count(&l->bottoms[1].shape))
        return error_set(err, INVALID, "%lld targets for %lld scores",
                         (long long)shape_count(&l->bottoms[1].shape),
                         (long long)shape_count(&l->bottoms[0].shape));
    s->mode = loss_normalization(p, CAFFE__LOSS_PARAMETER__NORMALIZATION_MODE__BATCH_SIZE);
    s->ignored = (struct ignored){p && p->has_ignore_label, p ? p->ignore_label : 0};
    return OK;
}

static enum status sigmoid_ce_forward(struct layer *l, struct error *err)
{
    (void)err;
    struct sigmoid_ce *s = l->state;
    const float *x = l->bottoms[0].data, *t = l->bottoms[1].data;
    size_t n = l->bottoms[0].n_floats, n_valid = 0, batch = batch_of(&l->bottoms[0].shape);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (is_ignored(s->ignored, t[i]))
            continue;
        /* log(1 - s) = -max(x, 0) - log(1 + exp(-|x|)), which does not overflow */
        sum += (x[i] > 0 ? x[i] : 0) - x[i] * t[i] + log1pf(expf(-fabsf(x[i])));
        n_valid++;
    }
    s->divisor = loss_divisor(s->mode, batch, batch ? n / batch : 0, n_valid);
    l->tops[0].data[0] = (float)(sum / s->divisor);
    return OK;
}

static void sigmoid_ce_backward(struct layer *l)
{
    const struct sigmoid_ce *s = l->state;
    const float *x = l->bottoms[0].data, *t = l->bottoms[1].data;
    float *dx = l->bottoms[0].diff;
    float slope = (float)(l->tops[0].diff[0] / s->divisor);
    for (size_t i = 0; dx && i < l->bottoms[0].n_floats; i++)
        dx[i] = is_ignored(s->ignored, t[i]) ? 0 : slope * (0.5f * tanhf(0.5f * x[i]) + 0.5f - t[i]);
}

const struct layer_ops layer_sigmoid_cross_entropy_loss = {
    .type = "SigmoidCrossEntropyLoss",
    .state_size = sizeof(struct sigmoid_ce),
    .backward_needs = NEEDS_BOTTOM_DATA,
    .setup = sigmoid_ce_setup,
    .forward = sigmoid_ce_forward,
    .backward = sigmoid_ce_backward,
};
