/* WindowData: files, samples, and windows worked by hand. */
#include "data_test.h"
#include "engine/data/window_list.h"

/* 4 x 4 pixels; blue is 16 y + 4 x (or `value`), green one more, red two more. */
static void write_image(const char *folder, const char *name, int value)
{
    struct error err;
    uint8_t pixels[48];
    for (int i = 0; i < 48; i++)
        pixels[i] = (uint8_t)((value >= 0 ? value : 16 * (i / 12) + 4 * (i / 3 % 4)) + i % 3);
    struct image image = {4, 4, 3, pixels};
    CLEANUP(freep) char *path = path_join(folder, name);
    CLEANUP(freep) char *bytes = NULL;
    size_t size;
    assert_ok(image_encode(&image, IMAGE_PNG, &bytes, &size, &err));
    assert_ok(file_write(path, bytes, size, 0644, &err));
}

struct setting {
    const char *list;
    uint32_t batch, crop, context_pad;
    const char *crop_mode;
    bool mirror, cache;
};

static enum status open_windows(const char *folder, const struct setting *setting, struct source **ret_source,
                                struct error *err)
{
    write_text(folder, "windows.txt", setting->list);
    float mean = 1;
    Caffe__WindowDataParameter window = CAFFE__WINDOW_DATA_PARAMETER__INIT;
    Caffe__TransformationParameter transform = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    window.source = (char *)"windows.txt";
    window.batch_size = setting->batch;
    window.context_pad = setting->context_pad;
    window.scale = 2;
    window.bg_threshold = 0.3f;
    window.cache_images = setting->cache;
    if (setting->crop_mode)
        window.crop_mode = (char *)setting->crop_mode;
    transform.crop_size = setting->crop;
    transform.mirror = setting->mirror;
    transform.n_mean_value = 1, transform.mean_value = &mean;
    Caffe__LayerParameter layer = data_layer_param("WindowData", 2);
    layer.window_data_param = &window;
    layer.transform_param = &transform;
    struct source_options options = {.param = &layer, .folder = folder, .seed = 4};
    return source_ops_find("WindowData")->open(&options, ret_source, err);
}

#define ONE_IMAGE(windows) "# 0\nimage.png\n3 4 4\n" windows

static void windows_are_warped_and_those_of_the_foreground_come_last(void **state)
{
    (void)state;
    for (int cache = 0; cache < 2; cache++) {
        struct error err;
        CLEANUP(freep) char *folder = test_folder();
        write_image(folder, "image.png", -1);
        /* The third is of neither set. */
        const struct setting setting = {ONE_IMAGE("3\n2 0.9 0 0 3 3\n7 0.1 1 1 2 2\n9 0.4 0 0 0 0\n"), 4, 2,
                                        .cache = cache};
        struct source *s;
        assert_ok(open_windows(folder, &setting, &s, &err));
        assert_true(shape_equal(&s->tops[0], &(struct shape){4, {4, 3, 2, 2}}));
        assert_true(shape_equal(&s->tops[1], &(struct shape){1, {4}}));
        /* Blue: the middle four pixels as they are; the whole image by means of 2 x 2. */
        static const float small[] = {20, 24, 36, 40}, whole[] = {10, 18, 42, 50};
        for (int pass = 0; pass < 2; pass++) {
            float data[48], labels[4];
            assert_ok(s->ops->read(s, (float *const[]){data, labels}, &err));
            for (int i = 0; i < 48; i++)
                assert_float_equal(data[i], 2 * ((i < 36 ? small : whole)[i % 4] + i / 4 % 3 - 1), 0);
            for (int i = 0; i < 4; i++)
                assert_float_equal(labels[i], i < 3 ? 0 : 2, 0);
        }
        s->ops->close(s);
        assert_ok(dir_remove(folder, &err));
    }
}

/*
 * A window of 2 x 2 in the corner with context for a crop of 4: from -1 to 3,
 * of which -1 is outside; 4 of 5 pixels make 3.2 of 4, one makes 0.8.
 * A window of 2 x 4 made square: from 0 to 4 both ways, the last outside.
 */
static void context_outside_of_the_image_is_zero(void **state)
{
    (void)state;
    static const struct {
        const char *list, *crop_mode;
        uint32_t context_pad;
        bool mirror;
        int left, top;
    } rows[] = {
        {ONE_IMAGE("2\n1 1 0 0 1 1\n0 0 0 0 1 1\n"), "warp", 1, false, 1, 1},
        {ONE_IMAGE("2\n1 1 0 0 1 1\n0 0 0 0 1 1\n"), "warp", 1, true, 1, 1},
        {ONE_IMAGE("2\n1 1 1 0 2 3\n0 0 1 0 2 3\n"), "square", 0, false, 0, 0},
        {ONE_IMAGE("2\n1 1 1 0 2 3\n0 0 1 0 2 3\n"), "square", 0, true, 0, 0},
    };
    for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
        struct error err;
        CLEANUP(freep) char *folder = test_folder();
        write_image(folder, "image.png", 7);
        const struct setting setting = {rows[k].list,   8,    4, rows[k].context_pad, rows[k].crop_mode,
                                        rows[k].mirror, false};
        struct source *s;
        assert_ok(open_windows(folder, &setting, &s, &err));
        float data[8 * 48], labels[8];
        assert_ok(s->ops->read(s, (float *const[]){data, labels}, &err));
        int n_mirrored = 0;
        for (int w = 0; w < 8; w++) {
            const float *blue = data + w * 48;
            int empty_column = blue[1 * 4 + 0] == 0 ? 0 : 3;
            bool mirrored = empty_column != (rows[k].left ? 0 : 3);
            n_mirrored += mirrored;
            for (int i = 0; i < 48; i++) {
                int y = i / 4 % 4, x = i % 4;
                bool is_empty = x == empty_column || y == (rows[k].top ? 0 : 3);
                assert_float_equal(blue[i], is_empty ? 0 : 2 * (7 + i / 16 - 1), 0);
            }
        }
        assert_true(rows[k].mirror ? n_mirrored > 0 && n_mirrored < 8 : n_mirrored == 0);
        s->ops->close(s);
        assert_ok(dir_remove(folder, &err));
    }
}

/* Blue as OpenCV 4.6's resize makes it, at the places that Caffe's formulas give. */
static void pixels_are_those_that_opencv_makes_of_the_same_part(void **state)
{
    (void)state;
    static const struct {
        const char *list, *crop_mode;
        uint32_t context_pad;
        float blue[25];
    } rows[] = {
        {ONE_IMAGE("2\n1 1 1 1 2 3\n0 0 1 1 2 3\n"), "warp", 0, {38, 38, 42,  44,  46,  50,  52, 54, 58,
                                                                 58, 70, 70,  74,  78,  78,  88, 90, 92,
                                                                 96, 96, 102, 102, 106, 108, 110}},
        {ONE_IMAGE("2\n1 1 1 0 3 2\n0 0 1 0 3 2\n"), "warp", 1, {0, 0,  0,  0,  0, 4, 16, 26,  0,
                                                                 0, 48, 58, 68, 0, 0, 90, 100, 110,
                                                                 0, 0,  0,  0,  0, 0, 0}},
        {ONE_IMAGE("2\n1 1 0 1 3 2\n0 0 0 1 3 2\n"), "square", 0, {-2,  6,  14, 22, 0,  30, 38, 46,  54,
                                                                   0,   62, 70, 78, 86, 0,  94, 102, 110,
                                                                   118, 0,  0,  0,  0,  0,  0}},
        {ONE_IMAGE("2\n1 1 2 2 3 3\n0 0 2 2 3 3\n"), "square", 1, {38, 46,  54,  0,   0, 70, 78, 86, 0,
                                                                   0,  102, 110, 118, 0, 0,  0,  0,  0,
                                                                   0,  0,   0,   0,   0, 0,  0}},
    };
    for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
        struct error err;
        CLEANUP(freep) char *folder = test_folder();
        write_image(folder, "image.png", -1);
        const struct setting setting = {rows[k].list, 1, 5, rows[k].context_pad, rows[k].crop_mode};
        struct source *s;
        float data[75], label;
        assert_ok(open_windows(folder, &setting, &s, &err));
        assert_ok(s->ops->read(s, (float *const[]){data, &label}, &err));
        for (int i = 0; i < 25; i++)
            if (data[i] != rows[k].blue[i])
                fail_msg("row %zu, pixel %d: %g instead of %g", k, i, (double)data[i],
                         (double)rows[k].blue[i]);
        s->ops->close(s);
        assert_ok(dir_remove(folder, &err));
    }
}

static void a_resumed_source_draws_the_same_windows(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(freep) char *folder = test_folder();
    write_image(folder, "image.png", -1);
    const struct setting setting = {
        ONE_IMAGE("5\n1 1 0 0 1 1\n2 1 1 1 2 2\n3 1 2 2 3 3\n0 0 0 2 1 3\n0 0 2 0 3 1\n"), 6, 2,
        .mirror = true};
    struct source *s, *other;
    assert_ok(open_windows(folder, &setting, &s, &err));
    assert_ok(open_windows(folder, &setting, &other, &err));
    float data[72], labels[6], again[72], labels_again[6];
    assert_ok(s->ops->read(s, (float *const[]){data, labels}, &err));
    struct source_position position;
    s->ops->tell(s, &position);
    assert_ok(s->ops->read(s, (float *const[]){data, labels}, &err));
    assert_ok(other->ops->seek(other, &position, &err));
    assert_ok(other->ops->read(other, (float *const[]){again, labels_again}, &err));
    assert_memory_equal(data, again, sizeof(data));
    assert_memory_equal(labels, labels_again, sizeof(labels));
    s->ops->close(s);
    other->ops->close(other);
    assert_ok(dir_remove(folder, &err));
}

static void bad_files_and_settings_are_explained(void **state)
{
    (void)state;
#define GOOD ONE_IMAGE("2\n1 1 0 0 1 1\n0 0 0 0 1 1\n")
    static const struct {
        struct setting setting;
        const char *message; /* %s: the folder */
    } rows[] = {
        {{"", 1, 2}, "has 0 foreground and 0 background windows; both are needed"},
        {{ONE_IMAGE("1\n1 1 0 0 1 1\n"), 1, 2}, "has 1 foreground and 0 background windows; both are needed"},
        {{ONE_IMAGE("2\n1 1 0 0 1 1\n"), 1, 2},
         "line 6 of window file '%s/windows.txt': the end where a label should be"},
        {{ONE_IMAGE("1\n1 x 0 0 1 1\n"), 1, 2},
         "line 5 of window file '%s/windows.txt': 'x' where an overlap should be"},
        {{ONE_IMAGE("1\n0 1 0 0 1 1\n"), 1, 2}, "label 0 of a foreground window; it must be above 0"},
        {{ONE_IMAGE("1\n1 1 2 0 1 1\n"), 1, 2}, "the window from (2, 0) to (1, 1) is empty"},
        {{"# 1\n", 1, 2}, "line 1 of window file '%s/windows.txt': image 1, but it is number 0 of the file"},
        {{"# 0 a.png 1 4 4 0", 1, 2}, "'1' where 3 channels should be"},
        {{"image.png", 1, 2}, "'image.png' where '#' and an image's index should be"},
        {{GOOD, 1, 0}, "transform_param's crop_size 0 is not between 1 and 10000"},
        {{GOOD, 1, 4, 2}, "context_pad 2 leaves nothing of crop_size 4"},
        {{GOOD, 1, 4, 0, "round"}, "crop_mode 'round' is neither 'warp' nor 'square'"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        CLEANUP(freep) char *folder = test_folder();
        struct source *s;
        assert_int_equal(open_windows(folder, &rows[i].setting, &s, &err), INVALID);
        char wanted[ERROR_MESSAGE_MAX];
        const char *at = strstr(rows[i].message, "%s");
        if (at)
            snprintf(wanted, sizeof(wanted), "%.*s%s%s", (int)(at - rows[i].message), rows[i].message, folder,
                     at + 2);
        else
            snprintf(wanted, sizeof(wanted), "%s", rows[i].message);
        if (!strstr(err.message, wanted))
            fail_msg("'%s' does not say '%s'", err.message, wanted);
        assert_ok(dir_remove(folder, &err));
    }
}

static void a_window_outside_of_its_image_is_told_with_its_line(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(freep) char *folder = test_folder();
    write_image(folder, "image.png", 0);
    const struct setting setting = {ONE_IMAGE("2\n1 1 0 0 1 1\n0 0 3 3 4 4\n"), 1, 2};
    struct source *s;
    assert_ok(open_windows(folder, &setting, &s, &err));
    float data[12], labels[1];
    assert_int_equal(s->ops->read(s, (float *const[]){data, labels}, &err), INVALID);
    CLEANUP(freep)
    char *wanted =
        xasprintf("line 6 of window file '%s/windows.txt': the window from (3, 3) to (4, 4) is not inside "
                  "of image 'image.png' of 4 x 4",
                  folder);
    assert_string_equal(err.message, wanted);
    s->ops->close(s);
    assert_ok(dir_remove(folder, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_warped_and_those_of_the_foreground_come_last),
        cmocka_unit_test(context_outside_of_the_image_is_zero),
        cmocka_unit_test(pixels_are_those_that_opencv_makes_of_the_same_part),
        cmocka_unit_test(a_resumed_source_draws_the_same_windows),
        cmocka_unit_test(bad_files_and_settings_are_explained),
        cmocka_unit_test(a_window_outside_of_its_image_is_told_with_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
