#include <unistd.h>

#include "data_test.h"
#include "engine/net.h"

/* ip1 (2,3) with bias (2); ip2 and ip3 (2,2) share one matrix, ip3 has a bias of its own. */
static const char net_text[] =
    "name: 'small'\n"
    "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 3 } } }\n"
    "layer { name: 'ip1' type: 'InnerProduct' bottom: 'x' top: 'a'\n"
    "  inner_product_param { num_output: 2 weight_filler { type: 'gaussian' } bias_filler { type: 'gaussian' "
    "} } }\n"
    "layer { name: 'ip2' type: 'InnerProduct' bottom: 'a' top: 'b' param { name: 'w' }\n"
    "  inner_product_param { num_output: 2 bias_term: false weight_filler { type: 'gaussian' } } }\n"
    "layer { name: 'ip3' type: 'InnerProduct' bottom: 'b' top: 'c' param { name: 'w' }\n"
    "  inner_product_param { num_output: 2 weight_filler { type: 'gaussian' } bias_filler { type: 'gaussian' "
    "} } }\n";

static struct net *make_net(const char *text, uint64_t seed)
{
    struct error err;
    Caffe__NetParameter *param;
    struct net *net;
    assert_ok(net_read_text(text, strlen(text), "net", &param, &err));
    const struct netdef_options state = {.phase = CAFFE__PHASE__TRAIN};
    assert_ok(net_create(param, &state, &(struct net_options){.threads = 1, .seed = seed}, &net, &err));
    caffe__net_parameter__free_unpacked(param, NULL);
    return net;
}

/* Values of a layer's parameter, in plain order. */
static void get(struct net *net, const char *layer, int index, float *ret_values)
{
    const struct netdef *def = net_def(net);
    const struct param *p = net_param(net, def->layers[netdef_find_layer(def, layer)].params[index]);
    param_export(p, p->data, ret_values);
}

static void expect_values(struct net *net, const char *layer, int index, const float *want, int n)
{
    float got[16];
    get(net, layer, index, got);
    for (int i = 0; i < n; i++)
        assert_float_equal(got[i], want[i], 0);
}

static void expect_equal_nets(struct net *a, struct net *b)
{
    static const struct {
        const char *layer;
        int index, n;
    } params[] = {{"ip1", 0, 6}, {"ip1", 1, 2}, {"ip2", 0, 4}, {"ip3", 0, 4}, {"ip3", 1, 2}};
    for (size_t i = 0; i < ARRAY_SIZE(params); i++) {
        float values[16];
        get(a, params[i].layer, params[i].index, values);
        expect_values(b, params[i].layer, params[i].index, values, params[i].n);
    }
}

/* ---- a caffemodel made by hand: one layer with two blobs ---- */

enum form { WITH_SHAPE, LEGACY, AS_DOUBLE, IN_V1_LAYER };

static float weights[6] = {1, 2, 3, 4, 5, 6}, bias[2] = {-1, -2};

static void write_model(const char *path, const char *layer_name, enum form form, int rows, size_t n_values,
                        size_t n_blobs)
{
    struct error err;
    double doubles[2][6];
    int64_t dims[2][2] = {{rows, 3}, {2, 0}};
    Caffe__BlobShape shapes[2];
    Caffe__BlobProto blobs[2], *blob_pointers[2] = {&blobs[0], &blobs[1]};
    for (int i = 0; i < 2; i++) {
        float *values = i ? bias : weights;
        size_t n = i ? 2 : n_values;
        caffe__blob_shape__init(&shapes[i]);
        caffe__blob_proto__init(&blobs[i]);
        shapes[i].n_dim = i ? 1 : 2;
        shapes[i].dim = dims[i];
        for (size_t k = 0; k < n; k++)
            doubles[i][k] = values[k];
        if (form == LEGACY) {
            blobs[i].has_num = blobs[i].has_channels = blobs[i].has_height = blobs[i].has_width = true;
            blobs[i].num = blobs[i].channels = 1;
            blobs[i].height = i ? 1 : rows;
            blobs[i].width = i ? 2 : 3;
        } else {
            blobs[i].shape = &shapes[i];
        }
        if (form == AS_DOUBLE)
            blobs[i].n_double_data = n, blobs[i].double_data = doubles[i];
        else
            blobs[i].n_data = n, blobs[i].data = values;
    }
    Caffe__LayerParameter layer = CAFFE__LAYER_PARAMETER__INIT, stranger = CAFFE__LAYER_PARAMETER__INIT;
    Caffe__LayerParameter *layers[2] = {&stranger, &layer};
    stranger.name = (char *)"somebody else's";
    layer.name = (char *)layer_name;
    layer.type = (char *)"InnerProduct";
    layer.n_blobs = n_blobs;
    layer.blobs = blob_pointers;
    Caffe__NetParameter net = CAFFE__NET_PARAMETER__INIT;
    Caffe__V1LayerParameter v1 = CAFFE__V1_LAYER_PARAMETER__INIT, *v1_layers[1] = {&v1};
    v1.name = (char *)layer_name;
    v1.has_type = true;
    v1.type = CAFFE__V1_LAYER_PARAMETER__LAYER_TYPE__INNER_PRODUCT;
    v1.n_blobs = n_blobs;
    v1.blobs = blob_pointers;
    if (form == IN_V1_LAYER) {
        net.n_layers = 1;
        net.layers = v1_layers;
    } else {
        net.n_layer = 2;
        net.layer = layers;
    }
    uint8_t bytes[1024];
    assert_ok(file_write(path, bytes, caffe__net_parameter__pack(&net, bytes), 0644, &err));
}

static void every_form_of_blob_is_read_by_layer_name(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *path = path_join(folder, "w.caffemodel");
    for (enum form form = WITH_SHAPE; form <= IN_V1_LAYER; form++) {
        CLEANUP(net_freep) struct net *net = make_net(net_text, 1);
        float before[4];
        get(net, "ip2", 0, before);
        write_model(path, "ip1", form, 2, 6, 2);
        assert_ok(net_load_weights(net, path, &err));
        expect_values(net, "ip1", 0, weights, 6);
        expect_values(net, "ip1", 1, bias, 2);
        expect_values(net, "ip2", 0, before, 4);
    }
    dir_remove(folder, NULL);
}

static void weights_that_do_not_fit_are_refused_with_both_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *layer;
        enum form form;
        int rows;
        size_t n_values, n_blobs;
        const char *message;
    } rows[] = {
        {"ip1", WITH_SHAPE, 1, 3, 2,
         "layer 'ip1': weights 0 have shape 1 3 (3) in the file, the net needs 2 3 (6)"},
        {"ip1", LEGACY, 1, 3, 2, "layer 'ip1': weights 0 have shape 1 1 1 3 (3) in the file"},
        {"ip1", WITH_SHAPE, 2, 5, 2, "layer 'ip1': weights 0 have 5 values, their shape says 6"},
        {"ip1", WITH_SHAPE, 2, 6, 1, "layer 'ip1' has 1 blobs of weights in the file, the net needs 2"},
    };
    struct error err;
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *path = path_join(folder, "w.caffemodel");
    CLEANUP(net_freep) struct net *net = make_net(net_text, 1);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        write_model(path, rows[i].layer, rows[i].form, rows[i].rows, rows[i].n_values, rows[i].n_blobs);
        assert_int_equal(net_load_weights(net, path, &err), INVALID);
        if (!strstr(err.message, rows[i].message))
            fail_msg("'%s' does not say '%s'", err.message, rows[i].message);
    }
    assert_int_equal(net_load_weights(net, "/nonexistent/w", &err), NOT_FOUND);
    write_text(folder, "text", "no weights at all");
    CLEANUP(freep) char *text = path_join(folder, "text");
    assert_int_equal(net_load_weights(net, text, &err), INVALID);
    assert_non_null(strstr(err.message, text));
    dir_remove(folder, NULL);
}

static void both_forms_bring_every_value_back(void **state)
{
    (void)state;
    static const struct {
        enum status (*save)(struct net *, const char *, bool, struct error *);
        bool with_diff;
    } forms[] = {{net_save_weights, false},
                 {net_save_weights, true},
                 {net_save_weights_hdf5, false},
                 {net_save_weights_hdf5, true}};
    struct error err;
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *path = path_join(folder, "w");
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        CLEANUP(net_freep) struct net *a = make_net(net_text, 1);
        CLEANUP(net_freep) struct net *b = make_net(net_text, 2);
        assert_ok(forms[i].save(a, path, forms[i].with_diff, &err));
        assert_ok(net_load_weights(b, path, &err));
        expect_equal_nets(a, b);
    }
    dir_remove(folder, NULL);
}

static void a_caffemodel_repeats_shared_blobs_in_every_sharer(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *path = path_join(folder, "w.caffemodel");
    CLEANUP(net_freep) struct net *net = make_net(net_text, 1);
    assert_ok(net_save_weights(net, path, true, &err));
    Caffe__NetParameter *file;
    CLEANUP(freep) char *bytes = NULL;
    size_t size;
    assert_ok(file_read(path, 1 << 20, &bytes, &size, &err));
    assert_ok(net_read_binary(bytes, size, &file, &err));
    assert_string_equal(file->name, "small");
    assert_int_equal(file->n_layer, 4);
    static const size_t n_blobs[4] = {0, 2, 1, 2};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(file->layer[i]->n_blobs, n_blobs[i]);
    const Caffe__BlobProto *owner = file->layer[2]->blobs[0], *sharer = file->layer[3]->blobs[0];
    assert_int_equal(owner->shape->n_dim, 2);
    assert_int_equal(owner->n_data, 4);
    assert_int_equal(owner->n_diff, 4);
    assert_memory_equal(owner->data, sharer->data, 4 * sizeof(float));
    assert_string_equal(file->layer[1]->type, "InnerProduct");
    assert_int_equal(file->layer[1]->inner_product_param->num_output, 2);
    caffe__net_parameter__free_unpacked(file, NULL);
    dir_remove(folder, NULL);
}

static void hdf5_weights_lie_where_caffe_puts_them(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool is_there;
    } rows[] = {{"data/in", true},     {"data/ip1/0", true}, {"data/ip1/1", true}, {"data/ip2/0", true},
                {"data/ip3/0", false}, {"data/ip3/1", true}, {"diff/ip1/0", true}, {"diff/ip3/0", true}};
    struct error err;
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *path = path_join(folder, "w.h5");
    CLEANUP(net_freep) struct net *net = make_net(net_text, 1);
    assert_ok(net_save_weights_hdf5(net, path, true, &err));
    CLEANUP(hdf5_file_closep) hid_t file = -1;
    assert_ok(hdf5_open(path, &file, &err));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(hdf5_has(file, rows[i].name), rows[i].is_there);
    struct shape shape;
    assert_ok(hdf5_dataset_shape(file, path, "data/ip1/0", &shape, &err));
    assert_true(shape_equal(&shape, &(struct shape){2, {2, 3}}));
    dir_remove(folder, NULL);
}

static void a_failed_save_leaves_nothing_behind(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *missing = path_join(folder, "no/w");
    /* A name that is a folder: the file is written whole, only the last step fails. */
    CLEANUP(freep) char *taken = path_join(folder, "taken");
    CLEANUP(freep) char *inside = path_join(taken, "inside");
    assert_int_equal(dir_make(inside, NULL), OK);
    CLEANUP(net_freep) struct net *net = make_net(net_text, 1);
    assert_int_equal(net_save_weights(net, missing, false, &err), NOT_FOUND);
    assert_int_equal(net_save_weights_hdf5(net, missing, false, &err), NOT_FOUND);
    assert_int_not_equal(net_save_weights(net, taken, false, &err), OK);
    assert_int_not_equal(net_save_weights_hdf5(net, taken, false, &err), OK);
    assert_int_equal(dir_remove(inside, NULL), OK);
    assert_int_equal(rmdir(taken), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void a_layer_name_with_a_slash_cannot_go_into_hdf5(void **state)
{
    (void)state;
    static const char text[] =
        "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 1 dim: 3 } } }\n"
        "layer { name: 'a/b' type: 'InnerProduct' bottom: 'x' top: 'y' inner_product_param { num_output: 1 } "
        "}\n";
    struct error err;
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *path = path_join(folder, "w.h5");
    CLEANUP(net_freep) struct net *net = make_net(text, 1);
    assert_int_not_equal(net_save_weights_hdf5(net, path, false, &err), OK);
    assert_non_null(strstr(err.message, "'a/b'"));
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_blob_is_read_by_layer_name),
        cmocka_unit_test(weights_that_do_not_fit_are_refused_with_both_shapes),
        cmocka_unit_test(both_forms_bring_every_value_back),
        cmocka_unit_test(a_caffemodel_repeats_shared_blobs_in_every_sharer),
        cmocka_unit_test(hdf5_weights_lie_where_caffe_puts_them),
        cmocka_unit_test(a_failed_save_leaves_nothing_behind),
        cmocka_unit_test(a_layer_name_with_a_slash_cannot_go_into_hdf5),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
