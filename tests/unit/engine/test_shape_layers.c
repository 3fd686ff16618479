/* Layers that move values, combine blobs, or repeat a parameter over axes.  Expected values worked by hand.
 */
#include <math.h>

#include "gradient_check.h"

#define X23  "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 3 } } }\n"
#define XZ23 "layer { name: 'in' type: 'Input' top: 'x' top: 'z' input_param { shape { dim: 2 dim: 3 } } }\n"

/* x = 1..6 in (2,3); z = 6,5,..1 */
static const struct row {
    const char *net;
    int n;
    float y[18];
} rows[] = {
    {X23 "layer { name: 'f' type: 'Flatten' bottom: 'x' top: 'y' flatten_param { axis: 0 } }",
     6,
     {1, 2, 3, 4, 5, 6}},
    {X23
     "layer { name: 'f' type: 'Reshape' bottom: 'x' top: 'y' reshape_param { shape { dim: 3 dim: -1 } } }",
     6,
     {1, 2, 3, 4, 5, 6}},
    {X23 "layer { name: 'f' type: 'Slice' bottom: 'x' top: 'a' top: 'y' slice_param { slice_point: 1 } }",
     4,
     {2, 3, 5, 6}},
    {X23 "layer { name: 'f' type: 'Slice' bottom: 'x' top: 'a' top: 'y' slice_param { axis: 0 } }",
     3,
     {4, 5, 6}},
    {X23 "layer { name: 'f' type: 'Tile' bottom: 'x' top: 'y' tile_param { tiles: 2 } }",
     12,
     {1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6}},
    {X23 "layer { name: 'f' type: 'Tile' bottom: 'x' top: 'y' tile_param { axis: 0 tiles: 2 } }",
     12,
     {1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6}},
    {X23 "layer { name: 'f' type: 'Reduction' bottom: 'x' top: 'y' }", 1, {21}},
    {X23 "layer { name: 'f' type: 'Reduction' bottom: 'x' top: 'y' reduction_param { axis: 1 operation: MEAN "
         "coeff: 2 } }",
     2,
     {4, 10}},
    {X23 "layer { name: 'f' type: 'Reduction' bottom: 'x' top: 'y' reduction_param { axis: 1 operation: "
         "SUMSQ } }",
     2,
     {14, 77}},
    {X23 "layer { name: 'f' type: 'ArgMax' bottom: 'x' top: 'y' }", 2, {2, 2}},
    {X23
     "layer { name: 'f' type: 'ArgMax' bottom: 'x' top: 'y' argmax_param { out_max_val: true top_k: 2 } }",
     8,
     {2, 1, 3, 2, 2, 1, 6, 5}},
    {X23 "layer { name: 'f' type: 'ArgMax' bottom: 'x' top: 'y' argmax_param { axis: 0 } }", 3, {1, 1, 1}},
    {XZ23 "layer { name: 'f' type: 'Eltwise' bottom: 'x' bottom: 'z' top: 'y' }", 6, {7, 7, 7, 7, 7, 7}},
    {XZ23 "layer { name: 'f' type: 'Eltwise' bottom: 'x' bottom: 'z' top: 'y' eltwise_param { coeff: 2 "
          "coeff: -1 } }",
     6,
     {-4, -1, 2, 5, 8, 11}},
    {XZ23
     "layer { name: 'f' type: 'Eltwise' bottom: 'x' bottom: 'z' top: 'y' eltwise_param { operation: PROD } }",
     6,
     {6, 10, 12, 12, 10, 6}},
    {XZ23
     "layer { name: 'f' type: 'Eltwise' bottom: 'x' bottom: 'z' top: 'y' eltwise_param { operation: MAX } }",
     6,
     {6, 5, 4, 4, 5, 6}},
    {X23 "layer { name: 'f' type: 'Scale' bottom: 'x' top: 'y' scale_param { bias_term: true filler { value: "
         "2 } bias_filler { value: 1 } } }",
     6,
     {3, 5, 7, 9, 11, 13}},
    {X23 "layer { name: 'f' type: 'Bias' bottom: 'x' top: 'y' bias_param { axis: 0 filler { type: 'constant' "
         "value: -1 } } }",
     6,
     {0, 1, 2, 3, 4, 5}},
    {X23 "layer { name: 'f' type: 'MVN' bottom: 'x' top: 'y' mvn_param { across_channels: true "
         "normalize_variance: false } }",
     6,
     {-1, 0, 1, -1, 0, 1}},
    {X23 "layer { name: 'f' type: 'BatchNorm' bottom: 'x' top: 'y' batch_norm_param { eps: 0 } }",
     6,
     {-1, -1, -1, 1, 1, 1}},
    {"layer { name: 'in' type: 'Input' top: 'x' top: 'z' input_param { shape { dim: 2 dim: 3 } shape { dim: "
     "1 dim: 2 } } }\n"
     "layer { name: 'f' type: 'Crop' bottom: 'x' bottom: 'z' top: 'y' crop_param { axis: 0 offset: 1 } }",
     2,
     {5, 6}},
};

static void every_layer_gives_what_is_worked_by_hand(void **state)
{
    (void)state;
    static const float x[] = {1, 2, 3, 4, 5, 6}, z[] = {6, 5, 4, 3, 2, 1};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        CLEANUP(net_freep) struct net *net = net_from_text(rows[i].net);
        blob_set(net, "x", x);
        if (netdef_find_blob(net_def(net), "z") >= 0)
            blob_set(net, "z", z);
        assert_ok(net_forward(net, NULL, &err));
        assert_int_equal(shape_count(&net_def(net)->blobs[blob_index(net, "y")].shape), rows[i].n);
        CLEANUP(freep) float *y = blob_values(net, "y");
        for (int k = 0; k < rows[i].n; k++)
            if (fabsf(y[k] - rows[i].y[k]) > 1e-6f)
                fail_msg("%s\nvalue %d is %.9g, not %.9g", rows[i].net, k, y[k], rows[i].y[k]);
    }
}

#define IN                                                                                                   \
    "force_backward: true layer { name: 'in' type: 'Input' top: 'x' top: 'z' input_param { shape { dim: 2 "  \
    "dim: 3 dim: 4 } } }\n"
#define QUIET "layer { name: 'q' type: 'Silence' bottom: 'z' }\n"
#define F     "layer { name: 'f' loss_weight: 1 top: 'y' bottom: 'x' "

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    static const char *const nets[] = {
        IN QUIET F "type: 'Flatten' }",
        IN QUIET F "type: 'Reshape' reshape_param { shape { dim: 4 dim: 6 } } }",
        IN QUIET F "type: 'Slice' top: 'y2' loss_weight: 0.5 slice_param { slice_point: 2 } }",
        IN QUIET F "type: 'Tile' tile_param { tiles: 3 } }",
        IN QUIET F "type: 'Reduction' reduction_param { axis: 1 operation: SUMSQ coeff: 0.5 } }",
        IN QUIET F "type: 'Reduction' reduction_param { axis: 2 operation: MEAN } }",
        IN QUIET F
        "type: 'Deconvolution' convolution_param { num_output: 6 group: 3 kernel_size: 3 stride: 2 "
        "pad: 1 weight_filler { type: 'gaussian' } bias_filler { type: 'gaussian' } } }",
        IN QUIET F "type: 'Deconvolution' convolution_param { num_output: 2 kernel_size: 2 dilation: 2 "
                   "bias_term: false weight_filler { type: 'gaussian' } } }",
        IN QUIET F "type: 'Im2col' convolution_param { kernel_size: 3 stride: 2 pad: 1 } }",
        "force_backward: true layer { name: 'in' type: 'Input' top: 'x' input_param {\n"
        "  shape { dim: 2 dim: 2 dim: 6 dim: 8 } } }\n" F
        "type: 'SPP' spp_param { pyramid_height: 3 pool: AVE } }",
        "force_backward: true layer { name: 'in' type: 'Input' top: 'x' input_param {\n"
        "  shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }\n" F "type: 'SPP' spp_param { pyramid_height: 2 } }",
        IN QUIET F "type: 'MVN' mvn_param { eps: 0 } }",
        IN QUIET F "type: 'MVN' mvn_param { across_channels: true normalize_variance: false } }",
        IN QUIET F "type: 'BatchNorm' }",
        IN QUIET F "type: 'BatchNorm' batch_norm_param { use_global_stats: true eps: 0.5 } }",
        IN QUIET F "type: 'Scale' scale_param { bias_term: true filler { type: 'gaussian' } bias_filler { "
                   "type: 'gaussian' } } }",
        IN QUIET F "type: 'Scale' scale_param { axis: 0 num_axes: 2 filler { type: 'gaussian' } } }",
        IN QUIET F "type: 'Bias' bias_param { axis: 2 filler { type: 'gaussian' } } }",
        IN F "bottom: 'z' type: 'Scale' scale_param { axis: 0 } }",
        IN F "bottom: 'z' type: 'Bias' bias_param { axis: 0 } }",
        IN F "bottom: 'z' type: 'Eltwise' eltwise_param { coeff: 2 coeff: -0.5 } }",
        IN F "bottom: 'z' type: 'Eltwise' eltwise_param { operation: PROD } }",
        IN F "bottom: 'z' type: 'Eltwise' eltwise_param { operation: PROD stable_prod_grad: false } }",
    };
    for (size_t i = 0; i < ARRAY_SIZE(nets); i++) {
        print_message("# %s\n", strstr(nets[i], "type: '") ? strstr(nets[i], F) + sizeof(F) - 1 : "");
        gradient_check(&(struct gradient_check){.prototxt = nets[i], .low = .2f, .high = 2, .step = 3e-3f});
    }
}

static void of_equal_values_caffe_prefers_one(void **state)
{
    (void)state;
    struct error err = {0};
    static const float same[] = {1, 1, 1, 1, 1, 1};
    CLEANUP(net_freep)
    struct net *net = net_from_text(X23 "layer { name: 'f' type: 'ArgMax' bottom: 'x' top: 'y' }");
    blob_set(net, "x", same);
    assert_ok(net_forward(net, NULL, &err));
    CLEANUP(freep) float *y = blob_values(net, "y");
    assert_float_equal(y[0], 2, 0); /* the larger index */

    CLEANUP(net_freep)
    struct net *max = net_from_text("force_backward: true\n" XZ23
                                    "layer { name: 'f' type: 'Eltwise' bottom: 'x' bottom: 'z' top: 'y' "
                                    "loss_weight: 1 eltwise_param { operation: MAX } }");
    blob_set(max, "x", same);
    blob_set(max, "z", same);
    assert_ok(net_forward(max, NULL, &err));
    net_backward(max);
    CLEANUP(freep) float *dx = blob_diffs(max, "x");
    CLEANUP(freep) float *dz = blob_diffs(max, "z");
    assert_float_equal(dx[0], 0, 0);
    assert_float_equal(dz[0], 1, 0); /* the second bottom */
}

static void batch_norm_gathers_mean_and_unbiased_variance(void **state)
{
    (void)state;
    struct error err = {0};
    static const float x[] = {1, 2, 3, 4, 5, 6};
    /* Channel means 2.5, 3.5, 4.5; unbiased variance of two values 3 apart: 4.5 */
    static const float mean[] = {2.5f, 3.5f, 4.5f};
    CLEANUP(net_freep)
    struct net *net = net_from_text(X23 "layer { name: 'f' type: 'BatchNorm' bottom: 'x' top: 'y' "
                                        "batch_norm_param { moving_average_fraction: 0.5 } }");
    blob_set(net, "x", x);
    assert_ok(net_forward(net, NULL, &err));
    assert_ok(net_forward(net, NULL, &err));
    CLEANUP(freep) float *means = param_values(net, 0);
    CLEANUP(freep) float *variances = param_values(net, 1);
    CLEANUP(freep) float *weight = param_values(net, 2);
    for (int c = 0; c < 3; c++) {
        assert_float_equal(means[c], 1.5 * mean[c], 1e-5);
        assert_float_equal(variances[c], 1.5 * 4.5, 1e-5);
    }
    assert_float_equal(*weight, 1.5, 0);
}

static void an_index_out_of_range_is_told(void **state)
{
    (void)state;
    struct error err = {0};
    static const float indices[] = {0, 7};
    CLEANUP(net_freep)
    struct net *net = net_from_text(
        "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 } } }\n"
        "layer { name: 'f' type: 'Embed' bottom: 'x' top: 'y' embed_param { input_dim: 7 num_output: 2 } }");
    blob_set(net, "x", indices);
    assert_int_equal(net_forward(net, NULL, &err), INVALID);
    assert_string_equal(err.message, "layer 'f': index 7 is outside of input_dim 7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layer_gives_what_is_worked_by_hand),
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(of_equal_values_caffe_prefers_one),
        cmocka_unit_test(batch_norm_gathers_mean_and_unbiased_variance),
        cmocka_unit_test(an_index_out_of_range_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
