#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "engine/data/image_codec.h"

/*
 * libpng reports by longjmp: everything that must survive the jump lives in
 * this struct, which the function that calls setjmp only points to.
 */
struct png_io {
    const uint8_t *bytes; /* reading */
    size_t size, at;
    struct buf out; /* writing */
    char message[200];
};

static void on_error(png_structp png, png_const_charp message)
{
    struct png_io *io = png_get_error_ptr(png);
    snprintf(io->message, sizeof(io->message), "%s", message);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png, (void)message;
}

static void read_bytes(png_structp png, png_bytep to, size_t n)
{
    struct png_io *io = png_get_io_ptr(png);
    if (n > io->size - io->at)
        png_error(png, "it is cut short");
    memcpy(to, io->bytes + io->at, n);
    io->at += n;
}

static void write_bytes(png_structp png, png_bytep from, size_t n)
{
    struct png_io *io = png_get_io_ptr(png);
    buf_append(&io->out, from, n);
}

static void flush_bytes(png_structp png)
{
    (void)png;
}

/* Asks libpng for 8-bit rows in our order; returns the channels that come out. */
static int choose_transforms(png_structp png, png_infop info, enum image_color color)
{
    int type = png_get_color_type(png, info);
    bool has_alpha = type & PNG_COLOR_MASK_ALPHA;
    bool is_colored = type & PNG_COLOR_MASK_COLOR; /* a palette counts */
    if (is_colored && !has_alpha && png_get_valid(png, info, PNG_INFO_tRNS))
        has_alpha = true;
    bool keep_alpha = color == IMAGE_AS_IS && has_alpha;
    bool wants_color = color == IMAGE_COLOR || keep_alpha || (color == IMAGE_AS_IS && is_colored);

    png_set_strip_16(png);
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    if (!is_colored && png_get_bit_depth(png, info) < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    if (keep_alpha)
        png_set_tRNS_to_alpha(png);
    else
        png_set_strip_alpha(png);
    if (is_colored && wants_color)
        png_set_bgr(png);
    else if (wants_color)
        png_set_gray_to_rgb(png);
    else if (is_colored)
        png_set_rgb_to_gray(png, PNG_ERROR_ACTION_NONE, 0.299, 0.587);
    return keep_alpha ? 4 : wants_color ? 3 : 1;
}

static enum status decode(png_structp png, png_infop info, struct png_io *io, const char *name,
                          enum image_color color, struct image *image, uint8_t ***rows, struct error *err)
{
    if (setjmp(png_jmpbuf(png)))
        return error_set(err, INVALID, "PNG image '%s' is damaged: %s", name, io->message);
    png_set_read_fn(png, io, read_bytes);
    png_read_info(png, info);
    int channels = choose_transforms(png, info, color);
    png_set_interlace_handling(png);
    TRY(image_allocate(png_get_image_height(png, info), png_get_image_width(png, info), channels, name, image,
                       err));
    png_read_update_info(png, info);
    if (png_get_rowbytes(png, info) != (size_t)image->width * (size_t)channels)
        png_error(png, "its rows have an unknown form");
    *rows = xcalloc((size_t)image->height, sizeof(**rows));
    for (int y = 0; y < image->height; y++)
        (*rows)[y] = image->pixels + (size_t)y * (size_t)image->width * (size_t)channels;
    png_read_image(png, *rows);
    png_read_end(png, NULL);
    return OK;
}

enum status png_decode(const void *bytes, size_t size, const char *name, enum image_color color,
                       struct image *ret_image, struct error *err)
{
    struct png_io io = {.bytes = bytes, .size = size};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &io, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        png_destroy_read_struct(&png, NULL, NULL);
        return error_set(err, FAILED, "libpng cannot start");
    }
    struct image image = {0};
    uint8_t **rows = NULL;
    enum status status = decode(png, info, &io, name, color, &image, &rows, err);
    png_destroy_read_struct(&png, &info, NULL);
    free(rows);
    if (status == OK)
        *ret_image = image;
    else
        image_release(&image);
    return status;
}

static enum status encode(png_structp png, png_infop info, struct png_io *io, const struct image *image,
                          struct error *err)
{
    if (setjmp(png_jmpbuf(png)))
        return error_set(err, FAILED, "cannot write a PNG image: %s", io->message);
    png_set_write_fn(png, io, write_bytes, flush_bytes);
    png_set_IHDR(png, info, (png_uint_32)image->width, (png_uint_32)image->height, 8,
                 image->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    png_set_bgr(png);
    for (int y = 0; y < image->height; y++)
        png_write_row(png, image->pixels + (size_t)y * (size_t)image->width * (size_t)image->channels);
    png_write_end(png, NULL);
    return OK;
}

enum status png_encode(const struct image *image, char **ret_bytes, size_t *ret_size, struct error *err)
{
    struct png_io io = {0};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &io, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        png_destroy_write_struct(&png, NULL);
        return error_set(err, FAILED, "libpng cannot start");
    }
    buf_init(&io.out, 1u << 30);
    enum status status = encode(png, info, &io, image, err);
    png_destroy_write_struct(&png, &info);
    if (status == OK && io.out.overflowed)
        status = error_set(err, TOO_LARGE, "the PNG image would have more than 1 GiB");
    if (status == OK)
        *ret_bytes = buf_take(&io.out, ret_size);
    buf_release(&io.out);
    return status;
}
