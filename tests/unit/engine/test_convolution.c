#include <math.h>

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
    {"LeNet conv2", 2, 20, 50, 1, {12, 12}, {5, 5}, {1, 1}, {0, 0}, 1},
    {"CIFAR conv1 in blocks", 2, 3, 32, 1, {12, 12}, {5, 5}, {1, 1}, {2, 2}, 1},
    {"blocks of 16", 2, 32, 48, 1, {9, 9}, {3, 3}, {1, 1}, {1, 1}, 1},
    {"blocks of 16, stride 2", 2, 16, 32, 1, {9, 8}, {3, 3}, {2, 2}, {1, 1}, 1},
    {"AlexNet conv2, smaller", 1, 32, 64, 2, {9, 9}, {5, 5}, {1, 1}, {2, 2}, 1},
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

static void all_directions_agree_with_the_formula(void **state)
{
    (void)state;
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
        CLEANUP(net_freep) struct net *net = net_from_text(text);
        struct error err;
        fill_inputs(net, i, -1, 1);
        CLEANUP(freep) float *dy = plain_zeros(ny);
        fill_random(50 + i, -1, 1, ny, dy);
        set_top_diff(net, "y", dy);
        assert_ok(net_forward(net, NULL, &err));
        net_clear_diffs(net);
        net_backward(net);

        CLEANUP(freep) float *x = blob_values(net, "x"), *w = param_values(net, 0), *b = param_values(net, 1);
        CLEANUP(freep)
        float *y = plain_zeros(ny), *dx = plain_zeros(nx), *dw = plain_zeros(nw), *db = plain_zeros(c.out);
        plain_convolution_forward(&c, x, w, y);
        plain_convolution_backward(&c, x, w, dy, dx, dw);
        for (int64_t j = 0; j < ny; j++) {
            int64_t channel = j / plain_volume(c.top) % c.out;
            y[j] += b[channel];
            db[channel] += dy[j];
        }
        CLEANUP(freep) float *got_y = blob_values(net, "y"), *got_dx = blob_diffs(net, "x");
        CLEANUP(freep) float *got_dw = param_diffs(net, 0), *got_db = param_diffs(net, 1);
        const double worst =
            fmax(fmax(largest_difference(got_y, y, ny), largest_difference(got_dx, dx, nx)),
                 fmax(largest_difference(got_dw, dw, nw), largest_difference(got_db, db, c.out)));
        if (!(worst < 2e-5))
            fail_msg("%s: y %g, dx %g, dw %g, db %g", r->name, largest_difference(got_y, y, ny),
                     largest_difference(got_dx, dx, nx), largest_difference(got_dw, dw, nw),
                     largest_difference(got_db, db, c.out));
    }
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
    const struct gradient_check check = {
        .prototxt =
            "force_backward: true\n"
            "layer { name: 'in' type: 'Input' top: 'a' top: 'b'\n"
            "  input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }\n"
            "layer { name: 'c' type: 'Convolution' bottom: 'a' bottom: 'b' top: 'y' top: 'z'\n"
            "  loss_weight: 1 loss_weight: 1\n"
            "  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: 'gaussian' } } }",
        .low = -1,
        .high = 1,
    };
    gradient_check(&check);
}

static void a_second_backward_adds_to_the_gradient(void **state)
{
    (void)state;
    for (size_t i = 0; i < 5; i++) {
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
        cmocka_unit_test(a_second_backward_adds_to_the_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
