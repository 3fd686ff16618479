#include <stdlib.h>

#include "base/file.h"
#include "netdef/message.h"
#include "netdef/netdef.h"
#include "netdef/upgrade.h"

enum { TEXT_FILE_MAX = 64 << 20 };
static const size_t binary_max = (size_t)2 << 30;

static enum status upgrade(ProtobufCMessage *message, struct error *err)
{
    if (message->descriptor == &caffe__net_parameter__descriptor)
        return net_upgrade((Caffe__NetParameter *)message, err);
    return solver_upgrade((Caffe__SolverParameter *)message, err);
}

static enum status read_text(const ProtobufCMessageDescriptor *type, const char *text, size_t size,
                             const char *name, struct problems *problems, ProtobufCMessage **ret_message,
                             struct error *err)
{
    CLEANUP(message_freep) ProtobufCMessage *message = NULL;
    TRY(message_read_text_noting(type, text, size, name, problems, &message, err));
    if (upgrade(message, err) != OK)
        return error_context(err, "%s", name);
    *ret_message = TAKE(message);
    return OK;
}

static enum status read_file(const ProtobufCMessageDescriptor *type, const char *path,
                             struct problems *problems, ProtobufCMessage **ret_message, struct error *err)
{
    CLEANUP(freep) char *text = NULL;
    size_t size;
    TRY(file_read(path, TEXT_FILE_MAX, &text, &size, err));
    CLEANUP(freep) char *name = xasprintf("file '%s'", path);
    return read_text(type, text, size, name, problems, ret_message, err);
}

enum status net_read_text(const char *text, size_t size, const char *name, Caffe__NetParameter **ret_net,
                          struct error *err)
{
    ProtobufCMessage *message;
    TRY(read_text(&caffe__net_parameter__descriptor, text, size, name, NULL, &message, err));
    *ret_net = (Caffe__NetParameter *)message;
    return OK;
}

enum status solver_read_text(const char *text, size_t size, const char *name,
                             Caffe__SolverParameter **ret_solver, struct error *err)
{
    ProtobufCMessage *message;
    TRY(read_text(&caffe__solver_parameter__descriptor, text, size, name, NULL, &message, err));
    *ret_solver = (Caffe__SolverParameter *)message;
    return OK;
}

enum status net_read_file_noting(const char *path, struct problems *problems, Caffe__NetParameter **ret_net,
                                 struct error *err)
{
    ProtobufCMessage *message;
    TRY(read_file(&caffe__net_parameter__descriptor, path, problems, &message, err));
    *ret_net = (Caffe__NetParameter *)message;
    return OK;
}

enum status solver_read_file_noting(const char *path, struct problems *problems,
                                    Caffe__SolverParameter **ret_solver, struct error *err)
{
    ProtobufCMessage *message;
    TRY(read_file(&caffe__solver_parameter__descriptor, path, problems, &message, err));
    *ret_solver = (Caffe__SolverParameter *)message;
    return OK;
}

enum status net_read_file(const char *path, Caffe__NetParameter **ret_net, struct error *err)
{
    return net_read_file_noting(path, NULL, ret_net, err);
}

enum status solver_read_file(const char *path, Caffe__SolverParameter **ret_solver, struct error *err)
{
    return solver_read_file_noting(path, NULL, ret_solver, err);
}

/* Three bytes can ask for a struct of 700: unpacking stops at what honest files never need. */
struct budget {
    size_t left;
};

static void *budget_alloc(void *data, size_t size)
{
    struct budget *budget = data;
    if (size > budget->left)
        return NULL;
    budget->left -= size;
    return malloc(size);
}

static void budget_free(void *data, void *pointer)
{
    (void)data;
    free(pointer);
}

static ProtobufCMessage *unpack(const ProtobufCMessageDescriptor *type, const void *bytes, size_t size)
{
    /* Unpacked floats cost the most: 5 bytes in the file, 32 in each of two lists on the way. */
    struct budget budget = {.left = 16 * size + ((size_t)64 << 20)};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    return protobuf_c_message_unpack(type, &allocator, size, bytes);
}

enum status net_read_binary(const void *bytes, size_t size, Caffe__NetParameter **ret_net, struct error *err)
{
    if (size > binary_max)
        return error_set(err, TOO_LARGE, "a caffemodel of %zu bytes; at most 2 GiB are read", size);
    CLEANUP(message_freep) ProtobufCMessage *net = unpack(&caffe__net_parameter__descriptor, bytes, size);
    if (!net)
        return error_set(err, INVALID, "not a caffemodel: its %zu bytes are no binary NetParameter", size);
    TRY(net_upgrade((Caffe__NetParameter *)net, err));
    *ret_net = (Caffe__NetParameter *)TAKE(net);
    return OK;
}

enum status layer_read_binary(const void *bytes, size_t size, Caffe__LayerParameter **ret_layer,
                              struct error *err)
{
    ProtobufCMessage *layer = unpack(&caffe__layer_parameter__descriptor, bytes, size);
    if (!layer)
        return error_set(err, INVALID, "not a caffemodel: %zu bytes of it are no binary LayerParameter",
                         size);
    *ret_layer = (Caffe__LayerParameter *)layer;
    return OK;
}
