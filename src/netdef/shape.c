#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "netdef/netdef.h"

bool shape_is_known(const struct shape *s)
{
    return s->n_axes >= 0;
}

int64_t shape_count_range(const struct shape *s, int from, int to)
{
    int64_t count = 1;
    for (int i = from; i < to; i++) {
        if (__builtin_mul_overflow(count, (int64_t)s->dim[i], &count))
            return INT64_MAX;
    }
    return count;
}

int64_t shape_count(const struct shape *s)
{
    return shape_count_range(s, 0, s->n_axes);
}

bool shape_equal(const struct shape *a, const struct shape *b)
{
    if (a->n_axes != b->n_axes)
        return false;
    for (int i = 0; i < a->n_axes; i++) {
        if (a->dim[i] != b->dim[i])
            return false;
    }
    return true;
}

int shape_axis(const struct shape *s, int axis)
{
    if (axis < -s->n_axes || axis >= s->n_axes)
        return -1;
    return axis < 0 ? axis + s->n_axes : axis;
}

const char *shape_text(const struct shape *s, char out[SHAPE_TEXT_MAX])
{
    if (!shape_is_known(s)) {
        snprintf(out, SHAPE_TEXT_MAX, "unknown");
        return out;
    }
    size_t used = 0;
    for (int i = 0; i < s->n_axes; i++)
        used += (size_t)snprintf(out + used, SHAPE_TEXT_MAX - used, "%d ", s->dim[i]);
    snprintf(out + used, SHAPE_TEXT_MAX - used, "(%lld)", (long long)shape_count(s));
    return out;
}

static int dim_or_bad(int64_t dim)
{
    return dim < 0 || dim > INT_MAX ? -1 : (int)dim;
}

void blob_proto_shape(const Caffe__BlobProto *blob, struct shape *ret_shape)
{
    struct shape shape = {.n_axes = 0}; /* Caffe writes a scalar without any shape */
    if (blob->has_num || blob->has_channels || blob->has_height || blob->has_width) {
        shape.n_axes = 4;
        shape.dim[0] = blob->num;
        shape.dim[1] = blob->channels;
        shape.dim[2] = blob->height;
        shape.dim[3] = blob->width;
    } else if (blob->shape && blob->shape->n_dim > SHAPE_MAX_AXES) {
        shape.n_axes = -1;
    } else if (blob->shape) {
        shape.n_axes = (int)blob->shape->n_dim;
        for (int i = 0; i < shape.n_axes; i++)
            shape.dim[i] = dim_or_bad(blob->shape->dim[i]);
    }
    for (int i = 0; i < shape.n_axes; i++) {
        if (shape.dim[i] < 0)
            shape.n_axes = -1;
    }
    *ret_shape = shape;
}
