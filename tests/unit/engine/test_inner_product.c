#include <math.h>

#include "gradient_check.h"

/* Bottom 2 x 3, weights 2 x 3, bias 2, worked by hand. */
static void the_product_is_the_one_worked_by_hand(void **state)
{
    (void)state;
    const float x[] = {1, 2, 3, 4, 5, 6}, weights[] = {1, 0, -1, 2, 1, 0}, transposed[] = {1, 2, 0, 1, -1, 0};
    const float bias[] = {10, 20}, y[] = {8, 24, 8, 33};
    for (int transpose = 0; transpose < 2; transpose++) {
        CLEANUP(freep)
        char *text =
            xasprintf("layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 3 } } }\n"
                      "layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'y'\n"
                      "  inner_product_param { num_output: 2 transpose: %s } }",
                      transpose ? "true" : "false");
        CLEANUP(net_freep) struct net *net = net_from_text(text);
        struct error err;
        blob_set(net, "x", x);
        param_set(net, 0, transpose ? transposed : weights);
        param_set(net, 1, bias);
        assert_ok(net_forward(net, NULL, &err));
        CLEANUP(freep) float *got = blob_values(net, "y");
        for (int i = 0; i < 4; i++)
            assert_true(got[i] == y[i]);
    }
}

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    static const char *const settings[] = {
        "",        "bias_term: false", "transpose: true",
        "axis: 2", "axis: -1",         "axis: 2 transpose: true bias_term: false",
    };
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        CLEANUP(freep)
        char *text =
            xasprintf("force_backward: true\n"
                      "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 3 dim: 2 "
                      "dim: 2 } } }\n"
                      "layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'y' loss_weight: 1\n"
                      "  inner_product_param { num_output: 4 weight_filler { type: 'gaussian' } %s } }",
                      settings[i]);
        gradient_check(&(struct gradient_check){.prototxt = text, .low = -1, .high = 1});
    }
}

/* Behind a convolution the bottom lies in blocks or channels last; the weights still are in Caffe's order. */
static void a_bottom_that_is_not_plain_is_read_in_the_order_of_caffe(void **state)
{
    (void)state;
    static const int channels[] = {16, 20};
    for (size_t i = 0; i < ARRAY_SIZE(channels); i++) {
        for (int transpose = 0; transpose < 2; transpose++) {
            int c = channels[i], k = c * 4 * 5, n = 7;
            CLEANUP(freep)
            char *text = xasprintf(
                "force_backward: true\n"
                "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 3 dim: %d dim: 4 dim: "
                "5 } } }\n"
                "layer { name: 'conv' type: 'Convolution' bottom: 'x' top: 'h' convolution_param {\n"
                "  num_output: %d kernel_size: 1 weight_filler { type: 'gaussian' } } }\n"
                "layer { name: 'ip' type: 'InnerProduct' bottom: 'h' top: 'y' loss_weight: 1\n"
                "  inner_product_param { num_output: %d transpose: %s weight_filler { type: 'gaussian' } } }",
                c, c, n, transpose ? "true" : "false");
            CLEANUP(net_freep) struct net *net = net_from_text(text);
            struct error err;
            fill_inputs(net, 1, -1, 1);
            float dy[21];
            fill_random(2, -1, 1, 3 * n, dy);
            set_top_diff(net, "y", dy);
            assert_ok(net_forward(net, NULL, &err));
            net_clear_diffs(net);
            net_backward(net);
            CLEANUP(freep)
            float *h = blob_values(net, "h"), *dh = blob_diffs(net, "h"), *y = blob_values(net, "y");
            CLEANUP(freep) float *w = param_values(net, 2), *dw = param_diffs(net, 2);
            CLEANUP(freep) float *want_y = xcalloc((size_t)(3 * n), sizeof(float));
            CLEANUP(freep) float *want_dh = xcalloc((size_t)(3 * k), sizeof(float));
            CLEANUP(freep) float *want_dw = xcalloc((size_t)(n * k), sizeof(float));
            for (int m = 0; m < 3; m++)
                for (int o = 0; o < n; o++)
                    for (int j = 0; j < k; j++) {
                        int at = transpose ? j * n + o : o * k + j;
                        want_y[m * n + o] += h[m * k + j] * w[at];
                        want_dh[m * k + j] += dy[m * n + o] * w[at];
                        want_dw[at] += dy[m * n + o] * h[m * k + j];
                    }
            assert_true(largest_difference(y, want_y, 3 * n) < 1e-5);
            assert_true(largest_difference(dh, want_dh, 3 * k) < 1e-5);
            assert_true(largest_difference(dw, want_dw, n * k) < 1e-5);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_product_is_the_one_worked_by_hand),
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(a_bottom_that_is_not_plain_is_read_in_the_order_of_caffe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
