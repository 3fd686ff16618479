/*
 * Layers that work element by element.  Expected values by numpy in double
 * precision, from the formula at the head of each layer's file.
 */
#include <math.h>

#include "gradient_check.h"

#define N 5
static const float x[N] = {-2, -0.5f, 0, 1, 3};

static const struct row {
    const char *type, *settings;
    float y[N];
} rows[] = {
    {"AbsVal", "", {2, .5f, 0, 1, 3}},
    {"BNLL", "", {.126928011f, .474076984f, .693147181f, 1.31326169f, 3.04858735f}},
    {"Clip", "clip_param { min: -1 max: 2 }", {-1, -.5f, 0, 1, 2}},
    {"ELU", "", {-.864664717f, -.39346934f, 0, 1, 3}},
    {"ELU", "elu_param { alpha: 0.5 }", {-.432332358f, -.19673467f, 0, 1, 3}},
    {"Exp", "", {.135335283f, .60653066f, 1, 2.71828183f, 20.0855369f}},
    {"Exp", "exp_param { base: 2 scale: 0.5 shift: 1 }", {1, 1.68179283f, 2, 2.82842712f, 5.65685425f}},
    {"Log", "log_param { shift: 3 }", {0, .916290732f, 1.09861229f, 1.38629436f, 1.79175947f}},
    {"Log", "log_param { base: 2 scale: 2 shift: 5 }", {0, 2, 2.32192809f, 2.80735492f, 3.45943162f}},
    {"Power", "", {-2, -.5f, 0, 1, 3}},
    {"Power", "power_param { power: 2 scale: 0.5 shift: 1 }", {0, .5625f, 1, 2.25f, 6.25f}},
    {"Power", "power_param { power: 3 }", {-8, -.125f, 0, 1, 27}},
    {"Power", "power_param { power: 0.5 shift: 3 }", {1, 1.58113883f, 1.73205081f, 2, 2.44948974f}},
    {"Power", "power_param { power: 0 }", {1, 1, 1, 1, 1}},
    {"Power", "power_param { power: 2 scale: 0 shift: 3 }", {9, 9, 9, 9, 9}},
    {"Sigmoid", "", {.119202922f, .377540669f, .5f, .731058579f, .952574127f}},
    {"Swish", "", {-.238405844f, -.188770334f, 0, .731058579f, 2.85772238f}},
    {"Swish", "swish_param { beta: 2 }", {-.0359724199f, -.134470711f, 0, .880797078f, 2.99258213f}},
    {"TanH", "", {-.96402758f, -.462117157f, 0, .761594156f, .995054754f}},
    {"Threshold", "threshold_param { threshold: 0 }", {0, 0, 0, 1, 1}},
};

static char *net_of(const struct row *row, const char *shape, const char *more)
{
    return xasprintf("force_backward: true\n"
                     "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { %s } } }\n"
                     "layer { name: 'f' type: '%s' bottom: 'x' top: 'y' %s %s }",
                     shape, row->type, more, row->settings);
}

static void every_layer_computes_its_formula(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        CLEANUP(freep) char *text = net_of(&rows[i], "dim: 5", "");
        CLEANUP(net_freep) struct net *net = net_from_text(text);
        blob_set(net, "x", x);
        assert_ok(net_forward(net, NULL, &err));
        CLEANUP(freep) float *y = blob_values(net, "y");
        for (int k = 0; k < N; k++)
            if (fabsf(y[k] - rows[i].y[k]) > 1e-6f * fmaxf(1, fabsf(rows[i].y[k])))
                fail_msg("%s %s of %g is %.9g, not %.9g", rows[i].type, rows[i].settings, x[k], y[k],
                         rows[i].y[k]);
    }
}

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (!strcmp(rows[i].type, "Threshold"))
            continue;
        /* Between 0.1 and 0.9 no formula has a kink. */
        CLEANUP(freep) char *text = net_of(&rows[i], "dim: 2 dim: 3 dim: 4", "loss_weight: 1");
        gradient_check(&(struct gradient_check){.prototxt = text, .low = .1f, .high = .9f, .step = 1e-2f});
        if (strcmp(rows[i].type, "Log") && strncmp(rows[i].settings, "power_param { power: 0.5", 24))
            gradient_check(
                &(struct gradient_check){.prototxt = text, .low = -.9f, .high = -.1f, .step = 1e-2f});
    }
}

static void a_learned_slope_is_for_each_channel_or_for_all(void **state)
{
    (void)state;
    static const char *const settings[] = {"", "channel_shared: true"};
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        CLEANUP(freep)
        char *text = xasprintf(
            "force_backward: true\n"
            "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 3 dim: 4 } } }\n"
            "layer { name: 'f' type: 'PReLU' bottom: 'x' top: 'y' loss_weight: 1 prelu_param {\n"
            "  filler { type: 'uniform' min: 0.1 max: 0.5 } %s } }",
            settings[i]);
        gradient_check(&(struct gradient_check){.prototxt = text, .low = -.9f, .high = -.1f, .step = 1e-2f});
        gradient_check(&(struct gradient_check){.prototxt = text, .low = .1f, .high = .9f, .step = 1e-2f});
    }
}

static void settings_that_make_no_sense_are_told(void **state)
{
    (void)state;
    static const struct row wrong[] = {
        {"Log", "log_param { base: 1 }", {0}},
        {"Exp", "exp_param { base: -2 }", {0}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct error err = {0};
        struct net *net = NULL;
        const struct net_options options = {.threads = 1, .seed = 1};
        CLEANUP(freep) char *text = net_of(&wrong[i], "dim: 5", "");
        assert_int_equal(net_try_text(text, &options, CAFFE__PHASE__TRAIN, &net, &err), INVALID);
        assert_non_null(strstr(err.message, "layer 'f'"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layer_computes_its_formula),
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(a_learned_slope_is_for_each_channel_or_for_all),
        cmocka_unit_test(settings_that_make_no_sense_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
