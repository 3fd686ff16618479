#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/internal.h"
#include "store/schema.h"

#define SWEEP_EVERY_MS (24 * 3600 * 1000LL)
#define AGE_EVERY_MS   (3600 * 1000LL)
#define COMPARE_MS     60000
#define BACKOFF_MS     5000

static enum status read_url(const char *url, const struct store_options *options, struct store *s,
                            struct error *err)
{
    static const char sqlite[] = "sqlite:";
    const struct driver *driver = &driver_sqlite;
    const char *where = url;
    if (strncmp(url, sqlite, sizeof(sqlite) - 1) == 0)
        where = url + sizeof(sqlite) - 1;
    else if (strncmp(url, "postgres://", 11) == 0 || strncmp(url, "postgresql://", 13) == 0)
        driver = &driver_postgres;
    else if (strstr(url, "://"))
        return error_set(err, UNSUPPORTED, "database '%.*s://...': sqlite:PATH and postgres://... are known",
                         (int)strcspn(url, ":"), url);
    if (!*where)
        return error_set(err, INVALID, "database '%s' names no file", url);
    s->driver = options->driver ? options->driver : driver;
    s->where = xstrdup(where);
    return OK;
}

struct recovery {
    struct store *store;
    int64_t now_ms;
};

/* The first write: the secret is made or read, the queue's counts put right. */
static enum status recover(struct tx *tx, void *opaque, struct error *err)
{
    struct recovery *args = opaque;
    char fresh[2 * SECRET_BYTES + 1];
    random_hex(SECRET_BYTES, fresh);
    ROWS rows = {0};
    TRY(SQL(tx->db, NULL, err,
            "INSERT INTO meta(key, value) VALUES ('secret', $1) ON CONFLICT (key) DO NOTHING", V(fresh)));
    TRY(SQL(tx->db, &rows, err, "SELECT value FROM meta WHERE key = 'secret'"));
    size_t size = 0;
    if (!rows.n ||
        sodium_hex2bin(args->store->secret, SECRET_BYTES, row_text(&rows, 0, 0), 2 * SECRET_BYTES, NULL,
                       &size, NULL) ||
        size != SECRET_BYTES)
        return error_set(err, FAILED, "the database's secret is damaged");
    /* Where there are other servers their claims stand, and ours of before run out by themselves. */
    if (!args->store->peers)
        TRY(outbox_recover(tx, args->now_ms, err));
    return queue_recover(tx, args->now_ms, err);
}

/* The first one's connection puts the schema right. */
static enum status start_committer(struct store *s, struct error *err)
{
    struct connection *writer = NULL;
    TRY(connection_open(s->driver, s->where, false, &writer, err));
    enum status status = s->n_committers ? OK : schema_migrate(writer, err);
    if (status == OK)
        status = committer_start(s, writer, &s->committers[s->n_committers], err);
    if (status == OK)
        s->n_committers++;
    else
        connection_free(writer);
    return status;
}

/* Leases are extended last: opening takes its time, and until it is over no heartbeat is heard. */
static enum status open_parts(struct store *s, const struct store_options *options, struct error *err)
{
    TRY(start_committer(s, err));
    TRY(peers_start(s, &s->peers, err));
    while (s->driver->locks_rows && s->n_committers < COMMITTERS_MAX)
        TRY(start_committer(s, err));
    TRY(readers_new(s, &s->readers, err));
    TRY(blobs_open(s, err));
    s->swept_ms = options->now_ms ? options->now_ms : clock_now_ms();
    TRY(store_write_apart(s, recover, &(struct recovery){s, s->swept_ms}, err));
    return options->no_timer ? OK : timer_start(s, err);
}

enum status store_open(const char *url, const struct store_options *options, struct store **ret_store,
                       struct error *err)
{
    if (sodium_init() < 0)
        return error_set(err, FAILED, "libsodium does not start");
    CLEANUP(store_closep) struct store *s = xcalloc(1, sizeof(*s));
    pthread_mutex_init(&s->tick_lock, NULL);
    pthread_mutex_init(&s->changed_lock, NULL);
    s->passwords = password_cache_new();
    s->keys = idempotency_keys_new();
    s->quotas = quota_holds_new();
    s->quota_bytes = options->quota_bytes;
    s->keep_days = options->keep_days;
    s->blob_grace_ms = options->blob_grace_ms ? options->blob_grace_ms : BLOB_GRACE_MS;
    s->sweep_ms = options->sweep_ms ? options->sweep_ms : SWEEP_EVERY_MS;
    s->backoff_ms = options->backoff_ms ? options->backoff_ms : BACKOFF_MS;
    s->compare_ms = options->compare_ms ? options->compare_ms : COMPARE_MS;
    s->blobs = xstrdup(options->blobs);
    TRY(read_url(url, options, s, err));
    TRY(open_parts(s, options, err));
    *ret_store = TAKE(s);
    return OK;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    timer_stop(s->timer);
    for (int i = 0; i < s->n_committers; i++)
        committer_stop(s->committers[i]);
    peers_stop(s->peers);
    readers_free(s->readers);
    password_cache_free(s->passwords);
    idempotency_keys_free(s->keys);
    quota_holds_free(s->quotas);
    pthread_mutex_destroy(&s->tick_lock);
    pthread_mutex_destroy(&s->changed_lock);
    sodium_memzero(s->secret, sizeof(s->secret));
    sodium_memzero(s->where, s->where ? strlen(s->where) : 0);
    free(s->where);
    free(s->blobs);
    free(s);
}

void store_closep(struct store **s)
{
    store_close(*s);
    *s = NULL;
}

void store_on_change(struct store *s, void (*changed)(void *context, const char *topic), void *context)
{
    pthread_mutex_lock(&s->changed_lock);
    s->changed_context = context;
    s->changed = changed;
    pthread_mutex_unlock(&s->changed_lock);
}

static enum status tick_locked(struct store *s, int64_t now_ms, int64_t *ret_next_ms, struct error *err)
{
    int64_t next_ms = 0, next_run_ms = 0;
    TRY(schedules_tick(s, now_ms, &next_run_ms, err));
    TRY(queue_tick(s, now_ms, &next_ms, err));
    next_ms = MIN(next_ms, next_run_ms);
    TRY(arrays_tick(s, now_ms, err));
    TRY(idempotency_expire(s, now_ms, err));
    TRY(workers_expire(s, now_ms, err));
    TRY(retention_leave(s, now_ms, err));
    if (now_ms - s->aged_ms >= AGE_EVERY_MS) {
        TRY(retention_age(s, now_ms, err));
        s->aged_ms = now_ms;
    }
    TRY(trash_empty(s, err));
    TRY(pack_tick(s, now_ms, err));
    if (now_ms - s->swept_ms >= s->sweep_ms) {
        TRY(blob_collect(s, now_ms, s->blob_grace_ms, NULL, err));
        s->swept_ms = now_ms;
    }
    if (ret_next_ms)
        *ret_next_ms = MIN(next_ms, s->swept_ms + s->sweep_ms);
    return OK;
}

enum status store_tick(struct store *s, int64_t now_ms, int64_t *ret_next_ms, struct error *err)
{
    pthread_mutex_lock(&s->tick_lock);
    enum status status = tick_locked(s, now_ms, ret_next_ms, err);
    pthread_mutex_unlock(&s->tick_lock);
    return status;
}

static enum status write_nothing(struct tx *tx, void *args, struct error *err)
{
    (void)args;
    return SQL(tx->db, NULL, err, "UPDATE meta SET value = value WHERE key = 'schema'");
}

enum status store_check(struct store *s, struct error *err)
{
    READER reader = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, NULL, err, "SELECT value FROM meta WHERE key = 'schema'"));
    return store_write(s, write_nothing, NULL, err);
}
