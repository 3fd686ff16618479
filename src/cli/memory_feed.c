#include "cli/memory_feed.h"

#include <stdlib.h>
#include <string.h>

#include "engine/data/image_list.h"
#include "engine/data/transform.h"

struct memory_feed {
    struct net *net;
    const struct layer_def *layer;
    struct image_list list;
    uint32_t at;
    struct transform *transform;
    struct rng rng;
    float *images, *labels;
};

void memory_feed_freep(struct memory_feed **f)
{
    if (!*f)
        return;
    image_list_release(&(*f)->list);
    transform_free((*f)->transform);
    free((*f)->images);
    free((*f)->labels);
    free(*f);
    *f = NULL;
}

static const struct shape *top_shape(const struct memory_feed *f)
{
    return &net_def(f->net)->blobs[f->layer->tops[0]].shape;
}

static enum status find_layer(struct memory_feed *f, struct error *err)
{
    const struct netdef *def = net_def(f->net);
    for (int i = 0; i < def->n_layers && !f->layer; i++)
        if (!strcmp(def->layers[i].type->name, "MemoryData"))
            f->layer = &def->layers[i];
    return f->layer ? OK : error_set(err, INVALID, "the net has no MemoryData layer to put images into");
}

enum status memory_feed_new(struct net *net, const char *list, struct memory_feed **ret_feed,
                            struct error *err)
{
    CLEANUP(memory_feed_freep) struct memory_feed *f = xcalloc(1, sizeof(*f));
    f->net = net;
    TRY(find_layer(f, err));
    TRY(image_list_read(list, &f->list, err));
    TRY(transform_create(f->layer->param->transform_param, CAFFE__PHASE__TEST, NULL, &f->transform, err));
    rng_seed(&f->rng, 1);
    f->images = xcalloc((size_t)shape_count(top_shape(f)), sizeof(float));
    f->labels = xcalloc((size_t)top_shape(f)->dim[0], sizeof(float));
    *ret_feed = TAKE(f);
    return OK;
}

/* The image of an entry as the layer wants it before its transform. */
static enum status load(const struct memory_feed *f, const char *path, struct image *ret_image,
                        struct error *err)
{
    const struct shape *want = top_shape(f);
    const Caffe__TransformationParameter *param = f->layer->param->transform_param;
    CLEANUP(image_release) struct image image = {0};
    TRY(image_load(path, want->dim[1] == 1 ? IMAGE_GREY : IMAGE_COLOR, &image, err));
    if (param && param->crop_size) {
        *ret_image = image;
        image = (struct image){0};
    } else {
        image_resize(&image, want->dim[2], want->dim[3], ret_image);
    }
    return OK;
}

static enum status put(struct memory_feed *f, const struct image_entry *entry, int index, struct error *err)
{
    const struct shape *want = top_shape(f);
    struct shape is;
    char have_text[SHAPE_TEXT_MAX], want_text[SHAPE_TEXT_MAX];
    CLEANUP(image_release) struct image image = {0};
    TRY(load(f, entry->path, &image, err));
    struct sample sample = image_sample(&image);
    TRY(transform_shape(f->transform, &sample, (uint32_t)want->dim[0], &is, err));
    if (!shape_equal(&is, want))
        return error_set(err, INVALID, "a batch of such images is %s, the layer wants %s",
                         shape_text(&is, have_text), shape_text(want, want_text));
    transform_apply(f->transform, &sample, &f->rng, f->images + index * (shape_count(want) / want->dim[0]));
    f->labels[index] = (float)entry->label;
    return OK;
}

enum status memory_feed_next(struct memory_feed *f, struct error *err)
{
    for (int i = 0; i < top_shape(f)->dim[0]; i++, f->at++) {
        const struct image_entry *entry = &f->list.entries[f->at % f->list.n];
        if (put(f, entry, i, err) != OK)
            return error_context(err, "layer '%s': image '%s'", f->layer->name, entry->path);
    }
    f->at %= f->list.n;
    net_blob_write(f->net, f->layer->tops[0], f->images);
    if (f->layer->n_tops > 1)
        net_blob_write(f->net, f->layer->tops[1], f->labels);
    return OK;
}
