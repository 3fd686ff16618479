#include "netdef/netdef.h"

#include <stdlib.h>
#include <string.h>

#include "netdef/message.h"
#include "netdef/wiring.h"

static enum status build(struct netdef *def, const Caffe__NetParameter *net,
                         const struct netdef_options *options, struct error *err)
{
    Caffe__NetParameter *param = NULL;
    TRY(layers_filter(net, options, &param, err));
    def->param = param;
    TRY(layers_split(param, options->problems, err));
    def->name = text_or_empty(param->name);
    def->phase = options->phase;
    def->force_backward = net->force_backward;
    struct wiring w = {.def = def, .arena = def->arena, .options = options, .param = param, .err = err};
    TRY(layers_wire(&w));
    TRY(layers_backward(&w));
    def->layers = w.layers;
    def->blobs = w.blobs;
    def->params = w.params;
    return OK;
}

enum status netdef_create(const Caffe__NetParameter *net, const struct netdef_options *options,
                          struct netdef **ret_def, struct error *err)
{
    CLEANUP(netdef_freep) struct netdef *def = xcalloc(1, sizeof(*def));
    def->arena = arena_make();
    TRY(build(def, net, options, err));
    *ret_def = TAKE(def);
    return OK;
}

void netdef_free(struct netdef *def)
{
    if (!def)
        return;
    if (def->param)
        caffe__net_parameter__free_unpacked((Caffe__NetParameter *)(uintptr_t)def->param, NULL);
    arena_free(def->arena);
    free(def);
}

void netdef_freep(struct netdef **def)
{
    netdef_free(*def);
    *def = NULL;
}

int netdef_find_layer(const struct netdef *def, const char *name)
{
    for (int i = 0; i < def->n_layers; i++) {
        if (strcmp(def->layers[i].name, name) == 0)
            return i;
    }
    return -1;
}

int netdef_find_blob(const struct netdef *def, const char *name)
{
    for (int i = 0; i < def->n_blobs; i++) {
        if (strcmp(def->blobs[i].name, name) == 0)
            return i;
    }
    return -1;
}

enum status netdef_data_layers(const Caffe__NetParameter *net, const struct netdef_options *options,
                               int **ret_layers, int *ret_n, struct error *err)
{
    CLEANUP(freep) int *layers = xcalloc(net->n_layer + 1, sizeof(int));
    int n = 0;
    for (size_t i = 0; i < net->n_layer; i++) {
        const Caffe__LayerParameter *layer = net->layer[i];
        const struct layer_row *row;
        bool kept;
        TRY(layer_kept(net, layer, options, &kept, err));
        if (!kept)
            continue;
        /* netdef_create tells of unknown types. */
        if (layer_row_find(text_or_empty(layer->type), &row, NULL) == OK && row->type.is_data)
            layers[n++] = (int)i;
    }
    *ret_layers = TAKE(layers);
    *ret_n = n;
    return OK;
}
