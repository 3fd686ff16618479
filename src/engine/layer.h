/*
 * layer.h - what a layer is to the engine: one file, one const struct
 * layer_ops, one row in layers/table.c.
 *
 * A layer sees its blobs as views: a logical shape and pointers to data and
 * gradient, in the representation that the plan chose for this layer.  A
 * layer that says nothing about representations gets plain rows (C order,
 * e.g. NCHW floats); the plan puts the reorders around it.  data and diff
 * point to floats, or to bf16 (bf16.h) where the layer asked for that.
 *
 * Life:  setup (once: read the layer's own settings; shapes and params are
 *              there, pointers are not)
 *        plan  (once, after setup: choose representations, make primitives;
 *              plan.h says what may be asked for)
 *        forward, backward (many times; these allocate nothing)
 *        release
 *
 * Meaning of backward is Caffe's: the bottoms' gradients are overwritten,
 * the parameters' gradients are added to.  backward runs only when the
 * definition says that the layer needs it, and writes the gradient of
 * bottom i only where bottoms[i].diff is not NULL.
 *
 * A blob that a layer changes "in place" is, to the plan, a new value with
 * the same name.  Whether both lie in the same memory is the plan's affair:
 * a layer reads bottoms[i].data and writes tops[i].data, always.  One trace
 * of Caffe remains: where it lets an element-wise layer (in_place below)
 * overwrite its bottom, the layer's backward sees the top as its bottom too,
 * so that BNLL or Power in place have the gradients that Caffe gives them;
 * and in a chain of such layers all see what the last one wrote.
 */
#ifndef ET_LAYER_H
#define ET_LAYER_H

#include <oneapi/dnnl/dnnl.h>

#include "engine/rng.h"
#include "engine/source.h"
#include "netdef/netdef.h"

struct planner; /* plan.h: what plan() may ask for */

struct view {
    struct shape shape;      /* logical */
    dnnl_memory_desc_t desc; /* representation of data; plain unless the layer asked otherwise */
    dnnl_memory_desc_t diff_desc;
    size_t n_floats; /* elements of data, padding included: shape_count when plain */
    float *data;
    float *diff; /* NULL when no gradient flows here */
};

struct param {
    const struct param_def *def;
    dnnl_memory_desc_t desc;  /* of data and diff: plain, or what the weights-gradient kernel writes */
    dnnl_memory_desc_t plain; /* Caffe's order with the same logical axes as desc */
    size_t n_floats;          /* of data and of diff, padding (always 0) included */
    float *data;              /* shared by sharers and by the test net */
    float *diff;              /* NULL in a net made for inference */
    bool diff_is_empty;       /* diff counts as 0 though its bytes are old */
    uint64_t version;         /* raised by whoever writes data; kernels keep converted copies by it */
};

/*
 * diff of p to add to: zeroed first when it was empty.  For plain kernels.
 */
float *param_diff_add(struct param *p);

struct layer {
    const struct layer_def *def;
    const struct layer_ops *ops;
    void *state; /* ops->state_size bytes, zeroed at first */
    int n_bottoms, n_tops, n_params;
    struct view *bottoms, *tops;
    struct param **params;
    const bool *propagate_down; /* def's: a bottom */
    bool *param_propagate_down; /* a parameter: backward runs, and adds to its gradient */
    Caffe__Phase phase;
    struct rng *rng; /* the layer's own */
    int threads;
    bool caller_feeds;  /* net_options': the caller writes MemoryData's tops */
    const char *folder; /* relative file names start here; NULL: current folder.  Lent for the net's life */
    void *scratch;      /* what plan_scratch asked for; any content; shared by all layers */
    void *workspace;    /* what plan_workspace asked for; kept from forward to backward */
};

/*
 * Which buffers backward reads; the memory plan may reuse all others.
 * NEEDS_TOP_BLOB is for layers whose backward reads the top in Caffe: where
 * layers behind overwrote top 0 in place, it sees what the last of them wrote.
 */
enum { NEEDS_BOTTOM_DATA = 1, NEEDS_TOP_DATA = 2, NEEDS_TOP_BLOB = 4 };

struct layer_ops {
    const char *type;
    size_t state_size;
    unsigned backward_needs;
    /*
     * true for element-wise layers with f(0) = 0, one bottom and one top:
     * they run on any representation, padding included (n_floats elements).
     */
    bool any_representation;
    /*
     * true for layers that can work on blobs of bf16.  Together with
     * any_representation or tops_are_bottom: they work on what the bottom is.
     */
    bool bf16;
    /*
     * true for element-wise layers whose top may lie in the memory of the
     * first bottom, and that bottom's gradient in that of the top's.
     * any_representation implies it.
     */
    bool in_place;
    /* true when the first bottom's gradient at least may lie in the memory of the top's. */
    bool gradient_in_place;
    /* Working in place by name, backward still sees the bottom: as Caffe, which keeps a copy of it. */
    bool keeps_bottom;
    /*
     * true when every top has the bytes of the first bottom (Flatten,
     * Reshape, Split): forward may be NULL, nothing is copied.  With one top,
     * the gradient is passed on in the same way and backward may be NULL too.
     */
    bool tops_are_bottom;
    /*
     * true when backward has read every bottom's data before it writes any
     * bottom's gradient, which may then lie in the same place.
     */
    bool reads_bottoms_first;
    enum status (*setup)(struct layer *l, struct error *err);
    enum status (*plan)(struct layer *l, struct planner *p, struct error *err);
    /* Data layers, those that write files, and losses of bad labels can fail while running. */
    enum status (*forward)(struct layer *l, struct error *err);
    void (*backward)(struct layer *l);
    void (*release)(struct layer *l);
    /*
     * Layers that may be, for each channel (axis 1), x * factor + add with
     * what their parameters hold: folds says whether this one is, fold
     * applies it to a change that comes before.  The layer that writes the
     * bottom can then do it (plan_take_changes).  Both NULL: never.
     * learn, for those that may be taken over in training too (plan_take_change),
     * adds to the parameters' gradients: it gets, for each channel, the sum of
     * the top's gradient and the sum of that times the bottom.
     */
    bool (*folds)(const struct layer *l);
    void (*fold)(const struct layer *l, float *factor, float *add);
    void (*learn)(const struct layer *l, const double *sums, const double *products);
    /* Data layers only: where the layer stands, for a snapshot. */
    void (*tell)(struct layer *l, struct source_position *ret_position);
    enum status (*seek)(struct layer *l, const struct source_position *position, struct error *err);
    /* Layers whose next pass starts from values of the last: these values, lent, for a snapshot; NULL: none.
     */
    float *(*carried)(const struct layer *l, size_t *ret_n_floats);
};

const struct layer_ops *layer_ops_find(const char *type); /* NULL: not in this build */

#endif
