/*
 * net_internal.h - a net's insides: what plan.c makes and net.c runs.
 *
 * A "value" is what one layer writes into one top.  A blob that layers change
 * in place has several values, one after the other; each value is read by at
 * most one layer (the definition has splits for more).
 *
 * Times, for the memory plan, of L layers: forward of layer i is i, its
 * backward is two steps, L + 2 (L - 1 - i) and the next; what the caller reads
 * lives until 3L.
 */
#ifndef ET_NET_INTERNAL_H
#define ET_NET_INTERNAL_H

#include "engine/kernel.h"
#include "engine/memory.h"
#include "engine/net.h"
#include "engine/plan.h"

/* A reorder before a layer's forward or backward. */
struct reorder {
    struct kernel kernel;
    int from, to; /* buffers */
    const float *from_data;
    float *to_data;
    struct reorder *next;
};

#define VALUE_MAX_REPRESENTATIONS 6

struct representation {
    dnnl_memory_desc_t desc;
    int buffer;
};

struct value {
    int blob;
    int producer, top;     /* layer and which of its tops */
    int consumer, bottom;  /* layer -1: nobody reads it */
    int root;              /* a split's tops have the representations of its bottom */
    int n_representations; /* of a root; the first is the one that was written */
    struct representation representations[VALUE_MAX_REPRESENTATIONS];
    bool has_diff;                                /* the consumer writes a gradient */
    dnnl_memory_desc_t diff_written, diff_wanted; /* by the consumer, by the producer */
    int diff_buffer, wanted_buffer;               /* -1: none */
};

/* What the plan knows of a layer beside struct layer itself. */
struct layer_plan {
    struct layer layer;
    struct rng rng;
    int *bottom_values, *top_values;
    int *bottom_buffers, *top_buffers, *bottom_diff_buffers, *top_diff_buffers; /* -1: none */
    int workspace_buffer;                                                       /* -1: none */
    bool runs_backward;
    bool is_done_above;     /* a layer before it does its work, forward and backward */
    bool overwrites_bottom; /* in place by name: backward sees the top for the bottom, as in Caffe */
    int last_top_buffer;    /* -1; else what backward sees for top 0: the blob's last value */
    float *last_top;
    unsigned backward_needs;
    bool reads_bottoms_first; /* layer_ops', unless the layer said otherwise */
    struct reorder *before_forward, *before_backward;
};

struct kept {
    void *pages;
    size_t bytes;
    struct kept *next;
};

struct net {
    struct netdef *def;
    struct net_options options;
    struct net_watch watch;
    char *folder;
    int n_layers;
    struct layer_plan *layers;
    int n_values;
    struct value *values;
    int *blob_value;          /* a blob's last value */
    struct param **params;    /* a param of the definition: its owner's, or the sharing net's */
    struct param *own_params; /* as many as the definition has; unused ones are zero */
    bool *param_is_own, *param_is_planned;
    void *param_pages;
    size_t param_bytes;
    struct memory *memory;
    const struct net *whole; /* of a tail: the net that it is the tail of */
    struct kept *kept;
    size_t kept_bytes, spare_bytes; /* spare: a part of kept */
    bool kept_failed;
    void *scratch;
    size_t scratch_bytes;
    bool scratch_is_borrowed;
    struct tail *tail; /* NULL: no Filter */
    bool logs_passes;
};

/*
 * Takes def, also on failure: what net_create does once the shapes of the data are known.  whole: NULL, or
 * the net that this is the tail of: it outlives it, and lends it memory for its blobs (memory_borrow) and
 * scratch.
 */
enum status net_create_from_def(struct netdef *def, const struct net_options *options,
                                const struct net *whole, struct net **ret_net, struct error *err);

/* What the tops of a layer add to the loss of the last pass. */
double net_layer_loss(const struct net *net, int layer);

/* plan.c: everything between the definition and the pointers in the views.  Params exist, without data. */
enum status net_plan(struct net *net, struct error *err);
void net_plan_release(struct net *net);
/* Blobs that are not written by each pass become as they were when the net was made. */
enum status net_renew_blobs(struct net *net, struct error *err);

/* net_params.c */
enum status net_params_create(struct net *net, struct error *err);
enum status net_params_allocate(struct net *net, struct error *err);
enum status net_params_fill(struct net *net, struct rng *rng, struct error *err);
void net_params_release(struct net *net);

#endif
