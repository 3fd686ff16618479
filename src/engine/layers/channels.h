/*
 * channels.h - sums over each channel of a blob (N,C,...) and the same change
 * to all elements of a channel, in plain, channels-last and blocked layout.
 *
 * Arrays with a value for each channel have n_padded elements; those past the
 * last channel are for the padding of blocks, which must stay 0.
 *
 * The order of the additions depends on the shape and the layout only, not
 * on the number of threads.
 */
#ifndef ET_CHANNELS_H
#define ET_CHANNELS_H

#include "engine/layer.h"

enum { CHANNEL_LANES = 16 };

/* Element i of lane k of block b of item o: x[o * item + b * block + i * row + k], channel 16 b + k. */
struct channels {
    size_t items, n, n_padded, inner; /* n: channels */
    bool is_plain;                    /* a block is one channel, its elements side by side */
    size_t blocks, item, block, row;  /* strides */
};

/* A layout that is none of the three counts as plain: the caller reads it so. */
bool channels_has_layout(const dnnl_memory_desc_t *desc);
/* The channel axis is 1; a shape of one axis is one channel. */
void channels_init(struct channels *c, const struct shape *shape, const dnnl_memory_desc_t *desc);

/* What a pass computes for each channel, in scratch memory of channels_scratch bytes; the floats are 0 at
 * first. */
struct channel_values {
    double *sums, *products;
    float *shift, *factor, *add;
};
size_t channels_scratch(const struct channels *c);
struct channel_values channels_values(const struct channels *c, void *scratch);

/*
 * For each channel, with u = x - shift: sums[c] = sum of u, squares[c] = sum of u * u.
 * A shift near the mean keeps the squares exact.
 */
void channels_moments(const struct channels *c, const float *x, const float *shift, double *sums,
                      double *squares, void *scratch);
/* The first element of each channel. */
void channels_first(const struct channels *c, const float *x, float *ret);
/* For each channel: sums[c] = sum of dy, products[c] = sum of dy * y. */
void channels_products(const struct channels *c, const float *dy, const float *y, double *sums,
                       double *products, void *scratch);

/* y = (x - shift) * factor + add; y may be x. */
void channels_affine(const struct channels *c, const float *x, const float *shift, const float *factor,
                     const float *add, float *y);
/* out = x * a + y * b + add; out may be x or y. */
void channels_combine(const struct channels *c, const float *x, const float *a, const float *y,
                      const float *b, const float *add, float *out);

#endif
