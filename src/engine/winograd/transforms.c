/*
 * transforms.c - winograd.h's transforms, with vectors of WINOGRAD_LANES
 * floats.  It is compiled once for each kind of vector; WINOGRAD_NAME is what
 * the transforms are called then.
 */
#include <stdbool.h>
#include <string.h>
#if WINOGRAD_LANES > 4
#include <immintrin.h>
#endif

#include "engine/winograd/transforms.h"

#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(WINOGRAD_LANES * sizeof(float)), aligned(4), may_alias));
typedef int mask __attribute__((vector_size(WINOGRAD_LANES * sizeof(int))));

enum { LANES = WINOGRAD_LANES, IN = WINOGRAD_IN, OUT_MAX = 6 };

/* ---- along one axis ---- */

/* Even and odd parts at 1, 2 and 1/2 make the values there and at -1, -2 and -1/2. */
INLINE void join(vec x[IN], vec even1, vec odd1, vec even2, vec odd2, vec even3, vec odd3)
{
    x[1] = even1 + odd1;
    x[2] = even1 - odd1;
    x[3] = even2 + odd2;
    x[4] = even2 - odd2;
    x[5] = even3 + odd3;
    x[6] = even3 - odd3;
}

/* B^T of 8 numbers. */
INLINE void in_axis(vec x[IN], int n)
{
    (void)n;
    vec even1 = x[2] + x[6] - x[4] * 4.25F, odd1 = x[1] + x[5] - x[3] * 4.25F;
    vec even2 = x[2] * 0.25F + x[6] - x[4] * 1.25F, odd2 = x[1] * 0.5F + x[5] * 2 - x[3] * 2.5F;
    vec even3 = x[2] * 4 + x[6] - x[4] * 5, odd3 = x[1] * 2 + x[5] * 0.5F - x[3] * 2.5F;
    x[0] = x[0] - x[6] + (x[4] - x[2]) * 5.25F;
    x[7] = x[7] - x[1] + (x[3] - x[5]) * 5.25F;
    join(x, even1, odd1, even2, odd2, even3, odd3);
}

/* B of 8 numbers. */
INLINE void in_diff_axis(vec x[IN], int n)
{
    (void)n;
    vec sum1 = x[1] + x[2], sum2 = x[3] + x[4], sum3 = x[5] + x[6];
    vec diff1 = x[1] - x[2], diff2 = x[3] - x[4], diff3 = x[5] - x[6];
    vec first = x[0], last = x[7];
    x[1] = diff1 + diff2 * 0.5F + diff3 * 2 - last;
    x[2] = sum1 + sum2 * 0.25F + sum3 * 4 - first * 5.25F;
    x[3] = last * 5.25F - diff1 * 4.25F - (diff2 + diff3) * 2.5F;
    x[4] = first * 5.25F - sum1 * 4.25F - sum2 * 1.25F - sum3 * 5;
    x[5] = diff1 + diff2 * 2 + diff3 * 0.5F - last * 5.25F;
    x[6] = sum1 + sum2 + sum3 - first;
}

/* A of n numbers, 3 to 6: the polynomial with these coefficients at all points. */
INLINE void evaluate_axis(vec x[IN], int n)
{
    vec even1 = x[0] + x[2], even2 = x[0] + x[2] * 4, even3 = x[0] + x[2] * 0.25F;
    vec odd1 = x[1], odd2 = x[1] * 2, odd3 = x[1] * 0.5F;
    if (n > 3)
        odd1 += x[3], odd2 += x[3] * 8, odd3 += x[3] * 0.125F;
    if (n > 4)
        even1 += x[4], even2 += x[4] * 16, even3 += x[4] * 0.0625F;
    if (n > 5)
        odd1 += x[5], odd2 += x[5] * 32, odd3 += x[5] * 0.03125F;
    x[7] = x[n - 1];
    join(x, even1, odd1, even2, odd2, even3, odd3);
}

/* A^T to n numbers, 3 to 6. */
INLINE void collect_axis(vec x[IN], int n)
{
    vec sum1 = x[1] + x[2], sum2 = x[3] + x[4], sum3 = x[5] + x[6];
    vec diff1 = x[1] - x[2], diff2 = x[3] - x[4], diff3 = x[5] - x[6];
    x[0] += sum1 + sum2 + sum3;
    x[1] = diff1 + diff2 * 2 + diff3 * 0.5F;
    x[2] = sum1 + sum2 * 4 + sum3 * 0.25F;
    if (n > 3)
        x[3] = diff1 + diff2 * 8 + diff3 * 0.125F;
    if (n > 4)
        x[4] = sum1 + sum2 * 16 + sum3 * 0.0625F;
    if (n > 5)
        x[5] = diff1 + diff2 * 32 + diff3 * 0.03125F;
    x[n - 1] += x[7];
}

/* What makes G of A: a factor for each point. */
INLINE void scale(vec x[IN])
{
    static const float factors[IN] = {1,         -2.0F / 9,  -2.0F / 9,  1.0F / 90,
                                      1.0F / 90, 32.0F / 45, 32.0F / 45, 1};
    for (int i = 1; i < IN - 1; i++)
        x[i] *= factors[i];
}

/* G of n numbers. */
INLINE void kernel_axis(vec x[IN], int n)
{
    evaluate_axis(x, n);
    scale(x);
}

/* G^T to n numbers. */
INLINE void kernel_diff_axis(vec x[IN], int n)
{
    scale(x);
    collect_axis(x, n);
}

/* ---- along both ---- */

typedef void (*axis)(vec x[IN], int n);

/* Along so many columns, then along so many rows; n is how many numbers the axis takes, or gives. */
INLINE void both(vec x[IN][IN], axis along, int n, int columns, int rows)
{
    for (int j = 0; j < columns; j++) {
        vec column[IN];
        for (int i = 0; i < IN; i++)
            column[i] = x[i][j];
        along(column, n);
        for (int i = 0; i < IN; i++)
            x[i][j] = column[i];
    }
    for (int i = 0; i < rows; i++)
        along(x[i], n);
}

/* ---- channels ---- */

#if WINOGRAD_LANES == 16
INLINE vec read_some(const float *from, size_t n)
{
    return (vec)_mm512_maskz_loadu_ps((__mmask16)((1U << n) - 1), from);
}

INLINE void write_some(float *to, vec v, size_t n)
{
    _mm512_mask_storeu_ps(to, (__mmask16)((1U << n) - 1), (__m512)v);
}
#elif WINOGRAD_LANES == 8
INLINE __m256i first_of_8(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE vec read_some(const float *from, size_t n)
{
    return (vec)_mm256_maskload_ps(from, first_of_8(n));
}

INLINE void write_some(float *to, vec v, size_t n)
{
    _mm256_maskstore_ps(to, first_of_8(n), (__m256)v);
}
#else
INLINE vec read_some(const float *from, size_t n)
{
    vec v = {0};
    for (size_t i = 0; i < n; i++)
        v[i] = from[i];
    return v;
}

INLINE void write_some(float *to, vec v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = v[i];
}
#endif

INLINE vec read(const float *from, size_t n)
{
    return n == LANES ? *(const vec *)from : read_some(from, n);
}

INLINE void write(float *to, vec v, size_t n)
{
    if (n == LANES)
        *(vec *)to = v;
    else
        write_some(to, v, n);
}

INLINE float *pixel(const struct winograd_tile *tile, int i, int j)
{
    return tile->at + (ptrdiff_t)tile->row * i + (ptrdiff_t)tile->pixel * j;
}

/* The next tile lies to the right, mostly: its new columns are asked for while this one is worked on. */
INLINE void read_tile(const struct winograd_tile *tile, size_t n, int size, int next, vec ret_x[IN][IN])
{
    bool is_whole = tile->top == 0 && tile->left == 0 && tile->bottom == size && tile->right == size;
    if (!is_whole)
        memset(ret_x, 0, IN * IN * sizeof(vec));
    for (int i = tile->top; i < tile->bottom; i++) {
        for (int j = tile->left; j < tile->right; j++)
            ret_x[i][j] = read(pixel(tile, i, j), n);
        for (int j = size; j < size + next; j++)
            __builtin_prefetch(pixel(tile, i, j));
    }
}

INLINE void read_products(const float *from, size_t step, size_t n, vec ret_x[IN][IN])
{
    for (int k = 0; k < IN * IN; k++)
        ret_x[k / IN][k % IN] = read(from + (size_t)k * step, n);
}

INLINE void write_products(vec x[IN][IN], float *to, size_t step, size_t n)
{
    for (int k = 0; k < IN * IN; k++)
        write(to + (size_t)k * step, x[k / IN][k % IN], n);
}

/* ---- the transforms ---- */

static void in(const struct winograd_tile *tile, size_t n, float *products, size_t step, float *each)
{
    (void)each;
    vec x[IN][IN];
    read_tile(tile, n, IN, OUT_MAX, x);
    both(x, in_axis, IN, IN, IN);
    write_products(x, products, step, n);
}

static void in_diff(const struct winograd_tile *tile, size_t n, float *products, size_t step, float *each)
{
    (void)each;
    vec x[IN][IN];
    read_products(products, step, n, x);
    both(x, in_diff_axis, IN, IN, IN);
    for (int i = tile->top; i < tile->bottom; i++)
        for (int j = tile->left; j < tile->right; j++)
            write(pixel(tile, i, j), read(pixel(tile, i, j), n) + x[i][j], n);
}

INLINE void out_of(int size, bool or_zero, const struct winograd_tile *tile, size_t n, const float *products,
                   size_t step, const float *bias)
{
    vec x[IN][IN], more = bias ? read(bias, n) : (vec){0};
    read_products(products, step, n, x);
    both(x, collect_axis, size, IN, size);
    for (int i = tile->top; i < tile->bottom; i++)
        for (int j = tile->left; j < tile->right; j++) {
            vec y = x[i][j] + more;
            if (or_zero)
                y = (vec)((mask)y & (y > 0));
            write(pixel(tile, i, j), y, n);
        }
}

INLINE void out_diff_of(int size, const struct winograd_tile *tile, size_t n, float *products, size_t step,
                        float *sum)
{
    vec x[IN][IN];
    read_tile(tile, n, size, size, x);
    if (sum) {
        vec all = {0};
        for (int i = 0; i < size; i++)
            for (int j = 0; j < size; j++)
                all += x[i][j];
        write(sum, read(sum, n) + all, n);
    }
    both(x, evaluate_axis, size, size, IN);
    write_products(x, products, step, n);
}

INLINE void kernels_of(int size, const float *kernels, size_t n, float *products)
{
    for (size_t at = 0; at < n; at += LANES) {
        vec x[IN][IN];
        size_t lanes = n - at < LANES ? n - at : LANES;
        for (int i = 0; i < size; i++)
            for (int j = 0; j < size; j++)
                x[i][j] = read(kernels + (size_t)(i * size + j) * n + at, lanes);
        both(x, kernel_axis, size, size, IN);
        write_products(x, products + at, n, lanes);
    }
}

INLINE void kernels_diff_of(int size, const float *products, size_t n, float *kernels)
{
    for (size_t at = 0; at < n; at += LANES) {
        vec x[IN][IN];
        size_t lanes = n - at < LANES ? n - at : LANES;
        read_products(products + at, n, lanes, x);
        both(x, kernel_diff_axis, size, IN, size);
        for (int i = 0; i < size; i++)
            for (int j = 0; j < size; j++)
                write(kernels + (size_t)(i * size + j) * n + at, x[i][j], lanes);
    }
}

/* ---- for each size of kernels ---- */

#define TRANSFORMS(kernel, outs)                                                                             \
    static void out_##outs(const struct winograd_tile *tile, size_t n, float *products, size_t step,         \
                           float *bias)                                                                      \
    {                                                                                                        \
        out_of(outs, false, tile, n, products, step, bias);                                                  \
    }                                                                                                        \
    static void out_or_zero_##outs(const struct winograd_tile *tile, size_t n, float *products, size_t step, \
                                   float *bias)                                                              \
    {                                                                                                        \
        out_of(outs, true, tile, n, products, step, bias);                                                   \
    }                                                                                                        \
    static void out_diff_##outs(const struct winograd_tile *tile, size_t n, float *products, size_t step,    \
                                float *sum)                                                                  \
    {                                                                                                        \
        out_diff_of(outs, tile, n, products, step, sum);                                                     \
    }                                                                                                        \
    static void kernels_##kernel(const float *kernels, size_t n, float *products)                            \
    {                                                                                                        \
        kernels_of(kernel, kernels, n, products);                                                            \
    }                                                                                                        \
    static void kernels_diff_##kernel(const float *products, size_t n, float *kernels)                       \
    {                                                                                                        \
        kernels_diff_of(kernel, products, n, kernels);                                                       \
    }

TRANSFORMS(3, 6)
TRANSFORMS(5, 4)

const struct winograd_transforms WINOGRAD_NAME[] = {
    {LANES, 3, 6, in, in_diff, out_6, out_or_zero_6, out_diff_6, kernels_3, kernels_diff_3},
    {LANES, 5, 4, in, in_diff, out_4, out_or_zero_4, out_diff_4, kernels_5, kernels_diff_5},
};
