#include "engine/layers/channels.h"

#include <stdint.h>
#include <string.h>

#include "engine/elementwise.h"
#include "engine/kernel.h"
#include "engine/plan.h"

/* Floats are added up in this many rows, then in doubles. */
enum { CHUNK = 64 };

/*
 * What is summed, with u = x - shift: u and u * u; or g and g * u, where g is
 * dy, or dy where the change of x is positive and else 0.
 */
enum sums { MOMENTS, GRADIENT, RECTIFIED_GRADIENT };

bool channels_has_layout(const dnnl_memory_desc_t *desc)
{
    return desc_is_plain(desc) || desc_is_nhwc(desc) || desc_is_blocked16(desc);
}

void channels_init(struct channels *c, const struct shape *shape, const dnnl_memory_desc_t *desc)
{
    size_t items = 1, n = 1, inner = (size_t)shape_count(shape);
    if (shape->n_axes > 1) {
        items = (size_t)shape->dim[0];
        n = (size_t)shape->dim[1];
        inner = (size_t)shape_count_range(shape, 2, shape->n_axes);
    }
    size_t padded = (n + CHANNEL_LANES - 1) / CHANNEL_LANES * CHANNEL_LANES;
    *c = (struct channels){
        .items = items, .n = n, .n_padded = padded, .inner = inner, .blocks = padded / CHANNEL_LANES};
    if (desc_is_plain(desc) && inner == 1) { /* (N,C): channels last, of one item */
        c->items = 1;
        c->inner = items;
        c->item = items * n;
        c->block = CHANNEL_LANES;
        c->row = n;
    } else if (desc_is_plain(desc)) {
        c->is_plain = true;
        c->blocks = n;
        c->item = n * inner;
        c->block = inner;
        c->row = 1;
    } else if (desc_is_nhwc(desc)) {
        c->item = n * inner;
        c->block = CHANNEL_LANES;
        c->row = n;
    } else {
        c->item = padded * inner;
        c->block = CHANNEL_LANES * inner;
        c->row = CHANNEL_LANES;
    }
}

static size_t lanes_of(const struct channels *c, size_t block)
{
    return c->row == CHANNEL_LANES ? CHANNEL_LANES : MIN((size_t)CHANNEL_LANES, c->n - block * CHANNEL_LANES);
}

static bool is_large(const struct channels *c)
{
    return c->items * c->n * c->inner >= ELEMENTWISE_PARALLEL;
}

/* ---- sums ---- */

/* Of each item: for each channel, the first sum and then the second. */
static size_t parts_bytes(const struct channels *c)
{
    return kernel_align(2 * c->items * c->n_padded * sizeof(double));
}

size_t channels_scratch(const struct channels *c)
{
    return parts_bytes(c) + c->n_padded * (2 * sizeof(double) + 3 * sizeof(float));
}

struct channel_values channels_values(const struct channels *c, void *scratch)
{
    size_t n = c->n_padded;
    void *behind_parts = (char *)scratch + parts_bytes(c);
    double *sums = behind_parts;
    void *behind_sums = sums + 2 * n;
    float *floats = behind_sums;
    memset(floats, 0, 3 * n * sizeof(float));
    return (struct channel_values){sums, sums + n, floats, floats + n, floats + 2 * n};
}

static inline __attribute__((always_inline)) void sum_row(enum sums kind, const float *x, const float *dy,
                                                          float shift, float factor, float add, size_t n,
                                                          double *sum, double *product)
{
    for (size_t from = 0; from < n; from += 16 * CHUNK) {
        size_t end = MIN(n, from + 16 * CHUNK);
        float s = 0, p = 0;
#pragma omp simd reduction(+ : s, p)
        for (size_t i = from; i < end; i++) {
            float u = x[i] - shift, g = kind == MOMENTS ? u : dy[i];
            if (kind == RECTIFIED_GRADIENT)
                g = u * factor + add > 0 ? g : 0;
            s += g;
            p += g * u;
        }
        *sum += s;
        *product += p;
    }
}

/* Four floats in a register; blobs are aligned, channels last not always. */
typedef float four __attribute__((vector_size(16), aligned(4)));
typedef int32_t four_ints __attribute__((vector_size(16)));
enum { FOURS = CHANNEL_LANES / 4 };

/* With 16 lanes the sums stay in registers. */
static inline __attribute__((always_inline)) void sum_16(enum sums kind, const float *x, const float *dy,
                                                         const float *shift, const float *factor,
                                                         const float *add, size_t rows, size_t row,
                                                         double *sums, double *products)
{
    for (size_t from = 0; from < rows; from += CHUNK) {
        size_t end = MIN(rows, from + CHUNK);
        four s[FOURS] = {0}, p[FOURS] = {0};
        for (size_t i = from; i < end; i++) {
            const float *at = x + i * row, *gradient = kind == MOMENTS ? at : dy + i * row;
#pragma GCC unroll 4
            for (int k = 0; k < FOURS; k++) {
                four u = ((const four *)at)[k] - ((const four *)shift)[k];
                four g = kind == MOMENTS ? u : ((const four *)gradient)[k];
                if (kind == RECTIFIED_GRADIENT)
                    g = (four)((four_ints)g & (u * ((const four *)factor)[k] + ((const four *)add)[k] > 0));
                s[k] += g;
                p[k] += g * u;
            }
        }
        for (size_t k = 0; k < CHANNEL_LANES; k++) {
            sums[k] += s[k / 4][k % 4];
            products[k] += p[k / 4][k % 4];
        }
    }
}

static void sum_lanes(enum sums kind, const float *x, const float *dy, const float *shift,
                      const float *factor, const float *add, size_t rows, size_t row, size_t lanes,
                      double *sums, double *products)
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t k = 0; k < lanes; k++) {
            float u = x[i * row + k] - shift[k];
            double g = kind == MOMENTS ? u : dy[i * row + k];
            if (kind == RECTIFIED_GRADIENT)
                g = u * factor[k] + add[k] > 0 ? g : 0;
            sums[k] += g;
            products[k] += g * u;
        }
    }
}

/* Of block b of an item, whose first elements are at x and dy. */
static inline __attribute__((always_inline)) void sum_block(enum sums kind, const struct channels *c,
                                                            const struct channel_change *change, size_t b,
                                                            const float *x, const float *dy, double *sums,
                                                            double *products)
{
    size_t lanes = lanes_of(c, b), first = c->is_plain ? b : b * CHANNEL_LANES;
    const float *shift = change->shift + first, *factor = change->factor + first, *add = change->add + first;
    if (c->is_plain)
        sum_row(kind, x, dy, *shift, *factor, *add, c->inner, sums, products);
    else if (lanes < CHANNEL_LANES)
        sum_lanes(kind, x, dy, shift, factor, add, c->inner, c->row, lanes, sums, products);
    else
        sum_16(kind, x, dy, shift, factor, add, c->inner, c->row, sums, products);
}

static void two_sums(enum sums kind, const struct channels *c, const struct channel_change *change,
                     const float *x, const float *dy, double *sums, double *products, double *parts)
{
    size_t n = c->n_padded, lanes = c->is_plain ? 1 : CHANNEL_LANES;
    memset(parts, 0, parts_bytes(c));
#pragma omp parallel for if (is_large(c))
    for (size_t t = 0; t < c->items * c->blocks; t++) {
        size_t o = t / c->blocks, b = t % c->blocks, at = o * c->item + b * c->block;
        double *sum = parts + 2 * o * n + b * lanes, *product = sum + n;
        if (kind == MOMENTS)
            sum_block(MOMENTS, c, change, b, x + at, NULL, sum, product);
        else if (kind == GRADIENT)
            sum_block(GRADIENT, c, change, b, x + at, dy + at, sum, product);
        else
            sum_block(RECTIFIED_GRADIENT, c, change, b, x + at, dy + at, sum, product);
    }
    memcpy(sums, parts, n * sizeof(double));
    memcpy(products, parts + n, n * sizeof(double));
    for (size_t o = 1; o < c->items; o++) {
        const double *part = parts + 2 * o * n;
        for (size_t i = 0; i < n; i++) {
            sums[i] += part[i];
            products[i] += part[n + i];
        }
    }
}

void channels_moments(const struct channels *c, const float *x, const float *shift, double *sums,
                      double *squares, void *scratch)
{
    const struct channel_change change = {shift, shift, shift, false};
    two_sums(MOMENTS, c, &change, x, NULL, sums, squares, scratch);
}

void channels_gradient_sums(const struct channels *c, const struct channel_change *change, const float *x,
                            const float *dy, double *sums, double *products, void *scratch)
{
    two_sums(change->is_rectified ? RECTIFIED_GRADIENT : GRADIENT, c, change, x, dy, sums, products, scratch);
}

void channels_first(const struct channels *c, const float *x, float *ret)
{
    memset(ret, 0, c->n_padded * sizeof(float));
    for (size_t i = 0; i < c->n && c->items > 0 && c->inner > 0; i++)
        ret[i] = c->is_plain ? x[i * c->block] : x[i / CHANNEL_LANES * c->block + i % CHANNEL_LANES];
}

/* ---- changes ---- */

static inline __attribute__((always_inline)) float affine(float x, float shift, float factor, float add,
                                                          bool is_rectified)
{
    float y = (x - shift) * factor + add;
    return is_rectified && y < 0 ? 0 : y;
}

static inline __attribute__((always_inline)) void affine_lanes(const struct channel_change *change,
                                                               bool is_rectified, size_t first,
                                                               const float *x, size_t rows, size_t row,
                                                               size_t lanes, float *y)
{
    const float *shift = change->shift + first, *factor = change->factor + first, *add = change->add + first;
    for (size_t i = 0; i < rows; i++) {
#pragma omp simd
        for (size_t k = 0; k < lanes; k++)
            y[i * row + k] = affine(x[i * row + k], shift[k], factor[k], add[k], is_rectified);
    }
}

static inline __attribute__((always_inline)) void affine_block(const struct channels *c,
                                                               const struct channel_change *change,
                                                               bool is_rectified, size_t b, const float *x,
                                                               float *y)
{
    if (c->is_plain) {
        float shift = change->shift[b], factor = change->factor[b], add = change->add[b];
#pragma omp simd
        for (size_t i = 0; i < c->inner; i++)
            y[i] = affine(x[i], shift, factor, add, is_rectified);
    } else if (lanes_of(c, b) == CHANNEL_LANES) {
        affine_lanes(change, is_rectified, b * CHANNEL_LANES, x, c->inner, c->row, CHANNEL_LANES, y);
    } else {
        affine_lanes(change, is_rectified, b * CHANNEL_LANES, x, c->inner, c->row, lanes_of(c, b), y);
    }
}

void channels_affine(const struct channels *c, const struct channel_change *change, const float *x, float *y)
{
#pragma omp parallel for if (is_large(c))
    for (size_t t = 0; t < c->items * c->blocks; t++) {
        size_t b = t % c->blocks, at = t / c->blocks * c->item + b * c->block;
        if (change->is_rectified)
            affine_block(c, change, true, b, x + at, y + at);
        else
            affine_block(c, change, false, b, x + at, y + at);
    }
}

static inline __attribute__((always_inline)) float
gradient(float x, float dy, float shift, float factor, float add, bool is_rectified, float of_x, float more)
{
    float u = x - shift, g = is_rectified && !(u * factor + add > 0) ? 0 : dy;
    return g * factor + u * of_x + more;
}

static inline __attribute__((always_inline)) void
gradient_lanes(const struct channel_change *change, bool is_rectified, size_t first, const float *x,
               const float *dy, const float *of_x, const float *more, size_t rows, size_t row, size_t lanes,
               float *dx)
{
    const float *shift = change->shift + first, *factor = change->factor + first, *add = change->add + first;
    for (size_t i = 0; i < rows; i++) {
#pragma omp simd
        for (size_t k = 0; k < lanes; k++)
            dx[i * row + k] = gradient(x[i * row + k], dy[i * row + k], shift[k], factor[k], add[k],
                                       is_rectified, of_x[first + k], more[first + k]);
    }
}

static inline __attribute__((always_inline)) void
gradient_block(const struct channels *c, const struct channel_change *change, bool is_rectified, size_t b,
               const float *x, const float *dy, const float *of_x, const float *more, float *dx)
{
    size_t first = b * CHANNEL_LANES;
    if (c->is_plain) {
        float shift = change->shift[b], factor = change->factor[b], add = change->add[b];
        float each_x = of_x[b], each = more[b];
#pragma omp simd
        for (size_t i = 0; i < c->inner; i++)
            dx[i] = gradient(x[i], dy[i], shift, factor, add, is_rectified, each_x, each);
    } else if (lanes_of(c, b) == CHANNEL_LANES) {
        gradient_lanes(change, is_rectified, first, x, dy, of_x, more, c->inner, c->row, CHANNEL_LANES, dx);
    } else {
        gradient_lanes(change, is_rectified, first, x, dy, of_x, more, c->inner, c->row, lanes_of(c, b), dx);
    }
}

void channels_gradient(const struct channels *c, const struct channel_change *change, const float *x,
                       const float *dy, const float *of_x, const float *more, float *dx)
{
#pragma omp parallel for if (is_large(c))
    for (size_t t = 0; t < c->items * c->blocks; t++) {
        size_t b = t % c->blocks, at = t / c->blocks * c->item + b * c->block;
        if (change->is_rectified)
            gradient_block(c, change, true, b, x + at, dy + at, of_x, more, dx + at);
        else
            gradient_block(c, change, false, b, x + at, dy + at, of_x, more, dx + at);
    }
}
