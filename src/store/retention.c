/*
 * retention.c - what is deleted by age, and by its owner's leaving.
 *
 * By age go ended jobs that nothing uses, and with each what only it used
 * and is as old.  Everything is deleted as by hand: a tombstone at once; log,
 * metrics and attempts in pieces (trash.c); blobs at the next sweep.
 */
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

#define DAY_MS           (24 * 3600 * 1000LL)
#define DELIVERIES_DAYS  30
#define PAGE             200
#define PIECE            50
#define LEAVING_WATCH_MS (3600 * 1000LL) /* requests that were under way may still write so long */

/* -- by age -- */

struct aging {
    const char *owner, *id;
    int64_t before_ms, now_ms;
    struct rows piece;
};

static void aging_release(struct aging *a)
{
    rows_release(&a->piece);
}

static bool is_old(const struct document *d, int64_t before_ms)
{
    bool unfinished = d->state >= STATE_WAITING && d->state <= STATE_PROCESSING;
    return !unfinished && d->updated_ms < before_ms && strcmp(d->type, "user");
}

/* Deletes it if it is old and unused, and then so what it used. */
static enum status age_one(struct tx *tx, const struct aging *a, const char *id, struct error *err)
{
    CLEANUP(document_release) struct document d = {0};
    ROWS users = {0};
    ROWS needs = {0};
    enum status status = document_find(tx->db, a->owner, id, &d, err);
    if (status == NOT_FOUND && !connection_failed(tx->db))
        return OK;
    TRY(status);
    if (!is_old(&d, a->before_ms))
        return OK;
    TRY(document_users(tx, id, &users, err));
    if (users.n)
        return OK;
    TRY(SQL(tx->db, &needs, err, "SELECT needs FROM doc_refs WHERE doc = $1", V(id)));
    TRY(document_bury(tx, &d, a->now_ms, err));
    for (int i = 0; i < needs.n; i++)
        TRY(age_one(tx, a, row_text(&needs, i, 0), err));
    return OK;
}

static enum status age(struct tx *tx, void *opaque, struct error *err)
{
    const struct aging *a = opaque;
    return age_one(tx, a, a->id, err);
}

static enum status age_owner(struct store *s, const char *owner, int64_t before_ms, int64_t now_ms,
                             struct error *err)
{
    int64_t after_ms = INT64_MIN;
    char after[DOCUMENT_ID_MAX] = "";
    for (;;) {
        ROWS rows = {0};
        READER reader = {0};
        TRY(reader_take(s, &reader, err));
        TRY(SQL(reader.db, &rows, err,
                "SELECT id, updated FROM documents WHERE owner = $1 AND state IN (4, 5, 6) AND updated < $2"
                " AND (updated, id) > ($3, $4) ORDER BY updated, id LIMIT $5",
                V(owner), V(before_ms), V(after_ms), V((const char *)after), V(PAGE)));
        reader_give(&reader);
        for (int i = 0; i < rows.n; i++)
            TRY(store_write_for(
                s, owner, age,
                &(struct aging){
                    .owner = owner, .id = row_text(&rows, i, 0), .before_ms = before_ms, .now_ms = now_ms},
                err));
        if (rows.n < PAGE)
            return OK;
        after_ms = row_int(&rows, rows.n - 1, 1);
        copy_text(after, sizeof(after), row_text(&rows, rows.n - 1, 0));
    }
}

static enum status forget_deliveries(struct tx *tx, void *opaque, struct error *err)
{
    struct aging *a = opaque;
    return SQL(
        tx->db, &a->piece, err,
        "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE owner = $1 AND created < $2"
        " AND state <> 0 LIMIT $3) RETURNING id",
        V(a->owner), V(a->before_ms), V(PAGE));
}

static enum status age_deliveries(struct store *s, const char *owner, int64_t before_ms, struct error *err)
{
    CLEANUP(aging_release) struct aging a = {.owner = owner, .before_ms = before_ms};
    do
        TRY(store_write_for(s, owner, forget_deliveries, &a, err));
    while (a.piece.n == PAGE);
    return OK;
}

enum status retention_age(struct store *s, int64_t now_ms, struct error *err)
{
    ROWS owners = {0};
    ROWS hooked = {0};
    READER reader = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &owners, err,
            "SELECT o.owner, COALESCE(l.keep_days, $1) FROM owners o LEFT JOIN owner_limits l"
            " ON l.owner = o.owner WHERE COALESCE(l.keep_days, $1) > 0",
            V(s->keep_days)));
    TRY(SQL(reader.db, &hooked, err,
            "SELECT DISTINCT w.owner, COALESCE(l.keep_days, $1) FROM webhooks w LEFT JOIN owner_limits l"
            " ON l.owner = w.owner",
            V(s->keep_days)));
    reader_give(&reader);
    for (int i = 0; i < owners.n; i++)
        TRY(age_owner(s, row_text(&owners, i, 0), now_ms - row_int(&owners, i, 1) * DAY_MS, now_ms, err));
    for (int i = 0; i < hooked.n; i++) {
        int64_t days = row_int(&hooked, i, 1);
        days = days ? MIN(days, DELIVERIES_DAYS) : DELIVERIES_DAYS;
        TRY(age_deliveries(s, row_text(&hooked, i, 0), now_ms - days * DAY_MS, err));
    }
    return OK;
}

/* -- by leaving -- */

static enum status leave(struct tx *tx, void *opaque, struct error *err)
{
    const struct aging *a = opaque;
    CLEANUP(document_release) struct document user = {0};
    TRY(document_find(tx->db, a->owner, a->owner, &user, err));
    TRY(SQL(tx->db, NULL, err, "DELETE FROM passwords WHERE owner = $1", V(a->owner)));
    TRY(SQL(tx->db, NULL, err, "DELETE FROM tokens WHERE owner = $1", V(a->owner)));
    TRY(SQL(tx->db, NULL, err, "INSERT INTO leaving(owner, since) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            V(a->owner), V(a->now_ms)));
    tx_due(tx, a->now_ms);
    return document_bury(tx, &user, a->now_ms, err);
}

enum status user_delete(struct store *s, const char *name, int64_t now_ms, struct error *err)
{
    char id[OWNER_MAX];
    if (user_id(name, id, NULL) != OK)
        return error_set(err, NOT_FOUND, "there is no user '%.64s'", name);
    enum status status = store_write_for(s, id, leave, &(struct aging){.owner = id, .now_ms = now_ms}, err);
    if (status == NOT_FOUND)
        return error_set(err, NOT_FOUND, "there is no user '%s'", name);
    password_forget(s, id);
    return status;
}

/* One document and all that hangs on it; a worker that has its job finds the attempt over. */
static enum status purge_document(struct tx *tx, const char *owner, const char *id, int64_t now_ms,
                                  struct error *err)
{
    static const char *const statements[] = {
        "DELETE FROM deps WHERE job = $1",       "DELETE FROM deps WHERE needs = $1",
        "DELETE FROM doc_refs WHERE doc = $1",   "DELETE FROM doc_refs WHERE needs = $1",
        "DELETE FROM blob_refs WHERE doc = $1",  "DELETE FROM progress WHERE job = $1",
        "DELETE FROM arrays WHERE id = $1",      "DELETE FROM schedules WHERE id = $1",
        "DELETE FROM members WHERE parent = $1", "DELETE FROM documents WHERE id = $1",
    };
    ROWS job = {0};
    TRY(SQL(tx->db, &job, err, "DELETE FROM jobs WHERE id = $1 RETURNING pool, state", V(id)));
    if (job.n)
        TRY(lane_update(tx, row_text(&job, 0, 0), owner, row_int(&job, 0, 1) == 2 ? -1 : 0, err));
    for (size_t i = 0; i < ARRAY_SIZE(statements); i++)
        TRY(SQL(tx->db, NULL, err, statements[i], V(id)));
    tx_stir(tx, "job", id);
    return trash_add(tx, id, now_ms, err);
}

static enum status purge_piece(struct tx *tx, void *opaque, struct error *err)
{
    struct aging *a = opaque;
    TRY(SQL(tx->db, &a->piece, err, "SELECT id FROM documents WHERE owner = $1 AND id <> $1 LIMIT $2",
            V(a->owner), V(PIECE)));
    for (int i = 0; i < a->piece.n; i++)
        TRY(purge_document(tx, a->owner, row_text(&a->piece, i, 0), a->now_ms, err));
    return OK;
}

static enum status purge_rest(struct tx *tx, void *opaque, struct error *err)
{
    static const char *const statements[] = {
        "DELETE FROM webhooks WHERE owner = $1",     "DELETE FROM deliveries WHERE owner = $1",
        "DELETE FROM idempotency WHERE owner = $1",  "DELETE FROM lanes WHERE owner = $1",
        "DELETE FROM owner_limits WHERE owner = $1", "DELETE FROM tokens WHERE owner = $1",
        "DELETE FROM locals WHERE owner = $1",
    };
    const struct aging *a = opaque;
    for (size_t i = 0; i < ARRAY_SIZE(statements); i++)
        TRY(SQL(tx->db, NULL, err, statements[i], V(a->owner)));
    return SQL(tx->db, NULL, err, "DELETE FROM leaving WHERE owner = $1 AND since < $2", V(a->owner),
               V(a->now_ms - LEAVING_WATCH_MS));
}

enum status retention_leave(struct store *s, int64_t now_ms, struct error *err)
{
    ROWS owners = {0};
    READER reader = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &owners, err, "SELECT owner FROM leaving"));
    reader_give(&reader);
    for (int i = 0; i < owners.n; i++) {
        CLEANUP(aging_release) struct aging a = {.owner = row_text(&owners, i, 0), .now_ms = now_ms};
        do
            TRY(store_write_for(s, a.owner, purge_piece, &a, err));
        while (a.piece.n);
        TRY(store_write_for(s, a.owner, purge_rest, &a, err));
    }
    return OK;
}
