/*
 * attempt.c - how an attempt ends: said by its worker, or lapsed.
 *
 *   DONE, FAILED, CANCELLED           the job's row goes: queue_end
 *   RETRY, LAPSED, and FAILED
 *   where the job says so             counted; waiting until the back-off is over, or FAILED when none is
 * left RELEASED                          ready at once any but DONE, asked to cancel     CANCELLED
 *
 * Also what time does to the queue: lapsing, waking, recovery at start.
 */
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

#define TICK_ROWS             100
#define TICK_AT_LEAST_MS      60000
#define TICK_BESIDE_OTHERS_MS 5000 /* a server that died has left its jobs to us */

struct held {
    char owner[OWNER_MAX];
    char pool[POOL_MAX], worker[WORKER_MAX], cancelled_by[128];
    int64_t leased_ms, expires_ms;
    int counted, max_attempts;
    bool cancel, retry_failed;
    int64_t backoff_ms, max_ms;
    const struct rows *known; /* all of it, for queue_end */
};

/* The leased job of this attempt, with its document; no row when it is not the current one. */
static const char find_held[] =
    "SELECT " ENDING_COLUMNS ", held.* FROM documents JOIN"
    " (SELECT pool, worker, leased, expires, counted, max_attempts, cancel, cancelled_by, retry_failed,"
    " backoff_ms, max_ms, id AS job FROM jobs WHERE id = $1 AND attempt = $2 AND state = 2) held"
    " ON id = job WHERE state <> 7";

static void held_read(const struct rows *rows, struct held *ret_held)
{
    const int at = ENDING_N_COLUMNS;
    struct held h = {
        .leased_ms = row_int(rows, 0, at + 2),
        .expires_ms = row_int(rows, 0, at + 3),
        .counted = (int)row_int(rows, 0, at + 4),
        .max_attempts = (int)row_int(rows, 0, at + 5),
        .cancel = row_int(rows, 0, at + 6) != 0,
        .retry_failed = row_int(rows, 0, at + 8) != 0,
        .backoff_ms = row_int(rows, 0, at + 9),
        .max_ms = row_int(rows, 0, at + 10),
        .known = rows,
    };
    copy_text(h.owner, sizeof(h.owner), row_text(rows, 0, 1));
    copy_text(h.pool, sizeof(h.pool), row_text(rows, 0, at));
    copy_text(h.worker, sizeof(h.worker), row_text(rows, 0, at + 1));
    copy_text(h.cancelled_by, sizeof(h.cancelled_by), row_text(rows, 0, at + 7));
    *ret_held = h;
}

static enum status end_job(struct tx *tx, const struct finish *f, const struct held *h,
                           enum document_state state, const char *reason, int64_t now_ms, struct error *err)
{
    TRY(SQL(tx->db, NULL, err, "DELETE FROM jobs WHERE id = $1", V(f->job)));
    TRY(lane_update(tx, h->pool, h->owner, -1, err));
    struct ending e = {
        .id = f->job, .owner = h->owner, .state = state, .reason = reason, .result = f->result};
    return queue_end(tx, &e, h->known, now_ms, err);
}

/* Back to the queue: ready at once, or waiting until not_before_ms. */
static enum status requeue(struct tx *tx, const struct finish *f, const struct held *h, int counted,
                           int64_t not_before_ms, int64_t now_ms, struct error *err)
{
    TRY(SQL(
        tx->db, NULL, err,
        "UPDATE jobs SET state = $1, not_before = $2, counted = $3, worker = NULL, request = NULL, leased ="
        " NULL, expires = NULL, ends = NULL WHERE id = $4",
        V(not_before_ms ? 0 : 1), V(not_before_ms), V(counted), V(f->job)));
    if (not_before_ms)
        tx_due(tx, not_before_ms);
    TRY(document_set_state(tx, h->owner, f->job, not_before_ms ? STATE_WAITING : STATE_READY, now_ms, err));
    return lane_update(tx, h->pool, h->owner, -1, err);
}

static enum status end_attempt(struct tx *tx, const struct finish *f, const struct held *h, int64_t now_ms,
                               struct error *err)
{
    const char *reason = f->reason ? f->reason : "";
    TRY(SQL(tx->db, NULL, err,
            "INSERT INTO attempts(job, attempt, worker, started, ended, outcome, reason, pool)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            V(f->job), V(f->attempt), V(h->worker), V(h->leased_ms), V(now_ms), V(f->outcome), V(reason),
            V((const char *)h->pool)));
    for (int i = 0; i < f->n_blobs; i++)
        TRY(blob_refer(tx, f->job, f->blobs[i].name, f->blobs[i].sha256, now_ms, err));

    if (f->outcome == OUTCOME_DONE)
        return end_job(tx, f, h, STATE_FINISHED, reason, now_ms, err);
    if (f->outcome == OUTCOME_CANCELLED || h->cancel) {
        CLEANUP(freep)
        char *by = xasprintf("cancelled by %s", *h->cancelled_by ? h->cancelled_by : h->worker);
        return end_job(tx, f, h, STATE_CANCELLED, by, now_ms, err);
    }
    if (f->outcome == OUTCOME_FAILED && (!h->retry_failed || h->max_attempts <= 1))
        return end_job(tx, f, h, STATE_FAILED, reason, now_ms, err);
    if (f->outcome == OUTCOME_RELEASED)
        return requeue(tx, f, h, h->counted, 0, now_ms, err);
    if (h->counted + 1 >= h->max_attempts) {
        CLEANUP(freep) char *last = xasprintf("%s (given up after %d attempts)", reason, h->counted + 1);
        return end_job(tx, f, h, STATE_FAILED, last, now_ms, err);
    }
    int64_t again_ms = f->at_once ? 0 : now_ms + queue_backoff_ms(h->backoff_ms, h->counted + 1);
    return requeue(tx, f, h, h->counted + 1, again_ms, now_ms, err);
}

/* The attempt is over already: fine, if it ended like this. */
static enum status finish_again(struct tx *tx, const struct finish *f, struct error *err)
{
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err, "SELECT outcome FROM attempts WHERE job = $1 AND attempt = $2", V(f->job),
            V(f->attempt)));
    if (rows.n && row_int(&rows, 0, 0) == f->outcome)
        return OK;
    return error_set(err, CONFLICT, "attempt %d at job '%.64s' is over%s%s", f->attempt, f->job,
                     rows.n ? ": it ended as " : "",
                     rows.n ? outcome_word((enum outcome)row_int(&rows, 0, 0)) : "");
}

enum status attempt_finish(struct tx *tx, const struct finish *f, int64_t now_ms, struct error *err)
{
    struct held held;
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err, find_held, V(f->job), V(f->attempt)));
    if (!rows.n)
        return finish_again(tx, f, err);
    held_read(&rows, &held);
    return end_attempt(tx, f, &held, now_ms, err);
}

void attempt_end_release(struct attempt_end *f)
{
    rows_release(&f->held);
}

/*
 * What is asked of all before any is ended stays true: a leased job waits for
 * nothing, so the end of another one does not touch it.
 */
enum status finish_many(struct tx *tx, struct write_item *const *items, size_t n, struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        struct attempt_end *f = items[i]->args;
        TRY(SQL_SEND(tx->db, &f->held, err, find_held, V(f->finish->job), V(f->finish->attempt)));
    }
    TRY(sql_settle(tx->db, err));
    tx->lanes.collects = true;
    for (size_t i = 0; i < n; i++) {
        const struct attempt_end *f = items[i]->args;
        unsigned long writes = connection_writes(tx->db);
        struct held held;
        if (f->held.n) {
            held_read(&f->held, &held);
            items[i]->status = end_attempt(tx, f->finish, &held, f->now_ms, &items[i]->err);
        } else {
            items[i]->status = finish_again(tx, f->finish, &items[i]->err);
        }
        if (connection_failed(tx->db) || (items[i]->status != OK && connection_writes(tx->db) != writes)) {
            *err = items[i]->err;
            return items[i]->status;
        }
    }
    return lane_changes_write(tx, err);
}

enum status queue_finish(struct store *s, const struct finish *f, int64_t now_ms, struct error *err)
{
    if (f->outcome < OUTCOME_DONE || f->outcome > OUTCOME_CANCELLED)
        return error_set(err, INVALID, "an attempt ends as done, failed, retry, released or cancelled");
    if (f->result && !json_is_object(f->result))
        return error_set(err, INVALID, "the result of an attempt is an object");
    char owner[OWNER_MAX] = "";
    if (f->owner)
        copy_text(owner, sizeof(owner), f->owner);
    else
        TRY(store_owner(s, f->job, owner, err));
    CLEANUP(attempt_end_release) struct attempt_end args = {.finish = f, .now_ms = now_ms};
    return store_write_many(s, *owner ? owner : NULL, f->job, finish_many, &args, err);
}

/* -- time -- */

struct due_job {
    const char *id;
    int attempt;
    int64_t now_ms;
};

static enum status lapse(struct tx *tx, void *opaque, struct error *err)
{
    const struct due_job *d = opaque;
    struct held held;
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err, find_held, V(d->id), V(d->attempt)));
    if (!rows.n)
        return OK; /* ended since it was listed */
    held_read(&rows, &held);
    if (held.expires_ms >= d->now_ms)
        return OK; /* a heartbeat came */
    CLEANUP(freep) char *reason = xasprintf("worker '%s' was lost", held.worker);
    struct finish f = {.job = d->id, .attempt = d->attempt, .outcome = OUTCOME_LAPSED, .reason = reason};
    return end_attempt(tx, &f, &held, d->now_ms, err);
}

/* A worker that is there, but does not end what runs for too long. */
static enum status overrun(struct tx *tx, void *opaque, struct error *err)
{
    const struct due_job *d = opaque;
    struct held held;
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err, find_held, V(d->id), V(d->attempt)));
    if (!rows.n)
        return OK;
    held_read(&rows, &held);
    CLEANUP(freep)
    char *reason = xasprintf("ran longer than its limit of %lld s, and its worker did not end it",
                             (long long)(held.max_ms / 1000));
    struct finish f = {.job = d->id, .attempt = d->attempt, .outcome = OUTCOME_FAILED, .reason = reason};
    return end_attempt(tx, &f, &held, d->now_ms, err);
}

static enum status wake(struct tx *tx, void *opaque, struct error *err)
{
    const struct due_job *d = opaque;
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err,
            "UPDATE jobs SET state = 1, not_before = 0 WHERE id = $1 AND state = 0 AND waits = 0"
            " AND not_before <= $2 RETURNING pool, owner",
            V(d->id), V(d->now_ms)));
    if (!rows.n)
        return OK;
    TRY(document_set_state(tx, row_text(&rows, 0, 1), d->id, STATE_READY, d->now_ms, err));
    return lane_update(tx, row_text(&rows, 0, 0), row_text(&rows, 0, 1), 0, err);
}

enum status queue_tick(struct store *s, int64_t now_ms, int64_t *ret_next_ms, struct error *err)
{
    ROWS lapsed = {0};
    ROWS overran = {0};
    ROWS due = {0};
    ROWS next = {0};
    READER reader = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &lapsed, err,
            "SELECT id, attempt, owner FROM jobs WHERE state = 2 AND expires < $1 ORDER BY expires LIMIT $2",
            V(now_ms), V(TICK_ROWS)));
    TRY(SQL(reader.db, &overran, err,
            "SELECT id, attempt, owner FROM jobs WHERE state = 2 AND ends IS NOT NULL AND ends <= $1"
            " ORDER BY ends LIMIT $2",
            V(now_ms), V(TICK_ROWS)));
    TRY(SQL(reader.db, &due, err,
            "SELECT id, attempt, owner FROM jobs WHERE state = 0 AND waits = 0 AND not_before <= $1"
            " ORDER BY not_before LIMIT $2",
            V(now_ms), V(TICK_ROWS)));
    for (int i = 0; i < lapsed.n; i++)
        TRY(store_write_for(s, row_text(&lapsed, i, 2), lapse,
                            &(struct due_job){row_text(&lapsed, i, 0), (int)row_int(&lapsed, i, 1), now_ms},
                            err));
    for (int i = 0; i < overran.n; i++)
        TRY(store_write_for(s, row_text(&overran, i, 2), overrun,
                            &(struct due_job){row_text(&overran, i, 0), (int)row_int(&overran, i, 1), now_ms},
                            err));
    for (int i = 0; i < due.n; i++)
        TRY(store_write_for(s, row_text(&due, i, 2), wake, &(struct due_job){row_text(&due, i, 0), 0, now_ms},
                            err));
    TRY(SQL(reader.db, &next, err,
            "SELECT (SELECT MIN(expires) + 1 FROM jobs WHERE state = 2),"
            " (SELECT MIN(not_before) FROM jobs WHERE state = 0 AND waits = 0),"
            " (SELECT MIN(ends) FROM jobs WHERE state = 2 AND ends IS NOT NULL)"));
    int64_t next_ms = now_ms + (s->peers ? TICK_BESIDE_OTHERS_MS : TICK_AT_LEAST_MS);
    for (int i = 0; i < next.columns; i++)
        if (!row_is_null(&next, 0, i))
            next_ms = MIN(next_ms, row_int(&next, 0, i));
    *ret_next_ms = next_ms;
    return OK;
}

enum status queue_recover(struct tx *tx, int64_t now_ms, struct error *err)
{
    if (tx->store->driver->locks_rows)
        TRY(SQL(tx->db, NULL, err, "LOCK TABLE owners IN EXCLUSIVE MODE"));
    TRY(SQL(tx->db, NULL, err,
            "UPDATE jobs SET expires = CASE WHEN expires > $1 + lease_ms THEN expires ELSE $1 + lease_ms END"
            " WHERE state = 2",
            V(now_ms)));
    TRY(SQL(tx->db, NULL, err,
            "UPDATE lanes SET running = (SELECT COUNT(*) FROM jobs j WHERE j.pool = lanes.pool"
            " AND j.owner = lanes.owner AND j.state = 2)"));
    return SQL(tx->db, NULL, err,
               "UPDATE lanes SET (head_priority, head_position, head_job) ="
               " (SELECT j.priority, j.position, j.id FROM jobs j"
               " WHERE j.pool = lanes.pool AND j.owner = lanes.owner AND " IS_READY
               " ORDER BY j.priority DESC, j.position, j.id LIMIT 1)");
}
