/*
 * Any bytes as a prototxt: an error, or a net that can be defined (or says
 * why not) and whose print reads back to the same print.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "netdef/netdef.h"

enum { PRINT_MAX = 64 << 20 };

static void print_and_read_back(const ProtobufCMessage *message)
{
    struct buf first, second;
    struct error err;
    ProtobufCMessage *back;
    buf_init(&first, PRINT_MAX);
    buf_init(&second, PRINT_MAX);
    message_print_text(message, &first);
    if (!first.overflowed) {
        if (message_read_text(message->descriptor, first.data, first.size, "print", &back, &err) != OK)
            abort();
        message_print_text(back, &second);
        if (first.size != second.size || memcmp(first.data, second.data, first.size) != 0)
            abort();
        protobuf_c_message_free_unpacked(back, NULL);
    }
    buf_release(&first);
    buf_release(&second);
}

static void define(const Caffe__NetParameter *net, Caffe__Phase phase)
{
    static const char *const stages[] = {"a"};
    const struct netdef_options options = {.phase = phase, .n_stages = 1, .stages = stages};
    struct error err;
    struct netdef *def;
    if (netdef_create(net, &options, &def, &err) == OK) {
        print_and_read_back(&def->param->base);
        netdef_free(def);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err;
    ProtobufCMessage *raw;
    Caffe__NetParameter *net;
    Caffe__SolverParameter *solver;
    const char *text = (const char *)data;
    if (message_read_text(&caffe__net_parameter__descriptor, text, size, "net", &raw, &err) == OK) {
        print_and_read_back(raw);
        protobuf_c_message_free_unpacked(raw, NULL);
    }
    if (net_read_text(text, size, "net", &net, &err) == OK) {
        define(net, CAFFE__PHASE__TRAIN);
        define(net, CAFFE__PHASE__TEST);
        caffe__net_parameter__free_unpacked(net, NULL);
    }
    if (solver_read_text(text, size, "solver", &solver, &err) == OK) {
        print_and_read_back(&solver->base);
        caffe__solver_parameter__free_unpacked(solver, NULL);
    }
    return 0;
}
