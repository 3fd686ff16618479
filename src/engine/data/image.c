#include "engine/data/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "engine/data/image_codec.h"

void image_release(struct image *image)
{
    free(image->pixels);
    *image = (struct image){0};
}

enum status image_allocate(uint32_t height, uint32_t width, int channels, const char *name,
                           struct image *ret_image, struct error *err)
{
    if (!height || !width)
        return error_set(err, INVALID, "image '%s' has no pixels", name);
    if ((uint64_t)height * width > IMAGE_MAX_PIXELS)
        return error_set(err, TOO_LARGE, "image '%s' is %u x %u, over the limit of %d pixels", name, width,
                         height, IMAGE_MAX_PIXELS);
    struct image image = {.height = (int)height, .width = (int)width, .channels = channels};
    image.pixels = malloc((size_t)height * width * (size_t)channels);
    if (!image.pixels)
        return error_set(err, FAILED, "no memory for image '%s' of %u x %u", name, width, height);
    *ret_image = image;
    return OK;
}

uint32_t image_number(const uint8_t *bytes, int n, bool is_little_endian)
{
    uint32_t value = 0;
    for (int i = 0; i < n; i++)
        value |= (uint32_t)bytes[i] << 8 * (is_little_endian ? i : n - 1 - i);
    return value;
}

enum status image_decode(const void *bytes, size_t size, const char *name, enum image_color color,
                         struct image *ret_image, struct error *err)
{
    static const struct {
        const char *magic;
        image_decoder *decode;
    } formats[] = {
        {"\x89PNG\r\n\x1a\n", png_decode},
        {"\xff\xd8\xff", jpeg_decode},
        {"P5", pnm_decode},
        {"P6", pnm_decode},
        {"BM", bmp_decode},
    };
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        size_t n = strlen(formats[i].magic);
        if (size >= n && !memcmp(bytes, formats[i].magic, n))
            return formats[i].decode(bytes, size, name, color, ret_image, err);
    }
    return error_set(err, INVALID, "'%s' is not a JPEG, PNG, BMP or PNM (P5, P6) image", name);
}

enum status image_load(const char *path, enum image_color color, struct image *ret_image, struct error *err)
{
    CLEANUP(freep) char *bytes = NULL;
    size_t size;
    TRY(file_read(path, IMAGE_MAX_FILE_BYTES, &bytes, &size, err));
    return image_decode(bytes, size, path, color, ret_image, err);
}

enum status image_encode(const struct image *image, enum image_format format, char **ret_bytes,
                         size_t *ret_size, struct error *err)
{
    if (format == IMAGE_PNG)
        return png_encode(image, ret_bytes, ret_size, err);
    return jpeg_encode(image, ret_bytes, ret_size, err);
}

/* ---- resize ---- */

enum { WEIGHT_BITS = 11, WEIGHT_ONE = 1 << WEIGHT_BITS };

/* One destination index: the two source indices it mixes, and their weights. */
struct tap {
    int first, second;
    int first_weight, second_weight; /* of WEIGHT_ONE */
};

/*
 * Taps of one axis.  OpenCV moves the weight of a column past the edge onto
 * the edge, but of a row only clamps the index; the sum of the weights is
 * the same, the rounding later is not.
 */
static struct tap *axis_taps(int from, int to, bool edge_takes_weight)
{
    struct tap *taps = xcalloc((size_t)to, sizeof(*taps));
    double scale = 1.0 / ((double)to / from);
    for (int i = 0; i < to; i++) {
        float at = (float)((i + 0.5) * scale - 0.5);
        int left = (int)floorf(at);
        float fraction = at - (float)left;
        if (edge_takes_weight && (left < 0 || left >= from - 1)) {
            fraction = 0;
            left = left < 0 ? 0 : from - 1;
        }
        taps[i] = (struct tap){
            .first = MAX(0, MIN(left, from - 1)),
            .second = MAX(0, MIN(left + 1, from - 1)),
            .first_weight = (int)lrintf((1.f - fraction) * WEIGHT_ONE),
            .second_weight = (int)lrintf(fraction * WEIGHT_ONE),
        };
    }
    return taps;
}

/* row (from_width,channels) bytes -> out (to_width,channels), times WEIGHT_ONE. */
static void mix_columns(const uint8_t *row, int channels, const struct tap *taps, int to_width, int *out)
{
    for (int x = 0; x < to_width; x++) {
        const uint8_t *a = row + taps[x].first * channels, *b = row + taps[x].second * channels;
        for (int c = 0; c < channels; c++)
            *out++ = a[c] * taps[x].first_weight + b[c] * taps[x].second_weight;
    }
}

static void halve(const struct image *image, struct image *out)
{
    int channels = image->channels;
    size_t stride = (size_t)image->width * (size_t)channels;
    uint8_t *to = out->pixels;
    for (int y = 0; y < out->height; y++) {
        const uint8_t *row = image->pixels + 2 * (size_t)y * stride;
        for (int x = 0; x < out->width; x++)
            for (int c = 0; c < channels; c++) {
                const uint8_t *p = row + 2 * x * channels + c;
                *to++ = (uint8_t)((p[0] + p[channels] + p[stride] + p[stride + (size_t)channels] + 2) >> 2);
            }
    }
}

static void resize_bilinear(const struct image *image, struct image *out)
{
    size_t row_size = (size_t)image->width * (size_t)image->channels;
    size_t n = (size_t)out->width * (size_t)image->channels;
    CLEANUP(freep) struct tap *columns = axis_taps(image->width, out->width, true);
    CLEANUP(freep) struct tap *rows = axis_taps(image->height, out->height, false);
    CLEANUP(freep) int *lines = xcalloc(2 * n, sizeof(*lines));
    int *upper = lines, *lower = lines + n;
    int upper_row = -1, lower_row = -1;
    for (int y = 0; y < out->height; y++) {
        const struct tap *tap = &rows[y];
        if (tap->first == lower_row) {
            int *swap = upper;
            upper = lower, lower = swap;
            upper_row = lower_row, lower_row = -1;
        }
        if (tap->first != upper_row) {
            upper_row = tap->first;
            mix_columns(image->pixels + (size_t)upper_row * row_size, image->channels, columns, out->width,
                        upper);
        }
        if (tap->second != lower_row) {
            lower_row = tap->second;
            mix_columns(image->pixels + (size_t)lower_row * row_size, image->channels, columns, out->width,
                        lower);
        }
        uint8_t *to = out->pixels + (size_t)y * n;
        for (size_t i = 0; i < n; i++) {
            int a = (tap->first_weight * (upper[i] >> 4)) >> 16;
            int b = (tap->second_weight * (lower[i] >> 4)) >> 16;
            to[i] = (uint8_t)((a + b + 2) >> 2);
        }
    }
}

void image_resize(const struct image *image, int height, int width, struct image *ret_image)
{
    size_t size = (size_t)height * (size_t)width * (size_t)image->channels;
    struct image out = {height, width, image->channels, xmalloc(size)};
    if (height == image->height && width == image->width)
        memcpy(out.pixels, image->pixels, size);
    else if (2 * height == image->height && 2 * width == image->width)
        halve(image, &out);
    else
        resize_bilinear(image, &out);
    *ret_image = out;
}
