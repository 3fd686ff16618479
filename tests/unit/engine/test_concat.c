#include "gradient_check.h"

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    static const struct {
        const char *axis, *a, *b;
    } rows[] = {
        {"axis: 1", "dim: 2 dim: 3 dim: 2 dim: 2", "dim: 2 dim: 1 dim: 2 dim: 2"},
        {"axis: 0", "dim: 2 dim: 3", "dim: 1 dim: 3"},
        {"axis: -1", "dim: 2 dim: 2 dim: 3", "dim: 2 dim: 2 dim: 4"},
        {"concat_dim: 1", "dim: 2 dim: 3", "dim: 2 dim: 2"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(freep)
        char *text = xasprintf(
            "force_backward: true\n"
            "layer { name: 'in' type: 'Input' top: 'a' top: 'b' input_param { shape { %s } shape { %s } } }\n"
            "layer { name: 'c' type: 'Concat' bottom: 'a' bottom: 'b' top: 'y' loss_weight: 1\n"
            "  concat_param { %s } }",
            rows[i].a, rows[i].b, rows[i].axis);
        gradient_check(&(struct gradient_check){.prototxt = text, .low = -1, .high = 1});
    }
}

/* As in GoogLeNet: branches of one blob, joined; channels last (5 + 6) or in blocks (16 + 32). */
static void branches_of_any_layout_join_in_the_order_of_caffe(void **state)
{
    (void)state;
    static const int channels[][3] = {{4, 5, 6}, {16, 16, 32}, {16, 16, 6}};
    for (size_t i = 0; i < ARRAY_SIZE(channels); i++) {
        const int *c = channels[i];
        CLEANUP(freep)
        char *text = xasprintf(
            "force_backward: true\n"
            "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: %d dim: 3 dim: 3 } "
            "} }\n"
            "layer { name: 'p' type: 'Convolution' bottom: 'x' top: 'a' convolution_param {\n"
            "  num_output: %d kernel_size: 1 weight_filler { type: 'gaussian' std: 0.3 } } }\n"
            "layer { name: 'q' type: 'Convolution' bottom: 'x' top: 'b' convolution_param {\n"
            "  num_output: %d kernel_size: 3 pad: 1 weight_filler { type: 'gaussian' std: 0.1 } } }\n"
            "layer { name: 'c' type: 'Concat' bottom: 'a' bottom: 'b' top: 'y' loss_weight: 1 }",
            c[0], c[1], c[2]);
        CLEANUP(net_freep) struct net *net = net_from_text(text);
        struct error err;
        fill_inputs(net, 1, -1, 1);
        int n = 2 * (c[1] + c[2]) * 9;
        CLEANUP(freep) float *dy = xcalloc((size_t)n, sizeof(float));
        fill_random(5, -1, 1, n, dy);
        set_top_diff(net, "y", dy);
        assert_ok(net_forward(net, NULL, &err));
        net_backward(net);
        CLEANUP(freep)
        float *a = blob_values(net, "a"), *b = blob_values(net, "b"), *y = blob_values(net, "y");
        CLEANUP(freep) float *da = blob_diffs(net, "a"), *db = blob_diffs(net, "b");
        size_t na = (size_t)c[1] * 9, nb = (size_t)c[2] * 9;
        for (size_t m = 0; m < 2; m++) {
            assert_memory_equal(y + m * (na + nb), a + m * na, na * sizeof(float));
            assert_memory_equal(y + m * (na + nb) + na, b + m * nb, nb * sizeof(float));
            assert_memory_equal(dy + m * (na + nb), da + m * na, na * sizeof(float));
            assert_memory_equal(dy + m * (na + nb) + na, db + m * nb, nb * sizeof(float));
        }
    }
}

static void a_blob_with_several_readers_gets_the_sum_of_their_gradients(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "force_backward: true\n"
        "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 3 dim: 3 dim: 3 } } }\n"
        "layer { name: 'p' type: 'Convolution' bottom: 'x' top: 'a' loss_weight: 1 convolution_param {\n"
        "  num_output: 4 kernel_size: 2 weight_filler { type: 'gaussian' } } }\n"
        "layer { name: 'q' type: 'InnerProduct' bottom: 'x' top: 'b' loss_weight: 1 inner_product_param {\n"
        "  num_output: 4 weight_filler { type: 'gaussian' } } }\n"
        "layer { name: 'r' type: 'ReLU' bottom: 'x' top: 'c' loss_weight: 1 }\n",
        "force_backward: true\n"
        "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 3 dim: 3 dim: 3 } } }\n"
        "layer { name: 'h' type: 'Convolution' bottom: 'x' top: 'h' convolution_param {\n"
        "  num_output: 5 kernel_size: 1 weight_filler { type: 'gaussian' } } }\n"
        "layer { name: 'r' type: 'ReLU' bottom: 'h' top: 'h' }\n"
        "layer { name: 's' type: 'Softmax' bottom: 'h' top: 'a' loss_weight: 1 }\n"
        "layer { name: 'p' type: 'Pooling' bottom: 'h' top: 'b' loss_weight: 1 pooling_param {\n"
        "  pool: AVE kernel_size: 3 } }\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        gradient_check(&(struct gradient_check){.prototxt = texts[i], .low = -1, .high = 1, .step = 2e-3f});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(branches_of_any_layout_join_in_the_order_of_caffe),
        cmocka_unit_test(a_blob_with_several_readers_gets_the_sum_of_their_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
