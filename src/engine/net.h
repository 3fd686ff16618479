/*
 * net.h - a net that runs.
 *
 *   struct netdef --net_create (plan, allocate, fill)--> struct net
 *   net_forward, net_backward: allocate nothing, parse nothing.
 *
 * Not safe for use from two threads at once; several nets may run in
 * several threads.
 */
#ifndef ET_NET_H
#define ET_NET_H

#include "engine/layer.h"
#include "engine/precision.h"

struct net;

struct net_options {
    int threads; /* 0: all processors */
    enum precision precision;
    uint64_t seed;
    const char *folder; /* relative file names of data layers start here; NULL: current folder */
    struct net *share;  /* parameters are those of this net where layer names agree (test nets) */
    bool inference;     /* no backward will be asked for: no gradients, and memory is reused freely */
    bool feeds_memory;  /* the caller writes the tops of MemoryData layers (net_blob_write); else refused */
    bool keep_blobs;    /* every blob and gradient stays readable: no memory is reused */
    bool debug_info;    /* net_set_debug_info may come: each layer's values are its own, none are joined */
    /*
     * Plans, to ask for net_memory and nothing else: no data is opened (the
     * state's sources are all that is known of it), no file made, no memory
     * for blobs and parameters taken.
     */
    bool plan_only;
};

/*
 * Opens data layers, plans, allocates and fills the parameters by their
 * fillers.  net keeps its own copy of what it needs of `param`.  Sets the
 * calling thread's number of OpenMP threads, as net_forward and net_backward
 * do: kernels are made for that number.
 * Errors: INVALID "layer 'x': ...", NOT_FOUND for a missing data file,
 * UNSUPPORTED for a precision that this machine cannot compute in.
 */
enum status net_create(const Caffe__NetParameter *param, const struct netdef_options *state,
                       const struct net_options *options, struct net **ret_net, struct error *err);
void net_free(struct net *net);
void net_freep(struct net **net);

const struct netdef *net_def(const struct net *net);

/* ret_loss (may be NULL): sum over tops of loss_weight x their elements. */
enum status net_forward(struct net *net, double *ret_loss, struct error *err);
void net_backward(struct net *net);
void net_clear_diffs(struct net *net); /* of the parameters */
/* From now on each pass says what every layer did (net_debug.h).  For nets made with debug_info. */
void net_set_debug_info(struct net *net, bool on);

/*
 * After a forward pass whose loss is not finite: the first layer whose
 * parameters or, computed once more from the same batch, whose tops are not
 * finite.  Chance (Dropout) may fall differently.  -1: none found, so it was
 * chance.  *ret_is_parameter says which of the two.
 */
int net_find_not_finite(struct net *net, bool *ret_is_parameter);

/*
 * What the net spends its time on: told after each step, on the thread that
 * runs the net.  Times are monotonic, in nanoseconds.
 */
enum net_step { NET_FORWARD, NET_BACKWARD, NET_REORDER_FORWARD, NET_REORDER_BACKWARD };
struct net_watch {
    void (*step)(void *context, enum net_step step, int layer, int64_t begin_ns, int64_t end_ns);
    void *context;
};
void net_set_watch(struct net *net, struct net_watch watch); /* step NULL: none, which costs nothing */

/* One layer alone with the reorders before it, for `et time`. */
enum status net_forward_layer(struct net *net, int layer, struct error *err);
void net_backward_layer(struct net *net, int layer);

/* Parameters; only owners are returned by net_learnable (each once, in definition order). */
int net_n_params(const struct net *net);
struct param *net_param(struct net *net, int index); /* index of netdef's params */

/* Values in plain order: n = shape_count.  `values` may be data, diff or a history array of p's n_floats. */
void param_export(const struct param *p, const float *values, float *ret_plain);
void param_import(const struct param *p, const float *plain, float *ret_values);

/* A blob's shape after a forward pass: behind a Filter it may be less than the definition's. */
void net_blob_shape(const struct net *net, int blob, struct shape *ret_shape);

/*
 * Blob values in plain order after a forward pass; copies shape_count
 * floats of the definition, 0 beyond net_blob_shape.  For the net's outputs, blobs of layers without bottoms,
 * and with keep_blobs all.
 */
void net_blob_read(struct net *net, int blob, float *ret_plain);
/* The gradient of a blob after a backward pass, with keep_blobs.  false when none flows there. */
bool net_blob_diff_read(struct net *net, int blob, float *ret_plain);
/* Writes an input blob (Input or MemoryData layer) before a forward pass. */
void net_blob_write(struct net *net, int blob, const float *plain);

/*
 * Where data layers stand and what the random generators hold, to resume with
 * the same bits.  The caller frees.
 */
enum status net_save_position(struct net *net, char **ret_bytes, size_t *ret_size, struct error *err);
enum status net_load_position(struct net *net, const char *bytes, size_t size, struct error *err);

/*
 * Copies weights by layer name from a caffemodel or an HDF5 file, as Caffe's
 * CopyTrainedLayersFrom: unknown source layers are ignored (told through
 * log), a shape that differs is INVALID with both shapes.
 */
enum status net_load_weights(struct net *net, const char *path, struct error *err);
/* Writes PREFIX-named weights; binary caffemodel or Caffe's HDF5 form. */
enum status net_save_weights(struct net *net, const char *path, bool with_diff, struct error *err);
enum status net_save_weights_hdf5(struct net *net, const char *path, bool with_diff, struct error *err);

/*
 * Bytes for activations and their gradients, parameters with their
 * gradients, scratch, batches that data layers read ahead, and what is
 * reserved but touched only when a step adds up several gradients; and the
 * number of layers, each of which has some of its own.  Behind a Filter
 * layers are planned once for each number of items that passes: those are
 * counted which are there, or, of a net that is planned only, as many as
 * there can be.
 */
struct net_memory {
    int64_t blobs, params, scratch, ahead, spare, n_layers;
};
struct net_memory net_memory(const struct net *net);

#endif
