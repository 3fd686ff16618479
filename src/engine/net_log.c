#include "engine/net_log.h"

#include "engine/caffe_log.h"

static bool is_bottom(const struct layer_def *layer, int blob)
{
    for (int i = 0; i < layer->n_bottoms; i++)
        if (layer->bottoms[i] == blob)
            return true;
    return false;
}

/* Bytes of the layer's tops, as Caffe counts them: an in-place top counts again. */
static int64_t log_layer(const struct netdef *def, const struct layer_def *layer)
{
    char text[SHAPE_TEXT_MAX];
    int64_t bytes = 0;
    caffe_log('I', "net.cpp:86", "Creating Layer %s", layer->name);
    for (int i = 0; i < layer->n_bottoms; i++)
        caffe_log('I', "net.cpp:408", "%s <- %s", layer->name, def->blobs[layer->bottoms[i]].name);
    for (int i = 0; i < layer->n_tops; i++)
        caffe_log('I', "net.cpp:382", "%s -> %s%s", layer->name, def->blobs[layer->tops[i]].name,
                  is_bottom(layer, layer->tops[i]) ? " (in-place)" : "");
    caffe_log('I', "net.cpp:124", "Setting up %s", layer->name);
    for (int i = 0; i < layer->n_tops; i++) {
        const struct shape *shape = &def->blobs[layer->tops[i]].shape;
        caffe_log('I', "net.cpp:131", "Top shape: %s", shape_text(shape, text));
        bytes += shape_count(shape) * (int64_t)sizeof(float);
    }
    return bytes;
}

void net_log(const struct net *net)
{
    const struct netdef *def = net_def(net);
    int64_t bytes = 0;
    for (int i = 0; i < def->n_layers; i++) {
        bytes += log_layer(def, &def->layers[i]);
        caffe_log('I', "net.cpp:139", "Memory required for data: %lld", (long long)bytes);
    }
    for (int i = def->n_layers - 1; i >= 0; i--)
        caffe_log('I', def->layers[i].needs_backward ? "net.cpp:200" : "net.cpp:202",
                  "%s %s backward computation.", def->layers[i].name,
                  def->layers[i].needs_backward ? "needs" : "does not need");
    for (int i = 0; i < def->n_outputs; i++)
        caffe_log('I', "net.cpp:244", "This network produces output %s", def->blobs[def->outputs[i]].name);
    caffe_log('I', "net.cpp:257", "Network initialization done.");
}
