/*
 * crop.c - the part of the first bottom that has the second's size in the
 * axes from `axis` on, starting at `offset`
 */
#include <string.h>

#include "engine/layers/layer_util.h"

struct crop {
    int offset[SHAPE_MAX_AXES];
};

static enum status crop_setup(struct layer *l, struct error *err)
{
    struct crop *s = l->state;
    const Caffe__CropParameter *p =
        LAYER_PARAM(l, Caffe__CropParameter, crop_param, CAFFE__CROP_PARAMETER__INIT);
    const struct shape *whole = &l->bottoms[0].shape, *part = &l->tops[0].shape;
    int start = shape_axis(whole, p->axis);
    for (int axis = start; p->n_offset && axis < whole->n_axes; axis++) {
        size_t which = p->n_offset == 1 ? 0 : (size_t)(axis - start);
        if (which >= p->n_offset || (int64_t)p->offset[which] + part->dim[axis] > whole->dim[axis])
            return error_set(err, INVALID, "the part does not lie inside the bottom in axis %d", axis);
        s->offset[axis] = (int)p->offset[which];
    }
    return OK;
}

/* Copies each row of the part: from the whole, or back into it. */
static void copy_rows(struct layer *l, float *whole, float *part, bool to_part)
{
    const struct crop *s = l->state;
    const struct shape *from = &l->bottoms[0].shape, *to = &l->tops[0].shape;
    int last = to->n_axes - 1;
    size_t n = (size_t)to->dim[last], n_rows = (size_t)shape_count_range(to, 0, last);
    for (size_t row = 0; row < n_rows; row++) {
        size_t rest = row, at = (size_t)s->offset[last], stride = (size_t)from->dim[last];
        for (int axis = last - 1; axis >= 0; axis--) {
            size_t index = rest % (size_t)to->dim[axis] + (size_t)s->offset[axis];
            rest /= (size_t)to->dim[axis];
            at += index * stride;
            stride *= (size_t)from->dim[axis];
        }
        memcpy(to_part ? part + row * n : whole + at, to_part ? whole + at : part + row * n,
               n * sizeof(float));
    }
}

static enum status crop_forward(struct layer *l, struct error *err)
{
    (void)err;
    copy_rows(l, l->bottoms[0].data, l->tops[0].data, true);
    return OK;
}

static void crop_backward(struct layer *l)
{
    if (l->bottoms[0].diff) {
        memset(l->bottoms[0].diff, 0, l->bottoms[0].n_floats * sizeof(float));
        copy_rows(l, l->bottoms[0].diff, l->tops[0].diff, false);
    }
    if (l->bottoms[1].diff)
        memset(l->bottoms[1].diff, 0, l->bottoms[1].n_floats * sizeof(float));
}

const struct layer_ops layer_crop = {
    .type = "Crop",
    .state_size = sizeof(struct crop),
    .setup = crop_setup,
    .forward = crop_forward,
    .backward = crop_backward,
};
