#include "../test.h"

#include <math.h>

#include "netdef/netdef.h"

static enum status read_net(const char *text, Caffe__NetParameter **ret_net, struct error *err)
{
    return net_read_text(text, strlen(text), "file 'net.prototxt'", ret_net, err);
}

static void free_net(Caffe__NetParameter *net)
{
    caffe__net_parameter__free_unpacked(net, NULL);
}

static void every_separator_and_bracket_reads_the_same(void **state)
{
    (void)state;
    struct error err;
    static const char *const texts[] = {
        "name: 'n' layer { name: 'a' bottom: 'x' bottom: 'y' loss_weight: 1 loss_weight: 2 }",
        "name: \"n\"; layer: { name: \"a\", bottom: [\"x\", \"y\"]; loss_weight: [1, 2], };",
        "# a comment\nname:'n'layer<name:'a' bottom:['x','y'] # another\n loss_weight:[1.0,2.f]>",
        "\xef\xbb\xbfname\n:\n'n'\nlayer: [ { name: 'a' bottom: 'x' bottom: 'y' loss_weight: [0.1e1, 2] } ]",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        Caffe__NetParameter *net;
        assert_ok(read_net(texts[i], &net, &err));
        assert_string_equal(net->name, "n");
        assert_int_equal(net->n_layer, 1);
        assert_string_equal(net->layer[0]->name, "a");
        assert_int_equal(net->layer[0]->n_bottom, 2);
        assert_string_equal(net->layer[0]->bottom[1], "y");
        assert_int_equal(net->layer[0]->n_loss_weight, 2);
        assert_true(net->layer[0]->loss_weight[0] == 1 && net->layer[0]->loss_weight[1] == 2);
        free_net(net);
    }
}

static void strings_join_and_escapes_are_decoded(void **state)
{
    (void)state;
    struct error err;
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"name: 'conv' \"1\"\n '_x'", "conv1_x"},
        {"name: 'a#b'", "a#b"},
        {"name: '\\n\\t\\\\\\'\\\"'", "\n\t\\'\""},
        {"name: '\\101\\x42\\u00e9'", "AB\xc3\xa9"},
        {"name: '\\0011'", "\001"
                           "1"},
        {"name: ''", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Caffe__NetParameter *net;
        assert_ok(read_net(rows[i].text, &net, &err));
        assert_string_equal(net->name, rows[i].want);
        free_net(net);
    }
}

static void numbers_are_read_in_all_their_forms(void **state)
{
    (void)state;
    struct error err;
    static const struct {
        const char *text;
        float want;
    } rows[] = {
        {"0.01", 0.01f},
        {"1e-3", 0.001f},
        {"1.f", 1},
        {"2F", 2},
        {".5", 0.5f},
        {"-3", -3},
        {"- 3", -3},
        {"10", 10},
        {"inf", INFINITY},
        {"-INFINITY", -INFINITY},
        {"1e39", INFINITY},
        {"5E+2", 500},
        {"123456789012345678901234567890", 1.2345679e29f},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[200];
        snprintf(text, sizeof(text),
                 "base_lr: %s display: 0x10 max_iter: 010 random_seed: -9223372036854775808", rows[i].text);
        Caffe__SolverParameter *solver;
        assert_ok(solver_read_text(text, strlen(text), "solver", &solver, &err));
        assert_true(solver->base_lr == rows[i].want);
        assert_int_equal(solver->display, 16);
        assert_int_equal(solver->max_iter, 8);
        assert_true(solver->random_seed == INT64_MIN);
        caffe__solver_parameter__free_unpacked(solver, NULL);
    }
    Caffe__SolverParameter *solver;
    assert_ok(solver_read_text("delta: nan", 10, "solver", &solver, &err));
    assert_true(isnan(solver->delta));
    caffe__solver_parameter__free_unpacked(solver, NULL);
}

static void enums_and_booleans_have_names_and_numbers(void **state)
{
    (void)state;
    struct error err;
    static const char *const texts[] = {
        "solver_mode: CPU snapshot_diff: true snapshot_format: HDF5",
        "solver_mode: 0 snapshot_diff: 1 snapshot_format: 0",
        "solver_mode: CPU snapshot_diff: t snapshot_format: HDF5",
        "solver_mode: CPU snapshot_diff: True snapshot_format: 0x0",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        Caffe__SolverParameter *solver;
        assert_ok(solver_read_text(texts[i], strlen(texts[i]), "solver", &solver, &err));
        assert_int_equal(solver->solver_mode, CAFFE__SOLVER_PARAMETER__SOLVER_MODE__CPU);
        assert_true(solver->snapshot_diff);
        assert_int_equal(solver->snapshot_format, CAFFE__SOLVER_PARAMETER__SNAPSHOT_FORMAT__HDF5);
        assert_int_equal(solver->iter_size, 1);
        assert_string_equal(solver->regularization_type, "L2");
        caffe__solver_parameter__free_unpacked(solver, NULL);
    }
}

static void a_mistake_is_explained_with_line_column_and_nearest_name(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int line, column;
        const char *message;
    } rows[] = {
        {"layer {\n  botom: 'x'\n}", 2, 3,
         "file 'net.prototxt' line 2, column 3: unknown field 'botom' in LayerParameter; did you mean "
         "'bottom'?"},
        {"layer { pooling_param { pool: AVG } }", 1, 31,
         "file 'net.prototxt' line 1, column 31: unknown value 'AVG' of 'pool'; did you mean 'AVE'?"},
        {"layer { zzzzzzzzzzz: 1 }", 1, 9,
         "file 'net.prototxt' line 1, column 9: unknown field 'zzzzzzzzzzz' in LayerParameter"},
        {"name: 'a'\nname: 'b'", 2, 1,
         "file 'net.prototxt' line 2, column 1: 'name' is given twice in NetParameter"},
        {"name 'a'", 1, 6, "file 'net.prototxt' line 1, column 6: expected ':' after 'name', not ''a''"},
        {"name: a", 1, 7, "file 'net.prototxt' line 1, column 7: expected a string in quotes, not 'a'"},
        {"name: 'a", 1, 7,
         "file 'net.prototxt' line 1, column 7: the string that starts here has no closing ' on its line"},
        {"name: '\\q'", 1, 7, "file 'net.prototxt' line 1, column 7: unknown escape '\\q' in a string"},
        {"name: 'a\\000b'", 1, 7,
         "file 'net.prototxt' line 1, column 7: a string must not contain a zero byte"},
        {"name: '\\ud800'", 1, 7,
         "file 'net.prototxt' line 1, column 7: unknown escape '\\ud800' in a string"},
        {"name: ['a', 'b']", 1, 7,
         "file 'net.prototxt' line 1, column 7: 'name' takes one value, not a list"},
        {"layer {\n", 2, 1,
         "file 'net.prototxt' line 2, column 1: the text ends before the '}' of LayerParameter"},
        {"layer { >", 1, 9, "file 'net.prototxt' line 1, column 9: expected the name of a field, not '>'"},
        {"}", 1, 1, "file 'net.prototxt' line 1, column 1: expected the name of a field, not '}'"},
        {"layer: 3", 1, 8, "file 'net.prototxt' line 1, column 8: expected '{', not '3'"},
        {"layer", 1, 6, "file 'net.prototxt' line 1, column 6: expected '{', not the end of the text"},
        {"force_backward: yes", 1, 17,
         "file 'net.prototxt' line 1, column 17: expected true or false, not 'yes'"},
        {"force_backward: 2", 1, 17,
         "file 'net.prototxt' line 1, column 17: expected true or false (or 1 or 0)"},
        {"input_dim: 2147483648", 1, 12,
         "file 'net.prototxt' line 1, column 12: integer out of range: -2147483648 to 2147483647"},
        {"input_dim: 99999999999999999999999999999999999", 1, 12,
         "file 'net.prototxt' line 1, column 12: integer out of range: -2147483648 to 2147483647"},
        {"input_dim: 1.5", 1, 12, "file 'net.prototxt' line 1, column 12: expected an integer, not '1.5'"},
        {"input_dim: 09", 1, 12,
         "file 'net.prototxt' line 1, column 12: an integer that starts with 0 is octal: no 8 or 9"},
        {"layer { convolution_param { pad: -1 } }", 1, 34,
         "file 'net.prototxt' line 1, column 34: integer out of range: 0 to 4294967295"},
        {"layer { loss_weight: 0x10 }", 1, 22,
         "file 'net.prototxt' line 1, column 22: expected a decimal number, not a hexadecimal or octal one"},
        {"layer { loss_weight: 1e }", 1, 22,
         "file 'net.prototxt' line 1, column 22: an exponent needs digits"},
        {"layer { loss_weight: ten }", 1, 22,
         "file 'net.prototxt' line 1, column 22: expected a number, not 'ten'"},
        {"layer { clip_param { min: 1 } }", 1, 29,
         "file 'net.prototxt' line 1, column 29: ClipParameter needs 'max'"},
        {"layer { pooling_param { pool: 7 } }", 1, 31,
         "file 'net.prototxt' line 1, column 31: 7 is not a value of pool"},
        {"[caffe.x]: 1", 1, 1, "file 'net.prototxt' line 1, column 1: expected the name of a field, not '['"},
        {"name: 'a' \x01", 1, 11,
         "file 'net.prototxt' line 1, column 11: byte 0x01 is not allowed outside of strings and comments"},
        {"layer { bottom: ['a' 'b', 'c' top: 'd' }", 1, 31,
         "file 'net.prototxt' line 1, column 31: expected ',' or ']', not 'top'"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        Caffe__NetParameter *net = NULL;
        assert_int_equal(read_net(rows[i].text, &net, &err), INVALID);
        assert_null(net);
        assert_string_equal(err.message, rows[i].message);
        assert_int_equal(err.line, rows[i].line);
        assert_int_equal(err.column, rows[i].column);
    }
}

static void a_zero_byte_in_the_text_is_a_mistake_not_an_end(void **state)
{
    (void)state;
    struct error err;
    Caffe__NetParameter *net;
    assert_int_equal(net_read_text("name: 'a'\0name", 14, "net", &net, &err), INVALID);
    assert_int_equal(err.column, 10);
}

static void a_text_that_asks_for_too_much_memory_is_refused(void **state)
{
    (void)state;
    struct error err;
    size_t n = 1 << 20, size = 7 * n;
    CLEANUP(freep) char *text = xmalloc(size);
    for (size_t i = 0; i < n; i++)
        memcpy(text + 7 * i, "layer{}", 7);
    Caffe__NetParameter *net;
    assert_int_equal(net_read_text(text, size, "net", &net, &err), TOO_LARGE);
    assert_int_equal(net_read_text(text, (64 << 20) + 1, "net", &net, &err), TOO_LARGE);
}

static void a_file_names_itself_in_its_errors(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(freep) char *dir = test_folder();
    CLEANUP(freep) char *path = path_join(dir, "net.prototxt");
    assert_ok(file_write(path, "nam: 'x'", 8, 0600, &err));
    Caffe__NetParameter *net;
    assert_int_equal(net_read_file(path, &net, &err), INVALID);
    assert_non_null(strstr(err.message, "net.prototxt' line 1, column 1: unknown field 'nam'"));
    assert_int_equal(err.line, 1);
    assert_ok(dir_remove(dir, &err));
    assert_int_equal(net_read_file(path, &net, &err), NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_separator_and_bracket_reads_the_same),
        cmocka_unit_test(strings_join_and_escapes_are_decoded),
        cmocka_unit_test(numbers_are_read_in_all_their_forms),
        cmocka_unit_test(enums_and_booleans_have_names_and_numbers),
        cmocka_unit_test(a_mistake_is_explained_with_line_column_and_nearest_name),
        cmocka_unit_test(a_zero_byte_in_the_text_is_a_mistake_not_an_end),
        cmocka_unit_test(a_text_that_asks_for_too_much_memory_is_refused),
        cmocka_unit_test(a_file_names_itself_in_its_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
