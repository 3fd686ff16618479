#include "netdef/memory_bound.h"

#include <string.h>

static const struct param_def *owner_of(const struct netdef *def, int param)
{
    return &def->params[def->params[param].owner];
}

/* A matrix or a kernel that is learned: its gradient is computed from the layer's bottoms. */
static bool keeps_bottoms(const struct netdef *def, const struct layer_def *layer)
{
    for (int i = 0; layer->needs_backward && i < layer->n_params; i++)
        if (owner_of(def, layer->params[i])->lr_mult != 0 && def->params[layer->params[i]].shape.n_axes > 1)
            return true;
    return false;
}

/* The tops of a split are its bottom. */
static int split_from(const struct netdef *def, int blob)
{
    const struct layer_def *producer = &def->layers[def->blobs[blob].producer];
    return strcmp(producer->type->name, "Split") == 0 && producer->n_bottoms == 1
               ? split_from(def, producer->bottoms[0])
               : blob;
}

int64_t netdef_training_bytes_at_least(const struct netdef *def, int n_histories)
{
    CLEANUP(freep) bool *kept = xcalloc((size_t)def->n_blobs + 1, sizeof(*kept));
    int64_t floats = 0;
    for (int i = 0; i < def->n_params; i++)
        if (def->params[i].owner == i && shape_is_known(&def->params[i].shape))
            floats +=
                shape_count(&def->params[i].shape) * (def->params[i].lr_mult != 0 ? 2 + n_histories : 1);
    for (int i = 0; i < def->n_layers; i++)
        for (int b = 0; b < def->layers[i].n_bottoms && keeps_bottoms(def, &def->layers[i]); b++)
            kept[split_from(def, def->layers[i].bottoms[b])] = true;
    for (int i = 0; i < def->n_blobs; i++)
        if (kept[i] && shape_is_known(&def->blobs[i].shape))
            floats += shape_count(&def->blobs[i].shape);
    return 4 * floats;
}
