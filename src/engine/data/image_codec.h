/* image_codec.h - the file formats behind image.h; nobody else includes this. */
#ifndef ET_IMAGE_CODEC_H
#define ET_IMAGE_CODEC_H

#include "engine/data/image.h"

/* Allocates pixels; TOO_LARGE over IMAGE_MAX_PIXELS, INVALID without a pixel. */
enum status image_allocate(uint32_t height, uint32_t width, int channels, const char *name,
                           struct image *ret_image, struct error *err);

/* A number of n bytes, at most 4. */
uint32_t image_number(const uint8_t *bytes, int n, bool is_little_endian);

/* The bytes begin as files of the format do. */
typedef enum status image_decoder(const void *bytes, size_t size, const char *name, enum image_color color,
                                  struct image *ret_image, struct error *err);
image_decoder jpeg_decode, png_decode, pnm_decode, bmp_decode;

enum status jpeg_encode(const struct image *image, char **ret_bytes, size_t *ret_size, struct error *err);
enum status png_encode(const struct image *image, char **ret_bytes, size_t *ret_size, struct error *err);

#endif
