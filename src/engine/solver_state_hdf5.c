#include "engine/solver_state_hdf5.h"

#include <errno.h>
#include <hdf5_hl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "engine/data/hdf5_file.h"

#define LEARNED_NET_MAX 4096

/* ---- writing ---- */

static bool write_int(hid_t file, const char *name, int value)
{
    hsize_t one = 1;
    return H5LTmake_dataset_int(file, name, 1, &one, &value) >= 0;
}

static enum status write_histories(hid_t file, const char *path, const struct solver_state *s,
                                   struct error *err)
{
    CLEANUP(hdf5_group_closep) hid_t group = -1;
    TRY(hdf5_group_make(file, path, "history", &group, err));
    for (int i = 0; i < s->n_histories; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        CLEANUP(freep) float *values = solver_state_dup_history(s, i);
        TRY(hdf5_write_floats(group, path, name, &s->histories[i].shape, values, err));
    }
    return OK;
}

static enum status write_positions(hid_t file, const char *path, const struct solver_state *s,
                                   struct error *err)
{
    if (!s->n_positions)
        return OK;
    CLEANUP(hdf5_group_closep) hid_t group = -1;
    TRY(hdf5_group_make(file, path, "et_position", &group, err));
    for (int i = 0; i < s->n_positions; i++) {
        char name[16];
        hsize_t n = s->positions[i].size;
        snprintf(name, sizeof(name), "%d", i);
        if (H5LTmake_dataset(group, name, 1, &n, H5T_NATIVE_UCHAR, s->positions[i].bytes) < 0)
            return error_set(err, FAILED, "cannot write '%s': position %d is refused", path, i);
    }
    return OK;
}

static enum status write_all(const struct solver_state *s, const char *path, struct error *err)
{
    CLEANUP(hdf5_file_closep) hid_t file = -1;
    TRY(hdf5_create(path, &file, err));
    if (!write_int(file, "iter", (int)s->iteration) ||
        (s->learned_net && H5LTmake_dataset_string(file, "learned_net", s->learned_net) < 0) ||
        !write_int(file, "current_step", s->current_step))
        return error_set(err, FAILED, "cannot write '%s'", path);
    TRY(write_histories(file, path, s, err));
    TRY(write_positions(file, path, s, err));
    return hdf5_finish(&file, path, err);
}

enum status solver_state_write_hdf5(const struct solver_state *s, const char *path, struct error *err)
{
    char suffix[17];
    random_hex(8, suffix);
    CLEANUP(freep) char *temporary = xasprintf("%s.%s", path, suffix);
    enum status status = write_all(s, temporary, err);
    if (status == OK && rename(temporary, path))
        status = error_set(err, status_from_errno(errno), "cannot write '%s': %s", path, strerror(errno));
    if (status != OK)
        unlink(temporary);
    return status;
}

/* ---- reading ---- */

static enum status read_int(hid_t file, const char *path, const char *name, int *ret_value, struct error *err)
{
    struct shape shape;
    TRY(hdf5_dataset_shape(file, path, name, &shape, err));
    if (shape_count(&shape) != 1 || H5LTread_dataset_int(file, name, ret_value) < 0)
        return error_set(err, INVALID, "'%s': '%s' is no number", path, name);
    return OK;
}

/* Where a text's length may vary, what is read is a pointer. */
static bool is_fixed_text(hid_t file, const char *name)
{
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    hid_t type = H5Dget_type(dataset);
    bool is_fixed = H5Tis_variable_str(type) == 0;
    H5Tclose(type);
    H5Dclose(dataset);
    return is_fixed;
}

static enum status read_learned_net(hid_t file, const char *path, char **ret_name, struct error *err)
{
    if (!hdf5_has(file, "learned_net"))
        return OK;
    int n_axes;
    hsize_t dims[SHAPE_MAX_AXES];
    H5T_class_t class;
    size_t size;
    if (H5LTget_dataset_ndims(file, "learned_net", &n_axes) < 0 || n_axes > 1 ||
        H5LTget_dataset_info(file, "learned_net", dims, &class, &size) < 0 || class != H5T_STRING ||
        (n_axes == 1 && dims[0] != 1) || size > LEARNED_NET_MAX || !is_fixed_text(file, "learned_net"))
        return error_set(err, INVALID, "'%s': 'learned_net' is no file name", path);
    CLEANUP(freep) char *text = xcalloc(size + 1, 1);
    if (H5LTread_dataset_string(file, "learned_net", text) < 0)
        return error_set(err, INVALID, "'%s': 'learned_net' cannot be read", path);
    *ret_name = TAKE(text);
    return OK;
}

static enum status read_histories(hid_t file, const char *path, struct solver_state *state, struct error *err)
{
    CLEANUP(hdf5_group_closep) hid_t group = -1;
    TRY(hdf5_group_open(file, path, "history", &group, err));
    solver_state_make_histories(state, hdf5_n_links(group));
    for (int i = 0; i < state->n_histories; i++) {
        char name[16];
        struct state_history *history = &state->histories[i];
        snprintf(name, sizeof(name), "%d", i);
        TRY(hdf5_dataset_shape(group, path, name, &history->shape, err));
        if (shape_count(&history->shape) > INT_MAX)
            return error_set(err, TOO_LARGE, "'%s': history %d is too large", path, i);
        history->values = xmalloc(((size_t)shape_count(&history->shape) + 1) * sizeof(float));
        TRY(hdf5_read_floats(group, path, name, history->values, err));
    }
    return OK;
}

static enum status read_positions(hid_t file, const char *path, struct solver_state *state, struct error *err)
{
    if (!hdf5_has(file, "et_position"))
        return OK;
    CLEANUP(hdf5_group_closep) hid_t group = -1;
    TRY(hdf5_group_open(file, path, "et_position", &group, err));
    solver_state_make_positions(state, hdf5_n_links(group));
    for (int i = 0; i < state->n_positions; i++) {
        char name[16];
        struct shape shape;
        snprintf(name, sizeof(name), "%d", i);
        TRY(hdf5_dataset_shape(group, path, name, &shape, err));
        if (shape.n_axes != 1)
            return error_set(err, INVALID, "'%s': position %d is no row of bytes", path, i);
        struct state_position *position = &state->positions[i];
        position->size = (size_t)shape.dim[0];
        position->bytes = xmalloc(position->size + 1);
        if (H5LTread_dataset(group, name, H5T_NATIVE_UCHAR, position->bytes) < 0)
            return error_set(err, INVALID, "'%s': position %d cannot be read", path, i);
    }
    return OK;
}

enum status solver_state_read_hdf5(const char *path, struct solver_state *state, struct error *err)
{
    CLEANUP(hdf5_file_closep) hid_t file = -1;
    int iteration;
    TRY(hdf5_open(path, &file, err));
    TRY(read_int(file, path, "iter", &iteration, err));
    TRY(read_int(file, path, "current_step", &state->current_step, err));
    state->iteration = iteration;
    TRY(read_learned_net(file, path, &state->learned_net, err));
    TRY(read_histories(file, path, state, err));
    return read_positions(file, path, state, err);
}
