/* Losses and measures: a scalar top from predictions and labels. */
#include "netdef/shapes.h"

/* The scalar top; the first axes of the first two bottoms must agree. */
static enum status shape_loss(struct shaping *s)
{
    char text_a[BOTTOM_TEXT_MAX], text_b[BOTTOM_TEXT_MAX];
    const struct shape *a = s->bottoms[0], *b = s->bottoms[1];
    s->tops[0] = shape_scalar;
    if (shape_is_known(a) && shape_is_known(b) && (a->n_axes < 1 || b->n_axes < 1 || a->dim[0] != b->dim[0]))
        return shape_error(s, "%s and %s must have the same first dimension", bottom_text(s, 0, text_a),
                           bottom_text(s, 1, text_b));
    return OK;
}

/* One label for each place of the prediction's other axes. */
static enum status check_labels(struct shaping *s, int axis)
{
    char text_a[BOTTOM_TEXT_MAX], text_b[BOTTOM_TEXT_MAX];
    const struct shape *a = s->bottoms[0];
    if (!shape_is_known(a))
        return OK;
    TRY(bottom_axis(s, 0, axis, &axis));
    if (!shape_is_known(s->bottoms[1]))
        return OK;
    int64_t wanted, outer = shape_count_range(a, 0, axis);
    if (__builtin_mul_overflow(outer, shape_count_range(a, axis + 1, a->n_axes), &wanted) ||
        wanted != shape_count(s->bottoms[1]))
        return shape_error(s,
                           "%s must hold %lld labels, one for each prediction of %s (classes are on axis %d)",
                           bottom_text(s, 1, text_b), (long long)wanted, bottom_text(s, 0, text_a), axis);
    return OK;
}

enum status shape_softmax_loss(struct shaping *s)
{
    TRY(shape_loss(s));
    TRY(check_labels(s, s->param->softmax_param ? s->param->softmax_param->axis : 1));
    if (s->n_tops > 1)
        s->tops[1] = *s->bottoms[0];
    return OK;
}

enum status shape_sigmoid_loss(struct shaping *s)
{
    char text_a[BOTTOM_TEXT_MAX], text_b[BOTTOM_TEXT_MAX];
    TRY(shape_loss(s));
    if (bottoms_known(s) && shape_count(s->bottoms[0]) != shape_count(s->bottoms[1]))
        return shape_error(s, "%s and %s must have the same count", bottom_text(s, 0, text_a),
                           bottom_text(s, 1, text_b));
    return OK;
}

enum status shape_euclidean_loss(struct shaping *s)
{
    char text_a[BOTTOM_TEXT_MAX], text_b[BOTTOM_TEXT_MAX];
    TRY(shape_loss(s));
    if (bottoms_known(s) && shape_count(s->bottoms[0]) != shape_count(s->bottoms[1]))
        return shape_error(s, "%s and %s must have the same dimension", bottom_text(s, 0, text_a),
                           bottom_text(s, 1, text_b));
    return OK;
}

enum status shape_hinge_loss(struct shaping *s)
{
    return shape_loss(s);
}

/* bottoms a, b (N, C[, 1, 1]), similar (N[, 1, 1, 1]) */
enum status shape_contrastive_loss(struct shaping *s)
{
    char text[BOTTOM_TEXT_MAX], text_a[BOTTOM_TEXT_MAX];
    TRY(shape_loss(s));
    if (!bottoms_known(s))
        return OK;
    for (int i = 0; i < 3; i++) {
        const struct shape *bottom = s->bottoms[i];
        TRY(check_legacy_axes(s, i));
        int channels = i < 2 ? legacy_axis(s->bottoms[0], 1) : 1;
        if (legacy_axis(bottom, 1) != channels || legacy_axis(bottom, 2) != 1 || legacy_axis(bottom, 3) != 1)
            return shape_error(s, "%s must have %d channels, as %s asks, and no height and width",
                               bottom_text(s, i, text), channels, bottom_text(s, 0, text_a));
    }
    return OK;
}

enum status shape_multinomial_loss(struct shaping *s)
{
    char text[BOTTOM_TEXT_MAX];
    TRY(shape_loss(s));
    const struct shape *labels = s->bottoms[1];
    if (!shape_is_known(labels))
        return OK;
    TRY(check_legacy_axes(s, 1));
    if (legacy_axis(labels, 1) != 1 || legacy_axis(labels, 2) != 1 || legacy_axis(labels, 3) != 1)
        return shape_error(s, "%s must hold one label an item", bottom_text(s, 1, text));
    return OK;
}

enum status shape_infogain_loss(struct shaping *s)
{
    const Caffe__InfogainLossParameter *param = s->param->infogain_loss_param;
    const Caffe__LossParameter *loss = s->param->loss_param;
    int axis = param ? param->axis : 1;
    char text[BOTTOM_TEXT_MAX];
    TRY(shape_loss(s));
    if (loss && loss->has_normalize)
        return shape_error(s, "loss_param's 'normalize' is not for this type; use 'normalization'");
    if (s->n_bottoms < 3 && (!param || !param->source))
        return shape_error(
            s, "the infogain matrix is missing: give infogain_loss_param { source: ... } or a third bottom");
    TRY(check_labels(s, axis));
    const struct shape *matrix = s->n_bottoms > 2 ? s->bottoms[2] : &shape_unknown;
    if (shape_is_known(s->bottoms[0]) && shape_is_known(matrix)) {
        int64_t classes = s->bottoms[0]->dim[shape_axis(s->bottoms[0], axis)];
        if (shape_count(matrix) != classes * classes)
            return shape_error(s, "%s must hold %lld times %lld values", bottom_text(s, 2, text),
                               (long long)classes, (long long)classes);
    }
    if (s->n_tops > 1)
        s->tops[1] = *s->bottoms[0];
    return OK;
}

/* tops: accuracy (), and accuracy of each class (C) */
enum status shape_accuracy(struct shaping *s)
{
    static const Caffe__AccuracyParameter none = CAFFE__ACCURACY_PARAMETER__INIT;
    const Caffe__AccuracyParameter *param = s->param->accuracy_param ? s->param->accuracy_param : &none;
    char text[BOTTOM_TEXT_MAX];
    s->tops[0] = shape_scalar;
    TRY(check_labels(s, param->axis));
    if (!shape_is_known(s->bottoms[0]))
        return OK;
    int classes = s->bottoms[0]->dim[shape_axis(s->bottoms[0], param->axis)];
    if (param->top_k > (unsigned)classes)
        return shape_error(s, "top_k %u is more than the %d classes of %s", param->top_k, classes,
                           bottom_text(s, 0, text));
    if (s->n_tops > 1)
        s->tops[1] = shape_vector(classes);
    return OK;
}

/* With an axis, that axis becomes top_k; without, top (N, 1 or 2, top_k, 1...). */
enum status shape_argmax(struct shaping *s)
{
    static const Caffe__ArgMaxParameter none = CAFFE__ARG_MAX_PARAMETER__INIT;
    const Caffe__ArgMaxParameter *param = s->param->argmax_param ? s->param->argmax_param : &none;
    const struct shape *bottom = s->bottoms[0];
    char text[BOTTOM_TEXT_MAX];
    if (param->top_k < 1)
        return shape_error(s, "top_k must be at least 1");
    if (!bottoms_known(s))
        return OK;
    int axis = 0;
    if (param->has_axis)
        TRY(bottom_axis(s, 0, param->axis, &axis));
    if (bottom->n_axes < 1)
        return shape_error(s, "%s must have at least 1 axis", bottom_text(s, 0, text));
    int64_t choices = param->has_axis ? bottom->dim[axis] : shape_count_range(bottom, 1, bottom->n_axes);
    if ((int64_t)param->top_k > choices)
        return shape_error(s, "top_k %u is more than the %lld values of %s", param->top_k, (long long)choices,
                           bottom_text(s, 0, text));
    s->tops[0] = *bottom;
    if (param->has_axis) {
        s->tops[0].dim[axis] = (int)param->top_k;
        return OK;
    }
    s->tops[0].n_axes = MAX(bottom->n_axes, 3);
    for (int i = 1; i < s->tops[0].n_axes; i++)
        s->tops[0].dim[i] = 1;
    s->tops[0].dim[1] = param->out_max_val ? 2 : 1;
    s->tops[0].dim[2] = (int)param->top_k;
    return OK;
}
