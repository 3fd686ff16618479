/*
 * net_position.c - what a resume needs beside weights and history: the state
 * of each layer's random generator, the place of each data layer, and the
 * hidden state of recurrent layers.
 *
 * Bytes: "ETPOS1\0\0", the number of layers (u32), then of each layer its
 * generator (4 x u64), a u8 (1: there is a place, 2: carried values, 0:
 * neither), and the place (SOURCE_POSITION_MAX bytes) or the values (their
 * number as u64, f32s).  All little-endian.
 */
#include <string.h>

#include "base/buf.h"
#include "engine/net_internal.h"

static const char magic[8] = "ETPOS1";

enum { NOTHING, PLACE, CARRIED };

static float *carried(const struct layer *l, size_t *ret_n)
{
    *ret_n = 0;
    return l->ops->carried ? l->ops->carried(l, ret_n) : NULL;
}

static uint8_t kind_of(const struct layer *l)
{
    size_t n;
    return l->ops->tell ? PLACE : carried(l, &n) ? CARRIED : NOTHING;
}

static size_t position_max(const struct net *net)
{
    size_t max = sizeof(magic) + 4;
    for (int i = 0; i < net->n_layers; i++) {
        size_t n;
        carried(&net->layers[i].layer, &n);
        max += sizeof(struct rng) + 1 + SOURCE_POSITION_MAX + n * sizeof(float);
    }
    return max;
}

enum status net_save_position(struct net *net, char **ret_bytes, size_t *ret_size, struct error *err)
{
    (void)err;
    struct buf out;
    buf_init(&out, position_max(net) + 1);
    uint32_t n = (uint32_t)net->n_layers;
    buf_append(&out, magic, sizeof(magic));
    buf_append(&out, &n, sizeof(n));
    for (int i = 0; i < net->n_layers; i++) {
        struct layer *l = &net->layers[i].layer;
        buf_append(&out, l->rng->s, sizeof(l->rng->s));
        uint8_t kind = kind_of(l);
        buf_putc(&out, (char)kind);
        if (kind == PLACE) {
            struct source_position position = {0};
            l->ops->tell(l, &position);
            buf_append(&out, position.bytes, sizeof(position.bytes));
        } else if (kind == CARRIED) {
            size_t n_floats;
            const float *values = carried(l, &n_floats);
            uint64_t n_written = n_floats;
            buf_append(&out, &n_written, sizeof(n_written));
            buf_append(&out, values, n_floats * sizeof(float));
        }
    }
    *ret_bytes = buf_take(&out, ret_size);
    return OK;
}

struct reader {
    const char *at, *end;
};

static bool take(struct reader *r, void *ret_bytes, size_t size)
{
    if ((size_t)(r->end - r->at) < size)
        return false;
    memcpy(ret_bytes, r->at, size);
    r->at += size;
    return true;
}

static enum status load_carried(struct reader *r, struct layer *l, struct error *err)
{
    size_t n;
    float *values = carried(l, &n);
    uint64_t n_saved = 0;
    if (!take(r, &n_saved, sizeof(n_saved)))
        return error_set(err, INVALID, "the saved position is cut short");
    if (n_saved != n)
        return error_set(err, INVALID, "the saved position has a hidden state of %llu values, not %zu",
                         (unsigned long long)n_saved, n);
    if (!take(r, values, n * sizeof(float)))
        return error_set(err, INVALID, "the saved position is cut short");
    return OK;
}

static enum status load_layer(struct reader *r, struct layer *l, struct error *err)
{
    struct rng rng;
    uint8_t kind = NOTHING;
    struct source_position position;
    if (!take(r, rng.s, sizeof(rng.s)) || !take(r, &kind, 1) ||
        (kind == PLACE && !take(r, position.bytes, sizeof(position.bytes))))
        return error_set(err, INVALID, "the saved position is cut short");
    if (kind != kind_of(l))
        return error_set(err, INVALID, "the saved position is of another net");
    *l->rng = rng;
    if (kind == CARRIED)
        return load_carried(r, l, err);
    return kind == PLACE ? l->ops->seek(l, &position, err) : OK;
}

enum status net_load_position(struct net *net, const char *bytes, size_t size, struct error *err)
{
    struct reader r = {bytes, bytes + size};
    char seen[sizeof(magic)];
    uint32_t n = 0;
    if (!take(&r, seen, sizeof(seen)) || memcmp(seen, magic, sizeof(magic)) != 0 || !take(&r, &n, sizeof(n)))
        return error_set(err, INVALID, "the saved position is not one");
    if (n != (uint32_t)net->n_layers)
        return error_set(err, INVALID, "the saved position is of a net of %u layers, not %d", n,
                         net->n_layers);
    for (int i = 0; i < net->n_layers; i++) {
        struct layer *l = &net->layers[i].layer;
        if (load_layer(&r, l, err) != OK)
            return error_context(err, "layer '%s'", l->def->name);
    }
    return r.at == r.end ? OK : error_set(err, INVALID, "the saved position has bytes too many");
}
