/* Layers that move, combine or select values: Concat, Slice, Reshape and the like. */
#include "netdef/shapes.h"

#include <limits.h>

/* Concat's and Slice's axis, which has an unsigned legacy form. */
static enum status legacy_or_axis(struct shaping *s, const char *legacy, bool has_legacy,
                                  uint32_t legacy_value, bool has_axis, int axis, int *ret_axis)
{
    if (has_legacy && has_axis)
        return shape_error(s, "give axis or its legacy form %s, not both", legacy);
    if (has_legacy && legacy_value > INT_MAX)
        return shape_error(s, "%s %u is out of range", legacy, legacy_value);
    return bottom_axis(s, 0, has_legacy ? (int)legacy_value : axis, ret_axis);
}

enum status shape_concat(struct shaping *s)
{
    static const Caffe__ConcatParameter none = CAFFE__CONCAT_PARAMETER__INIT;
    const Caffe__ConcatParameter *param = s->param->concat_param ? s->param->concat_param : &none;
    char text_a[BOTTOM_TEXT_MAX], text_b[BOTTOM_TEXT_MAX];
    if (!bottoms_known(s))
        return OK;
    int axis;
    TRY(legacy_or_axis(s, "concat_dim", param->has_concat_dim, param->concat_dim, param->has_axis,
                       param->axis, &axis));
    struct shape top = *s->bottoms[0];
    for (int i = 1; i < s->n_bottoms; i++) {
        const struct shape *bottom = s->bottoms[i];
        bool fits = bottom->n_axes == top.n_axes;
        for (int k = 0; fits && k < top.n_axes; k++)
            fits = k == axis || bottom->dim[k] == top.dim[k];
        if (!fits || __builtin_add_overflow(top.dim[axis], bottom->dim[axis], &top.dim[axis]))
            return shape_error(s, "%s and %s must have the same shape except on axis %d",
                               bottom_text(s, 0, text_a), bottom_text(s, i, text_b), axis);
    }
    s->tops[0] = top;
    return OK;
}

static enum status slice_at_points(struct shaping *s, const Caffe__SliceParameter *param, int axis)
{
    char text[BOTTOM_TEXT_MAX];
    uint32_t start = 0, length = (uint32_t)s->bottoms[0]->dim[axis];
    if (param->n_slice_point != (size_t)s->n_tops - 1)
        return shape_error(s, "%d tops need %d slice_points, not %zu", s->n_tops, s->n_tops - 1,
                           param->n_slice_point);
    for (int i = 0; i < s->n_tops; i++) {
        uint32_t end = i + 1 < s->n_tops ? param->slice_point[i] : length;
        if (end <= start || end > length)
            return shape_error(s, "slice_points must rise from 1 to less than %u, the axis %d of %s", length,
                               axis, bottom_text(s, 0, text));
        s->tops[i].dim[axis] = (int)(end - start);
        start = end;
    }
    return OK;
}

enum status shape_slice(struct shaping *s)
{
    static const Caffe__SliceParameter none = CAFFE__SLICE_PARAMETER__INIT;
    const Caffe__SliceParameter *param = s->param->slice_param ? s->param->slice_param : &none;
    char text[BOTTOM_TEXT_MAX];
    if (!bottoms_known(s))
        return OK;
    int axis;
    TRY(legacy_or_axis(s, "slice_dim", param->has_slice_dim, param->slice_dim, param->has_axis, param->axis,
                       &axis));
    int length = s->bottoms[0]->dim[axis];
    for (int i = 0; i < s->n_tops; i++)
        s->tops[i] = *s->bottoms[0];
    if (param->n_slice_point)
        return slice_at_points(s, param, axis);
    if (length % s->n_tops)
        return shape_error(s, "%d tops cannot share axis %d of %s evenly", s->n_tops, axis,
                           bottom_text(s, 0, text));
    for (int i = 0; i < s->n_tops; i++)
        s->tops[i].dim[axis] = length / s->n_tops;
    return OK;
}

enum status shape_split(struct shaping *s)
{
    for (int i = 0; i < s->n_tops; i++)
        s->tops[i] = *s->bottoms[0];
    return OK;
}

enum status shape_eltwise(struct shaping *s)
{
    const Caffe__EltwiseParameter *param = s->param->eltwise_param;
    if (param && param->n_coeff && param->n_coeff != (size_t)s->n_bottoms)
        return shape_error(s, "coeff must be given once for each of the %d bottoms, not %zu times",
                           s->n_bottoms, param->n_coeff);
    if (param && param->n_coeff && param->operation == CAFFE__ELTWISE_PARAMETER__ELTWISE_OP__PROD)
        return shape_error(s, "coeff is for operation SUM only");
    int known = 0;
    while (known < s->n_bottoms && !shape_is_known(s->bottoms[known]))
        known++;
    for (int i = known + 1; i < s->n_bottoms; i++) {
        if (shape_is_known(s->bottoms[i]))
            TRY(check_same_shape(s, known, i));
    }
    if (known < s->n_bottoms)
        s->tops[0] = *s->bottoms[known];
    return OK;
}

enum status shape_flatten(struct shaping *s)
{
    static const Caffe__FlattenParameter none = CAFFE__FLATTEN_PARAMETER__INIT;
    const Caffe__FlattenParameter *param = s->param->flatten_param ? s->param->flatten_param : &none;
    const struct shape *bottom = s->bottoms[0];
    if (!bottoms_known(s))
        return OK;
    int first, last;
    TRY(bottom_axis(s, 0, param->axis, &first));
    TRY(bottom_axis(s, 0, param->end_axis, &last));
    if (last < first - 1)
        return shape_error(s, "end_axis %d is before axis %d", param->end_axis, param->axis);
    int64_t dims[SHAPE_MAX_AXES];
    int n = 0;
    for (int i = 0; i < first; i++)
        dims[n++] = bottom->dim[i];
    dims[n++] = shape_count_range(bottom, first, last + 1);
    for (int i = last + 1; i < bottom->n_axes; i++)
        dims[n++] = bottom->dim[i];
    return set_top(s, 0, n, dims);
}

/* The axes [start, end) that Reshape replaces.  A negative axis counts from one past the last. */
static enum status replaced_axes(struct shaping *s, const Caffe__ReshapeParameter *param, int *ret_start,
                                 int *ret_end)
{
    char text[BOTTOM_TEXT_MAX];
    int n_axes = s->bottoms[0]->n_axes;
    int64_t start = param->axis >= 0 ? param->axis : (int64_t)n_axes + param->axis + 1;
    int64_t end = param->num_axes == -1 ? n_axes : start + param->num_axes;
    if (start < 0 || start > n_axes || param->num_axes < -1 || end > n_axes)
        return shape_error(s, "axis %d and num_axes %d are out of range for %s", param->axis, param->num_axes,
                           bottom_text(s, 0, text));
    *ret_start = (int)start;
    *ret_end = (int)end;
    return OK;
}

/* Fills the one dim of -1, or sees that the counts agree. */
static enum status infer_dim(struct shaping *s, int64_t *dims, int n, int inferred)
{
    char text[BOTTOM_TEXT_MAX];
    int64_t rest = 1, count = shape_count(s->bottoms[0]);
    for (int i = 0; i < n; i++) {
        if (i != inferred && __builtin_mul_overflow(rest, dims[i], &rest))
            return shape_error(s, "the new shape is too large");
    }
    if (inferred >= 0 ? rest == 0 || count % rest : rest != count)
        return shape_error(s, "%s cannot have the new shape, whose dimensions multiply to %lld",
                           bottom_text(s, 0, text), (long long)rest);
    if (inferred >= 0)
        dims[inferred] = count / rest;
    return OK;
}

enum status shape_reshape(struct shaping *s)
{
    static const Caffe__ReshapeParameter none = CAFFE__RESHAPE_PARAMETER__INIT;
    const Caffe__ReshapeParameter *param = s->param->reshape_param ? s->param->reshape_param : &none;
    const struct shape *bottom = s->bottoms[0];
    size_t n_new = param->shape ? param->shape->n_dim : 0;
    if (!bottoms_known(s))
        return OK;
    int start = 0, end = 0, n = 0, inferred = -1;
    TRY(replaced_axes(s, param, &start, &end));
    if (n_new + (size_t)(bottom->n_axes - (end - start)) > SHAPE_MAX_AXES)
        return shape_error(s, "the new shape has more than %d axes", SHAPE_MAX_AXES);
    int64_t dims[SHAPE_MAX_AXES];
    for (int i = 0; i < start; i++)
        dims[n++] = bottom->dim[i];
    for (size_t i = 0; i < n_new; i++) {
        int64_t dim = param->shape->dim[i];
        if (dim < -1 || (dim == -1 && inferred >= 0))
            return shape_error(s, "a new dimension must be at least 0, and only one may be -1");
        if (dim == 0 && n >= bottom->n_axes)
            return shape_error(
                s, "dimension %d of the new shape is 0, but the bottom has no such axis to keep", n);
        if (dim == -1)
            inferred = n;
        dims[n] = dim == 0 ? bottom->dim[n] : dim;
        n++;
    }
    for (int i = end; i < bottom->n_axes; i++)
        dims[n++] = bottom->dim[i];
    TRY(infer_dim(s, dims, n, inferred));
    return set_top(s, 0, n, dims);
}

/* top: the first bottom, from axis on as long as the second */
enum status shape_crop(struct shaping *s)
{
    static const Caffe__CropParameter none = CAFFE__CROP_PARAMETER__INIT;
    const Caffe__CropParameter *param = s->param->crop_param ? s->param->crop_param : &none;
    const struct shape *bottom = s->bottoms[0], *size = s->bottoms[1];
    char text_a[BOTTOM_TEXT_MAX], text_b[BOTTOM_TEXT_MAX];
    if (!bottoms_known(s))
        return OK;
    int axis;
    TRY(bottom_axis(s, 0, param->axis, &axis));
    if (param->n_offset > 1 && param->n_offset != (size_t)(bottom->n_axes - axis))
        return shape_error(
            s, "offset must be given once, or once for each of the %d cropped axes, not %zu times",
            bottom->n_axes - axis, param->n_offset);
    s->tops[0] = *bottom;
    for (int i = axis; i < bottom->n_axes; i++) {
        int64_t offset = param->n_offset ? param->offset[param->n_offset == 1 ? 0 : i - axis] : 0;
        if (i >= size->n_axes || offset + size->dim[i] > bottom->dim[i])
            return shape_error(s, "axis %d of %s, from offset %lld, does not hold that of %s", i,
                               bottom_text(s, 0, text_a), (long long)offset, bottom_text(s, 1, text_b));
        s->tops[0].dim[i] = size->dim[i];
    }
    return OK;
}

enum status shape_tile(struct shaping *s)
{
    const Caffe__TileParameter *param = s->param->tile_param;
    int axis;
    if (!param || !param->has_tiles || param->tiles < 1)
        return shape_error(s, "tile_param's 'tiles' must be at least 1");
    if (!bottoms_known(s))
        return OK;
    TRY(bottom_axis(s, 0, param->axis, &axis));
    s->tops[0] = *s->bottoms[0];
    if (__builtin_mul_overflow(s->tops[0].dim[axis], param->tiles, &s->tops[0].dim[axis]))
        return shape_error(s, "the top has more than 2147483647 elements");
    return OK;
}

/* top: the axes before the first that is reduced */
enum status shape_reduction(struct shaping *s)
{
    int axis = s->param->reduction_param ? s->param->reduction_param->axis : 0;
    if (!bottoms_known(s)) {
        if (axis == 0)
            s->tops[0] = shape_scalar;
        return OK;
    }
    TRY(bottom_axis(s, 0, axis, &axis));
    s->tops[0] = *s->bottoms[0];
    s->tops[0].n_axes = axis;
    return OK;
}

/* bottoms (N, ...), permutation (M); top (M, ...) */
enum status shape_batch_reindex(struct shaping *s)
{
    char text[BOTTOM_TEXT_MAX];
    if (shape_is_known(s->bottoms[1]))
        TRY(check_n_axes(s, 1, 1));
    if (!bottoms_known(s))
        return OK;
    if (s->bottoms[0]->n_axes < 1)
        return shape_error(s, "%s must have at least 1 axis", bottom_text(s, 0, text));
    s->tops[0] = *s->bottoms[0];
    s->tops[0].dim[0] = s->bottoms[1]->dim[0];
    return OK;
}

/* bottoms (N, ...)..., selector (N, 1...); tops at most (N, ...): fewer rows while running */
enum status shape_filter(struct shaping *s)
{
    char text[BOTTOM_TEXT_MAX], text_b[BOTTOM_TEXT_MAX];
    int last = s->n_bottoms - 1;
    const struct shape *selector = s->bottoms[last];
    if (shape_is_known(selector) &&
        (selector->n_axes < 1 || shape_count_range(selector, 1, selector->n_axes) != 1))
        return shape_error(s, "%s, the selector, must hold one value an item", bottom_text(s, last, text));
    for (int i = 0; i < last; i++) {
        const struct shape *bottom = s->bottoms[i];
        if (shape_is_known(selector) && shape_is_known(bottom) &&
            (bottom->n_axes < 1 || bottom->dim[0] != selector->dim[0]))
            return shape_error(s, "%s and %s must have the same first dimension", bottom_text(s, i, text),
                               bottom_text(s, last, text_b));
        s->tops[i] = *bottom;
    }
    return OK;
}

enum status shape_silence(struct shaping *s)
{
    (void)s;
    return OK;
}
