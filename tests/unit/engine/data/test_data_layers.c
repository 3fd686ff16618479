#include <unistd.h>

#include "data_test.h"
#include "engine/layer.h"

/* A layer of at most two bottoms or tops with plain float blobs, set up by hand. */
struct bench {
    struct layer layer;
    struct layer_def def;
    struct view bottoms[2], tops[2];
    struct rng rng;
};

static void view_init(struct view *v, const struct shape *shape)
{
    *v = (struct view){.shape = *shape, .n_floats = (size_t)shape_count(shape)};
    v->data = xcalloc(v->n_floats, sizeof(float));
}

static void bench_init(struct bench *b, const Caffe__LayerParameter *param, const char *folder)
{
    *b = (struct bench){.def = {.param = param}};
    rng_seed(&b->rng, 1);
    b->layer = (struct layer){
        .def = &b->def,
        .ops = layer_ops_find(param->type),
        .bottoms = b->bottoms,
        .tops = b->tops,
        .rng = &b->rng,
        .folder = folder,
        .threads = 1,
    };
    b->layer.state = xcalloc(1, b->layer.ops->state_size + 1);
}

static void bench_release(struct bench *b)
{
    if (b->layer.ops->release)
        b->layer.ops->release(&b->layer);
    free(b->layer.state);
    for (int i = 0; i < 2; i++) {
        free(b->bottoms[i].data);
        free(b->tops[i].data);
    }
}

static void data_layers_fill_their_tops_and_resume(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(freep) char *folder = test_folder();
    write_rows(folder, "one.h5", 0, 5);
    write_text(folder, "files.txt", "one.h5");
    Caffe__HDF5DataParameter hdf5 = CAFFE__HDF5_DATA_PARAMETER__INIT;
    hdf5.source = (char *)"files.txt", hdf5.batch_size = 2;
    Caffe__LayerParameter param = data_layer_param("HDF5Data", 2);
    param.hdf5_data_param = &hdf5;
    CLEANUP(bench_release) struct bench b;
    bench_init(&b, &param, folder);
    b.layer.n_tops = 2;
    view_init(&b.tops[0], &(struct shape){2, {2, 2}});
    view_init(&b.tops[1], &(struct shape){1, {2}});
    assert_ok(b.layer.ops->setup(&b.layer, &err));
    struct source_position position = {0};
    for (int round = 0; round < 2; round++) {
        for (int row = 2 * round; row < 10; row += 2) {
            assert_ok(b.layer.ops->forward(&b.layer, &err));
            assert_float_equal(b.tops[0].data[0], (row % 5), 0);
            assert_float_equal(b.tops[0].data[3], ((row + 1) % 5 + 0.5), 0);
            assert_float_equal(b.tops[1].data[1], (100 + (row + 1) % 5), 0);
            if (row == 0)
                b.layer.ops->tell(&b.layer, &position);
        }
        assert_ok(b.layer.ops->seek(&b.layer, &position, &err));
    }
    dir_remove(folder, NULL);
}

static void a_shape_other_than_announced_is_refused(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(freep) char *folder = test_folder();
    write_rows(folder, "one.h5", 0, 5);
    write_text(folder, "files.txt", "one.h5");
    Caffe__HDF5DataParameter hdf5 = CAFFE__HDF5_DATA_PARAMETER__INIT;
    hdf5.source = (char *)"files.txt", hdf5.batch_size = 2;
    Caffe__LayerParameter param = data_layer_param("HDF5Data", 1);
    param.hdf5_data_param = &hdf5;
    CLEANUP(bench_release) struct bench b;
    bench_init(&b, &param, folder);
    b.layer.n_tops = 1;
    view_init(&b.tops[0], &(struct shape){2, {2, 3}});
    assert_int_equal(b.layer.ops->setup(&b.layer, &err), INVALID);
    assert_non_null(strstr(err.message, "2 2 (4); 2 3 (6) was announced"));
    dir_remove(folder, NULL);
}

static void hdf5_output_writes_four_axes_once(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *path = path_join(folder, "out.h5");
    Caffe__HDF5OutputParameter output = CAFFE__HDF5_OUTPUT_PARAMETER__INIT;
    output.file_name = (char *)"out.h5";
    Caffe__LayerParameter param = data_layer_param("HDF5Output", 0);
    param.hdf5_output_param = &output;
    CLEANUP(bench_release) struct bench b;
    bench_init(&b, &param, folder);
    b.layer.n_bottoms = 2;
    view_init(&b.bottoms[0], &(struct shape){2, {2, 3}});
    view_init(&b.bottoms[1], &(struct shape){1, {2}});
    for (int i = 0; i < 6; i++)
        b.bottoms[0].data[i] = (float)i / 4;
    b.bottoms[1].data[1] = 9;
    assert_ok(b.layer.ops->setup(&b.layer, &err));
    assert_int_equal(access(path, F_OK), 0);
    assert_ok(b.layer.ops->forward(&b.layer, &err));

    CLEANUP(hdf5_file_closep) hid_t file = -1;
    struct shape shape;
    float values[6], labels[2];
    assert_ok(hdf5_open(path, &file, &err));
    assert_ok(hdf5_dataset_shape(file, path, "data", &shape, &err));
    assert_true(shape_equal(&shape, &(struct shape){4, {2, 3, 1, 1}}));
    assert_ok(hdf5_dataset_shape(file, path, "label", &shape, &err));
    assert_true(shape_equal(&shape, &(struct shape){4, {2, 1, 1, 1}}));
    assert_ok(hdf5_read_floats(file, path, "data", values, &err));
    assert_ok(hdf5_read_floats(file, path, "label", labels, &err));
    assert_memory_equal(values, b.bottoms[0].data, sizeof(values));
    assert_float_equal(labels[1], 9, 0);

    assert_int_equal(b.layer.ops->forward(&b.layer, &err), INVALID);
    assert_non_null(strstr(err.message, "run one iteration only"));
    dir_remove(folder, NULL);
}

static void hdf5_output_says_what_does_not_fit(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        struct shape data, label;
        enum status status;
    } rows[] = {
        {NULL, {1, {2}}, {1, {2}}, INVALID},
        {"out.h5", {1, {2}}, {1, {3}}, INVALID},
        {"out.h5", {5, {2, 1, 1, 1, 1}}, {1, {2}}, INVALID},
        {"none/out.h5", {1, {2}}, {1, {2}}, NOT_FOUND},
    };
    CLEANUP(freep) char *folder = test_folder();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err;
        Caffe__HDF5OutputParameter output = CAFFE__HDF5_OUTPUT_PARAMETER__INIT;
        output.file_name = (char *)rows[i].file;
        Caffe__LayerParameter param = data_layer_param("HDF5Output", 0);
        param.hdf5_output_param = &output;
        CLEANUP(bench_release) struct bench b;
        bench_init(&b, &param, folder);
        b.layer.n_bottoms = 2;
        view_init(&b.bottoms[0], &rows[i].data);
        view_init(&b.bottoms[1], &rows[i].label);
        assert_int_equal(b.layer.ops->setup(&b.layer, &err), rows[i].status);
    }
    dir_remove(folder, NULL);
}

static void dummy_data_keeps_constants_and_draws_the_rest_anew(void **state)
{
    (void)state;
    struct error err;
    Caffe__FillerParameter constant = CAFFE__FILLER_PARAMETER__INIT, uniform = CAFFE__FILLER_PARAMETER__INIT;
    constant.value = 0.7f;
    uniform.type = (char *)"uniform";
    Caffe__FillerParameter *fillers[2] = {&constant, &uniform};
    Caffe__DummyDataParameter dummy = CAFFE__DUMMY_DATA_PARAMETER__INIT;
    dummy.n_data_filler = 2, dummy.data_filler = fillers;
    Caffe__LayerParameter param = data_layer_param("DummyData", 2);
    param.dummy_data_param = &dummy;
    CLEANUP(bench_release) struct bench b;
    bench_init(&b, &param, NULL);
    b.layer.n_tops = 2;
    view_init(&b.tops[0], &(struct shape){1, {8}});
    view_init(&b.tops[1], &(struct shape){1, {8}});
    assert_ok(b.layer.ops->setup(&b.layer, &err));
    float first[8];
    assert_ok(b.layer.ops->forward(&b.layer, &err));
    memcpy(first, b.tops[1].data, sizeof(first));
    memset(b.tops[0].data, 0, sizeof(first)); /* as when the plan lends the memory to another blob */
    assert_ok(b.layer.ops->forward(&b.layer, &err));
    for (int i = 0; i < 8; i++) {
        assert_float_equal(b.tops[0].data[i], 0.7f, 0);
        assert_true(first[i] >= 0 && first[i] < 1);
    }
    assert_memory_not_equal(first, b.tops[1].data, sizeof(first));

    dummy.n_data_filler = 2;
    b.layer.n_tops = 1;
    assert_int_equal(b.layer.ops->setup(&b.layer, &err), INVALID);
}

static void memory_data_is_refused_with_a_way_out_unless_it_is_fed(void **state)
{
    (void)state;
    struct error err;
    Caffe__LayerParameter param = data_layer_param("MemoryData", 2);
    CLEANUP(bench_release) struct bench b;
    bench_init(&b, &param, NULL);
    assert_int_equal(b.layer.ops->setup(&b.layer, &err), UNSUPPORTED);
    assert_non_null(strstr(err.message, "use Data, ImageData or HDF5Data"));
    b.layer.caller_feeds = true;
    assert_ok(b.layer.ops->setup(&b.layer, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_layers_fill_their_tops_and_resume),
        cmocka_unit_test(a_shape_other_than_announced_is_refused),
        cmocka_unit_test(hdf5_output_writes_four_axes_once),
        cmocka_unit_test(hdf5_output_says_what_does_not_fit),
        cmocka_unit_test(dummy_data_keeps_constants_and_draws_the_rest_anew),
        cmocka_unit_test(memory_data_is_refused_with_a_way_out_unless_it_is_fed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
