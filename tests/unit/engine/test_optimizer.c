/*
 * Update rules on two weights (1, -0.5) and two steps with gradients
 * (0.5, -1) and (0.25, 2).  Expected values: the formulas of the papers and
 * of Caffe's documentation, worked in double precision in Python.
 */
#include "../test.h"

#include "engine/optimizer.h"

struct rule_case {
    const char *what;
    const char *type;
    float momentum, momentum2, rms_decay, delta, decay, clip;
    int iter_size;
    const char *regularization;
    float rate;
    float want[2], want_history[2], want_second[2];
};

static const struct rule_case cases[] = {
    {"SGD", "SGD", 0, 0, 0, 0, 0, -1, 1, "L2", .1f, {.925f, -.6f}, {.025f, .2f}, {0, 0}},
    {"SGD with momentum", "SGD", .9f, 0, 0, 0, 0, -1, 1, "L2", .1f, {.88f, -.51f}, {.07f, .11f}, {0, 0}},
    {"SGD with L2 decay",
     "SGD",
     .9f,
     0,
     0,
     0,
     .01f,
     -1,
     1,
     "L2",
     .1f,
     {.877151f, -.5086505f},
     {.071849f, .1091505f},
     {0, 0}},
    {"SGD with L1 decay", "SGD", 0, 0, 0, 0, .01f, -1, 1, "L1", .1f, {.923f, -.598f}, {.026f, .199f}, {0, 0}},
    {"clipping to a norm of 1",
     "SGD",
     0,
     0,
     0,
     0,
     0,
     1,
     1,
     "L2",
     .1f,
     {.942875167f, -.509785069f},
     {.0124034735f, .0992277877f},
     {0, 0}},
    {"clipping before the division by iter_size and before the decay",
     "SGD",
     0,
     0,
     0,
     0,
     .01f,
     1,
     2,
     "L2",
     .1f,
     {.969460944f, -.503937756f},
     {.00717837605f, .0491591152f},
     {0, 0}},
    {"Nesterov", "Nesterov", .9f, 0, 0, 0, 0, -1, 1, "L2", .1f, {.817f, -.609f}, {.07f, .11f}, {0, 0}},
    {"AdaGrad",
     "AdaGrad",
     0,
     0,
     0,
     1e-8f,
     0,
     -1,
     1,
     "L2",
     .1f,
     {.855278643f, -.48944272f},
     {.3125f, 5},
     {0, 0}},
    {"AdaGrad with a large delta",
     "AdaGrad",
     0,
     0,
     0,
     .1f,
     0,
     -1,
     1,
     "L2",
     .1f,
     {.878731378f, -.494704856f},
     {.3125f, 5},
     {0, 0}},
    {"RMSProp",
     "RMSProp",
     0,
     0,
     .9f,
     1e-8f,
     0,
     -1,
     1,
     "L2",
     .1f,
     {.536330307f, -.469486526f},
     {.02875f, .49f},
     {0, 0}},
    {"AdaDelta",
     "AdaDelta",
     .95f,
     0,
     0,
     1e-6f,
     0,
     -1,
     1,
     "L2",
     1,
     {.992641446f, -.501213221f},
     {.015f, .2475f},
     {1.36654623e-06f, 2.56611993e-06f}},
    {"Adam",
     "Adam",
     .9f,
     .999f,
     0,
     1e-8f,
     0,
     -1,
     1,
     "L2",
     .1f,
     {.806782152f, -.436610379f},
     {.07f, .11f},
     {.00031225f, .004999f}},
    {"Adam with a large delta",
     "Adam",
     .9f,
     .99f,
     0,
     .1f,
     0,
     -1,
     1,
     "L2",
     .1f,
     {.933282178f, -.475255056f},
     {.07f, .11f},
     {.0031f, .0499f}},
};

static const float gradients[2][2] = {{.5f, -1}, {.25f, 2}};

struct fixture {
    struct param_def def;
    struct param param;
    struct param *params[1];
    float data[2], diff[2];
};

static void fixture_init(struct fixture *f)
{
    *f = (struct fixture){.data = {1, -.5f}};
    f->def.shape = (struct shape){.n_axes = 1, .dim = {2}};
    f->def.lr_mult = f->def.decay_mult = 1;
    f->param.def = &f->def;
    f->param.n_floats = 2;
    f->param.data = f->data;
    f->param.diff = f->diff;
    f->params[0] = &f->param;
}

static Caffe__SolverParameter settings(const struct rule_case *c)
{
    Caffe__SolverParameter p = CAFFE__SOLVER_PARAMETER__INIT;
    p.type = (char *)c->type;
    p.lr_policy = (char *)"fixed";
    p.base_lr = c->rate;
    p.momentum = c->momentum;
    p.momentum2 = c->momentum2;
    p.rms_decay = c->rms_decay;
    p.delta = c->delta;
    p.weight_decay = c->decay;
    p.clip_gradients = c->clip;
    p.iter_size = c->iter_size;
    p.regularization_type = (char *)c->regularization;
    return p;
}

static void run(struct optimizer *o, struct fixture *f)
{
    for (int step = 0; step < 2; step++) {
        memcpy(f->diff, gradients[step], sizeof(f->diff));
        f->param.diff_is_empty = false;
        optimizer_update(o, step, optimizer_rate(o, step));
    }
}

static void every_rule_makes_the_steps_of_its_paper(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct rule_case *c = &cases[i];
        struct error err = {0};
        struct fixture f;
        fixture_init(&f);
        Caffe__SolverParameter p = settings(c);
        assert_ok(optimizer_check(&p, &err));
        CLEANUP(optimizer_freep) struct optimizer *o = optimizer_new(&p, f.params, 1, 1);
        run(o, &f);
        print_message("# %s\n", c->what);
        for (int k = 0; k < 2; k++) {
            assert_float_equal(f.data[k], c->want[k],
                               2e-7 + 2e-6 * (c->want[k] < 0 ? -c->want[k] : c->want[k]));
            assert_float_equal(optimizer_history(o, 0)[k], c->want_history[k], 1e-6 * c->want_history[k]);
            if (optimizer_n_histories(o) == 2)
                assert_float_equal(optimizer_history(o, 1)[k], c->want_second[k], 1e-4 * c->want_second[k]);
        }
        assert_int_equal(f.param.version, 2);
    }
}

static void keeping_the_step_changes_no_weight(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fixture f;
        fixture_init(&f);
        Caffe__SolverParameter p = settings(&cases[i]);
        p.snapshot_diff = true;
        CLEANUP(optimizer_freep) struct optimizer *o = optimizer_new(&p, f.params, 1, 1);
        float before[2] = {0};
        for (int step = 0; step < 2; step++) {
            memcpy(f.diff, gradients[step], sizeof(f.diff));
            f.param.diff_is_empty = false;
            memcpy(before, f.data, sizeof(before));
            optimizer_update(o, step, optimizer_rate(o, step));
        }
        for (int k = 0; k < 2; k++) {
            assert_float_equal(f.data[k], cases[i].want[k], 2e-6);
            assert_float_equal(f.diff[k], before[k] - f.data[k], 1e-7);
        }
    }
}

static void the_multipliers_of_a_parameter_scale_rate_and_decay(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.def.lr_mult = 2;
    f.def.decay_mult = 10;
    Caffe__SolverParameter p = settings(&cases[0]);
    p.weight_decay = .01f;
    CLEANUP(optimizer_freep) struct optimizer *o = optimizer_new(&p, f.params, 1, 1);
    memcpy(f.diff, gradients[0], sizeof(f.diff));
    optimizer_update(o, 0, .1f);
    assert_float_equal(f.data[0], 1 - .2 * (.5 + .1 * 1), 1e-6);
    assert_float_equal(f.data[1], -.5 - .2 * (-1 + .1 * -.5), 1e-6);
}

static void an_empty_gradient_counts_as_zero(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    Caffe__SolverParameter p = settings(&cases[0]);
    CLEANUP(optimizer_freep) struct optimizer *o = optimizer_new(&p, f.params, 1, 1);
    f.diff[0] = f.diff[1] = 99;
    f.param.diff_is_empty = true;
    optimizer_update(o, 0, .1f);
    assert_float_equal(f.data[0], 1, 0);
    assert_float_equal(f.data[1], -.5, 0);
}

static void padding_stays_zero_even_with_delta_zero(void **state)
{
    (void)state;
    static const char *const types[] = {"AdaGrad", "RMSProp", "AdaDelta", "Adam"};
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        struct fixture f;
        fixture_init(&f);
        f.data[1] = 0;
        Caffe__SolverParameter p = settings(&cases[0]);
        p.type = (char *)types[i];
        p.delta = 0;
        p.weight_decay = .1f;
        CLEANUP(optimizer_freep) struct optimizer *o = optimizer_new(&p, f.params, 1, 1);
        f.diff[0] = 1;
        f.diff[1] = 0;
        optimizer_update(o, 0, .1f);
        assert_float_equal(f.data[1], 0, 0);
    }
}

static void settings_that_make_no_sense_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *type, *policy, *regularization;
        float momentum;
        int iter_size;
        const char *want;
    } wrong[] = {
        {"SDG", "fixed", "L2", 0, 1,
         "solver type 'SDG' is not known; known are SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam"},
        {"SGD", "stairs", "L2", 0, 1,
         "lr_policy 'stairs' is not known; known are fixed, step, exp, inv, multistep, poly, sigmoid"},
        {"SGD", "step", "L2", 0, 1, "lr_policy 'step' needs a stepsize above 0, not 0"},
        {"SGD", "fixed", "L3", 0, 1, "regularization_type 'L3' is not known; known are L1, L2"},
        {"AdaGrad", "fixed", "L2", .9f, 1, "AdaGrad has no momentum: momentum must be 0, not 0.9"},
        {"RMSProp", "fixed", "L2", .9f, 1, "RMSProp has no momentum: momentum must be 0, not 0.9"},
        {"SGD", "fixed", "L2", 0, 0, "iter_size must be at least 1, not 0"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct error err = {0};
        Caffe__SolverParameter p = CAFFE__SOLVER_PARAMETER__INIT;
        p.type = (char *)wrong[i].type;
        p.lr_policy = (char *)wrong[i].policy;
        p.regularization_type = (char *)wrong[i].regularization;
        p.momentum = wrong[i].momentum;
        p.iter_size = wrong[i].iter_size;
        assert_int_equal(optimizer_check(&p, &err), INVALID);
        assert_string_equal(err.message, wrong[i].want);
    }
}

static void the_older_solver_type_is_read_unless_both_are_given(void **state)
{
    (void)state;
    struct error err = {0};
    const struct rule *rule;
    Caffe__SolverParameter p = CAFFE__SOLVER_PARAMETER__INIT;
    assert_ok(rule_find(&p, &rule, &err));
    assert_string_equal(rule->type, "SGD");
    p.has_solver_type = true;
    p.solver_type = CAFFE__SOLVER_PARAMETER__SOLVER_TYPE__RMSPROP;
    assert_ok(rule_find(&p, &rule, &err));
    assert_string_equal(rule->type, "RMSProp");
    p.type = (char *)"Adam";
    assert_int_equal(rule_find(&p, &rule, &err), INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_makes_the_steps_of_its_paper),
        cmocka_unit_test(keeping_the_step_changes_no_weight),
        cmocka_unit_test(the_multipliers_of_a_parameter_scale_rate_and_decay),
        cmocka_unit_test(an_empty_gradient_counts_as_zero),
        cmocka_unit_test(padding_stays_zero_even_with_delta_zero),
        cmocka_unit_test(settings_that_make_no_sense_are_told),
        cmocka_unit_test(the_older_solver_type_is_read_unless_both_are_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
