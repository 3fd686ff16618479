/* slice.c - one bottom cut along an axis into its tops, in order */
#include <string.h>

#include "engine/layers/layer_util.h"

struct slice {
    int axis;
};

static enum status slice_setup(struct layer *l, struct error *err)
{
    (void)err;
    const Caffe__SliceParameter *p =
        LAYER_PARAM(l, Caffe__SliceParameter, slice_param, CAFFE__SLICE_PARAMETER__INIT);
    ((struct slice *)l->state)->axis =
        p->has_slice_dim ? (int)p->slice_dim : shape_axis(&l->bottoms[0].shape, p->axis);
    return OK;
}

/* Copies between the bottom's part of each top and the top. */
static void copy_parts(struct layer *l, float *bottom, bool to_tops)
{
    int axis = ((const struct slice *)l->state)->axis;
    struct around whole = shape_around(&l->bottoms[0].shape, axis);
    size_t from = 0;
    for (int t = 0; t < l->n_tops; t++) {
        size_t n = (size_t)l->tops[t].shape.dim[axis] * whole.inner;
        for (size_t o = 0; o < whole.outer; o++) {
            float *part = bottom + o * whole.n * whole.inner + from;
            if (to_tops)
                memcpy(l->tops[t].data + o * n, part, n * sizeof(float));
            else
                memcpy(part, l->tops[t].diff + o * n, n * sizeof(float));
        }
        from += n;
    }
}

static enum status slice_forward(struct layer *l, struct error *err)
{
    (void)err;
    copy_parts(l, l->bottoms[0].data, true);
    return OK;
}

static void slice_backward(struct layer *l)
{
    if (l->bottoms[0].diff)
        copy_parts(l, l->bottoms[0].diff, false);
}

const struct layer_ops layer_slice = {
    .type = "Slice",
    .state_size = sizeof(struct slice),
    .setup = slice_setup,
    .forward = slice_forward,
    .backward = slice_backward,
};
