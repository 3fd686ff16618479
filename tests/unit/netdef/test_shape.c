#include "../test.h"

#include "netdef/netdef.h"

static void a_scalar_counts_one_and_axes_multiply(void **state)
{
    (void)state;
    struct shape scalar = {.n_axes = 0}, image = {.n_axes = 4, .dim = {64, 3, 28, 30}};
    assert_int_equal(shape_count(&scalar), 1);
    assert_int_equal(shape_count(&image), 161280);
    assert_int_equal(shape_count_range(&image, 1, 3), 84);
    assert_int_equal(shape_count_range(&image, 2, 2), 1);
}

static void a_count_past_64_bits_stops_at_the_largest(void **state)
{
    (void)state;
    struct shape s = {.n_axes = 3, .dim = {2147483647, 2147483647, 2147483647}};
    assert_true(shape_count(&s) == INT64_MAX);
}

static void negative_axes_count_from_the_end(void **state)
{
    (void)state;
    struct shape s = {.n_axes = 4, .dim = {1, 2, 3, 4}};
    static const struct {
        int axis, want;
    } rows[] = {{0, 0}, {3, 3}, {-1, 3}, {-4, 0}, {4, -1}, {-5, -1}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(shape_axis(&s, rows[i].axis), rows[i].want);
}

static void shapes_are_written_as_caffe_logs_them(void **state)
{
    (void)state;
    char text[SHAPE_TEXT_MAX];
    struct shape image = {.n_axes = 4, .dim = {64, 1, 28, 28}}, scalar = {.n_axes = 0}, none = {.n_axes = -1};
    assert_string_equal(shape_text(&image, text), "64 1 28 28 (50176)");
    assert_string_equal(shape_text(&scalar, text), "(1)");
    assert_string_equal(shape_text(&none, text), "unknown");
    struct shape widest = {.n_axes = SHAPE_MAX_AXES};
    for (int i = 0; i < SHAPE_MAX_AXES; i++)
        widest.dim[i] = 2147483647;
    assert_true(strlen(shape_text(&widest, text)) < SHAPE_TEXT_MAX - 1);
}

static void a_blob_has_its_shape_field_or_the_legacy_four(void **state)
{
    (void)state;
    struct shape shape;
    int64_t dims[] = {10, 500}, bad[] = {10, -1};
    Caffe__BlobShape field = CAFFE__BLOB_SHAPE__INIT;
    Caffe__BlobProto blob = CAFFE__BLOB_PROTO__INIT;
    field.n_dim = 2;
    field.dim = dims;
    blob_proto_shape(&blob, &shape);
    assert_true(shape_equal(&shape, &(struct shape){.n_axes = 0}));
    blob.shape = &field;
    blob_proto_shape(&blob, &shape);
    assert_true(shape_equal(&shape, &(struct shape){.n_axes = 2, .dim = {10, 500}}));
    field.dim = bad;
    blob_proto_shape(&blob, &shape);
    assert_false(shape_is_known(&shape));
    blob.has_num = true;
    blob.num = 1;
    blob.channels = 1;
    blob.height = 10;
    blob.width = 500;
    blob_proto_shape(&blob, &shape);
    assert_true(shape_equal(&shape, &(struct shape){.n_axes = 4, .dim = {1, 1, 10, 500}}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scalar_counts_one_and_axes_multiply),
        cmocka_unit_test(a_count_past_64_bits_stops_at_the_largest),
        cmocka_unit_test(negative_axes_count_from_the_end),
        cmocka_unit_test(shapes_are_written_as_caffe_logs_them),
        cmocka_unit_test(a_blob_has_its_shape_field_or_the_legacy_four),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
