/*
 * net_position.c - what a resume needs beside weights and history: the state
 * of each layer's random generator and the place of each data layer.
 *
 * Bytes: "ETPOS1\0\0", the number of layers (u32), then of each layer its
 * generator (4 x u64), 1 or 0 (u8: is there a place), and the place
 * (SOURCE_POSITION_MAX bytes) when there is.  All little-endian.
 */
#include <string.h>

#include "base/buf.h"
#include "engine/net_internal.h"

static const char magic[8] = "ETPOS1";

static size_t position_max(const struct net *net)
{
    return sizeof(magic) + 4 + (size_t)net->n_layers * (sizeof(struct rng) + 1 + SOURCE_POSITION_MAX);
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
        buf_putc(&out, l->ops->tell ? 1 : 0);
        if (l->ops->tell) {
            struct source_position position = {0};
            l->ops->tell(l, &position);
            buf_append(&out, position.bytes, sizeof(position.bytes));
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
        struct rng rng;
        uint8_t has_place = 0;
        struct source_position position;
        if (!take(&r, rng.s, sizeof(rng.s)) || !take(&r, &has_place, 1) ||
            (has_place && !take(&r, position.bytes, sizeof(position.bytes))))
            return error_set(err, INVALID, "the saved position is cut short");
        if ((has_place != 0) != (l->ops->seek != NULL))
            return error_set(err, INVALID, "the saved position is of another net: layer '%s' differs",
                             l->def->name);
        *l->rng = rng;
        if (has_place && l->ops->seek(l, &position, err) != OK)
            return error_context(err, "layer '%s'", l->def->name);
    }
    return r.at == r.end ? OK : error_set(err, INVALID, "the saved position has bytes too many");
}
