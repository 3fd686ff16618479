/*
 * specification.h - what a user's prototxt becomes before it is trained or
 * classified with.
 *
 * A solver and its net are rewritten so that they run in the folder that the
 * worker makes, whatever their author's folders were: the data layers read
 * what the dataset delivers there, nothing else is opened, and the result has
 * the name that the worker expects.
 */
#ifndef ET_SPECIFICATION_H
#define ET_SPECIFICATION_H

#include "netdef/netdef.h"

/* Names of the blobs that hold them, and of the files in the job's folder. */
#define SOLVER_PROTOTXT     "solver.prototxt"
#define SOLVER_NET_PROTOTXT "solver-net.prototxt"
#define CLASSIFIER_PROTOTXT "classifier.prototxt"

/* ElasticThought's numbers for the data layer of a net: V1LayerParameter's enum. */
enum { LAYER_TYPE_DATA = 5, LAYER_TYPE_IMAGE_DATA = 12 };

/* "DATA", "IMAGE_DATA", or "" for any other number. */
const char *layer_type_name(int layer_type);

struct specification {
    char *solver, *net; /* rewritten prototxt */
    int layer_type;     /* LAYER_TYPE_* */
    int max_iter;
    bool gpu;             /* solver_mode: GPU was written in the solver */
    int64_t memory_bytes; /* at least, to train; counts only what has a known shape */
};
void specification_release(struct specification *s);

/* Bytes that a user sent, and what to call them in messages: "specification-url". */
struct specification_text {
    const char *bytes, *name;
    size_t size;
};

/*
 * Checks solver and net together, and rewrites them.
 *
 * The solver: net "solver-net.prototxt", snapshot_prefix "snapshot", the last
 * snapshot always written as binaryproto; all that names another net or other
 * weights goes.  The net: ImageData reads "training.txt" or "testing.txt",
 * Data "training-data" or "test-data", each by its phase; a data layer of
 * both phases becomes two.
 *
 * `image` is the shape (channels, height, width) of the dataset's images;
 * unknown while it is still being made.  Shapes that depend on it are
 * checked only when it is known.
 *
 * Errors: INVALID: no prototxt (line, column), a layer that does not fit, no
 * data layer for training, a path that leads out of the folder.
 */
enum status specification_read(const struct specification_text *solver, const struct specification_text *net,
                               const struct shape *image, struct specification *ret_specification,
                               struct error *err);

/*
 * Can a rewritten solver run with other values of some fields?  ret_max_iter: its then.
 * Errors: INVALID: no such field (with the nearest), a wrong value, or a field that
 * names nets, weights or files.
 */
enum status specification_vary(const struct specification_text *solver, const json_t *values,
                               int *ret_max_iter, struct error *err);

struct classifier_specification {
    bool color;
    int width, height;
};

/*
 * Checks the net of a classifier: it runs in phase TEST and its one input
 * takes images of the given size, in one channel or three.
 * Errors: INVALID, saying what it takes instead.
 */
enum status classifier_specification_check(const struct specification_text *net,
                                           const struct classifier_specification *classifier,
                                           struct error *err);

#endif
