#include <math.h>

#include "gradient_check.h"

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    static const char *const axes[] = {"1", "2", "-1"};
    for (size_t i = 0; i < ARRAY_SIZE(axes); i++) {
        CLEANUP(freep)
        char *text = xasprintf("force_backward: true\n"
                               "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: "
                               "4 dim: 3 dim: 2 } } }\n"
                               "layer { name: 's' type: 'Softmax' bottom: 'x' top: 'y' loss_weight: 1 "
                               "softmax_param { axis: %s } }",
                               axes[i]);
        gradient_check(&(struct gradient_check){.prototxt = text, .low = -2, .high = 2});
    }
}

static char *loss_prototxt(const char *shape, const char *labels, const char *settings)
{
    return xasprintf(
        "force_backward: true\n"
        "layer { name: 'in' type: 'Input' top: 'x' top: 'labels'\n"
        "  input_param { shape { %s } shape { %s } } }\n"
        "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'x' bottom: 'labels' top: 'loss' %s\n"
        "  propagate_down: true propagate_down: false }",
        shape, labels, settings);
}

/*
 * Scores of three rows: (0,0), (ln 3, 0), (0, ln 3) with labels 0, 0, 0 give
 * probabilities 1/2, 3/4, 1/4: losses ln 2, ln 4/3, ln 4.
 */
static void losses_are_divided_as_the_normalization_says(void **state)
{
    (void)state;
    const double total = log(2) + log(4.0 / 3) + log(4), without_last = log(2) + log(4.0 / 3);
    const struct {
        const char *settings;
        float last_label;
        double loss;
    } rows[] = {
        {"", 0, total / 3},
        {"loss_param { normalization: NONE }", 0, total},
        {"loss_param { normalization: FULL }", 0, total / 3},
        {"loss_param { normalize: false }", 0, total / 3},
        {"loss_param { ignore_label: 5 }", 5, without_last / 2},
        {"loss_param { ignore_label: 5 normalization: FULL }", 5, without_last / 3},
        {"loss_param { ignore_label: 5 normalization: BATCH_SIZE }", 5, without_last / 3},
        {"loss_param { ignore_label: 5 normalize: true }", 5, without_last / 2},
    };
    const float l3 = logf(3), x[] = {0, 0, l3, 0, 0, l3};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(freep) char *text = loss_prototxt("dim: 3 dim: 2", "dim: 3", rows[i].settings);
        CLEANUP(net_freep) struct net *net = net_from_text(text);
        const float labels[] = {0, 0, rows[i].last_label};
        struct error err;
        blob_set(net, "x", x);
        blob_set(net, "labels", labels);
        double loss = 0;
        assert_ok(net_forward(net, &loss, &err));
        if (!(fabs(loss - rows[i].loss) < 1e-6))
            fail_msg("'%s': %g, not %g", rows[i].settings, loss, rows[i].loss);
        net_backward(net);
        CLEANUP(freep) float *dx = blob_diffs(net, "x");
        double divisor = (rows[i].last_label == 5 ? without_last : total) / rows[i].loss;
        const double p0[] = {0.5, 0.75, rows[i].last_label == 5 ? 1 : 0.25};
        for (int j = 0; j < 3; j++) {
            assert_true(fabs(dx[2 * j] - (p0[j] - 1) / divisor) < 1e-6);
            assert_true(fabs(dx[2 * j + 1] - (1 - p0[j]) / divisor) < 1e-6);
        }
    }
}

static void a_map_of_labels_has_a_loss_for_each_pixel(void **state)
{
    (void)state;
    static const char *const settings[] = {"", "loss_weight: 0.5 loss_param { normalization: BATCH_SIZE }",
                                           "softmax_param { axis: 2 }"};
    for (int i = 0; i < 3; i++) {
        CLEANUP(freep)
        char *text = loss_prototxt("dim: 2 dim: 3 dim: 3 dim: 2",
                                   i == 2 ? "dim: 2 dim: 3 dim: 2" : "dim: 2 dim: 3 dim: 2", settings[i]);
        CLEANUP(net_freep) struct net *net = net_from_text(text);
        struct error err;
        float x[36], labels[12];
        fill_random(1, -1, 1, 36, x);
        for (int j = 0; j < 12; j++)
            labels[j] = (float)(j * 7 % 3);
        blob_set(net, "x", x);
        blob_set(net, "labels", labels);
        double loss = 0;
        assert_ok(net_forward(net, &loss, &err));
        net_backward(net);
        CLEANUP(freep) float *dx = blob_diffs(net, "x");
        for (int j = 0; j < 36; j++) {
            double side[2];
            for (int s = 0; s < 2; s++) {
                float moved[36];
                memcpy(moved, x, sizeof(x));
                moved[j] += s ? 1e-2f : -1e-2f;
                blob_set(net, "x", moved);
                assert_ok(net_forward(net, &side[s], &err));
            }
            assert_true(fabs((side[1] - side[0]) / 2e-2 - dx[j]) < 1e-3);
        }
    }
}

static void nan_in_the_scores_is_nan_in_the_loss(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY};
    for (int i = 0; i < 2; i++) {
        CLEANUP(freep) char *text = loss_prototxt("dim: 2 dim: 3", "dim: 2", "");
        CLEANUP(net_freep) struct net *net = net_from_text(text);
        const float x[] = {0, 1, 2, 3, bad[i], 1}, labels[] = {0, 2};
        struct error err;
        double loss = 0;
        blob_set(net, "x", x);
        blob_set(net, "labels", labels);
        assert_ok(net_forward(net, &loss, &err));
        assert_true(isnan(loss));
    }
}

static void a_label_that_is_no_class_is_an_error(void **state)
{
    (void)state;
    static const float bad[] = {3, -1, NAN, 1e20f};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        CLEANUP(freep) char *text = loss_prototxt("dim: 2 dim: 3", "dim: 2", "");
        CLEANUP(net_freep) struct net *net = net_from_text(text);
        const float x[6] = {0}, labels[] = {0, bad[i]};
        struct error err = {0};
        blob_set(net, "x", x);
        blob_set(net, "labels", labels);
        assert_int_equal(net_forward(net, NULL, &err), INVALID);
        assert_non_null(strstr(err.message, "layer 'loss': label"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(losses_are_divided_as_the_normalization_says),
        cmocka_unit_test(a_map_of_labels_has_a_loss_for_each_pixel),
        cmocka_unit_test(nan_in_the_scores_is_nan_in_the_loss),
        cmocka_unit_test(a_label_that_is_no_class_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
