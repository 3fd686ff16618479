/*
 * winograd.h - Winograd's algorithm for kernels of 3 x 3 and of 5 x 5 that
 * move by one: the transforms of F(6x6, 3x3), F(7x7, 3x3) and F(4x4, 5x5),
 * and for numbers in bf16 those of F(7x7, 5x5), F(8x8, 5x5) and F(9x9, 5x5).
 *
 * A tile of F(m x m, k x k) is m x m outputs and the n x n inputs that they
 * see, n = m + k - 1.  With x the inputs, w the kernel and y the outputs of
 * one tile, . element by element, summed over the input channels:
 *
 *   y = A^T ((G w G^T) . (B^T x B)) A
 *
 * n^2 products instead of m^2 k^2: 64 instead of 400, or 144 instead of 1600.
 * Over channels and tiles the middle is as many multiplications of matrices.
 * Gradients go the same way back:
 *
 *   dx = B ((G w G^T) . (A dy A^T)) B^T
 *   dw = G^T ((B^T x B) . (A dy A^T)) G
 *
 * A, B and G interpolate at n points, infinity perhaps among them.  All is
 * computed in single precision.  The error of the outputs, of 64 channels and
 * relative to them (root mean squares):
 *
 *   points          8     9     11    12    13   multiplied directly in bf16
 *   error of 1e-6   4     10    50    110   300  2900
 *
 * Source: A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural
 * Networks", 2015; Toom and Cook's construction.
 *
 * Channels lie side by side, in images (channels last, or in blocks) as in
 * the transformed numbers.
 */
#ifndef ET_WINOGRAD_H
#define ET_WINOGRAD_H

#include <stdbool.h>
#include <stddef.h>

/* Of more than so many points the error is too large for f32. */
enum { WINOGRAD_FINE_POINTS = 9, WINOGRAD_IN_MAX = 13, WINOGRAD_KINDS = 6 };

/* A square of an image.  What lies outside of [top, bottom) x [left, right) is read as 0 and not written. */
struct winograd_tile {
    void *at;          /* where the square's first pixel is, or would be */
    bool is_bf16;      /* numbers are bf16, else floats */
    size_t row, pixel; /* numbers from one to the next */
    int top, bottom, left, right;
    const void *rectified; /* out_diff: the square of a top, laid out alike; the gradient is 0 where it is not
                              above 0 */
    bool rectified_is_bf16;
};

/*
 * Of n channels of one tile, at most `lanes`.  There are ins x ins products,
 * `step` floats apart.  each: what there is for each channel, or NULL.
 */
typedef void winograd_transform(const struct winograd_tile *tile, size_t n, float *products, size_t step,
                                float *each);

struct winograd_transforms {
    size_t lanes;
    int kernel, outs, ins;           /* a side's: F(outs x outs, kernel x kernel), and outs + kernel - 1 */
    winograd_transform *in;          /* reads ins x ins pixels: B^T x B */
    winograd_transform *in_diff;     /* adds B m B^T to ins x ins pixels */
    winograd_transform *out;         /* writes outs x outs pixels: A^T m A, and each one's bias */
    winograd_transform *out_or_zero; /* the same, 0 where that is less; NaN stays */
    winograd_transform *out_diff; /* reads outs x outs pixels: A dy A^T; adds the pixels to each one's sum */
    /* G w G^T of n kernels: element k of kernel i at kernels[k * step + i], product k at products[k * step +
     * i]. */
    void (*kernels)(const float *kernels, size_t n, size_t step, float *products);
    /* G^T m G, likewise. */
    void (*kernels_diff)(const float *products, size_t n, size_t step, float *kernels);
};

/* For each kind of vector (kind.h). */
extern const struct winograd_transforms winograd_any[WINOGRAD_KINDS], winograd_avx2[WINOGRAD_KINDS],
    winograd_avx512[WINOGRAD_KINDS];

/*
 * For this processor, with the fewest products for so many outputs; NULL: the kernel is neither 3 nor 5.
 * may_be_coarse: of any number of points, for the numbers are rounded to bf16 anyway.
 */
const struct winograd_transforms *winograd_transforms(int kernel, size_t height, size_t width,
                                                      bool may_be_coarse);

#endif
