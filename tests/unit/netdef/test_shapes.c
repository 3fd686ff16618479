/* Each layer type alone: shapes of tops and parameters, worked out by hand from Caffe's rules. */
#include "../test.h"

#include "netdef/netdef.h"

struct row {
    const char *inputs; /* shapes of a, b, c..., e.g. "2 3 4 4; 2"; "?" is unknown */
    const char *layer;  /* type, bottoms, tops and parameters */
    const char *want;   /* shapes of tops | shapes of parameters, or the error after "layer 't': " */
};

static void add_input(struct buf *net, char name, const char *shape)
{
    buf_printf(net, "layer { name: '%c' type: 'Input' top: '%c'", name, name);
    if (strchr(shape, '?')) {
        buf_puts(net, " }\n");
        return;
    }
    buf_puts(net, " input_param { shape {");
    char *end;
    for (const char *p = shape; strtol(p, &end, 10), end != p; p = end)
        buf_printf(net, " dim: %ld", strtol(p, NULL, 10));
    buf_puts(net, " } } }\n");
}

static void make_net(const struct row *row, struct buf *net)
{
    char name = 'a';
    CLEANUP(freep) char *inputs = xstrdup(row->inputs);
    char *rest = inputs, *shape;
    while (*row->inputs && (shape = strsep(&rest, ";")))
        add_input(net, name++, shape);
    buf_printf(net, "layer { name: 't' %s }\n", row->layer);
}

/* "2 3; ?" without the counts. */
static void add_shape(struct buf *out, const struct shape *shape)
{
    if (!shape_is_known(shape))
        buf_puts(out, "?");
    else if (shape->n_axes == 0)
        buf_puts(out, "scalar");
    for (int i = 0; i < shape->n_axes; i++)
        buf_printf(out, "%s%d", i ? " " : "", shape->dim[i]);
}

static void describe(const struct netdef *def, struct buf *out)
{
    const struct layer_def *layer = &def->layers[netdef_find_layer(def, "t")];
    for (int i = 0; i < layer->n_tops; i++) {
        buf_puts(out, i ? "; " : "");
        add_shape(out, &def->blobs[layer->tops[i]].shape);
    }
    for (int i = 0; i < layer->n_params; i++) {
        buf_puts(out, i ? "; " : " | ");
        add_shape(out, &def->params[layer->params[i]].shape);
    }
}

static void check_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct error err = {0};
        struct buf text, got;
        buf_init(&text, 1 << 16);
        buf_init(&got, 1 << 16);
        make_net(&rows[i], &text);
        Caffe__NetParameter *net;
        struct netdef *def = NULL;
        assert_ok(net_read_text(text.data, text.size, rows[i].layer, &net, &err));
        if (netdef_create(net, &(struct netdef_options){.phase = CAFFE__PHASE__TRAIN}, &def, &err) == OK)
            describe(def, &got);
        else
            buf_puts(&got, strncmp(err.message, "layer 't': ", 11) == 0 ? err.message + 11 : err.message);
        if (strcmp(got.data, rows[i].want) != 0)
            fail_msg("row %zu, %s on %s:\n got  %s\n want %s", i, rows[i].layer, rows[i].inputs, got.data,
                     rows[i].want);
        netdef_free(def);
        caffe__net_parameter__free_unpacked(net, NULL);
        buf_release(&text);
        buf_release(&got);
    }
}

#define A_T  "bottom: 'a' top: 't' "
#define AB_T "bottom: 'a' bottom: 'b' top: 't' "

static void windows(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"2 4 9 9", "type: 'Convolution' " A_T "convolution_param { num_output: 6 kernel_size: 3 stride: 2 }",
         "2 6 4 4 | 6 4 3 3; 6"},
        {"2 4 9 7",
         "type: 'Convolution' " A_T "convolution_param { num_output: 6 kernel_h: 3 kernel_w: 1 pad_h: 1"
         " pad_w: 0 stride_h: 1 stride_w: 2 group: 2 bias_term: false }",
         "2 6 9 4 | 6 2 3 1"},
        {"1 1 7 7",
         "type: 'Convolution' " A_T "convolution_param { num_output: 1 kernel_size: 3 dilation: 2 }",
         "1 1 3 3 | 1 1 3 3; 1"},
        {"2 3 5 6 7",
         "type: 'Convolution' " A_T "convolution_param { num_output: 4 kernel_size: 2 kernel_size: 3"
         " kernel_size: 1 pad: 0 pad: 1 pad: 0 }",
         "2 4 4 6 7 | 4 3 2 3 1; 4"},
        {"2 3 8", "type: 'Convolution' " A_T "convolution_param { num_output: 4 kernel_size: 3 }",
         "2 4 6 | 4 3 3; 4"},
        {"2 3; 2 3",
         "type: 'Convolution' bottom: 'a' bottom: 'b' top: 't' top: 'u'"
         " convolution_param { num_output: 4 kernel_size: 1 }",
         "2 4; 2 4 | 4 3; 4"},
        {"?", "type: 'Convolution' " A_T "convolution_param { num_output: 4 kernel_size: 3 }", "? | ?; 4"},
        {"2 4 3 3",
         "type: 'Deconvolution' " A_T "convolution_param { num_output: 6 kernel_size: 4 stride: 2 pad: 1"
         " group: 2 }",
         "2 6 6 6 | 4 3 4 4; 6"},
        {"2 3 4 4 4 4", "type: 'Convolution' " A_T "convolution_param { num_output: 4 kernel_size: 3 }",
         "2 4 2 2 2 2 | 4 3 3 3 3 3; 4"},
        {"2 3 1 5", "type: 'Convolution' " A_T "convolution_param { num_output: 4 kernel_size: 2 stride: 2 }",
         "2 4 1 2 | 4 3 2 2; 4"},
        {"2 3 5 5", "type: 'Im2col' " A_T "convolution_param { kernel_size: 3 stride: 2 }", "2 27 2 2"},
        {"1 2 32 32", "type: 'Pooling' " A_T "pooling_param { kernel_size: 3 stride: 2 }", "1 2 16 16"},
        {"1 2 32 32", "type: 'Pooling' " A_T "pooling_param { kernel_size: 3 stride: 2 round_mode: FLOOR }",
         "1 2 15 15"},
        {"1 2 3 3", "type: 'Pooling' " A_T "pooling_param { kernel_size: 2 stride: 2 pad: 1 }", "1 2 2 2"},
        {"1 2 7 5", "type: 'Pooling' " A_T "pooling_param { pool: AVE global_pooling: true }", "1 2 1 1"},
        {"1 2 6 6",
         "type: 'Pooling' bottom: 'a' top: 't' top: 'm' pooling_param { kernel_size: 1 stride: 2 }",
         "1 2 4 4; 1 2 4 4"},
        {"1 2 2 5", "type: 'Pooling' " A_T "pooling_param { kernel_size: 3 stride: 2 }", "1 2 1 2"},
        {"2 3 9 7", "type: 'SPP' " A_T "spp_param { pyramid_height: 2 }", "2 15"},
        {"2 3 9 7", "type: 'SPP' " A_T "spp_param { pyramid_height: 1 }", "2 3 1 1"},
    };
    check_rows(rows, ARRAY_SIZE(rows));
}

static void dense_and_recurrent(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"2 3 4", "type: 'InnerProduct' " A_T "inner_product_param { num_output: 5 }", "2 5 | 5 12; 5"},
        {"2 3 4",
         "type: 'InnerProduct' " A_T "inner_product_param { num_output: 5 axis: -1 transpose: true"
         " bias_term: false }",
         "2 3 5 | 4 5"},
        {"2 3 4", "type: 'InnerProduct' " A_T "inner_product_param { num_output: 5 axis: 0 }", "5 | 5 24; 5"},
        {"?", "type: 'InnerProduct' " A_T "inner_product_param { num_output: 5 }", "? | ?; 5"},
        {"7 2", "type: 'Embed' " A_T "embed_param { num_output: 5 input_dim: 11 }", "7 2 5 | 11 5; 5"},
        {"4 2 3 5; 4 2", "type: 'LSTM' " AB_T "recurrent_param { num_output: 6 }", "4 2 6 | 24 15; 24; 24 6"},
        {"4 2 3; 4 2; 2 7",
         "type: 'LSTM' bottom: 'a' bottom: 'b' bottom: 'c' top: 't'"
         " recurrent_param { num_output: 6 }",
         "4 2 6 | 24 3; 24; 24 7; 24 6"},
        {"4 2 3; 4 2; 1 2 6; 1 2 6",
         "type: 'LSTM' bottom: 'a' bottom: 'b' bottom: 'c' bottom: 'd' top: 't'"
         " top: 'h' top: 'u' recurrent_param { num_output: 6 expose_hidden: true }",
         "4 2 6; 1 2 6; 1 2 6 | 24 3; 24; 24 6"},
        {"4 2 3; 4 2", "type: 'RNN' " AB_T "recurrent_param { num_output: 6 }",
         "4 2 6 | 6 3; 6; 6 6; 6 6; 6"},
        {"1 2 3; 1 2 12; 1 2", "type: 'LSTMUnit' bottom: 'a' bottom: 'b' bottom: 'c' top: 't' top: 'u'",
         "1 2 3; 1 2 3"},
    };
    check_rows(rows, ARRAY_SIZE(rows));
}

static void element_wise_and_normalisation(void **state)
{
    (void)state;
    static const char *const neurons[] = {"BNLL", "Dropout", "ELU",   "Exp",  "Log",      "Power",
                                          "ReLU", "Sigmoid", "Swish", "TanH", "Threshold"};
    for (size_t i = 0; i < ARRAY_SIZE(neurons); i++) {
        CLEANUP(freep) char *other = xasprintf("type: '%s' " A_T, neurons[i]);
        CLEANUP(freep) char *in_place = xasprintf("type: '%s' bottom: 'a' top: 'a'", neurons[i]);
        const struct row rows[] = {
            {"2 3 4", other, "2 3 4"}, {"2 3 4", in_place, "2 3 4"}, {"?", other, "?"}};
        check_rows(rows, ARRAY_SIZE(rows));
    }
    static const struct row rows[] = {
        {"2 3 4", "type: 'AbsVal' " A_T, "2 3 4"},
        {"2 3 4", "type: 'Clip' " A_T "clip_param { min: 0 max: 1 }", "2 3 4"},
        {"2 3 4", "type: 'PReLU' " A_T, "2 3 4 | 3"},
        {"2 3 4", "type: 'PReLU' " A_T "prelu_param { channel_shared: true }", "2 3 4 | scalar"},
        {"2 3 4", "type: 'BatchNorm' " A_T, "2 3 4 | 3; 3; 1"},
        {"?", "type: 'BatchNorm' " A_T, "? | ?; ?; 1"},
        {"2 3 4", "type: 'Scale' " A_T, "2 3 4 | 3"},
        {"2 3 4", "type: 'Scale' " A_T "scale_param { axis: 0 num_axes: -1 bias_term: true }",
         "2 3 4 | 2 3 4; 2 3 4"},
        {"2 3 4", "type: 'Scale' " A_T "scale_param { num_axes: 0 }", "2 3 4 | scalar"},
        {"2 3 4; 3 4", "type: 'Scale' " AB_T, "2 3 4"},
        {"2 3 4; 3 4", "type: 'Scale' " AB_T "scale_param { bias_term: true }", "2 3 4 | 3 4"},
        {"2 3 4", "type: 'Bias' " A_T "bias_param { axis: -1 }", "2 3 4 | 4"},
        {"2 3 4; 2", "type: 'Bias' " AB_T "bias_param { axis: 0 }", "2 3 4"},
        {"2 3 4 5", "type: 'LRN' " A_T, "2 3 4 5"},
        {"2 3", "type: 'MVN' " A_T, "2 3 1 1"},
        {"2 3 4", "type: 'Softmax' " A_T "softmax_param { axis: 2 }", "2 3 4"},
        {"2 3; 2 3; 2 3", "type: 'Eltwise' bottom: 'a' bottom: 'b' bottom: 'c' top: 't'", "2 3"},
        {"?; 2 3", "type: 'Eltwise' " AB_T, "2 3"},
    };
    check_rows(rows, ARRAY_SIZE(rows));
}

static void losses_and_measures(void **state)
{
    (void)state;
    static const char *const losses[] = {"SoftmaxWithLoss", "HingeLoss", "MultinomialLogisticLoss"};
    for (size_t i = 0; i < ARRAY_SIZE(losses); i++) {
        CLEANUP(freep) char *layer = xasprintf("type: '%s' " AB_T, losses[i]);
        const struct row rows[] = {{"4 10; 4", layer, "scalar"}, {"?; ?", layer, "scalar"}};
        check_rows(rows, ARRAY_SIZE(rows));
    }
    static const struct row rows[] = {
        {"4 10 2 3; 4 1 2 3", "type: 'SoftmaxWithLoss' " AB_T, "scalar"},
        {"4 2 10; 4 2", "type: 'SoftmaxWithLoss' " AB_T "softmax_param { axis: -1 }", "scalar"},
        {"4 10; 4", "type: 'SoftmaxWithLoss' bottom: 'a' bottom: 'b'", "scalar"},
        {"4 10; 4 2 5", "type: 'SigmoidCrossEntropyLoss' " AB_T, "scalar"},
        {"4 10; 4 10", "type: 'EuclideanLoss' " AB_T, "scalar"},
        {"4 7; 4 7; 4", "type: 'ContrastiveLoss' bottom: 'a' bottom: 'b' bottom: 'c' top: 't'", "scalar"},
        {"4 3; 4; 1 1 3 3",
         "type: 'InfogainLoss' bottom: 'a' bottom: 'b' bottom: 'c' top: 't' top: 'p'"
         " loss_weight: 1 loss_weight: 0",
         "scalar; 4 3"},
        {"4 10; 4", "type: 'Accuracy' " AB_T, "scalar"},
        {"4 10; 4", "type: 'Accuracy' bottom: 'a' bottom: 'b' top: 't' top: 'c' accuracy_param { top_k: 5 }",
         "scalar; 10"},
        {"4 10 2", "type: 'ArgMax' " A_T, "4 1 1"},
        {"4 10", "type: 'ArgMax' " A_T "argmax_param { out_max_val: true top_k: 3 }", "4 2 3"},
        {"4 10 2 2", "type: 'ArgMax' " A_T "argmax_param { top_k: 3 }", "4 1 3 1"},
        {"4 10 2", "type: 'ArgMax' " A_T "argmax_param { axis: 1 top_k: 3 }", "4 3 2"},
    };
    check_rows(rows, ARRAY_SIZE(rows));
}

static void moves_and_selections(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"2 3 4; 2 5 4", "type: 'Concat' " AB_T, "2 8 4"},
        {"2 3 4; 2 3 1", "type: 'Concat' " AB_T "concat_param { axis: -1 }", "2 3 5"},
        {"2 3; 4 3", "type: 'Concat' " AB_T "concat_param { concat_dim: 0 }", "6 3"},
        {"2 6", "type: 'Slice' bottom: 'a' top: 't' top: 'u' top: 'v'", "2 2; 2 2; 2 2"},
        {"2 6", "type: 'Slice' bottom: 'a' top: 't' top: 'u' slice_param { slice_point: 5 }", "2 5; 2 1"},
        {"6 2", "type: 'Slice' bottom: 'a' top: 't' top: 'u' slice_param { slice_dim: 0 }", "3 2; 3 2"},
        {"2 3", "type: 'Split' bottom: 'a' top: 't' top: 'u'", "2 3; 2 3"},
        {"2 3 4 5", "type: 'Flatten' " A_T, "2 60"},
        {"2 3 4 5", "type: 'Flatten' " A_T "flatten_param { axis: 0 end_axis: -2 }", "24 5"},
        {"2 3 4 5", "type: 'Flatten' " A_T "flatten_param { axis: 2 end_axis: 1 }", "2 3 1 4 5"},
        {"2 8", "type: 'Reshape' " A_T "reshape_param { shape { dim: 0 dim: 2 dim: -1 } }", "2 2 4"},
        {"2 8", "type: 'Reshape' " A_T "reshape_param { shape { dim: 2 dim: 4 } axis: -2 }", "2 2 4"},
        {"2 8", "type: 'Reshape' " A_T "reshape_param { shape { dim: 1 } axis: 1 num_axes: 0 }", "2 1 8"},
        {"1", "type: 'Reshape' " A_T "reshape_param { shape { } }", "scalar"},
        {"2 3 9 9; 2 1 5 6", "type: 'Crop' " AB_T "crop_param { offset: 1 offset: 2 }", "2 3 5 6"},
        {"2 3", "type: 'Tile' " A_T "tile_param { tiles: 4 }", "2 12"},
        {"2 3 4", "type: 'Reduction' " A_T, "scalar"},
        {"2 3 4", "type: 'Reduction' " A_T "reduction_param { axis: -1 }", "2 3"},
        {"5 3; 2", "type: 'BatchReindex' " AB_T, "2 3"},
        {"5 3; 5 1", "type: 'Filter' " AB_T, "5 3"},
        {"5 3", "type: 'Silence' bottom: 'a'", ""},
    };
    check_rows(rows, ARRAY_SIZE(rows));
}

static void sources(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"", "type: 'Data' top: 't' top: 'l' data_param { source: 'x' batch_size: 9 }", "?; 9"},
        {"",
         "type: 'ImageData' top: 't' top: 'l' image_data_param { batch_size: 9 new_height: 4 new_width: 5 }",
         "9 3 4 5; 9"},
        {"",
         "type: 'ImageData' top: 't' top: 'l' image_data_param { batch_size: 9 is_color: false }"
         " transform_param { crop_size: 6 }",
         "9 1 6 6; 9"},
        {"", "type: 'HDF5Data' top: 't' top: 'l' hdf5_data_param { source: 'x' batch_size: 9 }", "?; ?"},
        {"",
         "type: 'WindowData' top: 't' top: 'l' window_data_param { batch_size: 9 } transform_param { "
         "crop_size: 6 }",
         "9 3 6 6; 9"},
        {"",
         "type: 'MemoryData' top: 't' top: 'l' memory_data_param { batch_size: 9 channels: 1 height: 2 "
         "width: 3 }",
         "9 1 2 3; 9"},
        {"",
         "type: 'DummyData' top: 't' top: 'l' dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 4 } }",
         "2 3; 4"},
        {"",
         "type: 'DummyData' top: 't' top: 'l' dummy_data_param { num: 2 channels: 3 channels: 5 height: 1 "
         "width: 1 }",
         "2 3 1 1; 2 5 1 1"},
        {"", "type: 'Input' top: 't' top: 'l' input_param { shape { dim: 2 } }", "2; 2"},
        {"", "type: 'Input' top: 't'", "?"},
        {"", "type: 'Parameter' top: 't' parameter_param { shape { dim: 2 dim: 3 } }", "2 3 | 2 3"},
        {"4 3; 4", "type: 'HDF5Output' bottom: 'a' bottom: 'b' hdf5_output_param { file_name: 'f' }", ""},
    };
    check_rows(rows, ARRAY_SIZE(rows));
}

static void what_does_not_fit_is_explained(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"2 3", "type: 'Convolutoin' " A_T, "unknown layer type 'Convolutoin'; did you mean 'Convolution'?"},
        {"2 3", A_T, "'type' is missing"},
        {"2 3", "type: 'Python' " A_T, "layers of type 'Python' are not run here"},
        {"2 3; 2", "type: 'InnerProduct' " AB_T, "type InnerProduct takes 1 bottom, not 2"},
        {"2 3", "type: 'Eltwise' " A_T, "type Eltwise takes at least 2 bottoms, not 1"},
        {"2 3", "type: 'Pooling' bottom: 'a'", "type Pooling takes 1 to 2 tops, not 0"},
        {"2 3; 2 3", "type: 'Convolution' " AB_T,
         "type Convolution makes one top for each of its 2 bottoms, not 1"},
        {"2 3 4 4", "type: 'Convolution' " A_T, "num_output must be at least 1"},
        {"2 3 4 4", "type: 'Convolution' " A_T "convolution_param { num_output: 2 }",
         "kernel_size must be given once, or once for each of the 2 spatial axes, not 0 times"},
        {"2 3 4 4", "type: 'Convolution' " A_T "convolution_param { num_output: 4 kernel_size: 1 group: 2 }",
         "the 3 channels of bottom 'a' of shape 2 3 4 4 (96) must be a multiple of group 2"},
        {"2 3 4 4", "type: 'Convolution' " A_T "convolution_param { num_output: 4 kernel_size: 5 }",
         "kernel of 5 does not fit length 4 padded by 0: bottom 'a' of shape 2 3 4 4 (96)"},
        {"2 3 4 4", "type: 'Convolution' " A_T "convolution_param { num_output: 4 kernel_size: 1 stride: 0 }",
         "stride 0 must be between 1 and 2147483647"},
        {"2 3 4", "type: 'Convolution' " A_T "convolution_param { num_output: 4 kernel_h: 1 kernel_w: 1 }",
         "kernel_size_h and kernel_size_w are for 2 spatial axes, not 1"},
        {"2 3 4 4", "type: 'Deconvolution' " A_T "convolution_param { num_output: 4 kernel_size: 1 pad: 2 }",
         "pad of 2 leaves nothing of bottom 'a' of shape 2 3 4 4 (96)"},
        {"2 3 1 1", "type: 'Pooling' " A_T "pooling_param { kernel_size: 3 }",
         "kernel of 3 does not fit length 1 padded by 0: bottom 'a' of shape 2 3 1 1 (6)"},
        {"2 3 4", "type: 'Pooling' " A_T "pooling_param { kernel_size: 3 }",
         "bottom 'a' of shape 2 3 4 (24) must have 4 axes (num, channels, height, width)"},
        {"2 3 4 4", "type: 'Pooling' " A_T, "give kernel_size, or kernel_h and kernel_w, and not both"},
        {"2 3 4 4", "type: 'Pooling' " A_T "pooling_param { kernel_size: 2 pad: 2 }",
         "pad 2 must be less than kernel 2"},
        {"2 3 4 4", "type: 'Pooling' " A_T "pooling_param { kernel_size: 2 stride: 0 }",
         "kernel and stride must be between 1 and 2147483647"},
        {"2 3 4 4", "type: 'SPP' " A_T "spp_param { pyramid_height: 31 }",
         "pyramid_height must be between 1 and 30"},
        {"2 3 4 4", "type: 'LRN' " A_T "lrn_param { local_size: 4 }", "local_size 4 must be odd"},
        {"2 3", "type: 'Dropout' " A_T "dropout_param { dropout_ratio: 1 }",
         "dropout_ratio 1 must be at least 0 and less than 1"},
        {"2 3", "type: 'Exp' " A_T "exp_param { base: 0 }", "base 0 must be positive, or -1 for e"},
        {"2 3", "type: 'Softmax' " A_T "softmax_param { axis: 2 }",
         "axis 2 is out of range: bottom 'a' of shape 2 3 (6) has 2 axes"},
        {"2 3; 3 2", "type: 'Eltwise' " AB_T,
         "bottom 'a' of shape 2 3 (6) and bottom 'b' of shape 3 2 (6) must have the same shape"},
        {"2 3; 2 4 1", "type: 'Concat' " AB_T,
         "bottom 'a' of shape 2 3 (6) and bottom 'b' of shape 2 4 1 (8) must have the same shape except on "
         "axis 1"},
        {"2 5", "type: 'Slice' bottom: 'a' top: 't' top: 'u'",
         "2 tops cannot share axis 1 of bottom 'a' of shape 2 5 (10) evenly"},
        {"2 5", "type: 'Slice' bottom: 'a' top: 't' top: 'u' slice_param { slice_point: 5 }",
         "slice_points must rise from 1 to less than 5, the axis 1 of bottom 'a' of shape 2 5 (10)"},
        {"2 5", "type: 'Reshape' " A_T "reshape_param { shape { dim: 3 dim: -1 } }",
         "bottom 'a' of shape 2 5 (10) cannot have the new shape, whose dimensions multiply to 3"},
        {"2 5", "type: 'Reshape' bottom: 'a' top: 'a'",
         "type Reshape cannot work in place: give its top another name than its bottom 'a'"},
        {"64 10; 32", "type: 'SoftmaxWithLoss' " AB_T,
         "bottom 'a' of shape 64 10 (640) and bottom 'b' of shape 32 (32) must have the same first "
         "dimension"},
        {"64 10 2; 64", "type: 'SoftmaxWithLoss' " AB_T,
         "bottom 'b' of shape 64 (64) must hold 128 labels, one for each prediction of bottom 'a' of shape "
         "64 10 2 (1280)"
         " (classes are on axis 1)"},
        {"64 3; 64", "type: 'Accuracy' " AB_T "accuracy_param { top_k: 5 }",
         "top_k 5 is more than the 3 classes of bottom 'a' of shape 64 3 (192)"},
        {"4 2 3; 4 3", "type: 'LSTM' " AB_T "recurrent_param { num_output: 6 }",
         "bottom 'b' of shape 4 3 (12) must be the time steps and streams of bottom 'a' of shape 4 2 3 (24)"},
        {"4 2 3; 4 2", "type: 'LSTM' " AB_T, "num_output must be at least 1"},
        {"2 3", "type: 'BatchNorm' " A_T "param { lr_mult: 1 }",
         "the statistics of BatchNorm are not learned: set lr_mult of all its params to 0"},
        {"2 3",
         "type: 'InnerProduct' " A_T
         "inner_product_param { num_output: 1 bias_term: false } param { } param { }",
         "2 param fields, but type InnerProduct has 1 parameter"},
        {"2 3", "type: 'ReLU' " A_T "loss_weight: 1 loss_weight: 1",
         "loss_weight must be given never, or once for each of the 1 tops, not 2 times"},
        {"2 3", "type: 'ReLU' " A_T "propagate_down: true propagate_down: true",
         "propagate_down must be given never, or once for each of the 1 bottoms, not 2 times"},
        {"2 3", "type: 'ReLU' bottom: 'a' top: 'u' top: 't'", "type ReLU takes 1 top, not 2"},
        {"", "type: 'Data' top: 't' data_param { source: 'x' }",
         "data_param's batch_size must be at least 1"},
        {"", "type: 'Input' top: 't' input_param { shape { dim: -1 } }",
         "dim -1 of a shape is not between 0 and 2147483647"},
        {"", "type: 'Input' top: 't' input_param { shape { dim: 65536 dim: 65536 } }",
         "top 't' of shape 65536 65536 (4294967296) has more than 2147483647 elements"},
        {"2 3", "type: 'InnerProduct' " A_T "inner_product_param { num_output: 500000000 axis: 0 }",
         "param of layer 't' of shape 500000000 6 (3000000000) has more than 2147483647 elements"},
    };
    check_rows(rows, ARRAY_SIZE(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows),
        cmocka_unit_test(dense_and_recurrent),
        cmocka_unit_test(element_wise_and_normalisation),
        cmocka_unit_test(losses_and_measures),
        cmocka_unit_test(moves_and_selections),
        cmocka_unit_test(sources),
        cmocka_unit_test(what_does_not_fit_is_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
