#include <math.h>

#include "engine/bf16.h"
#include "engine/vectors/lrn.h"
#include "gradient_check.h"
#include "processor.h"

struct row {
    const char *name;
    int c, h, w, size;
    double alpha, beta, k;
    bool within;
};

static const struct row rows[] = {
    {"AlexNet's, blocks of 16", 32, 5, 5, 5, 1e-1, 0.75, 1, false},
    {"AlexNet's, 20 channels", 20, 5, 5, 5, 1e-1, 0.75, 1, false},
    {"size 3, k 2, beta 0.5", 7, 4, 4, 3, 0.5, 0.5, 2, false},
    {"wider than the channels", 3, 4, 4, 9, 1, 0.75, 1, false},
    {"within 3", 4, 6, 5, 3, 0.7, 0.75, 1, true},
    {"within 5: k is ignored", 4, 6, 5, 5, 0.7, 0.5, 3, true},
};

static char *prototxt_of(const struct row *r)
{
    return xasprintf("force_backward: true\n"
                     "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: %d dim: %d "
                     "dim: %d } } }\n"
                     "layer { name: 'n' type: 'LRN' bottom: 'x' top: 'y' loss_weight: 1 lrn_param {\n"
                     "  local_size: %d alpha: %g beta: %g k: %g norm_region: %s } }",
                     r->c, r->h, r->w, r->size, r->alpha, r->beta, r->k,
                     r->within ? "WITHIN_CHANNEL" : "ACROSS_CHANNELS");
}

/* The bracket of the formula, in double. */
static double bracket(const struct row *r, const float *x, int n, int c, int y, int z)
{
    int half = r->size / 2;
    double sum = 0;
    for (int i = -half; i <= half; i++) {
        if (!r->within) {
            if (c + i >= 0 && c + i < r->c)
                sum += pow(x[((n * r->c + c + i) * r->h + y) * r->w + z], 2);
            continue;
        }
        for (int j = -half; j <= half; j++)
            if (y + i >= 0 && y + i < r->h && z + j >= 0 && z + j < r->w)
                sum += pow(x[((n * r->c + c) * r->h + y + i) * r->w + z + j], 2);
    }
    return r->within ? 1 + r->alpha * sum / (r->size * r->size) : r->k + r->alpha * sum / r->size;
}

static void values_are_those_of_the_formula(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *r = &rows[i];
        CLEANUP(freep) char *text = prototxt_of(r);
        CLEANUP(net_freep) struct net *net = net_from_text(text);
        struct error err;
        fill_inputs(net, i, -2, 2);
        assert_ok(net_forward(net, NULL, &err));
        CLEANUP(freep) float *x = blob_values(net, "x"), *y = blob_values(net, "y");
        for (int at = 0; at < 2 * r->c * r->h * r->w; at++) {
            int z = at % r->w, row = at / r->w % r->h, c = at / r->w / r->h % r->c,
                n = at / r->w / r->h / r->c;
            double want = x[at] * pow(bracket(r, x, n, c, row, z), -r->beta);
            if (!(fabs(y[at] - want) < 1e-5))
                fail_msg("%s: element %d is %g, not %g", r->name, at, y[at], want);
        }
    }
}

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(freep) char *text = prototxt_of(&rows[i]);
        gradient_check(&(struct gradient_check){.prototxt = text, .low = -1, .high = 1});
    }
}

/* ---- the loops of each kind of vector ---- */

enum { IMAGES = 2, AREA = 7, CHANNELS_MAX = 48, COUNT_MAX = IMAGES * AREA * CHANNELS_MAX };

static size_t place_of(const struct lrn_blobs *b, size_t pixel, size_t c)
{
    size_t image = pixel / AREA;
    return image * AREA * b->channels + (c / b->block * AREA + pixel % AREA) * b->block + c % b->block;
}

static double sum_around(const struct lrn_blobs *b, const double *each, size_t c)
{
    size_t half = (size_t)b->size / 2, to = MIN(b->channels, c + half + 1);
    double sum = 0;
    for (size_t i = c < half ? 0 : c - half; i < to; i++)
        sum += each[i];
    return sum;
}

/* One pixel's channels, in double; given: what the gradient takes for y, or NULL. */
static void normalize_pixel(const struct lrn_blobs *b, const float *x, const float *given, const float *dy,
                            size_t pixel, double *y, double *dx)
{
    double squares[CHANNELS_MAX], ratios[CHANNELS_MAX], brackets[CHANNELS_MAX];
    for (size_t c = 0; c < b->channels; c++)
        squares[c] = pow(x[place_of(b, pixel, c)], 2);
    for (size_t c = 0; c < b->channels; c++) {
        brackets[c] = b->k + b->alpha / b->size * sum_around(b, squares, c);
        y[c] = x[place_of(b, pixel, c)] * pow(brackets[c], -b->beta);
        double y_taken = given ? given[place_of(b, pixel, c)] : y[c];
        ratios[c] = dy[place_of(b, pixel, c)] * y_taken / brackets[c];
    }
    for (size_t c = 0; c < b->channels; c++)
        dx[c] = dy[place_of(b, pixel, c)] * pow(brackets[c], -b->beta) -
                2.0 * b->alpha * b->beta / b->size * x[place_of(b, pixel, c)] * sum_around(b, ratios, c);
}

struct blob {
    float floats[COUNT_MAX];
    bf16 halves[COUNT_MAX];
};

static void *numbers(struct blob *blob, bool is_bf16)
{
    return is_bf16 ? (void *)blob->halves : blob->floats;
}

static void blob_fill(struct blob *blob, uint64_t seed, bool is_bf16)
{
    fill_random(seed, -2, 2, COUNT_MAX, blob->floats);
    for (size_t i = 0; i < COUNT_MAX; i++) {
        blob->halves[i] = bf16_of(blob->floats[i]);
        if (is_bf16)
            blob->floats[i] = bf16_to_float(blob->halves[i]);
    }
}

static void close_to(const struct lrn_blobs *b, struct blob *got, size_t at, double wanted)
{
    double value = b->is_bf16 ? bf16_to_float(got->halves[at]) : got->floats[at];
    if (!(fabs(value - wanted) <= (b->is_bf16 ? 1e-2 : 2e-6) * fmax(1, fabs(wanted))))
        fail_msg("%d channels in blocks of %d, size %d, beta %g, bf16 %d: %g instead of %g", (int)b->channels,
                 (int)b->block, b->size, b->beta, b->is_bf16, value, wanted);
}

/* The pixels in two ranges; what is outside of them stays as it is.  with_y: the gradient gets another y. */
static void try_loops(const struct lrn_loops *loops, const struct lrn_blobs *b, bool with_y)
{
    static struct blob x, dy, y, dx, before, given;
    blob_fill(&x, 1, b->is_bf16);
    blob_fill(&dy, 2, b->is_bf16);
    blob_fill(&before, 3, b->is_bf16);
    blob_fill(&given, 4, b->is_bf16);
    dx = y = before;
    CLEANUP(freep) float *scratch = xcalloc(lrn_scratch_floats(b), sizeof(*scratch));
    static const size_t ranges[][2] = {{1, 9}, {9, IMAGES * AREA}};
    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
        loops->forward(b, numbers(&x, b->is_bf16), numbers(&y, b->is_bf16), scratch, ranges[i][0],
                       ranges[i][1]);
        loops->backward(b, numbers(&x, b->is_bf16), with_y ? numbers(&given, b->is_bf16) : NULL,
                        numbers(&dy, b->is_bf16), numbers(&dx, b->is_bf16), scratch, ranges[i][0],
                        ranges[i][1]);
    }
    for (size_t pixel = 0; pixel < IMAGES * AREA; pixel++) {
        double want_y[CHANNELS_MAX], want_dx[CHANNELS_MAX];
        normalize_pixel(b, x.floats, with_y ? given.floats : NULL, dy.floats, pixel, want_y, want_dx);
        for (size_t c = 0; c < b->channels; c++) {
            size_t at = place_of(b, pixel, c);
            close_to(b, &y, at, pixel == 0 ? before.floats[at] : want_y[c]);
            close_to(b, &dx, at, pixel == 0 ? before.floats[at] : want_dx[c]);
        }
    }
}

static void try_kind(const struct lrn_loops *loops, bool with_bf16)
{
    static const struct lrn_blobs all[] = {
        {AREA, 48, 16, false, 5, 0.7F, 0.75F, 1},  {AREA, 48, 16, false, 5, 0.7F, 0.6F, 2},
        {AREA, 32, 16, false, 3, 0.7F, 0.75F, 1},  {AREA, 21, 21, false, 5, 0.7F, 0.75F, 1},
        {AREA, 3, 3, false, 9, 0.7F, 0.75F, 1.5F}, {AREA, 1, 1, false, 1, 0.7F, 0.5F, 1},
    };
    for (size_t i = 0; i < 2 * ARRAY_SIZE(all); i++) {
        struct lrn_blobs b = all[i / 2];
        b.is_bf16 = with_bf16 && i % 2;
        try_loops(loops, &b, false);
        try_loops(loops, &b, true);
    }
}

static void loops_of_every_processor(void **state)
{
    (void)state;
    try_kind(&lrn_any, true);
}

#ifdef __x86_64__
static void loops_with_avx2(void **state)
{
    (void)state;
    try_kind(&lrn_avx2, true);
}

static void loops_with_avx512(void **state)
{
    (void)state;
    try_kind(&lrn_avx512, __builtin_cpu_supports("avx512bf16"));
}
#endif

/* An infinite bracket makes 0, and what is no number stays none. */
static void extremes(void **state)
{
    (void)state;
    const struct lrn_blobs b = {1, 3, 3, false, 1, 1, 0.75F, 1};
    float x[3] = {1e25F, NAN, 0}, y[3];
    CLEANUP(freep) float *scratch = xcalloc(lrn_scratch_floats(&b), sizeof(*scratch));
    lrn_loops()->forward(&b, x, y, scratch, 0, 1);
    assert_true(y[0] == 0 && isnan(y[1]) && y[2] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_the_formula),
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(loops_of_every_processor),
#ifdef __x86_64__
        UNIT_TEST_IF(has_avx2(), loops_with_avx2, "AVX2"),
        UNIT_TEST_IF(has_avx512(), loops_with_avx512, "AVX-512"),
#endif
        cmocka_unit_test(extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
