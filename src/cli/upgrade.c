/* upgrade.c - `et upgrade-net` and `et upgrade-solver`: legacy definitions and models into today's form. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/commands.h"
#include "engine/caffe_log.h"
#include "netdef/message.h"
#include "netdef/netdef.h"
#include "netdef/upgrade.h"

static const char net_help[] = "usage: et upgrade-net [--text | --binary] IN OUT\n\n"
                               "Writes the net IN, of any of Caffe's older forms, to OUT in today's form: a\n"
                               "prototxt as a prototxt, a caffemodel as a caffemodel.\n\n"
                               "  --text, --binary    what IN is; without, its bytes decide\n"
                               "\nexample:\n"
                               "  et upgrade-net old_train_val.prototxt train_val.prototxt\n";

static const char solver_help[] =
    "usage: et upgrade-solver IN OUT\n\n"
    "Writes the solver IN, which may name its type in the old way (solver_type), to OUT in\n"
    "today's form.\n"
    "\nexample:\n"
    "  et upgrade-solver old_solver.prototxt solver.prototxt\n";

enum { OUT_TEXT_MAX = 1 << 30 };
static const size_t in_max = (size_t)2 << 30;

static char *packed(const ProtobufCMessage *message, size_t *ret_size)
{
    *ret_size = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = xmalloc(*ret_size + 1);
    protobuf_c_message_pack(message, bytes);
    return (char *)bytes;
}

/* Says so when nothing was to be done, as Caffe's tools do. */
static void tell_if_same(const char *before, size_t before_size, const char *after, size_t after_size,
                         const char *path)
{
    if (before_size == after_size && !memcmp(before, after, after_size))
        caffe_log('E', "upgrade_net_proto_text.cpp:45", "File already in latest proto format: %s", path);
}

static enum status write_text(const ProtobufCMessage *message, const char *path, struct error *err)
{
    struct buf text;
    buf_init(&text, OUT_TEXT_MAX);
    message_print_text(message, &text);
    enum status status = text.overflowed ? error_set(err, TOO_LARGE, "'%s' would be over 1 GiB", path)
                                         : file_write(path, text.data, text.size, 0666, err);
    buf_release(&text);
    return status;
}

static enum status upgrade_text(const ProtobufCMessageDescriptor *type, const char *text, size_t size,
                                const char *in, const char *out, struct error *err)
{
    CLEANUP(message_freep) ProtobufCMessage *message = NULL;
    CLEANUP(freep) char *name = xasprintf("file '%s'", in);
    TRY(message_read_text(type, text, size, name, &message, err));
    size_t before_size, after_size;
    CLEANUP(freep) char *before = packed(message, &before_size);
    enum status status = type == &caffe__net_parameter__descriptor
                             ? net_upgrade((Caffe__NetParameter *)message, err)
                             : solver_upgrade((Caffe__SolverParameter *)message, err);
    if (status != OK)
        return error_context(err, "%s", name);
    CLEANUP(freep) char *after = packed(message, &after_size);
    tell_if_same(before, before_size, after, after_size, in);
    return write_text(message, out, err);
}

static enum status upgrade_binary(const char *bytes, size_t size, const char *in, const char *out,
                                  struct error *err)
{
    CLEANUP(message_freep) ProtobufCMessage *net = NULL;
    Caffe__NetParameter *read;
    if (net_read_binary(bytes, size, &read, err) != OK)
        return error_context(err, "file '%s'", in);
    net = &read->base;
    size_t after_size;
    CLEANUP(freep) char *after = packed(net, &after_size);
    tell_if_same(bytes, size, after, after_size, in);
    return file_write(out, after, after_size, 0666, err);
}

/* A caffemodel's first byte is a field's tag; no text has control characters but white space. */
static bool looks_binary(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)bytes[i] < ' ' && !memchr("\t\n\v\f\r", bytes[i], 5))
            return true;
    return false;
}

static int run(const char *command, const char *help, bool is_net, int argc, char **argv)
{
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'},
        {"binary", no_argument, NULL, 'b'},
        {"text", no_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    int form = 0;
    optind = 0;
    opterr = 0;
    for (int flag; (flag = getopt_long_only(argc, argv, "", options, NULL)) != -1;) {
        if (flag == 'h')
            return fputs(help, stdout), EXIT_DONE;
        if (flag == '?' || !is_net)
            return command_usage(command, "flag '%s' is not known", argv[optind - 1]);
        form = flag;
    }
    if (argc - optind != 2)
        return command_usage(command, "two names are needed: IN OUT");
    const char *in = argv[optind], *out = argv[optind + 1];
    struct error err;
    CLEANUP(freep) char *bytes = NULL;
    size_t size;
    if (file_read(in, in_max, &bytes, &size, &err) != OK)
        return command_fail(&err);
    bool is_binary = is_net && (form ? form == 'b' : looks_binary(bytes, size));
    enum status status = is_binary ? upgrade_binary(bytes, size, in, out, &err)
                                   : upgrade_text(is_net ? &caffe__net_parameter__descriptor
                                                         : &caffe__solver_parameter__descriptor,
                                                  bytes, size, in, out, &err);
    if (status != OK)
        return command_fail(&err);
    caffe_log('I', "upgrade_net_proto_text.cpp:52", "Wrote upgraded %s %s to %s",
              is_net ? "NetParameter" : "SolverParameter", is_binary ? "binary proto" : "text proto", out);
    return EXIT_DONE;
}

int command_upgrade_net(int argc, char **argv)
{
    return run("upgrade-net", net_help, true, argc, argv);
}

int command_upgrade_solver(int argc, char **argv)
{
    return run("upgrade-solver", solver_help, false, argc, argv);
}
