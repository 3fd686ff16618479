#include "netdef/upgrade.h"

#include <stdlib.h>
#include <string.h>

#include "netdef/message.h"

/* V1's layer types by number. */
static const char *const v1_types[] = {
    "",
    "Accuracy",
    "BNLL",
    "Concat",
    "Convolution",
    "Data",
    "Dropout",
    "EuclideanLoss",
    "Flatten",
    "HDF5Data",
    "HDF5Output",
    "Im2col",
    "ImageData",
    "InfogainLoss",
    "InnerProduct",
    "LRN",
    "MultinomialLogisticLoss",
    "Pooling",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "SoftmaxWithLoss",
    "Split",
    "TanH",
    "WindowData",
    "Eltwise",
    "Power",
    "SigmoidCrossEntropyLoss",
    "HingeLoss",
    "MemoryData",
    "ArgMax",
    "Threshold",
    "DummyData",
    "Slice",
    "MVN",
    "AbsVal",
    "Silence",
    "ContrastiveLoss",
    "Exp",
    "Deconvolution",
};

static void move_by_name(ProtobufCMessage *from, const char *field, ProtobufCMessage *to)
{
    field_move(from, message_field(from, field), to, message_field(to, field));
}

/* The transform fields that DATA, IMAGE_DATA and WINDOW_DATA once had in their own parameter. */
static void upgrade_transform(Caffe__V1LayerParameter *layer)
{
    ProtobufCMessage *param = NULL;
    if (layer->type == CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__DATA && layer->data_param)
        param = &layer->data_param->base;
    if (layer->type == CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__IMAGE_DATA && layer->image_data_param)
        param = &layer->image_data_param->base;
    if (layer->type == CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__WINDOW_DATA && layer->window_data_param)
        param = &layer->window_data_param->base;
    if (!param)
        return;
    static const char *const fields[] = {"scale", "mean_file", "crop_size", "mirror"};
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        if (field_count(param, message_field(param, fields[i])))
            move_by_name(param, fields[i],
                         field_open(&layer->base, message_field(&layer->base, "transform_param")));
    }
}

static Caffe__ParamSpec *param_spec(Caffe__LayerParameter *layer, size_t i)
{
    while (layer->n_param <= i)
        list_add(&layer->n_param, &layer->param, message_make(&caffe__param_spec__descriptor));
    return layer->param[i];
}

static void upgrade_param_specs(Caffe__V1LayerParameter *v1, Caffe__LayerParameter *layer)
{
    for (size_t i = 0; i < v1->n_param; i++)
        param_spec(layer, i)->name = xstrdup(v1->param[i]);
    for (size_t i = 0; i < v1->n_blob_share_mode; i++) {
        param_spec(layer, i)->has_share_mode = true;
        layer->param[i]->share_mode = (Caffe__ParamSpec__DimCheckMode)v1->blob_share_mode[i];
    }
    for (size_t i = 0; i < v1->n_blobs_lr; i++) {
        param_spec(layer, i)->has_lr_mult = true;
        layer->param[i]->lr_mult = v1->blobs_lr[i];
    }
    for (size_t i = 0; i < v1->n_weight_decay; i++) {
        param_spec(layer, i)->has_decay_mult = true;
        layer->param[i]->decay_mult = v1->weight_decay[i];
    }
}

static enum status upgrade_v1_layer(Caffe__V1LayerParameter *v1, Caffe__LayerParameter *layer,
                                    struct error *err)
{
    static const char *const changed[] = {"layer",           "type",     "param",
                                          "blob_share_mode", "blobs_lr", "weight_decay"};
    if (v1->has_type && (v1->type < 0 || (size_t)v1->type >= ARRAY_SIZE(v1_types)))
        return error_set(err, INVALID, "layer '%s': unknown layer type %d", v1->name ? v1->name : "",
                         (int)v1->type);
    if (v1->has_type)
        layer->type = xstrdup(v1_types[v1->type]);
    upgrade_param_specs(v1, layer);
    const ProtobufCMessageDescriptor *type = v1->base.descriptor;
    for (unsigned i = 0; i < type->n_fields; i++) {
        bool moves = true;
        for (size_t k = 0; k < ARRAY_SIZE(changed); k++)
            moves = moves && strcmp(type->fields[i].name, changed[k]) != 0;
        if (moves)
            move_by_name(&v1->base, type->fields[i].name, &layer->base);
    }
    return OK;
}

static enum status upgrade_v1(Caffe__NetParameter *net, struct error *err)
{
    if (net->n_layer)
        return error_set(err, INVALID,
                         "the net has both 'layer' and 'layers' fields; "
                         "write all of them as layer { type: \"Convolution\" ... }");
    for (size_t i = 0; i < net->n_layers; i++) {
        list_add(&net->n_layer, &net->layer, message_make(&caffe__layer_parameter__descriptor));
        TRY(upgrade_v1_layer(net->layers[i], net->layer[i], err));
    }
    for (size_t i = 0; i < net->n_layers; i++)
        message_free(&net->layers[i]->base);
    free(net->layers);
    net->layers = NULL;
    net->n_layers = 0;
    return OK;
}

/* The i-th input's shape, taken from input_shape or made of input_dim. */
static Caffe__BlobShape *input_shape(Caffe__NetParameter *net, size_t i)
{
    if (net->n_input_shape)
        return (Caffe__BlobShape *)message_dup(&net->input_shape[i]->base);
    Caffe__BlobShape *shape = (Caffe__BlobShape *)message_make(&caffe__blob_shape__descriptor);
    shape->n_dim = 4;
    shape->dim = xcalloc(4, sizeof(*shape->dim));
    for (size_t k = 0; k < 4; k++)
        shape->dim[k] = net->input_dim[4 * i + k];
    return shape;
}

static void clear_inputs(Caffe__NetParameter *net)
{
    for (size_t i = 0; i < net->n_input; i++)
        free(net->input[i]);
    for (size_t i = 0; i < net->n_input_shape; i++)
        message_free(&net->input_shape[i]->base);
    free(net->input);
    free(net->input_shape);
    free(net->input_dim);
    net->input = NULL;
    net->input_shape = NULL;
    net->input_dim = NULL;
    net->n_input = net->n_input_shape = net->n_input_dim = 0;
}

/* Names without shapes come from old caffemodels and mean nothing. */
static enum status upgrade_inputs(Caffe__NetParameter *net, struct error *err)
{
    if (net->n_input_shape && net->n_input_shape < net->n_input)
        return error_set(err, INVALID, "the net has %zu inputs, but %zu input_shape fields", net->n_input,
                         net->n_input_shape);
    if (!net->n_input_shape && net->n_input_dim && net->n_input_dim / 4 < net->n_input)
        return error_set(err, INVALID,
                         "the net has %zu inputs, but %zu input_dim fields; 4 an input are needed",
                         net->n_input, net->n_input_dim);
    if (net->n_input_shape || net->n_input_dim) {
        Caffe__LayerParameter *layer =
            (Caffe__LayerParameter *)message_make(&caffe__layer_parameter__descriptor);
        Caffe__InputParameter *param =
            (Caffe__InputParameter *)field_open(&layer->base, message_field(&layer->base, "input_param"));
        layer->name = xstrdup("input");
        layer->type = xstrdup("Input");
        for (size_t i = 0; i < net->n_input; i++) {
            list_add(&layer->n_top, &layer->top, xstrdup(net->input[i]));
            list_add(&param->n_shape, &param->shape, input_shape(net, i));
        }
        net->layer = xrealloc(net->layer, (net->n_layer + 1) * sizeof(*net->layer));
        memmove(net->layer + 1, net->layer, net->n_layer * sizeof(*net->layer));
        net->layer[0] = layer;
        net->n_layer++;
    }
    clear_inputs(net);
    return OK;
}

static void upgrade_batch_norms(Caffe__NetParameter *net)
{
    for (size_t i = 0; i < net->n_layer; i++) {
        Caffe__LayerParameter *layer = net->layer[i];
        if (!layer->type || strcmp(layer->type, "BatchNorm") != 0 || layer->n_param != 3)
            continue;
        for (size_t k = 0; k < 3; k++) {
            layer->param[k]->has_lr_mult = layer->param[k]->has_decay_mult = true;
            layer->param[k]->lr_mult = layer->param[k]->decay_mult = 0;
        }
    }
}

enum status net_upgrade(Caffe__NetParameter *net, struct error *err)
{
    bool has_v0 = false;
    for (size_t i = 0; i < net->n_layers; i++)
        has_v0 = has_v0 || net->layers[i]->layer;
    if (has_v0)
        TRY(net_upgrade_v0(net, err));
    for (size_t i = 0; i < net->n_layers; i++)
        upgrade_transform(net->layers[i]);
    if (net->n_layers)
        TRY(upgrade_v1(net, err));
    if (net->n_input)
        TRY(upgrade_inputs(net, err));
    upgrade_batch_norms(net);
    return OK;
}

static enum status upgrade_solver_type(Caffe__SolverParameter *solver, struct error *err)
{
    static const char *const types[] = {"SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"};
    const ProtobufCFieldDescriptor *type = message_field(&solver->base, "type");
    if (!solver->has_solver_type)
        return OK;
    if (field_count(&solver->base, type))
        return error_set(
            err, INVALID,
            "the solver has both 'type' and its legacy form 'solver_type'; leave out the latter");
    if ((size_t)solver->solver_type >= ARRAY_SIZE(types))
        return error_set(err, INVALID, "unknown solver_type %d", (int)solver->solver_type);
    solver->type = xstrdup(types[solver->solver_type]);
    solver->has_solver_type = false;
    solver->solver_type = CAFFE__SOLVER_PARAMETER__SOLVER_TYPE__SGD;
    return OK;
}

enum status solver_upgrade(Caffe__SolverParameter *solver, struct error *err)
{
    TRY(upgrade_solver_type(solver, err));
    if (solver->net_param)
        TRY(net_upgrade(solver->net_param, err));
    if (solver->train_net_param)
        TRY(net_upgrade(solver->train_net_param, err));
    for (size_t i = 0; i < solver->n_test_net_param; i++)
        TRY(net_upgrade(solver->test_net_param[i], err));
    return OK;
}
