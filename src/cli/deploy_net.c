#include "cli/deploy_net.h"

#include <string.h>

static bool in_test_phase(const Caffe__LayerParameter *layer)
{
    for (size_t i = 0; i < layer->n_include; i++)
        if (layer->include[i]->has_phase && layer->include[i]->phase != CAFFE__PHASE__TEST)
            return false;
    for (size_t i = 0; i < layer->n_exclude; i++)
        if (layer->exclude[i]->has_phase && layer->exclude[i]->phase == CAFFE__PHASE__TEST)
            return false;
    return true;
}

static bool is_type(const Caffe__LayerParameter *layer, const char *type)
{
    return layer->type && !strcmp(layer->type, type);
}

static bool is_data(const Caffe__LayerParameter *layer)
{
    return is_type(layer, "Data") || is_type(layer, "ImageData");
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

static enum status find_layers(const Caffe__NetParameter *net, const Caffe__LayerParameter **ret_data,
                               const Caffe__LayerParameter **ret_loss, struct error *err)
{
    const Caffe__LayerParameter *data = NULL, *loss = NULL;
    for (size_t i = 0; i < net->n_layer; i++) {
        const Caffe__LayerParameter *layer = net->layer[i];
        if (!in_test_phase(layer))
            continue;
        if (is_data(layer) && data)
            return error_set(err, UNSUPPORTED,
                             "the net has two data layers; say the net for labelling with --net FILE");
        if (is_data(layer))
            data = layer;
        if (is_type(layer, "SoftmaxWithLoss"))
            loss = layer;
    }
    if (!data || !loss)
        return error_set(err, UNSUPPORTED,
                         "the net has no %s in its TEST phase; say the net for labelling with --net FILE",
                         data ? "SoftmaxWithLoss" : "Data or ImageData layer");
    *ret_data = data;
    *ret_loss = loss;
    return OK;
}

/* What the data layer does to a picture: size and scale. */
static enum status read_transform(const Caffe__LayerParameter *data, const int image_shape[3],
                                  struct deploy_net *d, struct error *err)
{
    d->channels = image_shape[0];
    d->height = image_shape[1];
    d->width = image_shape[2];
    d->scale = 255;
    const Caffe__ImageDataParameter *images = data->image_data_param;
    if (is_type(data, "ImageData")) {
        d->channels = images && images->has_is_color && !images->is_color ? 1 : 3;
        if (images && images->new_height && images->new_width) {
            d->height = (int)images->new_height;
            d->width = (int)images->new_width;
        }
    }
    const Caffe__TransformationParameter *transform = data->transform_param;
    if (transform && (transform->mean_file || transform->n_mean_value))
        return error_set(
            err, UNSUPPORTED,
            "the net subtracts a mean, which a classifier cannot; say a net for labelling that does "
            "with --net FILE");
    if (transform && transform->crop_size)
        d->height = d->width = (int)transform->crop_size;
    if (transform)
        d->scale *= (double)transform->scale;
    if (!d->channels || !d->height || !d->width)
        return error_set(
            err, UNSUPPORTED,
            "the training pictures differ in size and the net sets none; say the net for labelling "
            "with --net FILE");
    return OK;
}

static void print_layer(const Caffe__LayerParameter *layer, const Caffe__LayerParameter *loss,
                        struct buf *out)
{
    Caffe__LayerParameter copy = *layer;
    Caffe__LayerParameter softmax = CAFFE__LAYER_PARAMETER__INIT;
    copy.n_include = copy.n_exclude = copy.n_blobs = 0;
    char prob[] = "prob", type[] = "Softmax";
    char *top = prob;
    if (layer == loss) {
        softmax.name = prob;
        softmax.type = type;
        softmax.n_bottom = 1;
        softmax.bottom = layer->bottom;
        softmax.n_top = 1;
        softmax.top = &top;
        softmax.softmax_param = layer->softmax_param;
        copy = softmax;
    }
    buf_puts(out, "layer {\n");
    message_print_text(&copy.base, out);
    buf_puts(out, "}\n");
}

enum status deploy_net_derive(const Caffe__NetParameter *net, const int image_shape[3],
                              struct deploy_net *ret_deploy, struct error *err)
{
    const Caffe__LayerParameter *data = NULL, *loss = NULL;
    TRY(find_layers(net, &data, &loss, err));
    struct deploy_net d = {0};
    TRY(read_transform(data, image_shape, &d, err));
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_printf(&text,
               "layer {\n  name: \"data\"\n  type: \"Input\"\n  top: \"%s\"\n"
               "  input_param { shape { dim: 1 dim: %d dim: %d dim: %d } }\n}\n",
               data->n_top ? data->top[0] : "data", d.channels, d.height, d.width);
    for (size_t i = 0; i < net->n_layer; i++) {
        const Caffe__LayerParameter *layer = net->layer[i];
        bool measures = is_type(layer, "Accuracy") ||
                        (ends_with(layer->type ? layer->type : "", "Loss") && layer != loss);
        if (in_test_phase(layer) && layer != data && !measures)
            print_layer(layer, loss, &text);
    }
    d.text = buf_take(&text, NULL);
    *ret_deploy = d;
    return OK;
}
