/*
 * Backwards from the losses: a layer computes gradients when something
 * learned lies beneath it, a loss above it, and none of its tops was cut off.
 * Source: the second half of Caffe's Net::Init.
 */
#include <stdlib.h>

#include "netdef/wiring.h"

struct marks {
    bool under_loss, skipped;
};

static void visit(struct wiring *w, int index, struct marks *marks)
{
    struct layer_def *layer = &w->layers[index];
    bool *down = w->propagate_down[index];
    bool contributes = false, skips = true;
    for (int i = 0; i < layer->n_tops; i++) {
        contributes = contributes || layer->loss_weights[i] != 0 || marks[layer->tops[i]].under_loss;
        skips = skips && marks[layer->tops[i]].skipped;
    }
    bool cut = !contributes || (layer->needs_backward && skips);
    layer->needs_backward = layer->needs_backward && !cut;
    for (int i = 0; i < layer->n_bottoms; i++) {
        struct marks *mark = &marks[layer->bottoms[i]];
        down[i] = down[i] && !cut;
        mark->under_loss = mark->under_loss || contributes;
        mark->skipped = mark->skipped || !down[i];
    }
}

/*
 * Where Caffe would end in the first backward pass; a net in TEST phase has
 * none.  What force_backward alone asks for is 0 then.
 */
static enum status check_gradients(struct wiring *w, int index)
{
    const struct layer_def *layer = &w->layers[index];
    int none = layer_row_of(layer->type)->no_gradient;
    for (int j = 0; none && layer->needs_backward && j < layer->n_bottoms; j++) {
        bool lacks = none == -1 || none == j + 1 || (none == -2 && j == layer->n_bottoms - 1);
        if (!lacks || !w->propagate_down[index][j] || w->def->phase != CAFFE__PHASE__TRAIN)
            continue;
        error_set(w->err, INVALID,
                  "layer '%s': type %s gives no gradient to its bottom '%s', and something learned lies "
                  "beneath; propagate_down: false stops it there",
                  layer->name, layer->type->name, w->blobs[layer->bottoms[j]].name);
        if (!w->options->problems)
            return INVALID;
        return problems_note(w->options->problems, INVALID, w->err);
    }
    return OK;
}

enum status layers_backward(struct wiring *w)
{
    CLEANUP(freep) struct marks *marks = xcalloc((size_t)w->def->n_blobs + 1, sizeof(*marks));
    for (int i = w->def->n_layers - 1; i >= 0; i--)
        visit(w, i, marks);
    for (int i = 0; i < w->def->n_layers; i++) {
        struct layer_def *layer = &w->layers[i];
        TRY(check_gradients(w, i));
        int unforced = layer_row_of(layer->type)->unforced_bottom - 1;
        layer->needs_backward = layer->needs_backward || w->def->force_backward;
        for (int j = 0; j < layer->n_bottoms; j++) {
            bool *down = &w->propagate_down[i][j];
            *down = *down || (w->def->force_backward && j != unforced);
            if (layer->needs_backward && *down)
                w->blobs[layer->bottoms[j]].needs_diff = true;
        }
    }
    return OK;
}
