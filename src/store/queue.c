/*
 * queue.c - leasing jobs, and what the holder of a lease may do.
 *
 * The picture of the states is in queue.h.  The next job of a pool is found
 * in its lanes (one a pool and owner, with a copy of the lane's best ready
 * job), so that no statement here reads more than a few rows, however many
 * jobs or owners there are.
 */
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

/* Getting its inputs and giving its results do not count: so much more until the server ends an attempt. */
#define OVER_LIMIT_MS 300000

static const char *const outcome_words[] = {
    [OUTCOME_NONE] = "",         [OUTCOME_DONE] = "done",         [OUTCOME_FAILED] = "failed",
    [OUTCOME_RETRY] = "retry",   [OUTCOME_RELEASED] = "released", [OUTCOME_CANCELLED] = "cancelled",
    [OUTCOME_LAPSED] = "lapsed",
};

const char *outcome_word(enum outcome outcome)
{
    return outcome_words[outcome];
}

enum outcome outcome_of(const char *word)
{
    for (int i = OUTCOME_DONE; i <= OUTCOME_CANCELLED; i++)
        if (strcmp(word, outcome_words[i]) == 0)
            return (enum outcome)i;
    return OUTCOME_NONE;
}

void job_release(struct job *j)
{
    free(j->kind);
    free(j->pool);
    free(j->worker);
    json_decref(j->spec);
    *j = (struct job){0};
}

void job_list_release(struct job_list *l)
{
    for (int i = 0; i < l->n; i++)
        job_release(&l->jobs[i]);
    free(l->jobs);
    *l = (struct job_list){0};
}

enum status job_read_row(const struct rows *rows, int i, struct job *ret_job, struct error *err)
{
    struct job j = {
        .attempt = (int)row_int(rows, i, 5),
        .counted = (int)row_int(rows, i, 6),
        .max_attempts = (int)row_int(rows, i, 7),
        .priority = (int)row_int(rows, i, 8),
        .state = (enum document_state)(STATE_WAITING + row_int(rows, i, 9)),
        .cancel = row_int(rows, i, 10) != 0,
        .not_before_ms = row_int(rows, i, 11),
        .leased_ms = row_int(rows, i, 12),
        .expires_ms = row_int(rows, i, 13),
        .position = row_int(rows, i, 15),
    };
    const char *spec = row_text(rows, i, 14);
    if (json_read(spec, strlen(spec), &j.spec, err) != OK)
        return error_set(err, FAILED, "the job of document '%s' is damaged", row_text(rows, i, 0));
    copy_text(j.id, sizeof(j.id), row_text(rows, i, 0));
    copy_text(j.owner, sizeof(j.owner), row_text(rows, i, 1));
    j.kind = xstrdup(row_text(rows, i, 2));
    j.pool = xstrdup(row_text(rows, i, 3));
    j.worker = row_is_null(rows, i, 4) ? NULL : xstrdup(row_text(rows, i, 4));
    *ret_job = j;
    return OK;
}

/* The credential of an attempt: derived, so that a repeated lease tells the same. */
static void lease_token(const struct store *s, const char *job, int attempt, char ret_token[LEASE_TOKEN_MAX])
{
    char text[DOCUMENT_ID_MAX + 32];
    int size = snprintf(text, sizeof(text), "lease %s %d", job, attempt);
    secret_hmac(s->secret, text, (size_t)size, ret_token);
}

static enum status no_lease(const char *job, int attempt, struct error *err)
{
    return error_set(err, CONFLICT, "attempt %d at job '%.64s' is over", attempt, job);
}

/* -- lease -- */

static void forget_taken(struct leasing *l)
{
    for (int i = 0; i < l->n; i++)
        rows_release(&l->taken[i]);
    free(l->taken);
    l->taken = NULL;
    l->n = 0;
}

void leasing_release(struct leasing *l)
{
    forget_taken(l);
    rows_release(&l->worker);
    rows_release(&l->held);
}

static int wanted_by(const struct leasing *l)
{
    return l->pool < l->request->n_pools ? MAX(l->request->slots - l->n, 0) : 0;
}

static enum status read_jobs(const struct store *s, const struct rows *rows, struct job_list *list,
                             struct error *err)
{
    for (int i = 0; i < rows->n; i++) {
        struct job *j = &list->jobs[list->n];
        TRY(job_read_row(rows, i, j, err));
        lease_token(s, j->id, j->attempt, j->token);
        list->n++;
    }
    return OK;
}

enum status leasing_jobs(const struct store *s, const struct leasing *l, struct job_list *ret_list,
                         struct error *err)
{
    CLEANUP(job_list_release) struct job_list list = {.drained = worker_is_drained(&l->worker)};
    list.jobs = xcalloc((size_t)(l->held.n + l->n) + 1, sizeof(*list.jobs));
    TRY(read_jobs(s, &l->held, &list, err));
    for (int i = 0; i < l->n; i++)
        TRY(read_jobs(s, &l->taken[i], &list, err));
    *ret_list = list;
    list = (struct job_list){0};
    return OK;
}

/*
 * The lanes of the pool whose turn is next, with their owners.  Where rows are
 * locked these are locked, or skipped when another transaction has them: TAKE_JOB looks again.
 */
#define NEXT(from)                                                                                           \
    "SELECT l.owner, l.running FROM lanes l" from " WHERE l.pool = $1 AND l.head_job IS NOT NULL AND"        \
    " l.running < l.max_running ORDER BY l.running, l.head_priority DESC, l.head_position, l.head_job"       \
    " LIMIT $2"
#define OWNERS " JOIN owners o ON o.owner = l.owner"
static const char pick_next[] = NEXT("");
static const char pick_skipping[] = NEXT(OWNERS) " FOR UPDATE OF o SKIP LOCKED";
static const char pick_waiting[] = NEXT(OWNERS) " FOR UPDATE OF o";

/* Waits for owners that are locked only where that can be no circle. */
static enum status pick_lanes(struct tx *tx, const char *pool, int wanted, struct rows *lanes,
                              struct error *err)
{
    if (!tx->store->driver->locks_rows)
        return SQL(tx->db, lanes, err, pick_next, V(pool), V(wanted));
    TRY(SQL(tx->db, lanes, err, pick_skipping, V(pool), V(wanted)));
    if (!lanes->n && !tx->locked)
        TRY(SQL(tx->db, lanes, err, pick_waiting, V(pool), V(wanted)));
    tx->locked |= lanes->n > 0;
    return OK;
}

/* The lane's best job, after `before` others that are being taken from it. */
#define TAKE_JOB                                                                                             \
    "UPDATE jobs SET state = 2, attempt = attempt + 1, worker = $1, request = $2, leased = $3,"              \
    " expires = $4, lease_ms = $5, ends = CASE WHEN max_ms > 0 THEN $6 + max_ms END"                         \
    " WHERE id = (SELECT id FROM jobs WHERE pool = $7 AND owner = $8"                                        \
    " AND " IS_READY " AND EXISTS (SELECT 1 FROM lanes WHERE pool = $7 AND owner = $8"                       \
    " AND running + $9 < max_running) ORDER BY priority DESC, position, id LIMIT 1) RETURNING " JOB_COLUMNS  \
    ", ends"

static enum status take_job(struct tx *tx, const struct leasing *l, const char *pool, const char *owner,
                            int before, struct rows *rows, struct error *err)
{
    const struct lease_request *r = l->request;
    return SQL_SEND(tx->db, rows, err, TAKE_JOB, V(r->worker), V(r->request_id), V(l->now_ms),
                    V(l->now_ms + r->lease_ms), V(r->lease_ms), V(l->now_ms + OVER_LIMIT_MS), V(pool),
                    V(owner), V(before));
}

/* Keeps the row; what it says is read outside the transaction. */
static enum status note_taken(struct tx *tx, struct leasing *l, const char *owner, struct rows *taken,
                              struct error *err)
{
    TRY(document_set_state(tx, owner, row_text(taken, 0, 0), STATE_PROCESSING, l->now_ms, err));
    tx_due(tx, l->now_ms + l->request->lease_ms + 1);
    if (!row_is_null(taken, 0, 16))
        tx_due(tx, row_int(taken, 0, 16));
    l->taken = xrealloc(l->taken, (size_t)(l->n + 1) * sizeof(*l->taken));
    l->taken[l->n++] = *taken;
    *taken = (struct rows){0};
    return OK;
}

#define WAVE_MAX ANSWERS_MAX

struct wave {
    int n;
    struct rows jobs[WAVE_MAX];
    struct leasing *to[WAVE_MAX];
};

static void wave_release(struct wave *w)
{
    for (int i = 0; i < w->n; i++)
        rows_release(&w->jobs[i]);
}

/*
 * One job each from the lanes that have the least running; from a single one,
 * as many as keep its turn before the next lane's.
 */
static enum status lease_wave(struct tx *tx, struct leasing *const *asking, size_t n, const char *pool,
                              int wanted, const struct rows *lanes, struct error *err)
{
    int n_lanes = 1, each = 1;
    while (n_lanes < lanes->n && row_int(lanes, n_lanes, 1) == row_int(lanes, 0, 1))
        n_lanes++;
    if (n_lanes == 1)
        each = lanes->n > 1 ? (int)MIN(row_int(lanes, 1, 1) - row_int(lanes, 0, 1), wanted) : wanted;
    int total = MIN(MIN(n_lanes * each, wanted), WAVE_MAX), given = 0;
    CLEANUP(wave_release) struct wave w = {0};
    for (size_t i = 0; i < n; i++) {
        for (int k = wanted_by(asking[i]); k > 0 && w.n < total; k--) {
            int lane = w.n % n_lanes;
            w.jobs[w.n] = (struct rows){0};
            w.to[w.n++] = asking[i];
            TRY(take_job(tx, asking[i], pool, row_text(lanes, lane, 0), n_lanes == 1 ? w.n - 1 : 0,
                         &w.jobs[w.n - 1], err));
        }
    }
    TRY(sql_settle(tx->db, err));
    for (int lane = 0; lane < n_lanes && lane < w.n; lane++, given = 0) {
        for (int i = lane; i < w.n; i += n_lanes)
            given += w.jobs[i].n;
        TRY(lane_update(tx, pool, row_text(lanes, lane, 0), given, err));
        for (int i = lane; i < w.n; i += n_lanes)
            if (w.jobs[i].n)
                TRY(note_taken(tx, w.to[i], row_text(lanes, lane, 0), &w.jobs[i], err));
    }
    return OK;
}

/* Jobs of the pool for all that ask for it, until there are none. */
static enum status lease_pool(struct tx *tx, struct leasing *const *asking, size_t n, const char *pool,
                              struct error *err)
{
    for (;;) {
        int wanted = 0;
        for (size_t i = 0; i < n; i++)
            wanted += wanted_by(asking[i]);
        if (!wanted)
            return OK;
        ROWS lanes = {0};
        TRY(pick_lanes(tx, pool, wanted, &lanes, err));
        if (!lanes.n)
            break;
        TRY(lease_wave(tx, asking, n, pool, wanted, &lanes, err));
    }
    ROWS locked = {0};
    if (tx->locked)
        TRY(SQL(tx->db, &locked, err, pick_next, V(pool), V(1)));
    for (size_t i = 0; i < n; i++)
        asking[i]->busy |= locked.n > 0;
    return OK;
}

/* Each at the pools that it serves in their order, those that are at one pool together. */
static enum status lease_pools(struct tx *tx, struct leasing *const *all, size_t n, struct error *err)
{
    CLEANUP(freep) struct leasing **asking = xcalloc(n, sizeof(*asking));
    for (;;) {
        const char *pool = NULL;
        size_t n_asking = 0;
        for (size_t i = 0; i < n; i++) {
            const char *at = wanted_by(all[i]) ? all[i]->request->pools[all[i]->pool] : NULL;
            if (!at || (pool && strcmp(at, pool) != 0))
                continue;
            pool = at;
            asking[n_asking++] = all[i];
        }
        if (!pool)
            return OK;
        TRY(lease_pool(tx, asking, n_asking, pool, err));
        for (size_t i = 0; i < n_asking; i++)
            asking[i]->pool++;
    }
}

/* What the request got, if it was made before. */
static enum status ask_held(struct tx *tx, struct leasing *l, struct error *err)
{
    return SQL_SEND(tx->db, &l->held, err,
                    "SELECT " JOB_COLUMNS
                    " FROM jobs WHERE request = $1 AND worker = $2 AND state = 2 ORDER BY id",
                    V(l->request->request_id), V(l->request->worker));
}

enum status lease_many(struct tx *tx, struct write_item *const *items, size_t n, struct error *err)
{
    CLEANUP(freep) struct leasing **all = xcalloc(n, sizeof(*all));
    for (size_t i = 0; i < n; i++) {
        struct leasing *l = all[i] = items[i]->args;
        forget_taken(l);
        l->busy = false;
        l->pool = 0;
        TRY(worker_ask(tx, l->request, &l->worker, err));
        TRY(ask_held(tx, l, err));
    }
    TRY(sql_settle(tx->db, err));
    for (size_t i = 0; i < n; i++) {
        struct leasing *l = all[i];
        TRY(worker_note(tx, l->request, &l->worker, l->now_ms, err));
        if (!l->worker.n) /* there was no row to lock before */
            TRY(ask_held(tx, l, err));
    }
    TRY(sql_settle(tx->db, err));
    for (size_t i = 0; i < n; i++) {
        if (worker_is_drained(&all[i]->worker) || all[i]->held.n)
            all[i]->pool = all[i]->request->n_pools;
    }
    return lease_pools(tx, all, n, err);
}

enum status queue_lease(struct store *s, const struct lease_request *request, int64_t now_ms,
                        struct job_list *ret_list, struct error *err)
{
    if (!*request->request_id || !*request->worker || strlen(request->worker) >= WORKER_MAX)
        return error_set(err, INVALID, "a lease needs a request id and a worker's name of at most %d bytes",
                         WORKER_MAX - 1);
    CLEANUP(leasing_release) struct leasing l = {.request = request, .now_ms = now_ms};
    TRY(store_write_many(s, NULL, request->worker, lease_many, &l, err));
    while (!l.n && !l.held.n && l.busy)
        TRY(store_write_many_apart(s, request->worker, lease_many, &l, err));
    return leasing_jobs(s, &l, ret_list, err);
}

enum status queue_check_lease(struct store *s, const char *job, int attempt, const char *token,
                              struct error *err)
{
    char expected[LEASE_TOKEN_MAX];
    lease_token(s, job, attempt, expected);
    if (strlen(job) >= DOCUMENT_ID_MAX || !secret_equal(expected, token))
        return error_set(err, DENIED, "this is not the token of attempt %d at job '%.64s'", attempt, job);
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT 1 FROM jobs WHERE id = $1 AND attempt = $2 AND state = 2", V(job),
            V(attempt)));
    return rows.n ? OK : no_lease(job, attempt, err);
}

enum status lease_check(struct tx *tx, const char *job, int attempt, struct error *err)
{
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err, "SELECT 1 FROM jobs WHERE id = $1 AND attempt = $2 AND state = 2", V(job),
            V(attempt)));
    return rows.n ? OK : no_lease(job, attempt, err);
}

/* -- heartbeat -- */

struct beat {
    const char *job;
    int attempt;
    int64_t now_ms;
    enum stop_wish stop;
};

static enum status beat(struct tx *tx, void *opaque, struct error *err)
{
    struct beat *b = opaque;
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err,
            "UPDATE jobs SET expires = $1 + lease_ms WHERE id = $2 AND attempt = $3 AND state = 2"
            " RETURNING cancel",
            V(b->now_ms), V(b->job), V(b->attempt)));
    if (!rows.n)
        return no_lease(b->job, b->attempt, err);
    b->stop = (enum stop_wish)row_int(&rows, 0, 0);
    return OK;
}

enum status queue_heartbeat(struct store *s, const char *job, int attempt, int64_t now_ms,
                            enum stop_wish *ret_stop, struct error *err)
{
    struct beat b = {.job = job, .attempt = attempt, .now_ms = now_ms};
    TRY(store_write_beat(s, beat, &b, err));
    *ret_stop = b.stop;
    return OK;
}

/* -- reading -- */

enum status queue_job(struct store *s, const char *id, struct job *ret_job, struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT " JOB_COLUMNS " FROM jobs WHERE id = $1", V(id)));
    if (!rows.n)
        return error_set(err, NOT_FOUND, "there is no unfinished job '%.64s'", id);
    return job_read_row(&rows, 0, ret_job, err);
}

enum status queue_leased(struct store *s, const char *owner, int limit, struct job_list *ret_list,
                         struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    CLEANUP(job_list_release) struct job_list list = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err,
            "SELECT " JOB_COLUMNS " FROM jobs WHERE state = 2 AND (CAST($1 AS TEXT) IS NULL OR owner = $1)"
            " ORDER BY id LIMIT $2",
            V(owner), V(limit)));
    list.jobs = xcalloc((size_t)rows.n + 1, sizeof(*list.jobs));
    for (; list.n < rows.n; list.n++)
        TRY(job_read_row(&rows, list.n, &list.jobs[list.n], err));
    *ret_list = list;
    list = (struct job_list){0};
    return OK;
}

void attempt_list_release(struct attempt_list *l)
{
    for (int i = 0; i < l->n; i++)
        free(l->attempts[i].reason);
    free(l->attempts);
    *l = (struct attempt_list){0};
}

enum status queue_attempts(struct store *s, const char *id, struct attempt_list *ret_list, struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err,
            "SELECT attempt, worker, started, ended, outcome, reason FROM attempts WHERE job = $1 UNION ALL"
            " SELECT attempt, worker, leased, 0, 0, '' FROM jobs WHERE id = $1 AND state = 2 ORDER BY 1",
            V(id)));
    struct attempt_list list = {.n = rows.n, .attempts = xcalloc((size_t)rows.n, sizeof(*list.attempts))};
    for (int i = 0; i < rows.n; i++) {
        struct attempt *a = &list.attempts[i];
        a->attempt = (int)row_int(&rows, i, 0);
        copy_text(a->worker, sizeof(a->worker), row_text(&rows, i, 1));
        a->started_ms = row_int(&rows, i, 2);
        a->ended_ms = row_int(&rows, i, 3);
        a->outcome = (enum outcome)row_int(&rows, i, 4);
        a->reason = xstrdup(row_text(&rows, i, 5));
    }
    *ret_list = list;
    return OK;
}

enum status queue_count(struct store *s, struct queue_counts *ret_counts, struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT state, COUNT(*) FROM jobs GROUP BY state"));
    int64_t counts[3] = {0};
    for (int i = 0; i < rows.n; i++)
        if (row_int(&rows, i, 0) >= 0 && row_int(&rows, i, 0) < 3)
            counts[row_int(&rows, i, 0)] = row_int(&rows, i, 1);
    *ret_counts = (struct queue_counts){.waiting = counts[0], .ready = counts[1], .leased = counts[2]};
    return OK;
}
