/*
 * outbox.c - deliveries: which is due, how one ended, their history.
 *
 * deliveries.next is set for the oldest pending one of an enabled hook only
 * (outbox_promote), so that what is due is a range of one index and a hook's
 * order holds whoever sends.
 */
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"
#include "store/webhooks.h"

#define DUE_MAX     256
#define LIMIT_USUAL 100
#define LIMIT_MAX   1000

int64_t webhook_pause_ms(int attempts)
{
    static const int seconds[] = {5, 30, 120, 600, 1800, 3600, 7200, 21600, 43200};
    int i = MIN(MAX(attempts - 1, 0), (int)ARRAY_SIZE(seconds) - 1);
    return seconds[i] * 1000LL;
}

void delivery_release(struct delivery *d)
{
    free(d->answer);
    free(d->error);
    *d = (struct delivery){0};
}

void delivery_list_release(struct delivery_list *l)
{
    for (int i = 0; i < l->n; i++)
        delivery_release(&l->deliveries[i]);
    free(l->deliveries);
    *l = (struct delivery_list){0};
}

void outgoing_release(struct outgoing *o)
{
    free(o->url);
    free(o->body);
    *o = (struct outgoing){0};
}

void outgoing_list_release(struct outgoing_list *l)
{
    for (int i = 0; i < l->n; i++)
        outgoing_release(&l->outgoing[i]);
    free(l->outgoing);
    *l = (struct outgoing_list){0};
}

enum status outbox_promote(struct tx *tx, const char *hook, int64_t now_ms, struct error *err)
{
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err,
            "UPDATE deliveries SET next = $1 WHERE next IS NULL AND id ="
            " (SELECT id FROM deliveries WHERE hook = $2 AND state = 0 ORDER BY seq LIMIT 1) RETURNING id",
            V(now_ms), V(hook)));
    if (rows.n)
        tx_stir(tx, "outbox", hook);
    return OK;
}

enum status outbox_recover(struct tx *tx, int64_t now_ms, struct error *err)
{
    return SQL(tx->db, NULL, err,
               "UPDATE deliveries SET next = $1, claimed = 0 WHERE state = 0 AND claimed = 1"
               " AND next IS NOT NULL",
               V(now_ms));
}

enum status outbox_due(struct store *s, int64_t now_ms, struct outgoing_list *ret_list, int64_t *ret_next_ms,
                       struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    ROWS next = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err,
            "SELECT d.id, d.hook, d.owner, w.failing, d.attempts, w.url, d.body, w.secret FROM deliveries d"
            " JOIN webhooks w ON w.id = d.hook WHERE d.next <= $1 ORDER BY d.next LIMIT $2",
            V(now_ms), V(DUE_MAX)));
    TRY(SQL(reader.db, &next, err, "SELECT MIN(next) FROM deliveries WHERE next > $1", V(now_ms)));
    struct outgoing_list list = {.n = rows.n, .outgoing = xcalloc((size_t)rows.n, sizeof(*list.outgoing))};
    for (int i = 0; i < rows.n; i++) {
        struct outgoing *o = &list.outgoing[i];
        copy_text(o->id, sizeof(o->id), row_text(&rows, i, 0));
        copy_text(o->hook, sizeof(o->hook), row_text(&rows, i, 1));
        copy_text(o->owner, sizeof(o->owner), row_text(&rows, i, 2));
        o->failing = row_int(&rows, i, 3) != 0;
        o->attempts = (int)row_int(&rows, i, 4);
        o->url = xstrdup(row_text(&rows, i, 5));
        o->body = xstrdup(row_text(&rows, i, 6));
        copy_text(o->secret, sizeof(o->secret), row_text(&rows, i, 7));
    }
    *ret_next_ms = row_is_null(&next, 0, 0) ? INT64_MAX : row_int(&next, 0, 0);
    *ret_list = list;
    return OK;
}

struct finishing {
    const char *id;
    int64_t now_ms, claim_ms;
    const struct delivery_outcome *outcome;
};

static enum status claim(struct tx *tx, void *opaque, struct error *err)
{
    const struct finishing *f = opaque;
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err,
            "UPDATE deliveries SET next = $1, claimed = 1 WHERE id = $2 AND state = 0 AND next <= $3"
            " RETURNING id",
            V(f->now_ms + f->claim_ms), V(f->id), V(f->now_ms)));
    return rows.n ? OK : error_set(err, CONFLICT, "delivery '%s' is being sent already", f->id);
}

enum status outbox_claim(struct store *s, const struct outgoing *o, int64_t now_ms, int64_t claim_ms,
                         struct error *err)
{
    return store_write_for(s, o->owner, claim, &(struct finishing){o->id, now_ms, claim_ms, NULL}, err);
}

static enum status disable(struct tx *tx, const char *hook, struct error *err)
{
    TRY(SQL(tx->db, NULL, err,
            "UPDATE webhooks SET enabled = 0, why_disabled = 'the receiver answered 410 Gone' WHERE id = $1",
            V(hook)));
    return SQL(tx->db, NULL, err,
               "UPDATE deliveries SET state = 2, next = NULL, error = 'the receiver answered 410 Gone'"
               " WHERE hook = $1 AND state = 0",
               V(hook));
}

static enum status finish(struct tx *tx, void *opaque, struct error *err)
{
    const struct finishing *f = opaque;
    const struct delivery_outcome *o = f->outcome;
    ROWS rows = {0};
    TRY(SQL(
        tx->db, &rows, err,
        "UPDATE deliveries SET attempts = attempts + 1, claimed = 0, tried = $1, status = $2, answer = $3,"
        " error = $4 WHERE id = $5 AND state = 0 RETURNING hook, attempts, next",
        V(f->now_ms), V(o->http_status), V(o->answer), V(o->error), V(f->id)));
    if (!rows.n)
        return OK;
    const char *hook = row_text(&rows, 0, 0);
    int attempts = (int)row_int(&rows, 0, 1);
    TRY(SQL(tx->db, NULL, err, "UPDATE webhooks SET failing = $1 WHERE id = $2",
            V(o->result == DELIVERY_DONE ? 0 : 1), V(hook)));
    if (o->result == DELIVERY_RETRY && attempts < WEBHOOK_TRIES) {
        if (row_is_null(&rows, 0, 2)) /* disabled meanwhile */
            return OK;
        tx_stir(tx, "outbox", hook);
        return SQL(tx->db, NULL, err, "UPDATE deliveries SET next = $1 WHERE id = $2",
                   V(f->now_ms + MAX(webhook_pause_ms(attempts), o->retry_after_ms)), V(f->id));
    }
    TRY(SQL(tx->db, NULL, err, "UPDATE deliveries SET state = $1, next = NULL WHERE id = $2",
            V(o->result == DELIVERY_DONE ? DELIVERY_DELIVERED : DELIVERY_FAILED), V(f->id)));
    if (o->result == DELIVERY_GONE)
        return disable(tx, hook, err);
    ROWS enabled = {0};
    TRY(SQL(tx->db, &enabled, err, "SELECT 1 FROM webhooks WHERE id = $1 AND enabled = 1", V(hook)));
    return enabled.n ? outbox_promote(tx, hook, f->now_ms, err) : OK;
}

enum status outbox_finish(struct store *s, const struct outgoing *o, const struct delivery_outcome *outcome,
                          int64_t now_ms, struct error *err)
{
    return store_write_for(s, o->owner, finish, &(struct finishing){o->id, now_ms, 0, outcome}, err);
}

enum status outbox_count(struct store *s, int64_t *ret_pending, struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT COUNT(*) FROM deliveries WHERE state = 0"));
    *ret_pending = row_int(&rows, 0, 0);
    return OK;
}

/* -- history -- */

static void read_delivery(const struct rows *rows, int i, struct delivery *d)
{
    *d = (struct delivery){
        .state = (enum delivery_state)row_int(rows, i, 3),
        .attempts = (int)row_int(rows, i, 4),
        .created_ms = row_int(rows, i, 5),
        .tried_ms = row_int(rows, i, 6),
        .next_ms = row_int(rows, i, 7),
        .http_status = (int)row_int(rows, i, 8),
        .answer = xstrdup(row_text(rows, i, 9)),
        .error = xstrdup(row_text(rows, i, 10)),
    };
    copy_text(d->id, sizeof(d->id), row_text(rows, i, 0));
    copy_text(d->hook, sizeof(d->hook), row_text(rows, i, 1));
    copy_text(d->event, sizeof(d->event), row_text(rows, i, 2));
}

enum status delivery_list(struct store *s, const char *owner, const char *hook, const char *after, int limit,
                          struct delivery_list *ret_list, struct error *err)
{
    limit = limit <= 0 ? LIMIT_USUAL : MIN(limit, LIMIT_MAX);
    int64_t before = INT64_MAX;
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    if (after) {
        TRY(SQL(reader.db, &rows, err, "SELECT seq FROM deliveries WHERE id = $1 AND hook = $2", V(after),
                V(hook)));
        if (!rows.n)
            return error_set(err, INVALID, "there is no delivery '%.40s' to go on after", after);
        before = row_int(&rows, 0, 0);
    }
    TRY(SQL(reader.db, &rows, err,
            "SELECT id, hook, event, state, attempts, created, tried, next, status, answer, error"
            " FROM deliveries WHERE hook = $1 AND owner = $2 AND seq < $3 ORDER BY seq DESC LIMIT $4",
            V(hook), V(owner), V(before), V(limit + 1)));
    struct delivery_list list = {.n = MIN(rows.n, limit), .more = rows.n > limit};
    list.deliveries = xcalloc((size_t)list.n, sizeof(*list.deliveries));
    for (int i = 0; i < list.n; i++)
        read_delivery(&rows, i, &list.deliveries[i]);
    *ret_list = list;
    return OK;
}

struct resending {
    const char *owner, *hook, *id;
    int64_t now_ms;
};

static enum status resend(struct tx *tx, void *opaque, struct error *err)
{
    const struct resending *r = opaque;
    ROWS hooks = {0};
    ROWS rows = {0};
    TRY(SQL(tx->db, &hooks, err,
            "UPDATE webhooks SET seq = seq + 1 WHERE id = $1 AND owner = $2 RETURNING seq, enabled",
            V(r->hook), V(r->owner)));
    TRY(SQL(tx->db, &rows, err, "SELECT state FROM deliveries WHERE id = $1 AND hook = $2", V(r->id),
            V(r->hook)));
    if (!hooks.n || !rows.n)
        return error_set(err, NOT_FOUND, "there is no delivery '%.64s' of webhook '%.64s'", r->id, r->hook);
    if (!row_int(&hooks, 0, 1))
        return error_set(err, CONFLICT, "webhook '%s' is disabled: enable it first", r->hook);
    if (row_int(&rows, 0, 0) == DELIVERY_PENDING)
        return error_set(err, CONFLICT, "delivery '%s' is still under way", r->id);
    TRY(SQL(tx->db, NULL, err,
            "UPDATE deliveries SET state = 0, attempts = 0, claimed = 0, seq = $1, next = NULL WHERE id = $2",
            V(row_int(&hooks, 0, 0)), V(r->id)));
    return outbox_promote(tx, r->hook, r->now_ms, err);
}

enum status delivery_resend(struct store *s, const char *owner, const char *hook, const char *id,
                            int64_t now_ms, struct error *err)
{
    return store_write_for(s, owner, resend, &(struct resending){owner, hook, id, now_ms}, err);
}
