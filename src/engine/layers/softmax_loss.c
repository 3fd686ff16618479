/*
 * softmax_loss.c - loss = -sum log softmax(scores)[label] / normaliser.
 *
 * Scores (outer, classes, inner), labels (outer, inner), loss scalar; a
 * second top gets the probabilities.  A label that is no class is an error,
 * where Caffe reads beyond the array.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "engine/layers/softmax.h"
#include "engine/plan.h"

struct softmax_loss {
    int64_t outer, classes, inner;
    bool ignores;
    int ignored;
    Caffe__LossParameter__NormalizationMode normalization;
    int64_t n_valid; /* of the last forward */
};

static enum status softmax_loss_setup(struct layer *l, struct error *err)
{
    struct softmax_loss *s = l->state;
    const Caffe__SoftmaxParameter *softmax = l->def->param->softmax_param;
    const Caffe__LossParameter *loss = l->def->param->loss_param;
    const struct shape *shape = &l->bottoms[0].shape;
    int axis = shape_axis(shape, softmax ? softmax->axis : 1);
    s->outer = shape_count_range(shape, 0, axis);
    s->classes = shape->dim[axis];
    s->inner = shape_count_range(shape, axis + 1, shape->n_axes);
    s->normalization = CAFFE__LOSS_PARAMETER__NORMALIZATION_MODE__VALID;
    if (loss) {
        s->ignores = loss->has_ignore_label;
        s->ignored = loss->ignore_label;
        if (loss->has_normalization)
            s->normalization = loss->normalization;
        else if (loss->has_normalize && !loss->normalize)
            s->normalization = CAFFE__LOSS_PARAMETER__NORMALIZATION_MODE__BATCH_SIZE;
    }
    if (shape_count(&l->bottoms[1].shape) != s->outer * s->inner) {
        char text[SHAPE_TEXT_MAX];
        return error_set(err, INVALID, "%lld labels are needed, one for each prediction; the labels are %s",
                         (long long)(s->outer * s->inner), shape_text(&l->bottoms[1].shape, text));
    }
    return OK;
}

static enum status softmax_loss_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    plan_workspace(p, (size_t)shape_count(&l->bottoms[0].shape) * sizeof(float));
    return OK;
}

static double normaliser(const struct softmax_loss *s)
{
    double n = 1;
    switch (s->normalization) {
    case CAFFE__LOSS_PARAMETER__NORMALIZATION_MODE__FULL:
        n = (double)(s->outer * s->inner);
        break;
    case CAFFE__LOSS_PARAMETER__NORMALIZATION_MODE__VALID:
        n = (double)s->n_valid;
        break;
    case CAFFE__LOSS_PARAMETER__NORMALIZATION_MODE__BATCH_SIZE:
        n = (double)s->outer;
        break;
    default:
        break;
    }
    return n < 1 ? 1 : n;
}

/* log of at least FLT_MIN; NaN stays NaN, so that divergence shows in the loss. */
static double log_of(float p)
{
    return log(p < FLT_MIN ? FLT_MIN : p);
}

static enum status softmax_loss_forward(struct layer *l, struct error *err)
{
    struct softmax_loss *s = l->state;
    float *p = l->workspace;
    const float *labels = l->bottoms[1].data;
    softmax_rows(s->outer, s->classes, s->inner, l->bottoms[0].data, p);
    double loss = 0;
    s->n_valid = 0;
    for (int64_t i = 0; i < s->outer * s->inner; i++) {
        if (s->ignores && labels[i] == (float)s->ignored)
            continue;
        if (!(labels[i] > -1 && labels[i] < (float)s->classes))
            return error_set(err, INVALID, "label %g is not one of the %lld classes 0 to %lld", labels[i],
                             (long long)s->classes, (long long)s->classes - 1);
        int64_t label = (int64_t)labels[i];
        loss -= log_of(p[(i / s->inner * s->classes + label) * s->inner + i % s->inner]);
        s->n_valid++;
    }
    l->tops[0].data[0] = (float)(loss / normaliser(s));
    if (l->n_tops > 1)
        memcpy(l->tops[1].data, p, l->tops[1].n_floats * sizeof(float));
    return OK;
}

static void softmax_loss_backward(struct layer *l)
{
    const struct softmax_loss *s = l->state;
    if (!l->bottoms[0].diff)
        return;
    const float *p = l->workspace, *labels = l->bottoms[1].data;
    float *dx = l->bottoms[0].diff;
    float scale = (float)(l->tops[0].diff[0] / normaliser(s));
    for (int64_t i = 0; i < s->outer * s->inner; i++) {
        int64_t start = i / s->inner * s->classes * s->inner + i % s->inner;
        bool counts = !s->ignores || labels[i] != (float)s->ignored;
        for (int64_t c = 0; c < s->classes; c++)
            dx[start + c * s->inner] = counts ? scale * p[start + c * s->inner] : 0;
        if (counts)
            dx[start + (int64_t)labels[i] * s->inner] -= scale;
    }
}

const struct layer_ops layer_softmax_loss = {
    .type = "SoftmaxWithLoss",
    .state_size = sizeof(struct softmax_loss),
    .backward_needs = NEEDS_BOTTOM_DATA,
    .setup = softmax_loss_setup,
    .plan = softmax_loss_plan,
    .forward = softmax_loss_forward,
    .backward = softmax_loss_backward,
};
