/*
 * winograd_transforms.c - winograd.h's transforms, for one kind of vector.
 */
#include <stdbool.h>
#include <string.h>

#include "engine/vectors/vec.h"
#include "engine/vectors/winograd.h"

enum { IN_MAX = WINOGRAD_IN_MAX, PAIRS_MAX = 6 };

/*
 * Where the polynomials are interpolated: at 0, at p and -p of each pair, and
 * perhaps at infinity.  With z for the square of x, the polynomial that is 0
 * at all other points is
 *   for 0         product over the pairs of (z - p^2),
 *   for p         (x + p) x times that product over the other pairs,
 *   for infinity  x times the first.
 * What follows for the number of points: 2 pairs + 1, and 1 for infinity.
 */
struct points {
    int pairs;
    bool infinity;
    float at[PAIRS_MAX];  /* p */
    float all[PAIRS_MAX]; /* the product over all pairs: of z^0, z^1, ...; the last, of 1, is left out */
    float others[PAIRS_MAX][PAIRS_MAX - 1]; /* the same over the other pairs */
    float factor0, factors[PAIRS_MAX];      /* 1 / each one's polynomial there; that of infinity is 1 */
};

/* 0, 1, -1, 2, -2, 1/2, -1/2, infinity. */
static const struct points eight = {
    .pairs = 3,
    .infinity = true,
    .at = {1, 2, 0.5F},
    .all = {-1, 5.25F, -5.25F},
    .others = {{1, -4.25F}, {0.25F, -1.25F}, {4, -5}},
    .factor0 = -1,
    .factors = {-2.0F / 9, 1.0F / 90, 32.0F / 45},
};

/* 0, 1/2, -1/2, 1, -1, 3/2, -3/2, 4, -4: of nine, found by trying, those with the least error, as below. */
static const struct points nine = {
    .pairs = 4,
    .at = {0.5F, 1, 1.5F, 4},
    .all = {9, -49.5625F, 59.0625F, -19.5F},
    .others = {{-36, 54.25F, -19.25F},
               {-9, 40.5625F, -18.5F},
               {-4, 20.25F, -17.25F},
               {-0.5625F, 3.0625F, -3.5F}},
    .factor0 = 1.0F / 9,
    .factors = {-16.0F / 189, 8.0F / 225, -16.0F / 2475, 1.0F / 103950},
};

static const struct points eleven = {
    .pairs = 5,
    .at = {2.0F / 5, 0.75F, 1, 2, 4},
    .all = {-144.0F / 25, 269.0F / 5, -6329.0F / 50, 7941.0F / 80, -8689.0F / 400},
    .others = {{36, -111.25F, 95.8125F, -21.5625F},
               {256.0F / 25, -1936.0F / 25, 2184.0F / 25, -529.0F / 25},
               {144.0F / 25, -1201.0F / 25, 3927.0F / 50, -8289.0F / 400},
               {36.0F / 25, -1309.0F / 100, 11349.0F / 400, -7089.0F / 400},
               {9.0F / 25, -167.0F / 50, 3081.0F / 400, -2289.0F / 400}},
    .factor0 = -25.0F / 144,
    .factors = {0.151956209F, -0.0951226319F, 40.0F / 1323, -5.0F / 19008, 7.0997878e-07F},
};

static const struct points twelve = {
    .pairs = 5,
    .infinity = true,
    .at = {1.0F / 3, 0.75F, 1, 1.5F, 3},
    .all = {-1.265625F, 15.609375F, -42.234375F, 22933.0F / 576, -1861.0F / 144},
    .others = {{11.390625F, -37.96875F, 38.390625F, -12.8125F},
               {2.25F, -23.75F, 1183.0F / 36, -445.0F / 36},
               {1.265625F, -14.34375F, 27.890625F, -1717.0F / 144},
               {0.5625F, -6.6875F, 2275.0F / 144, -1537.0F / 144},
               {0.140625F, -1.71875F, 2593.0F / 576, -565.0F / 144}},
    .factor0 = -64.0F / 81,
    .factors = {59049.0F / 100100, -0.316126562F, 9.0F / 70, -2048.0F / 280665, 1.0F / 72900},
};

static const struct points thirteen = {
    .pairs = 6,
    .at = {1.0F / 3, 3.0F / 5, 1, 4.0F / 3, 2, 4},
    .all = {1024.0F / 225, -62.1353086F, 219.134815F, -271.405926F, 132.104198F, -5231.0F / 225},
    .others = {{-1024.0F / 25, 8576.0F / 45, -19276.0F / 75, 1943.0F / 15, -5206.0F / 225},
               {-1024.0F / 81, 3712.0F / 27, -6124.0F / 27, 10033.0F / 81, -206.0F / 9},
               {-1024.0F / 225, 57.5841975F, -65428.0F / 405, 109.855309F, -5006.0F / 225},
               {-64.0F / 25, 1508.0F / 45, -7831.0F / 75, 1409.0F / 15, -4831.0F / 225},
               {-256.0F / 225, 6176.0F / 405, -50.971358F, 22319.0F / 405, -4331.0F / 225},
               {-64.0F / 225, 7828.0F / 2025, -5449.0F / 405, 32647.0F / 2025, -1631.0F / 225}},
    .factor0 = 0.2197265625F,
    .factors = {-0.197511194F, 0.108027848F, -45.0F / 1792, 0.00484200395F, -9.0F / 81536, 4.91224229e-08F},
};

INLINE int count(const struct points *p)
{
    return 2 * p->pairs + 1 + p->infinity;
}

/* ---- along one axis ---- */

/* Every second number, each times its factor, and the one behind them. */
INLINE vec product(const float *factors, int n, const vec *x)
{
    vec sum = x[2 * n];
    for (int k = 0; k < n; k++)
        sum += x[2 * k] * factors[k];
    return sum;
}

/* The transpose of that: adds them. */
INLINE void spread(const float *factors, int n, vec from, vec *x)
{
    for (int k = 0; k < n; k++)
        x[2 * k] += from * factors[k];
    x[2 * n] += from;
}

/* B^T of as many numbers as there are points. */
INLINE void in_axis(vec *x, const struct points *p, int n)
{
    (void)n;
    vec y[IN_MAX];
    y[0] = product(p->all, p->pairs, x);
    for (int i = 0; i < p->pairs; i++) {
        vec even = product(p->others[i], p->pairs - 1, x + 2),
            odd = product(p->others[i], p->pairs - 1, x + 1);
        y[2 * i + 1] = even + odd * p->at[i];
        y[2 * i + 2] = even - odd * p->at[i];
    }
    if (p->infinity)
        y[count(p) - 1] = product(p->all, p->pairs, x + 1);
    for (int i = 0; i < count(p); i++)
        x[i] = y[i];
}

/* B of as many. */
INLINE void in_diff_axis(vec *x, const struct points *p, int n)
{
    (void)n;
    vec y[IN_MAX] = {{0}};
    spread(p->all, p->pairs, x[0], y);
    for (int i = 0; i < p->pairs; i++) {
        spread(p->others[i], p->pairs - 1, x[2 * i + 1] + x[2 * i + 2], y + 2);
        spread(p->others[i], p->pairs - 1, (x[2 * i + 1] - x[2 * i + 2]) * p->at[i], y + 1);
    }
    if (p->infinity)
        spread(p->all, p->pairs, x[count(p) - 1], y + 1);
    for (int i = 0; i < count(p); i++)
        x[i] = y[i];
}

/* The polynomial in z whose coefficients are every second of n numbers, from the first one on. */
INLINE vec polynomial(const vec *x, int n, float z)
{
    int k = (n - 1) / 2 * 2;
    vec sum = x[k];
    for (k -= 2; k >= 0; k -= 2)
        sum = sum * z + x[k];
    return sum;
}

/* A of n numbers: the polynomial with these coefficients at all points. */
INLINE void evaluate_axis(vec *x, const struct points *p, int n)
{
    vec y[IN_MAX] = {{0}};
    y[0] = x[0];
    for (int i = 0; i < p->pairs; i++) {
        float z = p->at[i] * p->at[i];
        vec even = polynomial(x, n, z), odd = polynomial(x + 1, n - 1, z);
        y[2 * i + 1] = even + odd * p->at[i];
        y[2 * i + 2] = even - odd * p->at[i];
    }
    if (p->infinity)
        y[count(p) - 1] = x[n - 1];
    for (int i = 0; i < count(p); i++)
        x[i] = y[i];
}

/* A^T to n numbers. */
INLINE void collect_axis(vec *x, const struct points *p, int n)
{
    vec y[IN_MAX] = {{0}};
    y[0] = x[0];
    for (int i = 0; i < p->pairs; i++) {
        vec sum = x[2 * i + 1] + x[2 * i + 2], difference = x[2 * i + 1] - x[2 * i + 2];
        float power = 1;
        for (int k = 0; k < n; k++) {
            y[k] += (k % 2 ? difference : sum) * power;
            power *= p->at[i];
        }
    }
    if (p->infinity)
        y[n - 1] += x[count(p) - 1];
    for (int k = 0; k < n; k++)
        x[k] = y[k];
}

/* What makes G of A: a factor for each point. */
INLINE void scale(vec *x, const struct points *p)
{
    x[0] *= p->factor0;
    for (int i = 0; i < p->pairs; i++) {
        x[2 * i + 1] *= p->factors[i];
        x[2 * i + 2] *= p->factors[i];
    }
}

/* G of n numbers. */
INLINE void kernel_axis(vec *x, const struct points *p, int n)
{
    evaluate_axis(x, p, n);
    scale(x, p);
}

/* G^T to n numbers. */
INLINE void kernel_diff_axis(vec *x, const struct points *p, int n)
{
    scale(x, p);
    collect_axis(x, p, n);
}

/* ---- along both ---- */

typedef void (*axis)(vec *x, const struct points *p, int n);

/* Along so many columns, then along so many rows; n is how many numbers the axis takes, or gives. */
INLINE void both(vec x[IN_MAX][IN_MAX], const struct points *p, axis along, int n, int columns, int rows)
{
    for (int j = 0; j < columns; j++) {
        vec column[IN_MAX];
        for (int i = 0; i < count(p); i++)
            column[i] = x[i][j];
        along(column, p, n);
        for (int i = 0; i < count(p); i++)
            x[i][j] = column[i];
    }
    for (int i = 0; i < rows; i++)
        along(x[i], p, n);
}

/* ---- tiles ---- */

INLINE ptrdiff_t place(const struct winograd_tile *tile, int i, int j)
{
    return (ptrdiff_t)tile->row * i + (ptrdiff_t)tile->pixel * j;
}

INLINE vec read_pixel(const struct winograd_tile *tile, int i, int j, size_t n)
{
    return read_at(tile->at, tile->is_bf16, place(tile, i, j), n);
}

INLINE void write_pixel(const struct winograd_tile *tile, int i, int j, vec v, size_t n)
{
    write_at(tile->at, tile->is_bf16, place(tile, i, j), v, n);
}

/* The next tile lies to the right, mostly: its new columns are asked for while this one is worked on. */
INLINE void read_tile(const struct winograd_tile *tile, size_t n, int size, int next,
                      vec ret_x[IN_MAX][IN_MAX])
{
    bool is_whole = tile->top == 0 && tile->left == 0 && tile->bottom == size && tile->right == size;
    if (!is_whole)
        memset(ret_x, 0, IN_MAX * IN_MAX * sizeof(vec));
    for (int i = tile->top; i < tile->bottom; i++) {
        for (int j = tile->left; j < tile->right; j++)
            ret_x[i][j] = read_pixel(tile, i, j, n);
        for (int j = size; j < size + next; j++)
            ask_at(tile->at, tile->is_bf16, place(tile, i, j));
    }
}

INLINE void rectify_tile(const struct winograd_tile *tile, size_t n, vec x[IN_MAX][IN_MAX])
{
    for (int i = tile->top; i < tile->bottom; i++)
        for (int j = tile->left; j < tile->right; j++) {
            vec y = read_at(tile->rectified, tile->rectified_is_bf16, place(tile, i, j), n);
            x[i][j] = (vec)((mask)x[i][j] & (y > 0));
        }
}

INLINE void read_products(const struct points *p, const float *from, size_t step, size_t n,
                          vec ret_x[IN_MAX][IN_MAX])
{
    for (int i = 0; i < count(p); i++)
        for (int j = 0; j < count(p); j++, from += step)
            ret_x[i][j] = read(from, n);
}

INLINE void write_products(const struct points *p, vec x[IN_MAX][IN_MAX], float *to, size_t step, size_t n)
{
    for (int i = 0; i < count(p); i++)
        for (int j = 0; j < count(p); j++, to += step)
            write(to, x[i][j], n);
}

/* ---- the transforms ---- */

INLINE void in_of(const struct points *p, int outs, const struct winograd_tile *tile, size_t n,
                  float *products, size_t step)
{
    vec x[IN_MAX][IN_MAX];
    read_tile(tile, n, count(p), outs, x);
    both(x, p, in_axis, count(p), count(p), count(p));
    write_products(p, x, products, step, n);
}

INLINE void in_diff_of(const struct points *p, const struct winograd_tile *tile, size_t n,
                       const float *products, size_t step)
{
    vec x[IN_MAX][IN_MAX];
    read_products(p, products, step, n, x);
    both(x, p, in_diff_axis, count(p), count(p), count(p));
    for (int i = tile->top; i < tile->bottom; i++)
        for (int j = tile->left; j < tile->right; j++)
            write_pixel(tile, i, j, read_pixel(tile, i, j, n) + x[i][j], n);
}

INLINE void out_of(const struct points *p, int outs, bool or_zero, const struct winograd_tile *tile, size_t n,
                   const float *products, size_t step, const float *bias)
{
    vec x[IN_MAX][IN_MAX], more = bias ? read(bias, n) : (vec){0};
    read_products(p, products, step, n, x);
    both(x, p, collect_axis, outs, count(p), outs);
    for (int i = tile->top; i < tile->bottom; i++)
        for (int j = tile->left; j < tile->right; j++) {
            vec y = x[i][j] + more;
            if (or_zero)
                y = (vec)((mask)y & ~(y <= 0));
            write_pixel(tile, i, j, y, n);
        }
}

INLINE void out_diff_of(const struct points *p, int outs, const struct winograd_tile *tile, size_t n,
                        float *products, size_t step, float *sum)
{
    vec x[IN_MAX][IN_MAX];
    read_tile(tile, n, outs, outs, x);
    if (tile->rectified)
        rectify_tile(tile, n, x);
    if (sum) {
        vec all = {0};
        for (int i = 0; i < outs; i++)
            for (int j = 0; j < outs; j++)
                all += x[i][j];
        write(sum, read(sum, n) + all, n);
    }
    both(x, p, evaluate_axis, outs, outs, count(p));
    write_products(p, x, products, step, n);
}

INLINE void kernels_of(const struct points *p, int size, const float *kernels, size_t n, size_t step,
                       float *products)
{
    for (size_t at = 0; at < n; at += LANES) {
        vec x[IN_MAX][IN_MAX];
        size_t lanes = n - at < LANES ? n - at : LANES;
        for (int i = 0; i < size; i++)
            for (int j = 0; j < size; j++)
                x[i][j] = read(kernels + (size_t)(i * size + j) * step + at, lanes);
        both(x, p, kernel_axis, size, size, count(p));
        write_products(p, x, products + at, step, lanes);
    }
}

INLINE void kernels_diff_of(const struct points *p, int size, const float *products, size_t n, size_t step,
                            float *kernels)
{
    for (size_t at = 0; at < n; at += LANES) {
        vec x[IN_MAX][IN_MAX];
        size_t lanes = n - at < LANES ? n - at : LANES;
        read_products(p, products + at, step, lanes, x);
        both(x, p, kernel_diff_axis, size, count(p), size);
        for (int i = 0; i < size; i++)
            for (int j = 0; j < size; j++)
                write(kernels + (size_t)(i * size + j) * step + at, x[i][j], lanes);
    }
}

/* ---- of each size ---- */

/* F(outs x outs, kernel x kernel). */
#define TRANSFORMS(points, kernel, outs)                                                                     \
    static void in_##kernel##_##outs(const struct winograd_tile *tile, size_t n, float *products,            \
                                     size_t step, float *each)                                               \
    {                                                                                                        \
        (void)each;                                                                                          \
        in_of(&points, outs, tile, n, products, step);                                                       \
    }                                                                                                        \
    static void in_diff_##kernel##_##outs(const struct winograd_tile *tile, size_t n, float *products,       \
                                          size_t step, float *each)                                          \
    {                                                                                                        \
        (void)each;                                                                                          \
        in_diff_of(&points, tile, n, products, step);                                                        \
    }                                                                                                        \
    static void out_##kernel##_##outs(const struct winograd_tile *tile, size_t n, float *products,           \
                                      size_t step, float *bias)                                              \
    {                                                                                                        \
        out_of(&points, outs, false, tile, n, products, step, bias);                                         \
    }                                                                                                        \
    static void out_or_zero_##kernel##_##outs(const struct winograd_tile *tile, size_t n, float *products,   \
                                              size_t step, float *bias)                                      \
    {                                                                                                        \
        out_of(&points, outs, true, tile, n, products, step, bias);                                          \
    }                                                                                                        \
    static void out_diff_##kernel##_##outs(const struct winograd_tile *tile, size_t n, float *products,      \
                                           size_t step, float *sum)                                          \
    {                                                                                                        \
        out_diff_of(&points, outs, tile, n, products, step, sum);                                            \
    }                                                                                                        \
    static void kernels_##kernel##_##outs(const float *kernels, size_t n, size_t step, float *products)      \
    {                                                                                                        \
        kernels_of(&points, kernel, kernels, n, step, products);                                             \
    }                                                                                                        \
    static void kernels_diff_##kernel##_##outs(const float *products, size_t n, size_t step, float *kernels) \
    {                                                                                                        \
        kernels_diff_of(&points, kernel, products, n, step, kernels);                                        \
    }

TRANSFORMS(eight, 5, 4)
TRANSFORMS(eight, 3, 6)
TRANSFORMS(nine, 3, 7)
TRANSFORMS(eleven, 5, 7)
TRANSFORMS(twelve, 5, 8)
TRANSFORMS(thirteen, 5, 9)

#define ROW(kernel, outs)                                                                                    \
    {                                                                                                        \
        LANES, kernel, outs, (outs) + (kernel)-1, in_##kernel##_##outs, in_diff_##kernel##_##outs,           \
            out_##kernel##_##outs, out_or_zero_##kernel##_##outs, out_diff_##kernel##_##outs,                \
            kernels_##kernel##_##outs, kernels_diff_##kernel##_##outs                                        \
    }

const struct winograd_transforms VECTORS_NAME(winograd)[WINOGRAD_KINDS] = {ROW(5, 4), ROW(3, 6), ROW(3, 7),
                                                                           ROW(5, 7), ROW(5, 8), ROW(5, 9)};
