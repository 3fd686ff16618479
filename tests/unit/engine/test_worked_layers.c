/*
 * Layers with parameters, indices or windows on blobs small enough to work
 * by hand: values, and the gradients that given top gradients make.
 */
#include <math.h>

#include "gradient_check.h"

#define MAX_VALUES 16
#define IN(shape)                                                                                            \
    "force_backward: true layer { name: 'in' type: 'Input' top: 'x' input_param { shape { " shape " } } }\n"
#define F "layer { name: 'f' loss_weight: 1 top: 'y' bottom: 'x' "

struct values {
    int n; /* 0: not given, not compared */
    float v[MAX_VALUES];
};

static const struct row {
    const char *net;
    struct values x, z, params[2], y, dy, dx, dparams[2];
} rows[] = {
    {.net = "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 3 } } }\n" F
            "type: 'Embed' embed_param { input_dim: 3 num_output: 2 } }",
     .x = {3, {2, 0, 2}},
     .params = {{6, {1, 2, 3, 4, 5, 6}}, {2, {10, 20}}},
     .y = {6, {15, 26, 11, 22, 15, 26}},
     .dy = {6, {1, 2, 3, 4, 5, 6}},
     .dparams = {{6, {3, 4, 0, 0, 6, 8}}, {2, {9, 12}}}},
    {.net = "force_backward: true layer { name: 'in' type: 'Input' top: 'x' top: 'z' input_param {\n"
            "  shape { dim: 2 dim: 2 } shape { dim: 3 } } }\n" F
            "bottom: 'z' type: 'BatchReindex' propagate_down: true propagate_down: false }",
     .x = {4, {1, 2, 3, 4}},
     .z = {3, {1, 0, 1}},
     .y = {6, {3, 4, 1, 2, 3, 4}},
     .dy = {6, {1, 2, 3, 4, 5, 6}},
     .dx = {4, {3, 4, 6, 8}}},
    {.net =
         "layer { name: 'f' type: 'Parameter' top: 'y' loss_weight: 1 parameter_param { shape { dim: 3 } } }",
     .params = {{3, {1, -2, 3}}},
     .y = {3, {1, -2, 3}},
     .dy = {3, {4, 5, 6}},
     .dparams = {{3, {4, 5, 6}}}},
    {.net = IN("dim: 1 dim: 1 dim: 2 dim: 3") F "type: 'Im2col' convolution_param { kernel_size: 2 } }",
     .x = {6, {1, 2, 3, 4, 5, 6}},
     .y = {8, {1, 2, 2, 3, 4, 5, 5, 6}},
     .dy = {8, {1, 2, 3, 4, 5, 6, 7, 8}},
     .dx = {6, {1, 2 + 3, 4, 5, 6 + 7, 8}}},
    {.net = IN("dim: 1 dim: 1 dim: 4 dim: 4") F "type: 'SPP' spp_param { pyramid_height: 2 } }",
     .x = {16, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
     .y = {5, {16, 6, 8, 14, 16}},
     .dy = {5, {1, 2, 3, 4, 5}},
     .dx = {16, {0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 0, 0, 4, 0, 6}}},
    {.net = IN("dim: 1 dim: 1 dim: 1 dim: 2") F
     "type: 'Deconvolution' convolution_param { num_output: 1 kernel_h: 1 kernel_w: 3 stride_h: 1 "
     "stride_w: 2 } }",
     .x = {2, {1, 2}},
     .params = {{3, {1, 10, 100}}, {1, {0.5f}}},
     .y = {5, {1.5f, 10.5f, 102.5f, 20.5f, 200.5f}},
     .dy = {5, {1, 2, 3, 4, 5}},
     .dx = {2, {1 + 20 + 300, 3 + 40 + 500}},
     .dparams = {{3, {1 + 6, 2 + 8, 3 + 10}}, {1, {15}}}},
    /* One input channel makes two outputs of its group. */
    {.net = IN("dim: 1 dim: 2 dim: 1 dim: 1") F
     "type: 'Deconvolution' convolution_param { num_output: 4 group: 2 kernel_size: 1 bias_term: false } }",
     .x = {2, {1, 2}},
     .params = {{4, {3, 4, 5, 6}}},
     .y = {4, {3, 4, 10, 12}},
     .dy = {4, {1, 2, 3, 4}},
     .dx = {2, {3 + 8, 15 + 24}},
     .dparams = {{4, {1, 2, 6, 8}}}},
    {.net = IN("dim: 1 dim: 1 dim: 2 dim: 2") F
     "type: 'Convolution' convolution_param { num_output: 1 kernel_size: 2 "
     "pad_h: 0 pad_w: 1 } }",
     .x = {4, {1, 2, 3, 4}},
     .params = {{4, {1, 10, 100, 1000}}, {1, {0.5f}}},
     .y = {3, {10 + 3000 + 0.5f, 1 + 20 + 300 + 4000 + 0.5f, 2 + 400 + 0.5f}},
     .dy = {3, {1, 2, 3}},
     .dx = {4, {10 + 2, 20 + 3, 1000 + 200, 2000 + 300}},
     .dparams = {{4, {2 + 6, 1 + 4, 6 + 12, 3 + 8}}, {1, {6}}}},
    {.net = IN("dim: 1 dim: 2 dim: 2") F "type: 'PReLU' }",
     .x = {4, {-1, 2, -3, 4}},
     .params = {{2, {0.5f, 0.25f}}},
     .y = {4, {-0.5f, 2, -0.75f, 4}},
     .dy = {4, {1, 2, 3, 4}},
     .dx = {4, {0.5f, 2, 0.75f, 4}},
     .dparams = {{2, {-1, -9}}}},
    {.net = IN("dim: 1 dim: 1 dim: 2 dim: 2") F "type: 'MVN' mvn_param { eps: 1 } }",
     .x = {4, {1, 3, 3, 1}},
     .y = {4, {-0.5f, 0.5f, 0.5f, -0.5f}}},
    /* 1 + 3/3 (1 + 4) = 6 */
    {.net = IN("dim: 1 dim: 2 dim: 1 dim: 1") F "type: 'LRN' lrn_param { local_size: 3 alpha: 3 beta: 1 } }",
     .x = {2, {1, 2}},
     .y = {2, {1 / 6.f, 2 / 6.f}},
     .dy = {2, {1, 0}},
     .dx = {2, {1 / 6.f - 2 / 36.f, -4 / 36.f}}},
    /* exp: 1, 3 */
    {.net = IN("dim: 1 dim: 2") F "type: 'Softmax' }",
     .x = {2, {0, 1.0986122887f}},
     .y = {2, {0.25f, 0.75f}},
     .dy = {2, {1, 0}},
     .dx = {2, {0.1875f, -0.1875f}}},
    {.net = "force_backward: true layer { name: 'in' type: 'Input' top: 'x' top: 'z' input_param {\n"
            "  shape { dim: 2 dim: 1 } shape { dim: 2 dim: 2 } } }\n" F "bottom: 'z' type: 'Concat' }",
     .x = {2, {1, 2}},
     .z = {4, {3, 4, 5, 6}},
     .y = {6, {1, 3, 4, 2, 5, 6}},
     .dy = {6, {1, 2, 3, 4, 5, 6}},
     .dx = {2, {1, 4}}},
    {.net = IN(
         "dim: 1 dim: 3") "layer { name: 'q' type: 'Power' bottom: 'x' top: 'b' power_param { scale: 3 } }\n"
                          "layer { name: 'p' type: 'Power' bottom: 'x' top: 'a' power_param { scale: 2 } }\n"
                          "layer { name: 'e' type: 'Eltwise' bottom: 'a' bottom: 'b' top: 'y' loss_weight: 1 "
                          "}",
     .x = {3, {1, 2, 3}},
     .y = {3, {5, 10, 15}},
     .dy = {3, {1, 2, 3}},
     .dx = {3, {5, 10, 15}}},
};

static void compare(const struct row *r, const char *what, const float *got, const struct values *wanted)
{
    for (int i = 0; i < wanted->n; i++)
        if (!(fabsf(got[i] - wanted->v[i]) <= 2e-6f * fmaxf(1, fabsf(wanted->v[i]))))
            fail_msg("%s\n%s %d is %.9g, not %.9g", r->net, what, i, got[i], wanted->v[i]);
}

static void values_and_gradients_are_those_worked_by_hand(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *r = &rows[i];
        struct error err = {0};
        CLEANUP(net_freep) struct net *net = net_from_text(r->net);
        if (r->x.n)
            blob_set(net, "x", r->x.v);
        if (r->z.n)
            blob_set(net, "z", r->z.v);
        for (int p = 0; p < 2 && r->params[p].n; p++)
            param_set(net, p, r->params[p].v);
        if (r->dy.n)
            set_top_diff(net, "y", r->dy.v);
        assert_ok(net_forward(net, NULL, &err));
        CLEANUP(freep) float *y = blob_values(net, "y");
        assert_int_equal(shape_count(&net_def(net)->blobs[blob_index(net, "y")].shape), r->y.n);
        compare(r, "value", y, &r->y);
        net_clear_diffs(net);
        net_backward(net);
        if (r->dx.n) {
            CLEANUP(freep) float *dx = blob_diffs(net, "x");
            compare(r, "gradient", dx, &r->dx);
        }
        for (int p = 0; p < 2 && r->dparams[p].n; p++) {
            CLEANUP(freep) float *dw = param_diffs(net, p);
            compare(r, p ? "gradient of the second parameter" : "gradient of the parameter", dw,
                    &r->dparams[p]);
        }
    }
}

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    static const char *const nets[] = {
        "layer { name: 'd' type: 'DummyData' top: 'x' dummy_data_param { shape { dim: 4 }\n"
        "  data_filler { value: 2 } } }\n" F
        "type: 'Embed' embed_param { input_dim: 5 num_output: 3 weight_filler { type: 'gaussian' } } }",
        IN("dim: 3 dim: 2") "layer { name: 'd' type: 'DummyData' top: 'i' dummy_data_param { shape { dim: 5 "
                            "}\n"
                            "  data_filler { value: 1 } } }\n" F "bottom: 'i' type: 'BatchReindex'\n"
                            "  propagate_down: true propagate_down: false }",
        "layer { name: 'f' type: 'Parameter' top: 'y' loss_weight: 1 parameter_param { shape { dim: 3 dim: 2 "
        "} } }",
        IN("dim: 2 dim: 3 dim: 4") "layer { name: 'd' type: 'DummyData' top: 's' dummy_data_param {\n"
                                   "  shape { dim: 1 dim: 2 dim: 3 } } }\n" F "bottom: 's' type: 'Crop'\n"
                                   "  crop_param { axis: 0 offset: 1 offset: 0 offset: 1 }\n"
                                   "  propagate_down: true propagate_down: false }",
    };
    for (size_t i = 0; i < ARRAY_SIZE(nets); i++)
        gradient_check(&(struct gradient_check){.prototxt = nets[i], .low = -1, .high = 1});
}

static void silence_swallows_and_gives_no_gradient(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(net_freep)
    struct net *net = net_from_text(IN("dim: 3") "layer { name: 's' type: 'Silence' bottom: 'x' }");
    assert_int_equal(net_def(net)->n_outputs, 0);
    assert_ok(net_forward(net, NULL, &err));
    net_backward(net);
    CLEANUP(freep) float *dx = blob_diffs(net, "x");
    for (int i = 0; i < 3; i++)
        assert_float_equal(dx[i], 0, 0);
}

/* With ratio 3/4 what stays is four times as large, and so is its gradient. */
static void dropout_scales_what_it_leaves(void **state)
{
    (void)state;
    struct error err = {0};
    enum { N = 4000 };
    CLEANUP(net_freep)
    struct net *net =
        net_from_text(IN("dim: 4000") F "type: 'Dropout' dropout_param { dropout_ratio: 0.75 } }");
    float ones[N];
    for (int i = 0; i < N; i++)
        ones[i] = 1;
    blob_set(net, "x", ones);
    set_top_diff(net, "y", ones);
    assert_ok(net_forward(net, NULL, &err));
    net_backward(net);
    CLEANUP(freep) float *y = blob_values(net, "y");
    CLEANUP(freep) float *dx = blob_diffs(net, "x");
    int n_left = 0;
    for (int i = 0; i < N; i++) {
        assert_true(y[i] == 0 || y[i] == 4);
        assert_float_equal(dx[i], y[i], 0);
        n_left += y[i] != 0;
    }
    assert_in_range(n_left, 850, 1150); /* 1000 expected, deviation 27 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_are_those_worked_by_hand),
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(silence_swallows_and_gives_no_gradient),
        cmocka_unit_test(dropout_scales_what_it_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
