/* Losses and Accuracy on two items of two values.  Expected values by numpy, from the formulas of the files'
 * heads. */
#include <math.h>

#include "gradient_check.h"

static const struct row {
    const char *type, *settings;
    float a[4], b[4];
    int b_axes; /* 2: b is (2,2); 1: labels (2) */
    float want;
} rows[] = {
    {"EuclideanLoss", "", {1, 2, 3, -1}, {0, 2.5f, 1, 1}, 2, 2.3125f},
    {"SigmoidCrossEntropyLoss", "", {1, 2, 3, -1}, {1, 0, 0, 1}, 2, 3.40101937f},
    {"SigmoidCrossEntropyLoss",
     "loss_param { normalization: NONE }",
     {1, 2, 3, -1},
     {1, 0, 0, 1},
     2,
     6.80203874f},
    {"SigmoidCrossEntropyLoss",
     "loss_param { normalization: FULL }",
     {1, 2, 3, -1},
     {1, 0, 0, 1},
     2,
     1.70050968f},
    {"SigmoidCrossEntropyLoss",
     "loss_param { normalization: VALID ignore_label: 0 }",
     {1, 2, 3, -1},
     {1, 0, 0, 1},
     2,
     .813261688f},
    {"HingeLoss", "", {1, 2, 3, -1}, {1, 0}, 1, 1},
    {"HingeLoss", "hinge_loss_param { norm: L2 }", {1, 2, 3, -1}, {1, 0}, 1, 2},
    {"MultinomialLogisticLoss", "", {.25f, .75f, .5f, .5f}, {1, 0}, 1, .490414627f},
    {"Accuracy", "", {1, 2, 3, -1}, {1, 0}, 1, 1},
    {"Accuracy", "", {1, 2, 3, -1}, {0, 0}, 1, .5f},
    {"Accuracy", "accuracy_param { top_k: 2 }", {1, 2, 3, -1}, {0, 1}, 1, 1},
    {"Accuracy", "accuracy_param { ignore_label: 1 }", {1, 2, 3, -1}, {1, 0}, 1, 1},
    {"Accuracy", "accuracy_param { ignore_label: 0 }", {1, 2, 3, -1}, {0, 0}, 1, 0},
    /* a tie counts as wrong */
    {"Accuracy", "", {2, 2, 3, -1}, {1, 0}, 1, .5f},
};

static char *net_of(const struct row *row)
{
    return xasprintf("layer { name: 'in' type: 'Input' top: 'a' top: 'b' input_param {\n"
                     "  shape { dim: 2 dim: 2 } shape { %s } } }\n"
                     "layer { name: 'f' type: '%s' bottom: 'a' bottom: 'b' top: 'y' %s }",
                     row->b_axes == 2 ? "dim: 2 dim: 2" : "dim: 2", row->type, row->settings);
}

static void every_loss_computes_its_formula(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        CLEANUP(freep) char *text = net_of(&rows[i]);
        CLEANUP(net_freep) struct net *net = net_from_text(text);
        blob_set(net, "a", rows[i].a);
        blob_set(net, "b", rows[i].b);
        assert_ok(net_forward(net, NULL, &err));
        CLEANUP(freep) float *y = blob_values(net, "y");
        if (fabsf(*y - rows[i].want) > 2e-6f)
            fail_msg("%s %s is %.9g, not %.9g", rows[i].type, rows[i].settings, *y, rows[i].want);
    }
}

static void contrastive_loss_parts_what_is_not_alike(void **state)
{
    (void)state;
    static const struct {
        const char *settings;
        float want;
    } cases[] = {{"", .131703644f}, {"contrastive_loss_param { legacy_version: true }", .233125f}};
    static const float a[] = {.1f, .2f, .3f, -.1f}, b[] = {0, .25f, .1f, .1f}, alike[] = {1, 0};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {0};
        CLEANUP(freep)
        char *text = xasprintf(
            "layer { name: 'in' type: 'Input' top: 'a' top: 'b' top: 's' input_param {\n"
            "  shape { dim: 2 dim: 2 } shape { dim: 2 dim: 2 } shape { dim: 2 } } }\n"
            "layer { name: 'f' type: 'ContrastiveLoss' bottom: 'a' bottom: 'b' bottom: 's' top: 'y' %s }",
            cases[i].settings);
        CLEANUP(net_freep) struct net *net = net_from_text(text);
        blob_set(net, "a", a);
        blob_set(net, "b", b);
        blob_set(net, "s", alike);
        assert_ok(net_forward(net, NULL, &err));
        CLEANUP(freep) float *y = blob_values(net, "y");
        assert_float_equal(*y, cases[i].want, 1e-6);
    }
}

static void a_label_that_is_no_class_is_told(void **state)
{
    (void)state;
    static const char *const types[] = {"HingeLoss", "MultinomialLogisticLoss", "Accuracy"};
    static const float scores[] = {.5f, .5f, .5f, .5f};
    static const float labels[][2] = {{0, 2}, {-1, 0}, {0, NAN}};
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        for (size_t k = 0; k < ARRAY_SIZE(labels); k++) {
            struct error err = {0};
            const struct row row = {types[i], "", {0}, {0}, 1, 0};
            CLEANUP(freep) char *text = net_of(&row);
            CLEANUP(net_freep) struct net *net = net_from_text(text);
            blob_set(net, "a", scores);
            blob_set(net, "b", labels[k]);
            assert_int_equal(net_forward(net, NULL, &err), INVALID);
            assert_non_null(strstr(err.message, "layer 'f': label "));
            assert_non_null(strstr(err.message, "is none of the 2 classes (0 to 1)"));
        }
}

static void accuracy_of_each_class_counts_its_own_items(void **state)
{
    (void)state;
    struct error err = {0};
    static const float scores[] = {2, 1, 0, 2, 1, 0, 0, 5, 1, 0, 0, 1}, labels[] = {0, 1, 1, 2};
    static const float want[] = {1, .5f, 1};
    CLEANUP(net_freep)
    struct net *net =
        net_from_text("layer { name: 'in' type: 'Input' top: 'a' top: 'b' input_param {\n"
                      "  shape { dim: 4 dim: 3 } shape { dim: 4 } } }\n"
                      "layer { name: 'f' type: 'Accuracy' bottom: 'a' bottom: 'b' top: 'y' top: 'each' }");
    blob_set(net, "a", scores);
    blob_set(net, "b", labels);
    assert_ok(net_forward(net, NULL, &err));
    CLEANUP(freep) float *y = blob_values(net, "y");
    CLEANUP(freep) float *each = blob_values(net, "each");
    assert_float_equal(*y, .75, 0);
    for (int k = 0; k < 3; k++)
        assert_float_equal(each[k], want[k], 0);
}

/* Labels are 1, the matrix of InfogainLoss is 1 everywhere. */
#define WITH_TARGET(shape)                                                                                   \
    "force_backward: true\n"                                                                                 \
    "layer { name: 'in' type: 'Input' top: 'a' input_param { shape { dim: 3 dim: 4 } } }\n"                  \
    "layer { name: 'd' type: 'DummyData' top: 'b' top: 'h' dummy_data_param { shape { " shape " }\n"         \
    "  shape { dim: 1 dim: 1 dim: 4 dim: 4 } data_filler { value: 1 } } }\n"                                 \
    "layer { name: 'f' top: 'y' bottom: 'a' bottom: 'b' propagate_down: true propagate_down: false\n"

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "force_backward: true layer { name: 'in' type: 'Input' top: 'a' top: 'b' input_param { shape { dim: "
        "3 dim: 4 } } }\n"
        "layer { name: 'f' type: 'EuclideanLoss' bottom: 'a' bottom: 'b' top: 'y' }",
        "force_backward: true layer { name: 'in' type: 'Input' top: 'a' top: 'b' top: 's' input_param {\n"
        "  shape { dim: 3 dim: 4 } shape { dim: 3 dim: 4 } shape { dim: 3 } } }\n"
        "layer { name: 'st' type: 'Threshold' bottom: 's' top: 'alike' }\n"
        "layer { name: 'f' type: 'ContrastiveLoss' bottom: 'a' bottom: 'b' bottom: 'alike' top: 'y'\n"
        "  propagate_down: true propagate_down: true propagate_down: false contrastive_loss_param { margin: "
        "3 } }",
        WITH_TARGET("dim: 3 dim: 4") "type: 'SigmoidCrossEntropyLoss' }",
        WITH_TARGET("dim: 3") "type: 'HingeLoss' }",
        WITH_TARGET("dim: 3") "type: 'HingeLoss' hinge_loss_param { norm: L2 } }",
        WITH_TARGET("dim: 3") "type: 'InfogainLoss' bottom: 'h' propagate_down: false }",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        gradient_check(&(struct gradient_check){.prototxt = texts[i], .low = -1, .high = 1, .step = 1e-2f});
}

/* The objective needs probabilities above 0. */
static void the_multinomial_loss_has_the_gradient_of_finite_differences(void **state)
{
    (void)state;
    gradient_check(&(struct gradient_check){
        .prototxt = WITH_TARGET("dim: 3") "type: 'MultinomialLogisticLoss' }", .low = .5f, .high = 1});
}

/* Probabilities 1/4 and 3/4, label 0: 2 ln 4 + ln 4/3. */
static void infogain_weighs_every_class_by_its_row(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(net_freep)
    struct net *net = net_from_text(
        "layer { name: 'in' type: 'Input' top: 'a' top: 'b' top: 'h' input_param { shape { dim: 1 dim: 2 }\n"
        "  shape { dim: 1 } shape { dim: 1 dim: 1 dim: 2 dim: 2 } } }\n"
        "layer { name: 'f' type: 'InfogainLoss' bottom: 'a' bottom: 'b' bottom: 'h' top: 'y' top: 'p' }");
    blob_set(net, "a", (const float[]){0, logf(3)});
    blob_set(net, "b", (const float[]){0});
    blob_set(net, "h", (const float[]){2, 1, 0, 1});
    assert_ok(net_forward(net, NULL, &err));
    CLEANUP(freep) float *y = blob_values(net, "y");
    CLEANUP(freep) float *p = blob_values(net, "p");
    assert_float_equal(*y, 2 * log(4) + log(4 / 3.), 2e-6);
    assert_float_equal(p[0], 0.25, 1e-6);
    assert_float_equal(p[1], 0.75, 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_loss_computes_its_formula),
        cmocka_unit_test(contrastive_loss_parts_what_is_not_alike),
        cmocka_unit_test(a_label_that_is_no_class_is_told),
        cmocka_unit_test(accuracy_of_each_class_counts_its_own_items),
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(the_multinomial_loss_has_the_gradient_of_finite_differences),
        cmocka_unit_test(infogain_weighs_every_class_by_its_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
