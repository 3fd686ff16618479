/* Filtering, splits, sharing, losses and gradients: expected values follow Caffe's Net::Init by hand. */
#include "../test.h"

#include "netdef/netdef.h"

static enum status define(const char *text, const struct netdef_options *options, struct netdef **ret_def,
                          struct error *err)
{
    Caffe__NetParameter *net;
    TRY(net_read_text(text, strlen(text), "net", &net, err));
    enum status status = netdef_create(net, options, ret_def, err);
    caffe__net_parameter__free_unpacked(net, NULL);
    return status;
}

static struct netdef *define_train(const char *text)
{
    struct error err = {0};
    struct netdef *def = NULL;
    assert_ok(define(text, &(struct netdef_options){.phase = CAFFE__PHASE__TRAIN}, &def, &err));
    return def;
}

/* "name: bottom, bottom -> top, top" of every layer, a line each; a gradient that flows down is marked ^. */
static char *describe(const struct netdef *def)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    for (int i = 0; i < def->n_layers; i++) {
        const struct layer_def *layer = &def->layers[i];
        buf_printf(&out, "%s%s:", layer->name, layer->needs_backward ? "*" : "");
        for (int k = 0; k < layer->n_bottoms; k++)
            buf_printf(&out, " %s%s", def->blobs[layer->bottoms[k]].name,
                       layer->propagate_down[k] ? "^" : "");
        buf_puts(&out, " ->");
        for (int k = 0; k < layer->n_tops; k++) {
            buf_printf(&out, " %s", def->blobs[layer->tops[k]].name);
            if (layer->loss_weights[k] != 0)
                buf_printf(&out, "(%g)", (double)layer->loss_weights[k]);
        }
        buf_putc(&out, '\n');
    }
    buf_puts(&out, "outputs:");
    for (int i = 0; i < def->n_outputs; i++)
        buf_printf(&out, " %s", def->blobs[def->outputs[i]].name);
    char *text = buf_take(&out, NULL);
    buf_release(&out);
    return text;
}

#define IN                                                                                                   \
    "layer { name: 'in' type: 'Input' top: 'x' top: 'y' input_param { shape { dim: 4 dim: 3 } shape { dim: " \
    "4 } } }\n"
#define IP(name, bottom, more)                                                                               \
    "layer { name: '" name "' type: 'InnerProduct' bottom: '" bottom "' top: '" name "'"                     \
    " inner_product_param { num_output: 3 } " more " }\n"
#define LOSS(bottom, more)                                                                                   \
    "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: '" bottom "' bottom: 'y' top: 'loss' " more " }\n"

static void nets_are_wired_as_caffe_does(void **state)
{
    (void)state;
    static const struct {
        const char *title, *text, *want;
    } rows[] = {
        {"gradients flow from the loss to the lowest weights, not to data or labels",
         IN IP("a", "x", "") "layer { name: 'r' type: 'ReLU' bottom: 'a' top: 'a' }\n" IP("b", "a", "")
             LOSS("b", ""),
         "in: -> x y\na*: x -> a\nr*: a^ -> a\nb*: a^ -> b\nloss*: b^ y -> loss(1)\noutputs: loss"},
        {"splits are named after the blob and the last layer that wrote it, one top a user",
         IN IP("a", "x", "") "layer { name: 'r' type: 'ReLU' bottom: 'a' top: 'a' }\n" LOSS(
             "a", "") "layer { name: 'acc' type: 'Accuracy' bottom: 'a' bottom: 'y' top: 'acc' }\n",
         "in: -> x y\n"
         "y_in_1_split: y -> y_in_1_split_0 y_in_1_split_1\n"
         "a*: x -> a\nr*: a^ -> a\n"
         "a_r_0_split*: a^ -> a_r_0_split_0 a_r_0_split_1\n"
         "loss*: a_r_0_split_0^ y_in_1_split_0 -> loss(1)\n"
         "acc: a_r_0_split_1 y_in_1_split_1 -> acc\n"
         "outputs: acc loss"},
        {"outputs are in the order of their names, not of the layers",
         IN "layer { name: '1' type: 'Slice' bottom: 'x' top: 'c' top: 'a' top: 'b' }\n",
         "in: -> x y\n1: x -> c a b\noutputs: a b c y"},
        {"a loss that is also a bottom moves its weight to the first split",
         IN IP("a", "x", "") LOSS(
             "a",
             "loss_weight: 2") "layer { name: 'p' type: 'Power' bottom: 'loss' top: 'p' loss_weight: 0.5 }\n",
         "in: -> x y\na*: x -> a\nloss*: a^ y -> loss(1)\n"
         "loss_loss_0_split*: loss^ -> loss_loss_0_split_0(2) loss_loss_0_split_1\n"
         "p*: loss_loss_0_split_1^ -> p(0.5)\noutputs: loss_loss_0_split_0 p"},
        {"any layer can be a loss; a loss of weight 0 does not train",
         IN IP("a", "x", "loss_weight: 3") IP("b", "x", "") LOSS("b", "loss_weight: 0"),
         "in: -> x y\nx_in_0_split: x -> x_in_0_split_0 x_in_0_split_1\n"
         "a*: x_in_0_split_0 -> a(3)\nb: x_in_0_split_1 -> b\nloss: b y -> loss\noutputs: a loss"},
        {"lr_mult 0 everywhere below cuts the gradient",
         IN IP("a", "x", "param { lr_mult: 0 } param { lr_mult: 0 }") IP("b", "a", "") LOSS("b", ""),
         "in: -> x y\na: x -> a\nb*: a -> b\nloss*: b^ y -> loss(1)\noutputs: loss"},
        {"one param that learns is enough",
         IN IP("a", "x", "param { lr_mult: 0 }") IP("b", "a", "") LOSS("b", ""),
         "in: -> x y\na*: x -> a\nb*: a^ -> b\nloss*: b^ y -> loss(1)\noutputs: loss"},
        {"propagate_down: false cuts everything beneath",
         IN IP("a", "x", "") IP("b", "a", "") IP("c", "b", "propagate_down: false") LOSS("c", ""),
         "in: -> x y\na: x -> a\nb: a -> b\nc*: b -> c\nloss*: c^ y -> loss(1)\noutputs: loss"},
        {"propagate_down: true forces the gradient into data",
         IN IP("a", "x", "propagate_down: true") LOSS("a", ""),
         "in: -> x y\na*: x^ -> a\nloss*: a^ y -> loss(1)\noutputs: loss"},
        {"force_backward reaches all but labels", "force_backward: true\n" IN IP("a", "x", "") LOSS("a", ""),
         "in*: -> x y\na*: x^ -> a\nloss*: a^ y -> loss(1)\noutputs: loss"},
        {"Silence consumes and BatchNorm without params needs backward",
         IN "layer { name: 'bn' type: 'BatchNorm' bottom: 'x' top: 'x' }\n" IP(
             "a", "x", "") "layer { name: 's' type: 'Silence' bottom: 'y' }\n",
         "in: -> x y\nbn: x -> x\na: x -> a\ns: y ->\noutputs: a"},
        {"the same blob twice at one layer is two users",
         IN "layer { name: 'e' type: 'Eltwise' bottom: 'x' bottom: 'x' top: 'e' }\n",
         "in: -> x y\nx_in_0_split: x -> x_in_0_split_0 x_in_0_split_1\n"
         "e: x_in_0_split_0 x_in_0_split_1 -> e\noutputs: e y"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(netdef_freep) struct netdef *def = define_train(rows[i].text);
        CLEANUP(freep) char *got = describe(def);
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s:\n got\n%s\n want\n%s", rows[i].title, got, rows[i].want);
    }
}

static void a_loss_without_a_top_has_an_automatic_one_that_is_no_output(void **state)
{
    (void)state;
    CLEANUP(netdef_freep)
    struct netdef *def = define_train(
        IN IP("a", "x", "") "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'a' bottom: 'y' }\n");
    CLEANUP(freep) char *got = describe(def);
    assert_string_equal(got, "in: -> x y\na*: x -> a\nloss*: a^ y -> (automatic)(1)\noutputs:");
}

static void gradients_are_needed_where_a_layer_writes_them(void **state)
{
    (void)state;
    CLEANUP(netdef_freep) struct netdef *def = define_train(IN IP("a", "x", "") LOSS("a", ""));
    assert_false(def->blobs[netdef_find_blob(def, "x")].needs_diff);
    assert_false(def->blobs[netdef_find_blob(def, "y")].needs_diff);
    assert_true(def->blobs[netdef_find_blob(def, "a")].needs_diff);
    assert_false(def->blobs[netdef_find_blob(def, "loss")].needs_diff);
}

static void layers_are_kept_by_phase_level_and_stage(void **state)
{
    (void)state;
    static const char *const a[] = {"a"}, *const ab[] = {"a", "b"};
    static const struct {
        const char *rules;
        struct netdef_options options;
        bool kept;
    } rows[] = {
        {"", {.phase = CAFFE__PHASE__TRAIN}, true},
        {"include { phase: TRAIN }", {.phase = CAFFE__PHASE__TRAIN}, true},
        {"include { phase: TRAIN }", {.phase = CAFFE__PHASE__TEST}, false},
        {"exclude { phase: TRAIN }", {.phase = CAFFE__PHASE__TRAIN}, false},
        {"include { min_level: 2 }", {.level = 1}, false},
        {"include { min_level: 2 max_level: 2 }", {.level = 2}, true},
        {"include { max_level: 2 }", {.level = 3}, false},
        {"include { stage: 'a' stage: 'b' }", {.n_stages = 1, .stages = a}, false},
        {"include { stage: 'a' stage: 'b' }", {.n_stages = 2, .stages = ab}, true},
        {"include { not_stage: 'b' }", {.n_stages = 1, .stages = a}, true},
        {"include { not_stage: 'b' }", {.n_stages = 2, .stages = ab}, false},
        {"include { stage: 'a' } include { phase: TEST }", {.n_stages = 1, .stages = a}, true},
        {"include { stage: 'of-the-net' }", {.n_stages = 0}, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err;
        CLEANUP(netdef_freep) struct netdef *def = NULL;
        CLEANUP(freep)
        char *text = xasprintf("state { stage: 'of-the-net' } layer { name: 'd' type: 'DummyData' top: 'd'"
                               " dummy_data_param { shape { dim: 1 } } %s }",
                               rows[i].rules);
        assert_ok(define(text, &rows[i].options, &def, &err));
        assert_int_equal(def->n_layers, rows[i].kept);
    }
}

static void shared_params_have_one_owner_whose_multipliers_any_sharer_may_say(void **state)
{
    (void)state;
    CLEANUP(netdef_freep)
    struct netdef *def = define_train(
        IN IP("a", "x", "param { name: 'w' lr_mult: 2 }")
            IP("b", "a", "param { name: 'w' decay_mult: 0 } param { name: 'b' lr_mult: 3 }")
                IP("c", "b",
                   "param { name: 'w' share_mode: PERMISSIVE lr_mult: 2 } param { name: 'b' lr_mult: 3 }"));
    static const struct {
        int owner;
        double lr_mult, decay_mult;
        const char *name;
    } want[] = {{0, 2, 0, "w"}, {1, 1, 1, ""},  {0, 2, 0, "w"},
                {3, 3, 1, "b"}, {0, 2, 0, "w"}, {3, 3, 1, "b"}};
    assert_int_equal(def->n_params, 6);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(def->params[i].owner, want[i].owner);
        assert_true(def->params[i].lr_mult == want[i].lr_mult);
        assert_true(def->params[i].decay_mult == want[i].decay_mult);
        assert_string_equal(def->params[i].name, want[i].name);
    }
    assert_int_equal(def->parameter_bytes, 4 * (9 + 3 + 3));
}

static void default_fillers_are_those_of_the_type(void **state)
{
    (void)state;
    CLEANUP(netdef_freep)
    struct netdef *def = define_train(
        IN "layer { name: 's' type: 'Scale' bottom: 'x' top: 's' scale_param { bias_term: true } }\n"
           "layer { name: 'p' type: 'PReLU' bottom: 's' top: 'p' }\n" IP(
               "a", "p", "") "layer { name: 'g' type: 'InnerProduct' bottom: 'a' top: 'g'"
                             " inner_product_param { num_output: 1 bias_term: false weight_filler { type: "
                             "'gaussian' std: 0.5 } } }\n");
    static const struct {
        const char *type;
        float value, std;
    } want[] = {{"constant", 1, 1}, {"constant", 0, 1}, {"constant", 0.25f, 1},
                {"constant", 0, 1}, {"constant", 0, 1}, {"gaussian", 0, 0.5f}};
    assert_int_equal(def->n_params, 6);
    for (int i = 0; i < 6; i++) {
        assert_string_equal(def->params[i].filler->type, want[i].type);
        assert_true(def->params[i].filler->value == want[i].value);
        assert_true(def->params[i].filler->std == want[i].std);
        assert_true(def->params[i].filler->max == 1 && def->params[i].filler->sparse == -1);
    }
}

static void sources_give_data_layers_their_shapes(void **state)
{
    (void)state;
    struct error err = {0};
    const char *text =
        "layer { name: 'd' type: 'HDF5Data' top: 'x' top: 'y' hdf5_data_param { batch_size: 5 } }\n" IP(
            "a", "x", "");
    struct source_shape source = {
        .layer = "d", .n_tops = 2, .tops = {{.n_axes = 2, .dim = {5, 7}}, {.n_axes = 1, .dim = {5}}}};
    struct netdef_options options = {.n_sources = 1, .sources = &source};
    CLEANUP(netdef_freep) struct netdef *def = NULL;
    assert_ok(define(text, &options, &def, &err));
    char shape[SHAPE_TEXT_MAX];
    assert_string_equal(shape_text(&def->params[0].shape, shape), "3 7 (21)");
    source.n_tops = 1;
    CLEANUP(netdef_freep) struct netdef *none = NULL;
    assert_int_equal(define(text, &options, &none, &err), INVALID);
    assert_string_equal(err.message,
                        "layer 'd': the source delivers 1 blobs, not the 2 that the layer has as tops");
}

static void data_layers_are_listed_for_the_state(void **state)
{
    (void)state;
    struct error err;
    const char *text = "layer { name: 'train' type: 'Data' top: 'x' include { phase: TRAIN } }\n"
                       "layer { name: 'test' type: 'ImageData' top: 'x' top: 'y' include { phase: TEST } }\n"
                       "layer { name: 'dummy' type: 'DummyData' top: 'z' }\n"
                       "layer { name: 'h5' type: 'HDF5Data' top: 'w' }\n";
    Caffe__NetParameter *net;
    assert_ok(net_read_text(text, strlen(text), "net", &net, &err));
    CLEANUP(freep) int *layers = NULL;
    int n = 0;
    assert_ok(
        netdef_data_layers(net, &(struct netdef_options){.phase = CAFFE__PHASE__TEST}, &layers, &n, &err));
    assert_int_equal(n, 2);
    assert_int_equal(layers[0], 1);
    assert_int_equal(layers[1], 3);
    caffe__net_parameter__free_unpacked(net, NULL);
}

static void the_parameter_is_what_a_snapshot_writes(void **state)
{
    (void)state;
    CLEANUP(netdef_freep)
    struct netdef *def = define_train(
        "name: 'n' force_backward: true state { level: 1 }\n" IN
        "layer { name: 'bn' type: 'BatchNorm' bottom: 'x' top: 'b' phase: TEST blobs { data: 1 } }\n"
        "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'b' bottom: 'y' }\n"
        "layer { name: 'gone' type: 'Silence' bottom: 'b' include { phase: TEST } }\n");
    struct buf got;
    buf_init(&got, 1 << 16);
    message_print_text(&def->param->base, &got);
    assert_string_equal(
        got.data,
        "name: \"n\"\n"
        "layer {\n  name: \"in\"\n  type: \"Input\"\n  top: \"x\"\n  top: \"y\"\n  phase: TRAIN\n"
        "  input_param {\n    shape {\n      dim: 4\n      dim: 3\n    }\n    shape {\n      dim: 4\n    }\n "
        " }\n}\n"
        "layer {\n  name: \"bn\"\n  type: \"BatchNorm\"\n  bottom: \"x\"\n  top: \"b\"\n"
        "  param {\n    lr_mult: 0\n  }\n  param {\n    lr_mult: 0\n  }\n  param {\n    lr_mult: 0\n  }\n"
        "  phase: TEST\n}\n"
        "layer {\n  name: \"loss\"\n  type: \"SoftmaxWithLoss\"\n  bottom: \"b\"\n  bottom: \"y\"\n"
        "  loss_weight: 1\n  phase: TRAIN\n}\n");
    assert_int_equal(def->layers[1].phase, CAFFE__PHASE__TEST);
    buf_release(&got);
}

static void nets_that_do_not_hang_together_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } rows[] = {
        {IN IP("a", "z", ""), "layer 'a': unknown bottom 'z': no layer before it has that top"},
        {IN IP("conv1", "x", "") IP("a", "conv2", ""),
         "layer 'a': unknown bottom 'conv2': no layer before it has that top; did you mean 'conv1'?"},
        {IN IP("a", "b", "") IP("b", "x", ""),
         "layer 'a': bottom 'b' is made by layer 'b', which comes later"},
        {IN IP("a", "x", "") "layer { name: 'r' type: 'TanH' bottom: 'y' top: 'a' }\n",
         "layer 'r': top 'a' is made by layer 'a' already"},
        {IN "layer { name: 'a' type: 'ReLU' bottom: 'x' top: 'a' include { } exclude { } }\n",
         "layer 'a': give include or exclude rules, not both"},
        {IN IP("a", "x", "param { name: 'w' lr_mult: 1 }") IP("b", "a", "param { name: 'w' lr_mult: 2 }"),
         "layer 'b': param 'w' has lr_mult 2, but layer 'a', which shares it, says 1"},
        {IN IP("a", "x", "param { name: 'w' decay_mult: 1 }")
             IP("b", "a", "param { name: 'w' decay_mult: 2 }"),
         "layer 'b': param 'w' has decay_mult 2, but layer 'a', which shares it, says 1"},
        {IN IP("a", "x", "param { name: 'w' }") "layer { name: 'b' type: 'InnerProduct' bottom: 'a' top: 'b' "
                                                "param { name: 'w' }"
                                                " inner_product_param { num_output: 3 axis: 0 } }\n",
         "layer 'b': cannot share param 'w' of shape 3 12 (36) with layer 'a', which owns it with shape 3 3 "
         "(9)"},
        {IN IP("a", "x", "param { name: 'w' }") "layer { name: 'b' type: 'InnerProduct' bottom: 'a' top: 'b' "
                                                "param { name: 'w' share_mode: PERMISSIVE }"
                                                " inner_product_param { num_output: 2 } }\n",
         "layer 'b': cannot share param 'w' of shape 2 3 (6) with layer 'a', which owns it with shape 3 3 (9)"
         ": the counts differ"},
        {IN IP("a", "x", "") "layer { name: 't' type: 'Threshold' bottom: 'a' top: 't' }\n" IP("b", "t", "")
             LOSS("b", ""),
         "layer 't': type Threshold gives no gradient to its bottom 'a', and something learned lies beneath; "
         "propagate_down: false stops it there"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        struct netdef *def = NULL;
        assert_int_equal(
            define(rows[i].text, &(struct netdef_options){.phase = CAFFE__PHASE__TRAIN}, &def, &err),
            INVALID);
        assert_null(def);
        assert_string_equal(err.message, rows[i].message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nets_are_wired_as_caffe_does),
        cmocka_unit_test(a_loss_without_a_top_has_an_automatic_one_that_is_no_output),
        cmocka_unit_test(gradients_are_needed_where_a_layer_writes_them),
        cmocka_unit_test(layers_are_kept_by_phase_level_and_stage),
        cmocka_unit_test(shared_params_have_one_owner_whose_multipliers_any_sharer_may_say),
        cmocka_unit_test(default_fillers_are_those_of_the_type),
        cmocka_unit_test(sources_give_data_layers_their_shapes),
        cmocka_unit_test(data_layers_are_listed_for_the_state),
        cmocka_unit_test(the_parameter_is_what_a_snapshot_writes),
        cmocka_unit_test(nets_that_do_not_hang_together_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
