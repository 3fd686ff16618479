/*
 * layer.h - what a layer is to the engine: one file, one const struct
 * layer_ops, one row in layers/table.c.
 *
 * A layer sees its blobs as views: a logical shape and pointers to data and
 * gradient, in the representation that the plan chose for this layer.  A
 * layer that says nothing about representations gets plain rows (C order,
 * e.g. NCHW floats); the plan puts the reorders around it.
 *
 * Life:  setup (once: read the layer's own settings)
 *        plan  (once a shape: choose representations, make primitives)
 *        forward, backward (many times; these allocate nothing)
 *        release
 *
 * Meaning of backward is Caffe's: the bottoms' gradients are overwritten,
 * the parameters' gradients are added to.
 */
#ifndef ET_LAYER_H
#define ET_LAYER_H

#include <oneapi/dnnl/dnnl.h>

#include "engine/rng.h"
#include "netdef/netdef.h"

struct planner; /* plan.h: what plan() may ask for */

struct view {
    struct shape shape;      /* logical */
    dnnl_memory_desc_t desc; /* representation of data; plain unless the layer asked otherwise */
    dnnl_memory_desc_t diff_desc;
    float *data;
    float *diff;             /* NULL when no gradient flows here */
};

struct param {
    const struct param_def *def;
    dnnl_memory_desc_t desc; /* plain, or what the weights-gradient kernel writes */
    size_t n_floats;         /* of data and of diff, padding (always 0) included */
    float *data;             /* shared by sharers and by the test net */
    float *diff;
    bool diff_is_empty;      /* diff counts as 0 though its bytes are old */
    bool is_learned;         /* lr_mult is not 0 and a gradient arrives */
    uint64_t version;        /* raised by whoever writes data; kernels keep converted copies by it */
};

/*
 * diff of p to add to: zeroed first when it was empty.  For plain kernels.
 */
float *param_diff_add(struct param *p);

struct layer {
    const struct layer_def *def;
    const struct layer_ops *ops;
    void *state;          /* ops->state_size bytes, zeroed at first */
    int n_bottoms, n_tops, n_params;
    struct view *bottoms, *tops;
    struct param **params;
    const bool *propagate_down; /* def's: a bottom */
    Caffe__Phase phase;
    struct rng *rng;      /* the layer's own */
    int threads;
};

/* Which buffers backward reads; the memory plan may reuse all others. */
enum { NEEDS_BOTTOM_DATA = 1, NEEDS_TOP_DATA = 2 };

struct layer_ops {
    const char *type;
    size_t state_size;
    unsigned backward_needs;
    /*
     * true for element-wise layers with f(0) = 0, one bottom and one top:
     * they run on any representation, padding included.
     */
    bool any_representation;
    enum status (*setup)(struct layer *l, struct error *err);
    enum status (*plan)(struct layer *l, struct planner *p, struct error *err);
    /* Only data layers and those that write files can fail while running. */
    enum status (*forward)(struct layer *l, struct error *err);
    void (*backward)(struct layer *l);
    void (*release)(struct layer *l);
};

const struct layer_ops *layer_ops_find(const char *type); /* NULL: not in this build */

#endif
