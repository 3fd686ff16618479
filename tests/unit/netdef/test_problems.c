/* Mistakes noted instead of ending: texts and definitions. */
#include "../test.h"

#include "netdef/memory_bound.h"
#include "netdef/netdef.h"

static Caffe__NetParameter *read_net(const char *text)
{
    struct error err = {0};
    Caffe__NetParameter *net = NULL;
    assert_ok(net_read_text(text, strlen(text), "net", &net, &err));
    return net;
}

static struct netdef *define(const char *text, struct problems *problems)
{
    struct error err = {0};
    struct netdef *def = NULL;
    Caffe__NetParameter *net = read_net(text);
    assert_ok(netdef_create(net, &(struct netdef_options){.problems = problems}, &def, &err));
    caffe__net_parameter__free_unpacked(net, NULL);
    return def;
}

#define IN "layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 2 dim: 3 } } }\n"

static void reading_goes_on_after_what_does_not_fit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int n_problems;
        const char *name; /* of the net, which stands last: reading came that far */
    } rows[] = {
        {"nam: 'a' name: 'n'", 1, "n"},
        {"nam: 'a' 'b' name: 'n'", 1, "n"},
        {"nam { x { y: [1, 2] } z: < w: -1 > } name: 'n'", 1, "n"},
        {"nam: [ { a: 1 }, { b: 2 } ] name: 'n'", 1, "n"},
        {"force_backward: -1 name: 'n'", 1, "n"},
        {"force_backward: maybe name: 'n'", 1, "n"},
        {"input_dim: [1, x, 3] name: 'n'", 1, "n"},
        {"name: 'm' name: 'o' debug_info: 7", 2, "m"},
        {"layer { nam: 'a' botom: 'b' } name: 'n'", 2, "n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        struct problems problems = {0};
        ProtobufCMessage *message = NULL;
        assert_ok(message_read_text_noting(&caffe__net_parameter__descriptor, rows[i].text,
                                           strlen(rows[i].text), "net", &problems, &message, &err));
        assert_int_equal(problems.n, rows[i].n_problems);
        assert_string_equal(((Caffe__NetParameter *)message)->name, rows[i].name);
        caffe__net_parameter__free_unpacked((Caffe__NetParameter *)message, NULL);
        problems_release(&problems);
    }
}

static void a_text_without_an_end_still_fails(void **state)
{
    (void)state;
    static const char *const rows[] = {"nam: { x: 1", "layer { name: 'a'", "nam:", "nam: }", "name: 'a", "}"};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        struct problems problems = {0};
        ProtobufCMessage *message = NULL;
        assert_int_equal(message_read_text_noting(&caffe__net_parameter__descriptor, rows[i], strlen(rows[i]),
                                                  "net", &problems, &message, &err),
                         INVALID);
        assert_null(message);
        problems_release(&problems);
    }
}

static void a_wrong_layer_leaves_the_others_their_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *layers, *problem;
    } rows[] = {
        {"layer { name: 'a' type: 'ReLU' bottom: 'y' top: 'a' }", "unknown bottom 'y'"},
        {"layer { name: 'a' type: 'Relu' bottom: 'x' top: 'a' }", "unknown layer type 'Relu'"},
        {"layer { name: 'a' type: 'ReLU' bottom: 'x' }", "takes 1 top"},
        {"layer { name: 'a' type: 'Softmax' bottom: 'x' top: 'a' softmax_param { axis: 5 } }",
         "axis 5 is out of range"},
        {"layer { name: 'a' type: 'InnerProduct' bottom: 'x' top: 'x' inner_product_param { num_output: 1 } "
         "}",
         "cannot work in place"},
        {"layer { name: 'a' type: 'ReLU' bottom: 'x' top: 'a' loss_weight: 1 loss_weight: 1 }",
         "loss_weight"},
        {"layer { name: 'a' type: 'ReLU' bottom: 'x' top: 'a' propagate_down: true propagate_down: true }",
         "propagate_down"},
        {"layer { name: 'a' type: 'ReLU' bottom: 'x' top: 'a' param { } }", "param fields"},
        {"layer { name: 'a' type: 'ReLU' bottom: 'x' top: 'a' include { } exclude { } }", "not both"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct problems problems = {0};
        CLEANUP(freep)
        char *text =
            xasprintf("%s%s layer { name: 'b' type: 'Flatten' bottom: 'x' top: 'b' }", IN, rows[i].layers);
        struct netdef *def = define(text, &problems);
        assert_true(problems.n >= 1);
        assert_non_null(strstr(problems.kept[0].message, rows[i].problem));
        assert_non_null(strstr(problems.kept[0].message, "layer 'a'"));
        int blob = netdef_find_blob(def, "b");
        if (!strstr(rows[i].problem, "in place")) {
            assert_int_equal(def->blobs[blob].shape.n_axes, 2);
            assert_int_equal(def->blobs[blob].shape.dim[1], 3);
        }
        netdef_free(def);
        problems_release(&problems);
    }
}

static void a_right_net_has_no_problems(void **state)
{
    (void)state;
    struct problems problems = {0};
    struct netdef *def = define(IN "layer { name: 'a' type: 'ReLU' bottom: 'x' top: 'x' }", &problems);
    assert_int_equal(problems.n, 0);
    assert_int_equal(def->n_layers, 2);
    netdef_free(def);
}

static void training_needs_at_least_its_parameters_and_what_they_read(void **state)
{
    (void)state;
    /* ip1 4x3+4, read x (2,3); ip2 2x4+2 not learned; ip3 5x2+5, reads (2,2): floats */
    struct problems problems = {0};
    struct netdef *def =
        define(IN "layer { name: 'ip1' type: 'InnerProduct' bottom: 'x' top: 'a'"
                  " inner_product_param { num_output: 4 } }"
                  "layer { name: 'ip2' type: 'InnerProduct' bottom: 'a' top: 'b' param { lr_mult: 0 }"
                  " param { lr_mult: 0 } inner_product_param { num_output: 2 } }"
                  "layer { name: 'ip3' type: 'InnerProduct' bottom: 'b' top: 'c'"
                  " inner_product_param { num_output: 5 } }"
                  "layer { name: 'sum' type: 'Reduction' bottom: 'c' top: 'sum' loss_weight: 1 }",
               &problems);
    assert_int_equal(problems.n, 0);
    assert_int_equal(netdef_training_bytes_at_least(def, 1), 4 * (3 * (16 + 15) + 10 + 6 + 4));
    assert_int_equal(netdef_training_bytes_at_least(def, 2), 4 * (4 * (16 + 15) + 10 + 6 + 4));
    netdef_free(def);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_goes_on_after_what_does_not_fit),
        cmocka_unit_test(a_text_without_an_end_still_fails),
        cmocka_unit_test(a_wrong_layer_leaves_the_others_their_shapes),
        cmocka_unit_test(a_right_net_has_no_problems),
        cmocka_unit_test(training_needs_at_least_its_parameters_and_what_they_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
