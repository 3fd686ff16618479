#include "netdef/shapes.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

const struct shape shape_unknown = {.n_axes = -1}, shape_scalar = {.n_axes = 0};

static char constant[] = "constant";

#define CONSTANT_FILLER(value_)                                                                              \
    {                                                                                                        \
        .base = PROTOBUF_C_MESSAGE_INIT(&caffe__filler_parameter__descriptor), .type = constant,             \
        .has_value = 1, .value = (value_), .max = 1, .std = 1, .sparse = -1                                  \
    }

const Caffe__FillerParameter filler_zero = CONSTANT_FILLER(0);
const Caffe__FillerParameter filler_one = CONSTANT_FILLER(1);
const Caffe__FillerParameter filler_quarter = CONSTANT_FILLER(0.25f);

enum status shape_error(struct shaping *s, const char *format, ...)
{
    char message[ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    return error_set(s->err, INVALID, "%s", message);
}

const char *bottom_text(const struct shaping *s, int i, char out[BOTTOM_TEXT_MAX])
{
    char shape[SHAPE_TEXT_MAX];
    snprintf(out, BOTTOM_TEXT_MAX, "bottom '%s' of shape %s", s->param->bottom[i],
             shape_text(s->bottoms[i], shape));
    return out;
}

bool bottoms_known(const struct shaping *s)
{
    for (int i = 0; i < s->n_bottoms; i++) {
        if (!shape_is_known(s->bottoms[i]))
            return false;
    }
    return true;
}

struct shape shape_of(int n_axes, const int64_t *dims)
{
    struct shape shape = {.n_axes = n_axes};
    for (int i = 0; i < n_axes; i++) {
        if (dims[i] < 0 || dims[i] > INT_MAX)
            return shape_unknown;
        shape.dim[i] = (int)dims[i];
    }
    return shape;
}

enum status set_top(struct shaping *s, int top, int n_axes, const int64_t *dims)
{
    s->tops[top] = shape_of(n_axes, dims);
    if (!shape_is_known(&s->tops[top]))
        return shape_error(s, "top '%s' would have an axis longer than 2147483647", s->param->top[top]);
    return OK;
}

struct shape shape_vector(int64_t n)
{
    return shape_of(1, &n);
}

int legacy_axis(const struct shape *s, int axis)
{
    return axis < s->n_axes ? s->dim[axis] : 1;
}

enum status check_legacy_axes(struct shaping *s, int bottom)
{
    char text[BOTTOM_TEXT_MAX];
    if (s->bottoms[bottom]->n_axes > 4)
        return shape_error(s, "%s has more than the 4 axes that this type takes",
                           bottom_text(s, bottom, text));
    return OK;
}

enum status bottom_axis(struct shaping *s, int bottom, int axis, int *ret_axis)
{
    char text[BOTTOM_TEXT_MAX];
    int found = shape_axis(s->bottoms[bottom], axis);
    if (found < 0)
        return shape_error(s, "axis %d is out of range: %s has %d axes", axis, bottom_text(s, bottom, text),
                           s->bottoms[bottom]->n_axes);
    *ret_axis = found;
    return OK;
}

enum status check_n_axes(struct shaping *s, int bottom, int n_axes)
{
    char text[BOTTOM_TEXT_MAX];
    if (s->bottoms[bottom]->n_axes != n_axes)
        return shape_error(s, "%s must have %d axes%s", bottom_text(s, bottom, text), n_axes,
                           n_axes == 4 ? " (num, channels, height, width)" : "");
    return OK;
}

enum status check_same_shape(struct shaping *s, int a, int b)
{
    char text_a[BOTTOM_TEXT_MAX], text_b[BOTTOM_TEXT_MAX];
    if (!shape_equal(s->bottoms[a], s->bottoms[b]))
        return shape_error(s, "%s and %s must have the same shape", bottom_text(s, a, text_a),
                           bottom_text(s, b, text_b));
    return OK;
}

void declare_param(struct shaping *s, struct shape shape, const Caffe__FillerParameter *filler)
{
    s->params[s->n_params].shape = shape;
    s->params[s->n_params].filler = filler ? filler : &filler_zero;
    s->n_params++;
}

enum status shape_from_proto(struct shaping *s, const Caffe__BlobShape *proto, struct shape *ret_shape)
{
    if (proto->n_dim > SHAPE_MAX_AXES)
        return shape_error(s, "a shape of %zu axes; at most %d are allowed", proto->n_dim, SHAPE_MAX_AXES);
    for (size_t i = 0; i < proto->n_dim; i++) {
        if (proto->dim[i] < 0 || proto->dim[i] > INT_MAX)
            return shape_error(s, "dim %lld of a shape is not between 0 and 2147483647",
                               (long long)proto->dim[i]);
    }
    *ret_shape = shape_of((int)proto->n_dim, proto->dim);
    return OK;
}

enum status shapes_from_list(struct shaping *s, Caffe__BlobShape *const *shapes, size_t n_shapes)
{
    if (n_shapes != 1 && n_shapes != (size_t)s->n_tops)
        return shape_error(s, "'shape' must be given once, or once for each of the %d tops, not %zu times",
                           s->n_tops, n_shapes);
    for (int i = 0; i < s->n_tops; i++)
        TRY(shape_from_proto(s, shapes[n_shapes == 1 ? 0 : i], &s->tops[i]));
    return OK;
}
