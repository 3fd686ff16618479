#include <stdlib.h>
#include <string.h>

#include "netdef/netdef.h"

struct building {
    Caffe__LayerParameter *layers, **layer_list;
    Caffe__BlobShape *shapes, **shape_list;
    int64_t *dims;
    char **names;
};

static void building_release(struct building *b)
{
    free(b->layers);
    free(b->layer_list);
    free(b->shapes);
    free(b->shape_list);
    free(b->dims);
    free(b->names);
}

/* The layer that delivers what comes from outside; lent everything. */
static void make_input(const struct netdef *def, const struct netdef_part *part, struct building *b,
                       Caffe__InputParameter *input, Caffe__LayerParameter *layer)
{
    size_t n = (size_t)part->n_inputs;
    b->shapes = xcalloc(n + 1, sizeof(*b->shapes));
    b->shape_list = xcalloc(n + 1, sizeof(*b->shape_list));
    b->dims = xcalloc(n * SHAPE_MAX_AXES + 1, sizeof(*b->dims));
    b->names = xcalloc(n + 1, sizeof(*b->names));
    for (size_t i = 0; i < n; i++) {
        const struct shape *shape = &part->shapes[i];
        caffe__blob_shape__init(&b->shapes[i]);
        b->shapes[i].dim = b->dims + i * SHAPE_MAX_AXES;
        b->shapes[i].n_dim = (size_t)shape->n_axes;
        for (int k = 0; k < shape->n_axes; k++)
            b->shapes[i].dim[k] = shape->dim[k];
        b->shape_list[i] = &b->shapes[i];
        b->names[i] = (char *)(uintptr_t)def->blobs[part->inputs[i]].name;
    }
    caffe__input_parameter__init(input);
    input->shape = b->shape_list;
    input->n_shape = n;
    caffe__layer_parameter__init(layer);
    layer->name = (char *)(uintptr_t) "(from outside)";
    layer->type = (char *)(uintptr_t) "Input";
    layer->top = b->names;
    layer->n_top = n;
    layer->input_param = input;
}

/* Which gradients are wanted was decided in the whole net. */
static void copy_needs(const struct netdef *def, const struct netdef_part *part, struct netdef *made)
{
    struct layer_def *layers = (struct layer_def *)(uintptr_t)made->layers;
    struct blob_def *blobs = (struct blob_def *)(uintptr_t)made->blobs;
    struct param_def *params = (struct param_def *)(uintptr_t)made->params;
    for (int i = 0; i < made->n_blobs; i++)
        blobs[i].needs_diff = false;
    for (int i = 0; i < part->n_layers; i++) {
        const struct layer_def *from = &def->layers[part->layers[i]];
        struct layer_def *to = &layers[i + 1];
        to->needs_backward = from->needs_backward;
        bool *down = (bool *)(uintptr_t)to->propagate_down;
        for (int k = 0; k < to->n_bottoms; k++) {
            down[k] = from->propagate_down[k];
            blobs[to->bottoms[k]].needs_diff = to->needs_backward && down[k];
        }
        for (int k = 0; k < to->n_params; k++)
            params[to->params[k]].propagate_down = def->params[from->params[k]].propagate_down;
    }
}

enum status netdef_part(const struct netdef *def, const struct netdef_part *part, struct netdef **ret_def,
                        struct error *err)
{
    CLEANUP(building_release) struct building b = {0};
    size_t n = (size_t)part->n_layers + 1;
    b.layers = xcalloc(n, sizeof(*b.layers));
    b.layer_list = xcalloc(n, sizeof(*b.layer_list));
    Caffe__InputParameter input;
    make_input(def, part, &b, &input, &b.layers[0]);
    for (size_t i = 0; i < n; i++) {
        if (i > 0) {
            b.layers[i] = *def->layers[part->layers[i - 1]].param;
            b.layers[i].n_include = b.layers[i].n_exclude = 0;
        }
        b.layer_list[i] = &b.layers[i];
    }
    Caffe__NetParameter net;
    caffe__net_parameter__init(&net);
    net.layer = b.layer_list;
    net.n_layer = n;
    struct netdef *made = NULL;
    TRY(netdef_create(&net, &(struct netdef_options){.phase = def->phase}, &made, err));
    copy_needs(def, part, made);
    *ret_def = made;
    return OK;
}
