/* Data: Caffe's Datum records from LMDB or LevelDB, in key order, round and round. */
#include <limits.h>
#include <stdlib.h>

#include "base/file.h"
#include "engine/data/datum.h"
#include "engine/data/db.h"
#include "engine/data/source_common.h"

struct data_source {
    struct source base;
    struct db *db;
    struct transform *transform;
    uint32_t batch;
    struct rng rng;
    uint64_t row; /* of the record that is read next, from 0 */
};

static void data_close(struct source *s)
{
    struct data_source *d = (struct data_source *)s;
    db_close(d->db);
    transform_free(d->transform);
    free(d);
}

static void data_closep(struct data_source **d)
{
    if (*d)
        data_close(&(*d)->base);
}

/*
 * The record under the cursor.  out (C,Ho,Wo) NULL: only its shape is asked for;
 * else its shape must be that of the first record.
 */
static enum status read_record(struct data_source *d, float *out, float *label, struct shape *ret_shape,
                               struct error *err)
{
    const void *bytes;
    size_t size;
    db_record(d->db, &bytes, &size);
    CLEANUP(datum_release) struct datum datum = {0};
    TRY(datum_read(bytes, size, transform_color(d->transform), &datum, err));
    struct shape shape;
    TRY(transform_shape(d->transform, &datum.sample, d->batch, &shape, err));
    if (!out) {
        *ret_shape = shape;
        return OK;
    }
    const struct shape *first = &d->base.tops[0];
    if (!shape_equal(&shape, first))
        return error_set(
            err, INVALID, "it is %d x %d x %d (channels, height, width), the first was %d x %d x %d",
            shape.dim[1], shape.dim[2], shape.dim[3], first->dim[1], first->dim[2], first->dim[3]);
    transform_apply(d->transform, &datum.sample, &d->rng, out);
    if (label)
        *label = (float)datum.label;
    return OK;
}

static enum status record_context(const struct data_source *d, struct error *err)
{
    return error_context(err, "record %llu of '%s'", (unsigned long long)d->row, db_path(d->db));
}

static enum status data_open(const struct source_options *options, struct source **ret_source,
                             struct error *err)
{
    static const Caffe__DataParameter none = CAFFE__DATA_PARAMETER__INIT;
    const Caffe__LayerParameter *layer = options->param;
    const Caffe__DataParameter *param = layer->data_param ? layer->data_param : &none;
    if (!param->source)
        return error_set(err, INVALID, "data_param has no source");
    CLEANUP(data_closep) struct data_source *d = xcalloc(1, sizeof(*d));
    d->base.ops = &source_data;
    d->base.n_tops = layer->n_top > 1 ? 2 : 1;
    d->batch = param->batch_size;
    rng_seed(&d->rng, options->seed);
    CLEANUP(freep) char *path = source_path(options->folder, param->source);
    TRY(transform_create(layer->transform_param, options->phase, options->folder, &d->transform, err));
    enum db_backend backend = param->backend == CAFFE__DATA_PARAMETER__DB__LMDB ? DB_LMDB : DB_LEVELDB;
    TRY(db_open(backend, path, &d->db, err));
    if (read_record(d, NULL, NULL, &d->base.tops[0], err) != OK)
        return record_context(d, err);
    d->base.tops[1] = (struct shape){.n_axes = 1, .dim = {(int)d->batch}};
    *ret_source = &TAKE(d)->base;
    return OK;
}

static enum status advance(struct data_source *d, struct error *err)
{
    TRY(db_next(d->db, err));
    d->row++;
    if (!db_at_end(d->db))
        return OK;
    d->row = 0;
    return db_rewind(d->db, err);
}

static enum status data_read(struct source *s, float *const tops[], struct error *err)
{
    struct data_source *d = (struct data_source *)s;
    int64_t size = shape_count_range(&s->tops[0], 1, s->tops[0].n_axes);
    for (uint32_t i = 0; i < d->batch; i++) {
        if (read_record(d, tops[0] + i * size, s->n_tops > 1 ? tops[1] + i : NULL, NULL, err) != OK)
            return record_context(d, err);
        TRY(advance(d, err));
    }
    return OK;
}

static void data_tell(const struct source *s, struct source_position *ret_position)
{
    const struct data_source *d = (const struct data_source *)s;
    source_place_save(&(struct source_place){.row = d->row, .rng = d->rng}, ret_position);
}

static enum status data_seek(struct source *s, const struct source_position *position, struct error *err)
{
    struct data_source *d = (struct data_source *)s;
    struct source_place place = source_place_load(position);
    TRY(db_rewind(d->db, err));
    for (d->row = 0; d->row < place.row; d->row++) {
        TRY(db_next(d->db, err));
        if (db_at_end(d->db))
            return error_set(err, INVALID, "'%s' has %llu records; the position is record %llu",
                             db_path(d->db), (unsigned long long)d->row + 1, (unsigned long long)place.row);
    }
    d->rng = place.rng;
    return OK;
}

const struct source_ops source_data = {
    .type = "Data",
    .open = data_open,
    .read = data_read,
    .tell = data_tell,
    .seek = data_seek,
    .close = data_close,
};
