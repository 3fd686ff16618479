#include <math.h>

#include "gradient_check.h"

static void negative_values_are_scaled_and_nan_stays(void **state)
{
    (void)state;
    const struct {
        const char *slope;
        float y[5];
    } rows[] = {{"0", {0, 0, 2, NAN, 0}}, {"0.5", {-1.5f, 0, 2, NAN, -0.5f}}, {"-1", {3, 0, 2, NAN, 1}}};
    const float x[] = {-3, 0, 2, NAN, -1};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(freep)
        char *text = xasprintf(
            "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 5 } } }\n"
            "layer { name: 'r' type: 'ReLU' bottom: 'x' top: 'y' relu_param { negative_slope: %s } }",
            rows[i].slope);
        CLEANUP(net_freep) struct net *net = net_from_text(text);
        struct error err;
        blob_set(net, "x", x);
        assert_ok(net_forward(net, NULL, &err));
        CLEANUP(freep) float *y = blob_values(net, "y");
        for (int j = 0; j < 5; j++)
            assert_true(isnan(rows[i].y[j]) ? isnan(y[j]) : y[j] == rows[i].y[j]);
    }
}

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    static const char *const slopes[] = {"0", "0.1", "-0.5"};
    for (size_t i = 0; i < ARRAY_SIZE(slopes); i++) {
        CLEANUP(freep)
        char *text = xasprintf("force_backward: true\n"
                               "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: "
                               "3 dim: 4 dim: 4 } } }\n"
                               "layer { name: 'r' type: 'ReLU' bottom: 'x' top: 'y' loss_weight: 1\n"
                               "  relu_param { negative_slope: %s } }",
                               slopes[i]);
        gradient_check(&(struct gradient_check){.prototxt = text, .low = -1, .high = 1, .step = 1e-3f});
    }
}

static const char net_text[] =
    "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 } } }\n"
    "layer { name: 'c' type: 'Convolution' bottom: 'x' top: 'h' convolution_param { num_output: 5\n"
    "  kernel_size: 3 weight_filler { type: 'gaussian' } bias_filler { type: 'gaussian' } } }\n"
    "layer { name: 'r' type: 'ReLU' bottom: 'h' top: 'h' }\n"
    "layer { name: 'ip' type: 'InnerProduct' bottom: 'h' top: 'i' inner_product_param {\n"
    "  num_output: 3 weight_filler { type: 'gaussian' } } }\n"
    "layer { name: 'r2' type: 'ReLU' bottom: 'i' top: 'y' loss_weight: 1 }\n";

/* For inference the kernels of 'c' and 'ip' apply it, in training layers of their own. */
static void a_relu_that_a_kernel_applies_gives_the_same(void **state)
{
    (void)state;
    struct net_options options = {.threads = 2, .seed = 3};
    CLEANUP(net_freep) struct net *training = net_from_text_with(net_text, &options, CAFFE__PHASE__TRAIN);
    options.inference = true;
    CLEANUP(net_freep) struct net *inference = net_from_text_with(net_text, &options, CAFFE__PHASE__TRAIN);
    struct error err;
    fill_inputs(training, 4, -1, 1);
    fill_inputs(inference, 4, -1, 1);
    assert_ok(net_forward(training, NULL, &err));
    assert_ok(net_forward(inference, NULL, &err));
    CLEANUP(freep) float *a = blob_values(training, "y"), *b = blob_values(inference, "y");
    for (int i = 0; i < 6; i++)
        assert_true(fabsf(a[i] - b[i]) < 1e-5f && a[i] >= 0);
}

static void nan_in_the_weights_reaches_the_loss_of_a_training_net(void **state)
{
    (void)state;
    struct net_options options = {.threads = 2, .seed = 3};
    CLEANUP(net_freep) struct net *net = net_from_text_with(net_text, &options, CAFFE__PHASE__TRAIN);
    struct error err;
    double loss = 0;
    fill_inputs(net, 4, -1, 1);
    net_param(net, 0)->data[0] = NAN;
    net_param(net, 0)->version++;
    assert_ok(net_forward(net, &loss, &err));
    assert_true(isnan(loss));
}

static void dropout_keeps_scaled_or_drops_and_its_gradient_agrees(void **state)
{
    (void)state;
    static const char text[] =
        "force_backward: true\n"
        "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 100 dim: 101 } } }\n"
        "layer { name: 'd' type: 'Dropout' bottom: 'x' top: 'y' loss_weight: 1\n"
        "  dropout_param { dropout_ratio: 0.3 } }";
    enum { N = 10100 };
    static float x[N];
    struct error err;
    for (int i = 0; i < N; i++)
        x[i] = (float)(i + 1);
    CLEANUP(net_freep) struct net *net = net_from_text(text);
    blob_set(net, "x", x);
    assert_ok(net_forward(net, NULL, &err));
    net_backward(net);
    CLEANUP(freep) float *y = blob_values(net, "y"), *dx = blob_diffs(net, "x");
    int dropped = 0;
    for (int i = 0; i < N; i++) {
        bool is_dropped = y[i] == 0;
        dropped += is_dropped;
        float factor = is_dropped ? 0 : 1 / 0.7f;
        assert_true(fabsf(y[i] - x[i] * factor) <= 1e-5f * x[i]);
        assert_true(fabsf(dx[i] - factor) <= 1e-5f);
    }
    assert_true(abs(dropped - 3030) < 200);

    struct net_options options = {.threads = 2, .inference = true};
    CLEANUP(net_freep) struct net *test = net_from_text_with(text, &options, CAFFE__PHASE__TEST);
    blob_set(test, "x", x);
    assert_ok(net_forward(test, NULL, &err));
    CLEANUP(freep) float *same = blob_values(test, "y");
    assert_memory_equal(same, x, sizeof(x));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(negative_values_are_scaled_and_nan_stays),
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(a_relu_that_a_kernel_applies_gives_the_same),
        cmocka_unit_test(nan_in_the_weights_reaches_the_loss_of_a_training_net),
        cmocka_unit_test(dropout_keeps_scaled_or_drops_and_its_gradient_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
