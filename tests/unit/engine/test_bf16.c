/*
 * Nets of precision bf16 against the same nets in f32: with the weights of
 * one in the other, values and gradients agree as far as 8 bits of mantissa
 * go.  On a processor without bf16 these tests are skipped.
 */
#include <float.h>
#include <math.h>

#include "engine/bf16.h"
#include "engine/net_internal.h"
#include "gradient_check.h"

static struct net *make(const char *text, enum precision precision, bool keep_blobs)
{
    struct net_options options = {.threads = 2, .seed = 3, .precision = precision, .keep_blobs = keep_blobs};
    return net_from_text_with(text, &options, CAFFE__PHASE__TRAIN);
}

static void copy_params(struct net *from, struct net *to)
{
    for (int i = 0; i < net_n_params(from); i++) {
        CLEANUP(freep) float *values = param_values(from, i);
        param_set(to, i, values);
    }
}

static double length(const float *a, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)a[i] * a[i];
    return sqrt(sum);
}

/* Length of the difference over the length of b: the angle between both, when it is small, is no larger. */
static double distance(const float *a, const float *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sqrt(sum) / fmax(length(b, n), 1e-12);
}

/* ---- numbers ---- */

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void numbers_round_to_the_nearest_and_ties_to_even(void **state)
{
    (void)state;
    static const struct {
        float value;
        bf16 expected;
    } rows[] = {
        {0.0f, 0x0000},
        {-0.0f, 0x8000},
        {1.0f, 0x3f80},
        {-2.5f, 0xc020},
        {1 + 0x1p-8f, 0x3f80},            /* half way, the lower is even */
        {1 + 3 * 0x1p-8f, 0x3f82},        /* half way, the upper is even */
        {1 + 0x1p-8f + 0x1p-20f, 0x3f81}, /* above half way */
        {FLT_MAX, 0x7f80},                /* nearer to the next power of two than to any bf16 below */
        {INFINITY, 0x7f80},
        {-INFINITY, 0xff80},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(bf16_of(rows[i].value), rows[i].expected);
    assert_true(isnan(bf16_to_float(bf16_of(NAN))));
    assert_true(
        isnan(bf16_to_float(bf16_of(float_of_bits(0x7f800001))))); /* all its bits are in the lower half */
    for (uint32_t high = 0; high < 0x7f80; high++)
        assert_int_equal(bf16_of(float_of_bits(high << 16)), high);
}

/* ---- layers ---- */

/*
 * in -> a convolution, to be in bf16 -> 'x' -> the tried layer -> 'y' -> a
 * convolution, so that somebody has use for it -> 'out'.
 */
struct tried {
    const char *name;
    const char *layers; /* read 'x', write 'y' */
    int channels;       /* of x */
    bool stays_f32;     /* the layer of the name 'tried' has no bf16 kernel */
    double tolerance;   /* 0: 0.01 */
    int images;         /* 0: 3 */
};

/* The tolerance for shapes drawn by chance, some of which stay f32. */
#define ANY_SHAPE 0.03

static const struct tried rows[] = {
    {"a convolution in blocks",
     "layer { name: 'tried' type: 'Convolution' bottom: 'x' top: 'y' convolution_param {\n"
     "  num_output: 32 kernel_size: 3 pad: 1 weight_filler { type: 'xavier' }\n"
     "  bias_filler { type: 'gaussian' } } }",
     16, false, 0},
    {"a convolution with channels last",
     "layer { name: 'tried' type: 'Convolution' bottom: 'x' top: 'y' convolution_param {\n"
     "  num_output: 10 kernel_size: 3 stride: 2 weight_filler { type: 'xavier' } } }",
     5, false, 0},
    {"a convolution in groups",
     "layer { name: 'tried' type: 'Convolution' bottom: 'x' top: 'y' convolution_param {\n"
     "  num_output: 32 group: 2 kernel_size: 3 weight_filler { type: 'xavier' } } }",
     32, false, 0},
    {"a depthwise convolution",
     "layer { name: 'tried' type: 'Convolution' bottom: 'x' top: 'y' convolution_param {\n"
     "  num_output: 16 group: 16 kernel_size: 3 weight_filler { type: 'xavier' } } }",
     16, false, 0},
    {"a convolution by Winograd's algorithm",
     "layer { name: 'tried' type: 'Convolution' bottom: 'x' top: 'y' convolution_param {\n"
     "  num_output: 32 kernel_size: 3 weight_filler { type: 'xavier' } } }",
     16, false, 0, 16},
    {"the same with channels last",
     "layer { name: 'tried' type: 'Convolution' bottom: 'x' top: 'y' convolution_param {\n"
     "  num_output: 20 kernel_size: 3 weight_filler { type: 'xavier' } } }",
     17, false, 0, 16},
    {"the same with a ReLU",
     "layer { name: 'tried' type: 'Convolution' bottom: 'x' top: 'y' convolution_param {\n"
     "  num_output: 32 kernel_size: 3 weight_filler { type: 'xavier' } } }\n"
     "layer { name: 'relu' type: 'ReLU' bottom: 'y' top: 'y' }",
     16, false, 0.1, 16},
    {"a 5x5 convolution on tiles of 9 x 9 outputs",
     "layer { name: 'tried' type: 'Convolution' bottom: 'x' top: 'y' convolution_param {\n"
     "  num_output: 20 kernel_size: 5 pad: 2 weight_filler { type: 'xavier' } } }",
     16, false, 0, 16},
    {"a 5x5 convolution on tiles of 7 x 7 outputs",
     "layer { name: 'tried' type: 'Convolution' bottom: 'x' top: 'y' convolution_param {\n"
     "  num_output: 32 kernel_size: 5 pad: 1 weight_filler { type: 'xavier' } } }",
     17, false, 0, 16},
    {"a convolution of an image of one channel",
     "layer { name: 'tried' type: 'Convolution' bottom: 'x' top: 'y' convolution_param {\n"
     "  num_output: 20 kernel_size: 5 weight_filler { type: 'xavier' } } }",
     1, false, 0},
    {"a convolution of an image of three channels",
     "layer { name: 'tried' type: 'Convolution' bottom: 'x' top: 'y' convolution_param {\n"
     "  num_output: 16 kernel_size: 5 weight_filler { type: 'xavier' } } }",
     3, false, 0},
    {"a deconvolution",
     "layer { name: 'tried' type: 'Deconvolution' bottom: 'x' top: 'y' convolution_param {\n"
     "  num_output: 16 kernel_size: 2 stride: 2 weight_filler { type: 'xavier' } } }",
     16, false, 0},
    {"a convolution over three axes",
     "layer { name: 'r3' type: 'Reshape' bottom: 'x' top: 'x3' reshape_param {\n"
     "  shape { dim: 0 dim: 0 dim: 3 dim: 3 dim: 9 } } }\n"
     "layer { name: 'tried' type: 'Convolution' bottom: 'x3' top: 'y3' convolution_param {\n"
     "  num_output: 6 kernel_size: 2 weight_filler { type: 'xavier' } } }\n"
     "layer { name: 'r' type: 'Reshape' bottom: 'y3' top: 'y' reshape_param { shape { dim: 0 dim: 0 dim: 4 dim: 8 } } }",
     5, true, 0},
    {"a deconvolution over three axes",
     "layer { name: 'r3' type: 'Reshape' bottom: 'x' top: 'x3' reshape_param {\n"
     "  shape { dim: 0 dim: 0 dim: 3 dim: 3 dim: 9 } } }\n"
     "layer { name: 'tried' type: 'Deconvolution' bottom: 'x3' top: 'y3' convolution_param {\n"
     "  num_output: 2 kernel_size: 3 stride: 2 pad: 1 weight_filler { type: 'xavier' } } }\n"
     "layer { name: 'r' type: 'Reshape' bottom: 'y3' top: 'y' reshape_param { shape { dim: 0 dim: 0 dim: 5 dim: 85 } } }",
     2, true, 0},
    {"inner products",
     "layer { name: 'flat' type: 'InnerProduct' bottom: 'x' top: 'flat' inner_product_param {\n"
     "  num_output: 40 weight_filler { type: 'xavier' } bias_filler { type: 'gaussian' } } }\n"
     "layer { name: 'tried' type: 'InnerProduct' bottom: 'flat' top: 'z' inner_product_param {\n"
     "  num_output: 32 transpose: true weight_filler { type: 'xavier' } } }\n"
     "layer { name: 'r' type: 'Reshape' bottom: 'z' top: 'y' reshape_param {\n"
     "  shape { dim: 0 dim: 2 dim: 4 dim: 4 } } }",
     16, false, 0},
    {"an inner product over the last axis",
     "layer { name: 'tried' type: 'InnerProduct' bottom: 'x' top: 'y' inner_product_param {\n"
     "  num_output: 6 axis: 3 weight_filler { type: 'xavier' } } }",
     16, false, 0},
    {"maximum pooling",
     "layer { name: 'tried' type: 'Pooling' bottom: 'x' top: 'y' pooling_param {\n"
     "  pool: MAX kernel_size: 3 stride: 2 } }",
     16, false, 0.2}, /* another of two near maxima may win */
    {"average pooling",
     "layer { name: 'tried' type: 'Pooling' bottom: 'x' top: 'y' pooling_param {\n"
     "  pool: AVE kernel_size: 3 stride: 2 } }",
     20, false, 0},
    {"average pooling by plain loops",
     "layer { name: 'tried' type: 'Pooling' bottom: 'x' top: 'y' pooling_param {\n"
     "  pool: AVE kernel_size: 3 stride: 3 pad: 1 } }",
     16, true, 0},
    {"ReLU", /* here and below: what is nearly 0 may change its sign */
     "layer { name: 'tried' type: 'ReLU' bottom: 'x' top: 'y' }", 16, false, 0.1},
    {"ReLU in place with a slope",
     "layer { name: 'tried' type: 'ReLU' bottom: 'x' top: 'x' relu_param { negative_slope: 0.2 } }\n"
     "layer { name: 'p' type: 'Pooling' bottom: 'x' top: 'y' pooling_param { pool: AVE kernel_size: 2 } }",
     20, false, 0.1},
    {"ReLU with a negative slope",
     "layer { name: 'tried' type: 'ReLU' bottom: 'x' top: 'y' relu_param { negative_slope: -0.5 } }", 16,
     false, 0.1},
    {"LRN in blocks",
     "layer { name: 'tried' type: 'LRN' bottom: 'x' top: 'y' lrn_param {\n"
     "  local_size: 5 alpha: 0.5 beta: 0.75 } }",
     32, false, 0.02},
    {"LRN of other settings",
     "layer { name: 'tried' type: 'LRN' bottom: 'x' top: 'y' lrn_param {\n"
     "  local_size: 3 alpha: 0.5 beta: 0.5 } }",
     16, false, 0.02},
    {"LRN within channels",
     "layer { name: 'tried' type: 'LRN' bottom: 'x' top: 'y' lrn_param {\n"
     "  local_size: 3 alpha: 0.5 beta: 0.75 norm_region: WITHIN_CHANNEL } }",
     16, true, 0.02},
    {"Concat in blocks, one part from elsewhere in f32",
     "layer { name: 's' type: 'TanH' bottom: 'x' top: 's' }\n"
     "layer { name: 'c' type: 'Convolution' bottom: 'x' top: 'c' convolution_param {\n"
     "  num_output: 16 kernel_size: 1 weight_filler { type: 'xavier' } } }\n"
     "layer { name: 'tried' type: 'Concat' bottom: 'c' bottom: 's' top: 'y' }",
     16, false, 0},
    {"Concat with channels last",
     "layer { name: 'c' type: 'Convolution' bottom: 'x' top: 'c' convolution_param {\n"
     "  num_output: 7 kernel_size: 3 pad: 1 weight_filler { type: 'xavier' } } }\n"
     "layer { name: 'tried' type: 'Concat' bottom: 'c' bottom: 'x' top: 'y' }",
     5, false, 0},
    {"Split in three",
     "layer { name: 'a' type: 'ReLU' bottom: 'x' top: 'a' }\n"
     "layer { name: 'b' type: 'Pooling' bottom: 'x' top: 'b' pooling_param { kernel_size: 1 } }\n"
     "layer { name: 'c' type: 'TanH' bottom: 'x' top: 'c' }\n"
     "layer { name: 'tried' type: 'Concat' bottom: 'a' bottom: 'b' bottom: 'c' top: 'y' }",
     16, false, 0.1},
    {"Dropout",
     "layer { name: 'tried' type: 'Dropout' bottom: 'x' top: 'y' dropout_param { dropout_ratio: 0.4 } }", 16,
     false, 0},
    {"Eltwise",
     "layer { name: 'c' type: 'Convolution' bottom: 'x' top: 'c' convolution_param {\n"
     "  num_output: 16 kernel_size: 1 weight_filler { type: 'xavier' } } }\n"
     "layer { name: 'tried' type: 'Eltwise' bottom: 'x' bottom: 'c' top: 'y' }",
     16, true, 0},
    {"a layer that knows floats only, whatever their layout",
     "layer { name: 'tried' type: 'TanH' bottom: 'x' top: 'y' }", 16, true, 0},
};

static struct net *make_sandwich(const struct tried *row, enum precision precision)
{
    CLEANUP(freep)
    char *text = xasprintf(
        "force_backward: true name: 'sandwich'\n"
        "layer { name: 'in' type: 'Input' top: 'in' input_param {\n"
        "  shape { dim: %d dim: 16 dim: 9 dim: 9 } } }\n"
        "layer { name: 'before' type: 'Convolution' bottom: 'in' top: 'x' convolution_param {\n"
        "  num_output: %d kernel_size: 3 pad: 1 weight_filler { type: 'xavier' } } }\n%s\n"
        "layer { name: 'after' type: 'Convolution' bottom: 'y' top: 'out' loss_weight: 1\n"
        "  convolution_param { num_output: 6 kernel_size: 3 pad: 1 weight_filler { type: 'xavier' } } }",
        row->images ? row->images : 3, row->channels, row->layers);
    return make(text, precision, true);
}

static void check(const struct tried *row, const char *what, const float *got, const float *wanted, int64_t n)
{
    double off = distance(got, wanted, n), tolerance = row->tolerance > 0 ? row->tolerance : 0.01;
    if (!(off <= tolerance))
        fail_msg("%s: %s is off by %g of its length", row->name, what, off);
}

static void check_blobs(const struct tried *row, struct net *half, struct net *full)
{
    static const char *const names[] = {"x", "y", "out", "in"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        int64_t n = shape_count(&net_def(full)->blobs[blob_index(full, names[i])].shape);
        CLEANUP(freep) float *a = blob_values(half, names[i]), *b = blob_values(full, names[i]);
        check(row, names[i], a, b, n);
        if (!strcmp(names[i], "out"))
            continue;
        CLEANUP(freep) float *da = blob_diffs(half, names[i]), *db = blob_diffs(full, names[i]);
        check(row, "a blob's gradient", da, db, n);
    }
}

static void check_params(const struct tried *row, struct net *half, struct net *full)
{
    for (int i = 0; i < net_n_params(full); i++) {
        CLEANUP(freep) float *a = param_diffs(half, i), *b = param_diffs(full, i);
        check(row, "a parameter's gradient", a, b, shape_count(&net_param(full, i)->def->shape));
    }
}

static void run_both_ways(struct net *net, const float *gradient)
{
    struct error err = {0};
    fill_inputs(net, 5, -1, 1);
    set_top_diff(net, "out", gradient);
    assert_ok(net_forward(net, NULL, &err));
    net_clear_diffs(net);
    net_backward(net);
}

static void try_layer(const struct tried *row)
{
    CLEANUP(net_freep) struct net *full = make_sandwich(row, PRECISION_F32);
    CLEANUP(net_freep) struct net *half = make_sandwich(row, PRECISION_BF16);
    int64_t n = shape_count(&net_def(full)->blobs[blob_index(full, "out")].shape);
    CLEANUP(freep) float *gradient = xcalloc((size_t)n, sizeof(*gradient));
    fill_random(8, -1, 1, n, gradient);
    copy_params(full, half);
    run_both_ways(full, gradient);
    run_both_ways(half, gradient);
    const struct view *read = &half->layers[netdef_find_layer(net_def(half), "tried")].layer.bottoms[0];
    if (row->tolerance != ANY_SHAPE && view_is_bf16(read) == row->stays_f32)
        fail_msg("%s reads %s", row->name, row->stays_f32 ? "bf16" : "f32");
    check_blobs(row, half, full);
    check_params(row, half, full);
}

static void layers_agree_with_f32_forward_and_backward(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        try_layer(&rows[i]);
}

static int draw(struct rng *dice, int low, int high)
{
    return low + (int)rng_below(dice, (uint32_t)(high - low + 1));
}

static void convolutions_of_any_shape_agree_with_f32(void **state)
{
    (void)state;
    static const int liked[] = {1, 2, 3, 5, 8, 16, 20, 32};
    struct rng dice;
    rng_seed(&dice, 1);
    for (int i = 0; i < 30; i++) {
        int group = draw(&dice, 0, 2) ? 1 : draw(&dice, 2, 4);
        int in = group * liked[draw(&dice, 0, 7)], out = group * liked[draw(&dice, 0, 7)];
        int kernel = draw(&dice, 1, 4);
        CLEANUP(freep)
        char *layer = xasprintf("layer { name: 'tried' type: '%s' bottom: 'x' top: 'y' convolution_param {\n"
                                "  num_output: %d group: %d kernel_size: %d stride: %d pad: %d dilation: %d\n"
                                "  weight_filler { type: 'xavier' } bias_filler { type: 'gaussian' } } }",
                                draw(&dice, 0, 3) ? "Convolution" : "Deconvolution", out, group, kernel,
                                draw(&dice, 1, 3), draw(&dice, 0, kernel - 1), draw(&dice, 1, 2));
        CLEANUP(freep) char *name = xasprintf("%d channels into %s", in, layer);
        try_layer(&(struct tried){.name = name, .layers = layer, .channels = in, .tolerance = ANY_SHAPE});
    }
}

/* Tiles that overhang, channels that fill no vector, padding as large as the kernel. */
static void large_tiles_of_any_shape_agree_with_f32(void **state)
{
    (void)state;
    static const int liked[] = {16, 17, 20, 24, 32, 50};
    struct rng dice;
    rng_seed(&dice, 2);
    for (int i = 0; i < 20; i++) {
        int group = draw(&dice, 1, 2);
        int in = group * liked[draw(&dice, 0, 5)], out = group * liked[draw(&dice, 0, 5)];
        CLEANUP(freep)
        char *layer =
            xasprintf("layer { name: 'tried' type: 'Convolution' bottom: 'x' top: 'y' convolution_param {\n"
                      "  num_output: %d group: %d kernel_size: 5 pad_h: %d pad_w: %d\n"
                      "  weight_filler { type: 'xavier' } bias_filler { type: 'gaussian' } } }",
                      out, group, draw(&dice, 0, 6), draw(&dice, 0, 6));
        CLEANUP(freep) char *name = xasprintf("%d channels into %s", in, layer);
        try_layer(&(struct tried){.name = name,
                                  .layers = layer,
                                  .channels = in,
                                  .tolerance = 0.0125,
                                  .images = draw(&dice, 5, 12)});
    }
}

/* ---- nets ---- */

/* LeNet's and AlexNet's kinds of layers; branches; something without bf16 in the middle. */
static const char net_text[] =
    "layer { name: 'in' type: 'Input' top: 'x' top: 'labels'\n"
    "  input_param { shape { dim: 8 dim: 3 dim: 19 dim: 19 } shape { dim: 8 } } }\n"
    "layer { name: 'conv1' type: 'Convolution' bottom: 'x' top: 'c1' convolution_param {\n"
    "  num_output: 32 kernel_size: 5 weight_filler { type: 'xavier' } } }\n"
    "layer { name: 'relu1' type: 'ReLU' bottom: 'c1' top: 'c1' }\n"
    "layer { name: 'pool1' type: 'Pooling' bottom: 'c1' top: 'p1' pooling_param { kernel_size: 3 stride: 2 } }\n"
    "layer { name: 'norm1' type: 'LRN' bottom: 'p1' top: 'n1' lrn_param { local_size: 5 alpha: 0.1 } }\n"
    "layer { name: 'conv2' type: 'Convolution' bottom: 'n1' top: 'c2' convolution_param {\n"
    "  num_output: 32 group: 2 pad: 1 kernel_size: 3 weight_filler { type: 'xavier' } } }\n"
    "layer { name: 'elu' type: 'ELU' bottom: 'c2' top: 'c2' }\n"
    "layer { name: 'conv3' type: 'Convolution' bottom: 'c2' top: 'c3' convolution_param {\n"
    "  num_output: 16 kernel_size: 3 weight_filler { type: 'xavier' } } }\n"
    "layer { name: 'conv4' type: 'Convolution' bottom: 'c2' top: 'c4' convolution_param {\n"
    "  num_output: 16 kernel_size: 3 weight_filler { type: 'xavier' } } }\n"
    "layer { name: 'join' type: 'Concat' bottom: 'c3' bottom: 'c4' top: 'j' }\n"
    "layer { name: 'ip1' type: 'InnerProduct' bottom: 'j' top: 'i1' inner_product_param {\n"
    "  num_output: 20 weight_filler { type: 'xavier' } } }\n"
    "layer { name: 'relu3' type: 'ReLU' bottom: 'i1' top: 'i1' }\n"
    "layer { name: 'drop' type: 'Dropout' bottom: 'i1' top: 'i1' dropout_param { dropout_ratio: 0.2 } }\n"
    "layer { name: 'ip2' type: 'InnerProduct' bottom: 'i1' top: 'i2' inner_product_param {\n"
    "  num_output: 5 weight_filler { type: 'xavier' } } }\n"
    "layer { name: 'accuracy' type: 'Accuracy' bottom: 'i2' bottom: 'labels' top: 'accuracy' }\n"
    "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'i2' bottom: 'labels' top: 'loss' }\n";

static void set_inputs(struct net *net)
{
    const float labels[] = {0, 3, 1, 4, 2, 2, 0, 1};
    fill_inputs(net, 11, -1, 1);
    blob_set(net, "labels", labels);
}

static double train_step(struct net *net, float rate)
{
    struct error err = {0};
    double loss = 0;
    net_clear_diffs(net);
    assert_ok(net_forward(net, &loss, &err));
    net_backward(net);
    for (int p = 0; p < net_n_params(net); p++) {
        struct param *param = net_param(net, p);
        for (size_t i = 0; i < param->n_floats; i++)
            param->data[i] -= rate * param->diff[i];
        param->version++;
    }
    return loss;
}

static void a_net_learns_as_in_f32(void **state)
{
    (void)state;
    CLEANUP(net_freep) struct net *full = make(net_text, PRECISION_F32, false);
    CLEANUP(net_freep) struct net *half = make(net_text, PRECISION_BF16, false);
    copy_params(full, half);
    set_inputs(full);
    set_inputs(half);
    double first = 0, a = 0, b = 0;
    for (int step = 0; step < 60; step++) {
        a = train_step(full, 0.02f);
        b = train_step(half, 0.02f);
        first = step == 0 ? a : first;
        if (step < 3 && !(fabs(a - b) <= (step ? 0.05 : 0.01) * a))
            fail_msg("step %d: loss %g in f32, %g in bf16", step, a, b);
    }
    assert_true(a < first / 3);
    assert_true(b < first / 3);
}

static void the_top_that_a_loss_reads_is_f32(void **state)
{
    (void)state;
    CLEANUP(net_freep) struct net *net = make(net_text, PRECISION_BF16, false);
    const struct netdef *def = net_def(net);
    static const struct {
        const char *layer;
        bool is_bf16;
    } tops[] = {{"conv1", true}, {"pool1", true}, {"conv2", false},
                {"join", true},  {"ip1", true},   {"ip2", false}};
    for (size_t i = 0; i < ARRAY_SIZE(tops); i++) {
        const struct layer *l = &net->layers[netdef_find_layer(def, tops[i].layer)].layer;
        if (view_is_bf16(&l->tops[0]) != tops[i].is_bf16)
            fail_msg("the top of %s is %s", tops[i].layer, tops[i].is_bf16 ? "f32" : "bf16");
    }
    for (int i = 0; i < net_n_params(net); i++)
        assert_int_equal(net_param(net, i)->desc.data_type, dnnl_f32);
}

static void memory_that_is_reused_gives_the_same_bits_and_is_less_than_in_f32(void **state)
{
    (void)state;
    CLEANUP(net_freep) struct net *reusing = make(net_text, PRECISION_BF16, false);
    CLEANUP(net_freep) struct net *keeping = make(net_text, PRECISION_BF16, true);
    CLEANUP(net_freep) struct net *full = make(net_text, PRECISION_F32, false);
    set_inputs(reusing);
    set_inputs(keeping);
    for (int step = 0; step < 3; step++) {
        double a = train_step(reusing, 0.1f), b = train_step(keeping, 0.1f);
        assert_true(a == b && a > 0);
    }
    for (int p = 0; p < net_n_params(keeping); p++) {
        struct param *mine = net_param(reusing, p), *theirs = net_param(keeping, p);
        assert_memory_equal(mine->data, theirs->data, mine->n_floats * sizeof(float));
    }
    assert_true(net_memory(reusing).blobs < net_memory(keeping).blobs * 3 / 4);
    assert_true(net_memory(reusing).blobs < net_memory(full).blobs);
}

/* Sharing, saving and loading see nothing but floats in Caffe's order. */
static void weights_go_from_one_precision_to_the_other_unchanged(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(net_freep) struct net *half = make(net_text, PRECISION_BF16, false);
    CLEANUP(net_freep) struct net *full = make(net_text, PRECISION_F32, false);
    set_inputs(half);
    train_step(half, 0.1f);
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *path = path_join(folder, "w.caffemodel");
    assert_ok(net_save_weights(half, path, true, &err));
    assert_ok(net_load_weights(full, path, &err));
    for (int i = 0; i < net_n_params(full); i++) {
        CLEANUP(freep) float *a = param_values(half, i), *b = param_values(full, i);
        assert_memory_equal(a, b, (size_t)shape_count(&net_param(full, i)->def->shape) * sizeof(float));
    }
    struct net_options options = {
        .threads = 2, .inference = true, .share = half, .precision = PRECISION_BF16};
    CLEANUP(net_freep) struct net *test = net_from_text_with(net_text, &options, CAFFE__PHASE__TEST);
    options.share = full;
    options.precision = PRECISION_F32;
    CLEANUP(net_freep) struct net *full_test = net_from_text_with(net_text, &options, CAFFE__PHASE__TEST);
    double a = 0, b = 0;
    set_inputs(test);
    set_inputs(full_test);
    assert_ok(net_forward(test, &a, &err));
    assert_ok(net_forward(full_test, &b, &err));
    assert_true(fabs(a - b) <= 0.02 * b);
    assert_ok(dir_remove(folder, &err));
}

/* A convolution takes over what changes its channels afterwards: in bf16 as in f32. */
static void predictions_that_are_folded_agree_with_f32(void **state)
{
    (void)state;
    static const char text[] =
        "layer { name: 'in' type: 'Input' top: 'in' input_param { shape { dim: 2 dim: 16 dim: 9 dim: 9 } } }\n"
        "layer { name: 'a' type: 'Convolution' bottom: 'in' top: 'a' convolution_param {\n"
        "  num_output: 32 kernel_size: 3 weight_filler { type: 'xavier' } } }\n"
        "layer { name: 'n' type: 'BatchNorm' bottom: 'a' top: 'a' }\n"
        "layer { name: 's' type: 'Scale' bottom: 'a' top: 'a' scale_param { bias_term: true\n"
        "  filler { type: 'uniform' min: 0.5 max: 2 } bias_filler { type: 'uniform' min: -1 max: 1 } } }\n"
        "layer { name: 'r' type: 'ReLU' bottom: 'a' top: 'a' }\n"
        "layer { name: 'b' type: 'Convolution' bottom: 'a' top: 'b' convolution_param {\n"
        "  num_output: 8 kernel_size: 3 weight_filler { type: 'xavier' } } }\n";
    struct error err = {0};
    struct net_options options = {.threads = 2, .seed = 3, .inference = true};
    CLEANUP(net_freep) struct net *full = net_from_text_with(text, &options, CAFFE__PHASE__TEST);
    options.precision = PRECISION_BF16;
    CLEANUP(net_freep) struct net *half = net_from_text_with(text, &options, CAFFE__PHASE__TEST);
    float statistics[32];
    const int *of = net_def(full)->layers[netdef_find_layer(net_def(full), "n")].params;
    fill_random(4, 0.5f, 1.5f, 32, statistics);
    param_set(full, of[0], statistics);
    param_set(full, of[1], statistics);
    param_set(full, of[2], (const float[]){1});
    copy_params(full, half);
    fill_inputs(full, 5, -1, 1);
    fill_inputs(half, 5, -1, 1);
    assert_ok(net_forward(full, NULL, &err));
    assert_ok(net_forward(half, NULL, &err));
    CLEANUP(freep) float *a = blob_values(half, "b"), *b = blob_values(full, "b");
    assert_true(distance(a, b, 2 * 8 * 5 * 5) <= 0.01);
}

static void a_value_that_is_not_finite_is_found_in_bf16(void **state)
{
    (void)state;
    CLEANUP(net_freep) struct net *net = make(net_text, PRECISION_BF16, false);
    struct error err = {0};
    set_inputs(net);
    int conv1 = net_def(net)->layers[netdef_find_layer(net_def(net), "conv1")].params[0];
    CLEANUP(freep) float *weights = param_values(net, conv1);
    for (int i = 0; i < 3 * 5 * 5; i++)
        weights[i] = 3e38f;
    param_set(net, conv1, weights);
    double loss = 0;
    assert_ok(net_forward(net, &loss, &err));
    assert_false(isfinite(loss));
    bool is_parameter = true;
    assert_string_equal(net_def(net)->layers[net_find_not_finite(net, &is_parameter)].name, "conv1");
    assert_false(is_parameter);
}

static void precisions_have_names(void **state)
{
    (void)state;
    enum precision p = PRECISION_F32;
    assert_true(precision_read("bf16", &p));
    assert_int_equal(p, PRECISION_BF16);
    assert_true(precision_read("f32", &p));
    assert_int_equal(p, PRECISION_F32);
    assert_false(precision_read("f16", &p));
    assert_false(precision_read("", &p));
}

int main(void)
{
    struct error err;
    bool can = precision_check(PRECISION_BF16, &err) == OK;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_round_to_the_nearest_and_ties_to_even),
        UNIT_TEST_IF(can, layers_agree_with_f32_forward_and_backward, "bf16"),
        UNIT_TEST_IF(can, convolutions_of_any_shape_agree_with_f32, "bf16"),
        UNIT_TEST_IF(can, large_tiles_of_any_shape_agree_with_f32, "bf16"),
        UNIT_TEST_IF(can, a_net_learns_as_in_f32, "bf16"),
        UNIT_TEST_IF(can, the_top_that_a_loss_reads_is_f32, "bf16"),
        UNIT_TEST_IF(can, memory_that_is_reused_gives_the_same_bits_and_is_less_than_in_f32, "bf16"),
        UNIT_TEST_IF(can, weights_go_from_one_precision_to_the_other_unchanged, "bf16"),
        UNIT_TEST_IF(can, predictions_that_are_folded_agree_with_f32, "bf16"),
        UNIT_TEST_IF(can, a_value_that_is_not_finite_is_found_in_bf16, "bf16"),
        cmocka_unit_test(precisions_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
