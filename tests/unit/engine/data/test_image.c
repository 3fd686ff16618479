#include "../../test.h"
#include "engine/data/image.h"

/* Pixels in HWC order, colour as blue, green, red. */
struct image_case {
    const char *file;
    enum image_color color;
    int height, width, channels;
    uint8_t pixels[8 * 9 * 4];
};

#include "expected_images.h"

static char *file_path(const char *name)
{
    return path_join(getenv("ET_TEST_FILES"), name);
}

static struct image load(const char *name, enum image_color color)
{
    struct error err;
    struct image image;
    CLEANUP(freep) char *path = file_path(name);
    assert_ok(image_load(path, color, &image, &err));
    return image;
}

static void check(const struct image *image, const struct image_case *want)
{
    assert_int_equal(image->height, want->height);
    assert_int_equal(image->width, want->width);
    assert_int_equal(image->channels, want->channels);
    size_t size = (size_t)want->height * (size_t)want->width * (size_t)want->channels;
    assert_memory_equal(image->pixels, want->pixels, size);
}

static void files_decode_to_the_bytes_of_imread(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(image_cases); i++) {
        print_message("# %s, mode %d\n", image_cases[i].file, image_cases[i].color);
        CLEANUP(image_release) struct image image = load(image_cases[i].file, image_cases[i].color);
        check(&image, &image_cases[i]);
    }
}

static void resizing_gives_the_bytes_of_opencv(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(resize_cases); i++) {
        const struct image_case *want = &resize_cases[i];
        print_message("# %s to %d x %d\n", want->file, want->height, want->width);
        CLEANUP(image_release) struct image image = load(want->file, want->color);
        CLEANUP(image_release) struct image resized = {0};
        image_resize(&image, want->height, want->width, &resized);
        check(&resized, want);
    }
}

static void every_cut_of_a_file_is_an_error(void **state)
{
    (void)state;
    static const char *const files[] = {"rgb.png", "palette.png", "rgb.jpg", "turned.jpg",
                                        "rgb.bmp", "palette.bmp", "rgb.ppm", "deep.ppm"};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        struct error err;
        CLEANUP(freep) char *path = file_path(files[i]);
        CLEANUP(freep) char *bytes = NULL;
        size_t size;
        assert_ok(file_read(path, 1 << 20, &bytes, &size, &err));
        for (size_t n = 0; n < size; n++) {
            /* A copy of just these bytes, so that the sanitizer sees a read behind them. */
            CLEANUP(freep) char *cut = xmalloc(MAX(n, 1u));
            memcpy(cut, bytes, n);
            CLEANUP(image_release) struct image image = {0};
            assert_int_equal(image_decode(cut, n, files[i], IMAGE_COLOR, &image, &err), INVALID);
            assert_non_null(strstr(err.message, files[i]));
        }
    }
}

static void flipped_bytes_never_end_the_process(void **state)
{
    (void)state;
    static const char *const files[] = {"rgba.png",    "rgb.jpg",   "turned.jpg", "cmyk.jpg",
                                        "palette.bmp", "top32.bmp", "rgb.ppm"};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        struct error err;
        CLEANUP(freep) char *path = file_path(files[i]);
        CLEANUP(freep) char *bytes = NULL;
        size_t size;
        assert_ok(file_read(path, 1 << 20, &bytes, &size, &err));
        for (size_t n = 0; n < size; n++) {
            CLEANUP(image_release) struct image image = {0};
            bytes[n] = (char)~bytes[n];
            enum status status = image_decode(bytes, size, files[i], IMAGE_AS_IS, &image, &err);
            assert_true(status == OK || status == INVALID || status == TOO_LARGE);
            bytes[n] = (char)~bytes[n];
        }
    }
}

static void what_is_no_image_is_refused_by_name(void **state)
{
    (void)state;
    struct error err;
    struct image image;
    assert_int_equal(image_decode("GIF89a", 6, "cat.gif", IMAGE_COLOR, &image, &err), INVALID);
    assert_string_equal(err.message, "'cat.gif' is not a JPEG, PNG, BMP or PNM (P5, P6) image");
    assert_int_equal(image_load("/nonexistent/cat.png", IMAGE_COLOR, &image, &err), NOT_FOUND);
}

static void kinds_of_bmp_and_pnm_that_are_not_read_are_named(void **state)
{
    (void)state;
    struct error err;
    struct image image;
    CLEANUP(freep) char *path = file_path("rgb.bmp");
    CLEANUP(freep) char *bytes = NULL;
    size_t size;
    assert_ok(file_read(path, 1 << 20, &bytes, &size, &err));
    bytes[28] = 16;
    assert_int_equal(image_decode(bytes, size, "a.bmp", IMAGE_COLOR, &image, &err), INVALID);
    assert_non_null(strstr(err.message, "'a.bmp' is of a kind that is not read: 16 bits"));
    static const char *const heads[] = {"P5 0 3 255 abc", "P6 1 1 70000 abc", "P5 99999999 1 255 a",
                                        "P5 1 1x255 a"};
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
        assert_int_equal(image_decode(heads[i], strlen(heads[i]), "a.pgm", IMAGE_COLOR, &image, &err),
                         INVALID);
        assert_non_null(strstr(err.message, "its head is not a width, a height and a largest value"));
    }
}

static void an_image_over_the_limit_is_refused_before_it_is_allocated(void **state)
{
    (void)state;
    /* The head of a PNG of 65,536 x 65,536 grey pixels (IHDR with its checksum). */
    static const uint8_t head[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0,    0, 0, 13,
                                   'I',  'H', 'D', 'R', 0,    1,    0,    0,    0,    1, 0, 0,
                                   8,    0,   0,   0,   0,    0x49, 0xef, 0x6f, 0x3f, 0, 0, 0,
                                   1,    'I', 'D', 'A', 'T',  0,    0,    0,    0,    0};
    struct error err;
    struct image image;
    assert_int_equal(image_decode(head, sizeof(head), "bomb.png", IMAGE_GREY, &image, &err), TOO_LARGE);
    assert_non_null(strstr(err.message, "65536 x 65536"));
}

static void a_jpeg_of_hundreds_of_scans_is_refused(void **state)
{
    (void)state;
    struct error err;
    struct image image;
    CLEANUP(freep) char *path = file_path("scans.jpg");
    assert_int_equal(image_load(path, IMAGE_GREY, &image, &err), INVALID);
    assert_non_null(strstr(err.message, "more than 200 scans"));
}

static void png_brings_back_what_was_encoded(void **state)
{
    (void)state;
    struct error err;
    static const char *const files[] = {"rgb.png", "grey.png"};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        CLEANUP(image_release) struct image image = load(files[i], IMAGE_AS_IS);
        CLEANUP(image_release) struct image again = {0};
        CLEANUP(freep) char *bytes = NULL;
        size_t size;
        assert_ok(image_encode(&image, IMAGE_PNG, &bytes, &size, &err));
        assert_ok(image_decode(bytes, size, "again", IMAGE_AS_IS, &again, &err));
        assert_int_equal(again.channels, image.channels);
        assert_memory_equal(again.pixels, image.pixels, (size_t)(12 * image.channels));
    }
}

static void jpeg_brings_back_nearly_what_was_encoded(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(image_release) struct image image = {.height = 8, .width = 8, .channels = 3};
    CLEANUP(image_release) struct image again = {0};
    CLEANUP(freep) char *bytes = NULL;
    size_t size;
    image.pixels = xmalloc(8 * 8 * 3);
    for (int i = 0; i < 64; i++)
        memcpy(image.pixels + 3 * i, (uint8_t[]){30, 120, 220}, 3);
    assert_ok(image_encode(&image, IMAGE_JPEG, &bytes, &size, &err));
    assert_ok(image_decode(bytes, size, "again", IMAGE_COLOR, &again, &err));
    for (int i = 0; i < 8 * 8 * 3; i++)
        assert_in_range(again.pixels[i], image.pixels[i] - 3, image.pixels[i] + 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_decode_to_the_bytes_of_imread),
        cmocka_unit_test(resizing_gives_the_bytes_of_opencv),
        cmocka_unit_test(every_cut_of_a_file_is_an_error),
        cmocka_unit_test(flipped_bytes_never_end_the_process),
        cmocka_unit_test(what_is_no_image_is_refused_by_name),
        cmocka_unit_test(kinds_of_bmp_and_pnm_that_are_not_read_are_named),
        cmocka_unit_test(an_image_over_the_limit_is_refused_before_it_is_allocated),
        cmocka_unit_test(a_jpeg_of_hundreds_of_scans_is_refused),
        cmocka_unit_test(png_brings_back_what_was_encoded),
        cmocka_unit_test(jpeg_brings_back_nearly_what_was_encoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
