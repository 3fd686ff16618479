/* webhooks.c - hooks: made, changed, and what ends of jobs mean to them. */
#include "store/webhooks.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/idempotency.h"
#include "store/internal.h"

#define COLUMNS "id, owner, url, events, enabled, why_disabled, created"

void webhook_release(struct webhook *w)
{
    free(w->url);
    free(w->events);
    free(w->why_disabled);
    *w = (struct webhook){0};
}

void webhook_list_release(struct webhook_list *l)
{
    for (int i = 0; i < l->n; i++)
        webhook_release(&l->webhooks[i]);
    free(l->webhooks);
    *l = (struct webhook_list){0};
}

static void read_row(const struct rows *rows, int i, struct webhook *w)
{
    *w = (struct webhook){
        .url = xstrdup(row_text(rows, i, 2)),
        .events = xstrdup(row_text(rows, i, 3)),
        .enabled = row_int(rows, i, 4) != 0,
        .why_disabled = xstrdup(row_text(rows, i, 5)),
        .created_ms = row_int(rows, i, 6),
    };
    copy_text(w->id, sizeof(w->id), row_text(rows, i, 0));
    copy_text(w->owner, sizeof(w->owner), row_text(rows, i, 1));
}

static enum status no_webhook(const char *id, struct error *err)
{
    return error_set(err, NOT_FOUND, "there is no webhook '%.64s'", id);
}

/* -- made, changed, read -- */

struct hook_write {
    const char *owner, *id;
    const struct webhook *hook; /* create */
    const char *secret;
    const struct idempotency *idempotency;
    const char *url, *events; /* change */
    int enabled;
    char delivery[ID_MAX]; /* ping */
    int64_t now_ms;
};

static enum status create(struct tx *tx, void *opaque, struct error *err)
{
    const struct hook_write *w = opaque;
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err, "SELECT COUNT(*) FROM webhooks WHERE owner = $1", V(w->owner)));
    if (row_int(&rows, 0, 0) >= WEBHOOKS_PER_OWNER)
        return error_set(err, CONFLICT, "there are %d webhooks already, the most that one may have",
                         WEBHOOKS_PER_OWNER);
    TRY(SQL(
        tx->db, NULL, err,
        "INSERT INTO webhooks(id, owner, url, events, secret, enabled, why_disabled, failing, seq, created)"
        " VALUES ($1, $2, $3, $4, $5, 1, '', 0, 0, $6)",
        V(w->hook->id), V(w->owner), V(w->hook->url), V(w->hook->events), V(w->secret), V(w->now_ms)));
    return w->idempotency ? idempotency_answer(tx, w->idempotency, NULL, w->now_ms, err) : OK;
}

enum status webhook_create(struct store *s, const char *owner, const struct webhook *hook, const char *secret,
                           const struct idempotency *idempotency, int64_t now_ms, struct error *err)
{
    struct hook_write w = {
        .owner = owner, .hook = hook, .secret = secret, .idempotency = idempotency, .now_ms = now_ms};
    return store_write_for(s, owner, create, &w, err);
}

enum status webhook_list(struct store *s, const char *owner, struct webhook_list *ret_list, struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT " COLUMNS " FROM webhooks WHERE owner = $1 ORDER BY id",
            V(owner)));
    struct webhook_list list = {.n = rows.n, .webhooks = xcalloc((size_t)rows.n, sizeof(*list.webhooks))};
    for (int i = 0; i < rows.n; i++)
        read_row(&rows, i, &list.webhooks[i]);
    *ret_list = list;
    return OK;
}

enum status webhook_get(struct store *s, const char *owner, const char *id, struct webhook *ret_hook,
                        struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT " COLUMNS " FROM webhooks WHERE id = $1 AND owner = $2", V(id),
            V(owner)));
    if (!rows.n)
        return no_webhook(id, err);
    read_row(&rows, 0, ret_hook);
    return OK;
}

static enum status change(struct tx *tx, void *opaque, struct error *err)
{
    const struct hook_write *w = opaque;
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err, "SELECT url, events, enabled FROM webhooks WHERE id = $1 AND owner = $2",
            V(w->id), V(w->owner)));
    if (!rows.n)
        return no_webhook(w->id, err);
    bool enabled = w->enabled < 0 ? row_int(&rows, 0, 2) != 0 : w->enabled > 0;
    TRY(SQL(tx->db, NULL, err,
            "UPDATE webhooks SET url = $1, events = $2, enabled = $3, why_disabled = CASE WHEN $4 = 1 THEN ''"
            " ELSE why_disabled END, failing = 0 WHERE id = $5",
            V(w->url ? w->url : row_text(&rows, 0, 0)), V(w->events ? w->events : row_text(&rows, 0, 1)),
            V(enabled ? 1 : 0), V(enabled ? 1 : 0), V(w->id)));
    if (enabled)
        return outbox_promote(tx, w->id, w->now_ms, err);
    return SQL(tx->db, NULL, err, "UPDATE deliveries SET next = NULL WHERE hook = $1 AND state = 0",
               V(w->id));
}

enum status webhook_change(struct store *s, const char *owner, const char *id, const char *url,
                           const char *events, int enabled, int64_t now_ms, struct error *err)
{
    struct hook_write w = {
        .owner = owner, .id = id, .url = url, .events = events, .enabled = enabled, .now_ms = now_ms};
    return store_write_for(s, owner, change, &w, err);
}

static enum status delete_hook(struct tx *tx, void *opaque, struct error *err)
{
    const struct hook_write *w = opaque;
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err, "DELETE FROM webhooks WHERE id = $1 AND owner = $2 RETURNING id", V(w->id),
            V(w->owner)));
    if (!rows.n)
        return no_webhook(w->id, err);
    return SQL(tx->db, NULL, err, "DELETE FROM deliveries WHERE hook = $1", V(w->id));
}

enum status webhook_delete(struct store *s, const char *owner, const char *id, struct error *err)
{
    struct hook_write w = {.owner = owner, .id = id};
    return store_write_for(s, owner, delete_hook, &w, err);
}

/* -- events -- */

/* Does a list of events name this one: itself, "TYPE.*" or "*"? */
static bool is_wanted(const char *events, const char *event)
{
    size_t type = strcspn(event, ".");
    for (const char *word = events; *word;) {
        size_t size = strcspn(word, " ");
        if ((size == 1 && *word == '*') || (size == strlen(event) && !strncmp(word, event, size)) ||
            (size == type + 2 && !strncmp(word, event, type) && !strncmp(word + type, ".*", 2)))
            return true;
        word += size + strspn(word + size, " ");
    }
    return false;
}

/* The hook's row is the lock under which its deliveries get their order. */
static enum status add_delivery(struct tx *tx, const char *hook, const char *event, const char *body,
                                int64_t now_ms, char ret_id[ID_MAX], struct error *err)
{
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err, "UPDATE webhooks SET seq = seq + 1 WHERE id = $1 RETURNING seq, owner",
            V(hook)));
    if (!rows.n)
        return no_webhook(hook, err);
    id_new(ret_id);
    TRY(SQL(
        tx->db, NULL, err,
        "INSERT INTO deliveries(id, hook, owner, seq, event, body, state, attempts, claimed, created, tried,"
        " status, answer, error) VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0, $7, 0, 0, '', '')",
        V((const char *)ret_id), V(hook), V(row_text(&rows, 0, 1)), V(row_int(&rows, 0, 0)), V(event),
        V(body), V(now_ms)));
    return outbox_promote(tx, hook, now_ms, err);
}

static char *event_body(const char *event, json_t *data /* taken */, int64_t now_ms)
{
    char at[CLOCK_TEXT_MAX];
    json_t *whole =
        json_pack("{s:s, s:s, s:o}", "type", event, "timestamp", clock_text(now_ms, at), "data", data);
    char *text = json_text(whole);
    json_decref(whole);
    return text;
}

static json_t *end_data(const struct document *d)
{
    char rev[REV_MAX];
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "id", d->id, "type", d->type, "user-id", d->owner,
                     "_rev", document_rev(d->id, d->rev, rev), "state", document_state_name(d->state),
                     "processing-state", document_state_word(d->state), "processing-log",
                     json_get_string(d->body, "processing-log", ""));
}

enum status webhooks_tell(struct tx *tx, const struct document *d, int64_t now_ms, struct error *err)
{
    ROWS hooks = {0};
    TRY(SQL(tx->db, &hooks, err, "SELECT id, events FROM webhooks WHERE owner = $1 AND enabled = 1",
            V(d->owner)));
    if (!hooks.n)
        return OK;
    char event[DELIVERY_EVENT_MAX], ignored[ID_MAX];
    snprintf(event, sizeof(event), "%s.%s", d->type, document_state_name(d->state));
    CLEANUP(freep) char *body = event_body(event, end_data(d), now_ms);
    for (int i = 0; i < hooks.n; i++)
        if (is_wanted(row_text(&hooks, i, 1), event))
            TRY(add_delivery(tx, row_text(&hooks, i, 0), event, body, now_ms, ignored, err));
    return OK;
}

static enum status ping(struct tx *tx, void *opaque, struct error *err)
{
    struct hook_write *w = opaque;
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err, "SELECT enabled FROM webhooks WHERE id = $1 AND owner = $2", V(w->id),
            V(w->owner)));
    if (!rows.n)
        return no_webhook(w->id, err);
    if (!row_int(&rows, 0, 0))
        return error_set(err, CONFLICT, "webhook '%s' is disabled: enable it first", w->id);
    static const char event[] = "webhook.ping";
    CLEANUP(freep) char *body = event_body(event, json_pack("{s:s}", "id", w->id), w->now_ms);
    return add_delivery(tx, w->id, event, body, w->now_ms, w->delivery, err);
}

enum status webhook_ping(struct store *s, const char *owner, const char *id, int64_t now_ms,
                         char ret_delivery[ID_MAX], struct error *err)
{
    struct hook_write w = {.owner = owner, .id = id, .now_ms = now_ms};
    TRY(store_write_for(s, owner, ping, &w, err));
    copy_text(ret_delivery, ID_MAX, w.delivery);
    return OK;
}
