/* HDF5Data: rows of the data sets named like the tops, file after file, round and round. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "engine/data/hdf5_file.h"
#include "engine/data/source_common.h"

#define LIST_MAX_BYTES (16u << 20)
#define NO_FILE        UINT32_MAX

struct hdf5_source {
    struct source base;
    char **names; /* of the tops */
    char *list_path, *list_text, *folder;
    uint32_t n_files;
    char **files;         /* as written in the list; point into list_text */
    uint32_t *file_order; /* in this epoch */
    bool shuffle;
    uint32_t batch;
    struct source_place place; /* seed, epoch, file (in file_order), row (in row_order) */

    /* The file in memory: values[i] (n_rows, ...) of top i. */
    uint32_t loaded; /* index into files, or NO_FILE */
    uint32_t n_rows;
    float *values[SOURCE_MAX_TOPS];
    uint32_t *row_order;
};

static void hdf5_close(struct source *s)
{
    struct hdf5_source *d = (struct hdf5_source *)s;
    for (int i = 0; i < s->n_tops; i++)
        free(d->values[i]);
    for (int i = 0; d->names && i < s->n_tops; i++)
        free(d->names[i]);
    free(d->names);
    free(d->list_path);
    free(d->list_text);
    free(d->folder);
    free(d->files);
    free(d->file_order);
    free(d->row_order);
    free(d);
}

static void hdf5_closep(struct hdf5_source **d)
{
    if (*d)
        hdf5_close(&(*d)->base);
}

/* File names are separated by white space, as Caffe reads them. */
static enum status read_file_list(struct hdf5_source *d, struct error *err)
{
    size_t size;
    TRY(file_read(d->list_path, LIST_MAX_BYTES, &d->list_text, &size, err));
    size_t allocated = 0;
    char *rest = NULL;
    for (char *name = strtok_r(d->list_text, " \t\r\n\v\f", &rest); name;
         name = strtok_r(NULL, " \t\r\n\v\f", &rest)) {
        if (d->n_files == allocated) {
            allocated = allocated ? 2 * allocated : 16;
            d->files = xrealloc(d->files, allocated * sizeof(*d->files));
        }
        d->files[d->n_files++] = name;
    }
    if (!d->n_files)
        return error_set(err, INVALID, "list '%s' names no HDF5 file", d->list_path);
    return OK;
}

/* Shapes of the data sets: rows must agree, and the rest with the tops once these are known. */
static enum status check_shapes(struct hdf5_source *d, hid_t file, const char *path,
                                struct shape ret_shapes[SOURCE_MAX_TOPS], struct error *err)
{
    char want[SHAPE_TEXT_MAX], got[SHAPE_TEXT_MAX];
    for (int i = 0; i < d->base.n_tops; i++) {
        struct shape *shape = &ret_shapes[i];
        TRY(hdf5_dataset_shape(file, path, d->names[i], shape, err));
        if (shape->n_axes < 1 || shape_count(shape) < 1)
            return error_set(err, INVALID, "dataset '%s' of '%s' has no rows", d->names[i], path);
        if (shape->dim[0] != ret_shapes[0].dim[0])
            return error_set(err, INVALID, "'%s' has %d rows of '%s' but %d of '%s'", path,
                             ret_shapes[0].dim[0], d->names[0], shape->dim[0], d->names[i]);
        struct shape batch = *shape;
        batch.dim[0] = (int)d->batch;
        const struct shape *top = &d->base.tops[i];
        if (top->n_axes > 0 && !shape_equal(&batch, top))
            return error_set(err, INVALID,
                             "dataset '%s' of '%s' makes batches of %s; the first file's are %s", d->names[i],
                             path, shape_text(&batch, got), shape_text(top, want));
    }
    return OK;
}

static enum status load_file(struct hdf5_source *d, uint32_t index, struct error *err)
{
    CLEANUP(freep) char *path = source_path(d->folder, d->files[index]);
    CLEANUP(hdf5_file_closep) hid_t file = -1;
    struct shape shapes[SOURCE_MAX_TOPS];
    TRY(hdf5_open(path, &file, err));
    TRY(check_shapes(d, file, path, shapes, err));
    d->loaded = NO_FILE;
    for (int i = 0; i < d->base.n_tops; i++) {
        d->values[i] = xrealloc(d->values[i], (size_t)shape_count(&shapes[i]) * sizeof(float));
        TRY(hdf5_read_floats(file, path, d->names[i], d->values[i], err));
    }
    d->n_rows = (uint32_t)shapes[0].dim[0];
    d->row_order = xrealloc(d->row_order, d->n_rows * sizeof(*d->row_order));
    d->loaded = index;
    return OK;
}

/* Brings the file that place names into memory, in the order of this epoch. */
static enum status make_ready(struct hdf5_source *d, struct error *err)
{
    source_order(d->place.seed, d->place.epoch, 0, d->shuffle, d->n_files, d->file_order);
    uint32_t index = d->file_order[d->place.file];
    if (d->loaded != index)
        TRY(load_file(d, index, err));
    source_order(d->place.seed, d->place.epoch, d->place.file + 1, d->shuffle, d->n_rows, d->row_order);
    return OK;
}

static enum status first_shapes(struct hdf5_source *d, struct error *err)
{
    CLEANUP(freep) char *path = source_path(d->folder, d->files[d->file_order[0]]);
    CLEANUP(hdf5_file_closep) hid_t file = -1;
    struct shape shapes[SOURCE_MAX_TOPS];
    TRY(hdf5_open(path, &file, err));
    TRY(check_shapes(d, file, path, shapes, err));
    for (int i = 0; i < d->base.n_tops; i++)
        if (source_batch_shape(d->batch, shapes[i].n_axes - 1, shapes[i].dim + 1, &d->base.tops[i], err) !=
            OK)
            return error_context(err, "dataset '%s' of '%s'", d->names[i], path);
    return OK;
}

static enum status hdf5_source_open(const struct source_options *options, struct source **ret_source,
                                    struct error *err)
{
    static const Caffe__HDF5DataParameter none = CAFFE__HDF5_DATA_PARAMETER__INIT;
    const Caffe__LayerParameter *layer = options->param;
    const Caffe__HDF5DataParameter *param = layer->hdf5_data_param ? layer->hdf5_data_param : &none;
    if (layer->transform_param)
        return error_set(err, INVALID, "HDF5Data does not transform its data: remove transform_param");
    if (!param->source)
        return error_set(err, INVALID, "hdf5_data_param has no source");
    if (layer->n_top < 1 || layer->n_top > SOURCE_MAX_TOPS)
        return error_set(err, INVALID, "HDF5Data has %zu tops; 1 to %d are possible", layer->n_top,
                         SOURCE_MAX_TOPS);
    CLEANUP(hdf5_closep) struct hdf5_source *d = xcalloc(1, sizeof(*d));
    d->base.ops = &source_hdf5;
    d->base.n_tops = (int)layer->n_top;
    d->names = xcalloc(layer->n_top, sizeof(*d->names));
    for (int i = 0; i < d->base.n_tops; i++)
        d->names[i] = xstrdup(layer->top[i]);
    d->folder = options->folder ? xstrdup(options->folder) : NULL;
    d->batch = param->batch_size;
    d->shuffle = param->shuffle;
    d->place.seed = options->seed;
    d->loaded = NO_FILE;
    d->list_path = source_path(options->folder, param->source);
    TRY(read_file_list(d, err));
    d->file_order = xcalloc(d->n_files, sizeof(*d->file_order));
    source_order(d->place.seed, 0, 0, d->shuffle, d->n_files, d->file_order);
    TRY(first_shapes(d, err));
    *ret_source = &TAKE(d)->base;
    return OK;
}

static enum status advance(struct hdf5_source *d, struct error *err)
{
    if (++d->place.row < d->n_rows)
        return OK;
    d->place.row = 0;
    if (++d->place.file == d->n_files) {
        d->place.file = 0;
        d->place.epoch++;
    }
    return make_ready(d, err);
}

static enum status hdf5_read(struct source *s, float *const tops[], struct error *err)
{
    struct hdf5_source *d = (struct hdf5_source *)s;
    if (d->loaded == NO_FILE)
        TRY(make_ready(d, err));
    for (uint32_t i = 0; i < d->batch; i++) {
        size_t row = d->row_order[d->place.row];
        for (int t = 0; t < s->n_tops; t++) {
            size_t size = (size_t)shape_count_range(&s->tops[t], 1, s->tops[t].n_axes);
            memcpy(tops[t] + i * size, d->values[t] + row * size, size * sizeof(float));
        }
        TRY(advance(d, err));
    }
    return OK;
}

static void hdf5_tell(const struct source *s, struct source_position *ret_position)
{
    source_place_save(&((const struct hdf5_source *)s)->place, ret_position);
}

static enum status hdf5_seek(struct source *s, const struct source_position *position, struct error *err)
{
    struct hdf5_source *d = (struct hdf5_source *)s;
    struct source_place place = source_place_load(position), before = d->place;
    if (place.file >= d->n_files)
        return error_set(err, INVALID, "list '%s' names %u files; the position is file %llu", d->list_path,
                         d->n_files, (unsigned long long)place.file);
    d->place = place;
    enum status status = make_ready(d, err);
    if (status == OK && place.row >= d->n_rows)
        status = error_set(err, INVALID, "file '%s' has %u rows; the position is row %llu",
                           d->files[d->loaded], d->n_rows, (unsigned long long)place.row);
    if (status != OK) {
        d->place = before;
        d->loaded = NO_FILE;
    }
    return status;
}

const struct source_ops source_hdf5 = {
    .type = "HDF5Data",
    .open = hdf5_source_open,
    .read = hdf5_read,
    .tell = hdf5_tell,
    .seek = hdf5_seek,
    .close = hdf5_close,
};
