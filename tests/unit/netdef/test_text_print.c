#include "../test.h"

#include "netdef/netdef.h"

static char *print(const ProtobufCMessage *message)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    message_print_text(message, &out);
    assert_false(out.overflowed);
    char *text = buf_take(&out, NULL);
    buf_release(&out);
    return text;
}

/* Written by hand as protobuf's TextFormat prints, fields in the order of their numbers. */
static const char *const printed[] = {
    "name: \"n\"\n"
    "force_backward: false\n"
    "state {\n"
    "  phase: TRAIN\n"
    "  stage: \"a\"\n"
    "  stage: \"b\"\n"
    "}\n"
    "layer {\n"
    "  name: \"quote \\\" slash \\\\ \\n \\303\\251 \\001\"\n"
    "  type: \"\"\n"
    "  loss_weight: 0.1\n"
    "  loss_weight: 1e-05\n"
    "  loss_weight: 3.40282347e+38\n"
    "  loss_weight: inf\n"
    "  loss_weight: -inf\n"
    "  loss_weight: nan\n"
    "  blobs {\n"
    "    data: 0.333333343\n"
    "    shape {\n"
    "      dim: -1\n"
    "      dim: 9223372036854775807\n"
    "    }\n"
    "    double_data: 0.1\n"
    "  }\n"
    "  include {\n"
    "  }\n"
    "  propagate_down: true\n"
    "  convolution_param {\n"
    "    num_output: 4294967295\n"
    "  }\n"
    "}\n",
    /* Legacy forms are printed as they are, not upgraded. */
    "layers {\n"
    "  layer {\n"
    "    name: \"conv1\"\n"
    "    type: \"conv\"\n"
    "    kernelsize: 5\n"
    "    pool: AVE\n"
    "  }\n"
    "  type: CONVOLUTION\n"
    "  blobs_lr: 2\n"
    "  param: \"shared\"\n"
    "  blob_share_mode: PERMISSIVE\n"
    "}\n"
    "input: \"data\"\n"
    "input_dim: 10\n",
};

static void what_is_printed_reads_back_as_itself(void **state)
{
    (void)state;
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(printed); i++) {
        ProtobufCMessage *net;
        assert_ok(message_read_text(&caffe__net_parameter__descriptor, printed[i], strlen(printed[i]), "net",
                                    &net, &err));
        CLEANUP(freep) char *text = print(net);
        assert_string_equal(text, printed[i]);
        protobuf_c_message_free_unpacked(net, NULL);
    }
}

static void only_what_is_set_is_printed(void **state)
{
    (void)state;
    Caffe__SolverParameter solver = CAFFE__SOLVER_PARAMETER__INIT;
    CLEANUP(freep) char *nothing = print(&solver.base);
    assert_string_equal(nothing, "");
    solver.has_max_iter = true;
    solver.type = (char *)(uintptr_t) "Adam";
    CLEANUP(freep) char *text = print(&solver.base);
    assert_string_equal(text, "max_iter: 0\ntype: \"Adam\"\n");
}

static void bytes_of_any_value_survive(void **state)
{
    (void)state;
    struct error err;
    uint8_t bytes[256];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    Caffe__Datum datum = CAFFE__DATUM__INIT;
    datum.has_data = true;
    datum.data = (ProtobufCBinaryData){sizeof(bytes), bytes};
    CLEANUP(freep) char *text = print(&datum.base);
    ProtobufCMessage *read;
    assert_ok(message_read_text(&caffe__datum__descriptor, text, strlen(text), "datum", &read, &err));
    Caffe__Datum *back = (Caffe__Datum *)read;
    assert_int_equal(back->data.len, sizeof(bytes));
    assert_memory_equal(back->data.data, bytes, sizeof(bytes));
    protobuf_c_message_free_unpacked(read, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_printed_reads_back_as_itself),
        cmocka_unit_test(only_what_is_set_is_printed),
        cmocka_unit_test(bytes_of_any_value_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
