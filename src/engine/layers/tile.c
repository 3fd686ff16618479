/* tile.c - the bottom repeated along an axis; the gradient is the sum of its copies' */
#include <string.h>

#include "engine/layers/layer_util.h"

struct tile {
    size_t outer, block, n; /* a block of floats, n times in a row */
};

static enum status tile_setup(struct layer *l, struct error *err)
{
    struct tile *s = l->state;
    const Caffe__TileParameter *p =
        LAYER_PARAM(l, Caffe__TileParameter, tile_param, CAFFE__TILE_PARAMETER__INIT);
    const struct shape *shape = &l->bottoms[0].shape;
    int axis = shape_axis(shape, p->axis);
    if (p->tiles < 1)
        return error_set(err, INVALID, "tiles must be at least 1, not %d", p->tiles);
    *s = (struct tile){
        .outer = (size_t)shape_count_range(shape, 0, axis),
        .block = (size_t)shape_count_range(shape, axis, shape->n_axes),
        .n = (size_t)p->tiles,
    };
    return OK;
}

static enum status tile_forward(struct layer *l, struct error *err)
{
    (void)err;
    const struct tile *s = l->state;
    for (size_t r = 0; r < s->outer * s->n; r++)
        memcpy(l->tops[0].data + r * s->block, l->bottoms[0].data + r / s->n * s->block,
               s->block * sizeof(float));
    return OK;
}

static void tile_backward(struct layer *l)
{
    const struct tile *s = l->state;
    float *dx = l->bottoms[0].diff;
    if (!dx)
        return;
    memset(dx, 0, s->outer * s->block * sizeof(float));
    for (size_t r = 0; r < s->outer * s->n; r++) {
        const float *dy = l->tops[0].diff + r * s->block;
        float *to = dx + r / s->n * s->block;
#pragma omp simd
        for (size_t i = 0; i < s->block; i++)
            to[i] += dy[i];
    }
}

const struct layer_ops layer_tile = {
    .type = "Tile",
    .state_size = sizeof(struct tile),
    .setup = tile_setup,
    .forward = tile_forward,
    .backward = tile_backward,
};
