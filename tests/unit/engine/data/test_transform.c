#include "../../test.h"
#include "engine/data/transform.h"

/* A 2-channel image of 3 x 4: channel c, row y, column x is 100c + 10y + x. */
enum { C = 2, H = 3, W = 4 };

static void fill_planar(uint8_t *bytes)
{
    for (int c = 0; c < C; c++)
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++)
                *bytes++ = (uint8_t)(100 * c + 10 * y + x);
}

static void fill_interleaved(uint8_t *bytes)
{
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int c = 0; c < C; c++)
                *bytes++ = (uint8_t)(100 * c + 10 * y + x);
}

static struct transform *make(const Caffe__TransformationParameter *param, Caffe__Phase phase,
                              const char *folder)
{
    struct error err;
    struct transform *t;
    assert_ok(transform_create(param, phase, folder, &t, &err));
    return t;
}

static void check_middle_crop(const Caffe__TransformationParameter *param, const char *folder,
                              const float *want)
{
    uint8_t planar[C * H * W], interleaved[C * H * W];
    float floats[C * H * W];
    fill_planar(planar);
    fill_interleaved(interleaved);
    for (int i = 0; i < C * H * W; i++)
        floats[i] = planar[i];
    const struct sample samples[] = {
        {C, H, W, planar, NULL, false}, {C, H, W, interleaved, NULL, true}, {C, H, W, NULL, floats, false}};
    CLEANUP(transform_freep) struct transform *t = make(param, CAFFE__PHASE__TEST, folder);
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        struct error err;
        struct shape shape;
        struct rng rng = {0};
        float out[C * 2 * 2];
        assert_ok(transform_shape(t, &samples[i], 5, &shape, &err));
        assert_int_equal(shape.n_axes, 4);
        assert_int_equal(shape.dim[0], 5);
        assert_int_equal(shape.dim[1], C);
        assert_int_equal(shape.dim[2], 2);
        assert_int_equal(shape.dim[3], 2);
        transform_apply(t, &samples[i], &rng, out);
        for (int k = 0; k < C * 2 * 2; k++)
            assert_float_equal(out[k], want[k], 1e-6);
    }
}

/* 3 - 2 is odd: the middle starts at row 0; 4 - 2: at column 1. */
static void test_phase_crops_the_middle_rounding_down(void **state)
{
    (void)state;
    Caffe__TransformationParameter param = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    param.crop_size = 2;
    check_middle_crop(&param, NULL, (float[]){1, 2, 11, 12, 101, 102, 111, 112});
}

static void scale_comes_after_the_mean_values(void **state)
{
    (void)state;
    Caffe__TransformationParameter param = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    float means[2] = {1, 100};
    param.crop_size = 2;
    param.scale = 0.5f;
    param.mean_value = means;
    param.n_mean_value = 2;
    check_middle_crop(&param, NULL, (float[]){0, 0.5f, 5, 5.5f, 0.5f, 1, 5.5f, 6});
    param.n_mean_value = 1;
    check_middle_crop(&param, NULL, (float[]){0, 0.5f, 5, 5.5f, 50, 50.5f, 55, 55.5f});
}

static void write_mean(const char *folder, bool legacy, bool as_double)
{
    struct error err;
    Caffe__BlobProto blob = CAFFE__BLOB_PROTO__INIT;
    Caffe__BlobShape shape = CAFFE__BLOB_SHAPE__INIT;
    int64_t dims[4] = {1, C, H, W};
    float floats[C * H * W];
    double doubles[C * H * W];
    for (int i = 0; i < C * H * W; i++)
        doubles[i] = floats[i] = (float)i;
    if (legacy) {
        blob.has_num = blob.has_channels = blob.has_height = blob.has_width = true;
        blob.num = 1, blob.channels = C, blob.height = H, blob.width = W;
    } else {
        shape.n_dim = 4, shape.dim = dims;
        blob.shape = &shape;
    }
    if (as_double)
        blob.n_double_data = C * H * W, blob.double_data = doubles;
    else
        blob.n_data = C * H * W, blob.data = floats;
    uint8_t bytes[1024];
    size_t size = caffe__blob_proto__pack(&blob, bytes);
    CLEANUP(freep) char *path = path_join(folder, "mean.binaryproto");
    assert_ok(file_write(path, bytes, size, 0644, &err));
}

/* mean[c][y][x] = 12c + 4y + x, read at the crop: value - mean = 88c + 6y. */
static void the_mean_image_is_read_at_the_crop(void **state)
{
    (void)state;
    CLEANUP(freep) char *folder = test_folder();
    Caffe__TransformationParameter param = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    param.crop_size = 2;
    param.mean_file = (char *)"mean.binaryproto";
    for (int form = 0; form < 4; form++) {
        write_mean(folder, form & 1, form & 2);
        check_middle_crop(&param, folder, (float[]){0, 0, 6, 6, 88, 88, 94, 94});
    }
    dir_remove(folder, NULL);
}

static void random_crops_reach_every_place_and_mirror_flips_half(void **state)
{
    (void)state;
    Caffe__TransformationParameter param = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    param.crop_size = 2;
    param.mirror = true;
    CLEANUP(transform_freep) struct transform *t = make(&param, CAFFE__PHASE__TRAIN, NULL);
    uint8_t bytes[C * H * W];
    fill_planar(bytes);
    struct sample sample = {C, H, W, bytes, NULL, false};
    struct rng rng;
    rng_seed(&rng, 7);
    int seen[2][3][2] = {0}; /* row, column, mirrored */
    for (int i = 0; i < 1200; i++) {
        float out[C * 2 * 2];
        transform_apply(t, &sample, &rng, out);
        bool mirrored = out[0] > out[1];
        int corner = (int)(mirrored ? out[1] : out[0]);
        seen[corner / 10][corner % 10][mirrored]++;
    }
    for (int y = 0; y < 2; y++)
        for (int x = 0; x < 3; x++)
            for (int m = 0; m < 2; m++)
                assert_in_range(seen[y][x][m], 60, 140);
}

static void the_test_phase_mirrors_too_but_draws_nothing_without_it(void **state)
{
    (void)state;
    uint8_t bytes[C * H * W];
    fill_planar(bytes);
    struct sample sample = {C, H, W, bytes, NULL, false};
    float out[C * H * W];
    int n_mirrored = 0;
    struct rng rng;
    rng_seed(&rng, 3);
    Caffe__TransformationParameter param = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    param.mirror = true;
    CLEANUP(transform_freep) struct transform *mirror = make(&param, CAFFE__PHASE__TEST, NULL);
    for (int i = 0; i < 200; i++) {
        transform_apply(mirror, &sample, &rng, out);
        n_mirrored += out[0] == 3;
    }
    assert_in_range(n_mirrored, 60, 140);
    struct rng before = rng;
    CLEANUP(transform_freep) struct transform *plain = make(NULL, CAFFE__PHASE__TRAIN, NULL);
    transform_apply(plain, &sample, &rng, out);
    assert_memory_equal(&rng, &before, sizeof(rng));
    for (int i = 0; i < C * H * W; i++)
        assert_float_equal(out[i], bytes[i], 0);
}

static void settings_that_do_not_fit_are_explained(void **state)
{
    (void)state;
    struct error err;
    struct shape shape;
    struct sample sample = {C, H, W, (const uint8_t *)"", NULL, false};
    float means[3] = {1, 2, 3};

    Caffe__TransformationParameter big = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    big.crop_size = 4;
    CLEANUP(transform_freep) struct transform *crop = make(&big, CAFFE__PHASE__TEST, NULL);
    assert_int_equal(transform_shape(crop, &sample, 1, &shape, &err), INVALID);
    assert_string_equal(err.message, "crop_size 4 does not fit an image of height 3 and width 4");

    Caffe__TransformationParameter three = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    three.n_mean_value = 3, three.mean_value = means;
    CLEANUP(transform_freep) struct transform *values = make(&three, CAFFE__PHASE__TEST, NULL);
    assert_int_equal(transform_shape(values, &sample, 1, &shape, &err), INVALID);
    assert_string_equal(err.message, "3 mean_values for 2 channels; give one, or one a channel");

    struct transform *none;
    three.mean_file = (char *)"m";
    assert_int_equal(transform_create(&three, CAFFE__PHASE__TEST, NULL, &none, &err), INVALID);
    Caffe__TransformationParameter file = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    file.mean_file = (char *)"/nonexistent/mean";
    assert_int_equal(transform_create(&file, CAFFE__PHASE__TEST, NULL, &none, &err), NOT_FOUND);

    CLEANUP(transform_freep) struct transform *plain = make(NULL, CAFFE__PHASE__TEST, NULL);
    assert_int_equal(transform_shape(plain, &sample, 0, &shape, &err), INVALID);
    assert_int_equal(transform_shape(plain, &sample, 2000000000, &shape, &err), TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phase_crops_the_middle_rounding_down),
        cmocka_unit_test(scale_comes_after_the_mean_values),
        cmocka_unit_test(the_mean_image_is_read_at_the_crop),
        cmocka_unit_test(random_crops_reach_every_place_and_mirror_flips_half),
        cmocka_unit_test(the_test_phase_mirrors_too_but_draws_nothing_without_it),
        cmocka_unit_test(settings_that_do_not_fit_are_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
