#include "engine/solver_state.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "engine/solver_state_hdf5.h"

/* Readers of protobuf, Caffe's among them, take no message of 2 GiB or more. */
#define STATE_MAX_BYTES ((size_t)INT_MAX)

void solver_state_release(struct solver_state *s)
{
    for (int i = 0; i < s->n_histories; i++)
        free(s->histories[i].values);
    for (int i = 0; i < s->n_positions; i++)
        free(s->positions[i].bytes);
    free(s->histories);
    free(s->positions);
    free(s->learned_net);
    *s = (struct solver_state){0};
}

void solver_state_make_histories(struct solver_state *s, int n)
{
    s->n_histories = n;
    s->histories = xcalloc((size_t)n + 1, sizeof(*s->histories));
}

void solver_state_make_positions(struct solver_state *s, int n)
{
    s->n_positions = n;
    s->positions = xcalloc((size_t)n + 1, sizeof(*s->positions));
}

bool solver_state_is_hdf5(const char *path)
{
    size_t n = strlen(path);
    return n >= 3 && !strcmp(path + n - 3, ".h5");
}

/* ---- binary form ---- */

struct history_message {
    Caffe__BlobProto blob;
    Caffe__BlobShape shape;
    int64_t dims[SHAPE_MAX_AXES];
};

static void history_fill(struct history_message *m, const struct state_history *history)
{
    caffe__blob_proto__init(&m->blob);
    caffe__blob_shape__init(&m->shape);
    for (int i = 0; i < history->shape.n_axes; i++)
        m->dims[i] = history->shape.dim[i];
    m->shape.n_dim = (size_t)history->shape.n_axes;
    m->shape.dim = m->dims;
    m->blob.shape = &m->shape;
    m->blob.n_data = (size_t)shape_count(&history->shape);
    m->blob.data = history->values;
}

static enum status write_binary(const struct solver_state *s, const char *path, struct error *err)
{
    CLEANUP(freep) struct history_message *messages = xcalloc((size_t)s->n_histories + 1, sizeof(*messages));
    CLEANUP(freep) Caffe__BlobProto **blobs = xcalloc((size_t)s->n_histories + 1, sizeof(*blobs));
    CLEANUP(freep) ProtobufCBinaryData *positions = xcalloc((size_t)s->n_positions + 1, sizeof(*positions));
    Caffe__SolverState state = CAFFE__SOLVER_STATE__INIT;
    state.has_iter = true;
    state.iter = (int32_t)s->iteration;
    state.has_current_step = true;
    state.current_step = s->current_step;
    state.learned_net = s->learned_net;
    for (int i = 0; i < s->n_histories; i++) {
        history_fill(&messages[i], &s->histories[i]);
        blobs[i] = &messages[i].blob;
    }
    state.n_history = (size_t)s->n_histories;
    state.history = blobs;
    for (int i = 0; i < s->n_positions; i++)
        positions[i] = (ProtobufCBinaryData){s->positions[i].size, (uint8_t *)s->positions[i].bytes};
    state.n_et_position = (size_t)s->n_positions;
    state.et_position = positions;

    size_t size = caffe__solver_state__get_packed_size(&state);
    if (size > STATE_MAX_BYTES)
        return error_set(err, TOO_LARGE, "solver state of %zu bytes is over 2 GiB; use snapshot_format: HDF5",
                         size);
    CLEANUP(freep) uint8_t *bytes = xmalloc(size + 1);
    caffe__solver_state__pack(&state, bytes);
    return file_write(path, bytes, size, 0666, err);
}

static enum status history_take(const Caffe__BlobProto *blob, struct state_history *history,
                                struct error *err)
{
    struct shape shape;
    blob_proto_shape(blob, &shape);
    size_t n = blob->n_data ? blob->n_data : blob->n_double_data;
    if (!shape_is_known(&shape) || (uint64_t)shape_count(&shape) != n)
        return error_set(err, INVALID, "has %zu values, which do not fit its shape", n);
    history->shape = shape;
    history->values = xmalloc((n + 1) * sizeof(float));
    for (size_t i = 0; i < n; i++)
        history->values[i] = blob->n_data ? blob->data[i] : (float)blob->double_data[i];
    return OK;
}

static void state_message_freep(Caffe__SolverState **m)
{
    if (*m)
        caffe__solver_state__free_unpacked(*m, NULL);
}

static enum status read_binary(const char *path, struct solver_state *state, struct error *err)
{
    CLEANUP(freep) char *bytes = NULL;
    size_t size;
    TRY(file_read(path, STATE_MAX_BYTES, &bytes, &size, err));
    CLEANUP(state_message_freep)
    Caffe__SolverState *m = caffe__solver_state__unpack(NULL, size, (const uint8_t *)bytes);
    if (!m || !m->has_iter)
        return error_set(err, INVALID, "'%s' is no solver state", path);
    state->iteration = m->iter;
    state->current_step = m->current_step;
    state->learned_net = m->learned_net ? xstrdup(m->learned_net) : NULL;
    solver_state_make_histories(state, (int)m->n_history);
    for (int i = 0; i < state->n_histories; i++)
        if (history_take(m->history[i], &state->histories[i], err) != OK)
            return error_context(err, "'%s': history %d", path, i);
    solver_state_make_positions(state, (int)m->n_et_position);
    for (int i = 0; i < state->n_positions; i++) {
        size_t n = m->et_position[i].len;
        state->positions[i].bytes = xmalloc(n + 1);
        memcpy(state->positions[i].bytes, m->et_position[i].data, n);
        state->positions[i].size = n;
    }
    return OK;
}

/* ---- both ---- */

enum status solver_state_write(const struct solver_state *s, const char *path, struct error *err)
{
    if (solver_state_is_hdf5(path))
        return solver_state_write_hdf5(s, path, err);
    return write_binary(s, path, err);
}

enum status solver_state_read(const char *path, struct solver_state *ret_state, struct error *err)
{
    CLEANUP(solver_state_release) struct solver_state state = {0};
    if (solver_state_is_hdf5(path))
        TRY(solver_state_read_hdf5(path, &state, err));
    else
        TRY(read_binary(path, &state, err));
    if (state.iteration < 0 || state.current_step < 0)
        return error_set(err, INVALID, "'%s': iteration %lld, step %d: neither may be negative", path,
                         (long long)state.iteration, state.current_step);
    *ret_state = state;
    state = (struct solver_state){0};
    return OK;
}
