/*
 * hdf5_output.c - writes its two bottoms as datasets "data" and "label" of 4
 * axes.  The file is made at setup and holds one batch: Caffe, too, ends at
 * the second forward pass, because the datasets exist.
 */
#include <stdlib.h>

#include "engine/data/hdf5_file.h"
#include "engine/data/source_common.h"
#include "engine/layer.h"

struct hdf5_output {
    char *path;
    bool is_open; /* until the one batch is written */
    hid_t file;
    struct shape shapes[2]; /* of the bottoms, filled up to 4 axes with 1 */
};

static enum status output_setup(struct layer *l, struct error *err)
{
    struct hdf5_output *s = l->state;
    const Caffe__HDF5OutputParameter *param = l->def->param->hdf5_output_param;
    if (!param || !param->file_name)
        return error_set(err, INVALID, "hdf5_output_param has no file_name");
    for (int i = 0; i < 2; i++) {
        struct shape *shape = &s->shapes[i];
        *shape = l->bottoms[i].shape;
        char text[SHAPE_TEXT_MAX];
        if (shape->n_axes > 4)
            return error_set(err, INVALID, "bottom %d has shape %s; at most 4 axes can be written", i,
                             shape_text(shape, text));
        while (shape->n_axes < 4)
            shape->dim[shape->n_axes++] = 1;
    }
    if (s->shapes[0].dim[0] != s->shapes[1].dim[0])
        return error_set(err, INVALID, "%d rows of data but %d of labels", s->shapes[0].dim[0],
                         s->shapes[1].dim[0]);
    s->path = source_path(l->folder, param->file_name);
    TRY(hdf5_create(s->path, &s->file, err));
    s->is_open = true;
    return OK;
}

static enum status output_forward(struct layer *l, struct error *err)
{
    static const char *const names[2] = {"data", "label"};
    struct hdf5_output *s = l->state;
    if (!s->is_open)
        return error_set(err, INVALID, "'%s' holds one batch, and that is written: run one iteration only",
                         s->path);
    for (int i = 0; i < 2; i++)
        TRY(hdf5_write_floats(s->file, s->path, names[i], &s->shapes[i], l->bottoms[i].data, err));
    s->is_open = false;
    return hdf5_finish(&s->file, s->path, err);
}

static void output_release(struct layer *l)
{
    struct hdf5_output *s = l->state;
    if (s->is_open)
        hdf5_file_closep(&s->file);
    free(s->path);
}

const struct layer_ops layer_hdf5_output = {
    .type = "HDF5Output",
    .state_size = sizeof(struct hdf5_output),
    .setup = output_setup,
    .forward = output_forward,
    .release = output_release,
};
