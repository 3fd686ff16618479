#include <math.h>

#include "gradient_check.h"

/*
 * A small AlexNet: plain image, blocks, a group, LRN, in-place layers, odd
 * channels (channels last), a plain layer (Softmax) between two fast ones,
 * branches.
 */
static const char net_text[] =
    "layer { name: 'in' type: 'Input' top: 'x' top: 'labels'\n"
    "  input_param { shape { dim: 4 dim: 3 dim: 19 dim: 19 } shape { dim: 4 } } }\n"
    "layer { name: 'conv1' type: 'Convolution' bottom: 'x' top: 'c1' convolution_param {\n"
    "  num_output: 32 kernel_size: 5 weight_filler { type: 'xavier' } } }\n"
    "layer { name: 'relu1' type: 'ReLU' bottom: 'c1' top: 'c1' }\n"
    "layer { name: 'pool1' type: 'Pooling' bottom: 'c1' top: 'p1' pooling_param { kernel_size: 3 stride: 2 } "
    "}\n"
    "layer { name: 'norm1' type: 'LRN' bottom: 'p1' top: 'n1' lrn_param { local_size: 5 alpha: 0.1 beta: "
    "0.75 } }\n"
    "layer { name: 'conv2' type: 'Convolution' bottom: 'n1' top: 'c2' convolution_param {\n"
    "  num_output: 32 group: 2 pad: 1 kernel_size: 3 weight_filler { type: 'xavier' } } }\n"
    "layer { name: 'relu2' type: 'ReLU' bottom: 'c2' top: 'c2' relu_param { negative_slope: 0.1 } }\n"
    "layer { name: 'soft' type: 'Softmax' bottom: 'c2' top: 's2' }\n"
    "layer { name: 'conv3' type: 'Convolution' bottom: 's2' top: 'c3' convolution_param {\n"
    "  num_output: 10 kernel_size: 3 weight_filler { type: 'xavier' } } }\n"
    "layer { name: 'conv4' type: 'Convolution' bottom: 'c2' top: 'c4' convolution_param {\n"
    "  num_output: 6 kernel_size: 3 weight_filler { type: 'xavier' } } }\n"
    "layer { name: 'join' type: 'Concat' bottom: 'c3' bottom: 'c4' top: 'j' }\n"
    "layer { name: 'pool2' type: 'Pooling' bottom: 'j' top: 'p2' pooling_param { pool: AVE kernel_size: 2 } "
    "}\n"
    "layer { name: 'ip1' type: 'InnerProduct' bottom: 'p2' top: 'i1' inner_product_param {\n"
    "  num_output: 20 weight_filler { type: 'xavier' } } }\n"
    "layer { name: 'relu3' type: 'ReLU' bottom: 'i1' top: 'i1' }\n"
    "layer { name: 'drop' type: 'Dropout' bottom: 'i1' top: 'i1' }\n"
    "layer { name: 'ip2' type: 'InnerProduct' bottom: 'i1' top: 'i2' inner_product_param {\n"
    "  num_output: 5 weight_filler { type: 'xavier' } } }\n"
    "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'i2' bottom: 'labels' top: 'loss' }\n";

static void set_inputs(struct net *net)
{
    const float labels[] = {0, 3, 1, 4};
    fill_inputs(net, 11, -1, 1);
    blob_set(net, "labels", labels);
}

static void memory_that_is_reused_gives_the_same_bits(void **state)
{
    (void)state;
    struct net_options options = {.threads = 2, .seed = 5};
    CLEANUP(net_freep) struct net *reusing = net_from_text_with(net_text, &options, CAFFE__PHASE__TRAIN);
    options.keep_blobs = true;
    CLEANUP(net_freep) struct net *keeping = net_from_text_with(net_text, &options, CAFFE__PHASE__TRAIN);
    struct error err;
    set_inputs(reusing);
    set_inputs(keeping);
    for (int step = 0; step < 3; step++) {
        double a = 0, b = 0;
        assert_ok(net_forward(reusing, &a, &err));
        assert_ok(net_forward(keeping, &b, &err));
        assert_true(a == b && a > 0);
        net_clear_diffs(reusing);
        net_clear_diffs(keeping);
        net_backward(reusing);
        net_backward(keeping);
        for (int p = 0; p < net_n_params(keeping); p++) {
            struct param *mine = net_param(reusing, p), *theirs = net_param(keeping, p);
            assert_int_equal(mine->n_floats, theirs->n_floats);
            assert_memory_equal(mine->diff, theirs->diff, mine->n_floats * sizeof(float));
            for (size_t i = 0; i < mine->n_floats; i++) {
                mine->data[i] -= 0.1f * mine->diff[i];
                theirs->data[i] -= 0.1f * theirs->diff[i];
            }
            mine->version++;
            theirs->version++;
        }
    }
    assert_true(net_memory(reusing).blobs < net_memory(keeping).blobs * 3 / 4);
}

static void representations_change_without_a_trace_in_the_gradients(void **state)
{
    (void)state;
    static const char text[] =
        "force_backward: true\n"
        "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 16 dim: 4 dim: 4 } } }\n"
        "layer { name: 'a' type: 'Convolution' bottom: 'x' top: 'a' convolution_param {\n"
        "  num_output: 16 kernel_size: 1 weight_filler { type: 'gaussian' std: 0.3 } } }\n"
        "layer { name: 's' type: 'Softmax' bottom: 'a' top: 's' softmax_param { axis: 2 } }\n"
        "layer { name: 'b' type: 'Convolution' bottom: 's' top: 'b' convolution_param {\n"
        "  num_output: 5 kernel_size: 3 weight_filler { type: 'gaussian' } } }\n"
        "layer { name: 'c' type: 'Convolution' bottom: 'a' top: 'c' convolution_param {\n"
        "  num_output: 5 kernel_size: 3 weight_filler { type: 'gaussian' std: 0.3 } } }\n"
        "layer { name: 'j' type: 'Concat' bottom: 'b' bottom: 'c' top: 'y' loss_weight: 1 }\n";
    gradient_check(&(struct gradient_check){.prototxt = text, .low = -1, .high = 1});
}

static void parameters_shared_by_name_have_one_gradient(void **state)
{
    (void)state;
    static const char text[] =
        "force_backward: true\n"
        "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 6 } } }\n"
        "layer { name: 'a' type: 'InnerProduct' bottom: 'x' top: 'a' param { name: 'w' } param { name: 'b' "
        "}\n"
        "  inner_product_param { num_output: 6 weight_filler { type: 'gaussian' } } }\n"
        "layer { name: 'r' type: 'ReLU' bottom: 'a' top: 'a' }\n"
        "layer { name: 'c' type: 'InnerProduct' bottom: 'a' top: 'y' param { name: 'w' } param { name: 'b' "
        "}\n"
        "  loss_weight: 1 inner_product_param { num_output: 6 weight_filler { type: 'gaussian' } } }\n";
    gradient_check(&(struct gradient_check){.prototxt = text, .low = -1, .high = 1, .step = 2e-3f});
    CLEANUP(net_freep) struct net *net = net_from_text(text);
    assert_int_equal(net_n_params(net), 4);
    assert_ptr_equal(net_param(net, 0), net_param(net, 2));
}

static void a_test_net_sees_the_weights_of_the_net_it_shares_with(void **state)
{
    (void)state;
    struct net_options options = {.threads = 2, .seed = 5, .keep_blobs = true};
    CLEANUP(net_freep) struct net *train = net_from_text_with(net_text, &options, CAFFE__PHASE__TEST);
    options = (struct net_options){.threads = 2, .seed = 77, .share = train, .inference = true};
    CLEANUP(net_freep) struct net *test = net_from_text_with(net_text, &options, CAFFE__PHASE__TEST);
    struct error err;
    set_inputs(train);
    set_inputs(test);
    for (int step = 0; step < 2; step++) {
        double a = 0, b = 0;
        assert_ok(net_forward(train, &a, &err));
        assert_ok(net_forward(test, &b, &err));
        assert_true(fabs(a - b) < 1e-5 * a);
        struct param *p = net_param(train, 0);
        for (size_t i = 0; i < p->n_floats; i++)
            p->data[i] *= 2;
        p->version++;
    }
    assert_int_equal(net_memory(test).params, 0);
    assert_true(net_memory(test).blobs < net_memory(train).blobs / 3);
}

/* 3x3 in blocks of 16: the kernel's own weights are no layout that could be exported. */
static void an_inference_net_computes_what_the_training_net_does(void **state)
{
    (void)state;
    static const char text[] =
        "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 16 dim: 12 dim: 12 } } "
        "}\n"
        "layer { name: 'a' type: 'Convolution' bottom: 'x' top: 'a' convolution_param {\n"
        "  num_output: 32 kernel_size: 3 pad: 1 weight_filler { type: 'xavier' } } }\n"
        "layer { name: 'ra' type: 'ReLU' bottom: 'a' top: 'a' }\n"
        "layer { name: 'b' type: 'Convolution' bottom: 'a' top: 'b' convolution_param {\n"
        "  num_output: 16 kernel_size: 3 weight_filler { type: 'xavier' } } }\n"
        "layer { name: 'rb' type: 'ReLU' bottom: 'b' top: 'y' loss_weight: 1 }\n";
    struct net_options options = {.threads = 2, .seed = 5};
    CLEANUP(net_freep) struct net *training = net_from_text_with(text, &options, CAFFE__PHASE__TRAIN);
    options.inference = true;
    CLEANUP(net_freep) struct net *alone = net_from_text_with(text, &options, CAFFE__PHASE__TEST);
    options.share = training;
    CLEANUP(net_freep) struct net *sharing = net_from_text_with(text, &options, CAFFE__PHASE__TEST);
    CLEANUP(freep) float *weights = param_values(training, 0), *same = param_values(alone, 0);
    assert_memory_equal(weights, same, 32 * 16 * 9 * sizeof(float));
    for (int step = 0; step < 2; step++) {
        struct error err;
        struct net *nets[] = {training, alone, sharing};
        float *y[3];
        for (int i = 0; i < 3; i++) {
            fill_inputs(nets[i], 1, -1, 1);
            assert_ok(net_forward(nets[i], NULL, &err));
            y[i] = blob_values(nets[i], "y");
        }
        assert_true(largest_difference(y[1], y[0], 2 * 16 * 10 * 10) < 2e-5);
        assert_true(largest_difference(y[2], y[0], 2 * 16 * 10 * 10) < 2e-5);
        for (int i = 0; i < 3; i++)
            free(y[i]);
        fill_random(8, -1, 1, 32 * 16 * 9, weights);
        param_set(training, 0, weights);
        param_set(alone, 0, weights);
    }
}

static void sharing_refuses_other_shapes(void **state)
{
    (void)state;
    static const char small[] =
        "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 6 } } }\n"
        "layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'y' inner_product_param { num_output: 3 } "
        "}";
    static const char other[] =
        "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 7 } } }\n"
        "layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'y' inner_product_param { num_output: 3 } "
        "}";
    CLEANUP(net_freep) struct net *net = net_from_text(small);
    struct net_options options = {.share = net};
    struct net *none = NULL;
    struct error err = {0};
    assert_int_equal(net_try_text(other, &options, CAFFE__PHASE__TEST, &none, &err), INVALID);
    assert_non_null(strstr(err.message, "layer 'ip': parameter 0 is 3 7 (21) here and 3 6 (18)"));
}

static void weights_come_out_as_they_went_in(void **state)
{
    (void)state;
    CLEANUP(net_freep) struct net *net = net_from_text(net_text);
    for (int p = 0; p < net_n_params(net); p++) {
        int64_t n = shape_count(&net_def(net)->params[p].shape);
        CLEANUP(freep) float *in = xcalloc((size_t)n, sizeof(float));
        fill_random((uint64_t)p, -1, 1, n, in);
        param_set(net, p, in);
        CLEANUP(freep) float *out = param_values(net, p);
        assert_memory_equal(in, out, (size_t)n * sizeof(float));
        /* Padding counts in norms: it must be 0. */
        double padded = 0, plain = 0;
        for (size_t i = 0; i < net_param(net, p)->n_floats; i++)
            padded += fabs(net_param(net, p)->data[i]);
        for (int64_t i = 0; i < n; i++)
            plain += fabs(in[i]);
        assert_true(fabs(padded - plain) < 1e-6 * plain);
    }
}

static void the_same_seed_gives_the_same_net_and_a_position_resumes_it(void **state)
{
    (void)state;
    struct net_options options = {.threads = 1, .seed = 9};
    CLEANUP(net_freep) struct net *a = net_from_text_with(net_text, &options, CAFFE__PHASE__TRAIN);
    CLEANUP(net_freep) struct net *b = net_from_text_with(net_text, &options, CAFFE__PHASE__TRAIN);
    struct error err = {0};
    double first = 0, second = 0;
    set_inputs(a);
    set_inputs(b);
    assert_ok(net_forward(a, NULL, &err));
    CLEANUP(freep) char *bytes = NULL;
    size_t size = 0;
    assert_ok(net_save_position(a, &bytes, &size, &err));
    assert_ok(net_load_position(b, bytes, size, &err));
    assert_ok(net_forward(a, &first, &err));
    assert_ok(net_forward(b, &second, &err));
    assert_true(first == second);
    assert_int_equal(net_load_position(b, bytes, size - 1, &err), INVALID);
    assert_int_equal(net_load_position(b, "nonsense", 8, &err), INVALID);
}

static void a_type_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct net_options options = {0};
    struct net *none = NULL;
    struct error err = {0};
    static const char text[] =
        "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 6 } } }\n"
        "layer { name: 'py' type: 'Python' bottom: 'x' top: 'y' python_param { module: 'm' layer: 'l' } }";
    enum status status = net_try_text(text, &options, CAFFE__PHASE__TRAIN, &none, &err);
    assert_int_not_equal(status, OK);
    assert_non_null(strstr(err.message, "Python"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_that_is_reused_gives_the_same_bits),
        cmocka_unit_test(representations_change_without_a_trace_in_the_gradients),
        cmocka_unit_test(parameters_shared_by_name_have_one_gradient),
        cmocka_unit_test(a_test_net_sees_the_weights_of_the_net_it_shares_with),
        cmocka_unit_test(an_inference_net_computes_what_the_training_net_does),
        cmocka_unit_test(sharing_refuses_other_shapes),
        cmocka_unit_test(weights_come_out_as_they_went_in),
        cmocka_unit_test(the_same_seed_gives_the_same_net_and_a_position_resumes_it),
        cmocka_unit_test(a_type_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
