#include "netdef/layer_types.h"

#include <string.h>

#include "netdef/nearest.h"
#include "netdef/shapes.h"

/* Counts: bottoms (at least, at most), tops (at least, at most); -1 is any number. */
#define COUNTS(b_min, b_max, t_min, t_max)                                                                   \
    .min_bottoms = (b_min), .max_bottoms = (b_max), .min_tops = (t_min), .max_tops = (t_max)

#define NEURON(name_, shape_)                                                                                \
    {                                                                                                        \
        .type = {.name = (name_), COUNTS(1, 1, 1, 1)}, .shape = (shape_), .in_place = true                   \
    }
#define SOURCE(name_, shape_, t_min, t_max)                                                                  \
    {                                                                                                        \
        .type = {.name = (name_), COUNTS(0, 0, t_min, t_max), .is_data = true}, .shape = (shape_)            \
    }
#define LOSS(name_, shape_, b_min, b_max, t_max, unforced)                                                   \
    {                                                                                                        \
        .type = {.name = (name_), COUNTS(b_min, b_max, 1, t_max), .is_loss = true}, .shape = (shape_),       \
        .unforced_bottom = (unforced), .no_gradient = (unforced)                                             \
    }

/* By name. */
static const struct layer_row rows[] = {
    {.type = {.name = "AbsVal", COUNTS(1, 1, 1, 1)}, .shape = shape_like_bottom},
    {.type = {.name = "Accuracy", COUNTS(2, 2, 1, 2)}, .shape = shape_accuracy, .no_gradient = -1},
    {.type = {.name = "ArgMax", COUNTS(1, 1, 1, 1)}, .shape = shape_argmax, .no_gradient = -1},
    NEURON("BNLL", shape_like_bottom),
    NEURON("BatchNorm", shape_batch_norm),
    {.type = {.name = "BatchReindex", COUNTS(2, 2, 1, 1)}, .shape = shape_batch_reindex, .no_gradient = 2},
    {.type = {.name = "Bias", COUNTS(1, 2, 1, 1)}, .shape = shape_bias, .in_place = true},
    NEURON("Clip", shape_like_bottom),
    {.type = {.name = "Concat", COUNTS(1, -1, 1, 1)}, .shape = shape_concat},
    {.type = {.name = "ContrastiveLoss", COUNTS(3, 3, 1, 1), .is_loss = true},
     .shape = shape_contrastive_loss,
     .unforced_bottom = 3},
    {.type = {.name = "Convolution", COUNTS(1, -1, 1, -1)}, .shape = shape_convolution, .equal_counts = true},
    {.type = {.name = "Crop", COUNTS(2, 2, 1, 1)}, .shape = shape_crop},
    SOURCE("Data", shape_data, 1, 2),
    {.type = {.name = "Deconvolution", COUNTS(1, -1, 1, -1)},
     .shape = shape_deconvolution,
     .equal_counts = true},
    NEURON("Dropout", shape_dropout),
    {.type = {.name = "DummyData", COUNTS(0, 0, 1, -1)}, .shape = shape_dummy_data},
    NEURON("ELU", shape_like_bottom),
    {.type = {.name = "Eltwise", COUNTS(2, -1, 1, 1)}, .shape = shape_eltwise, .in_place = true},
    {.type = {.name = "Embed", COUNTS(1, 1, 1, 1)}, .shape = shape_embed, .no_gradient = 1},
    LOSS("EuclideanLoss", shape_euclidean_loss, 2, 2, 1, 0),
    NEURON("Exp", shape_exp),
    {.type = {.name = "Filter", COUNTS(2, -1, 1, -1)},
     .shape = shape_filter,
     .one_top_less = true,
     .no_gradient = -2},
    {.type = {.name = "Flatten", COUNTS(1, 1, 1, 1)}, .shape = shape_flatten},
    SOURCE("HDF5Data", shape_hdf5_data, 1, -1),
    {.type = {.name = "HDF5Output", COUNTS(2, 2, 0, 0)}, .shape = shape_hdf5_output},
    LOSS("HingeLoss", shape_hinge_loss, 2, 2, 1, 2),
    {.type = {.name = "Im2col", COUNTS(1, 1, 1, 1)}, .shape = shape_im2col},
    SOURCE("ImageData", shape_image_data, 2, 2),
    LOSS("InfogainLoss", shape_infogain_loss, 2, 3, 2, 2),
    {.type = {.name = "InnerProduct", COUNTS(1, 1, 1, 1)}, .shape = shape_inner_product},
    {.type = {.name = "Input", COUNTS(0, 0, 1, -1)}, .shape = shape_input},
    NEURON("LRN", shape_lrn),
    {.type = {.name = "LSTM", COUNTS(2, 5, 1, 3)},
     .shape = shape_lstm,
     .unforced_bottom = 2,
     .no_gradient = 2},
    {.type = {.name = "LSTMUnit", COUNTS(3, 3, 2, 2)},
     .shape = shape_lstm_unit,
     .unforced_bottom = 3,
     .no_gradient = 3},
    NEURON("Log", shape_log),
    NEURON("MVN", shape_mvn),
    {.type = {.name = "MemoryData", COUNTS(0, 0, 2, 2)}, .shape = shape_memory_data},
    LOSS("MultinomialLogisticLoss", shape_multinomial_loss, 2, 2, 1, 2),
    NEURON("PReLU", shape_prelu),
    {.type = {.name = "Parameter", COUNTS(0, 0, 1, 1)}, .shape = shape_parameter},
    {.type = {.name = "Pooling", COUNTS(1, 1, 1, 2)}, .shape = shape_pooling},
    NEURON("Power", shape_like_bottom),
    {.type = {.name = "RNN", COUNTS(2, 4, 1, 2)}, .shape = shape_rnn, .unforced_bottom = 2, .no_gradient = 2},
    NEURON("ReLU", shape_like_bottom),
    {.type = {.name = "Reduction", COUNTS(1, 1, 1, 1)}, .shape = shape_reduction},
    {.type = {.name = "Reshape", COUNTS(1, 1, 1, 1)}, .shape = shape_reshape},
    {.type = {.name = "SPP", COUNTS(1, 1, 1, 1)}, .shape = shape_spp},
    {.type = {.name = "Scale", COUNTS(1, 2, 1, 1)}, .shape = shape_scale, .in_place = true},
    NEURON("Sigmoid", shape_like_bottom),
    LOSS("SigmoidCrossEntropyLoss", shape_sigmoid_loss, 2, 2, 1, 2),
    {.type = {.name = "Silence", COUNTS(1, -1, 0, 0)}, .shape = shape_silence},
    {.type = {.name = "Slice", COUNTS(1, 1, 1, -1)}, .shape = shape_slice},
    NEURON("Softmax", shape_softmax),
    LOSS("SoftmaxWithLoss", shape_softmax_loss, 2, 2, 2, 2),
    {.type = {.name = "Split", COUNTS(1, 1, 1, -1)}, .shape = shape_split},
    NEURON("Swish", shape_like_bottom),
    NEURON("TanH", shape_like_bottom),
    {.type = {.name = "Threshold", COUNTS(1, 1, 1, 1)},
     .shape = shape_like_bottom,
     .in_place = true,
     .no_gradient = -1},
    {.type = {.name = "Tile", COUNTS(1, 1, 1, 1)}, .shape = shape_tile},
    SOURCE("WindowData", shape_window_data, 2, 2),
};

static enum status shape_nothing(struct shaping *s)
{
    (void)s;
    return OK;
}

const struct layer_row layer_row_unknown = {
    .type = {.name = "", COUNTS(0, -1, 0, -1)}, .shape = shape_nothing, .in_place = true};

enum status layer_row_find(const char *type, const struct layer_row **ret_row, struct error *err)
{
    if (strcmp(type, "Python") == 0)
        return error_set(err, UNSUPPORTED, "layers of type 'Python' are not run here");
    if (!*type)
        return error_set(err, INVALID, "'type' is missing");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (strcmp(rows[i].type.name, type) == 0) {
            *ret_row = &rows[i];
            return OK;
        }
    }
    struct nearest near;
    nearest_init(&near, type);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        nearest_offer(&near, rows[i].type.name);
    char hint[NEAREST_TEXT_MAX];
    return error_set(err, INVALID, "unknown layer type '%s'%s", type, nearest_text(&near, hint));
}
