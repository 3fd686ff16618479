#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "engine/data/image_codec.h"

/* A progressive file has a dozen scans; one of thousands would keep a processor busy for minutes. */
#define MAX_SCANS 200

/* libjpeg reports by longjmp: what must survive the jump is reached through pointers only. */
struct jpeg_reporter {
    struct jpeg_error_mgr manager; /* first, so that libjpeg's pointer is ours */
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    char message[JMSG_LENGTH_MAX];
};

static void on_error(j_common_ptr jpeg)
{
    struct jpeg_reporter *r = (struct jpeg_reporter *)jpeg->err;
    r->manager.format_message(jpeg, r->message);
    longjmp(r->escape, 1);
}

/* libjpeg fills in what is missing with grey and only warns; for us that is a damaged file. */
static void on_message(j_common_ptr jpeg, int level)
{
    (void)level;
    switch (jpeg->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
        on_error(jpeg);
    }
}

static void on_progress(j_common_ptr common)
{
    struct jpeg_reporter *r = (struct jpeg_reporter *)common->err;
    if (((j_decompress_ptr)common)->input_scan_number <= MAX_SCANS)
        return;
    snprintf(r->message, sizeof(r->message), "it has more than %d scans", MAX_SCANS);
    longjmp(r->escape, 1);
}

static void report_through(struct jpeg_reporter *r)
{
    jpeg_std_error(&r->manager);
    r->manager.error_exit = on_error;
    r->manager.emit_message = on_message;
}

/* ---- orientation ---- */

/* EXIF's tag 0x0112 of the first image directory: 1 to 8, 1 when there is none. */
static int exif_orientation(const uint8_t *p, size_t size)
{
    if (size < 14 || memcmp(p, "Exif\0", 6))
        return 1;
    p += 6, size -= 6;
    bool is_little = p[0] == 'I';
    if (memcmp(p, is_little ? "II\x2a\0" : "MM\0\x2a", 4))
        return 1;
    size_t at = image_number(p + 4, 4, is_little);
    if (at > size - 2)
        return 1;
    size_t n = image_number(p + at, 2, is_little);
    for (at += 2; n > 0 && at + 12 <= size; n--, at += 12)
        if (image_number(p + at, 2, is_little) == 0x0112) {
            unsigned value = image_number(p + at + 8, 2, is_little);
            return value >= 1 && value <= 8 ? (int)value : 1;
        }
    return 1;
}

/* The image as EXIF says it should be seen: imread turns it so, except when asked for the file as it is. */
static void orient(struct image *image, int orientation)
{
    static const struct {
        bool transposed, flip_rows, flip_columns; /* where the pixel is taken from */
    } table[9] = {
        [2] = {false, false, true}, [3] = {false, true, true}, [4] = {false, true, false},
        [5] = {true, false, false}, [6] = {true, true, false}, [7] = {true, true, true},
        [8] = {true, false, true},
    };
    bool transposed = table[orientation].transposed;
    size_t channels = (size_t)image->channels;
    struct image out = *image;
    if (transposed)
        out.height = image->width, out.width = image->height;
    out.pixels = xmalloc((size_t)out.height * (size_t)out.width * channels);
    uint8_t *to = out.pixels;
    for (int y = 0; y < out.height; y++)
        for (int x = 0; x < out.width; x++, to += channels) {
            int row = transposed ? x : y, column = transposed ? y : x;
            if (table[orientation].flip_rows)
                row = image->height - 1 - row;
            if (table[orientation].flip_columns)
                column = image->width - 1 - column;
            memcpy(to, image->pixels + ((size_t)row * (size_t)image->width + (size_t)column) * channels,
                   channels);
        }
    image_release(image);
    *image = out;
}

static int find_orientation(const struct jpeg_decompress_struct *jpeg)
{
    for (const struct jpeg_marker_struct *m = jpeg->marker_list; m; m = m->next)
        if (m->marker == JPEG_APP0 + 1)
            return exif_orientation(m->data, m->data_length);
    return 1;
}

/* ---- decode ---- */

/* Adobe's inverted CMYK, one row in place: cmyk (width,4) -> bgr (width,3) or grey (width). */
static void cmyk_row(const uint8_t *cmyk, int width, int channels, uint8_t *to)
{
    for (int x = 0; x < width; x++, cmyk += 4, to += channels) {
        int k = cmyk[3];
        int red = k - ((255 - cmyk[0]) * k >> 8);
        int green = k - ((255 - cmyk[1]) * k >> 8);
        int blue = k - ((255 - cmyk[2]) * k >> 8);
        if (channels == 1)
            to[0] = (uint8_t)((red * 4899 + green * 9617 + blue * 1868 + (1 << 13)) >> 14);
        else
            to[0] = (uint8_t)blue, to[1] = (uint8_t)green, to[2] = (uint8_t)red;
    }
}

/* What a decoding makes; reached through a pointer, so it is whole after a jump. */
struct decoded {
    struct image image;
    int orientation;
    uint8_t *cmyk; /* one row, or NULL */
};

static enum status decode(struct jpeg_decompress_struct *jpeg, struct jpeg_reporter *r, const void *bytes,
                          size_t size, const char *name, enum image_color color, struct decoded *out,
                          struct error *err)
{
    struct image *image = &out->image;
    if (setjmp(r->escape))
        return error_set(err, INVALID, "JPEG image '%s' is damaged: %s", name, r->message);
    jpeg_create_decompress(jpeg);
    r->progress.progress_monitor = on_progress;
    jpeg->progress = &r->progress;
    jpeg_mem_src(jpeg, bytes, size);
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(jpeg, TRUE);
    out->orientation = find_orientation(jpeg);
    bool is_cmyk = jpeg->num_components == 4;
    bool is_grey = color == IMAGE_GREY || (color == IMAGE_AS_IS && jpeg->num_components == 1);
    TRY(image_allocate(jpeg->image_height, jpeg->image_width, is_grey ? 1 : 3, name, image, err));
    jpeg->out_color_space = is_cmyk ? JCS_CMYK : is_grey ? JCS_GRAYSCALE : JCS_EXT_BGR;
    jpeg_start_decompress(jpeg);
    if (is_cmyk)
        out->cmyk = xmalloc((size_t)image->width * 4);
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *to =
            image->pixels + (size_t)jpeg->output_scanline * (size_t)image->width * (size_t)image->channels;
        JSAMPROW row = is_cmyk ? out->cmyk : to;
        jpeg_read_scanlines(jpeg, &row, 1);
        if (is_cmyk)
            cmyk_row(out->cmyk, image->width, image->channels, to);
    }
    jpeg_finish_decompress(jpeg);
    return OK;
}

enum status jpeg_decode(const void *bytes, size_t size, const char *name, enum image_color color,
                        struct image *ret_image, struct error *err)
{
    struct jpeg_reporter reporter;
    report_through(&reporter);
    struct jpeg_decompress_struct jpeg = {.err = &reporter.manager};
    struct decoded out = {0};
    enum status status = decode(&jpeg, &reporter, bytes, size, name, color, &out, err);
    jpeg_destroy_decompress(&jpeg);
    free(out.cmyk);
    if (status != OK) {
        image_release(&out.image);
        return status;
    }
    if (out.orientation != 1 && color != IMAGE_AS_IS)
        orient(&out.image, out.orientation);
    *ret_image = out.image;
    return OK;
}

/* ---- encode ---- */

static enum status encode(struct jpeg_compress_struct *jpeg, struct jpeg_reporter *r,
                          const struct image *image, unsigned char **bytes, unsigned long *size,
                          struct error *err)
{
    if (setjmp(r->escape))
        return error_set(err, FAILED, "cannot write a JPEG image: %s", r->message);
    jpeg_create_compress(jpeg);
    jpeg_mem_dest(jpeg, bytes, size);
    jpeg->image_width = (JDIMENSION)image->width;
    jpeg->image_height = (JDIMENSION)image->height;
    jpeg->input_components = image->channels;
    jpeg->in_color_space = image->channels == 1 ? JCS_GRAYSCALE : JCS_EXT_BGR;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, 95, TRUE);
    jpeg_start_compress(jpeg, TRUE);
    while (jpeg->next_scanline < jpeg->image_height) {
        JSAMPROW row =
            image->pixels + (size_t)jpeg->next_scanline * (size_t)image->width * (size_t)image->channels;
        jpeg_write_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_compress(jpeg);
    return OK;
}

enum status jpeg_encode(const struct image *image, char **ret_bytes, size_t *ret_size, struct error *err)
{
    struct jpeg_reporter reporter;
    report_through(&reporter);
    struct jpeg_compress_struct jpeg = {.err = &reporter.manager};
    unsigned char *bytes = NULL;
    unsigned long size = 0;
    enum status status = encode(&jpeg, &reporter, image, &bytes, &size, err);
    jpeg_destroy_compress(&jpeg);
    if (status != OK) {
        free(bytes);
        return status;
    }
    *ret_bytes = (char *)bytes;
    *ret_size = size;
    return OK;
}
