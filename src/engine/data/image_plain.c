/*
 * image_plain.c - formats that are little more than their pixels: PNM (P5,
 * P6) and BMP without compression, of 8 bits with a palette, 24 or 32.
 *
 * As OpenCV's imread: of samples of 16 bits the upper 8, whatever the largest
 * value is; the fourth byte of 32 bits is dropped; a palette of greys is grey.
 * Not by a library: libnetpbm ends the process when a file is damaged,
 * stb_image takes a cut one for whole.
 * Sources: netpbm's pnm(5); Microsoft's BITMAPFILEHEADER and BITMAPINFOHEADER.
 */
#include <ctype.h>
#include <string.h>

#include "engine/data/image_codec.h"

/* 0.299 R + 0.587 G + 0.114 B in 14 bits. */
static uint8_t grey_of(const uint8_t *bgr)
{
    enum { BITS = 14, BLUE = 1868, GREEN = 9617, RED = 4899 };
    return (uint8_t)((bgr[0] * BLUE + bgr[1] * GREEN + bgr[2] * RED + (1 << (BITS - 1))) >> BITS);
}

static void put_bgr(struct image *image, size_t pixel, const uint8_t *bgr)
{
    if (image->channels == 3)
        memcpy(image->pixels + 3 * pixel, bgr, 3);
    else
        image->pixels[pixel] = grey_of(bgr);
}

static int channels_of(enum image_color color, bool is_colored)
{
    return color == IMAGE_COLOR || (color == IMAGE_AS_IS && is_colored) ? 3 : 1;
}

/* ---- PNM ---- */

struct text {
    const uint8_t *at, *end;
};

/* The next number of the head, behind spaces and comments; 0: there is none from 1 to 2^24. */
static uint32_t pnm_number(struct text *t)
{
    enum { LARGEST = 1 << 24 };
    uint32_t number = 0;
    bool in_comment = false;
    for (; t->at < t->end && (in_comment || isspace(*t->at) || *t->at == '#'); t->at++)
        in_comment = *t->at != '\n' && (in_comment || *t->at == '#');
    for (; t->at < t->end && isdigit(*t->at) && number <= LARGEST; t->at++)
        number = 10 * number + (uint32_t)(*t->at - '0');
    return number <= LARGEST ? number : 0;
}

enum status pnm_decode(const void *bytes, size_t size, const char *name, enum image_color color,
                       struct image *ret_image, struct error *err)
{
    const uint8_t *head = bytes;
    bool is_colored = head[1] == '6';
    struct text t = {head + 2, head + size};
    uint32_t width = pnm_number(&t), height = pnm_number(&t), largest = pnm_number(&t);
    if (!width || !height || !largest || largest > UINT16_MAX || t.at == t.end || !isspace(*t.at))
        return error_set(
            err, INVALID,
            "PNM image '%s' is damaged: its head is not a width, a height and a largest value up "
            "to 65535",
            name);
    size_t sample = largest > UINT8_MAX ? 2 : 1, each = sample * (is_colored ? 3 : 1);
    const uint8_t *from = t.at + 1;
    if ((uint64_t)width * height * each > (uint64_t)(t.end - from))
        return error_set(err, INVALID, "PNM image '%s' is damaged: it is cut short", name);
    struct image image;
    TRY(image_allocate(height, width, channels_of(color, is_colored), name, &image, err));
    for (size_t i = 0; i < (size_t)width * height; i++, from += each) {
        if (is_colored)
            put_bgr(&image, i, (uint8_t[]){from[2 * sample], from[sample], from[0]});
        else
            memset(image.pixels + i * (size_t)image.channels, from[0], (size_t)image.channels);
    }
    *ret_image = image;
    return OK;
}

/* ---- BMP ---- */

static uint32_t little32(const uint8_t *at)
{
    return image_number(at, 4, true);
}

struct bmp {
    uint32_t width, height;
    bool from_top; /* its first row is the upper one */
    int bits;      /* of a pixel */
    const uint8_t *palette, *pixels;
    size_t n_colors, stride;
};

enum { FILE_HEAD = 14, INFO_HEAD = 40, PALETTE_ENTRY = 4 };

static enum status bmp_read_head(const uint8_t *bytes, size_t size, const char *name, struct bmp *ret_bmp,
                                 struct error *err)
{
    if (size < FILE_HEAD + INFO_HEAD)
        return error_set(err, INVALID, "BMP image '%s' is damaged: it is cut short", name);
    const uint8_t *info = bytes + FILE_HEAD;
    uint32_t pixels_at = little32(bytes + 10), info_size = little32(info), rows = little32(info + 8);
    uint32_t compression = little32(info + 16), n_colors = little32(info + 32);
    struct bmp b = {.width = little32(info + 4), .bits = (int)image_number(info + 14, 2, true)};
    b.from_top = rows > INT32_MAX;
    b.height = b.from_top ? -rows : rows;
    if (info_size < INFO_HEAD || compression != 0 || (b.bits != 8 && b.bits != 24 && b.bits != 32))
        return error_set(
            err, INVALID,
            "BMP image '%s' is of a kind that is not read: %d bits a pixel, compression %u, a head of "
            "%u bytes; known are 8, 24 and 32 bits without compression",
            name, b.bits, compression, info_size);
    b.n_colors = b.bits != 8 ? 0 : n_colors == 0 ? 256 : n_colors;
    b.stride = ((size_t)b.width * (size_t)b.bits / 8 + 3) / 4 * 4;
    bool has_palette = b.n_colors <= 256 && info_size <= size - FILE_HEAD &&
                       b.n_colors * PALETTE_ENTRY <= size - FILE_HEAD - info_size;
    if (!has_palette || b.width > INT32_MAX || pixels_at > size ||
        (b.stride && b.height > (size - pixels_at) / b.stride))
        return error_set(err, INVALID, "BMP image '%s' is damaged: it is cut short", name);
    b.palette = info + info_size;
    b.pixels = bytes + pixels_at;
    *ret_bmp = b;
    return OK;
}

static bool has_colors(const struct bmp *b)
{
    bool has = b->bits != 8;
    for (size_t i = 0; i < b->n_colors; i++) {
        const uint8_t *bgr = b->palette + PALETTE_ENTRY * i;
        has = has || bgr[0] != bgr[1] || bgr[1] != bgr[2];
    }
    return has;
}

static void bmp_put_row(const struct bmp *b, const uint8_t *row, struct image *image, size_t first)
{
    static const uint8_t black[3];
    size_t each = (size_t)b->bits / 8;
    for (size_t x = 0; x < b->width; x++) {
        const uint8_t *pixel = row + each * x;
        if (b->bits == 8)
            pixel = *pixel < b->n_colors ? b->palette + PALETTE_ENTRY * *pixel : black;
        put_bgr(image, first + x, pixel);
    }
}

enum status bmp_decode(const void *bytes, size_t size, const char *name, enum image_color color,
                       struct image *ret_image, struct error *err)
{
    struct bmp b = {0};
    struct image image;
    TRY(bmp_read_head(bytes, size, name, &b, err));
    TRY(image_allocate(b.height, b.width, channels_of(color, has_colors(&b)), name, &image, err));
    for (size_t y = 0; y < b.height; y++)
        bmp_put_row(&b, b.pixels + b.stride * (b.from_top ? y : b.height - 1 - y), &image, y * b.width);
    *ret_image = image;
    return OK;
}
