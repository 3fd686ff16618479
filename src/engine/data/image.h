/*
 * image.h - JPEG, PNG, BMP and PNM files as 8-bit pixels, exactly as OpenCV's
 * imread and resize deliver them (Caffe's data is made of those).
 *
 *   bytes --image_decode--> struct image --image_resize--> struct image
 *
 * Pixels are rows of height x width x channels bytes (HWC) without gaps;
 * colour is blue, green, red.
 */
#ifndef ET_IMAGE_H
#define ET_IMAGE_H

#include "base/base.h"

struct image {
    int height, width, channels; /* 1, 3, or 4 (IMAGE_AS_IS with alpha) */
    uint8_t *pixels;             /* owned; NULL when empty */
};

enum image_color {
    IMAGE_GREY,  /* 1 channel; colour is weighted 0.299 R + 0.587 G + 0.114 B */
    IMAGE_COLOR, /* 3 channels; grey is repeated, alpha is dropped */
    IMAGE_AS_IS, /* the file's own channels; alpha is kept */
};

enum image_format { IMAGE_PNG, IMAGE_JPEG };

#define IMAGE_MAX_PIXELS     100000000 /* 100 Mpixel */
#define IMAGE_MAX_FILE_BYTES (256u << 20)

/*
 * Errors: INVALID for what is no such file, corrupt or cut short;
 * TOO_LARGE over IMAGE_MAX_PIXELS.  `name` is for messages.
 */
enum status image_decode(const void *bytes, size_t size, const char *name, enum image_color color,
                         struct image *ret_image, struct error *err);
/* Adds NOT_FOUND and what else opening a file may give. */
enum status image_load(const char *path, enum image_color color, struct image *ret_image, struct error *err);

/*
 * Bilinear, in OpenCV's fixed point: sample centres at half pixels, clamped
 * at the edges, 11-bit weights; halving both sides takes the mean of 2 x 2.
 * height and width are at least 1.
 */
void image_resize(const struct image *image, int height, int width, struct image *ret_image);

/* 1 or 3 channels; JPEG with quality 95 as OpenCV.  The caller frees. */
enum status image_encode(const struct image *image, enum image_format format, char **ret_bytes,
                         size_t *ret_size, struct error *err);

void image_release(struct image *image);

#endif
