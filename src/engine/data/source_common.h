/* source_common.h - what the sources of this folder share; nobody else includes this. */
#ifndef ET_SOURCE_COMMON_H
#define ET_SOURCE_COMMON_H

#include "engine/source.h"

extern const struct source_ops source_data, source_image, source_hdf5, source_window;

/* name when it is absolute or folder is NULL, else below folder.  The caller frees. */
char *source_path(const char *folder, const char *name);

/*
 * (batch, dims...), Caffe's limit of INT_MAX elements checked.
 * Errors: INVALID without a batch size or with an empty axis; TOO_LARGE.
 */
enum status source_batch_shape(uint32_t batch, int n_dims, const int *dims, struct shape *ret_shape,
                               struct error *err);

/*
 * Fills order with 0..n-1, shuffled by (seed, epoch, part) alone: a resume
 * makes the same order again without knowing the earlier ones.
 */
void source_order(uint64_t seed, uint64_t epoch, uint64_t part, bool shuffle, uint32_t n, uint32_t *order);

/* Where a source stands, as it goes into struct source_position. */
struct source_place {
    uint64_t seed;
    uint64_t epoch;
    uint64_t file, row;
    struct rng rng; /* of crop and mirror */
};

void source_place_save(const struct source_place *place, struct source_position *ret_position);
struct source_place source_place_load(const struct source_position *position);

#endif
