#include "../test.h"

#include "netdef/netdef.h"

/* Legacy text, and what it means today (worked out from Caffe's upgrade rules). */
static const struct {
    const char *title, *legacy, *today;
} nets[] = {
    {"V1: types by number, parallel lists",
     "layers { name: 'ip' type: INNER_PRODUCT bottom: 'a' top: 'b' blobs_lr: 1 blobs_lr: 2 weight_decay: 0"
     " param: 'w' blob_share_mode: PERMISSIVE loss_weight: 3 include { phase: TRAIN }"
     " inner_product_param { num_output: 7 } }",
     "layer { name: 'ip' type: 'InnerProduct' bottom: 'a' top: 'b' loss_weight: 3"
     " param { name: 'w' share_mode: PERMISSIVE lr_mult: 1 decay_mult: 0 } param { lr_mult: 2 }"
     " include { phase: TRAIN } inner_product_param { num_output: 7 } }"},
    {"V1: a loss keeps the name it has today",
     "layers { name: 'l' type: SOFTMAX_LOSS } layers { name: 'n' type: NONE } layers { type: 39 }",
     "layer { name: 'l' type: 'SoftmaxWithLoss' } layer { name: 'n' type: '' } layer { type: 'Deconvolution' "
     "}"},
    {"old transformations",
     "layers { type: DATA data_param { source: 's' scale: 0.5 mean_file: 'm' crop_size: 3 mirror: true } }"
     "layers { type: IMAGE_DATA image_data_param { crop_size: 4 } transform_param { scale: 2 } }",
     "layer { type: 'Data' data_param { source: 's' }"
     " transform_param { scale: 0.5 mean_file: 'm' crop_size: 3 mirror: true } }"
     "layer { type: 'ImageData' image_data_param { } transform_param { scale: 2 crop_size: 4 } }"},
    {"a layer of today keeps its old transformation fields, which mean nothing",
     "layer { type: 'Data' data_param { scale: 0.5 } }", "layer { type: 'Data' data_param { scale: 0.5 } }"},
    {"V0: one message for all types",
     "layers { layer { name: 'c' type: 'conv' num_output: 4 kernelsize: 3 stride: 2 pad: 1 group: 2"
     " biasterm: false weight_filler { type: 'xavier' } blobs_lr: 1 weight_decay: 1 } bottom: 'd' top: 'e' }"
     "layers { layer { name: 'p' type: 'pool' pool: AVE kernelsize: 2 stride: 2 dropout_ratio: 0.3 }"
     " bottom: 'e' top: 'f' } input: 'd' input_dim: 1 input_dim: 2 input_dim: 9 input_dim: 9",
     "layer { name: 'input' type: 'Input' top: 'd' input_param { shape { dim: 1 dim: 2 dim: 9 dim: 9 } } }"
     "layer { name: 'c' type: 'Convolution' bottom: 'd' top: 'e' param { lr_mult: 1 decay_mult: 1 }"
     " convolution_param { num_output: 4 bias_term: false pad: 1 kernel_size: 3 group: 2 stride: 2"
     " weight_filler { type: 'xavier' } } }"
     "layer { name: 'p' type: 'Pooling' bottom: 'e' top: 'f' pooling_param { pool: AVE kernel_size: 2 "
     "stride: 2 } }"},
    {"V0: a padding layer becomes the pad of the layer above",
     "layers { layer { name: 'd' type: 'data' source: 's' batchsize: 5 meanfile: 'm' } top: 'd' top: 'l' }"
     "layers { layer { name: 'pad' type: 'padding' pad: 2 } bottom: 'd' top: 'dp' }"
     "layers { layer { name: 'c' type: 'conv' } bottom: 'dp' top: 'c' }",
     "layer { name: 'd' type: 'Data' top: 'd' top: 'l' transform_param { mean_file: 'm' }"
     " data_param { source: 's' batch_size: 5 } }"
     "layer { name: 'c' type: 'Convolution' bottom: 'd' top: 'c' convolution_param { pad: 2 } }"},
    {"V0: images and windows",
     "layers { layer { name: 'i' type: 'images' shuffle_images: true new_height: 5 new_width: 6 rand_skip: 1 "
     "} }"
     "layers { layer { name: 'w' type: 'window_data' det_fg_threshold: 0.1 det_crop_mode: 'square' } }"
     "layers { layer { name: 'o' type: 'hdf5_output' hdf5_output_param { file_name: 'f' } } }",
     "layer { name: 'i' type: 'ImageData' image_data_param { rand_skip: 1 shuffle: true new_height: 5 "
     "new_width: 6 } }"
     "layer { name: 'w' type: 'WindowData' window_data_param { fg_threshold: 0.1 crop_mode: 'square' } }"
     "layer { name: 'o' type: 'HDF5Output' hdf5_output_param { file_name: 'f' } }"},
    {"inputs with shapes go in front",
     "input: 'a' input: 'b' input_shape { dim: 2 } input_shape { dim: 3 dim: 4 } layer { name: 'x' type: "
     "'ReLU' }",
     "layer { name: 'input' type: 'Input' top: 'a' top: 'b' input_param { shape { dim: 2 } shape { dim: 3 "
     "dim: 4 } } }"
     "layer { name: 'x' type: 'ReLU' }"},
    {"inputs without shapes are dropped", "input: 'a' layer { name: 'x' }", "layer { name: 'x' }"},
    {"BatchNorm never learns its statistics",
     "layer { type: 'BatchNorm' param { lr_mult: 1 } param { name: 's' } param { } }"
     "layer { type: 'BatchNorm' param { lr_mult: 1 } }",
     "layer { type: 'BatchNorm' param { lr_mult: 0 decay_mult: 0 } param { name: 's' lr_mult: 0 decay_mult: "
     "0 }"
     " param { lr_mult: 0 decay_mult: 0 } }"
     "layer { type: 'BatchNorm' param { lr_mult: 1 } }"},
};

static char *print(const ProtobufCMessage *message)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    message_print_text(message, &out);
    char *text = buf_take(&out, NULL);
    buf_release(&out);
    return text;
}

static char *reprint(const char *text)
{
    struct error err;
    ProtobufCMessage *net;
    assert_ok(message_read_text(&caffe__net_parameter__descriptor, text, strlen(text), "net", &net, &err));
    char *printed = print(net);
    protobuf_c_message_free_unpacked(net, NULL);
    return printed;
}

static void legacy_text_means_what_it_means_today(void **state)
{
    (void)state;
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(nets); i++) {
        Caffe__NetParameter *net;
        assert_ok(net_read_text(nets[i].legacy, strlen(nets[i].legacy), nets[i].title, &net, &err));
        CLEANUP(freep) char *got = print(&net->base);
        CLEANUP(freep) char *want = reprint(nets[i].today);
        assert_string_equal(got, want);
        caffe__net_parameter__free_unpacked(net, NULL);
    }
}

static void legacy_binary_means_the_same_as_legacy_text(void **state)
{
    (void)state;
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(nets); i++) {
        ProtobufCMessage *legacy;
        const char *text = nets[i].legacy;
        assert_ok(
            message_read_text(&caffe__net_parameter__descriptor, text, strlen(text), "net", &legacy, &err));
        size_t size = protobuf_c_message_get_packed_size(legacy);
        CLEANUP(freep) uint8_t *bytes = xmalloc(size + 1);
        protobuf_c_message_pack(legacy, bytes);
        Caffe__NetParameter *net;
        assert_ok(net_read_binary(bytes, size, &net, &err));
        CLEANUP(freep) char *got = print(&net->base);
        CLEANUP(freep) char *want = reprint(nets[i].today);
        assert_string_equal(got, want);
        caffe__net_parameter__free_unpacked(net, NULL);
        protobuf_c_message_free_unpacked(legacy, NULL);
    }
}

static void legacy_nets_that_contradict_themselves_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"layer { name: 'a' } layers { name: 'b' type: RELU }",
         "net: the net has both 'layer' and 'layers' fields; write all of them as layer { type: "
         "\"Convolution\" ... }"},
        {"input: 'a' input: 'b' input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4",
         "net: the net has 2 inputs, but 4 input_dim fields; 4 an input are needed"},
        {"input: 'a' input: 'b' input_shape { }", "net: the net has 2 inputs, but 1 input_shape fields"},
        {"layers { layer { name: 'c' type: 'convv' } }",
         "net: layer 'c': unknown layer type 'convv'; did you mean 'conv'?"},
        {"layers { layer { name: 'c' type: 'conv' } } layers { name: 'd' }",
         "net: layer 'd' has no 'layer { }' inside of its 'layers { }', but others have"},
        {"layers { layer { name: 'c' type: 'conv' } bottom: 'x' }", "net: unknown bottom 'x' of layers[0]"},
        {"input: 'x' layers { layer { name: 'p' type: 'padding' } bottom: 'x' top: 'y' }"
         "layers { layer { name: 'r' type: 'relu' } bottom: 'y' top: 'z' }",
         "net: layer 'r': a padding layer may feed conv and pool only, not 'relu'"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err;
        Caffe__NetParameter *net;
        assert_int_equal(net_read_text(rows[i].text, strlen(rows[i].text), "net", &net, &err), INVALID);
        assert_string_equal(err.message, rows[i].message);
    }
}

static void a_solver_type_by_number_becomes_its_name(void **state)
{
    (void)state;
    static const struct {
        const char *text, *type;
    } rows[] = {
        {"solver_type: SGD", "SGD"},
        {"solver_type: NESTEROV", "Nesterov"},
        {"solver_type: 2", "AdaGrad"},
        {"solver_type: RMSPROP", "RMSProp"},
        {"solver_type: ADADELTA", "AdaDelta"},
        {"solver_type: ADAM", "Adam"},
        {"type: 'Adam'", "Adam"},
        {"", "SGD"},
    };
    struct error err;
    Caffe__SolverParameter *solver;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_ok(solver_read_text(rows[i].text, strlen(rows[i].text), "solver", &solver, &err));
        assert_string_equal(solver->type, rows[i].type);
        assert_false(solver->has_solver_type);
        caffe__solver_parameter__free_unpacked(solver, NULL);
    }
    const char *both = "solver_type: SGD type: 'SGD'";
    assert_int_equal(solver_read_text(both, strlen(both), "solver", &solver, &err), INVALID);
    const char *inner = "net_param { layers { type: RELU } }";
    assert_ok(solver_read_text(inner, strlen(inner), "solver", &solver, &err));
    assert_string_equal(solver->net_param->layer[0]->type, "ReLU");
    caffe__solver_parameter__free_unpacked(solver, NULL);
}

static void bytes_that_are_no_caffemodel_are_refused(void **state)
{
    (void)state;
    struct error err;
    Caffe__NetParameter *net;
    assert_int_equal(net_read_binary("PK\003\004 not a model", 17, &net, &err), INVALID);
    assert_int_equal(net_read_binary("\xa2\x06\x7f", 3, &net, &err), INVALID);
    size_t n = 4 << 20;
    CLEANUP(freep) char *many = xmalloc(3 * n);
    for (size_t i = 0; i < n; i++)
        memcpy(many + 3 * i, "\xa2\x06\x00", 3);
    assert_int_equal(net_read_binary(many, 3 * n, &net, &err), INVALID);
    assert_ok(net_read_binary("", 0, &net, &err));
    caffe__net_parameter__free_unpacked(net, NULL);
}

static void floats_may_be_packed_or_not(void **state)
{
    (void)state;
    struct error err;
    /* layer (100) { blobs (7) { data (5): 1, 2 } }, floats little-endian. */
    static const uint8_t packed[] = {0xa2, 0x06, 12, 0x3a, 10, 0x2a, 8, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40};
    static const uint8_t single[] = {0xa2, 0x06, 12, 0x3a, 10, 0x2d, 0, 0, 0x80, 0x3f, 0x2d, 0, 0, 0, 0x40};
    const uint8_t *both[] = {packed, single};
    for (size_t i = 0; i < 2; i++) {
        Caffe__NetParameter *net;
        assert_ok(net_read_binary(both[i], sizeof(packed), &net, &err));
        const Caffe__BlobProto *blob = net->layer[0]->blobs[0];
        assert_int_equal(blob->n_data, 2);
        assert_true(blob->data[0] == 1 && blob->data[1] == 2);
        caffe__net_parameter__free_unpacked(net, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(legacy_text_means_what_it_means_today),
        cmocka_unit_test(legacy_binary_means_the_same_as_legacy_text),
        cmocka_unit_test(legacy_nets_that_contradict_themselves_are_refused),
        cmocka_unit_test(a_solver_type_by_number_becomes_its_name),
        cmocka_unit_test(bytes_that_are_no_caffemodel_are_refused),
        cmocka_unit_test(floats_may_be_packed_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
