/*
 * pooling.h - maximum or average over windows of blobs that lie channels last.
 *
 * By the rules of Caffe's pooling_layer.cpp: the last window may hang over;
 * padding counts in an average, the overhang does not; padding never is a
 * maximum, nor is NaN, and the first of equals is.
 */
#ifndef ET_POOLING_H
#define ET_POOLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pooling_window {
    int size, pooled, kernel, stride, pad;
};

/* Where a window lies. */
struct pooling_range {
    int start, end, positions; /* in the image; of the window, padding counted and overhang not */
};

struct pooling_blobs {
    struct pooling_window h, w;
    size_t channels;
    bool is_max;
};

/*
 * Places that a window may have; what is kept for a maximum that is in none;
 * bytes that are read behind the last of those kept.
 */
enum { POOLING_PLACES_MAX = 255, POOLING_NOWHERE = 255, POOLING_WHERE_SLACK = 8 };

struct pooling_loops {
    /*
     * Rows [from, to) of the tops of all images.  where: the place of each
     * maximum in its window, as many as y has numbers; NULL: not wanted.
     */
    void (*forward)(const struct pooling_blobs *b, const float *x, float *y, uint8_t *where, size_t from,
                    size_t to);
    /* Rows [from, to) of the bottoms of all images.  where: not read for averages. */
    void (*backward)(const struct pooling_blobs *b, const float *dy, const uint8_t *where, float *dx,
                     size_t from, size_t to);
};

/* For kinds of vectors (kind.h). */
extern const struct pooling_loops pooling_any, pooling_avx2;

/* For this processor; NULL with avx512, where oneDNN's kernels are good. */
const struct pooling_loops *pooling_loops(void);

static inline struct pooling_range pooling_range_of(const struct pooling_window *w, int at)
{
    int start = at * w->stride - w->pad, end = start + w->kernel;
    if (end > w->size + w->pad)
        end = w->size + w->pad;
    return (struct pooling_range){start > 0 ? start : 0, end < w->size ? end : w->size, end - start};
}

#endif
