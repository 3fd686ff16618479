/*
 * weights.c - a net's parameters out of and into files: binary caffemodel,
 * or HDF5 as Caffe lays it out:
 *
 *   /data/LAYER/INDEX   one data set a parameter; sharers have none
 *   /diff/LAYER/INDEX   gradients, when asked for; sharers too
 *
 * Files appear under their name only when they are whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "engine/caffe_log.h"
#include "engine/data/hdf5_file.h"
#include "engine/net.h"

/*
 * The index-th parameter of a layer: as its layer defines it, and the values
 * (those of the owner, which may have another shape of the same count).
 */
struct layer_param {
    const struct param_def *def;
    struct param *values;
    bool is_owner;
};

static struct layer_param layer_param(struct net *net, const struct layer_def *layer, int index)
{
    int param = layer->params[index];
    const struct param_def *def = &net_def(net)->params[param];
    return (struct layer_param){def, net_param(net, param), def->owner == param};
}

static void set_values(const struct layer_param *p, const float *plain)
{
    param_import(p->values, plain, p->values->data);
    p->values->version++;
}

/* The values or the gradient, in plain order; a gradient that nobody computed is 0. */
static float *get_values(const struct layer_param *p, bool of_diff)
{
    size_t n = (size_t)shape_count(&p->def->shape);
    float *plain = xcalloc(MAX(n, 1u), sizeof(*plain));
    if (!of_diff)
        param_export(p->values, p->values->data, plain);
    else if (p->values->diff && !p->values->diff_is_empty)
        param_export(p->values, p->values->diff, plain);
    return plain;
}

/* ---- loading ---- */

/* place: where Caffe prints the line, which differs between the two forms. */
static const struct layer_def *find_target(struct net *net, const char *name, const char *place)
{
    const struct netdef *def = net_def(net);
    int layer = netdef_find_layer(def, name);
    if (layer < 0)
        caffe_log('I', place, "Ignoring source layer %s", name);
    return layer < 0 ? NULL : &def->layers[layer];
}

/* A legacy shape has four axes, ones in front; it fits what ends like it. */
static bool shape_fits(const Caffe__BlobProto *blob, const struct shape *from, const struct shape *want)
{
    if (!blob->has_num && !blob->has_channels && !blob->has_height && !blob->has_width)
        return shape_equal(from, want);
    if (from->n_axes != 4 || want->n_axes > 4 || want->n_axes < 0)
        return false;
    for (int i = 1; i <= 4; i++)
        if (from->dim[4 - i] != (i <= want->n_axes ? want->dim[want->n_axes - i] : 1))
            return false;
    return true;
}

static enum status shape_error(const char *layer, int index, const struct shape *from,
                               const struct shape *want, struct error *err)
{
    char source[SHAPE_TEXT_MAX], target[SHAPE_TEXT_MAX];
    return error_set(
        err, INVALID,
        "layer '%s': weights %d have shape %s in the file, the net needs %s; to learn the layer anew, "
        "give it another name",
        layer, index, shape_text(from, source), shape_text(want, target));
}

static enum status load_blob(const Caffe__BlobProto *blob, const char *layer, int index,
                             const struct layer_param *p, struct error *err)
{
    const struct shape *want = &p->def->shape;
    struct shape from;
    blob_proto_shape(blob, &from);
    if (!shape_fits(blob, &from, want))
        return shape_error(layer, index, &from, want, err);
    size_t count = (size_t)shape_count(want);
    size_t n = blob->n_double_data ? blob->n_double_data : blob->n_data;
    if (n != count)
        return error_set(err, INVALID, "layer '%s': weights %d have %zu values, their shape says %zu", layer,
                         index, n, count);
    if (!blob->n_double_data) {
        set_values(p, blob->data);
        return OK;
    }
    CLEANUP(freep) float *plain = xcalloc(MAX(n, 1u), sizeof(*plain));
    for (size_t i = 0; i < n; i++)
        plain[i] = (float)blob->double_data[i];
    set_values(p, plain);
    return OK;
}

static void net_param_freep(Caffe__NetParameter **param)
{
    if (*param)
        caffe__net_parameter__free_unpacked(*param, NULL);
}

static enum status load_binary(struct net *net, const char *path, struct error *err)
{
    CLEANUP(net_param_freep) Caffe__NetParameter *file = NULL;
    TRY(net_read_binary_file(path, &file, err));
    for (size_t i = 0; i < file->n_layer; i++) {
        const Caffe__LayerParameter *source = file->layer[i];
        const char *name = source->name ? source->name : "";
        const struct layer_def *target = find_target(net, name, "net.cpp:746");
        if (!target)
            continue;
        if (source->n_blobs != (size_t)target->n_params)
            return error_set(err, INVALID,
                             "layer '%s' has %zu blobs of weights in the file, the net needs %d", name,
                             source->n_blobs, target->n_params);
        for (int j = 0; j < target->n_params; j++) {
            struct layer_param p = layer_param(net, target, j);
            TRY(load_blob(source->blobs[j], name, j, &p, err));
        }
    }
    return OK;
}

static enum status load_hdf5_layer(struct net *net, const char *path, hid_t group,
                                   const struct layer_def *target, struct error *err)
{
    int n = hdf5_n_links(group);
    if (n > target->n_params)
        return error_set(err, INVALID, "layer '%s' has %d blobs of weights in the file, the net needs %d",
                         target->name, n, target->n_params);
    for (int j = 0; j < target->n_params; j++) {
        struct layer_param p = layer_param(net, target, j);
        char name[16];
        snprintf(name, sizeof(name), "%d", j);
        if (!hdf5_has(group, name)) {
            if (!p.is_owner)
                continue;
            return error_set(err, INVALID, "layer '%s' has no weights %d in the file", target->name, j);
        }
        struct shape from;
        TRY(hdf5_dataset_shape(group, path, name, &from, err));
        if (!shape_equal(&from, &p.def->shape))
            return shape_error(target->name, j, &from, &p.def->shape, err);
        CLEANUP(freep) float *plain = xcalloc(MAX((size_t)shape_count(&from), 1u), sizeof(*plain));
        TRY(hdf5_read_floats(group, path, name, plain, err));
        set_values(&p, plain);
    }
    return OK;
}

static enum status load_hdf5(struct net *net, const char *path, struct error *err)
{
    CLEANUP(hdf5_file_closep) hid_t file = -1;
    CLEANUP(hdf5_group_closep) hid_t data = -1;
    TRY(hdf5_open(path, &file, err));
    TRY(hdf5_group_open(file, path, "data", &data, err));
    int n = hdf5_n_links(data);
    for (int i = 0; i < n; i++) {
        CLEANUP(freep) char *name = hdf5_link_name(data, i);
        if (!name)
            return error_set(err, INVALID, "a name in '%s' cannot be read", path);
        const struct layer_def *target = find_target(net, name, "net.cpp:801");
        if (!target)
            continue;
        CLEANUP(hdf5_group_closep) hid_t group = -1;
        TRY(hdf5_group_open(data, path, name, &group, err));
        TRY(load_hdf5_layer(net, path, group, target, err));
    }
    return OK;
}

enum status net_load_weights(struct net *net, const char *path, struct error *err)
{
    if (access(path, R_OK))
        return error_set(err, status_from_errno(errno), "cannot open weights '%s': %s", path,
                         strerror(errno));
    enum status status = hdf5_is_hdf5(path) ? load_hdf5(net, path, err) : load_binary(net, path, err);
    malloc_trim(0); /* the file's values came in pieces that the allocator would keep */
    return status == OK ? OK : error_context(err, "weights '%s'", path);
}

/* ---- saving ---- */

static char *temporary_name(const char *path)
{
    char suffix[17];
    random_hex(8, suffix);
    return xasprintf("%s.%s", path, suffix);
}

static enum status write_error(const char *path, int number, struct error *err)
{
    return error_set(err, status_from_errno(number), "cannot write '%s': %s", path, strerror(number));
}

/* Makes the whole file at temporary durable and gives it its name. */
static enum status move_in_place(const char *temporary, const char *path, struct error *err)
{
    CLEANUP(fd_closep) int fd = open(temporary, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) || rename(temporary, path))
        return write_error(path, errno, err);
    return OK;
}

static enum status write_message(FILE *file, const char *path, const ProtobufCMessage *message,
                                 struct error *err)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    CLEANUP(freep) uint8_t *bytes = xmalloc(MAX(size, 1u));
    protobuf_c_message_pack(message, bytes);
    return fwrite(bytes, 1, size, file) == size ? OK : write_error(path, errno, err);
}

/* The head of a field of NetParameter that holds a layer: tag and length as varints. */
static enum status write_layer_head(FILE *file, const char *path, uint64_t size, struct error *err)
{
    enum { LAYER_FIELD = 100, LENGTH_DELIMITED = 2 };
    uint64_t numbers[] = {LAYER_FIELD << 3 | LENGTH_DELIMITED, size};
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        uint64_t rest = numbers[i];
        for (; rest >= 0x80; rest >>= 7)
            putc((int)(rest & 0x7f) | 0x80, file);
        putc((int)rest, file);
    }
    return ferror(file) ? write_error(path, errno, err) : OK;
}

/* A layer as Caffe snapshots it: its settings, and one blob a parameter, shared or not. */
struct saved_layer {
    Caffe__LayerParameter param;
    Caffe__BlobProto *blobs; /* one each */
    Caffe__BlobShape *shapes;
    Caffe__BlobProto **pointers;
};

static void saved_layer_release(struct saved_layer *s)
{
    for (size_t i = 0; i < s->param.n_blobs; i++) {
        free(s->blobs[i].data);
        free(s->blobs[i].diff);
        free(s->shapes[i].dim);
    }
    free(s->blobs);
    free(s->shapes);
    free(s->pointers);
}

static struct saved_layer save_layer(struct net *net, const struct layer_def *layer, bool with_diff)
{
    size_t n = (size_t)layer->n_params;
    struct saved_layer s = {
        .param = *layer->param,
        .blobs = xcalloc(n + 1, sizeof(*s.blobs)),
        .shapes = xcalloc(n + 1, sizeof(*s.shapes)),
        .pointers = xcalloc(n + 1, sizeof(Caffe__BlobProto *)),
    };
    s.param.n_blobs = n;
    s.param.blobs = s.pointers;
    for (size_t i = 0; i < n; i++) {
        struct layer_param p = layer_param(net, layer, (int)i);
        const struct shape *shape = &p.def->shape;
        Caffe__BlobProto *blob = s.pointers[i] = &s.blobs[i];
        caffe__blob_proto__init(blob);
        caffe__blob_shape__init(&s.shapes[i]);
        s.shapes[i].n_dim = (size_t)shape->n_axes;
        s.shapes[i].dim = xcalloc((size_t)shape->n_axes + 1, sizeof(int64_t));
        for (int a = 0; a < shape->n_axes; a++)
            s.shapes[i].dim[a] = shape->dim[a];
        blob->shape = &s.shapes[i];
        blob->n_data = (size_t)shape_count(shape);
        blob->data = get_values(&p, false);
        if (with_diff) {
            blob->n_diff = blob->n_data;
            blob->diff = get_values(&p, true);
        }
    }
    return s;
}

/* Layer by layer: a model is never twice in memory. */
static enum status write_binary(struct net *net, FILE *file, const char *path, bool with_diff,
                                struct error *err)
{
    const struct netdef *def = net_def(net);
    Caffe__NetParameter head = CAFFE__NET_PARAMETER__INIT;
    head.name = (char *)(def->name ? def->name : "");
    TRY(write_message(file, path, &head.base, err));
    for (int i = 0; i < def->n_layers; i++) {
        CLEANUP(saved_layer_release) struct saved_layer layer = save_layer(net, &def->layers[i], with_diff);
        size_t size = caffe__layer_parameter__get_packed_size(&layer.param);
        if (size > INT_MAX)
            return error_set(err, TOO_LARGE,
                             "layer '%s' has more than 2 GiB of weights: use snapshot_format: HDF5",
                             def->layers[i].name);
        TRY(write_layer_head(file, path, size, err));
        TRY(write_message(file, path, &layer.param.base, err));
    }
    return fflush(file) ? write_error(path, errno, err) : OK;
}

enum status net_save_weights(struct net *net, const char *path, bool with_diff, struct error *err)
{
    CLEANUP(freep) char *temporary = temporary_name(path);
    CLEANUP(file_closep) FILE *file = fopen(temporary, "wbxe");
    if (!file)
        return error_set(err, status_from_errno(errno), "cannot create '%s': %s", path, strerror(errno));
    enum status status = write_binary(net, file, path, with_diff, err);
    if (status == OK)
        status = move_in_place(temporary, path, err);
    if (status != OK)
        unlink(temporary);
    return status;
}

static enum status write_hdf5_group(struct net *net, hid_t file, const char *path, const char *group_name,
                                    bool of_diff, struct error *err)
{
    const struct netdef *def = net_def(net);
    CLEANUP(hdf5_group_closep) hid_t group = -1;
    TRY(hdf5_group_make(file, path, group_name, &group, err));
    for (int i = 0; i < def->n_layers; i++) {
        const struct layer_def *layer = &def->layers[i];
        CLEANUP(hdf5_group_closep) hid_t place = -1;
        TRY(hdf5_group_make(group, path, layer->name, &place, err));
        for (int j = 0; j < layer->n_params; j++) {
            struct layer_param p = layer_param(net, layer, j);
            if (!of_diff && !p.is_owner)
                continue;
            char name[16];
            snprintf(name, sizeof(name), "%d", j);
            CLEANUP(freep) float *plain = get_values(&p, of_diff);
            TRY(hdf5_write_floats(place, path, name, &p.def->shape, plain, err));
        }
    }
    return OK;
}

static enum status write_hdf5(struct net *net, const char *temporary, const char *path, bool with_diff,
                              struct error *err)
{
    CLEANUP(hdf5_file_closep) hid_t file = -1;
    TRY(hdf5_create(temporary, &file, err));
    TRY(write_hdf5_group(net, file, path, "data", false, err));
    if (with_diff)
        TRY(write_hdf5_group(net, file, path, "diff", true, err));
    return hdf5_finish(&file, path, err);
}

enum status net_save_weights_hdf5(struct net *net, const char *path, bool with_diff, struct error *err)
{
    CLEANUP(freep) char *temporary = temporary_name(path);
    enum status status = write_hdf5(net, temporary, path, with_diff, err);
    if (status == OK)
        status = move_in_place(temporary, path, err);
    if (status != OK)
        unlink(temporary);
    return status;
}
