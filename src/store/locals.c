/* locals.c - replicating clients' own notes. */
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

enum status local_get(struct store *s, const char *owner, const char *id, json_t **ret_body, int64_t *ret_rev,
                      struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT body, rev FROM locals WHERE owner = $1 AND id = $2", V(owner),
            V(id)));
    if (!rows.n)
        return error_set(err, NOT_FOUND, "there is no _local document '%.64s'", id);
    const char *body = row_text(&rows, 0, 0);
    TRY(json_read(body, strlen(body), ret_body, err));
    *ret_rev = row_int(&rows, 0, 1);
    return OK;
}

struct putting {
    const char *owner, *id, *body;
    int64_t now_ms, rev;
};

static enum status put(struct tx *tx, void *opaque, struct error *err)
{
    struct putting *p = opaque;
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err,
            "INSERT INTO locals(owner, id, rev, updated, body) VALUES ($1, $2, 1, $3, $4)"
            " ON CONFLICT (owner, id) DO UPDATE SET rev = locals.rev + 1, updated = excluded.updated,"
            " body = excluded.body RETURNING rev",
            V(p->owner), V(p->id), V(p->now_ms), V(p->body)));
    p->rev = row_int(&rows, 0, 0);
    if (p->rev > 1)
        return OK;
    return SQL(tx->db, NULL, err,
               "DELETE FROM locals WHERE owner = $1 AND id IN (SELECT id FROM locals WHERE owner = $1"
               " ORDER BY updated DESC, id LIMIT 1 OFFSET $2)",
               V(p->owner), V(LOCALS_MAX));
}

enum status local_put(struct store *s, const char *owner, const char *id, const json_t *body, int64_t now_ms,
                      int64_t *ret_rev, struct error *err)
{
    if (!*id || strlen(id) > LOCAL_ID_MAX)
        return error_set(err, INVALID, "the id of a _local document has 1 to %d bytes", LOCAL_ID_MAX);
    CLEANUP(freep) char *text = json_text(body);
    if (strlen(text) > LOCAL_BODY_MAX)
        return error_set(err, TOO_LARGE, "a _local document has at most %d bytes", LOCAL_BODY_MAX);
    struct putting p = {.owner = owner, .id = id, .body = text, .now_ms = now_ms};
    TRY(store_write_for(s, owner, put, &p, err));
    *ret_rev = p.rev;
    return OK;
}
