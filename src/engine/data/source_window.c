/*
 * source_window.c - WindowData: boxes of images, warped to crop_size, as
 * R-CNN trains on.  A batch has fg_fraction of its windows from the
 * foreground, after those of the background; all are drawn by chance.
 *
 * As in Caffe, the scale is window_data_param's, not transform_param's, a
 * mean image is read at an offset taken from its width, and what lies
 * outside of the image is 0 without the mean taken off.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "engine/data/source_common.h"
#include "engine/data/transform.h"
#include "engine/data/window_list.h"

struct cached {
    char *bytes; /* NULL: not read yet */
    size_t size;
};

struct window_source {
    struct source base;
    char *root;   /* root_folder: stands before each path as it is, without a slash of ours */
    char *folder; /* may be NULL */
    char *list_path;
    struct window_list list;
    struct cached *cache; /* one an image; NULL: nothing is kept */
    float *mean;          /* (3,crop,crop) */
    float scale;
    bool mirror, square;
    int crop, context_pad;
    uint32_t batch, n_foreground; /* of a batch */
    struct source_place place;
};

/* Where a window lies in its image, and where its pixels go in the crop. */
struct placement {
    int x1, y1, x2, y2;
    int left, top, width, height;
};

static void window_close(struct source *s)
{
    struct window_source *d = (struct window_source *)s;
    for (uint32_t i = 0; d->cache && i < d->list.n_images; i++)
        free(d->cache[i].bytes);
    free(d->cache);
    window_list_release(&d->list);
    free(d->list_path);
    free(d->root);
    free(d->folder);
    free(d->mean);
    free(d);
}

static void window_closep(struct window_source **d)
{
    if (*d)
        window_close(&(*d)->base);
}

/* ---- open ---- */

static enum status read_settings(struct window_source *d, const Caffe__LayerParameter *layer,
                                 struct error *err)
{
    static const Caffe__TransformationParameter none = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    const Caffe__WindowDataParameter *param = layer->window_data_param;
    const Caffe__TransformationParameter *transform = layer->transform_param ? layer->transform_param : &none;
    uint64_t crop = transform->crop_size;
    if (!crop || crop * crop > IMAGE_MAX_PIXELS)
        return error_set(err, INVALID, "transform_param's crop_size %u is not between 1 and 10000",
                         transform->crop_size);
    if (2 * (uint64_t)param->context_pad >= crop)
        return error_set(err, INVALID, "context_pad %u leaves nothing of crop_size %u", param->context_pad,
                         transform->crop_size);
    d->square = !strcmp(param->crop_mode, "square");
    if (!d->square && strcmp(param->crop_mode, "warp") != 0)
        return error_set(err, INVALID, "crop_mode '%s' is neither 'warp' nor 'square'", param->crop_mode);
    if (!(param->fg_fraction >= 0 && param->fg_fraction <= 1))
        return error_set(err, INVALID, "fg_fraction %g is not between 0 and 1", (double)param->fg_fraction);
    d->crop = (int)crop;
    d->context_pad = (int)param->context_pad;
    d->mirror = transform->mirror;
    d->scale = param->scale;
    d->batch = param->batch_size;
    d->n_foreground = (uint32_t)((float)param->batch_size * param->fg_fraction);
    return source_batch_shape(d->batch, 3, (int[]){3, d->crop, d->crop}, &d->base.tops[0], err);
}

static enum status read_mean(struct window_source *d, const struct source_options *options, struct error *err)
{
    CLEANUP(transform_freep) struct transform *transform = NULL;
    TRY(transform_create(options->param->transform_param, options->phase, options->folder, &transform, err));
    d->mean = xcalloc(3 * (size_t)d->crop * (size_t)d->crop, sizeof(float));
    return transform_window_mean(transform, 3, d->crop, d->mean, err);
}

static enum status window_open(const struct source_options *options, struct source **ret_source,
                               struct error *err)
{
    const Caffe__WindowDataParameter *param = options->param->window_data_param;
    if (!param || !param->source)
        return error_set(err, INVALID, "window_data_param has no source");
    CLEANUP(window_closep) struct window_source *d = xcalloc(1, sizeof(*d));
    d->base.ops = &source_window;
    d->base.n_tops = 2;
    TRY(read_settings(d, options->param, err));
    d->base.tops[1] = (struct shape){.n_axes = 1, .dim = {(int)d->batch}};
    d->place.seed = options->seed;
    rng_seed(&d->place.rng, options->seed);
    d->root = xstrdup(param->root_folder ? param->root_folder : "");
    d->folder = options->folder ? xstrdup(options->folder) : NULL;
    d->list_path = source_path(options->folder, param->source);
    TRY(read_mean(d, options, err));
    TRY(window_list_read(d->list_path, param->fg_threshold, param->bg_threshold, &d->list, err));
    if (param->cache_images)
        d->cache = xcalloc(d->list.n_images, sizeof(*d->cache));
    *ret_source = &TAKE(d)->base;
    return OK;
}

/* ---- a window ---- */

static enum status load_image(struct window_source *d, uint32_t index, struct image *ret_image,
                              struct error *err)
{
    CLEANUP(freep) char *name = xasprintf("%s%s", d->root, d->list.images[index]);
    CLEANUP(freep) char *path = source_path(d->folder, name);
    if (!d->cache)
        return image_load(path, IMAGE_COLOR, ret_image, err);
    struct cached *cached = &d->cache[index];
    if (!cached->bytes)
        TRY(file_read(path, IMAGE_MAX_FILE_BYTES, &cached->bytes, &cached->size, err));
    return image_decode(cached->bytes, cached->size, path, IMAGE_COLOR, ret_image, err);
}

/* One axis of a window: first and last pixel, and what of them lies before and behind the image. */
struct extent {
    int first, last, before, behind;
    float scale;
};

/* The window grown around its middle, in float as Caffe counts, then cut at the image's edges. */
static struct extent extend(float middle, float half, int size, int crop)
{
    struct extent e = {.first = (int)roundf(middle - half), .last = (int)roundf(middle + half)};
    e.scale = (float)crop / (float)(e.last - e.first + 1);
    e.before = MAX(0, -e.first);
    e.behind = MAX(0, e.last - size + 1);
    e.first += e.before;
    e.last -= e.behind;
    return e;
}

static int scaled(int n, float scale)
{
    return (int)roundf((float)n * scale);
}

static struct placement place_with_context(const struct window_source *d, const struct window *w,
                                           const struct image *image, bool mirrored)
{
    float context = (float)d->crop / (float)(d->crop - 2 * d->context_pad);
    float half_height = (float)(w->y2 - w->y1 + 1) / 2, half_width = (float)(w->x2 - w->x1 + 1) / 2;
    float middle_x = (float)w->x1 + half_width, middle_y = (float)w->y1 + half_height;
    if (d->square)
        half_width = half_height = half_height > half_width ? half_height : half_width;
    struct extent x = extend(middle_x, half_width * context, image->width, d->crop);
    struct extent y = extend(middle_y, half_height * context, image->height, d->crop);
    struct placement p = {x.first, y.first, x.last, y.last, 0, 0, 0, 0};
    p.width = scaled(x.last - x.first + 1, x.scale);
    p.height = scaled(y.last - y.first + 1, y.scale);
    p.left = scaled(mirrored ? x.behind : x.before, x.scale);
    p.top = scaled(y.before, y.scale);
    p.width = MIN(p.width, d->crop - p.left);
    p.height = MIN(p.height, d->crop - p.top);
    return p;
}

static struct placement place(const struct window_source *d, const struct window *w,
                              const struct image *image, bool mirrored)
{
    if (d->context_pad || d->square)
        return place_with_context(d, w, image, mirrored);
    return (struct placement){w->x1, w->y1, w->x2, w->y2, 0, 0, d->crop, d->crop};
}

static void copy_part(const struct image *image, const struct placement *p, struct image *ret_part)
{
    size_t n_channels = (size_t)image->channels, width = (size_t)(p->x2 - p->x1 + 1);
    struct image part = {p->y2 - p->y1 + 1, (int)width, image->channels, NULL};
    part.pixels = xmalloc((size_t)part.height * width * n_channels);
    for (int y = 0; y < part.height; y++) {
        size_t from = (size_t)(p->y1 + y) * (size_t)image->width + (size_t)p->x1;
        memcpy(part.pixels + (size_t)y * width * n_channels, image->pixels + from * n_channels,
               width * n_channels);
    }
    *ret_part = part;
}

static void write_crop(const struct window_source *d, const struct image *warped, const struct placement *p,
                       bool mirrored, float *out)
{
    for (int c = 0; c < 3; c++) {
        for (int y = 0; y < warped->height; y++) {
            size_t at =
                ((size_t)c * (size_t)d->crop + (size_t)(y + p->top)) * (size_t)d->crop + (size_t)p->left;
            const uint8_t *row = warped->pixels + (size_t)y * (size_t)warped->width * 3 + c;
            for (int x = 0; x < warped->width; x++) {
                int from = mirrored ? warped->width - 1 - x : x;
                out[at + (size_t)x] = ((float)row[3 * from] - d->mean[at + (size_t)x]) * d->scale;
            }
        }
    }
}

/* out (3,crop,crop), zeroed. */
static enum status read_window(struct window_source *d, const struct window *w, bool mirrored, float *out,
                               struct error *err)
{
    CLEANUP(image_release) struct image image = {0};
    CLEANUP(image_release) struct image part = {0};
    CLEANUP(image_release) struct image warped = {0};
    TRY(load_image(d, w->image, &image, err));
    struct placement p = place(d, w, &image, mirrored);
    if (p.x1 < 0 || p.y1 < 0 || p.x2 >= image.width || p.y2 >= image.height || p.x2 < p.x1 || p.y2 < p.y1)
        return error_set(err, INVALID,
                         "the window from (%d, %d) to (%d, %d) is not inside of image '%s' of %d x %d", w->x1,
                         w->y1, w->x2, w->y2, d->list.images[w->image], image.width, image.height);
    if (p.width < 1 || p.height < 1)
        return OK;
    copy_part(&image, &p, &part);
    image_resize(&part, p.height, p.width, &warped);
    write_crop(d, &warped, &p, mirrored, out);
    return OK;
}

/* ---- batches ---- */

static enum status window_read(struct source *s, float *const tops[], struct error *err)
{
    struct window_source *d = (struct window_source *)s;
    size_t size = 3 * (size_t)d->crop * (size_t)d->crop;
    memset(tops[0], 0, d->batch * size * sizeof(float));
    for (uint32_t i = 0; i < d->batch; i++) {
        bool is_foreground = i >= d->batch - d->n_foreground;
        uint32_t n = is_foreground ? d->list.n_foreground : d->list.n_background;
        const struct window *all = is_foreground ? d->list.foreground : d->list.background;
        const struct window *w = &all[rng_below(&d->place.rng, n)];
        bool mirrored = d->mirror && rng_below(&d->place.rng, 2);
        if (read_window(d, w, mirrored, tops[0] + i * size, err) != OK)
            return error_context(err, "line %d of window file '%s'", w->line, d->list_path);
        tops[1][i] = (float)w->label;
    }
    return OK;
}

static void window_tell(const struct source *s, struct source_position *ret_position)
{
    source_place_save(&((const struct window_source *)s)->place, ret_position);
}

static enum status window_seek(struct source *s, const struct source_position *position, struct error *err)
{
    (void)err;
    ((struct window_source *)s)->place = source_place_load(position);
    return OK;
}

const struct source_ops source_window = {
    .type = "WindowData",
    .open = window_open,
    .read = window_read,
    .tell = window_tell,
    .seek = window_seek,
    .close = window_close,
};
