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

/*
 * A change of all elements of a channel: y = (x - shift) * factor + add, and
 * then, is_rectified, a ReLU.
 */
struct channel_change {
    const float *shift, *factor, *add; /* for each channel */
    bool is_rectified;
};

/* y may be x. */
void channels_affine(const struct channels *c, const struct channel_change *change, const float *x, float *y);

/*
 * Of the gradient g: dy, but 0 where the ReLU of the change made y 0.  For each
 * channel: sums[c] = sum of g, products[c] = sum of g * (x - shift).
 */
void channels_gradient_sums(const struct channels *c, const struct channel_change *change, const float *x,
                            const float *dy, double *sums, double *products, void *scratch);
/* dx = g * factor + (x - shift) * of_x + more; dx may be dy. */
void channels_gradient(const struct channels *c, const struct channel_change *change, const float *x,
                       const float *dy, const float *of_x, const float *more, float *dx);

#endif
