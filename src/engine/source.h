/*
 * source.h - where batches come from: LMDB, LevelDB, image lists, HDF5.
 *
 * A source decodes and transforms one batch at a time into plain floats.  It
 * runs in a prefetch thread of its own (feed.c), so the net waits only when
 * the disk cannot keep up.  A source is single-threaded.
 */
#ifndef ET_SOURCE_H
#define ET_SOURCE_H

#include "engine/rng.h"
#include "netdef/netdef.h"

#define SOURCE_MAX_TOPS 8

struct source {
    const struct source_ops *ops;
    int n_tops;
    struct shape tops[SOURCE_MAX_TOPS]; /* of one batch */
};

struct source_options {
    const Caffe__LayerParameter *param;
    Caffe__Phase phase;
    const char *folder; /* relative names start here; NULL: current folder */
    uint64_t seed;
    int threads; /* for decoding, at most */
};

/* Position in the data and the random state, so that a resume reads the same rows. */
#define SOURCE_POSITION_MAX 64
struct source_position {
    uint8_t bytes[SOURCE_POSITION_MAX];
};

struct source_ops {
    const char *type; /* layer type: "Data" */
    enum status (*open)(const struct source_options *options, struct source **ret_source, struct error *err);
    /* Fills tops[i] with shape_count(&source->tops[i]) floats. */
    enum status (*read)(struct source *s, float *const tops[], struct error *err);
    void (*tell)(const struct source *s, struct source_position *ret_position);
    enum status (*seek)(struct source *s, const struct source_position *position, struct error *err);
    void (*close)(struct source *s);
};

const struct source_ops *source_ops_find(const char *type); /* NULL: not a data layer with a source */

/* Only the shapes: opens, looks, closes. */
enum status source_shapes(const struct source_options *options, struct source_shape *ret_shapes,
                          struct error *err);

/* Batches that a data layer reads ahead: data_param's prefetch, for ImageData too, as in Caffe. */
int source_n_ahead(const Caffe__LayerParameter *param);

/*
 * feed - a source read ahead by its own thread; n_ahead batches at most
 * (prefetch, default 4 as in Caffe's data_param).
 */
struct feed;
enum status feed_open(const struct source_options *options, int n_ahead, struct feed **ret_feed,
                      struct error *err);
/* The next batch, lent until the following call: one array a top. */
enum status feed_next(struct feed *f, float *const **ret_tops, struct error *err);
const struct source *feed_source(const struct feed *f);
/* Position of the batch that feed_next will give. */
void feed_tell(struct feed *f, struct source_position *ret_position);
enum status feed_seek(struct feed *f, const struct source_position *position, struct error *err);
void feed_close(struct feed *f);

#endif
