/*
 * lrn.h - local response normalisation across channels, and its gradient:
 *
 *   y  = x * bracket^-beta, bracket = k + alpha / size * sum of x^2 over size channels
 *   dx = dy * bracket^-beta - 2 alpha beta / size * x * sum of (dy * y / bracket) over size channels
 *
 * It is done for all channels of a few pixels at a time; the gradient makes
 * the bracket and y anew, so that nothing is kept for it.
 * Source: Caffe's lrn_layer.cpp.
 */
#ifndef ET_LRN_H
#define ET_LRN_H

#include <stdbool.h>
#include <stddef.h>

struct lrn_blobs {
    size_t area, channels; /* pixels of an image */
    size_t block;          /* channels that lie side by side for each pixel: a part, or all */
    bool is_bf16;          /* numbers are bf16, else floats */
    int size;              /* odd */
    float alpha, beta, k;
};

/* Pixels [from, to) of all images; scratch: lrn_scratch_floats() floats, 0 before the first call. */
struct lrn_loops {
    void (*forward)(const struct lrn_blobs *b, const void *x, void *y, float *scratch, size_t from,
                    size_t to);
    /* y: what is taken for it in the gradient; NULL: the one that belongs to x. */
    void (*backward)(const struct lrn_blobs *b, const void *x, const void *y, const void *dy, void *dx,
                     float *scratch, size_t from, size_t to);
};

/* For each kind of vector (kind.h). */
extern const struct lrn_loops lrn_any, lrn_avx2, lrn_avx512;

/* For this processor. */
const struct lrn_loops *lrn_loops(void);
size_t lrn_scratch_floats(const struct lrn_blobs *b);

/* ---- for the loops alone ---- */

/* Pixels at a time; the scratch memory is so many rows three times over. */
enum { LRN_PIXELS = 4 };
/* A pixel's channels, with zeros on both sides for the sums at the edges. */
size_t lrn_row_floats(const struct lrn_blobs *b);

#endif
