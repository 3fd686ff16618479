#include <math.h>

#include "engine/plan.h"
#include "engine/vectors/winograd.h"
#include "gradient_check.h"
#include "plain_convolution.h"

/* Settings in Caffe's words; 2-D ones leave the first axis alone. */
struct row {
    const char *name;
    int n, in, out, group, size[2], kernel[2], stride[2], pad[2], dilation;
};

static const struct row rows[] = {
    {"3x3", 2, 3, 5, 1, {7, 6}, {3, 3}, {1, 1}, {1, 1}, 1},
    {"LeNet conv1", 2, 1, 20, 1, {28, 28}, {5, 5}, {1, 1}, {0, 0}, 1},
    {"LeNet conv2, few images", 2, 20, 50, 1, {12, 12}, {5, 5}, {1, 1}, {0, 0}, 1},
    {"LeNet conv2", 5, 20, 50, 1, {12, 12}, {5, 5}, {1, 1}, {0, 0}, 1},
    {"GoogLeNet conv1, smaller", 2, 3, 27, 1, {15, 14}, {7, 7}, {2, 2}, {3, 3}, 1},
    {"CIFAR conv1 in blocks", 2, 3, 32, 1, {12, 12}, {5, 5}, {1, 1}, {2, 2}, 1},
    {"blocks of 16", 2, 32, 48, 1, {9, 9}, {3, 3}, {1, 1}, {1, 1}, 1},
    {"blocks of 16, stride 2", 2, 16, 32, 1, {9, 8}, {3, 3}, {2, 2}, {1, 1}, 1},
    {"AlexNet conv2, smaller", 2, 32, 64, 2, {9, 9}, {5, 5}, {1, 1}, {2, 2}, 1},
    {"5x5 in groups of 20, channels last", 2, 60, 75, 3, {11, 10}, {5, 5}, {1, 1}, {2, 2}, 1},
    {"5x5, more tiles than are done at a time", 1, 17, 19, 1, {45, 50}, {5, 5}, {1, 1}, {2, 2}, 1},
    {"5x5, other pads", 9, 16, 16, 1, {6, 4}, {5, 5}, {1, 1}, {7, 1}, 1},
    {"3x3 where channels do not fill blocks", 3, 20, 50, 1, {13, 14}, {3, 3}, {1, 1}, {1, 1}, 1},
    {"3x3 on 7 x 7 outputs a tile", 5, 32, 48, 1, {13, 14}, {3, 3}, {1, 1}, {1, 1}, 1},
    {"the same of one image", 1, 16, 20, 1, {28, 27}, {3, 3}, {1, 1}, {1, 1}, 1},
    {"the same, more than are done at a time", 8, 16, 17, 1, {21, 21}, {3, 3}, {1, 1}, {1, 1}, 1},
    {"the same in groups", 4, 128, 192, 2, {14, 12}, {3, 3}, {1, 1}, {1, 1}, 1},
    {"3x3 in groups, overhanging", 4, 48, 51, 3, {8, 7}, {3, 3}, {1, 1}, {0, 2}, 1},
    {"large groups, one after the other", 3, 128, 192, 2, {7, 6}, {3, 3}, {1, 1}, {1, 1}, 1},
    {"three of them, without padding", 2, 192, 192, 3, {9, 6}, {3, 3}, {1, 1}, {0, 0}, 1},
    {"groups of 10", 2, 20, 20, 2, {6, 6}, {3, 3}, {1, 1}, {1, 1}, 1},
    {"depthwise", 2, 16, 16, 16, {7, 7}, {3, 3}, {1, 1}, {1, 1}, 1},
    {"two outputs a channel", 2, 3, 6, 3, {7, 7}, {3, 3}, {1, 1}, {1, 1}, 1},
    {"1x1", 2, 16, 16, 1, {5, 5}, {1, 1}, {1, 1}, {0, 0}, 1},
    {"1x1, stride 2, odd", 2, 5, 7, 1, {6, 6}, {1, 1}, {2, 2}, {0, 0}, 1},
    {"1x1 with pad", 2, 4, 4, 1, {5, 5}, {1, 1}, {1, 1}, {1, 1}, 1},
    {"stride over kernel", 2, 4, 6, 1, {10, 10}, {2, 2}, {3, 3}, {0, 0}, 1},
    {"dilation 2", 2, 3, 4, 1, {9, 9}, {3, 3}, {1, 1}, {2, 2}, 2},
    {"pad as large as the kernel", 2, 3, 4, 1, {5, 5}, {3, 3}, {1, 1}, {3, 3}, 1},
    {"oblong", 2, 3, 4, 1, {8, 5}, {3, 2}, {2, 1}, {1, 0}, 1},
    {"full", 3, 4, 6, 1, {4, 4}, {4, 4}, {1, 1}, {0, 0}, 1},
};

static char *prototxt_of(const struct row *r)
{
    return xasprintf(
        "force_backward: true\n"
        "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: %d dim: %d dim: %d dim: %d } } "
        "}\n"
        "layer { name: 'conv' type: 'Convolution' bottom: 'x' top: 'y' loss_weight: 1\n"
        "  convolution_param { num_output: %d group: %d kernel_h: %d kernel_w: %d stride_h: %d stride_w: %d\n"
        "    pad_h: %d pad_w: %d dilation: %d weight_filler { type: 'gaussian' std: 0.5 }\n"
        "    bias_filler { type: 'gaussian' } } }\n",
        r->n, r->in, r->size[0], r->size[1], r->out, r->group, r->kernel[0], r->kernel[1], r->stride[0],
        r->stride[1], r->pad[0], r->pad[1], r->dilation);
}

static void agree_with_the_formula(int threads)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *r = &rows[i];
        struct plain_convolution c = {
            .n = r->n,
            .in = r->in,
            .out = r->out,
            .group = r->group,
            .size = {1, r->size[0], r->size[1]},
            .kernel = {1, r->kernel[0], r->kernel[1]},
            .stride = {1, r->stride[0], r->stride[1]},
            .pad = {0, r->pad[0], r->pad[1]},
            .dilation = {1, r->dilation, r->dilation},
        };
        plain_convolution_size(&c);
        int64_t nx = c.n * c.in * plain_volume(c.size), ny = c.n * c.out * plain_volume(c.top);
        int64_t nw = (int64_t)c.out * (c.in / c.group) * plain_volume(c.kernel);

        CLEANUP(freep) char *text = prototxt_of(r);
        const struct net_options options = {.threads = threads, .seed = 1, .keep_blobs = threads == 1};
        CLEANUP(net_freep) struct net *net = net_from_text_with(text, &options, CAFFE__PHASE__TRAIN);
        struct error err;
        fill_inputs(net, i, -1, 1);
        CLEANUP(freep) float *x = blob_values(net, "x"), *w = param_values(net, 0), *b = param_values(net, 1);
        CLEANUP(freep) float *dy = plain_zeros(ny);
        fill_random(50 + i, -1, 1, ny, dy);
        set_top_diff(net, "y", dy);
        assert_ok(net_forward(net, NULL, &err));
        CLEANUP(freep) float *got_y = blob_values(net, "y");
        net_clear_diffs(net);
        net_backward(net);

        CLEANUP(freep)
        float *y = plain_zeros(ny), *dx = plain_zeros(nx), *dw = plain_zeros(nw), *db = plain_zeros(c.out);
        plain_convolution_forward(&c, x, w, y);
        plain_convolution_backward(&c, x, w, dy, dx, dw);
        for (int64_t j = 0; j < ny; j++) {
            int64_t channel = j / plain_volume(c.top) % c.out;
            y[j] += b[channel];
            db[channel] += dy[j];
        }
        CLEANUP(freep) float *got_dx = blob_diffs(net, "x");
        CLEANUP(freep) float *got_dw = param_diffs(net, 0), *got_db = param_diffs(net, 1);
        const double worst =
            fmax(fmax(largest_difference(got_y, y, ny), largest_difference(got_dx, dx, nx)),
                 fmax(largest_difference(got_dw, dw, nw), largest_difference(got_db, db, c.out)));
        if (!(worst < 4e-5))
            fail_msg("%s, %d threads: y %g, dx %g, dw %g, db %g", r->name, threads,
                     largest_difference(got_y, y, ny), largest_difference(got_dx, dx, nx),
                     largest_difference(got_dw, dw, nw), largest_difference(got_db, db, c.out));
    }
}

static void all_directions_agree_with_the_formula(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads++)
        agree_with_the_formula(threads);
}

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    const struct gradient_check checks[] = {
        {.prototxt =
             "force_backward: true\n"
             "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 2 dim: 5 } } }\n"
             "layer { name: 'c' type: 'Convolution' bottom: 'x' top: 'y' loss_weight: 1 convolution_param {\n"
             "  num_output: 3 kernel_size: 3 pad: 1 weight_filler { type: 'gaussian' } } }",
         .low = -1,
         .high = 1},
        {.prototxt =
             "force_backward: true\n"
             "layer { name: 'in' type: 'Input' top: 'x'\n"
             "  input_param { shape { dim: 1 dim: 2 dim: 3 dim: 4 dim: 4 } } }\n"
             "layer { name: 'c' type: 'Convolution' bottom: 'x' top: 'y' loss_weight: 1 convolution_param {\n"
             "  num_output: 2 kernel_size: 2 kernel_size: 3 kernel_size: 2 stride: 1 stride: 1 stride: 2\n"
             "  weight_filler { type: 'gaussian' } } }",
         .low = -1,
         .high = 1},
        {.prototxt =
             "force_backward: true\n"
             "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 2 dim: 3 dim: 5 } "
             "} }\n"
             "layer { name: 'c' type: 'Convolution' bottom: 'x' top: 'y' loss_weight: 1 convolution_param {\n"
             "  num_output: 2 kernel_size: 3 axis: 2 weight_filler { type: 'gaussian' } } }",
         .low = -1,
         .high = 1},
        {.prototxt =
             "force_backward: true\n"
             "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 1 dim: 16 dim: 5 dim: 5 } "
             "} }\n"
             "layer { name: 'c' type: 'Convolution' bottom: 'x' top: 'y' loss_weight: 1 convolution_param {\n"
             "  num_output: 16 kernel_size: 3 pad: 1 bias_term: false weight_filler { type: 'xavier' } } }",
         .low = -1,
         .high = 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
        gradient_check(&checks[i]);
}

static void two_bottoms_add_their_gradients_to_the_same_weights(void **state)
{
    (void)state;
    const struct gradient_check checks[] = {
        {.prototxt =
             "force_backward: true\n"
             "layer { name: 'in' type: 'Input' top: 'a' top: 'b'\n"
             "  input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }\n"
             "layer { name: 'c' type: 'Convolution' bottom: 'a' bottom: 'b' top: 'y' top: 'z'\n"
             "  loss_weight: 1 loss_weight: 1\n"
             "  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: 'gaussian' } } }",
         .low = -1,
         .high = 1},
        {.prototxt =
             "force_backward: true\n"
             "layer { name: 'in' type: 'Input' top: 'a' top: 'b'\n"
             "  input_param { shape { dim: 16 dim: 16 dim: 2 dim: 1 } } }\n"
             "layer { name: 'c' type: 'Convolution' bottom: 'a' bottom: 'b' top: 'y' top: 'z'\n"
             "  loss_weight: 1 loss_weight: 1\n"
             "  convolution_param { num_output: 16 kernel_size: 5 pad: 2 weight_filler { type: 'xavier' } } }",
         .low = -1,
         .high = 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
        gradient_check(&checks[i]);
}

/* Of a 5x5 convolution, one part at a time: what is not learned is not touched, and the rest is the same. */
static void parts_that_are_not_learned_leave_the_others_as_they_are(void **state)
{
    (void)state;
    static const char *const text =
        "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 4 dim: 16 dim: 8 dim: 8 } } }\n"
        "layer { name: 'b' type: 'Bias' bottom: 'x' top: 'z' }\n"
        "layer { name: 'c' type: 'Convolution' bottom: 'z' top: 'y' loss_weight: 1\n"
        "  param { lr_mult: %d } param { lr_mult: %d } propagate_down: %s\n"
        "  convolution_param { num_output: 20 kernel_size: 5 pad: 2 weight_filler { type: 'xavier' } } }";
    float *wanted[2] = {NULL};
    for (int part = 0; part < 4; part++) {
        CLEANUP(freep)
        char *this_text =
            xasprintf(text, part == 0 || part == 1, part == 0 || part == 2, part == 1 ? "false" : "true");
        CLEANUP(net_freep) struct net *net = net_from_text(this_text);
        struct error err;
        fill_inputs(net, 1, -1, 1);
        assert_ok(net_forward(net, NULL, &err));
        net_clear_diffs(net);
        net_backward(net);
        for (int p = 0; p < 2; p++) {
            int of_net = net_def(net)->layers[2].params[p];
            int64_t n = shape_count(&net_def(net)->params[of_net].shape);
            CLEANUP(freep) float *got = param_diffs(net, of_net);
            if (part == 0)
                wanted[p] = TAKE(got);
            else if (part == p + 1)
                assert_memory_equal(got, wanted[p], (size_t)n * sizeof(float));
            else
                for (int64_t j = 0; j < n; j++)
                    assert_true(got[j] == 0);
        }
    }
    free(wanted[0]);
    free(wanted[1]);
}

/* Its weights lie with the output channel last, as no kernel of oneDNN wants them that has AVX2. */
static void winograds_algorithm_is_used_where_it_is_faster(void **state)
{
    (void)state;
    enum { NEVER, ALWAYS, WITHOUT_AVX512 };
    static const struct {
        struct row row;
        int used;
    } cases[] = {
        {{"5x5", 4, 16, 20, 1, {8, 8}, {5, 5}, {1, 1}, {2, 2}, 1}, ALWAYS},
        {{"5x5 in groups", 4, 32, 40, 2, {8, 8}, {5, 5}, {1, 1}, {2, 2}, 1}, ALWAYS},
        {{"5x5, few channels", 4, 15, 20, 1, {8, 8}, {5, 5}, {1, 1}, {2, 2}, 1}, NEVER},
        {{"5x5, many weights", 4, 256, 528, 1, {8, 8}, {5, 5}, {1, 1}, {2, 2}, 1}, WITHOUT_AVX512},
        {{"5x5, too many weights", 4, 256, 1040, 1, {8, 8}, {5, 5}, {1, 1}, {2, 2}, 1}, NEVER},
        {{"5x5, few tiles", 3, 16, 20, 1, {8, 8}, {5, 5}, {1, 1}, {2, 2}, 1}, NEVER},
        {{"5x5, stride 2", 9, 16, 20, 1, {8, 8}, {5, 5}, {2, 2}, {2, 2}, 1}, NEVER},
        {{"5x3", 4, 16, 20, 1, {8, 8}, {5, 3}, {1, 1}, {2, 2}, 1}, NEVER},
        {{"3x3", 4, 20, 32, 1, {8, 8}, {3, 3}, {1, 1}, {1, 1}, 1}, ALWAYS},
        {{"3x3, few tiles", 3, 20, 32, 1, {8, 8}, {3, 3}, {1, 1}, {1, 1}, 1}, NEVER},
        {{"3x3 of oneDNN", 4, 16, 32, 1, {8, 8}, {3, 3}, {1, 1}, {1, 1}, 1}, WITHOUT_AVX512},
        {{"3x3, larger tiles than oneDNN's", 4, 16, 32, 1, {14, 14}, {3, 3}, {1, 1}, {1, 1}, 1}, ALWAYS},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(freep) char *text = prototxt_of(&cases[i].row);
        CLEANUP(net_freep) struct net *net = net_from_text(text);
        const dnnl_memory_desc_t *weights = &net_param(net, 0)->desc;
        bool is_output_last = weights->format_desc.blocking.strides[weights->ndims - 4] == 1 &&
                              weights->format_desc.blocking.inner_nblks == 0;
        bool is_wanted = cases[i].used == ALWAYS || (cases[i].used == WITHOUT_AVX512 && !blocks_are_liked());
        if (is_output_last != is_wanted)
            fail_msg("%s: %d", cases[i].row.name, is_output_last);
    }
}

/* A 5x5 convolution with a ReLU behind it: with something between them, each is done apart. */
static struct net *net_with_relu(bool apart)
{
    CLEANUP(freep)
    char *text = xasprintf(
        "force_backward: true\n"
        "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 4 dim: 16 dim: 8 dim: 8 } } }\n"
        "layer { name: 'conv' type: 'Convolution' bottom: 'x' top: 'c' convolution_param {\n"
        "  num_output: 20 kernel_size: 5 pad: 2 weight_filler { type: 'xavier' } bias_filler { type: 'gaussian' } } }\n"
        "%s"
        "layer { name: 'relu' type: 'ReLU' bottom: '%s' top: 'y' loss_weight: 1 }",
        apart ? "layer { name: 'same' type: 'Power' bottom: 'c' top: 'd' }\n" : "", apart ? "d" : "c");
    return net_from_text_with(text, &(struct net_options){.threads = 2, .seed = 1}, CAFFE__PHASE__TRAIN);
}

static void a_relu_that_is_taken_over_is_that_of_its_layer(void **state)
{
    (void)state;
    CLEANUP(net_freep) struct net *together = net_with_relu(false), *apart = net_with_relu(true);
    struct net *const nets[] = {together, apart};
    enum { OUTPUTS = 4 * 20 * 8 * 8 };
    static float dy[OUTPUTS];
    fill_random(9, -1, 1, OUTPUTS, dy);
    float *y[2], *dw[2], *db[2], *dx[2];
    for (int i = 0; i < 2; i++) {
        struct error err;
        fill_inputs(nets[i], 3, -1, 1);
        assert_ok(net_forward(nets[i], NULL, &err));
        set_top_diff(nets[i], "y", dy);
        net_clear_diffs(nets[i]);
        net_backward(nets[i]);
        y[i] = blob_values(nets[i], "y");
        dx[i] = blob_diffs(nets[i], "x");
        dw[i] = param_diffs(nets[i], 0);
        db[i] = param_diffs(nets[i], 1);
    }
    assert_memory_equal(y[0], y[1], sizeof(dy));
    assert_memory_equal(dx[0], dx[1], 4 * 16 * 8 * 8 * sizeof(float));
    assert_memory_equal(dw[0], dw[1], 20 * 16 * 25 * sizeof(float));
    assert_memory_equal(db[0], db[1], 20 * sizeof(float));
    for (int i = 0; i < 2; i++) {
        free(y[i]);
        free(dx[i]);
        free(dw[i]);
        free(db[i]);
    }
}

/* It would hide that a net diverges. */
static void a_relu_that_is_taken_over_keeps_nan(void **state)
{
    (void)state;
    CLEANUP(net_freep) struct net *net = net_with_relu(false);
    struct error err;
    fill_inputs(net, 3, -1, 1);
    float *bias = net_param(net, 1)->data;
    bias[7] = NAN;
    assert_ok(net_forward(net, NULL, &err));
    CLEANUP(freep) float *y = blob_values(net, "y");
    for (size_t i = 0; i < (size_t)4 * 20 * 8 * 8; i++)
        assert_true(i / 64 % 20 == 7 ? isnan(y[i]) : y[i] >= 0);
}

static void a_second_backward_adds_to_the_gradient(void **state)
{
    (void)state;
    for (size_t i = 0; i < 12; i++) {
        CLEANUP(freep) char *text = prototxt_of(&rows[i]);
        CLEANUP(net_freep) struct net *net = net_from_text(text);
        struct error err;
        fill_inputs(net, 1, -1, 1);
        assert_ok(net_forward(net, NULL, &err));
        net_clear_diffs(net);
        net_backward(net);
        CLEANUP(freep) float *once = param_diffs(net, 0);
        assert_ok(net_forward(net, NULL, &err));
        net_backward(net);
        CLEANUP(freep) float *twice = param_diffs(net, 0);
        int64_t n = shape_count(&net_def(net)->params[0].shape);
        for (int64_t j = 0; j < n; j++)
            assert_true(fabsf(twice[j] - 2 * once[j]) <= 1e-5f * fmaxf(1, fabsf(once[j])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_directions_agree_with_the_formula),
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(two_bottoms_add_their_gradients_to_the_same_weights),
        cmocka_unit_test(parts_that_are_not_learned_leave_the_others_as_they_are),
        UNIT_TEST_IF(winograd_transforms(5, 8, 8, false)->lanes >= 8,
                     winograds_algorithm_is_used_where_it_is_faster, "AVX2"),
        cmocka_unit_test(a_relu_that_is_taken_over_is_that_of_its_layer),
        cmocka_unit_test(a_relu_that_is_taken_over_keeps_nan),
        cmocka_unit_test(a_second_backward_adds_to_the_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
