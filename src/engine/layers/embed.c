/*
 * embed.c - each index of the bottom becomes a row of the weights
 *
 *   bottom (M), weights (input_dim, N), bias (N), top (M, N)
 */
#include <string.h>

#include "engine/layers/layer_util.h"

struct embed {
    size_t m, n, input_dim;
};

static enum status embed_setup(struct layer *l, struct error *err)
{
    (void)err;
    const struct shape *weights = &l->params[0]->def->shape;
    *(struct embed *)l->state = (struct embed){
        .m = (size_t)shape_count(&l->bottoms[0].shape),
        .n = (size_t)weights->dim[1],
        .input_dim = (size_t)weights->dim[0],
    };
    return OK;
}

static enum status embed_forward(struct layer *l, struct error *err)
{
    const struct embed *s = l->state;
    const float *weights = l->params[0]->data, *bias = l->n_params > 1 ? l->params[1]->data : NULL;
    for (size_t r = 0; r < s->m; r++) {
        float index = l->bottoms[0].data[r];
        float *y = l->tops[0].data + r * s->n;
        if (!(index >= 0 && index < (float)s->input_dim))
            return error_set(err, INVALID, "index %g is outside of input_dim %zu", index, s->input_dim);
        memcpy(y, weights + (size_t)index * s->n, s->n * sizeof(float));
        for (size_t i = 0; bias && i < s->n; i++)
            y[i] += bias[i];
    }
    return OK;
}

static void add_row(float *to, const float *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
}

static void embed_backward(struct layer *l)
{
    const struct embed *s = l->state;
    bool learns_bias = l->n_params > 1 && l->param_propagate_down[1];
    float *weights = l->param_propagate_down[0] ? param_diff_add(l->params[0]) : NULL;
    float *bias = learns_bias ? param_diff_add(l->params[1]) : NULL;
    for (size_t r = 0; r < s->m; r++) {
        const float *dy = l->tops[0].diff + r * s->n;
        if (weights)
            add_row(weights + (size_t)l->bottoms[0].data[r] * s->n, dy, s->n);
        if (bias)
            add_row(bias, dy, s->n);
    }
}

const struct layer_ops layer_embed = {
    .type = "Embed",
    .state_size = sizeof(struct embed),
    .backward_needs = NEEDS_BOTTOM_DATA,
    .setup = embed_setup,
    .forward = embed_forward,
    .backward = embed_backward,
};
