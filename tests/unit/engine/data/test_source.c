#include "data_test.h"

/* Sources with tops of at most 64 floats. */
static struct source *open_source(const struct source_options *options)
{
    struct error err;
    struct source *s;
    assert_ok(source_ops_find(options->param->type)->open(options, &s, &err));
    return s;
}

static enum status open_fails(const struct source_options *options, struct error *err)
{
    struct source *s;
    return source_ops_find(options->param->type)->open(options, &s, err);
}

static void read_ok(struct source *s, float *data, float *label)
{
    struct error err;
    assert_ok(s->ops->read(s, (float *const[]){data, label}, &err));
}

/* ---- Data ---- */

static void data_reads_round_and_round(void **state)
{
    (void)state;
    static const enum db_backend backends[] = {DB_LMDB, DB_LEVELDB};
    for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
        CLEANUP(freep) char *folder = test_folder();
        CLEANUP(freep) char *path = path_join(folder, "db");
        make_pairs_db(backends[i], path, 5);
        Caffe__DataParameter data = CAFFE__DATA_PARAMETER__INIT;
        data.source = (char *)"db";
        data.batch_size = 3;
        data.backend =
            backends[i] == DB_LMDB ? CAFFE__DATA_PARAMETER__DB__LMDB : CAFFE__DATA_PARAMETER__DB__LEVELDB;
        Caffe__LayerParameter layer = data_layer_param("Data", 2);
        layer.data_param = &data;
        struct source *s = open_source(&(struct source_options){.param = &layer, .folder = folder});
        assert_int_equal(s->n_tops, 2);
        assert_int_equal(s->tops[0].n_axes, 4);
        assert_int_equal(s->tops[0].dim[0], 3);
        assert_int_equal(s->tops[0].dim[3], 2);
        assert_int_equal(s->tops[1].n_axes, 1);
        for (int row = 0; row < 12; row += 3) {
            float pairs[6], labels[3];
            read_ok(s, pairs, labels);
            for (int k = 0; k < 3; k++) {
                int record = (row + k) % 5;
                assert_float_equal(pairs[2 * k], record, 0);
                assert_float_equal(pairs[2 * k + 1], (2 * record), 0);
                assert_float_equal(labels[k], (10 + record), 0);
            }
        }
        s->ops->close(s);
        dir_remove(folder, NULL);
    }
}

static void make_record(const char *path, const Caffe__Datum *first, const Caffe__Datum *second)
{
    struct error err;
    struct db_writer *out;
    assert_ok(db_create(DB_LMDB, path, &out, &err));
    put_datum(out, 0, first);
    if (second)
        put_datum(out, 1, second);
    assert_ok(db_commit(out, &err));
    db_writer_free(out);
}

static void data_takes_float_records_and_encoded_ones(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *floats = path_join(folder, "floats");
    CLEANUP(freep) char *encoded = path_join(folder, "encoded");
    float values[2] = {-1.5f, 3.25f};
    Caffe__Datum datum = CAFFE__DATUM__INIT;
    datum.has_channels = datum.has_height = datum.has_width = true;
    datum.channels = 2, datum.height = datum.width = 1;
    datum.n_float_data = 2, datum.float_data = values;
    make_record(floats, &datum, NULL);

    uint8_t bgr[6] = {1, 2, 3, 40, 50, 60};
    struct image image = {1, 2, 3, bgr};
    CLEANUP(freep) char *png = NULL;
    size_t size;
    assert_ok(image_encode(&image, IMAGE_PNG, &png, &size, &err));
    Caffe__Datum file = CAFFE__DATUM__INIT;
    file.has_encoded = file.encoded = file.has_data = true;
    file.data = (ProtobufCBinaryData){size, (uint8_t *)png};
    make_record(encoded, &file, NULL);

    Caffe__DataParameter data = CAFFE__DATA_PARAMETER__INIT;
    data.batch_size = 1;
    data.backend = CAFFE__DATA_PARAMETER__DB__LMDB;
    Caffe__LayerParameter layer = data_layer_param("Data", 1);
    layer.data_param = &data;
    float got[6];

    data.source = floats;
    struct source *s = open_source(&(struct source_options){.param = &layer});
    assert_int_equal(s->n_tops, 1);
    read_ok(s, got, NULL);
    assert_float_equal(got[0], -1.5, 0);
    assert_float_equal(got[1], 3.25, 0);
    s->ops->close(s);

    data.source = encoded;
    s = open_source(&(struct source_options){.param = &layer});
    read_ok(s, got, NULL);
    static const float planes[6] = {1, 40, 2, 50, 3, 60};
    assert_memory_equal(got, planes, sizeof(planes));
    s->ops->close(s);

    /* 0.299 * 3 + 0.587 * 2 + 0.114 * 1 = 2.2; 0.299 * 60 + 0.587 * 50 + 0.114 * 40 = 51.85, cut or rounded.
     */
    Caffe__TransformationParameter transform = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    transform.force_gray = true;
    layer.transform_param = &transform;
    s = open_source(&(struct source_options){.param = &layer});
    assert_int_equal(s->tops[0].dim[1], 1);
    read_ok(s, got, NULL);
    assert_float_equal(got[0], 2, 0);
    assert_in_range((int)got[1], 51, 52);
    s->ops->close(s);
    dir_remove(folder, NULL);
}

static void records_that_do_not_fit_are_named(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *sizes = path_join(folder, "sizes");
    CLEANUP(freep) char *lengths = path_join(folder, "lengths");
    uint8_t bytes[4] = {1, 2, 3, 4};
    Caffe__Datum small = CAFFE__DATUM__INIT;
    small.has_channels = small.has_height = small.has_width = small.has_data = true;
    small.channels = small.height = small.width = 1;
    small.data = (ProtobufCBinaryData){1, bytes};
    Caffe__Datum large = small;
    large.width = 4;
    large.data.len = 4;
    Caffe__Datum wrong = large;
    wrong.height = 3;
    make_record(sizes, &small, &large);
    make_record(lengths, &wrong, NULL);

    Caffe__DataParameter data = CAFFE__DATA_PARAMETER__INIT;
    data.batch_size = 2;
    data.backend = CAFFE__DATA_PARAMETER__DB__LMDB;
    Caffe__LayerParameter layer = data_layer_param("Data", 1);
    layer.data_param = &data;
    struct source_options options = {.param = &layer, .folder = folder};

    assert_int_equal(open_fails(&options, &err), INVALID);
    assert_string_equal(err.message, "data_param has no source");
    data.source = (char *)"lengths";
    assert_int_equal(open_fails(&options, &err), INVALID);
    assert_non_null(strstr(err.message, "record 0"));
    assert_non_null(strstr(err.message, "4 values for a size of 1 x 3 x 4"));
    data.source = (char *)"sizes";
    struct source *s = open_source(&options);
    float out[16];
    assert_int_equal(s->ops->read(s, (float *const[]){out}, &err), INVALID);
    assert_non_null(strstr(err.message, "record 1"));
    assert_non_null(strstr(err.message, "1 x 1 x 4 (channels, height, width), the first was 1 x 1 x 1"));
    s->ops->close(s);
    dir_remove(folder, NULL);
}

/* ---- ImageData ---- */

static char *pixel_folder(int n)
{
    char *folder = test_folder();
    CLEANUP(freep) char *images = path_join(folder, "img");
    assert_int_equal(dir_make(images, NULL), OK);
    char list[1024] = "";
    for (int i = 0; i < n; i++) {
        char name[16], line[32];
        snprintf(name, sizeof(name), "a %d.png", i);
        snprintf(line, sizeof(line), "%s %d\r\n", name, 10 + i);
        write_pixel(images, name, i);
        strncat(list, line, sizeof(list) - strlen(list) - 1);
    }
    write_text(folder, "list.txt", list);
    return folder;
}

static void image_data_reads_the_list_in_order_and_repeats_grey_as_color(void **state)
{
    (void)state;
    CLEANUP(freep) char *folder = pixel_folder(3);
    Caffe__ImageDataParameter images = CAFFE__IMAGE_DATA_PARAMETER__INIT;
    images.source = (char *)"list.txt";
    images.root_folder = (char *)"img/";
    images.batch_size = 2;
    Caffe__LayerParameter layer = data_layer_param("ImageData", 2);
    layer.image_data_param = &images;
    struct source *s = open_source(&(struct source_options){.param = &layer, .folder = folder});
    assert_int_equal(s->tops[0].dim[1], 3);
    for (int row = 0; row < 8; row += 2) {
        float data[6], labels[2];
        read_ok(s, data, labels);
        for (int k = 0; k < 2; k++) {
            assert_float_equal(data[3 * k], ((row + k) % 3), 0);
            assert_float_equal(data[3 * k + 2], ((row + k) % 3), 0);
            assert_float_equal(labels[k], (10 + (row + k) % 3), 0);
        }
    }
    s->ops->close(s);
    dir_remove(folder, NULL);
}

static void shuffling_takes_each_image_once_an_epoch_in_changing_order(void **state)
{
    (void)state;
    CLEANUP(freep) char *folder = pixel_folder(16);
    Caffe__ImageDataParameter images = CAFFE__IMAGE_DATA_PARAMETER__INIT;
    images.source = (char *)"list.txt";
    images.root_folder = (char *)"img/";
    images.batch_size = 16;
    images.is_color = false;
    images.shuffle = true;
    Caffe__LayerParameter layer = data_layer_param("ImageData", 2);
    layer.image_data_param = &images;
    struct source *s = open_source(&(struct source_options){.param = &layer, .folder = folder, .seed = 5});
    float epochs[3][16];
    for (int e = 0; e < 3; e++) {
        float labels[16];
        unsigned seen = 0;
        read_ok(s, epochs[e], labels);
        for (int i = 0; i < 16; i++) {
            seen |= 1u << (int)epochs[e][i];
            assert_float_equal(labels[i], (10 + epochs[e][i]), 0);
        }
        assert_int_equal(seen, 0xffff);
    }
    assert_memory_not_equal(epochs[0], epochs[1], sizeof(epochs[0]));
    assert_memory_not_equal(epochs[1], epochs[2], sizeof(epochs[0]));
    s->ops->close(s);
    dir_remove(folder, NULL);
}

static void an_image_that_cannot_be_read_is_named_with_its_line(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(freep) char *folder = pixel_folder(2);
    write_text(folder, "bad.png", "no picture");
    write_text(folder, "list.txt", "img/a 0.png 1\n\nbad.png 2\nmissing.png 3\n");
    Caffe__ImageDataParameter images = CAFFE__IMAGE_DATA_PARAMETER__INIT;
    images.source = (char *)"list.txt";
    Caffe__LayerParameter layer = data_layer_param("ImageData", 1);
    layer.image_data_param = &images;
    struct source *s = open_source(&(struct source_options){.param = &layer, .folder = folder});
    float out[3];
    read_ok(s, out, NULL);
    assert_int_equal(s->ops->read(s, (float *const[]){out}, &err), INVALID);
    assert_non_null(strstr(err.message, "line 3 of list"));
    assert_non_null(strstr(err.message, "bad.png' is not a JPEG, PNG, BMP or PNM (P5, P6) image"));
    s->ops->close(s);
    dir_remove(folder, NULL);
}

static void lists_and_settings_that_are_wrong_are_explained(void **state)
{
    (void)state;
    static const struct {
        const char *list, *message;
    } rows[] = {
        {"", "names no image"},
        {"\n\n", "names no image"},
        {"a.png 1\nb.png\n", "line 2 of list"},
        {"a.png one\n", "label 'one' is not a whole number"},
        {"a.png 99999999999\n", "label '99999999999' is not a whole number"},
    };
    CLEANUP(freep) char *folder = test_folder();
    struct error err;
    Caffe__ImageDataParameter images = CAFFE__IMAGE_DATA_PARAMETER__INIT;
    Caffe__LayerParameter layer = data_layer_param("ImageData", 2);
    layer.image_data_param = &images;
    struct source_options options = {.param = &layer, .folder = folder};
    images.source = (char *)"list.txt";
    assert_int_equal(open_fails(&options, &err), NOT_FOUND);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        write_text(folder, "list.txt", rows[i].list);
        assert_int_equal(open_fails(&options, &err), INVALID);
        if (!strstr(err.message, rows[i].message))
            fail_msg("'%s' does not say '%s'", err.message, rows[i].message);
    }
    images.new_height = 4;
    assert_int_equal(open_fails(&options, &err), INVALID);
    assert_non_null(strstr(err.message, "give both"));
    dir_remove(folder, NULL);
}

/* ---- HDF5Data ---- */

static void hdf5_rows_run_across_files_and_around(void **state)
{
    (void)state;
    CLEANUP(freep) char *folder = test_folder();
    write_rows(folder, "one.h5", 0, 3);
    write_rows(folder, "two.h5", 3, 2);
    write_text(folder, "files.txt", "one.h5\ntwo.h5\n");
    Caffe__HDF5DataParameter hdf5 = CAFFE__HDF5_DATA_PARAMETER__INIT;
    hdf5.source = (char *)"files.txt";
    hdf5.batch_size = 4;
    Caffe__LayerParameter layer = data_layer_param("HDF5Data", 2);
    layer.hdf5_data_param = &hdf5;
    struct source *s = open_source(&(struct source_options){.param = &layer, .folder = folder});
    assert_int_equal(s->tops[0].n_axes, 2);
    assert_int_equal(s->tops[0].dim[1], 2);
    assert_int_equal(s->tops[1].n_axes, 1);
    for (int row = 0; row < 20; row += 4) {
        float x[8], y[4];
        read_ok(s, x, y);
        for (int k = 0; k < 4; k++) {
            assert_float_equal(x[2 * k], ((row + k) % 5), 0);
            assert_float_equal(x[2 * k + 1], ((row + k) % 5 + 0.5), 0);
            assert_float_equal(y[k], (100 + (row + k) % 5), 0);
        }
    }
    s->ops->close(s);
    dir_remove(folder, NULL);
}

static void hdf5_files_that_do_not_fit_are_named(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(freep) char *folder = test_folder();
    write_rows(folder, "one.h5", 0, 3);
    write_text(folder, "text.h5", "no HDF5");
    Caffe__HDF5DataParameter hdf5 = CAFFE__HDF5_DATA_PARAMETER__INIT;
    hdf5.source = (char *)"files.txt";
    hdf5.batch_size = 4;
    Caffe__LayerParameter layer = data_layer_param("HDF5Data", 3);
    layer.hdf5_data_param = &hdf5;
    struct source_options options = {.param = &layer, .folder = folder};
    static const struct {
        const char *list;
        enum status status;
        const char *message;
    } rows[] = {
        {" \n", INVALID, "names no HDF5 file"},
        {"none.h5", NOT_FOUND, "none.h5"},
        {"text.h5", INVALID, "text.h5' is not an HDF5 file"},
        {"one.h5", INVALID, "one.h5' has no dataset 'third'"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        write_text(folder, "files.txt", rows[i].list);
        assert_int_equal(open_fails(&options, &err), rows[i].status);
        if (!strstr(err.message, rows[i].message))
            fail_msg("'%s' does not say '%s'", err.message, rows[i].message);
    }
    Caffe__TransformationParameter transform = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    layer.transform_param = &transform;
    assert_int_equal(open_fails(&options, &err), INVALID);
    dir_remove(folder, NULL);
}

/* ---- positions ---- */

/* Reads on from a position with another source of another seed, and compares. */
static void check_resume(const struct source_options *options, int n_before)
{
    struct error err;
    struct source *a = open_source(options);
    float data[64], label[64];
    for (int i = 0; i < n_before; i++)
        read_ok(a, data, label);
    struct source_position position;
    a->ops->tell(a, &position);
    struct source_options other = *options;
    other.seed = options->seed + 99;
    struct source *b = open_source(&other);
    assert_ok(b->ops->seek(b, &position, &err));
    for (int i = 0; i < 9; i++) {
        float again[64], label_again[64];
        read_ok(a, data, label);
        read_ok(b, again, label_again);
        assert_memory_equal(data, again, (size_t)shape_count(&a->tops[0]) * sizeof(float));
        assert_memory_equal(label, label_again, (size_t)shape_count(&a->tops[1]) * sizeof(float));
    }
    a->ops->close(a);
    b->ops->close(b);
}

static void a_position_brings_back_the_same_rows(void **state)
{
    (void)state;
    CLEANUP(freep) char *folder = pixel_folder(7);
    CLEANUP(freep) char *db = path_join(folder, "db");
    make_pairs_db(DB_LMDB, db, 7);
    write_rows(folder, "one.h5", 0, 5);
    write_rows(folder, "two.h5", 5, 4);
    write_rows(folder, "three.h5", 9, 2);
    write_text(folder, "files.txt", "one.h5 two.h5 three.h5");
    Caffe__TransformationParameter mirror = CAFFE__TRANSFORMATION_PARAMETER__INIT;
    mirror.mirror = true;
    Caffe__DataParameter data = CAFFE__DATA_PARAMETER__INIT;
    data.source = (char *)"db", data.batch_size = 3, data.backend = CAFFE__DATA_PARAMETER__DB__LMDB;
    Caffe__ImageDataParameter images = CAFFE__IMAGE_DATA_PARAMETER__INIT;
    images.source = (char *)"list.txt", images.root_folder = (char *)"img/", images.batch_size = 3;
    images.shuffle = true;
    Caffe__HDF5DataParameter hdf5 = CAFFE__HDF5_DATA_PARAMETER__INIT;
    hdf5.source = (char *)"files.txt", hdf5.batch_size = 3, hdf5.shuffle = true;
    Caffe__LayerParameter layers[3] = {data_layer_param("Data", 2), data_layer_param("ImageData", 2),
                                       data_layer_param("HDF5Data", 2)};
    layers[0].data_param = &data, layers[0].transform_param = &mirror;
    layers[1].image_data_param = &images;
    layers[2].hdf5_data_param = &hdf5;
    for (size_t i = 0; i < ARRAY_SIZE(layers); i++)
        for (int n_before = 0; n_before < 8; n_before++)
            check_resume(&(struct source_options){.param = &layers[i], .folder = folder, .seed = 11},
                         n_before);
    dir_remove(folder, NULL);
}

static void shapes_are_told_without_keeping_anything_open(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(freep) char *folder = test_folder();
    write_rows(folder, "one.h5", 0, 3);
    write_text(folder, "files.txt", "one.h5");
    Caffe__HDF5DataParameter hdf5 = CAFFE__HDF5_DATA_PARAMETER__INIT;
    hdf5.source = (char *)"files.txt", hdf5.batch_size = 6;
    Caffe__LayerParameter layer = data_layer_param("HDF5Data", 2);
    layer.hdf5_data_param = &hdf5;
    struct source_shape shapes;
    assert_ok(source_shapes(&(struct source_options){.param = &layer, .folder = folder}, &shapes, &err));
    assert_string_equal(shapes.layer, "d");
    assert_int_equal(shapes.n_tops, 2);
    assert_int_equal(shape_count(&shapes.tops[0]), 12);
    assert_int_equal(shape_count(&shapes.tops[1]), 6);
    dir_remove(folder, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_reads_round_and_round),
        cmocka_unit_test(data_takes_float_records_and_encoded_ones),
        cmocka_unit_test(records_that_do_not_fit_are_named),
        cmocka_unit_test(image_data_reads_the_list_in_order_and_repeats_grey_as_color),
        cmocka_unit_test(shuffling_takes_each_image_once_an_epoch_in_changing_order),
        cmocka_unit_test(an_image_that_cannot_be_read_is_named_with_its_line),
        cmocka_unit_test(lists_and_settings_that_are_wrong_are_explained),
        cmocka_unit_test(hdf5_rows_run_across_files_and_around),
        cmocka_unit_test(hdf5_files_that_do_not_fit_are_named),
        cmocka_unit_test(a_position_brings_back_the_same_rows),
        cmocka_unit_test(shapes_are_told_without_keeping_anything_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
