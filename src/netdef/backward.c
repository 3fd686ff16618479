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

void layers_backward(struct wiring *w)
{
    CLEANUP(freep) struct marks *marks = xcalloc((size_t)w->def->n_blobs + 1, sizeof(*marks));
    for (int i = w->def->n_layers - 1; i >= 0; i--)
        visit(w, i, marks);
    for (int i = 0; i < w->def->n_layers; i++) {
        struct layer_def *layer = &w->layers[i];
        int unforced = layer_row_of(layer->type)->unforced_bottom - 1;
        layer->needs_backward = layer->needs_backward || w->def->force_backward;
        for (int j = 0; j < layer->n_bottoms; j++) {
            bool *down = &w->propagate_down[i][j];
            *down = *down || (w->def->force_backward && j != unforced);
            if (layer->needs_backward && *down)
                w->blobs[layer->bottoms[j]].needs_diff = true;
        }
    }
}
