/* Whole nets whose figures are published or worked out by hand. */
#include "../test.h"

#include "netdef/netdef.h"

static const char lenet[] =
    "name: 'LeNet'\n"
    "layer { name: 'mnist' type: 'Input' top: 'data' top: 'label'"
    " input_param { shape { dim: 64 dim: 1 dim: 28 dim: 28 } shape { dim: 64 } } }\n"
    "layer { name: 'conv1' type: 'Convolution' bottom: 'data' top: 'conv1'"
    " convolution_param { num_output: 20 kernel_size: 5 } }\n"
    "layer { name: 'pool1' type: 'Pooling' bottom: 'conv1' top: 'pool1' pooling_param { kernel_size: 2 "
    "stride: 2 } }\n"
    "layer { name: 'conv2' type: 'Convolution' bottom: 'pool1' top: 'conv2'"
    " convolution_param { num_output: 50 kernel_size: 5 } }\n"
    "layer { name: 'pool2' type: 'Pooling' bottom: 'conv2' top: 'pool2' pooling_param { kernel_size: 2 "
    "stride: 2 } }\n"
    "layer { name: 'ip1' type: 'InnerProduct' bottom: 'pool2' top: 'ip1' inner_product_param { num_output: "
    "500 } }\n"
    "layer { name: 'relu1' type: 'ReLU' bottom: 'ip1' top: 'ip1' }\n"
    "layer { name: 'ip2' type: 'InnerProduct' bottom: 'ip1' top: 'ip2' inner_product_param { num_output: 10 "
    "} }\n"
    "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'ip2' bottom: 'label' top: 'loss' }\n";

/* CIFAR-10 quick's pools overlap and do not divide evenly: rounding up makes 16, 8 and 4. */
static const char cifar_quick[] = "layer { name: 'cifar' type: 'Input' top: 'data' input_param { shape { "
                                  "dim: 100 dim: 3 dim: 32 dim: 32 } } }\n"
                                  "layer { name: 'conv1' type: 'Convolution' bottom: 'data' top: 'conv1'"
                                  " convolution_param { num_output: 32 pad: 2 kernel_size: 5 stride: 1 } }\n"
                                  "layer { name: 'pool1' type: 'Pooling' bottom: 'conv1' top: 'pool1' "
                                  "pooling_param { kernel_size: 3 stride: 2 } }\n"
                                  "layer { name: 'conv2' type: 'Convolution' bottom: 'pool1' top: 'conv2'"
                                  " convolution_param { num_output: 32 pad: 2 kernel_size: 5 stride: 1 } }\n"
                                  "layer { name: 'pool2' type: 'Pooling' bottom: 'conv2' top: 'pool2'"
                                  " pooling_param { pool: AVE kernel_size: 3 stride: 2 } }\n"
                                  "layer { name: 'conv3' type: 'Convolution' bottom: 'pool2' top: 'conv3'"
                                  " convolution_param { num_output: 64 pad: 2 kernel_size: 5 stride: 1 } }\n"
                                  "layer { name: 'pool3' type: 'Pooling' bottom: 'conv3' top: 'pool3'"
                                  " pooling_param { pool: AVE kernel_size: 3 stride: 2 } }\n"
                                  "layer { name: 'ip1' type: 'InnerProduct' bottom: 'pool3' top: 'ip1' "
                                  "inner_product_param { num_output: 64 } }\n"
                                  "layer { name: 'ip2' type: 'InnerProduct' bottom: 'ip1' top: 'ip2' "
                                  "inner_product_param { num_output: 10 } }\n";

static const char alexnet[] =
    "layer { name: 'in' type: 'Input' top: 'data' input_param { shape { dim: 10 dim: 3 dim: 227 dim: 227 } } "
    "}\n"
    "layer { name: 'conv1' type: 'Convolution' bottom: 'data' top: 'conv1'"
    " convolution_param { num_output: 96 kernel_size: 11 stride: 4 } }\n"
    "layer { name: 'norm1' type: 'LRN' bottom: 'conv1' top: 'norm1' lrn_param { local_size: 5 } }\n"
    "layer { name: 'pool1' type: 'Pooling' bottom: 'norm1' top: 'pool1' pooling_param { kernel_size: 3 "
    "stride: 2 } }\n"
    "layer { name: 'conv2' type: 'Convolution' bottom: 'pool1' top: 'conv2'"
    " convolution_param { num_output: 256 pad: 2 kernel_size: 5 group: 2 } }\n"
    "layer { name: 'pool2' type: 'Pooling' bottom: 'conv2' top: 'pool2' pooling_param { kernel_size: 3 "
    "stride: 2 } }\n"
    "layer { name: 'conv3' type: 'Convolution' bottom: 'pool2' top: 'conv3'"
    " convolution_param { num_output: 384 pad: 1 kernel_size: 3 } }\n"
    "layer { name: 'conv4' type: 'Convolution' bottom: 'conv3' top: 'conv4'"
    " convolution_param { num_output: 384 pad: 1 kernel_size: 3 group: 2 } }\n"
    "layer { name: 'conv5' type: 'Convolution' bottom: 'conv4' top: 'conv5'"
    " convolution_param { num_output: 256 pad: 1 kernel_size: 3 group: 2 } }\n"
    "layer { name: 'pool5' type: 'Pooling' bottom: 'conv5' top: 'pool5' pooling_param { kernel_size: 3 "
    "stride: 2 } }\n"
    "layer { name: 'fc6' type: 'InnerProduct' bottom: 'pool5' top: 'fc6' inner_product_param { num_output: "
    "4096 } }\n"
    "layer { name: 'drop6' type: 'Dropout' bottom: 'fc6' top: 'fc6' dropout_param { dropout_ratio: 0.5 } }\n"
    "layer { name: 'fc7' type: 'InnerProduct' bottom: 'fc6' top: 'fc7' inner_product_param { num_output: "
    "4096 } }\n"
    "layer { name: 'fc8' type: 'InnerProduct' bottom: 'fc7' top: 'fc8' inner_product_param { num_output: "
    "1000 } }\n"
    "layer { name: 'prob' type: 'Softmax' bottom: 'fc8' top: 'prob' }\n";

static struct netdef *define(const char *text)
{
    struct error err = {0};
    Caffe__NetParameter *net;
    struct netdef *def = NULL;
    assert_ok(net_read_text(text, strlen(text), "net", &net, &err));
    assert_ok(netdef_create(net, &(struct netdef_options){.phase = CAFFE__PHASE__TRAIN}, &def, &err));
    caffe__net_parameter__free_unpacked(net, NULL);
    return def;
}

static void every_blob_of_known_nets_has_its_known_shape(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct {
            const char *blob, *shape;
        } blobs[16];
        int n_params;
    } rows[] = {
        {lenet,
         {{"data", "64 1 28 28 (50176)"},
          {"label", "64 (64)"},
          {"conv1", "64 20 24 24 (737280)"},
          {"pool1", "64 20 12 12 (184320)"},
          {"conv2", "64 50 8 8 (204800)"},
          {"pool2", "64 50 4 4 (51200)"},
          {"ip1", "64 500 (32000)"},
          {"ip2", "64 10 (640)"},
          {"loss", "(1)"}},
         431080},
        {cifar_quick,
         {{"conv1", "100 32 32 32 (3276800)"},
          {"pool1", "100 32 16 16 (819200)"},
          {"conv2", "100 32 16 16 (819200)"},
          {"pool2", "100 32 8 8 (204800)"},
          {"conv3", "100 64 8 8 (409600)"},
          {"pool3", "100 64 4 4 (102400)"},
          {"ip1", "100 64 (6400)"},
          {"ip2", "100 10 (1000)"}},
         145578},
        {alexnet,
         {{"conv1", "10 96 55 55 (2904000)"},
          {"norm1", "10 96 55 55 (2904000)"},
          {"pool1", "10 96 27 27 (699840)"},
          {"conv2", "10 256 27 27 (1866240)"},
          {"pool2", "10 256 13 13 (432640)"},
          {"conv3", "10 384 13 13 (648960)"},
          {"conv4", "10 384 13 13 (648960)"},
          {"conv5", "10 256 13 13 (432640)"},
          {"pool5", "10 256 6 6 (92160)"},
          {"fc6", "10 4096 (40960)"},
          {"fc7", "10 4096 (40960)"},
          {"fc8", "10 1000 (10000)"},
          {"prob", "10 1000 (10000)"}},
         60965224},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(netdef_freep) struct netdef *def = define(rows[i].text);
        char text[SHAPE_TEXT_MAX];
        for (size_t k = 0; k < ARRAY_SIZE(rows[i].blobs) && rows[i].blobs[k].blob; k++) {
            int blob = netdef_find_blob(def, rows[i].blobs[k].blob);
            assert_true(blob >= 0);
            assert_string_equal(shape_text(&def->blobs[blob].shape, text), rows[i].blobs[k].shape);
        }
        assert_int_equal(def->parameter_bytes, 4 * (int64_t)rows[i].n_params);
    }
}

static void lenet_counts_its_operations_and_memory(void **state)
{
    (void)state;
    CLEANUP(netdef_freep) struct netdef *def = define(lenet);
    static const struct {
        const char *layer;
        int64_t operations; /* 2 * batch * places * weights */
    } rows[] = {
        {"conv1", 2 * 64 * 24 * 24 * (20 * 25)},
        {"conv2", 2 * 64 * 8 * 8 * (50 * 20 * 25)},
        {"ip1", 2 * 64 * (500 * 800)},
        {"ip2", 2 * 64 * (10 * 500)},
        {"relu1", 0},
        {"mnist", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(def->layers[netdef_find_layer(def, rows[i].layer)].operations, rows[i].operations);
    assert_int_equal(def->activation_bytes,
                     4 * (50176 + 64 + 737280 + 184320 + 204800 + 51200 + 32000 + 640 + 1));
    assert_string_equal(def->name, "LeNet");
    assert_int_equal(netdef_find_layer(def, "nothing"), -1);
    assert_int_equal(netdef_find_blob(def, "nothing"), -1);
}

static void weights_have_caffes_shapes_and_fillers(void **state)
{
    (void)state;
    CLEANUP(netdef_freep) struct netdef *def = define(alexnet);
    char text[SHAPE_TEXT_MAX];
    const struct layer_def *conv2 = &def->layers[netdef_find_layer(def, "conv2")];
    assert_int_equal(conv2->n_params, 2);
    assert_string_equal(shape_text(&def->params[conv2->params[0]].shape, text), "256 48 5 5 (307200)");
    assert_string_equal(shape_text(&def->params[conv2->params[1]].shape, text), "256 (256)");
    assert_string_equal(def->params[conv2->params[0]].filler->type, "constant");
    assert_true(def->params[conv2->params[0]].lr_mult == 1 && def->params[conv2->params[0]].decay_mult == 1);
}

/* The last layers of LeNet on 7 images: the scores' gradient still goes down to what came from outside. */
static void a_part_has_its_own_batch_and_the_needs_of_the_whole(void **state)
{
    (void)state;
    struct error err = {0};
    struct netdef *def = define(lenet), *part = NULL;
    const int layers[] = {netdef_find_layer(def, "relu1"), netdef_find_layer(def, "ip2"),
                          netdef_find_layer(def, "loss")};
    const int inputs[] = {netdef_find_blob(def, "ip1"), netdef_find_blob(def, "label")};
    const struct shape shapes[] = {{2, {7, 500}}, {1, {7}}};
    assert_ok(netdef_part(def, &(struct netdef_part){3, layers, 2, inputs, shapes}, &part, &err));
    assert_int_equal(part->n_layers, 4);
    for (int i = 0; i < 3; i++) {
        const struct layer_def *from = &def->layers[layers[i]], *to = &part->layers[i + 1];
        assert_string_equal(to->name, from->name);
        assert_int_equal(to->needs_backward, from->needs_backward);
        for (int k = 0; k < to->n_bottoms; k++)
            assert_int_equal(to->propagate_down[k], from->propagate_down[k]);
    }
    assert_true(part->layers[1].propagate_down[0]);
    assert_true(shape_equal(&part->blobs[netdef_find_blob(part, "ip2")].shape, &(struct shape){2, {7, 10}}));
    assert_true(part->blobs[netdef_find_blob(part, "ip1")].needs_diff);
    assert_false(part->blobs[netdef_find_blob(part, "label")].needs_diff);
    netdef_free(part);

    const struct shape unfit[] = {{2, {7, 500}}, {1, {8}}};
    assert_int_equal(netdef_part(def, &(struct netdef_part){3, layers, 2, inputs, unfit}, &part, &err),
                     INVALID);
    assert_non_null(strstr(err.message, "layer 'loss'"));
    netdef_free(def);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_blob_of_known_nets_has_its_known_shape),
        cmocka_unit_test(lenet_counts_its_operations_and_memory),
        cmocka_unit_test(weights_have_caffes_shapes_and_fillers),
        cmocka_unit_test(a_part_has_its_own_batch_and_the_needs_of_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
