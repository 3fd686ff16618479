#include "engine/solver_state.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "engine/solver_state_hdf5.h"
#include "engine/wire.h"

/* Readers of protobuf, Caffe's among them, take no message of 2 GiB or more. */
#define STATE_MAX_BYTES ((size_t)INT_MAX)

enum { HISTORY_FIELD = 3 }; /* of SolverState */

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

float *solver_state_dup_history(const struct solver_state *s, int index)
{
    const struct state_history *history = &s->histories[index];
    size_t n = (size_t)shape_count(&history->shape);
    float *values = xmalloc((n + 1) * sizeof(*values));
    if (history->values)
        memcpy(values, history->values, n * sizeof(*values));
    else
        s->history(s->context, index, values);
    return values;
}

bool solver_state_is_hdf5(const char *path)
{
    size_t n = strlen(path);
    return n >= 3 && !strcmp(path + n - 3, ".h5");
}

/* ---- binary form ---- */

static enum status write_head(const struct solver_state *s, struct wire_file *file, struct error *err)
{
    CLEANUP(freep) ProtobufCBinaryData *positions = xcalloc((size_t)s->n_positions + 1, sizeof(*positions));
    Caffe__SolverState head = CAFFE__SOLVER_STATE__INIT;
    head.has_iter = true;
    head.iter = (int32_t)s->iteration;
    head.has_current_step = true;
    head.current_step = s->current_step;
    head.learned_net = s->learned_net;
    for (int i = 0; i < s->n_positions; i++)
        positions[i] = (ProtobufCBinaryData){s->positions[i].size, (uint8_t *)s->positions[i].bytes};
    head.n_et_position = (size_t)s->n_positions;
    head.et_position = positions;
    return wire_put(file, &head.base, err);
}

static enum status write_binary(const struct solver_state *s, const char *path, struct error *err)
{
    CLEANUP(wire_freep) struct wire_file *file = NULL;
    TRY(wire_create(path, &file, err));
    TRY(write_head(s, file, err));
    for (int i = 0; i < s->n_histories; i++) {
        const struct shape *shape = &s->histories[i].shape;
        CLEANUP(freep) float *values = solver_state_dup_history(s, i);
        TRY(wire_put_blob(file, HISTORY_FIELD, shape, 1, err));
        TRY(wire_put_floats(file, WIRE_BLOB_DATA, values, (size_t)shape_count(shape), err));
    }
    return wire_finish(file, err);
}

static enum status take_values(Caffe__BlobProto *blob, struct state_history *history, struct error *err)
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

static void blob_freep(Caffe__BlobProto **blob)
{
    if (*blob)
        caffe__blob_proto__free_unpacked(*blob, NULL);
}

/* Histories grow by doubling: n_histories of them, of which none is allocated at first. */
static struct state_history *add_history(struct solver_state *s)
{
    int n = s->n_histories;
    if ((n & (n - 1)) == 0)
        s->histories = xrealloc(s->histories, (size_t)MAX(2 * n, 1) * sizeof(*s->histories));
    s->histories[n] = (struct state_history){0};
    s->n_histories++;
    return &s->histories[n];
}

static enum status take_history(void *context, const uint8_t *bytes, size_t size, struct error *err)
{
    struct solver_state *state = context;
    struct state_history *history = add_history(state);
    CLEANUP(blob_freep) Caffe__BlobProto *blob = caffe__blob_proto__unpack(NULL, size, bytes);
    enum status status = blob ? take_values(blob, history, err)
                              : error_set(err, INVALID, "has %zu bytes that are no BlobProto", size);
    return status == OK ? OK : error_context(err, "history %d", state->n_histories - 1);
}

static void take_positions(const Caffe__SolverState *from, struct solver_state *to)
{
    solver_state_make_positions(to, (int)from->n_et_position);
    for (int i = 0; i < to->n_positions; i++) {
        size_t n = from->et_position[i].len;
        to->positions[i].bytes = xmalloc(n + 1);
        memcpy(to->positions[i].bytes, from->et_position[i].data, n);
        to->positions[i].size = n;
    }
}

static void state_message_freep(Caffe__SolverState **m)
{
    if (*m)
        caffe__solver_state__free_unpacked(*m, NULL);
}

static enum status read_binary(const char *path, struct solver_state *state, struct error *err)
{
    CLEANUP(buf_release) struct buf rest;
    CLEANUP(state_message_freep) Caffe__SolverState *m = NULL;
    buf_init(&rest, STATE_MAX_BYTES);
    enum status status = wire_read(path, HISTORY_FIELD, take_history, state, &rest, err);
    if (status != OK)
        return status == INVALID ? error_context(err, "'%s' is no solver state", path) : status;
    m = caffe__solver_state__unpack(NULL, rest.size, (const uint8_t *)rest.data);
    if (!m || !m->has_iter)
        return error_set(err, INVALID, "'%s' is no solver state", path);
    state->iteration = m->iter;
    state->current_step = m->current_step;
    state->learned_net = m->learned_net ? xstrdup(m->learned_net) : NULL;
    take_positions(m, state);
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
