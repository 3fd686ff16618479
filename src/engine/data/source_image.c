/* ImageData: image files named by a list, decoded and resized as they are read. */
#include <limits.h>
#include <stdlib.h>

#include "base/file.h"
#include "engine/data/image_list.h"
#include "engine/data/source_common.h"
#include "engine/data/transform.h"

struct image_source {
    struct source base;
    char *list_path;
    char *root;   /* root_folder: stands before each path as it is, without a slash of ours */
    char *folder; /* may be NULL */
    struct image_list list;
    uint32_t *order; /* of the list's entries in this epoch */
    struct transform *transform;
    enum image_color color;
    int new_height, new_width; /* 0: as in the file */
    bool shuffle;
    uint32_t batch;
    struct source_place place; /* epoch, row in order, seed, rng */
};

static void image_close(struct source *s)
{
    struct image_source *d = (struct image_source *)s;
    free(d->list_path);
    free(d->root);
    free(d->folder);
    image_list_release(&d->list);
    free(d->order);
    transform_free(d->transform);
    free(d);
}

static void image_closep(struct image_source **d)
{
    if (*d)
        image_close(&(*d)->base);
}

static void make_order(struct image_source *d)
{
    source_order(d->place.seed, d->place.epoch, 0, d->shuffle, d->list.n, d->order);
}

/* The image of an entry, resized; out (C,Ho,Wo) NULL: only its shape is asked for. */
static enum status read_entry(struct image_source *d, const struct image_entry *entry, float *out,
                              struct shape *ret_shape, struct error *err)
{
    CLEANUP(freep) char *name = xasprintf("%s%s", d->root, entry->path);
    CLEANUP(freep) char *path = source_path(d->folder, name);
    CLEANUP(image_release) struct image image = {0};
    TRY(image_load(path, d->color, &image, err));
    if (d->new_height) {
        struct image resized;
        image_resize(&image, d->new_height, d->new_width, &resized);
        image_release(&image);
        image = resized;
    }
    struct sample sample = image_sample(&image);
    struct shape shape;
    TRY(transform_shape(d->transform, &sample, d->batch, &shape, err));
    if (!out) {
        *ret_shape = shape;
        return OK;
    }
    const struct shape *first = &d->base.tops[0];
    if (!shape_equal(&shape, first))
        return error_set(err, INVALID,
                         "image '%s' is %d x %d x %d (channels, height, width), the first was "
                         "%d x %d x %d; set new_height and new_width",
                         path, shape.dim[1], shape.dim[2], shape.dim[3], first->dim[1], first->dim[2],
                         first->dim[3]);
    transform_apply(d->transform, &sample, &d->place.rng, out);
    return OK;
}

static enum status line_context(const struct image_source *d, const struct image_entry *entry,
                                struct error *err)
{
    return error_context(err, "line %d of list '%s'", entry->line, d->list_path);
}

static enum status skip_some(struct image_source *d, uint32_t rand_skip, struct error *err)
{
    if (!rand_skip)
        return OK;
    d->place.row = rng_below(&d->place.rng, rand_skip);
    if (d->place.row >= d->list.n)
        return error_set(err, INVALID, "rand_skip %u passes the %u images of list '%s'", rand_skip, d->list.n,
                         d->list_path);
    return OK;
}

static enum status image_open(const struct source_options *options, struct source **ret_source,
                              struct error *err)
{
    static const Caffe__ImageDataParameter none = CAFFE__IMAGE_DATA_PARAMETER__INIT;
    const Caffe__LayerParameter *layer = options->param;
    const Caffe__ImageDataParameter *param = layer->image_data_param ? layer->image_data_param : &none;
    if (!param->source)
        return error_set(err, INVALID, "image_data_param has no source");
    if (!param->new_height != !param->new_width || param->new_height > INT_MAX ||
        param->new_width > INT_MAX || (uint64_t)param->new_height * param->new_width > IMAGE_MAX_PIXELS)
        return error_set(err, INVALID, "new_height %u and new_width %u: give both, of at most %d pixels",
                         param->new_height, param->new_width, IMAGE_MAX_PIXELS);
    CLEANUP(image_closep) struct image_source *d = xcalloc(1, sizeof(*d));
    d->base.ops = &source_image;
    d->base.n_tops = layer->n_top > 1 ? 2 : 1;
    d->batch = param->batch_size;
    d->color = param->is_color ? IMAGE_COLOR : IMAGE_GREY;
    d->new_height = (int)param->new_height;
    d->new_width = (int)param->new_width;
    d->shuffle = param->shuffle;
    d->place.seed = options->seed;
    rng_seed(&d->place.rng, options->seed);
    d->root = xstrdup(param->root_folder ? param->root_folder : "");
    d->folder = options->folder ? xstrdup(options->folder) : NULL;
    d->list_path = source_path(options->folder, param->source);
    TRY(image_list_read(d->list_path, &d->list, err));
    d->order = xcalloc(d->list.n, sizeof(*d->order));
    make_order(d);
    TRY(skip_some(d, param->rand_skip, err));
    TRY(transform_create(layer->transform_param, options->phase, options->folder, &d->transform, err));
    const struct image_entry *first = &d->list.entries[d->order[d->place.row]];
    if (read_entry(d, first, NULL, &d->base.tops[0], err) != OK)
        return line_context(d, first, err);
    d->base.tops[1] = (struct shape){.n_axes = 1, .dim = {(int)d->batch}};
    *ret_source = &TAKE(d)->base;
    return OK;
}

static enum status image_read(struct source *s, float *const tops[], struct error *err)
{
    struct image_source *d = (struct image_source *)s;
    int64_t size = shape_count_range(&s->tops[0], 1, s->tops[0].n_axes);
    for (uint32_t i = 0; i < d->batch; i++) {
        const struct image_entry *entry = &d->list.entries[d->order[d->place.row]];
        if (read_entry(d, entry, tops[0] + i * size, NULL, err) != OK)
            return line_context(d, entry, err);
        if (s->n_tops > 1)
            tops[1][i] = (float)entry->label;
        if (++d->place.row == d->list.n) {
            d->place.row = 0;
            d->place.epoch++;
            make_order(d);
        }
    }
    return OK;
}

static void image_tell(const struct source *s, struct source_position *ret_position)
{
    source_place_save(&((const struct image_source *)s)->place, ret_position);
}

static enum status image_seek(struct source *s, const struct source_position *position, struct error *err)
{
    struct image_source *d = (struct image_source *)s;
    struct source_place place = source_place_load(position);
    if (place.row >= d->list.n)
        return error_set(err, INVALID, "list '%s' names %u images; the position is image %llu", d->list_path,
                         d->list.n, (unsigned long long)place.row);
    d->place = place;
    make_order(d);
    return OK;
}

const struct source_ops source_image = {
    .type = "ImageData",
    .open = image_open,
    .read = image_read,
    .tell = image_tell,
    .seek = image_seek,
    .close = image_close,
};
