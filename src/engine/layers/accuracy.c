/*
 * accuracy.c - the share of items whose label is among the top_k scores; no gradient
 *
 *   bottom 0 (outer, classes, inner), bottom 1 (outer, inner)
 *   top 0 a scalar, top 1 (classes): the same for the items of each class
 *
 * A score equal to the label's counts as better, so a tie is wrong.
 */
#include <string.h>

#include "engine/layers/layer_util.h"
#include "engine/layers/loss.h"
#include "engine/plan.h"

struct accuracy {
    struct around of;
    size_t top_k;
    struct ignored ignored;
};

static enum status accuracy_setup(struct layer *l, struct error *err)
{
    struct accuracy *s = l->state;
    const Caffe__AccuracyParameter *p =
        LAYER_PARAM(l, Caffe__AccuracyParameter, accuracy_param, CAFFE__ACCURACY_PARAMETER__INIT);
    const struct shape *shape = &l->bottoms[0].shape;
    s->of = shape_around(shape, shape_axis(shape, p->axis));
    s->top_k = p->top_k;
    s->ignored = (struct ignored){p->has_ignore_label, p->ignore_label};
    if ((size_t)shape_count(&l->bottoms[1].shape) != s->of.outer * s->of.inner)
        return error_set(err, INVALID, "%lld labels for %zu items",
                         (long long)shape_count(&l->bottoms[1].shape), s->of.outer * s->of.inner);
    return OK;
}

static enum status accuracy_plan(struct layer *l, struct planner *p, struct error *err)
{
    (void)err;
    if (l->n_tops > 1)
        plan_scratch(p, ((const struct accuracy *)l->state)->of.n * sizeof(float));
    return OK;
}

static bool is_right(const struct accuracy *s, const float *scores, int label)
{
    float own = scores[(size_t)label * s->of.inner];
    size_t better = 0;
    for (size_t k = 0; k < s->of.n && better <= s->top_k; k++)
        better += scores[k * s->of.inner] >= own;
    return better <= s->top_k;
}

static enum status accuracy_forward(struct layer *l, struct error *err)
{
    const struct accuracy *s = l->state;
    float *of_class = l->n_tops > 1 ? l->tops[1].data : NULL, *n_of_class = l->scratch;
    size_t n = 0, n_right = 0;
    if (of_class) {
        memset(of_class, 0, s->of.n * sizeof(float));
        memset(n_of_class, 0, s->of.n * sizeof(float));
    }
    for (size_t o = 0; o < s->of.outer; o++)
        for (size_t i = 0; i < s->of.inner; i++) {
            float value = l->bottoms[1].data[o * s->of.inner + i];
            int label = 0;
            if (is_ignored(s->ignored, value))
                continue;
            TRY(label_read(value, s->of.n, &label, err));
            bool right = is_right(s, l->bottoms[0].data + o * s->of.n * s->of.inner + i, label);
            n++;
            n_right += right;
            if (of_class) {
                n_of_class[label]++;
                of_class[label] += right;
            }
        }
    l->tops[0].data[0] = n ? (float)n_right / (float)n : 0;
    for (size_t k = 0; of_class && k < s->of.n; k++)
        of_class[k] = n_of_class[k] > 0 ? of_class[k] / n_of_class[k] : 0;
    return OK;
}

const struct layer_ops layer_accuracy = {
    .type = "Accuracy",
    .state_size = sizeof(struct accuracy),
    .setup = accuracy_setup,
    .plan = accuracy_plan,
    .forward = accuracy_forward,
};
