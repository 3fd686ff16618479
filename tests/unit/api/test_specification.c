#include "../test.h"

#include "api/specification.h"

#define SOLVER                                                                                               \
    "net: \"/home/me/lenet.prototxt\"\ntest_iter: 10\ntest_interval: 50\nbase_lr: 0.01\n"                    \
    "lr_policy: \"inv\"\ngamma: 0.0001\npower: 0.75\nmax_iter: 1000\nsnapshot_prefix: \"/tmp/me\"\n"         \
    "solver_mode: GPU\n"

#define IMAGES(name, phase)                                                                                  \
    "layer { name: \"" name "\" type: \"ImageData\" top: \"data\" top: \"label\" include { phase: " phase    \
    " } image_data_param { source: \"/home/me/list.txt\" root_folder: \"/home/me/\" batch_size: 8 "          \
    "is_color: false new_height: 28 new_width: 28 } }\n"

#define HEAD                                                                                                 \
    "layer { name: \"ip\" type: \"InnerProduct\" bottom: \"data\" top: \"ip\" "                              \
    "inner_product_param { num_output: 10 weight_filler { type: \"xavier\" } } }\n"                          \
    "layer { name: \"loss\" type: \"SoftmaxWithLoss\" bottom: \"ip\" bottom: \"label\" top: \"loss\" }\n"

static const struct shape unknown = {.n_axes = -1};

static enum status read_both(const char *solver, const char *net, struct specification *ret,
                             struct error *err)
{
    struct specification_text solver_text = {solver, "specification-url", strlen(solver)};
    struct specification_text net_text = {net, "specification-net-url", strlen(net)};
    return specification_read(&solver_text, &net_text, &unknown, ret, err);
}

static struct specification read_ok(const char *solver, const char *net)
{
    struct error err = {0};
    struct specification made = {0};
    if (read_both(solver, net, &made, &err) != OK)
        fail_msg("%s", err.message);
    return made;
}

static Caffe__NetParameter *net_of(const struct specification *s)
{
    struct error err = {0};
    Caffe__NetParameter *net = NULL;
    assert_ok(net_read_text(s->net, strlen(s->net), "net", &net, &err));
    return net;
}

static void a_solver_runs_in_the_folder_of_its_job(void **state)
{
    (void)state;
    struct error err = {0};
    struct specification made = read_ok(SOLVER "snapshot_format: HDF5 snapshot_after_train: false\n"
                                               "weights: \"/home/me/old.caffemodel\" snapshot: 500\n",
                                        IMAGES("a", "TRAIN") IMAGES("b", "TEST") HEAD);
    Caffe__SolverParameter *solver = NULL;
    assert_ok(solver_read_text(made.solver, strlen(made.solver), "solver", &solver, &err));
    assert_string_equal(solver->net, "solver-net.prototxt");
    assert_string_equal(solver->snapshot_prefix, "snapshot");
    assert_int_equal(solver->n_weights, 0);
    assert_true(solver->snapshot_after_train);
    assert_int_equal(solver->snapshot_format, CAFFE__SOLVER_PARAMETER__SNAPSHOT_FORMAT__BINARYPROTO);
    assert_int_equal(solver->max_iter, 1000);
    assert_int_equal(solver->snapshot, 500);
    assert_string_equal(solver->lr_policy, "inv");
    assert_int_equal(made.max_iter, 1000);
    assert_true(made.gpu);
    caffe__solver_parameter__free_unpacked(solver, NULL);
    specification_release(&made);
}

static void nets_named_otherwise_are_replaced_by_the_one_that_was_sent(void **state)
{
    (void)state;
    struct error err = {0};
    struct specification made =
        read_ok("train_net: \"a\" test_net: \"b\" base_lr: 0.1 lr_policy: \"fixed\" max_iter: 5 test_iter: 1 "
                "test_interval: 5",
                IMAGES("a", "TRAIN") IMAGES("b", "TEST") HEAD);
    Caffe__SolverParameter *solver = NULL;
    assert_ok(solver_read_text(made.solver, strlen(made.solver), "solver", &solver, &err));
    assert_null(solver->train_net);
    assert_int_equal(solver->n_test_net, 0);
    assert_string_equal(solver->net, "solver-net.prototxt");
    assert_false(made.gpu);
    caffe__solver_parameter__free_unpacked(solver, NULL);
    specification_release(&made);
}

static void image_data_layers_read_the_lists_of_the_job(void **state)
{
    (void)state;
    struct specification made = read_ok(SOLVER, IMAGES("a", "TRAIN") IMAGES("b", "TEST") HEAD);
    Caffe__NetParameter *net = net_of(&made);
    assert_int_equal(made.layer_type, 12);
    assert_int_equal(net->n_layer, 4);
    assert_string_equal(net->layer[0]->image_data_param->source, "training.txt");
    assert_string_equal(net->layer[1]->image_data_param->source, "testing.txt");
    assert_string_equal(net->layer[0]->image_data_param->root_folder, "");
    assert_int_equal(net->layer[0]->image_data_param->batch_size, 8);
    caffe__net_parameter__free_unpacked(net, NULL);
    specification_release(&made);
}

static void legacy_data_layers_read_the_databases_of_the_job(void **state)
{
    (void)state;
    struct specification made = read_ok(
        SOLVER,
        "layers { name: \"m\" type: DATA top: \"data\" top: \"label\" data_param { source: \"x_train\" "
        "backend: LMDB batch_size: 64 } include: { phase: TRAIN } }\n"
        "layers { name: \"m\" type: DATA top: \"data\" top: \"label\" data_param { source: \"x_test\" "
        "backend: LMDB batch_size: 100 } include: { phase: TEST } }\n"
        "layers { name: \"ip\" type: INNER_PRODUCT bottom: \"data\" top: \"ip\" "
        "inner_product_param { num_output: 10 } }\n"
        "layers { name: \"loss\" type: SOFTMAX_LOSS bottom: \"ip\" bottom: \"label\" top: \"l\" }\n");
    Caffe__NetParameter *net = net_of(&made);
    assert_int_equal(made.layer_type, 5);
    assert_string_equal(net->layer[0]->type, "Data");
    assert_string_equal(net->layer[0]->data_param->source, "training-data");
    assert_string_equal(net->layer[1]->data_param->source, "test-data");
    assert_int_equal(net->layer[1]->data_param->backend, CAFFE__DATA_PARAMETER__DB__LMDB);
    caffe__net_parameter__free_unpacked(net, NULL);
    specification_release(&made);
}

static void a_data_layer_of_both_phases_becomes_two(void **state)
{
    (void)state;
    struct specification made = read_ok(
        SOLVER, "layer { name: \"d\" type: \"ImageData\" top: \"data\" top: \"label\" image_data_param { "
                "source: \"x\" batch_size: 8 new_height: 4 new_width: 4 } }\n" HEAD);
    Caffe__NetParameter *net = net_of(&made);
    assert_int_equal(net->n_layer, 4);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(net->layer[i]->name, "d");
        assert_int_equal(net->layer[i]->n_include, 1);
        assert_true(net->layer[i]->include[0]->has_phase);
        assert_int_equal(net->layer[i]->include[0]->phase, i ? CAFFE__PHASE__TEST : CAFFE__PHASE__TRAIN);
        assert_string_equal(net->layer[i]->image_data_param->source, i ? "testing.txt" : "training.txt");
    }
    caffe__net_parameter__free_unpacked(net, NULL);
    specification_release(&made);
}

static void a_layer_kept_out_of_a_phase_is_of_the_other(void **state)
{
    (void)state;
    struct specification made = read_ok(
        SOLVER,
        "layer { name: \"d\" type: \"ImageData\" top: \"data\" top: \"label\" exclude { phase: TEST } "
        "image_data_param { source: \"x\" new_height: 4 new_width: 4 } }\n" IMAGES("t", "TEST") HEAD);
    Caffe__NetParameter *net = net_of(&made);
    assert_int_equal(net->n_layer, 4);
    assert_string_equal(net->layer[0]->image_data_param->source, "training.txt");
    assert_string_equal(net->layer[1]->image_data_param->source, "testing.txt");
    caffe__net_parameter__free_unpacked(net, NULL);
    specification_release(&made);
}

static void what_cannot_be_trained_is_refused_with_its_reason(void **state)
{
    (void)state;
    static const struct {
        const char *what, *solver, *net, *says;
        int line;
    } rows[] = {
        {"a typo in the solver", "base_lr: 0.1\nlr_polcy: \"fixed\"\nmax_iter: 5\n",
         IMAGES("a", "TRAIN") HEAD, "lr_policy", 2},
        {"a typo in the net", SOLVER, "name: \"x\"\nlayer { name: \"a\" tipe: \"ImageData\" }\n", "type", 2},
        {"no net at all", SOLVER, "", "no ImageData or Data layer", 0},
        {"an unknown policy", "base_lr: 0.1 lr_policy: \"stepp\" max_iter: 5", IMAGES("a", "TRAIN") HEAD,
         "'stepp'", 0},
        {"no end", "base_lr: 0.1 lr_policy: \"fixed\"", IMAGES("a", "TRAIN") HEAD, "max_iter", 0},
        {"no data to learn from", SOLVER, IMAGES("a", "TEST") HEAD, "phase TRAIN", 0},
        {"data that no dataset has", SOLVER,
         "layer { name: \"h\" type: \"HDF5Data\" top: \"data\" top: \"label\" hdf5_data_param { source: "
         "\"x\" } }\n" HEAD,
         "'h'", 0},
        {"both kinds of data", SOLVER,
         IMAGES("a", "TRAIN") "layer { name: \"b\" type: \"Data\" top: \"data\" top: \"label\" include { "
                              "phase: TEST } "
                              "data_param { source: \"x\" batch_size: 1 } }\n" HEAD,
         "'b'", 0},
        {"a file of the machine", SOLVER,
         "layer { name: \"a\" type: \"ImageData\" top: \"data\" top: \"label\" transform_param { mean_file: "
         "\"/etc/passwd\" } image_data_param { new_height: 4 new_width: 4 } }\n" HEAD,
         "/etc/passwd", 0},
        {"a file beside the folder", SOLVER,
         "layer { name: \"a\" type: \"ImageData\" top: \"data\" top: \"label\" transform_param { mean_file: "
         "\"training-data/../../x\" } image_data_param { new_height: 4 new_width: 4 } }\n" HEAD,
         "training-data/../../x", 0},
        {"a layer without its input", SOLVER,
         IMAGES("a", "TRAIN") "layer { name: \"ip\" type: \"InnerProduct\" bottom: \"dato\" top: \"ip\" "
                              "inner_product_param { num_output: 10 } }\n",
         "dato", 0},
        {"a kernel larger than the image", SOLVER,
         IMAGES("a", "TRAIN")
             IMAGES("b", "TEST") "layer { name: \"conv1\" type: \"Convolution\" bottom: \"data\" top: "
                                 "\"c\" convolution_param { num_output: 2 kernel_size: 40 } }\n",
         "conv1", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        struct specification made = {0};
        if (read_both(rows[i].solver, rows[i].net, &made, &err) != INVALID)
            fail_msg("%s: not refused", rows[i].what);
        if (!strstr(err.message, rows[i].says) || !strstr(err.message, "specification-"))
            fail_msg("%s: %s", rows[i].what, err.message);
        if (err.line != rows[i].line)
            fail_msg("%s: line %d", rows[i].what, err.line);
        assert_null(made.net);
    }
}

#define CLASSIFIER(c, h, w)                                                                                  \
    "name: \"x\"\ninput: \"data\"\ninput_dim: 64\ninput_dim: " c "\ninput_dim: " h "\ninput_dim: " w         \
    "\nlayer { name: \"ip\" type: \"InnerProduct\" bottom: \"data\" top: \"ip\" "                            \
    "inner_product_param { num_output: 10 } }\nlayer { name: \"p\" type: \"Softmax\" bottom: \"ip\" top: "   \
    "\"p\" }\n"

static void a_classifier_takes_images_of_the_size_it_says(void **state)
{
    (void)state;
    static const struct {
        const char *what, *net;
        struct classifier_specification classifier;
        const char *says; /* NULL: fine */
    } rows[] = {
        {"grey", CLASSIFIER("1", "28", "20"), {false, 20, 28}, NULL},
        {"colour", CLASSIFIER("3", "28", "28"), {true, 28, 28}, NULL},
        {"an Input layer",
         "layer { name: \"d\" type: \"Input\" top: \"d\" input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } "
         "} } "
         "layer { name: \"ip\" type: \"InnerProduct\" bottom: \"d\" top: \"o\" inner_product_param { "
         "num_output: 2 } }",
         {false, 4, 4},
         NULL},
        {"colour for a grey net", CLASSIFIER("1", "28", "28"), {true, 28, 28}, "color"},
        {"grey for a net of colour", CLASSIFIER("3", "28", "28"), {false, 28, 28}, "color"},
        {"another width", CLASSIFIER("1", "28", "20"), {false, 28, 28}, "image-width"},
        {"two axes",
         "layer { name: \"d\" type: \"Input\" top: \"d\" input_param { shape { dim: 1 dim: 4 } } }",
         {false, 4, 4},
         "four axes"},
        {"no input", "name: \"x\"", {false, 4, 4}, "no input"},
        {"images of its own", IMAGES("a", "TEST"), {false, 28, 28}, "ImageData"},
        {"a typo", "layer { nam: \"d\" }", {false, 4, 4}, "name"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        struct specification_text text = {rows[i].net, "specification-url", strlen(rows[i].net)};
        enum status status = classifier_specification_check(&text, &rows[i].classifier, &err);
        if ((status == OK) != !rows[i].says || (status != OK && !strstr(err.message, rows[i].says)))
            fail_msg("%s: %s", rows[i].what, status == OK ? "accepted" : err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_solver_runs_in_the_folder_of_its_job),
        cmocka_unit_test(nets_named_otherwise_are_replaced_by_the_one_that_was_sent),
        cmocka_unit_test(image_data_layers_read_the_lists_of_the_job),
        cmocka_unit_test(legacy_data_layers_read_the_databases_of_the_job),
        cmocka_unit_test(a_data_layer_of_both_phases_becomes_two),
        cmocka_unit_test(a_layer_kept_out_of_a_phase_is_of_the_other),
        cmocka_unit_test(what_cannot_be_trained_is_refused_with_its_reason),
        cmocka_unit_test(a_classifier_takes_images_of_the_size_it_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
