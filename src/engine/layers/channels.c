#include "engine/layers/channels.h"

#include <string.h>

#include "engine/elementwise.h"
#include "engine/kernel.h"
#include "engine/plan.h"

/* Floats are added up in this many rows, then in doubles. */
enum { CHUNK = 64 };

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

static void sum_row(const float *u, const float *v, float shift, size_t n, double *sum, double *product)
{
    for (size_t from = 0; from < n; from += 16 * CHUNK) {
        size_t end = MIN(n, from + 16 * CHUNK);
        float s = 0, p = 0;
#pragma omp simd reduction(+ : s, p)
        for (size_t i = from; i < end; i++) {
            float a = u[i] - shift;
            s += a;
            p += a * (v ? v[i] : a);
        }
        *sum += s;
        *product += p;
    }
}

/* Four floats in a register; blobs are aligned, channels last not always. */
typedef float four __attribute__((vector_size(16), aligned(4)));
enum { FOURS = CHANNEL_LANES / 4 };

/* With 16 lanes the sums stay in registers. */
static inline __attribute__((always_inline)) void sum_16(const float *u, const float *v, const float *shift,
                                                         size_t rows, size_t row, double *sums,
                                                         double *products)
{
    four first[FOURS] = {0};
    if (shift)
        memcpy(first, shift, sizeof(first));
    for (size_t from = 0; from < rows; from += CHUNK) {
        size_t end = MIN(rows, from + CHUNK);
        four s[FOURS] = {0}, p[FOURS] = {0};
        for (size_t i = from; i < end; i++) {
            const four *x = (const four *)(u + i * row), *y = (const four *)((v ? v : u) + i * row);
#pragma GCC unroll 4
            for (int k = 0; k < FOURS; k++) {
                four a = shift ? x[k] - first[k] : x[k];
                s[k] += a;
                p[k] += a * (v ? y[k] : a);
            }
        }
        for (size_t k = 0; k < CHANNEL_LANES; k++) {
            sums[k] += s[k / 4][k % 4];
            products[k] += p[k / 4][k % 4];
        }
    }
}

static void sum_lanes(const float *u, const float *v, const float *shift, size_t rows, size_t row,
                      size_t lanes, double *sums, double *products)
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t k = 0; k < lanes; k++) {
            double a = shift ? u[i * row + k] - shift[k] : u[i * row + k];
            sums[k] += a;
            products[k] += a * (v ? v[i * row + k] : a);
        }
    }
}

static void sum_block(const struct channels *c, const float *u, const float *v, const float *shift,
                      size_t block, double *sums, double *products)
{
    size_t lanes = lanes_of(c, block);
    if (lanes < CHANNEL_LANES)
        sum_lanes(u, v, shift, c->inner, c->row, lanes, sums, products);
    else if (v)
        sum_16(u, v, NULL, c->inner, c->row, sums, products);
    else
        sum_16(u, NULL, shift, c->inner, c->row, sums, products);
}

static void two_sums(const struct channels *c, const float *u, const float *v, const float *shift,
                     double *sums, double *products, double *parts)
{
    size_t n = c->n_padded, lanes = c->is_plain ? 1 : CHANNEL_LANES;
    memset(parts, 0, parts_bytes(c));
#pragma omp parallel for if (is_large(c))
    for (size_t t = 0; t < c->items * c->blocks; t++) {
        size_t o = t / c->blocks, b = t % c->blocks, at = o * c->item + b * c->block;
        double *sum = parts + 2 * o * n + b * lanes, *product = sum + n;
        if (c->is_plain)
            sum_row(u + at, v ? v + at : NULL, shift ? shift[b] : 0, c->inner, sum, product);
        else
            sum_block(c, u + at, v ? v + at : NULL, shift ? shift + b * lanes : NULL, b, sum, product);
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
    two_sums(c, x, NULL, shift, sums, squares, scratch);
}

void channels_products(const struct channels *c, const float *dy, const float *y, double *sums,
                       double *products, void *scratch)
{
    two_sums(c, dy, y, NULL, sums, products, scratch);
}

void channels_first(const struct channels *c, const float *x, float *ret)
{
    memset(ret, 0, c->n_padded * sizeof(float));
    for (size_t i = 0; i < c->n && c->items > 0 && c->inner > 0; i++)
        ret[i] = c->is_plain ? x[i * c->block] : x[i / CHANNEL_LANES * c->block + i % CHANNEL_LANES];
}

/* ---- changes ---- */

static inline __attribute__((always_inline)) void affine_lanes(const float *x, const float *shift,
                                                               const float *factor, const float *add,
                                                               size_t rows, size_t row, size_t lanes,
                                                               float *y)
{
    for (size_t i = 0; i < rows; i++) {
#pragma omp simd
        for (size_t k = 0; k < lanes; k++)
            y[i * row + k] = (x[i * row + k] - shift[k]) * factor[k] + add[k];
    }
}

void channels_affine(const struct channels *c, const float *x, const float *shift, const float *factor,
                     const float *add, float *y)
{
#pragma omp parallel for if (is_large(c))
    for (size_t t = 0; t < c->items * c->blocks; t++) {
        size_t b = t % c->blocks, at = t / c->blocks * c->item + b * c->block;
        size_t first = c->is_plain ? b : b * CHANNEL_LANES;
        if (c->is_plain) {
            float s = shift[b], f = factor[b], a = add[b];
#pragma omp simd
            for (size_t i = at; i < at + c->inner; i++)
                y[i] = (x[i] - s) * f + a;
        } else if (lanes_of(c, b) == CHANNEL_LANES) {
            affine_lanes(x + at, shift + first, factor + first, add + first, c->inner, c->row, CHANNEL_LANES,
                         y + at);
        } else {
            affine_lanes(x + at, shift + first, factor + first, add + first, c->inner, c->row, lanes_of(c, b),
                         y + at);
        }
    }
}

static inline __attribute__((always_inline)) void combine_lanes(const float *x, const float *a,
                                                                const float *y, const float *b,
                                                                const float *add, size_t rows, size_t row,
                                                                size_t lanes, float *out)
{
    for (size_t i = 0; i < rows; i++) {
#pragma omp simd
        for (size_t k = 0; k < lanes; k++)
            out[i * row + k] = x[i * row + k] * a[k] + y[i * row + k] * b[k] + add[k];
    }
}

void channels_combine(const struct channels *c, const float *x, const float *a, const float *y,
                      const float *b, const float *add, float *out)
{
#pragma omp parallel for if (is_large(c))
    for (size_t t = 0; t < c->items * c->blocks; t++) {
        size_t block = t % c->blocks, at = t / c->blocks * c->item + block * c->block;
        size_t first = c->is_plain ? block : block * CHANNEL_LANES;
        if (c->is_plain) {
            float of_x = a[block], of_y = b[block], more = add[block];
#pragma omp simd
            for (size_t i = at; i < at + c->inner; i++)
                out[i] = x[i] * of_x + y[i] * of_y + more;
        } else if (lanes_of(c, block) == CHANNEL_LANES) {
            combine_lanes(x + at, a + first, y + at, b + first, add + first, c->inner, c->row, CHANNEL_LANES,
                          out + at);
        } else {
            combine_lanes(x + at, a + first, y + at, b + first, add + first, c->inner, c->row,
                          lanes_of(c, block), out + at);
        }
    }
}
