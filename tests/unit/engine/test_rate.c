/* Learning rates by policy; expected values worked by hand from the formulas in rate.h. */
#include "../test.h"

#include "engine/solvers/rate.h"

static const struct rate_case {
    const char *policy;
    float base_lr, gamma, power;
    int stepsize, max_iter;
    int64_t iteration;
    double want;
} cases[] = {
    {"fixed", .3f, 0, 0, 0, 100, 57, .3},
    {"step", .1f, .5f, 0, 10, 100, 0, .1},
    {"step", .1f, .5f, 0, 10, 100, 9, .1},
    {"step", .1f, .5f, 0, 10, 100, 10, .05},
    {"step", .1f, .5f, 0, 10, 100, 39, .0125},
    {"exp", .1f, .99f, 0, 0, 100, 7, .093206534790699},
    {"inv", .01f, .0001f, .75f, 0, 100, 0, .01},
    {"inv", .01f, .0001f, .75f, 0, 1000, 500, .00964068794694323},
    {"poly", .1f, 0, 2, 0, 100, 25, .05625},
    {"poly", .1f, 0, 1, 0, 100, 100, 0},
    {"sigmoid", .1f, .5f, 0, 12, 100, 10, .026894142136999515},
    {"sigmoid", .1f, .5f, 0, 12, 100, 12, .05},
};

static void every_policy_gives_its_rate(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct rate_case *c = &cases[i];
        struct error err = {0};
        Caffe__SolverParameter p = CAFFE__SOLVER_PARAMETER__INIT;
        p.lr_policy = (char *)c->policy;
        p.base_lr = c->base_lr;
        p.gamma = c->gamma;
        p.power = c->power;
        p.stepsize = c->stepsize;
        p.max_iter = c->max_iter;
        assert_ok(rate_check(&p, &err));
        int step = 0;
        assert_float_equal(rate_at(&p, c->iteration, &step), c->want, 1e-6 * c->base_lr);
    }
}

static void multistep_moves_one_step_an_iteration(void **state)
{
    (void)state;
    /* Two values that are passed at once take two iterations, as in Caffe. */
    static int32_t values[] = {2, 2, 5};
    static const double want[] = {1, 1, .5, .25, .25, .125, .125};
    Caffe__SolverParameter p = CAFFE__SOLVER_PARAMETER__INIT;
    p.lr_policy = (char *)"multistep";
    p.base_lr = 1;
    p.gamma = .5f;
    p.stepvalue = values;
    p.n_stepvalue = 3;
    int step = 0;
    for (int i = 0; i < 7; i++)
        assert_float_equal(rate_at(&p, i, &step), want[i], 1e-7);
    assert_int_equal(step, 3);
}

static void a_missing_policy_names_the_known_ones(void **state)
{
    (void)state;
    struct error err = {0};
    Caffe__SolverParameter p = CAFFE__SOLVER_PARAMETER__INIT;
    assert_int_equal(rate_check(&p, &err), INVALID);
    assert_string_equal(
        err.message,
        "the solver has no lr_policy; known are fixed, step, exp, inv, multistep, poly, sigmoid");
    p.lr_policy = (char *)"exp";
    p.gamma = -1;
    assert_int_equal(rate_check(&p, &err), INVALID);
    assert_string_equal(err.message, "lr_policy 'exp' needs a gamma of 0 or more, not -1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_policy_gives_its_rate),
        cmocka_unit_test(multistep_moves_one_step_an_iteration),
        cmocka_unit_test(a_missing_policy_names_the_known_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
