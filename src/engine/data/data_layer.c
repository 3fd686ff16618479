/*
 * data_layer.c - Data, ImageData, HDF5Data and WindowData: the tops are filled
 * from a feed.  What differs between them is their source.
 */
#include <string.h>

#include "engine/layer.h"

struct data_layer {
    struct feed *feed;
};

static enum status data_setup(struct layer *l, struct error *err)
{
    struct data_layer *s = l->state;
    const Caffe__LayerParameter *param = l->def->param;
    struct source_options options = {
        .param = param,
        .phase = l->phase,
        .folder = l->folder,
        .seed = rng_next(l->rng),
        .threads = l->threads,
    };
    TRY(feed_open(&options, source_n_ahead(param), &s->feed, err));
    const struct source *source = feed_source(s->feed);
    if (l->n_tops != source->n_tops)
        return error_set(err, INVALID, "the data makes %d tops, the layer has %d", source->n_tops, l->n_tops);
    for (int i = 0; i < l->n_tops; i++) {
        char made[SHAPE_TEXT_MAX], wanted[SHAPE_TEXT_MAX];
        if (!shape_equal(&source->tops[i], &l->tops[i].shape))
            return error_set(err, INVALID, "the data makes top %d of shape %s; %s was announced", i,
                             shape_text(&source->tops[i], made), shape_text(&l->tops[i].shape, wanted));
    }
    return OK;
}

static enum status data_forward(struct layer *l, struct error *err)
{
    struct data_layer *s = l->state;
    float *const *batch;
    TRY(feed_next(s->feed, &batch, err));
    for (int i = 0; i < l->n_tops; i++)
        memcpy(l->tops[i].data, batch[i], l->tops[i].n_floats * sizeof(float));
    return OK;
}

static void data_release(struct layer *l)
{
    feed_close(((struct data_layer *)l->state)->feed);
}

static void data_tell(struct layer *l, struct source_position *ret_position)
{
    feed_tell(((struct data_layer *)l->state)->feed, ret_position);
}

static enum status data_seek(struct layer *l, const struct source_position *position, struct error *err)
{
    return feed_seek(((struct data_layer *)l->state)->feed, position, err);
}

#define DATA_LAYER(name)                                                                                     \
    {                                                                                                        \
        .type = name, .state_size = sizeof(struct data_layer), .setup = data_setup, .forward = data_forward, \
        .release = data_release, .tell = data_tell, .seek = data_seek,                                       \
    }

const struct layer_ops layer_data = DATA_LAYER("Data");
const struct layer_ops layer_image_data = DATA_LAYER("ImageData");
const struct layer_ops layer_hdf5_data = DATA_LAYER("HDF5Data");
const struct layer_ops layer_window_data = DATA_LAYER("WindowData");
