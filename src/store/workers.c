/* workers.c - who asks for jobs. */
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

#define NOTE_EVERY_MS 10000
#define FORGET_MS     (24 * 3600 * 1000LL)

void worker_info_list_release(struct worker_info_list *l)
{
    for (int i = 0; i < l->n; i++)
        free(l->workers[i].pools);
    free(l->workers);
    *l = (struct worker_info_list){0};
}

/* "gpu,cpu", for the caller to free. */
static char *join_pools(const struct lease_request *r)
{
    const char *const *pools = r->n_all_pools ? r->all_pools : r->pools;
    int n = r->n_all_pools ? r->n_all_pools : r->n_pools;
    char *all = xstrdup(n ? pools[0] : "");
    for (int i = 1; i < n; i++) {
        CLEANUP(freep) char *before = all;
        all = xasprintf("%s,%s", before, pools[i]);
    }
    return all;
}

#define NOTED "SELECT drained, seen, slots, pools FROM workers WHERE name = $1"

enum status worker_ask(struct tx *tx, const struct lease_request *r, struct rows *rows, struct error *err)
{
    bool locks = tx->store->driver->locks_rows;
    return SQL_SEND(tx->db, rows, err, locks ? NOTED " FOR UPDATE" : NOTED, V(r->worker));
}

bool worker_is_drained(const struct rows *known)
{
    return known->n && row_int(known, 0, 0);
}

enum status worker_note(struct tx *tx, const struct lease_request *r, const struct rows *known,
                        int64_t now_ms, struct error *err)
{
    CLEANUP(freep) char *pools = join_pools(r);
    int slots = MAX(r->slots, r->all_slots);
    if (known->n && row_int(known, 0, 1) > now_ms - NOTE_EVERY_MS && row_int(known, 0, 2) >= slots &&
        strcmp(row_text(known, 0, 3), pools) == 0)
        return OK;
    return SQL(tx->db, NULL, err,
               "INSERT INTO workers(name, seen, slots, pools) VALUES ($1, $2, $3, $4)"
               " ON CONFLICT (name) DO UPDATE SET seen = excluded.seen, slots = excluded.slots,"
               " pools = excluded.pools",
               V(r->worker), V(now_ms), V(slots), V((const char *)pools));
}

enum status workers_list(struct store *s, struct worker_info_list *ret_list, struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err,
            "SELECT w.name, w.seen, w.slots, w.pools, w.drained, COALESCE(r.n, 0), COALESCE(r.renewed, 0)"
            " FROM workers w LEFT JOIN (SELECT worker, COUNT(*) AS n, MAX(expires - lease_ms) AS renewed"
            " FROM jobs WHERE state = 2 GROUP BY worker) r ON r.worker = w.name ORDER BY w.name"));
    struct worker_info_list list = {.n = rows.n, .workers = xcalloc((size_t)rows.n, sizeof(*list.workers))};
    for (int i = 0; i < rows.n; i++) {
        struct worker_info *w = &list.workers[i];
        copy_text(w->name, sizeof(w->name), row_text(&rows, i, 0));
        /* A lease that was renewed says that its worker lives. */
        w->seen_ms = MAX(row_int(&rows, i, 1), row_int(&rows, i, 6));
        w->running = (int)row_int(&rows, i, 5);
        w->slots = MAX((int)row_int(&rows, i, 2), w->running);
        w->pools = xstrdup(row_text(&rows, i, 3));
        w->drained = row_int(&rows, i, 4) != 0;
    }
    *ret_list = list;
    return OK;
}

struct draining {
    const char *name;
    bool drained;
};

static enum status drain(struct tx *tx, void *opaque, struct error *err)
{
    const struct draining *d = opaque;
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err, "UPDATE workers SET drained = $1 WHERE name = $2 RETURNING name",
            V(d->drained ? 1 : 0), V(d->name)));
    if (!rows.n)
        return error_set(err, NOT_FOUND, "there is no worker '%.127s'", d->name);
    tx_stir(tx, "worker", d->name);
    return OK;
}

enum status worker_drain(struct store *s, const char *name, bool drained, struct error *err)
{
    return store_write(s, drain, &(struct draining){name, drained}, err);
}

static enum status expire(struct tx *tx, void *opaque, struct error *err)
{
    const int64_t *before_ms = opaque;
    return SQL(tx->db, NULL, err,
               "DELETE FROM workers WHERE seen < $1"
               " AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.state = 2 AND j.worker = workers.name)",
               V(*before_ms));
}

enum status workers_expire(struct store *s, int64_t now_ms, struct error *err)
{
    int64_t before_ms = now_ms - FORGET_MS;
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT 1 FROM workers WHERE seen < $1 LIMIT 1", V(before_ms)));
    return rows.n ? store_write(s, expire, &before_ms, err) : OK;
}
