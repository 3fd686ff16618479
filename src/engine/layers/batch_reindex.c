/* batch_reindex.c - the items of bottom 0 in the order that the indices of bottom 1 give; some may repeat or
 * lack */
#include <string.h>

#include "engine/layers/layer_util.h"
#include "engine/layers/loss.h"

static size_t item_size(const struct layer *l)
{
    return (size_t)shape_count_range(&l->bottoms[0].shape, 1, l->bottoms[0].shape.n_axes);
}

static enum status batch_reindex_forward(struct layer *l, struct error *err)
{
    size_t n = batch_of(&l->bottoms[0].shape), size = item_size(l);
    for (size_t i = 0; i < l->bottoms[1].n_floats; i++) {
        float index = l->bottoms[1].data[i];
        if (!(index >= 0 && index < (float)n))
            return error_set(err, INVALID, "index %g is none of the %zu items", index, n);
        memcpy(l->tops[0].data + i * size, l->bottoms[0].data + (size_t)index * size, size * sizeof(float));
    }
    return OK;
}

static void batch_reindex_backward(struct layer *l)
{
    size_t size = item_size(l);
    float *dx = l->bottoms[0].diff;
    if (!dx)
        return;
    memset(dx, 0, l->bottoms[0].n_floats * sizeof(float));
    for (size_t i = 0; i < l->bottoms[1].n_floats; i++) {
        const float *dy = l->tops[0].diff + i * size;
        float *to = dx + (size_t)l->bottoms[1].data[i] * size;
        for (size_t k = 0; k < size; k++)
            to[k] += dy[k];
    }
}

const struct layer_ops layer_batch_reindex = {
    .type = "BatchReindex",
    .backward_needs = NEEDS_BOTTOM_DATA,
    .forward = batch_reindex_forward,
    .backward = batch_reindex_backward,
};
