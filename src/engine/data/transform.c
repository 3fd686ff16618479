#include "engine/data/transform.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "engine/data/source_common.h"

#define MEAN_FILE_MAX_BYTES (1u << 30)

struct transform {
    bool is_train;
    bool mirror;
    enum image_color color;
    int crop; /* 0: none */
    float scale;
    size_t n_mean_values;
    float *mean_values;
    char *mean_path; /* NULL: no mean image */
    int mean_channels, mean_height, mean_width;
    float *mean; /* (C,H,W) */
};

void transform_free(struct transform *t)
{
    if (!t)
        return;
    free(t->mean_values);
    free(t->mean_path);
    free(t->mean);
    free(t);
}

void transform_freep(struct transform **t)
{
    transform_free(*t);
}

static void blob_freep(Caffe__BlobProto **blob)
{
    if (*blob)
        caffe__blob_proto__free_unpacked(*blob, NULL);
}

static enum status load_mean(struct transform *t, struct error *err)
{
    CLEANUP(freep) char *bytes = NULL;
    size_t size;
    TRY(file_read(t->mean_path, MEAN_FILE_MAX_BYTES, &bytes, &size, err));
    CLEANUP(blob_freep)
    Caffe__BlobProto *blob = caffe__blob_proto__unpack(NULL, size, (const uint8_t *)bytes);
    if (!blob)
        return error_set(err, INVALID, "mean file '%s' is not a binaryproto", t->mean_path);
    struct shape shape;
    blob_proto_shape(blob, &shape);
    char text[SHAPE_TEXT_MAX];
    if (shape.n_axes == 4 && shape.dim[0] == 1) {
        memmove(&shape.dim[0], &shape.dim[1], 3 * sizeof(shape.dim[0]));
        shape.n_axes = 3;
    }
    if (shape.n_axes != 3 || shape_count(&shape) <= 0 || shape_count(&shape) > INT_MAX)
        return error_set(err, INVALID, "mean file '%s' has shape %s; one image (1,C,H,W) is needed",
                         t->mean_path, shape_text(&shape, text));
    size_t count = (size_t)shape_count(&shape);
    size_t n = blob->n_double_data ? blob->n_double_data : blob->n_data;
    if (n != count)
        return error_set(err, INVALID, "mean file '%s' has %zu values for its shape %s", t->mean_path, n,
                         shape_text(&shape, text));
    t->mean_channels = shape.dim[0], t->mean_height = shape.dim[1], t->mean_width = shape.dim[2];
    t->mean = xcalloc(count, sizeof(float));
    for (size_t i = 0; i < count; i++)
        t->mean[i] = blob->n_double_data ? (float)blob->double_data[i] : blob->data[i];
    return OK;
}

enum status transform_create(const Caffe__TransformationParameter *param, Caffe__Phase phase,
                             const char *folder, struct transform **ret_transform, struct error *err)
{
    static const Caffe__TransformationParameter none = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    if (!param)
        param = &none;
    if (param->mean_file && param->n_mean_value)
        return error_set(err, INVALID, "transform_param has both mean_file and mean_value; give one");
    if (param->force_color && param->force_gray)
        return error_set(err, INVALID, "transform_param has both force_color and force_gray; give one");
    if (param->crop_size > INT_MAX)
        return error_set(err, INVALID, "transform_param: crop_size %u is too large", param->crop_size);
    CLEANUP(transform_freep) struct transform *t = xcalloc(1, sizeof(*t));
    t->is_train = phase == CAFFE__PHASE__TRAIN;
    t->mirror = param->mirror;
    t->color = param->force_color ? IMAGE_COLOR : param->force_gray ? IMAGE_GREY : IMAGE_AS_IS;
    t->crop = (int)param->crop_size;
    t->scale = param->scale;
    t->n_mean_values = param->n_mean_value;
    if (t->n_mean_values) {
        t->mean_values = xcalloc(t->n_mean_values, sizeof(float));
        memcpy(t->mean_values, param->mean_value, t->n_mean_values * sizeof(float));
    }
    if (param->mean_file) {
        t->mean_path = source_path(folder, param->mean_file);
        TRY(load_mean(t, err));
    }
    *ret_transform = TAKE(t);
    return OK;
}

enum image_color transform_color(const struct transform *t)
{
    return t->color;
}

struct sample image_sample(const struct image *image)
{
    return (struct sample){.channels = image->channels,
                           .height = image->height,
                           .width = image->width,
                           .bytes = image->pixels,
                           .interleaved = true};
}

enum status transform_shape(const struct transform *t, const struct sample *sample, uint32_t batch,
                            struct shape *ret_shape, struct error *err)
{
    int channels = sample->channels, height = sample->height, width = sample->width;
    if (channels < 1 || height < 1 || width < 1)
        return error_set(err, INVALID, "image of %d x %d x %d (channels, height, width) has no pixels",
                         channels, height, width);
    if (height < t->crop || width < t->crop)
        return error_set(err, INVALID, "crop_size %d does not fit an image of height %d and width %d",
                         t->crop, height, width);
    if (t->mean && (channels != t->mean_channels || height != t->mean_height || width != t->mean_width))
        return error_set(
            err, INVALID,
            "mean file '%s' is %d x %d x %d (channels, height, width), the image is %d x %d x %d",
            t->mean_path, t->mean_channels, t->mean_height, t->mean_width, channels, height, width);
    if (t->n_mean_values > 1 && t->n_mean_values != (size_t)channels)
        return error_set(err, INVALID, "%zu mean_values for %d channels; give one, or one a channel",
                         t->n_mean_values, channels);
    return source_batch_shape(
        batch, 3, (int[]){channels, t->crop ? t->crop : height, t->crop ? t->crop : width}, ret_shape, err);
}

void transform_apply(const struct transform *t, const struct sample *sample, struct rng *rng, float *out)
{
    bool mirror = t->mirror && rng_below(rng, 2);
    int height = sample->height, width = sample->width, top = 0, left = 0;
    if (t->crop) {
        height = width = t->crop;
        top = t->is_train ? (int)rng_below(rng, (uint32_t)(sample->height - t->crop) + 1)
                          : (sample->height - t->crop) / 2;
        left = t->is_train ? (int)rng_below(rng, (uint32_t)(sample->width - t->crop) + 1)
                           : (sample->width - t->crop) / 2;
    }
    size_t plane = sample->interleaved ? 1 : (size_t)sample->height * (size_t)sample->width;
    size_t step = sample->interleaved ? (size_t)sample->channels : 1;
    for (int c = 0; c < sample->channels; c++) {
        float mean = t->n_mean_values ? t->mean_values[t->n_mean_values == 1 ? 0 : c] : 0;
        for (int y = 0; y < height; y++, out += width) {
            size_t pixel = (size_t)(top + y) * (size_t)sample->width + (size_t)left;
            size_t at = (size_t)c * plane + pixel * step;
            const float *means =
                t->mean ? t->mean + (size_t)c * (size_t)t->mean_height * (size_t)t->mean_width + pixel : NULL;
            for (int x = 0; x < width; x++, at += step) {
                float value = sample->bytes ? (float)sample->bytes[at] : sample->floats[at];
                out[mirror ? width - 1 - x : x] = (value - (means ? means[x] : mean)) * t->scale;
            }
        }
    }
}

enum status transform_window_mean(const struct transform *t, int channels, int crop, float *ret_mean,
                                  struct error *err)
{
    int offset = (t->mean_width - crop) / 2;
    if (t->mean && (t->mean_channels != channels || t->mean_width < crop || t->mean_height < crop + offset))
        return error_set(err, INVALID,
                         "mean file '%s' is %d x %d x %d (channels, height, width); %d channels of at least "
                         "crop_size %d are needed",
                         t->mean_path, t->mean_channels, t->mean_height, t->mean_width, channels, crop);
    if (t->n_mean_values > 1 && t->n_mean_values != (size_t)channels)
        return error_set(err, INVALID, "%zu mean_values for %d channels; give one, or one a channel",
                         t->n_mean_values, channels);
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < crop; y++)
            for (int x = 0; x < crop; x++) {
                size_t row = (size_t)c * (size_t)t->mean_height + (size_t)(y + offset);
                float value = t->n_mean_values ? t->mean_values[t->n_mean_values == 1 ? 0 : c] : 0;
                *ret_mean++ = t->mean ? t->mean[row * (size_t)t->mean_width + (size_t)(x + offset)] : value;
            }
    return OK;
}
