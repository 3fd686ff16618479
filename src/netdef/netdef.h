/*
 * netdef.h - a net, understood: text or binary in, immutable definition out.
 *
 *   prototxt / caffemodel --read--> Caffe__NetParameter --netdef_create--> struct netdef
 *
 * The messages of caffe.proto are protobuf-c structs (caffe.pb-c.h).  Reading
 * upgrades every legacy form (V0, V1, old data transforms, input fields,
 * BatchNorm params) first, so that nobody downstream knows of them.
 * netdef_create() then filters layers by state, inserts splits, shares
 * parameters by name, propagates loss weights and the need for gradients,
 * infers every shape, and counts memory and operations.  It allocates no
 * blob and knows nothing of how a net is run.
 */
#ifndef ET_NETDEF_H
#define ET_NETDEF_H

#include "base/buf.h"
#include "base/json.h"
#include "base/problems.h"
#include "netdef/caffe.pb-c.h"

/* ---- shapes ---- */

#define SHAPE_MAX_AXES 32 /* Caffe's kMaxBlobAxes */

/* n_axes 0 is a scalar (count 1); n_axes -1 is a shape that is not known yet. */
struct shape {
    int n_axes;
    int dim[SHAPE_MAX_AXES];
};

bool shape_is_known(const struct shape *s);
int64_t shape_count(const struct shape *s);                         /* product of all axes */
int64_t shape_count_range(const struct shape *s, int from, int to); /* axes [from, to) */
bool shape_equal(const struct shape *a, const struct shape *b);
/* Axis with Caffe's negative counting (-1 is the last); -1 when out of range. */
int shape_axis(const struct shape *s, int axis);
/* "64 1 28 28 (50176)", as Caffe's log writes it.  Returns out. */
#define SHAPE_TEXT_MAX 400
const char *shape_text(const struct shape *s, char out[SHAPE_TEXT_MAX]);

/* ---- reading and writing ---- */

/*
 * Text format, at most 64 MiB.  `name` begins the messages as it is: "file
 * 'net.prototxt'" gives "file 'net.prototxt' line 7, column 5: unknown field
 * 'botom' in LayerParameter; did you mean 'bottom'?".
 * Errors: INVALID with line and column (none for what an upgrade refuses); an
 * unknown field or enum value names the nearest known one; TOO_LARGE.  The
 * result is upgraded; free it with caffe__net_parameter__free_unpacked(p, NULL).
 */
enum status net_read_text(const char *text, size_t size, const char *name, Caffe__NetParameter **ret_net,
                          struct error *err);
enum status solver_read_text(const char *text, size_t size, const char *name,
                             Caffe__SolverParameter **ret_solver, struct error *err);

/* The same from a file (at most 64 MiB). */
enum status net_read_file(const char *path, Caffe__NetParameter **ret_net, struct error *err);
enum status solver_read_file(const char *path, Caffe__SolverParameter **ret_solver, struct error *err);

/*
 * The same, going on after unknown fields and values that do not fit, which
 * are left out and noted.  Fails only where nothing can be made of the rest.
 */
enum status net_read_file_noting(const char *path, struct problems *problems, Caffe__NetParameter **ret_net,
                                 struct error *err);
enum status solver_read_file_noting(const char *path, struct problems *problems,
                                    Caffe__SolverParameter **ret_solver, struct error *err);

/*
 * Binary caffemodel (at most 2 GiB), upgraded; layers carry their blobs.
 * Repeated floats may be packed or not; double_data and legacy
 * num/channels/height/width are kept as they are for the reader of blobs.
 */
enum status net_read_binary(const void *bytes, size_t size, Caffe__NetParameter **ret_net, struct error *err);
/* One layer of it, not upgraded. */
enum status layer_read_binary(const void *bytes, size_t size, Caffe__LayerParameter **ret_layer,
                              struct error *err);

/* Any message of caffe.proto as text format; fields in the order of their numbers. */
void message_print_text(const ProtobufCMessage *message, struct buf *out);
/* Any message of caffe.proto from text; not upgraded. */
enum status message_read_text(const ProtobufCMessageDescriptor *type, const char *text, size_t size,
                              const char *name, ProtobufCMessage **ret_message, struct error *err);
enum status message_read_text_noting(const ProtobufCMessageDescriptor *type, const char *text, size_t size,
                                     const char *name, struct problems *problems,
                                     ProtobufCMessage **ret_message, struct error *err);

/*
 * Sets fields of a solver: {"base_lr": 0.1, "stepvalue": [100, 200],
 * "lr_policy": "step"}; a repeated field is replaced.
 * Errors: INVALID, with the nearest known name for an unknown one; the
 * solver may then be half changed.
 */
enum status solver_vary(Caffe__SolverParameter *solver, const json_t *values, struct error *err);

/* Shape of a BlobProto: the legacy four when any is there, else its shape (none: a scalar).
 * Unknown when a dimension is negative or too large. */
void blob_proto_shape(const Caffe__BlobProto *blob, struct shape *ret_shape);

/* ---- the definition ---- */

/* Everything a layer type is, short of running it: one row of the table in layer_types.c. */
struct layer_type {
    const char *name;             /* "Convolution" */
    int min_bottoms, max_bottoms; /* max -1: any number */
    int min_tops, max_tops;
    bool is_data; /* its top shapes come from outside (Data, ImageData, HDF5Data...) */
    bool is_loss; /* first top has loss_weight 1 unless said otherwise */
    /* ... further members are netdef's own: see layer_types.h */
};

struct blob_def {
    const char *name; /* "(automatic)" for the top that a loss has without one in the text */
    struct shape shape;
    int producer;    /* index of the first layer that writes it */
    bool needs_diff; /* some layer that runs backward propagates a gradient into it */
};

struct param_def {
    const char *name; /* "" when unnamed (not shared) */
    int layer, index; /* the index-th parameter of that layer */
    struct shape shape;
    int owner;                  /* index of the param that holds the values; its own when it does */
    double lr_mult, decay_mult; /* of the owner, after every sharer had its say */
    bool propagate_down; /* the layer adds to its gradient: its text's lr_mult is not 0, or force_backward */
    const Caffe__FillerParameter *filler; /* never NULL; lent by the definition */
};

struct layer_def {
    const char *name;
    const struct layer_type *type;
    const Caffe__LayerParameter *param; /* upgraded, lent by the definition */
    Caffe__Phase phase;
    int n_bottoms;
    const int *bottoms;         /* indices into blobs; an in-place top has the index of its bottom */
    const bool *propagate_down; /* a bottom: is its gradient wanted */
    int n_tops;
    const int *tops;
    const float *loss_weights; /* a top */
    int n_params;
    const int *params; /* indices into params */
    bool needs_backward;
    int64_t operations; /* multiply-adds of one forward pass x 2; 0 when not known */
};

struct netdef {
    const char *name;
    Caffe__Phase phase;
    int n_layers;
    const struct layer_def *layers; /* in order of execution, splits inserted */
    int n_blobs;
    const struct blob_def *blobs;
    int n_params;
    const struct param_def *params;
    int n_outputs;
    const int *outputs; /* blobs nobody consumes, by name as Caffe prints them */
    bool force_backward;
    /* f32: owned parameters without history; each blob's data once, those of Split layers not at all */
    int64_t parameter_bytes, activation_bytes;
    const Caffe__NetParameter *param; /* filtered and split, as a snapshot writes it (without blobs) */
    struct arena *arena;              /* netdef's own */
};

/* What a data layer delivers: the caller opened the source and knows. */
struct source_shape {
    const char *layer; /* name of the data layer */
    int n_tops;
    struct shape tops[8];
};

/*
 * The state of the net.  Phase and level are the caller's to decide, from the
 * net's own `state` and the solver's; the net's own stages count beside these.
 */
struct netdef_options {
    Caffe__Phase phase;
    int level;
    int n_stages;
    const char *const *stages;
    int n_sources;
    const struct source_shape *sources; /* what is not listed stays unknown, and so does what depends on it */
    /*
     * NULL: the first mistake ends netdef_create.  Else mistakes are noted
     * here and OK comes with a definition to look at: what a wrong layer
     * makes is of unknown shape, an unknown type has the name "".  It may be
     * run only when none was noted.
     */
    struct problems *problems;
};

/*
 * Errors: INVALID, "layer 'conv1': ..." with names, shapes and what would be
 * right; TOO_LARGE for a blob past 2^31 - 1 elements; UNSUPPORTED for Python
 * layers.  net is upgraded (net_read_*), and copied: the caller keeps his.
 */
enum status netdef_create(const Caffe__NetParameter *net, const struct netdef_options *options,
                          struct netdef **ret_def, struct error *err);
void netdef_free(struct netdef *def);
void netdef_freep(struct netdef **def);

/*
 * Some layers of a definition as one of their own, for blobs of other shapes
 * than the whole has: layer 0 delivers the inputs, layer i + 1 is layers[i].
 * Which gradients are wanted stays as it is in the whole.
 */
struct netdef_part {
    int n_layers;
    const int *layers; /* indices, ascending */
    int n_inputs;
    const int *inputs;          /* the blobs that these layers read and do not make */
    const struct shape *shapes; /* an input */
};
enum status netdef_part(const struct netdef *def, const struct netdef_part *part, struct netdef **ret_def,
                        struct error *err);

/* Index of the first layer or blob of that name, or -1. */
int netdef_find_layer(const struct netdef *def, const char *name);
int netdef_find_blob(const struct netdef *def, const char *name);

/*
 * Names of the data layers that the state of options keeps, as indices into
 * net->layer; the engine opens these to learn their shapes.
 */
enum status netdef_data_layers(const Caffe__NetParameter *net, const struct netdef_options *options,
                               int **ret_layers, int *ret_n, struct error *err);

#endif
