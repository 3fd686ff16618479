#include <float.h>

#include "engine/vectors/pooling.h"
#include "engine/vectors/vec.h"

/* Bytes to numbers: all lanes; the memory behind the last byte is there. */
#if VECTORS_LANES == 8
INLINE mask read_bytes(const uint8_t *from)
{
    return (mask)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)from));
}

INLINE void write_all_bytes(uint8_t *to, mask v)
{
    __m128i low = _mm256_castsi256_si128((__m256i)v), high = _mm256_extracti128_si256((__m256i)v, 1);
    __m128i narrow = _mm_packus_epi32(low, high);
    _mm_storel_epi64((__m128i *)to, _mm_packus_epi16(narrow, narrow));
}
#else
typedef uint8_t bytes __attribute__((vector_size(LANES), aligned(1), may_alias));

INLINE mask read_bytes(const uint8_t *from)
{
    return __builtin_convertvector(*(const bytes *)from, mask);
}

INLINE void write_all_bytes(uint8_t *to, mask v)
{
    *(bytes *)to = __builtin_convertvector(v, bytes);
}
#endif

INLINE void write_bytes(uint8_t *to, mask v, size_t n)
{
    if (n == LANES)
        write_all_bytes(to, v);
    else
        for (size_t i = 0; i < n; i++)
            to[i] = (uint8_t)v[i];
}

/* x where it is more than the other, else the other: also where x is no number. */
#if VECTORS_LANES == 8
INLINE vec larger(vec x, vec other)
{
    return (vec)_mm256_max_ps((__m256)x, (__m256)other);
}

INLINE mask choose(mask which, mask yes, mask no)
{
    return (mask)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)which);
}
#else
INLINE mask choose(mask which, mask yes, mask no)
{
    return (which & yes) | (~which & no);
}

INLINE vec larger(vec x, vec other)
{
    return (vec)choose(x > other, (mask)x, (mask)other);
}
#endif

/* The number of place (i,j) of the image within window (ph,pw). */
INLINE int place_of(const struct pooling_blobs *b, int ph, int pw, int i, int j)
{
    int row = i - (ph * b->h.stride - b->h.pad), column = j - (pw * b->w.stride - b->w.pad);
    return row * b->w.kernel + column;
}

/* A pixel that a window sees. */
struct seen {
    size_t at; /* its first number in the image */
    int place; /* its number in the window */
};

INLINE int seen_by(const struct pooling_blobs *b, struct pooling_range h, struct pooling_range w, int ph,
                   int pw, struct seen *list)
{
    int n = 0;
    for (int i = h.start; i < h.end; i++)
        for (int j = w.start; j < w.end; j++)
            list[n++] = (struct seen){((size_t)i * (size_t)b->w.size + (size_t)j) * b->channels,
                                      place_of(b, ph, pw, i, j)};
    return n;
}

INLINE void maxima(size_t channels, const float *image, const struct seen *list, int n_list, float *y)
{
    for (size_t c = 0; c < channels; c += LANES) {
        size_t n = channels - c < LANES ? channels - c : LANES;
        vec best = (vec){0} - FLT_MAX;
        for (int k = 0; k < n_list; k++)
            best = larger(read(image + list[k].at + c, n), best);
        write(y + c, best, n);
    }
}

INLINE void maxima_and_places(size_t channels, const float *image, const struct seen *list, int n_list,
                              float *y, uint8_t *where)
{
    for (size_t c = 0; c < channels; c += LANES) {
        size_t n = channels - c < LANES ? channels - c : LANES;
        vec best = (vec){0} - FLT_MAX;
        mask place = (mask){0} + POOLING_NOWHERE;
        for (int k = 0; k < n_list; k++) {
            vec x = read(image + list[k].at + c, n);
            place = choose(x > best, (mask){0} + list[k].place, place);
            best = larger(x, best);
        }
        write(y + c, best, n);
        write_bytes(where + c, place, n);
    }
}

INLINE void averages(size_t channels, const float *image, const struct seen *list, int n_list, float parts,
                     float *y)
{
    for (size_t c = 0; c < channels; c += LANES) {
        size_t n = channels - c < LANES ? channels - c : LANES;
        vec sum = {0};
        for (int k = 0; k < n_list; k++)
            sum += read(image + list[k].at + c, n);
        write(y + c, sum / parts, n);
    }
}

static void forward(const struct pooling_blobs *b, const float *x, float *y, uint8_t *where, size_t from,
                    size_t to)
{
    size_t pooled = (size_t)b->h.pooled, image = (size_t)b->h.size * (size_t)b->w.size * b->channels;
    size_t at = from * (size_t)b->w.pooled * b->channels;
    struct seen list[POOLING_PLACES_MAX];
    for (size_t r = from; r < to; r++) {
        int ph = (int)(r % pooled);
        struct pooling_range h = pooling_range_of(&b->h, ph);
        for (int pw = 0; pw < b->w.pooled; pw++, at += b->channels) {
            struct pooling_range w = pooling_range_of(&b->w, pw);
            int n = seen_by(b, h, w, ph, pw, list);
            const float *pixels = x + r / pooled * image;
            if (!b->is_max)
                averages(b->channels, pixels, list, n, (float)(h.positions * w.positions), y + at);
            else if (where)
                maxima_and_places(b->channels, pixels, list, n, y + at, where + at);
            else
                maxima(b->channels, pixels, list, n, y + at);
        }
    }
}

/* The windows [start, end) that have place i; before: those of a place before it, or 0. */
INLINE struct pooling_range windows_after(const struct pooling_window *w, struct pooling_range before, int i)
{
    while (before.end < w->pooled && before.end * w->stride - w->pad <= i)
        before.end++;
    while (before.start < before.end && before.start * w->stride - w->pad + w->kernel <= i)
        before.start++;
    return before;
}

/* A window that has a place of the image. */
struct cover {
    size_t at;   /* its first number in the top */
    int place;   /* the number of the place in it */
    float parts; /* what an average is divided by */
};

INLINE int covers_of(const struct pooling_blobs *b, struct pooling_range h, struct pooling_range w, int i,
                     int j, struct cover *list)
{
    int n = 0;
    for (int ph = h.start; ph < h.end; ph++)
        for (int pw = w.start; pw < w.end; pw++) {
            struct cover *c = &list[n++];
            c->at = ((size_t)ph * (size_t)b->w.pooled + (size_t)pw) * b->channels;
            c->place = place_of(b, ph, pw, i, j);
            if (!b->is_max)
                c->parts =
                    (float)(pooling_range_of(&b->h, ph).positions * pooling_range_of(&b->w, pw).positions);
        }
    return n;
}

/* where: NULL for averages. */
INLINE void backward_pixel(size_t channels, const struct cover *covers, int n_covers, const float *dy,
                           const uint8_t *where, float *dx)
{
    for (size_t c = 0; c < channels; c += LANES) {
        size_t n = channels - c < LANES ? channels - c : LANES;
        vec sum = {0};
        for (int k = 0; k < n_covers; k++) {
            vec g = read(dy + covers[k].at + c, n);
            if (where)
                sum += (vec)((read_bytes(where + covers[k].at + c) == covers[k].place) & (mask)g);
            else
                sum += g / covers[k].parts;
        }
        write(dx + c, sum, n);
    }
}

static void backward(const struct pooling_blobs *b, const float *dy, const uint8_t *where, float *dx,
                     size_t from, size_t to)
{
    size_t rows = (size_t)b->h.size, image = (size_t)b->h.pooled * (size_t)b->w.pooled * b->channels;
    float *at = dx + from * (size_t)b->w.size * b->channels;
    struct cover covers[POOLING_PLACES_MAX];
    for (size_t r = from; r < to; r++) {
        int i = (int)(r % rows);
        size_t first = r / rows * image;
        const uint8_t *places = b->is_max ? where + first : NULL;
        struct pooling_range none = {0}, h = windows_after(&b->h, none, i), w = none;
        for (int j = 0; j < b->w.size; j++, at += b->channels) {
            w = windows_after(&b->w, w, j);
            int n = covers_of(b, h, w, i, j, covers);
            backward_pixel(b->channels, covers, n, dy + first, places, at);
        }
    }
}

const struct pooling_loops VECTORS_NAME(pooling) = {forward, backward};
