/*
 * Layers in training that the one before them does: which ones, and that
 * nothing else changes.  With debug_info every layer works by itself.
 */
#include <math.h>

#include "gradient_check.h"

enum { MAX_RAN = 64 };

/* ---- which layers run ---- */

struct ran {
    int forward[MAX_RAN], backward[MAX_RAN];
};

static void note_step(void *context, enum net_step step, int layer, int64_t begin_ns, int64_t end_ns)
{
    struct ran *ran = context;
    (void)begin_ns;
    (void)end_ns;
    if (step == NET_FORWARD)
        ran->forward[layer]++;
    if (step == NET_BACKWARD)
        ran->backward[layer]++;
}

#define INPUT                                                                                                \
    "force_backward: true\n"                                                                                 \
    "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 16 dim: 4 dim: 4 } } }\n"
#define NORM       "layer { name: 'norm' type: 'BatchNorm' bottom: 'x' top: 'a' }\n"
#define SCALE      "layer { name: 'scale' type: 'Scale' bottom: 'a' top: 'a' scale_param { bias_term: true } }\n"
#define RELU       "layer { name: 'relu' type: 'ReLU' bottom: 'a' top: 'a' }\n"
#define READER     "layer { name: 'reader' type: 'Power' bottom: 'a' top: 'z' }\n"
#define SCALE_AWAY "layer { name: 'scale' type: 'Scale' bottom: 'a' top: 'b' }\n"
#define RELU_AWAY  "layer { name: 'relu' type: 'ReLU' bottom: 'b' top: 'y' loss_weight: 1 }\n"
#define RELU_OF_A  "layer { name: 'relu' type: 'ReLU' bottom: 'a' top: 'y' loss_weight: 1 }\n"
#define END                                                                                                  \
    "layer { name: 'end' type: 'Convolution' bottom: 'a' top: 'y' loss_weight: 1\n"                          \
    "  convolution_param { num_output: 16 kernel_size: 1 weight_filler { type: 'xavier' } } }\n"
#define SUM "layer { name: 'sum' type: 'Eltwise' bottom: 'x' bottom: 'x' top: 'a' }\n"

static void a_layer_does_what_follows_it_when_nothing_else_sees_the_difference(void **state)
{
    (void)state;
    static const struct {
        const char *text, *runs; /* of norm, scale, relu and sum */
        bool debug_info, keep_blobs;
    } rows[] = {
        {INPUT NORM SCALE RELU END, "norm"},
        {INPUT NORM SCALE RELU END, "norm", .keep_blobs = true},
        {INPUT NORM SCALE RELU END, "norm scale relu", .debug_info = true},
        {INPUT NORM SCALE END, "norm"},
        {INPUT NORM RELU END, "norm"},
        {INPUT SUM RELU END, "sum"},
        {INPUT SUM RELU END, "sum relu", .debug_info = true},
        /* Another layer reads between. */
        {INPUT NORM READER SCALE_AWAY RELU_AWAY, "norm scale relu"},
        {INPUT NORM SCALE READER RELU_OF_A, "norm relu"},
        {INPUT SUM READER RELU_OF_A, "sum relu"},
        /* A top of its own is to stay readable. */
        {INPUT NORM SCALE_AWAY RELU_AWAY, "norm"},
        {INPUT NORM SCALE_AWAY RELU_AWAY, "norm scale relu", .keep_blobs = true},
        /* What the ReLU wrote is overwritten, and its backward sees that. */
        {INPUT NORM SCALE RELU "layer { name: 'more' type: 'Power' bottom: 'a' top: 'a'\n"
                               "  power_param { shift: 1 } }\n" END,
         "norm relu"},
        {INPUT SUM RELU
         "layer { name: 'more' type: 'Power' bottom: 'a' top: 'a' power_param { shift: 1 } }\n" END,
         "sum relu"},
        /* Not one value for each channel, not a plain ReLU, not a sum. */
        {INPUT NORM
         "layer { name: 'scale' type: 'Scale' bottom: 'a' top: 'a' scale_param { axis: 2 } }\n" END,
         "norm scale"},
        {INPUT NORM SCALE "layer { name: 'relu' type: 'ReLU' bottom: 'a' top: 'a'\n"
                          "  relu_param { negative_slope: 0.1 } }\n" END,
         "norm relu"},
        {INPUT "layer { name: 'sum' type: 'Eltwise' bottom: 'x' bottom: 'x' top: 'a'\n"
               "  eltwise_param { operation: MAX } }\n" RELU END,
         "sum relu"},
        /* oneDNN's ReLU would hide NaN. */
        {INPUT "layer { name: 'sum' type: 'Convolution' bottom: 'x' top: 'a' convolution_param {\n"
               "  num_output: 16 kernel_size: 1 } }\n" RELU END,
         "sum relu"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct net_options options = {
            .threads = 1, .seed = 1, .debug_info = rows[i].debug_info, .keep_blobs = rows[i].keep_blobs};
        CLEANUP(net_freep) struct net *net = net_from_text_with(rows[i].text, &options, CAFFE__PHASE__TRAIN);
        struct error err;
        struct ran ran = {0};
        fill_inputs(net, 1, -1, 1);
        net_set_watch(net, (struct net_watch){note_step, &ran});
        assert_ok(net_forward(net, NULL, &err));
        net_backward(net);
        static const char *const names[] = {"norm", "scale", "relu", "sum"};
        for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
            int layer = netdef_find_layer(net_def(net), names[k]);
            int wanted = strstr(rows[i].runs, names[k]) != NULL;
            if (layer >= 0 && (ran.forward[layer] != wanted || ran.backward[layer] != wanted))
                fail_msg("row %zu: '%s' ran %d times forward and %d backward", i, names[k],
                         ran.forward[layer], ran.backward[layer]);
        }
    }
}

/* ---- a value that is not finite ---- */

static void the_layer_whose_parameter_is_not_finite_is_named(void **state)
{
    (void)state;
    static const struct {
        float far;
        const char *parameter_of, *found;
    } rows[] = {{1, NULL, NULL}, {3e38f, NULL, "norm"}, {1, "scale", "scale"}, {1, "end", "end"}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct net_options options = {.threads = 1, .seed = 1};
        CLEANUP(net_freep)
        struct net *net = net_from_text_with(INPUT NORM SCALE RELU END, &options, CAFFE__PHASE__TRAIN);
        struct error err;
        float x[2 * 16 * 4 * 4];
        double loss = 0;
        bool is_parameter = false;
        fill_random(3, -1, 1, ARRAY_SIZE(x), x);
        x[0] = rows[i].far;
        x[1] = -rows[i].far;
        blob_set(net, "x", x);
        if (rows[i].parameter_of) {
            const struct netdef *def = net_def(net);
            int layer = netdef_find_layer(def, rows[i].parameter_of);
            net_param(net, def->layers[layer].params[0])->data[0] = NAN;
            net_param(net, def->layers[layer].params[0])->version++;
        }
        assert_ok(net_forward(net, &loss, &err));
        assert_int_equal(isnan(loss), rows[i].found != NULL);
        int found = net_find_not_finite(net, &is_parameter);
        assert_string_equal(found < 0 ? "" : net_def(net)->layers[found].name,
                            rows[i].found ? rows[i].found : "");
        assert_int_equal(is_parameter, rows[i].found != NULL); /* statistics that were gathered are, too */
    }
}

/* ---- together and apart, on what chance draws ---- */

enum { DRAWS = 80 };

static struct rng dice;

static int draw(int low, int high)
{
    return low + (int)rng_below(&dice, (uint32_t)(high - low + 1));
}

#define PICK(list) ((list)[draw(0, (int)ARRAY_SIZE(list) - 1)])

/*
 * A convolution, BatchNorm, Scale, ReLU, a sum with another convolution, a
 * ReLU: some of these, in place or not, with what freezes or is read besides.
 */
static char *draw_net(void)
{
    static const int channels[] = {1, 3, 5, 8, 16, 20, 32, 48};
    static const char *const of_norm[] = {"", "", "use_global_stats: true"};
    static const char *const of_scale[] = {
        "",
        "scale_param { bias_term: true }",
        "scale_param { bias_term: true }",
        "scale_param { bias_term: true } param { lr_mult: 0 } param { lr_mult: 1 }",
        "scale_param { bias_term: true } param { lr_mult: 1 } param { lr_mult: 0 }",
        "param { lr_mult: 0 }",
    };
    static const char *const of_relu[] = {"", "", "", "relu_param { negative_slope: 0.1 }"};
    static const char *const of_sum[] = {"",
                                         "",
                                         "bottom: 'side'",
                                         "eltwise_param { coeff: 2 coeff: -0.5 }",
                                         "eltwise_param { operation: PROD }",
                                         "eltwise_param { operation: MAX }"};
    bool in_place = draw(0, 1);
    int n_channels = PICK(channels), last = 'a';
    char *text = xasprintf("force_backward: true\n"
                           "layer { name: 'in' type: 'Input' top: 'x' input_param {\n"
                           "  shape { dim: %d dim: %d dim: %d dim: %d } } }\n",
                           draw(2, 4), PICK(channels), draw(1, 9), draw(2, 9));
#define ADD(...)                                                                                             \
    do {                                                                                                     \
        CLEANUP(freep) char *before = text;                                                                  \
        CLEANUP(freep) char *more = xasprintf(__VA_ARGS__);                                                  \
        text = xasprintf("%s%s\n", before, more);                                                            \
    } while (0)
#define NEXT (in_place ? last : last + 1)
#define CONVOLVE(name, top)                                                                                  \
    ADD("layer { name: '%s' type: 'Convolution' bottom: 'x' top: '%s' convolution_param { num_output: %d\n"  \
        "  kernel_size: 1 weight_filler { type: 'gaussian' std: 0.5 } } }",                                  \
        name, top, n_channels)
    CONVOLVE("conv", "a");
    ADD("layer { name: 'norm' type: 'BatchNorm' bottom: '%c' top: '%c' batch_norm_param { eps: 1e-2 %s } }",
        last, NEXT, PICK(of_norm));
    last = NEXT;
    if (!in_place && draw(0, 9) == 0)
        ADD("layer { name: 'reader' type: 'Power' bottom: '%c' top: 'z' loss_weight: 1 }", last);
    if (draw(0, 3)) {
        ADD("layer { name: 'scale' type: 'Scale' bottom: '%c' top: '%c' %s }", last, NEXT, PICK(of_scale));
        last = NEXT;
    }
    if (draw(0, 3)) {
        ADD("layer { name: 'relu' type: 'ReLU' bottom: '%c' top: '%c' %s }", last, NEXT, PICK(of_relu));
        last = NEXT;
    }
    if (draw(0, 1)) {
        CONVOLVE("aside", "side");
        ADD("layer { name: 'sum' type: 'Eltwise' bottom: '%c' bottom: 'side' top: 's' %s }", last,
            PICK(of_sum));
        last = 's';
        if (draw(0, 3))
            ADD("layer { name: 'relu_sum' type: 'ReLU' bottom: 's' top: 's' %s }", PICK(of_relu));
    }
    if (draw(0, 5) == 0)
        ADD("layer { name: 'over' type: 'Power' bottom: '%c' top: '%c' power_param { shift: 0.5 } }", last,
            last);
    ADD("layer { name: 'end' type: 'InnerProduct' bottom: '%c' top: 'y' loss_weight: 1\n"
        "  inner_product_param { num_output: 3 weight_filler { type: 'xavier' } } }",
        last);
    return text;
}

static void set_params(struct net *a, struct net *b)
{
    for (int p = 0; p < net_n_params(a); p++) {
        const struct param_def *def = &net_def(a)->params[p];
        bool is_norm = strcmp(net_def(a)->layers[def->layer].type->name, "BatchNorm") == 0;
        int64_t n = shape_count(&def->shape);
        CLEANUP(freep) float *values = xcalloc((size_t)n, sizeof(float));
        fill_random(rng_next(&dice), is_norm ? 0.5f : -1, 1, n, values);
        param_set(a, p, values);
        param_set(b, p, values);
    }
}

/* Two passes whose gradients are added up, as with iter_size. */
static void run_step(struct net *net, uint64_t inputs)
{
    struct error err;
    fill_inputs(net, inputs, -1, 1);
    net_clear_diffs(net);
    for (int pass = 0; pass < 2; pass++) {
        assert_ok(net_forward(net, NULL, &err));
        net_backward(net);
    }
}

static double difference(const float *got, const float *wanted, int64_t n)
{
    double worst = 0, most = 0.1;
    for (int64_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)got[i] - (double)wanted[i]));
        most = fmax(most, fabs((double)wanted[i]));
    }
    return worst / most;
}

/* bf16 rounds otherwise where a float differs in its last bit. */
static void compare(struct net *got, struct net *wanted, bool is_bf16, const char *text)
{
    double of_values = is_bf16 ? 2e-2 : 3e-5, of_gradients = is_bf16 ? 5e-2 : 1e-3;
    CLEANUP(freep) float *y = blob_values(got, "y"), *wanted_y = blob_values(wanted, "y");
    int64_t n = shape_count(&net_def(got)->blobs[blob_index(got, "y")].shape);
    if (!(difference(y, wanted_y, n) < of_values))
        fail_msg("y is off by %g in\n%s", difference(y, wanted_y, n), text);
    for (int p = 0; p < net_n_params(got); p++) {
        if (net_def(got)->params[p].lr_mult == 0)
            continue;
        CLEANUP(freep) float *diff = param_diffs(got, p), *wanted_diff = param_diffs(wanted, p);
        n = shape_count(&net_def(got)->params[p].shape);
        if (!(difference(diff, wanted_diff, n) < of_gradients))
            fail_msg("the gradient of parameter %d is off by %g in\n%s", p, difference(diff, wanted_diff, n),
                     text);
    }
}

static void together_they_give_what_each_gives_apart(void **state)
{
    (void)state;
    struct error ignored;
    bool has_bf16 = precision_check(PRECISION_BF16, &ignored) == OK;
    rng_seed(&dice, 20261121);
    for (int i = 0; i < DRAWS; i++) {
        CLEANUP(freep) char *text = draw_net();
        struct net_options options = {.threads = 2, .seed = 1, .debug_info = true};
        options.precision = has_bf16 && draw(0, 3) == 0 ? PRECISION_BF16 : PRECISION_F32;
        CLEANUP(net_freep) struct net *apart = net_from_text_with(text, &options, CAFFE__PHASE__TRAIN);
        options.debug_info = false;
        options.keep_blobs = draw(0, 1);
        CLEANUP(net_freep) struct net *together = net_from_text_with(text, &options, CAFFE__PHASE__TRAIN);
        CLEANUP(net_freep) struct net *again = net_from_text_with(text, &options, CAFFE__PHASE__TRAIN);
        set_params(apart, together);
        for (int p = 0; p < net_n_params(together); p++) {
            CLEANUP(freep) float *values = param_values(together, p);
            param_set(again, p, values);
        }
        uint64_t inputs = rng_next(&dice);
        run_step(apart, inputs);
        run_step(together, inputs);
        run_step(again, inputs);
        compare(together, apart, options.precision == PRECISION_BF16, text);
        for (int p = 0; p < net_n_params(together); p++)
            assert_memory_equal(net_param(together, p)->diff, net_param(again, p)->diff,
                                net_param(again, p)->n_floats * sizeof(float));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_layer_does_what_follows_it_when_nothing_else_sees_the_difference),
        cmocka_unit_test(the_layer_whose_parameter_is_not_finite_is_named),
        cmocka_unit_test(together_they_give_what_each_gives_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
