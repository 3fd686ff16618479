#include "engine/solver_state_hdf5.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <hdf5_hl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "engine/hdf5_guard.h"

#define LEARNED_NET_MAX 4096

static void file_idp(hid_t *id)
{
    if (*id >= 0)
        H5Fclose(*id);
}

static void group_idp(hid_t *id)
{
    if (*id >= 0)
        H5Gclose(*id);
}

/* ---- writing ---- */

static bool write_int(hid_t file, const char *name, int value)
{
    hsize_t one = 1;
    return H5LTmake_dataset_int(file, name, 1, &one, &value) >= 0;
}

static bool write_histories(hid_t file, const struct solver_state *s)
{
    CLEANUP(group_idp) hid_t group = H5Gcreate2(file, "history", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (group < 0)
        return false;
    for (int i = 0; i < s->n_histories; i++) {
        const struct shape *shape = &s->histories[i].shape;
        char name[16];
        hsize_t dims[SHAPE_MAX_AXES];
        snprintf(name, sizeof(name), "%d", i);
        for (int axis = 0; axis < shape->n_axes; axis++)
            dims[axis] = (hsize_t)shape->dim[axis];
        if (H5LTmake_dataset_float(group, name, shape->n_axes, dims, s->histories[i].values) < 0)
            return false;
    }
    return true;
}

static bool write_positions(hid_t file, const struct solver_state *s)
{
    if (!s->n_positions)
        return true;
    CLEANUP(group_idp) hid_t group = H5Gcreate2(file, "et_position", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (group < 0)
        return false;
    for (int i = 0; i < s->n_positions; i++) {
        char name[16];
        hsize_t n = s->positions[i].size;
        snprintf(name, sizeof(name), "%d", i);
        if (H5LTmake_dataset(group, name, 1, &n, H5T_NATIVE_UCHAR, s->positions[i].bytes) < 0)
            return false;
    }
    return true;
}

static bool write_all(const struct solver_state *s, const char *path)
{
    HDF5_GUARD();
    CLEANUP(file_idp) hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    return file >= 0 && write_int(file, "iter", (int)s->iteration) &&
           (!s->learned_net || H5LTmake_dataset_string(file, "learned_net", s->learned_net) >= 0) &&
           write_int(file, "current_step", s->current_step) && write_histories(file, s) &&
           write_positions(file, s) && H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0;
}

enum status solver_state_write_hdf5(const struct solver_state *s, const char *path, struct error *err)
{
    CLEANUP(freep) char *temporary = xasprintf("%s.tmp", path);
    errno = 0;
    if (!write_all(s, temporary) || rename(temporary, path)) {
        int number = errno;
        unlink(temporary);
        return error_set(err, status_from_errno(number), "cannot write '%s': %s", path,
                         number ? strerror(number) : "the HDF5 library refused");
    }
    return OK;
}

/* ---- reading ---- */

/* Shape of the dataset; false when there is none or it is of more axes than a blob has. */
static bool read_shape(hid_t group, const char *name, struct shape *ret_shape)
{
    int n_axes;
    hsize_t dims[SHAPE_MAX_AXES];
    H5T_class_t class;
    size_t size;
    if (H5LTfind_dataset(group, name) != 1 || H5LTget_dataset_ndims(group, name, &n_axes) < 0 ||
        n_axes > SHAPE_MAX_AXES || H5LTget_dataset_info(group, name, dims, &class, &size) < 0)
        return false;
    struct shape shape = {.n_axes = n_axes};
    for (int i = 0; i < n_axes; i++) {
        if (dims[i] > INT_MAX)
            return false;
        shape.dim[i] = (int)dims[i];
    }
    *ret_shape = shape;
    return true;
}

static bool read_int(hid_t file, const char *name, int *ret_value)
{
    struct shape shape;
    return read_shape(file, name, &shape) && shape_count(&shape) == 1 &&
           H5LTread_dataset_int(file, name, ret_value) >= 0;
}

static bool read_learned_net(hid_t file, char **ret_path)
{
    if (H5LTfind_dataset(file, "learned_net") != 1)
        return true;
    hsize_t dims[SHAPE_MAX_AXES];
    H5T_class_t class;
    size_t size;
    struct shape shape;
    if (!read_shape(file, "learned_net", &shape) || shape.n_axes > 1 ||
        H5LTget_dataset_info(file, "learned_net", dims, &class, &size) < 0 || class != H5T_STRING ||
        size > LEARNED_NET_MAX)
        return false;
    CLEANUP(freep) char *text = xcalloc(size + 1, 1);
    if (H5LTread_dataset_string(file, "learned_net", text) < 0)
        return false;
    *ret_path = TAKE(text);
    return true;
}

/* Number of links in a group that is expected to hold 0..n-1; 0 when there is no such group. */
static int count_links(hid_t file, const char *group)
{
    H5G_info_t info;
    if (H5Lexists(file, group, H5P_DEFAULT) <= 0 || H5Gget_info_by_name(file, group, &info, H5P_DEFAULT) < 0)
        return 0;
    return info.nlinks > INT_MAX / 64 ? 0 : (int)info.nlinks;
}

static enum status read_histories(hid_t file, struct solver_state *state, struct error *err)
{
    solver_state_make_histories(state, count_links(file, "history"));
    for (int i = 0; i < state->n_histories; i++) {
        char name[32];
        struct state_history *history = &state->histories[i];
        snprintf(name, sizeof(name), "history/%d", i);
        if (!read_shape(file, name, &history->shape) || shape_count(&history->shape) > INT_MAX)
            return error_set(err, INVALID, "history %d is missing or has no shape", i);
        history->values = xmalloc(((size_t)shape_count(&history->shape) + 1) * sizeof(float));
        if (H5LTread_dataset_float(file, name, history->values) < 0)
            return error_set(err, INVALID, "history %d cannot be read as floats", i);
    }
    return OK;
}

static enum status read_positions(hid_t file, struct solver_state *state, struct error *err)
{
    solver_state_make_positions(state, count_links(file, "et_position"));
    for (int i = 0; i < state->n_positions; i++) {
        char name[32];
        struct shape shape;
        snprintf(name, sizeof(name), "et_position/%d", i);
        if (!read_shape(file, name, &shape) || shape.n_axes != 1)
            return error_set(err, INVALID, "position %d is missing or has no shape", i);
        struct state_position *position = &state->positions[i];
        position->size = (size_t)shape.dim[0];
        position->bytes = xmalloc(position->size + 1);
        if (H5LTread_dataset(file, name, H5T_NATIVE_UCHAR, position->bytes) < 0)
            return error_set(err, INVALID, "position %d cannot be read", i);
    }
    return OK;
}

enum status solver_state_read_hdf5(const char *path, struct solver_state *state, struct error *err)
{
    if (access(path, R_OK))
        return error_set(err, status_from_errno(errno), "cannot open '%s': %s", path, strerror(errno));
    HDF5_GUARD();
    CLEANUP(file_idp) hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    int iteration;
    if (file < 0 || !read_int(file, "iter", &iteration) || !read_int(file, "current_step", &state->current_step) ||
        !read_learned_net(file, &state->learned_net))
        return error_set(err, INVALID, "'%s' is no solver state", path);
    state->iteration = iteration;
    if (read_histories(file, state, err) != OK || read_positions(file, state, err) != OK)
        return error_context(err, "'%s'", path);
    return OK;
}
