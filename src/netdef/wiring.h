/*
 * wiring.h - the steps of netdef_create, in order:
 *
 *   layers_filter   layers that the state keeps, copied without blobs
 *   layers_split    a Split layer behind each blob that is used more than once
 *   layers_wire     blobs, shapes, parameters, loss weights, outputs
 *   layers_backward who computes gradients, and for which bottoms
 */
#ifndef ET_NETDEF_WIRING_H
#define ET_NETDEF_WIRING_H

#include "netdef/arena.h"
#include "netdef/layer_types.h"

/* A definition while it is made: the same arrays, writable. */
struct wiring {
    struct netdef *def;
    struct arena *arena;
    const struct netdef_options *options;
    Caffe__NetParameter *param; /* def->param */
    struct layer_def *layers;
    bool **propagate_down; /* a layer: a bottom */
    struct blob_def *blobs;
    struct param_def *params;
    bool *blob_learns; /* a blob: something learned lies beneath it */
    struct error *err;
};

/* Whether the state of options keeps the layer.  INVALID with both include and exclude rules. */
enum status layer_kept(const Caffe__NetParameter *net, const Caffe__LayerParameter *layer,
                       const struct netdef_options *options, bool *ret_kept, struct error *err);

enum status layers_filter(const Caffe__NetParameter *net, const struct netdef_options *options,
                          Caffe__NetParameter **ret_net, struct error *err);
enum status layers_split(Caffe__NetParameter *net, struct problems *problems, struct error *err);
enum status layers_wire(struct wiring *w);
/* INVALID for a gradient that the layer's type cannot give. */
enum status layers_backward(struct wiring *w);

/* Decides owners and multipliers among the params; w->params and w->def->n_params are set. */
enum status params_share(struct wiring *w);

static inline const char *text_or_empty(const char *text)
{
    return text ? text : "";
}

#endif
