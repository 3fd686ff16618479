/* usage.c - sums over an owner's things, limits, and uploads under way. */
#include "store/usage.h"

#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

void usage_list_release(struct usage_list *l)
{
    free(l->usages);
    *l = (struct usage_list){0};
}

static enum status read_limits(struct store *s, struct connection *db, struct usage *u, struct error *err)
{
    ROWS rows = {0};
    TRY(SQL(db, &rows, err, "SELECT bytes, keep_days FROM owner_limits WHERE owner = $1",
            V((const char *)u->owner)));
    u->quota_bytes = rows.n && !row_is_null(&rows, 0, 0) ? row_int(&rows, 0, 0) : s->quota_bytes;
    u->keep_days = rows.n && !row_is_null(&rows, 0, 1) ? row_int(&rows, 0, 1) : s->keep_days;
    return OK;
}

/* Blobs and logs; the blobs that a series was packed into count as what they hold. */
static enum status read_bytes(struct connection *db, struct usage *u, struct error *err)
{
    ROWS rows = {0};
    const char *owner = u->owner;
    TRY(SQL(
        db, &rows, err,
        "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM blobs WHERE hash IN (SELECT r.hash FROM documents"
        " d JOIN blob_refs r ON r.doc = d.id WHERE d.owner = $1"
        " AND r.name NOT IN ('/log.1', '/log.2', '/metrics'))",
        V(owner)));
    u->blob_bytes = row_int(&rows, 0, 0);
    TRY(SQL(db, &rows, err,
            "SELECT CAST(COALESCE(SUM(l.length), 0) AS BIGINT) FROM documents d JOIN logs l ON l.job = d.id"
            " WHERE d.owner = $1",
            V(owner)));
    u->log_bytes = row_int(&rows, 0, 0);
    return OK;
}

static enum status read_usage(struct store *s, struct connection *db, const char *owner,
                              struct usage *ret_usage, struct error *err)
{
    struct usage u = {0};
    ROWS rows = {0};
    copy_text(u.owner, sizeof(u.owner), owner);
    TRY(read_limits(s, db, &u, err));
    TRY(read_bytes(db, &u, err));
    TRY(SQL(db, &rows, err, "SELECT COUNT(*) FROM documents WHERE owner = $1 AND state <> 7", V(owner)));
    u.documents = row_int(&rows, 0, 0);
    TRY(SQL(db, &rows, err,
            "SELECT COUNT(*) FROM documents d JOIN metrics m ON m.job = d.id WHERE d.owner = $1", V(owner)));
    u.metric_points = row_int(&rows, 0, 0);
    TRY(SQL(
        db, &rows, err,
        "SELECT CAST(COALESCE(SUM(p.points), 0) AS BIGINT) FROM documents d JOIN metric_packs p ON p.job ="
        " d.id WHERE d.owner = $1",
        V(owner)));
    u.metric_points += row_int(&rows, 0, 0);
    *ret_usage = u;
    return OK;
}

enum status usage_get(struct store *s, const char *owner, struct usage *ret_usage, struct error *err)
{
    READER reader = {0};
    TRY(reader_take(s, &reader, err));
    return read_usage(s, reader.db, owner, ret_usage, err);
}

enum status usage_list(struct store *s, struct usage_list *ret_list, struct error *err)
{
    CLEANUP(usage_list_release) struct usage_list list = {0};
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT owner FROM owners ORDER BY owner"));
    list.usages = xcalloc((size_t)rows.n, sizeof(*list.usages));
    for (; list.n < rows.n; list.n++)
        TRY(read_usage(s, reader.db, row_text(&rows, list.n, 0), &list.usages[list.n], err));
    *ret_list = list;
    list = (struct usage_list){0};
    return OK;
}

/* -- limits -- */

struct limit {
    const char *owner;
    int64_t value; /* -1: NULL */
};

static enum status set_quota(struct tx *tx, void *opaque, struct error *err)
{
    const struct limit *l = opaque;
    return SQL(tx->db, NULL, err,
               "INSERT INTO owner_limits(owner, bytes) VALUES ($1, NULLIF($2, -1))"
               " ON CONFLICT (owner) DO UPDATE SET bytes = excluded.bytes",
               V(l->owner), V(l->value));
}

enum status owner_quota_set(struct store *s, const char *owner, int64_t bytes, struct error *err)
{
    return store_write(s, set_quota, &(struct limit){owner, bytes}, err);
}

static enum status set_keep(struct tx *tx, void *opaque, struct error *err)
{
    const struct limit *l = opaque;
    return SQL(tx->db, NULL, err,
               "INSERT INTO owner_limits(owner, keep_days) VALUES ($1, NULLIF($2, -1))"
               " ON CONFLICT (owner) DO UPDATE SET keep_days = excluded.keep_days",
               V(l->owner), V(l->value));
}

enum status owner_keep_set(struct store *s, const char *owner, int64_t days, struct error *err)
{
    return store_write(s, set_keep, &(struct limit){owner, days}, err);
}

/* -- uploads under way -- */

struct quota_hold {
    struct store *store;
    char owner[OWNER_MAX];
    struct usage usage; /* quota and use, without what is held: the upload's own, not guarded */
    int64_t bytes;      /* held by this upload */
    bool stale;         /* another of the owner's ended: it may be part of the use now */
    struct quota_hold *next;
};

struct quota_holds {
    pthread_mutex_t lock; /* guards what follows, and the holds' bytes and stale */
    struct quota_hold *first;
};

struct quota_holds *quota_holds_new(void)
{
    struct quota_holds *holds = xcalloc(1, sizeof(*holds));
    pthread_mutex_init(&holds->lock, NULL);
    return holds;
}

void quota_holds_free(struct quota_holds *holds)
{
    if (holds)
        pthread_mutex_destroy(&holds->lock);
    free(holds);
}

static enum status measure(struct quota_hold *h, struct error *err)
{
    READER reader = {0};
    struct usage u = h->usage;
    TRY(reader_take(h->store, &reader, err));
    TRY(read_limits(h->store, reader.db, &u, err));
    if (u.quota_bytes)
        TRY(read_bytes(reader.db, &u, err));
    h->usage = u;
    return OK;
}

enum status quota_begin(struct store *s, const char *owner, struct quota_hold **ret_hold, struct error *err)
{
    struct quota_hold *h = xcalloc(1, sizeof(*h));
    h->store = s;
    copy_text(h->owner, sizeof(h->owner), owner);
    copy_text(h->usage.owner, sizeof(h->usage.owner), owner);
    /* Listed before it measures: what ends meanwhile makes it stale. */
    pthread_mutex_lock(&s->quotas->lock);
    h->next = s->quotas->first;
    s->quotas->first = h;
    pthread_mutex_unlock(&s->quotas->lock);
    enum status status = measure(h, err);
    if (status != OK)
        return quota_end(h), status;
    *ret_hold = h;
    return OK;
}

void quota_figures(const struct quota_hold *h, int64_t *ret_used, int64_t *ret_quota)
{
    *ret_used = h->usage.blob_bytes + h->usage.log_bytes;
    *ret_quota = h->usage.quota_bytes;
}

/* Bytes held by all of the owner's uploads, this one's grown by `bytes`. */
static int64_t grow(struct quota_hold *h, int64_t bytes, bool *ret_stale)
{
    int64_t held = 0;
    pthread_mutex_lock(&h->store->quotas->lock);
    h->bytes += bytes;
    *ret_stale = h->stale;
    h->stale = false;
    for (const struct quota_hold *other = h->store->quotas->first; other; other = other->next)
        if (!strcmp(other->owner, h->owner))
            held += other->bytes;
    pthread_mutex_unlock(&h->store->quotas->lock);
    return held;
}

enum status quota_add(struct quota_hold *h, int64_t bytes, struct error *err)
{
    int64_t used, quota;
    bool stale;
    if (!h->usage.quota_bytes)
        return OK;
    int64_t held = grow(h, bytes, &stale);
    if (stale)
        TRY(measure(h, err));
    quota_figures(h, &used, &quota);
    if (!quota || held <= quota - used)
        return OK;
    return error_set(err, NO_SPACE,
                     "the quota of '%s' is %lld bytes, of which %lld are used: this upload does not fit",
                     h->usage.owner, (long long)quota, (long long)used);
}

void quota_end(struct quota_hold *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->store->quotas->lock);
    struct quota_hold **link = &h->store->quotas->first;
    while (*link != h)
        link = &(*link)->next;
    *link = h->next;
    for (struct quota_hold *other = h->store->quotas->first; other; other = other->next)
        other->stale |= !strcmp(other->owner, h->owner);
    pthread_mutex_unlock(&h->store->quotas->lock);
    free(h);
}
