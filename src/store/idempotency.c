#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

/* Keys being worked on: a list, for there are as many as requests under way. */
struct working {
    char *owner, *key;
    struct working *next;
};

struct idempotency_keys {
    pthread_mutex_t lock;
    struct working *first;
};

struct idempotency_keys *idempotency_keys_new(void)
{
    struct idempotency_keys *keys = xcalloc(1, sizeof(*keys));
    pthread_mutex_init(&keys->lock, NULL);
    return keys;
}

static void working_free(struct working *w)
{
    free(w->owner);
    free(w->key);
    free(w);
}

void idempotency_keys_free(struct idempotency_keys *keys)
{
    if (!keys)
        return;
    for (struct working *w = keys->first, *next; w; w = next) {
        next = w->next;
        working_free(w);
    }
    pthread_mutex_destroy(&keys->lock);
    free(keys);
}

/* The link that points to the key's entry, or the last link. */
static struct working **find_working(struct idempotency_keys *keys, const char *owner, const char *key)
{
    struct working **link = &keys->first;
    while (*link && (strcmp((*link)->key, key) != 0 || strcmp((*link)->owner, owner) != 0))
        link = &(*link)->next;
    return link;
}

/* False when somebody works on it already. */
static bool claim(struct idempotency_keys *keys, const char *owner, const char *key)
{
    pthread_mutex_lock(&keys->lock);
    struct working **link = find_working(keys, owner, key);
    bool is_free = !*link;
    if (is_free) {
        *link = xcalloc(1, sizeof(**link));
        **link = (struct working){.owner = xstrdup(owner), .key = xstrdup(key)};
    }
    pthread_mutex_unlock(&keys->lock);
    return is_free;
}

void idempotency_end(struct store *s, const char *owner, const char *key)
{
    pthread_mutex_lock(&s->keys->lock);
    struct working **link = find_working(s->keys, owner, key);
    struct working *w = *link;
    if (w) {
        *link = w->next;
        working_free(w);
    }
    pthread_mutex_unlock(&s->keys->lock);
}

static enum status look_up(struct store *s, const char *owner, const char *key, const char *request_hash,
                           int64_t now_ms, struct rows *rows, struct error *err)
{
    READER reader = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, rows, err,
            "SELECT request, status, body FROM idempotency WHERE owner = $1 AND key = $2 AND created > $3",
            V(owner), V(key), V(now_ms - IDEMPOTENCY_KEPT_MS)));
    if (rows->n && strcmp(row_text(rows, 0, 0), request_hash) != 0)
        return error_set(err, CONFLICT, "the idempotency key '%s' came with another request before", key);
    return OK;
}

enum status idempotency_begin(struct store *s, const char *owner, const char *key, const char *request_hash,
                              int64_t now_ms, enum idempotency_result *ret_result, int *ret_http_status,
                              char **ret_body, struct error *err)
{
    size_t size = strlen(key);
    if (!size || size >= IDEMPOTENCY_KEY_MAX)
        return error_set(err, INVALID, "an idempotency key has 1 to %d bytes, not %zu",
                         IDEMPOTENCY_KEY_MAX - 1, size);
    /* Claimed before looking: an answer saved in between cannot be missed. */
    if (!claim(s->keys, owner, key))
        return error_set(err, CONFLICT, "a request with the idempotency key '%s' is being worked on", key);
    ROWS rows = {0};
    enum status status = look_up(s, owner, key, request_hash, now_ms, &rows, err);
    if (status == OK && !rows.n) {
        *ret_result = IDEMPOTENCY_NEW;
        return OK;
    }
    idempotency_end(s, owner, key);
    TRY(status);
    *ret_result = IDEMPOTENCY_REPLAY;
    *ret_http_status = (int)row_int(&rows, 0, 1);
    *ret_body = xstrdup(row_text(&rows, 0, 2));
    return OK;
}

enum status idempotency_insert(struct tx *tx, const struct idempotency *key, int http_status,
                               const char *body, int64_t now_ms, struct error *err)
{
    ROWS rows = {0};
    TRY(SQL(
        tx->db, &rows, err,
        "INSERT INTO idempotency(owner, key, request, status, body, created) VALUES ($1, $2, $3, $4, $5, $6)"
        " ON CONFLICT (owner, key) DO UPDATE SET request = excluded.request, status = excluded.status,"
        " body = excluded.body, created = excluded.created WHERE idempotency.created <= $7 RETURNING status",
        V(key->owner), V(key->key), V(key->request_hash), V(http_status), V(body), V(now_ms),
        V(now_ms - IDEMPOTENCY_KEPT_MS)));
    return rows.n ? OK : error_set(err, CONFLICT, "the idempotency key '%s' has an answer already", key->key);
}

enum status idempotency_answer(struct tx *tx, const struct idempotency *key, const struct document_list *made,
                               int64_t now_ms, struct error *err)
{
    int http_status = 0;
    CLEANUP(freep) char *body = key->answer(key->context, made, &http_status);
    return idempotency_insert(tx, key, http_status, body, now_ms, err);
}

struct saving {
    struct idempotency key;
    int http_status;
    const char *body;
    int64_t now_ms;
};

static enum status save(struct tx *tx, void *opaque, struct error *err)
{
    const struct saving *args = opaque;
    return idempotency_insert(tx, &args->key, args->http_status, args->body, args->now_ms, err);
}

enum status idempotency_save(struct store *s, const char *owner, const char *key, const char *request_hash,
                             int http_status, const char *body, int64_t now_ms, struct error *err)
{
    struct saving args = {
        {.owner = owner, .key = key, .request_hash = request_hash}, http_status, body, now_ms};
    return store_write_for(s, owner, save, &args, err);
}

static enum status expire(struct tx *tx, void *opaque, struct error *err)
{
    const int64_t *now_ms = opaque;
    return SQL(tx->db, NULL, err, "DELETE FROM idempotency WHERE created <= $1",
               V(*now_ms - IDEMPOTENCY_KEPT_MS));
}

enum status idempotency_expire(struct store *s, int64_t now_ms, struct error *err)
{
    ROWS rows = {0};
    READER reader = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT 1 FROM idempotency WHERE created <= $1 LIMIT 1",
            V(now_ms - IDEMPOTENCY_KEPT_MS)));
    return rows.n ? store_write(s, expire, &now_ms, err) : OK;
}
