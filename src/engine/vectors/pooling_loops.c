#include <float.h>

#include "engine/vectors/pooling.h"
#include "engine/vectors/vec.h"

typedef uint8_t bytes __attribute__((vector_size(LANES), aligned(1), may_alias));

INLINE mask read_bytes(const uint8_t *from, size_t n)
{
    if (n == LANES)
        return __builtin_convertvector(*(const bytes *)from, mask);
    mask v = {0};
    for (size_t i = 0; i < n; i++)
        v[i] = from[i];
    return v;
}

INLINE void write_bytes(uint8_t *to, mask v, size_t n)
{
    if (n == LANES)
        *(bytes *)to = __builtin_convertvector(v, bytes);
    else
        for (size_t i = 0; i < n; i++)
            to[i] = (uint8_t)v[i];
}

INLINE mask choose(mask which, mask yes, mask no)
{
    return (which & yes) | (~which & no);
}

/* The number of what this place of the image is in a window that starts at start. */
INLINE int place_of(const struct pooling_blobs *b, int ph, int pw, int i, int j)
{
    int row = i - (ph * b->h.stride - b->h.pad), column = j - (pw * b->w.stride - b->w.pad);
    return row * b->w.kernel + column;
}

INLINE void forward_pixel(const struct pooling_blobs *b, const float *image, int ph, int pw, float *y,
                          uint8_t *where)
{
    struct pooling_range h = pooling_range_of(&b->h, ph), w = pooling_range_of(&b->w, pw);
    size_t row = (size_t)b->w.size * b->channels;
    for (size_t c = 0; c < b->channels; c += LANES) {
        size_t n = b->channels - c < LANES ? b->channels - c : LANES;
        vec sum = {0}, best = (vec){0} - FLT_MAX;
        mask place = (mask){0} + POOLING_NOWHERE;
        for (int i = h.start; i < h.end; i++)
            for (int j = w.start; j < w.end; j++) {
                vec x = read(image + (size_t)i * row + (size_t)j * b->channels + c, n);
                mask is_better = x > best;
                sum += x;
                best = (vec)choose(is_better, (mask)x, (mask)best);
                place = choose(is_better, (mask){0} + place_of(b, ph, pw, i, j), place);
            }
        if (!b->is_max)
            best = sum / (float)(h.positions * w.positions);
        write(y + c, best, n);
        if (where)
            write_bytes(where + c, place, n);
    }
}

static void forward(const struct pooling_blobs *b, const float *x, float *y, uint8_t *where, size_t from,
                    size_t to)
{
    size_t pooled = (size_t)b->h.pooled, image = (size_t)b->h.size * (size_t)b->w.size * b->channels;
    size_t at = from * (size_t)b->w.pooled * b->channels;
    for (size_t r = from; r < to; r++)
        for (int pw = 0; pw < b->w.pooled; pw++, at += b->channels)
            forward_pixel(b, x + r / pooled * image, (int)(r % pooled), pw, y + at,
                          where ? where + at : NULL);
}

/* The windows [start, end) that have place i. */
INLINE struct pooling_range windows_of(const struct pooling_window *w, int i)
{
    int first = i + w->pad - w->kernel, start = first < 0 ? 0 : first / w->stride + 1;
    int end = (i + w->pad) / w->stride + 1;
    return (struct pooling_range){start, end < w->pooled ? end : w->pooled, 0};
}

INLINE void backward_pixel(const struct pooling_blobs *b, const float *dy, const uint8_t *where, int i, int j,
                           float *dx)
{
    struct pooling_range h = windows_of(&b->h, i), w = windows_of(&b->w, j);
    size_t row = (size_t)b->w.pooled * b->channels;
    for (size_t c = 0; c < b->channels; c += LANES) {
        size_t n = b->channels - c < LANES ? b->channels - c : LANES;
        vec sum = {0};
        for (int ph = h.start; ph < h.end; ph++)
            for (int pw = w.start; pw < w.end; pw++) {
                size_t at = (size_t)ph * row + (size_t)pw * b->channels + c;
                vec g = read(dy + at, n);
                if (b->is_max)
                    sum += (vec)((read_bytes(where + at, n) == place_of(b, ph, pw, i, j)) & (mask)g);
                else
                    sum += g / (float)(pooling_range_of(&b->h, ph).positions *
                                       pooling_range_of(&b->w, pw).positions);
            }
        write(dx + c, sum, n);
    }
}

static void backward(const struct pooling_blobs *b, const float *dy, const uint8_t *where, float *dx,
                     size_t from, size_t to)
{
    size_t rows = (size_t)b->h.size, image = (size_t)b->h.pooled * (size_t)b->w.pooled * b->channels;
    float *at = dx + from * (size_t)b->w.size * b->channels;
    for (size_t r = from; r < to; r++)
        for (int j = 0; j < b->w.size; j++, at += b->channels)
            backward_pixel(b, dy + r / rows * image, where ? where + r / rows * image : NULL, (int)(r % rows),
                           j, at);
}

const struct pooling_loops VECTORS_NAME(pooling) = {forward, backward};
