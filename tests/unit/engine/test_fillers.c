#include <math.h>

#include "../test.h"
#include "engine/fillers.h"

enum { N = 64 * 25 * 20 };

struct moments {
    double mean, deviation, min, max, zeros;
};

static struct moments moments_of(const float *values, int64_t n)
{
    struct moments m = {.min = INFINITY, .max = -INFINITY};
    for (int64_t i = 0; i < n; i++) {
        m.mean += values[i] / (double)n;
        m.min = fmin(m.min, values[i]);
        m.max = fmax(m.max, values[i]);
        m.zeros += values[i] == 0 ? 1.0 / (double)n : 0;
    }
    for (int64_t i = 0; i < n; i++)
        m.deviation += (values[i] - m.mean) * (values[i] - m.mean) / (double)n;
    m.deviation = sqrt(m.deviation);
    return m;
}

static struct moments filled(Caffe__FillerParameter f)
{
    static float values[N];
    const struct shape shape = {4, {64, 20, 5, 5}};
    struct error err = {0};
    struct rng rng;
    rng_seed(&rng, 3);
    assert_ok(filler_check(&f, &shape, &err));
    filler_fill(&f, &shape, &rng, values);
    return moments_of(values, N);
}

static Caffe__FillerParameter filler(const char *type)
{
    Caffe__FillerParameter f = CAFFE__FILLER_PARAMETER__INIT;
    f.type = (char *)type; /* protobuf-c's strings are not const */
    return f;
}

static void xavier_and_msra_scale_by_the_chosen_fan(void **state)
{
    (void)state;
    /* (64,20,5,5): fan in 500, fan out 1600. */
    const struct {
        Caffe__FillerParameter__VarianceNorm norm;
        double n;
    } rows[] = {
        {CAFFE__FILLER_PARAMETER__VARIANCE_NORM__FAN_IN, 500},
        {CAFFE__FILLER_PARAMETER__VARIANCE_NORM__FAN_OUT, 1600},
        {CAFFE__FILLER_PARAMETER__VARIANCE_NORM__AVERAGE, 1050},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Caffe__FillerParameter f = filler("xavier");
        f.variance_norm = rows[i].norm;
        struct moments m = filled(f);
        double a = sqrt(3 / rows[i].n);
        assert_true(m.min >= -a && m.max <= a && m.max > 0.99 * a);
        assert_true(fabs(m.deviation - a / sqrt(3)) < 0.01 * a);
        f = filler("msra");
        f.variance_norm = rows[i].norm;
        m = filled(f);
        assert_true(fabs(m.deviation - sqrt(2 / rows[i].n)) < 0.02 * sqrt(2 / rows[i].n));
    }
}

static void gaussian_has_its_mean_deviation_and_sparsity(void **state)
{
    (void)state;
    Caffe__FillerParameter f = filler("gaussian");
    f.mean = 2;
    f.std = 0.5f;
    struct moments m = filled(f);
    assert_true(fabs(m.mean - 2) < 0.01 && fabs(m.deviation - 0.5) < 0.01);
    /* sparse 16 of 64 outputs: a quarter of the weights is kept. */
    f = filler("gaussian");
    f.sparse = 16;
    m = filled(f);
    assert_true(fabs(m.zeros - 0.75) < 0.02);
}

static void uniform_and_constant_stay_in_their_bounds(void **state)
{
    (void)state;
    Caffe__FillerParameter f = filler("uniform");
    f.min = -3;
    f.max = -1;
    struct moments m = filled(f);
    assert_true(m.min >= -3 && m.max <= -1 && fabs(m.mean + 2) < 0.02);
    f = filler("constant");
    f.value = 0.25f;
    m = filled(f);
    assert_true(m.min == 0.25 && m.max == 0.25);
}

static void rows_of_positive_unitball_sum_to_one(void **state)
{
    (void)state;
    float values[12];
    const struct shape shape = {2, {3, 4}};
    struct rng rng;
    rng_seed(&rng, 1);
    Caffe__FillerParameter f = filler("positive_unitball");
    filler_fill(&f, &shape, &rng, values);
    for (int i = 0; i < 3; i++) {
        float sum = 0;
        for (int j = 0; j < 4; j++) {
            assert_true(values[4 * i + j] > 0);
            sum += values[4 * i + j];
        }
        assert_true(fabsf(sum - 1) < 1e-6f);
    }
}

static void bilinear_is_the_tent_of_upsampling_by_two(void **state)
{
    (void)state;
    /* Factor 2 has kernel 4: 1/4, 3/4, 3/4, 1/4 in each direction. */
    static const float tent[] = {0.25f, 0.75f, 0.75f, 0.25f};
    float values[16];
    const struct shape shape = {4, {1, 1, 4, 4}};
    Caffe__FillerParameter f = filler("bilinear");
    filler_fill(&f, &shape, NULL, values);
    for (int i = 0; i < 16; i++)
        assert_true(fabsf(values[i] - tent[i / 4] * tent[i % 4]) < 1e-6f);
}

static void a_wrong_filler_is_refused_with_the_reason(void **state)
{
    (void)state;
    const struct {
        const char *type;
        int sparse;
        struct shape shape;
        const char *message;
    } rows[] = {
        {"gausian", -1, {1, {3}}, "unknown filler type 'gausian'"},
        {"xavier", 3, {1, {3}}, "sparse is for the gaussian filler only"},
        {"bilinear", -1, {4, {1, 1, 4, 3}}, "square kernel"},
        {"xavier", -1, {0, {0}}, "no axes"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Caffe__FillerParameter f = filler(rows[i].type);
        f.sparse = rows[i].sparse;
        struct error err = {0};
        assert_int_equal(filler_check(&f, &rows[i].shape, &err), INVALID);
        if (!strstr(err.message, rows[i].message))
            fail_msg("'%s' says nothing of '%s'", err.message, rows[i].message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xavier_and_msra_scale_by_the_chosen_fan),
        cmocka_unit_test(gaussian_has_its_mean_deviation_and_sparsity),
        cmocka_unit_test(uniform_and_constant_stay_in_their_bounds),
        cmocka_unit_test(rows_of_positive_unitball_sum_to_one),
        cmocka_unit_test(bilinear_is_the_tent_of_upsampling_by_two),
        cmocka_unit_test(a_wrong_filler_is_refused_with_the_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
