/*
 * lrn_loops.c - lrn.h's loops, for one kind of vector.
 */
#include <math.h>

#include "engine/vectors/lrn.h"
#include "engine/vectors/vec.h"

/* Blobs, and the rows of a few pixels: x, what is summed for the gradient, and what that is taken from. */
struct run {
    const struct lrn_blobs *b;
    bool is_root;   /* beta is 0.75 */
    bool is_coarse; /* moreover, what is written is rounded to bf16 */
    size_t block;
    int size;
    const void *x, *y, *dy; /* y: NULL, or what the gradient takes for it */
    void *ret;              /* y, or dx */
    float *rows, *ratios, *scaled;
    size_t row, half; /* floats of a row; of them before the first channel */
};

INLINE struct run run_of(const struct lrn_blobs *b, bool is_root, bool is_coarse, size_t block, int size,
                         const void *x, const void *y, const void *dy, void *ret, float *scratch)
{
    size_t row = lrn_row_floats(b);
    return (struct run){
        .b = b,
        .is_root = is_root,
        .is_coarse = is_coarse,
        .block = block,
        .size = size,
        .x = x,
        .y = y,
        .dy = dy,
        .ret = ret,
        .rows = scratch,
        .ratios = scratch + LRN_PIXELS * row,
        .scaled = scratch + 2 * LRN_PIXELS * row,
        .row = row,
        .half = (size_t)size / 2,
    };
}

/* Of n channels from number `at` of the blobs on; sums around it begin at `place` of the rows. */
typedef void step(const struct run *r, ptrdiff_t at, size_t place, size_t n);

/* All channels of n pixels, of which the first one's first is number `first`. */
INLINE void each(const struct run *r, size_t first, size_t n, step *how)
{
    for (size_t c = 0; c < r->b->channels; c += r->block, first += r->b->area * r->block)
        for (size_t p = 0; p < n; p++)
            for (size_t i = 0; i < r->block; i += LANES)
                how(r, (ptrdiff_t)(first + p * r->block + i), p * r->row + c + i,
                    r->block - i < LANES ? r->block - i : LANES);
}

/* Of the bracket. */
struct powers {
    vec reciprocal, to_minus_beta;
};

INLINE vec to_beta(const struct run *r, vec v)
{
    if (r->is_root) {
        vec root = square_root(v);
        return root * square_root(root);
    }
    for (int i = 0; i < LANES; i++)
        v[i] = powf(v[i], r->b->beta);
    return v;
}

INLINE struct powers powers_of_bracket(const struct run *r, size_t place)
{
    vec sum = {0};
    for (int j = 0; j < r->size; j++) {
        vec x = read(r->rows + place + j, LANES);
        sum += x * x;
    }
    vec bracket = r->b->k + sum * (r->b->alpha / (float)r->size);
    if (r->is_coarse) {
        vec root = about_one_over_root(bracket), reciprocal = root * root;
        return (struct powers){reciprocal, reciprocal * about_one_over_root(root)};
    }
    vec reciprocal = 1 / bracket;
    return (struct powers){reciprocal, to_beta(r, reciprocal)};
}

/* The next pixels are fetched while these are worked on: they lie in too many places to be foreseen. */
INLINE void ask(const struct run *r, const void *blob, ptrdiff_t at)
{
    ask_at(blob, r->b->is_bf16, at + (ptrdiff_t)(LRN_PIXELS * r->block));
}

INLINE void take_x(const struct run *r, ptrdiff_t at, size_t place, size_t n)
{
    ask(r, r->x, at);
    write(r->rows + place + r->half, read_at(r->x, r->b->is_bf16, at, n), LANES);
}

INLINE void put_y(const struct run *r, ptrdiff_t at, size_t place, size_t n)
{
    vec x = read(r->rows + place + r->half, LANES);
    write_at(r->ret, r->b->is_bf16, at, x * powers_of_bracket(r, place).to_minus_beta, n);
}

INLINE void take_dy(const struct run *r, ptrdiff_t at, size_t place, size_t n)
{
    ask(r, r->dy, at);
    ask(r, r->ret, at);
    struct powers powers = powers_of_bracket(r, place);
    vec dy = read_at(r->dy, r->b->is_bf16, at, n), scaled = dy * powers.to_minus_beta;
    vec product =
        r->y ? dy * read_at(r->y, r->b->is_bf16, at, n) : scaled * read(r->rows + place + r->half, LANES);
    write(r->scaled + place, scaled, LANES);
    write(r->ratios + place + r->half, product * powers.reciprocal, LANES);
}

INLINE void put_dx(const struct run *r, ptrdiff_t at, size_t place, size_t n)
{
    vec sum = {0}, x = read(r->rows + place + r->half, LANES);
    for (int j = 0; j < r->size; j++)
        sum += read(r->ratios + place + j, LANES);
    const float factor = 2 * r->b->alpha * r->b->beta / (float)r->size;
    write_at(r->ret, r->b->is_bf16, at, read(r->scaled + place, LANES) - x * sum * factor, n);
}

/* Pixels [from, to). */
INLINE void run(const struct run *r, size_t from, size_t to)
{
    while (from < to) {
        size_t pixel = from % r->b->area, n = LRN_PIXELS;
        size_t first = (from - pixel) * r->b->channels + pixel * r->block;
        if (n > r->b->area - pixel)
            n = r->b->area - pixel;
        if (n > to - from)
            n = to - from;
        each(r, first, n, take_x);
        if (r->dy) {
            each(r, first, n, take_dy);
            each(r, first, n, put_dx);
        } else {
            each(r, first, n, put_y);
        }
        from += n;
    }
}

/* With loops that know AlexNet's and GoogLeNet's settings, in blocks and channels last. */
static void run_all(const struct lrn_blobs *b, const void *x, const void *y, const void *dy, void *ret,
                    float *scratch, size_t from, size_t to)
{
    enum { BLOCK = 16, SIZE = 5 };
    bool is_root = b->beta == 0.75F, is_coarse = is_root && b->is_bf16;
    struct run blocks = run_of(b, true, false, BLOCK, SIZE, x, y, dy, ret, scratch);
    struct run coarse_blocks = run_of(b, true, true, BLOCK, SIZE, x, y, dy, ret, scratch);
    struct run last = run_of(b, true, false, b->block, SIZE, x, y, dy, ret, scratch);
    struct run any = run_of(b, is_root, is_coarse, b->block, b->size, x, y, dy, ret, scratch);
    if (!is_root || b->size != SIZE || (is_coarse && b->block != BLOCK))
        run(&any, from, to);
    else if (b->block != BLOCK)
        run(&last, from, to);
    else if (is_coarse)
        run(&coarse_blocks, from, to);
    else
        run(&blocks, from, to);
}

static void forward(const struct lrn_blobs *b, const void *x, void *y, float *scratch, size_t from, size_t to)
{
    run_all(b, x, NULL, NULL, y, scratch, from, to);
}

static void backward(const struct lrn_blobs *b, const void *x, const void *y, const void *dy, void *dx,
                     float *scratch, size_t from, size_t to)
{
    run_all(b, x, y, dy, dx, scratch, from, to);
}

const struct lrn_loops VECTORS_NAME(lrn) = {forward, backward};
