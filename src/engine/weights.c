/*
 * weights.c - a net's parameters out of and into files: binary caffemodel,
 * or HDF5 as Caffe lays it out:
 *
 *   /data/LAYER/INDEX   one data set a parameter; sharers have none
 *   /diff/LAYER/INDEX   gradients, when asked for; sharers too
 *
 * Files appear under their name only when they are whole.  Beside the net's
 * own values at most one layer's are in memory while a binary file is read,
 * one parameter's while it is written.
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
#include "engine/wire.h"

/* Readers of protobuf, Caffe's among them, take no message of 2 GiB or more. */
#define MODEL_MAX_BYTES ((size_t)INT_MAX)

enum { LAYER_FIELD = 100, BLOBS_FIELD = 7 }; /* of NetParameter; of LayerParameter */

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

static enum status load_layer(struct net *net, const Caffe__LayerParameter *source, struct error *err)
{
    const char *name = source->name ? source->name : "";
    const struct layer_def *target = find_target(net, name, "net.cpp:746");
    if (!target)
        return OK;
    if (source->n_blobs != (size_t)target->n_params)
        return error_set(err, INVALID, "layer '%s' has %zu blobs of weights in the file, the net needs %d",
                         name, source->n_blobs, target->n_params);
    for (int j = 0; j < target->n_params; j++) {
        struct layer_param p = layer_param(net, target, j);
        TRY(load_blob(source->blobs[j], name, j, &p, err));
    }
    return OK;
}

static enum status take_layer(void *context, const uint8_t *bytes, size_t size, struct error *err)
{
    struct net *net = context;
    Caffe__LayerParameter *layer;
    TRY(layer_read_binary(bytes, size, &layer, err));
    enum status status = load_layer(net, layer, err);
    caffe__layer_parameter__free_unpacked(layer, NULL);
    return status;
}

static void net_param_freep(Caffe__NetParameter **param)
{
    if (*param)
        caffe__net_parameter__free_unpacked(*param, NULL);
}

/* Layer by layer; but the layers of the forms V0 and V1, which need the whole for their upgrade, after it. */
static enum status load_binary(struct net *net, const char *path, struct error *err)
{
    CLEANUP(buf_release) struct buf rest;
    CLEANUP(net_param_freep) Caffe__NetParameter *old = NULL;
    buf_init(&rest, MODEL_MAX_BYTES);
    TRY(wire_read(path, LAYER_FIELD, take_layer, net, &rest, err));
    TRY(net_read_binary(rest.data, rest.size, &old, err));
    buf_release(&rest);
    for (size_t i = 0; i < old->n_layer; i++)
        TRY(load_layer(net, old->layer[i], err));
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

/* The settings of a layer and one blob a parameter, shared or not, as Caffe snapshots it. */
static enum status write_layer(struct net *net, const struct layer_def *layer, bool with_diff,
                               struct wire_file *file, struct error *err)
{
    const int n_arrays = with_diff ? 2 : 1;
    Caffe__LayerParameter settings = *layer->param;
    settings.n_blobs = 0;
    settings.blobs = NULL;
    size_t bytes = caffe__layer_parameter__get_packed_size(&settings);
    for (int i = 0; i < layer->n_params; i++)
        bytes += wire_blob_bytes(BLOBS_FIELD, &layer_param(net, layer, i).def->shape, n_arrays);
    TRY(wire_put_head(file, LAYER_FIELD, bytes, err));
    TRY(wire_put(file, &settings.base, err));
    for (int i = 0; i < layer->n_params; i++) {
        struct layer_param p = layer_param(net, layer, i);
        TRY(wire_put_blob(file, BLOBS_FIELD, &p.def->shape, n_arrays, err));
        for (int k = 0; k < n_arrays; k++) {
            CLEANUP(freep) float *values = get_values(&p, k);
            TRY(wire_put_floats(file, k ? WIRE_BLOB_DIFF : WIRE_BLOB_DATA, values,
                                (size_t)shape_count(&p.def->shape), err));
        }
    }
    return OK;
}

enum status net_save_weights(struct net *net, const char *path, bool with_diff, struct error *err)
{
    const struct netdef *def = net_def(net);
    CLEANUP(wire_freep) struct wire_file *file = NULL;
    TRY(wire_create(path, &file, err));
    Caffe__NetParameter head = CAFFE__NET_PARAMETER__INIT;
    head.name = (char *)(def->name ? def->name : "");
    TRY(wire_put(file, &head.base, err));
    for (int i = 0; i < def->n_layers; i++)
        if (write_layer(net, &def->layers[i], with_diff, file, err) != OK)
            return error_context(err, "layer '%s'", def->layers[i].name);
    return wire_finish(file, err);
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

/* Makes the whole file at temporary durable and gives it its name. */
static enum status move_in_place(const char *temporary, const char *path, struct error *err)
{
    CLEANUP(fd_closep) int fd = open(temporary, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) || rename(temporary, path)) {
        int number = errno;
        return error_set(err, status_from_errno(number), "cannot write '%s': %s", path, strerror(number));
    }
    return OK;
}

enum status net_save_weights_hdf5(struct net *net, const char *path, bool with_diff, struct error *err)
{
    char suffix[17];
    random_hex(8, suffix);
    CLEANUP(freep) char *temporary = xasprintf("%s.%s", path, suffix);
    enum status status = write_hdf5(net, temporary, path, with_diff, err);
    if (status == OK)
        status = move_in_place(temporary, path, err);
    if (status != OK)
        unlink(temporary);
    return status;
}
