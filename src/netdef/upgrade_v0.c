#include <stdlib.h>
#include <string.h>

#include "netdef/message.h"
#include "netdef/names.h"
#include "netdef/nearest.h"
#include "netdef/upgrade.h"

static const struct {
    const char *v0;
    Caffe__V1LayerParameter__LayerType v1;
} types[] = {
    {"accuracy", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__ACCURACY},
    {"bnll", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__BNLL},
    {"concat", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__CONCAT},
    {"conv", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__CONVOLUTION},
    {"data", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__DATA},
    {"dropout", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__DROPOUT},
    {"euclidean_loss", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__EUCLIDEAN_LOSS},
    {"flatten", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__FLATTEN},
    {"hdf5_data", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__HDF5_DATA},
    {"hdf5_output", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__HDF5_OUTPUT},
    {"im2col", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__IM2COL},
    {"images", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__IMAGE_DATA},
    {"infogain_loss", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__INFOGAIN_LOSS},
    {"innerproduct", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__INNER_PRODUCT},
    {"lrn", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__LRN},
    {"multinomial_logistic_loss", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__MULTINOMIAL_LOGISTIC_LOSS},
    {"pool", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__POOLING},
    {"relu", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__RELU},
    {"sigmoid", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__SIGMOID},
    {"softmax", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__SOFTMAX},
    {"softmax_loss", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__SOFTMAX_LOSS},
    {"split", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__SPLIT},
    {"tanh", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__TANH},
    {"window_data", CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__WINDOW_DATA},
};

/* Where a V0 field of a type goes: param.to, or to of the layer itself. */
static const struct {
    const char *field, *type, *param, *to;
} moves[] = {
    {"name", NULL, NULL, "name"},
    {"blobs", NULL, NULL, "blobs"},
    {"blobs_lr", NULL, NULL, "blobs_lr"},
    {"weight_decay", NULL, NULL, "weight_decay"},
    {"scale", NULL, "transform_param", "scale"},
    {"meanfile", NULL, "transform_param", "mean_file"},
    {"cropsize", NULL, "transform_param", "crop_size"},
    {"mirror", NULL, "transform_param", "mirror"},
    {"num_output", "conv", "convolution_param", "num_output"},
    {"biasterm", "conv", "convolution_param", "bias_term"},
    {"weight_filler", "conv", "convolution_param", "weight_filler"},
    {"bias_filler", "conv", "convolution_param", "bias_filler"},
    {"pad", "conv", "convolution_param", "pad"},
    {"kernelsize", "conv", "convolution_param", "kernel_size"},
    {"group", "conv", "convolution_param", "group"},
    {"stride", "conv", "convolution_param", "stride"},
    {"num_output", "innerproduct", "inner_product_param", "num_output"},
    {"biasterm", "innerproduct", "inner_product_param", "bias_term"},
    {"weight_filler", "innerproduct", "inner_product_param", "weight_filler"},
    {"bias_filler", "innerproduct", "inner_product_param", "bias_filler"},
    {"pool", "pool", "pooling_param", "pool"},
    {"pad", "pool", "pooling_param", "pad"},
    {"kernelsize", "pool", "pooling_param", "kernel_size"},
    {"stride", "pool", "pooling_param", "stride"},
    {"dropout_ratio", "dropout", "dropout_param", "dropout_ratio"},
    {"local_size", "lrn", "lrn_param", "local_size"},
    {"alpha", "lrn", "lrn_param", "alpha"},
    {"beta", "lrn", "lrn_param", "beta"},
    {"k", "lrn", "lrn_param", "k"},
    {"concat_dim", "concat", "concat_param", "concat_dim"},
    {"source", "data", "data_param", "source"},
    {"batchsize", "data", "data_param", "batch_size"},
    {"rand_skip", "data", "data_param", "rand_skip"},
    {"source", "hdf5_data", "hdf5_data_param", "source"},
    {"batchsize", "hdf5_data", "hdf5_data_param", "batch_size"},
    {"hdf5_output_param", "hdf5_output", NULL, "hdf5_output_param"},
    {"source", "images", "image_data_param", "source"},
    {"batchsize", "images", "image_data_param", "batch_size"},
    {"rand_skip", "images", "image_data_param", "rand_skip"},
    {"shuffle_images", "images", "image_data_param", "shuffle"},
    {"new_height", "images", "image_data_param", "new_height"},
    {"new_width", "images", "image_data_param", "new_width"},
    {"source", "infogain_loss", "infogain_loss_param", "source"},
    {"source", "window_data", "window_data_param", "source"},
    {"batchsize", "window_data", "window_data_param", "batch_size"},
    {"det_fg_threshold", "window_data", "window_data_param", "fg_threshold"},
    {"det_bg_threshold", "window_data", "window_data_param", "bg_threshold"},
    {"det_fg_fraction", "window_data", "window_data_param", "fg_fraction"},
    {"det_context_pad", "window_data", "window_data_param", "context_pad"},
    {"det_crop_mode", "window_data", "window_data_param", "crop_mode"},
};

static const char *v0_type(const Caffe__V1LayerParameter *layer)
{
    return layer->layer && layer->layer->type ? layer->layer->type : "";
}

static enum status upgrade_type(Caffe__V1LayerParameter *layer, struct error *err)
{
    const char *type = v0_type(layer), *name = layer->layer->name;
    struct nearest near;
    nearest_init(&near, type);
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (strcmp(types[i].v0, type) == 0) {
            layer->has_type = true;
            layer->type = types[i].v1;
            return OK;
        }
        nearest_offer(&near, types[i].v0);
    }
    char hint[NEAREST_TEXT_MAX];
    return error_set(err, INVALID, "layer '%s': unknown layer type '%s'%s", name ? name : "", type,
                     nearest_text(&near, hint));
}

static enum status upgrade_layer(Caffe__V1LayerParameter *layer, struct error *err)
{
    if (!layer->layer)
        return error_set(err, INVALID,
                         "layer '%s' has no 'layer { }' inside of its 'layers { }', but others have",
                         layer->name ? layer->name : "");
    TRY(upgrade_type(layer, err));
    CLEANUP(message_freep) ProtobufCMessage *from = &TAKE(layer->layer)->base;
    const char *type = ((Caffe__V0LayerParameter *)from)->type;
    for (size_t i = 0; i < ARRAY_SIZE(moves); i++) {
        const ProtobufCFieldDescriptor *field = message_field(from, moves[i].field);
        if ((moves[i].type && strcmp(moves[i].type, type) != 0) || !field_count(from, field))
            continue;
        ProtobufCMessage *to = &layer->base;
        if (moves[i].param)
            to = field_open(to, message_field(to, moves[i].param));
        field_move(from, field, to, message_field(to, moves[i].to));
    }
    return OK;
}

/* A "padding" layer's pad goes into the conv or pool layer above it, which then reads its bottom. */
static enum status absorb_padding(Caffe__V1LayerParameter *layer, const Caffe__V1LayerParameter *padding,
                                  struct error *err)
{
    const char *type = v0_type(layer), *name = layer->layer && layer->layer->name ? layer->layer->name : "";
    if (strcmp(type, "conv") != 0 && strcmp(type, "pool") != 0)
        return error_set(err, INVALID, "layer '%s': a padding layer may feed conv and pool only, not '%s'",
                         name, type);
    if (layer->n_bottom != 1 || padding->n_bottom != 1 || padding->n_top != 1)
        return error_set(err, INVALID,
                         "layer '%s': it and the padding layer beneath it must have one bottom each", name);
    layer->layer->has_pad = true;
    layer->layer->pad = padding->layer->pad;
    free(layer->bottom[0]);
    layer->bottom[0] = xstrdup(padding->bottom[0]);
    return OK;
}

static enum status upgrade_padding(Caffe__NetParameter *net, struct error *err)
{
    CLEANUP(names_release) struct names producers = {0}; /* blob -> layer, or n_layers for an input */
    for (size_t i = 0; i < net->n_input; i++)
        names_put(&producers, net->input[i], (int)net->n_layers);
    for (size_t i = 0; i < net->n_layers; i++) {
        Caffe__V1LayerParameter *layer = net->layers[i];
        for (size_t j = 0; j < layer->n_bottom; j++) {
            int producer = names_get(&producers, layer->bottom[j]);
            if (producer < 0)
                return error_set(err, INVALID, "unknown bottom '%s' of layers[%zu]", layer->bottom[j], i);
            if (producer < (int)net->n_layers && strcmp(v0_type(net->layers[producer]), "padding") == 0)
                TRY(absorb_padding(layer, net->layers[producer], err));
        }
        for (size_t j = 0; j < layer->n_top; j++)
            names_put(&producers, layer->top[j], (int)i);
    }
    size_t n = 0;
    for (size_t i = 0; i < net->n_layers; i++) {
        if (strcmp(v0_type(net->layers[i]), "padding") == 0)
            message_free(&net->layers[i]->base);
        else
            net->layers[n++] = net->layers[i];
    }
    net->n_layers = n;
    return OK;
}

enum status net_upgrade_v0(Caffe__NetParameter *net, struct error *err)
{
    TRY(upgrade_padding(net, err));
    for (size_t i = 0; i < net->n_layers; i++)
        TRY(upgrade_layer(net->layers[i], err));
    return OK;
}
