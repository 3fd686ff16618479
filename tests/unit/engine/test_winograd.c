/* The transforms of each kind of vector that this processor has, against the formulas they stand for. */
#include <math.h>

#include "engine/bf16.h"
#include "engine/vectors/winograd.h"
#include "gradient_check.h"
#include "processor.h"

enum { IN_MAX = WINOGRAD_IN_MAX, PRODUCTS_MAX = IN_MAX * IN_MAX, LANES_MAX = 16, STEP = LANES_MAX + 1 };

/* The numbers of a tile, floats or bf16, of which some may be outside of its image: those are NAN. */
struct square {
    struct winograd_tile tile;
    float floats[(IN_MAX + 2) * IN_MAX * LANES_MAX];
    bf16 halves[(IN_MAX + 2) * IN_MAX * LANES_MAX];
};

/* To one of its own, where it was copied. */
static void square_point(struct square *s)
{
    s->tile.at = s->tile.is_bf16 ? (void *)s->halves : s->floats;
}

static size_t place(const struct square *s, int i, int j, size_t lane)
{
    return (size_t)i * s->tile.row + (size_t)j * s->tile.pixel + lane;
}

static double number(const struct square *s, int i, int j, size_t lane)
{
    size_t at = place(s, i, j, lane);
    return s->tile.is_bf16 ? bf16_to_float(s->halves[at]) : s->floats[at];
}

static bool is_inside(const struct winograd_tile *tile, int i, int j)
{
    return i >= tile->top && i < tile->bottom && j >= tile->left && j < tile->right;
}

static void square_fill(struct square *s, bool is_bf16, const int inside[4], int size, size_t n,
                        uint64_t seed)
{
    s->tile = (struct winograd_tile){
        .is_bf16 = is_bf16,
        .row = IN_MAX * n + 3,
        .pixel = n,
        .top = inside[0],
        .bottom = inside[1] < size ? inside[1] : size,
        .left = inside[2],
        .right = inside[3] < size ? inside[3] : size,
    };
    square_point(s);
    fill_random(seed, -1, 1, ARRAY_SIZE(s->floats), s->floats);
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++)
            for (size_t c = 0; c < n && !is_inside(&s->tile, i, j); c++)
                s->floats[place(s, i, j, c)] = NAN;
    for (size_t i = 0; i < ARRAY_SIZE(s->floats); i++)
        s->halves[i] = bf16_of(s->floats[i]);
}

static double value(const struct square *s, int i, int j, size_t lane)
{
    return is_inside(&s->tile, i, j) ? number(s, i, j, lane) : 0;
}

static size_t products_of(const struct winograd_transforms *t)
{
    return (size_t)(t->ins * t->ins);
}

static void multiply(size_t products, const float *a, const float *b, size_t n, float *ret)
{
    for (size_t k = 0; k < products; k++)
        for (size_t c = 0; c < n; c++)
            ret[k * STEP + c] = a[k * STEP + c] * b[k * STEP + c];
}

/* One tile of one kind: n channels, each by a kernel of its own. */
struct trial {
    const struct winograd_transforms *t;
    size_t n;
    bool is_bf16, is_rectified;
    struct square x, y, rectified; /* that one may also be a top that the gradient comes through */
    float kernels[25 * LANES_MAX], products[PRODUCTS_MAX * LANES_MAX];
    float kernels_at_step[PRODUCTS_MAX * STEP], in[PRODUCTS_MAX * STEP], out[PRODUCTS_MAX * STEP];
};

static void trial_start(struct trial *r, const int inside[4], uint64_t seed)
{
    square_fill(&r->x, r->is_bf16, inside, r->t->ins, r->n, seed);
    square_fill(&r->y, r->is_bf16, inside, r->t->outs, r->n, seed + 1);
    square_fill(&r->rectified, !r->is_bf16, inside, r->t->outs, r->n, seed + 3);
    fill_random(seed + 2, -1, 1, ARRAY_SIZE(r->kernels), r->kernels);
    r->t->kernels(r->kernels, r->n, r->n, r->products);
    for (size_t k = 0; k < products_of(r->t); k++)
        memcpy(r->kernels_at_step + k * STEP, r->products + k * r->n, r->n * sizeof(float));
    r->t->in(&r->x.tile, r->n, r->in, STEP, NULL);
}

static double weight(const struct trial *r, int i, int j, size_t c)
{
    return r->kernels[(size_t)(i * r->t->kernel + j) * r->n + c];
}

/* Of sums of 25 products of numbers up to 1. */
static double tolerance(const struct winograd_transforms *t)
{
    return t->ins > WINOGRAD_FINE_POINTS ? 1e-2 : 1e-4;
}

static void close_to(const struct winograd_transforms *t, double got, double wanted)
{
    if (!(fabs(got - wanted) <= tolerance(t)))
        fail_msg("%g instead of %g", got, wanted);
}

/* What a transform wrote to a square is rounded. */
static void number_is(const struct winograd_transforms *t, const struct square *s, int i, int j, size_t lane,
                      double wanted)
{
    double got = number(s, i, j, lane), most = s->tile.is_bf16 ? fabs(wanted) / 128 : 0;
    if (!(fabs(got - wanted) <= tolerance(t) + most))
        fail_msg("%g instead of %g, bf16 %d", got, wanted, s->tile.is_bf16);
}

static void outputs_are_right(struct trial *r)
{
    float bias[LANES_MAX];
    fill_random(9, -1, 1, LANES_MAX, bias);
    for (int variant = 0; variant < 3; variant++) {
        struct square y = r->y;
        square_point(&y);
        multiply(products_of(r->t), r->in, r->kernels_at_step, r->n, r->out);
        (variant == 2 ? r->t->out_or_zero : r->t->out)(&y.tile, r->n, r->out, STEP, variant ? bias : NULL);
        for (int i = 0; i < r->t->outs; i++)
            for (int j = 0; j < r->t->outs; j++)
                for (size_t c = 0; c < r->n; c++) {
                    double sum = variant ? bias[c] : 0;
                    for (int p = 0; p < r->t->kernel; p++)
                        for (int q = 0; q < r->t->kernel; q++)
                            sum += weight(r, p, q, c) * value(&r->x, i + p, j + q, c);
                    if (is_inside(&y.tile, i, j))
                        number_is(r->t, &y, i, j, c, variant == 2 ? fmax(sum, 0) : sum);
                    else
                        assert_true(isnan(number(&y, i, j, c)));
                }
        for (size_t c = 0; c < 2; c++) /* behind it */
            assert_true(number(&y, IN_MAX, 0, c) == number(&r->y, IN_MAX, 0, c));
    }
}

static void gradients_are_right(struct trial *r)
{
    float sum[LANES_MAX], kernels[25 * LANES_MAX];
    fill_random(8, -1, 1, LANES_MAX, sum);
    struct square dx = r->x;
    square_point(&dx);
    double wanted_sum[LANES_MAX];
    for (size_t c = 0; c < r->n; c++)
        wanted_sum[c] = sum[c];
    struct winograd_tile dy_tile = r->y.tile;
    dy_tile.rectified = r->is_rectified ? r->rectified.tile.at : NULL;
    dy_tile.rectified_is_bf16 = r->rectified.tile.is_bf16;
    r->t->out_diff(&dy_tile, r->n, r->out, STEP, sum);
    multiply(products_of(r->t), r->out, r->kernels_at_step, r->n, r->kernels_at_step);
    r->t->in_diff(&dx.tile, r->n, r->kernels_at_step, STEP, NULL);
    multiply(products_of(r->t), r->in, r->out, r->n, r->in);
    for (size_t k = 0; k < products_of(r->t); k++)
        memcpy(r->products + k * r->n, r->in + k * STEP, r->n * sizeof(float));
    r->t->kernels_diff(r->products, r->n, r->n, kernels);
    int outs = r->t->outs, ins = r->t->ins, size = r->t->kernel;
    for (size_t c = 0; c < r->n; c++) {
        double dw[5][5] = {{0}}, wanted[IN_MAX][IN_MAX];
        for (int i = 0; i < ins; i++)
            for (int j = 0; j < ins; j++)
                wanted[i][j] = value(&r->x, i, j, c);
        for (int i = 0; i < outs; i++)
            for (int j = 0; j < outs; j++) {
                bool is_through = !r->is_rectified || value(&r->rectified, i, j, c) > 0;
                double dy = is_through ? value(&r->y, i, j, c) : 0;
                wanted_sum[c] += dy;
                for (int p = 0; p < size; p++)
                    for (int q = 0; q < size; q++) {
                        dw[p][q] += dy * value(&r->x, i + p, j + q, c);
                        wanted[i + p][j + q] += dy * weight(r, p, q, c);
                    }
            }
        for (int i = 0; i < ins; i++)
            for (int j = 0; j < ins; j++)
                if (is_inside(&dx.tile, i, j))
                    number_is(r->t, &dx, i, j, c, wanted[i][j]);
                else
                    assert_true(isnan(number(&dx, i, j, c)));
        for (int p = 0; p < size; p++)
            for (int q = 0; q < size; q++)
                close_to(r->t, kernels[(size_t)(p * size + q) * r->n + c], dw[p][q]);
        close_to(r->t, sum[c], wanted_sum[c]);
    }
}

static void try_all(const struct winograd_transforms kinds[WINOGRAD_KINDS], bool with_bf16)
{
    static const int inside[][4] = {
        {0, IN_MAX, 0, IN_MAX}, {0, 3, 2, IN_MAX}, {2, 5, 0, 1}, {4, 4, 0, IN_MAX}};
    for (int k = 0; k < 2 * WINOGRAD_KINDS; k++)
        for (size_t n = 1; n <= kinds[k / 2].lanes; n++)
            for (size_t i = 0; i < ARRAY_SIZE(inside); i++) {
                struct trial r = {.t = &kinds[k / 2], .n = n, .is_rectified = n % 2};
                r.is_bf16 = with_bf16 && k % 2;
                trial_start(&r, inside[i], 100 * i + n);
                outputs_are_right(&r);
                gradients_are_right(&r);
            }
}

static void of_every_processor(void **state)
{
    (void)state;
    try_all(winograd_any, true);
}

#ifdef __x86_64__
static void with_avx2(void **state)
{
    (void)state;
    try_all(winograd_avx2, true);
}

static void with_avx512(void **state)
{
    (void)state;
    try_all(winograd_avx512, __builtin_cpu_supports("avx512bf16"));
}
#endif

static void a_longer_row_of_kernels_is_each_of_them(void **state)
{
    (void)state;
    enum { N = 3 * LANES_MAX + 5, ROW = N + 2 };
    static float kernels[25 * ROW], products[PRODUCTS_MAX * ROW], back[25 * ROW], one[25],
        one_product[PRODUCTS_MAX];
    for (int kind = 0; kind < WINOGRAD_KINDS; kind++) {
        const struct winograd_transforms *t = &winograd_any[kind];
        size_t elements = (size_t)(t->kernel * t->kernel);
        fill_random(7, -1, 1, ARRAY_SIZE(kernels), kernels);
        t->kernels(kernels, N, ROW, products);
        t->kernels_diff(products, N, ROW, back);
        for (size_t c = 0; c < N; c++) {
            float one_back[25];
            for (size_t k = 0; k < elements; k++)
                one[k] = kernels[k * ROW + c];
            t->kernels(one, 1, 1, one_product);
            t->kernels_diff(one_product, 1, 1, one_back);
            for (size_t k = 0; k < products_of(t); k++)
                close_to(t, products[k * ROW + c], one_product[k]);
            for (size_t k = 0; k < elements; k++)
                close_to(t, back[k * ROW + c], one_back[k]);
        }
    }
}

static void the_one_with_the_fewest_products_is_taken(void **state)
{
    (void)state;
    static const struct {
        int kernel;
        size_t height, width;
        bool may_be_coarse;
        int outs;
    } rows[] = {
        {5, 28, 28, false, 4}, {5, 4, 4, true, 4},   {5, 14, 14, true, 7}, {5, 16, 16, true, 8},
        {5, 27, 27, true, 9},  {3, 6, 6, true, 6},   {3, 7, 7, false, 7},  {3, 14, 13, false, 7},
        {3, 12, 14, true, 7},  {3, 12, 11, true, 6},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(
            winograd_transforms(rows[i].kernel, rows[i].height, rows[i].width, rows[i].may_be_coarse)->outs,
            rows[i].outs);
    assert_null(winograd_transforms(4, 28, 28, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_every_processor),
#ifdef __x86_64__
        UNIT_TEST_IF(has_avx2(), with_avx2, "AVX2"),
        UNIT_TEST_IF(has_avx512(), with_avx512, "AVX-512"),
#endif
        cmocka_unit_test(a_longer_row_of_kernels_is_each_of_them),
        cmocka_unit_test(the_one_with_the_fewest_products_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
