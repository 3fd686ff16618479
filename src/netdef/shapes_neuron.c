/* Layers whose top has the shape of their bottom: element-wise ones and normalisations. */
#include "netdef/shapes.h"

enum status shape_like_bottom(struct shaping *s)
{
    s->tops[0] = *s->bottoms[0];
    return OK;
}

enum status shape_dropout(struct shaping *s)
{
    float ratio = s->param->dropout_param ? s->param->dropout_param->dropout_ratio : 0.5f;
    if (!(ratio >= 0 && ratio < 1))
        return shape_error(s, "dropout_ratio %g must be at least 0 and less than 1", (double)ratio);
    return shape_like_bottom(s);
}

static enum status check_base(struct shaping *s, float base)
{
    if (base != -1 && !(base > 0))
        return shape_error(s, "base %g must be positive, or -1 for e", (double)base);
    return shape_like_bottom(s);
}

enum status shape_exp(struct shaping *s)
{
    return check_base(s, s->param->exp_param ? s->param->exp_param->base : -1);
}

enum status shape_log(struct shaping *s)
{
    return check_base(s, s->param->log_param ? s->param->log_param->base : -1);
}

enum status shape_prelu(struct shaping *s)
{
    const Caffe__PReLUParameter *param = s->param->prelu_param;
    const struct shape *bottom = s->bottoms[0];
    char text[BOTTOM_TEXT_MAX];
    struct shape slopes = shape_scalar;
    if (bottoms_known(s) && bottom->n_axes < 2)
        return shape_error(s, "%s must have at least 2 axes", bottom_text(s, 0, text));
    if (!param || !param->channel_shared)
        slopes = bottoms_known(s) ? shape_vector(bottom->dim[1]) : shape_unknown;
    declare_param(s, slopes, param && param->filler ? param->filler : &filler_quarter);
    return shape_like_bottom(s);
}

/* Accumulated mean (C), variance (C) and weight (1). */
enum status shape_batch_norm(struct shaping *s)
{
    const struct shape *bottom = s->bottoms[0];
    struct shape channels = shape_unknown;
    char text[BOTTOM_TEXT_MAX];
    if (bottoms_known(s)) {
        if (bottom->n_axes < 2)
            return shape_error(s, "%s must have at least 2 axes", bottom_text(s, 0, text));
        channels = shape_vector(bottom->dim[1]);
    }
    declare_param(s, channels, NULL);
    declare_param(s, channels, NULL);
    declare_param(s, shape_vector(1), NULL);
    return shape_like_bottom(s);
}

/* The axes [axis, axis + n_axes) of the bottom; n_axes -1 is to the end. */
static enum status covered_axes(struct shaping *s, int axis, int n_axes, struct shape *ret_shape)
{
    const struct shape *bottom = s->bottoms[0];
    char text[BOTTOM_TEXT_MAX];
    if (n_axes < -1)
        return shape_error(s, "num_axes %d must be at least 0, or -1 for all", n_axes);
    *ret_shape = n_axes == 0 ? shape_scalar : shape_unknown;
    if (!shape_is_known(bottom))
        return OK;
    TRY(bottom_axis(s, 0, axis, &axis));
    int end = n_axes < 0 ? bottom->n_axes : axis + n_axes;
    if (n_axes > bottom->n_axes || end > bottom->n_axes)
        return shape_error(s, "num_axes %d from axis %d is past the axes of %s", n_axes, axis,
                           bottom_text(s, 0, text));
    ret_shape->n_axes = end - axis;
    for (int i = axis; i < end; i++)
        ret_shape->dim[i - axis] = bottom->dim[i];
    return OK;
}

/* The second bottom must be axes of the first, from axis on. */
static enum status check_covered(struct shaping *s, int axis)
{
    const struct shape *bottom = s->bottoms[0], *factor = s->bottoms[1];
    char text[BOTTOM_TEXT_MAX], text_factor[BOTTOM_TEXT_MAX];
    if (!bottoms_known(s) || factor->n_axes == 0)
        return OK;
    TRY(bottom_axis(s, 0, axis, &axis));
    bool fits = axis + factor->n_axes <= bottom->n_axes;
    for (int i = 0; fits && i < factor->n_axes; i++)
        fits = bottom->dim[axis + i] == factor->dim[i];
    if (!fits)
        return shape_error(s, "%s must match the axes of %s from axis %d on", bottom_text(s, 1, text_factor),
                           bottom_text(s, 0, text), axis);
    return OK;
}

enum status shape_scale(struct shaping *s)
{
    static const Caffe__ScaleParameter none = CAFFE__SCALE_PARAMETER__INIT;
    const Caffe__ScaleParameter *param = s->param->scale_param ? s->param->scale_param : &none;
    struct shape covered = shape_scalar;
    if (s->n_bottoms > 1)
        TRY(check_covered(s, param->axis));
    else
        TRY(covered_axes(s, param->axis, param->num_axes, &covered));
    if (s->n_bottoms == 1)
        declare_param(s, covered, param->filler ? param->filler : &filler_one);
    if (param->bias_term)
        declare_param(s, s->n_bottoms > 1 ? *s->bottoms[1] : covered, param->bias_filler);
    return shape_like_bottom(s);
}

enum status shape_bias(struct shaping *s)
{
    static const Caffe__BiasParameter none = CAFFE__BIAS_PARAMETER__INIT;
    const Caffe__BiasParameter *param = s->param->bias_param ? s->param->bias_param : &none;
    struct shape covered;
    if (s->n_bottoms > 1) {
        TRY(check_covered(s, param->axis));
    } else {
        TRY(covered_axes(s, param->axis, param->num_axes, &covered));
        declare_param(s, covered, param->filler);
    }
    return shape_like_bottom(s);
}

enum status shape_lrn(struct shaping *s)
{
    const Caffe__LRNParameter *param = s->param->lrn_param;
    if (param && param->local_size % 2 == 0)
        return shape_error(s, "local_size %u must be odd", param->local_size);
    if (bottoms_known(s))
        TRY(check_n_axes(s, 0, 4));
    return shape_like_bottom(s);
}

/* top is always (N, C, H, W) */
enum status shape_mvn(struct shaping *s)
{
    if (!bottoms_known(s))
        return OK;
    TRY(check_legacy_axes(s, 0));
    s->tops[0].n_axes = 4;
    for (int i = 0; i < 4; i++)
        s->tops[0].dim[i] = legacy_axis(s->bottoms[0], i);
    return OK;
}

enum status shape_softmax(struct shaping *s)
{
    int axis = s->param->softmax_param ? s->param->softmax_param->axis : 1;
    if (bottoms_known(s))
        TRY(bottom_axis(s, 0, axis, &axis));
    return shape_like_bottom(s);
}
