/* Filter, and the layers behind it, which see only the items that passed. */
#include <math.h>

#include "gradient_check.h"

enum { N = 6 };

#define INPUTS                                                                                               \
    "force_backward: true\n"                                                                                 \
    "layer { name: 'in' type: 'Input' top: 'x' top: 'label' top: 'which' input_param {\n"                    \
    "  shape { dim: 6 dim: 3 } shape { dim: 6 } shape { dim: 6 dim: 1 } } }\n"
#define HEAD                                                                                                 \
    "layer { name: 'ip' type: 'InnerProduct' bottom: 'x' top: 'h' inner_product_param { num_output: 4\n"     \
    "  weight_filler { type: 'gaussian' } } param { name: 'w' } param { name: 'b' } }\n"
#define FILTER                                                                                               \
    "layer { name: 'f' type: 'Filter' bottom: 'h' bottom: 'label' bottom: 'which' top: 'h2' top: 'label2'\n" \
    "  propagate_down: true propagate_down: false propagate_down: false }\n"
#define TAIL(h, label)                                                                                       \
    "layer { name: 'relu' type: 'ReLU' bottom: '" h "' top: '" h "' }\n"                                     \
    "layer { name: 'bn' type: 'BatchNorm' bottom: '" h "' top: 'bn' }\n"                                     \
    "layer { name: 'ip2' type: 'InnerProduct' bottom: 'bn' top: 'y' inner_product_param { num_output: 3\n"   \
    "  weight_filler { type: 'gaussian' } } }\n"                                                             \
    "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'y' bottom: '" label "' top: 'loss'\n"             \
    "  propagate_down: true propagate_down: false }\n"

static const float labels[N] = {2, 0, 1, 1, 2, 0};

static struct net *filter_net(void)
{
    return net_from_text(INPUTS HEAD FILTER TAIL("h2", "label2"));
}

static void give(struct net *net, const float which[N])
{
    float x[N * 3];
    fill_random(3, -1, 1, N * 3, x);
    blob_set(net, "x", x);
    blob_set(net, "label", labels);
    blob_set(net, "which", which);
}

static void step(struct net *net, double *ret_loss)
{
    struct error err = {0};
    net_clear_diffs(net);
    assert_ok(net_forward(net, ret_loss, &err));
    net_backward(net);
}

/* The same net without Filter, on the items that pass. */
static struct net *smaller_net(const struct net *from, const float which[N])
{
    int n = 0;
    float x[N * 3], chosen_x[N * 3], chosen_labels[N];
    fill_random(3, -1, 1, N * 3, x);
    for (int i = 0; i < N; i++) {
        if (which[i] == 0)
            continue;
        memcpy(chosen_x + 3 * n, x + 3 * i, 3 * sizeof(float));
        chosen_labels[n++] = labels[i];
    }
    CLEANUP(freep)
    char *text = xasprintf("force_backward: true\n"
                           "layer { name: 'in' type: 'Input' top: 'x' top: 'label' input_param {\n"
                           "  shape { dim: %d dim: 3 } shape { dim: %d } } }\n" HEAD TAIL("h", "label"),
                           n, n);
    struct net *net = net_from_text(text);
    for (int p = 0; p < net_n_params(net); p++) {
        CLEANUP(freep) float *values = param_values((struct net *)(uintptr_t)from, p);
        param_set(net, p, values);
    }
    blob_set(net, "x", chosen_x);
    blob_set(net, "label", chosen_labels);
    return net;
}

/* oneDNN may sum otherwise for another number of items. */
static void close_to(float got, float wanted)
{
    assert_float_equal(got, wanted, 1e-5F * fmaxf(1, fabsf(wanted)));
}

/* All, some, others of the same number, one, none, all again: each as a net of just that batch. */
static void layers_behind_run_as_on_a_batch_of_what_passed(void **state)
{
    (void)state;
    static const float rows[][N] = {
        {1, 1, 1, 1, 1, 1}, {0, 1, 0, -2, 1, 0}, {1, 0, 0, 0, 3, 1},  {0, 0, 1, 1, 0, 0},
        {1, 1, 1, 1, 1, 1}, {1, 1, 0, 1, 1, 0},  {0, 1, 0, -2, 1, 0},
    };
    CLEANUP(net_freep) struct net *net = filter_net();
    for (size_t r = 0; r < ARRAY_SIZE(rows); r++) {
        CLEANUP(net_freep) struct net *small = smaller_net(net, rows[r]);
        double loss, wanted;
        give(net, rows[r]);
        step(net, &loss);
        step(small, &wanted);
        assert_float_equal(loss, wanted, 1e-6);
        for (int p = 0; p < net_n_params(net); p++) {
            int64_t n = shape_count(&net_param(net, p)->def->shape);
            CLEANUP(freep) float *dw = param_diffs(net, p);
            CLEANUP(freep) float *wanted_dw = param_diffs(small, p);
            CLEANUP(freep) float *w = param_values(net, p);
            CLEANUP(freep) float *wanted_w = param_values(small, p);
            for (int64_t i = 0; i < n; i++) {
                close_to(dw[i], wanted_dw[i]);
                close_to(w[i], wanted_w[i]); /* the running statistics */
            }
        }
        CLEANUP(freep) float *dx = blob_diffs(net, "x");
        CLEANUP(freep) float *wanted_dx = blob_diffs(small, "x");
        CLEANUP(freep) float *y = blob_values(net, "y");
        CLEANUP(freep) float *wanted_y = blob_values(small, "y");
        int at = 0;
        for (int i = 0; i < N; i++) {
            for (int k = 0; k < 3; k++)
                close_to(dx[3 * i + k], rows[r][i] != 0 ? wanted_dx[3 * at + k] : 0);
            at += rows[r][i] != 0;
        }
        struct shape shape;
        net_blob_shape(net, blob_index(net, "y"), &shape);
        assert_true(shape_equal(&shape, &(struct shape){2, {at, 3}}));
        net_blob_shape(net, blob_index(net, "label2"), &shape);
        assert_true(shape_equal(&shape, &(struct shape){1, {at}}));
        for (int i = 0; i < 3 * N; i++)
            close_to(y[i], i < 3 * at ? wanted_y[i] : 0);
    }
}

static void when_nothing_passes_nothing_is_learnt(void **state)
{
    (void)state;
    CLEANUP(net_freep) struct net *net = filter_net();
    double loss = 1;
    give(net, (const float[N]){0});
    step(net, &loss);
    assert_float_equal(loss, 0, 0);
    CLEANUP(freep) float *dx = blob_diffs(net, "x");
    CLEANUP(freep) float *dw = param_diffs(net, 0);
    for (int i = 0; i < N * 3; i++)
        assert_float_equal(dx[i], 0, 0);
    for (int i = 0; i < 12; i++)
        assert_float_equal(dw[i], 0, 0);
    struct shape shape;
    net_blob_shape(net, blob_index(net, "loss"), &shape);
    assert_int_equal(shape.n_axes, 0);
}

/* One behind the other, and one beside: items pass both, and a layer that depends on neither sees all. */
static void filters_follow_each_other(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(net_freep)
    struct net *net = net_from_text(
        "layer { name: 'in' type: 'Input' top: 'x' top: 'a' top: 'b' input_param {\n"
        "  shape { dim: 6 dim: 2 } shape { dim: 6 } shape { dim: 6 } } }\n"
        "layer { name: 'f' type: 'Filter' bottom: 'x' bottom: 'b' bottom: 'a' top: 'x1' top: 'b1' }\n"
        "layer { name: 'g' type: 'Filter' bottom: 'x1' bottom: 'b1' top: 'x2' }\n"
        "layer { name: 'h' type: 'Filter' bottom: 'x' bottom: 'b' top: 'x3' }\n"
        "layer { name: 's' type: 'Reduction' bottom: 'x2' top: 'sum' }\n"
        "layer { name: 't' type: 'Power' bottom: 'x3' top: 'twice' power_param { scale: 2 } }\n"
        "layer { name: 'u' type: 'Reduction' bottom: 'x' top: 'all' }\n");
    static const float x[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    static const float a[6] = {1, 1, 0, 1, 0, 1};
    static const struct {
        float b[6];
        double sum;
        int n_twice;
        float twice[12];
    } rows[] = {
        {{0, 1, 1, 1, 0, 0}, 3 + 4 + 7 + 8, 6, {6, 8, 10, 12, 14, 16}},
        {{1, 1, 1, 1, 1, 1}, 3 + 3 + 4 + 15 + 23, 12, {2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24}},
        {{0, 0, 1, 0, 0, 0}, 0, 2, {10, 12}},
    };
    blob_set(net, "x", x);
    blob_set(net, "a", a);
    for (size_t r = 0; r < ARRAY_SIZE(rows); r++) {
        blob_set(net, "b", rows[r].b);
        assert_ok(net_forward(net, NULL, &err));
        CLEANUP(freep) float *sum = blob_values(net, "sum");
        CLEANUP(freep) float *all = blob_values(net, "all");
        CLEANUP(freep) float *twice = blob_values(net, "twice");
        assert_float_equal(sum[0], rows[r].sum, 0);
        assert_float_equal(all[0], 78, 0);
        struct shape shape;
        net_blob_shape(net, blob_index(net, "twice"), &shape);
        assert_int_equal(shape_count(&shape), rows[r].n_twice);
        assert_memory_equal(twice, rows[r].twice, sizeof(rows[r].twice));
    }
}

/* A batch of each number of items in turn: more tails than are kept. */
static void old_tails_are_forgotten(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(net_freep)
    struct net *net = net_from_text(
        "layer { name: 'in' type: 'Input' top: 'x' top: 'a' input_param { shape { dim: 20 } } }\n"
        "layer { name: 'f' type: 'Filter' bottom: 'x' bottom: 'a' top: 'y' }\n"
        "layer { name: 's' type: 'Reduction' bottom: 'y' top: 'sum' }\n");
    float x[20], a[20];
    for (int pass = 0; pass < 2; pass++) {
        for (int n = 1; n <= 20; n++) {
            for (int i = 0; i < 20; i++) {
                x[i] = (float)(i + 1);
                a[i] = i < n;
            }
            blob_set(net, "x", x);
            blob_set(net, "a", a);
            assert_ok(net_forward(net, NULL, &err));
            CLEANUP(freep) float *sum = blob_values(net, "sum");
            assert_float_equal(sum[0], n * (n + 1) / 2, 0);
        }
    }
}

/* The selector is 1, 1, 0, 0. */
static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    gradient_check(&(struct gradient_check){
        .prototxt =
            "force_backward: true\n"
            "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 4 dim: 3 } } }\n"
            "layer { name: 'd' type: 'DummyData' top: 'one' top: 'zero' dummy_data_param {\n"
            "  shape { dim: 2 dim: 1 } data_filler { value: 1 } data_filler { value: 0 } } }\n"
            "layer { name: 'c' type: 'Concat' bottom: 'one' bottom: 'zero' top: 'which'\n"
            "  concat_param { axis: 0 } }\n"
            "layer { name: 'f' type: 'Filter' bottom: 'x' bottom: 'which' top: 'y' loss_weight: 1 }\n",
        .low = 0.5f,
        .high = 2});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_behind_run_as_on_a_batch_of_what_passed),
        cmocka_unit_test(when_nothing_passes_nothing_is_learnt),
        cmocka_unit_test(filters_follow_each_other),
        cmocka_unit_test(old_tails_are_forgotten),
        cmocka_unit_test(gradients_are_those_of_finite_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
