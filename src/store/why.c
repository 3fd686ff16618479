#include "store/why.h"

#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

#define NO_LIMIT 1000000
#define RECENT   20 /* attempts that tell how long one usually takes */

void why_release(struct why *w)
{
    free(w->needs);
    free(w->last_reason);
    *w = (struct why){0};
}

static enum status read_needs(struct connection *db, const struct job *job, struct why *w, struct error *err)
{
    ROWS rows = {0};
    TRY(SQL(db, &rows, err,
            "SELECT d.id, d.type, d.state, x.whatever FROM deps x JOIN documents d ON d.id = x.needs"
            " WHERE x.job = $1 ORDER BY d.id LIMIT 100",
            V((const char *)job->id)));
    w->needs = xcalloc((size_t)rows.n, sizeof(*w->needs));
    for (; w->n_needs < rows.n; w->n_needs++) {
        struct needed *n = &w->needs[w->n_needs];
        copy_text(n->id, sizeof(n->id), row_text(&rows, w->n_needs, 0));
        copy_text(n->type, sizeof(n->type), row_text(&rows, w->n_needs, 1));
        n->state = (enum document_state)row_int(&rows, w->n_needs, 2);
        n->whatever = row_int(&rows, w->n_needs, 3) != 0;
    }
    return OK;
}

/*
 * A job's turn is how many of its owner's jobs in the pool run before it:
 * those that run now and those ahead in its lane.  Of two jobs the one of the
 * earlier turn goes first, as leasing takes the lane with the least running.
 * Jobs beyond their owner's limit do not go at all for now.
 */
#define TURNS                                                                                                \
    "WITH turns AS (SELECT j.id, j.priority, j.position, l.max_running, l.running - 1 + ROW_NUMBER() OVER"   \
    " (PARTITION BY j.owner ORDER BY j.priority DESC, j.position, j.id) AS turn"                             \
    " FROM lanes l JOIN jobs j ON j.pool = l.pool AND j.owner = l.owner WHERE l.pool = $1 AND " IS_READY     \
    "),"                                                                                                     \
    " me AS (SELECT * FROM turns WHERE id = $2)"

static enum status read_place(struct connection *db, const struct job *job, struct why *w, struct error *err)
{
    ROWS rows = {0};
    TRY(SQL(db, &rows, err,
            TURNS " SELECT (SELECT COUNT(*) FROM turns), (SELECT COUNT(*) FROM turns t CROSS JOIN me WHERE"
                  " t.turn < t.max_running AND (t.turn < me.turn OR (t.turn = me.turn AND"
                  " (t.priority > me.priority OR (t.priority = me.priority AND"
                  " (t.position < me.position OR (t.position = me.position AND t.id < me.id)))))))",
            V((const char *)job->pool), V((const char *)job->id)));
    w->ready = row_int(&rows, 0, 0);
    w->place = row_int(&rows, 0, 1) + 1;
    return OK;
}

static enum status read_lane(struct connection *db, const struct job *job, struct why *w, struct error *err)
{
    ROWS rows = {0};
    TRY(SQL(db, &rows, err, "SELECT running, max_running FROM lanes WHERE pool = $1 AND owner = $2",
            V((const char *)job->pool), V((const char *)job->owner)));
    if (rows.n) {
        w->running = (int)row_int(&rows, 0, 0);
        w->max_running = row_int(&rows, 0, 1) >= NO_LIMIT ? 0 : (int)row_int(&rows, 0, 1);
    }
    TRY(SQL(db, &rows, err,
            "SELECT CAST(AVG(ended - started) AS BIGINT) FROM (SELECT ended, started FROM attempts WHERE "
            "pool = $1 AND outcome = 1"
            " ORDER BY ended DESC LIMIT $2) q",
            V((const char *)job->pool), V(RECENT)));
    w->usual_ms = rows.n ? row_int(&rows, 0, 0) : 0;
    TRY(SQL(db, &rows, err, "SELECT reason FROM attempts WHERE job = $1 ORDER BY attempt DESC LIMIT 1",
            V((const char *)job->id)));
    w->last_reason = xstrdup(rows.n ? row_text(&rows, 0, 0) : "");
    return OK;
}

static bool serves(const struct worker_info *worker, const char *pool)
{
    size_t n = strlen(pool);
    for (const char *p = worker->pools; *p; p += strcspn(p, ","), p += *p == ',')
        if (!strncmp(p, pool, n) && (p[n] == ',' || !p[n]))
            return true;
    return false;
}

static enum status read_workers(struct store *s, const struct job *job, int64_t now_ms, struct why *w,
                                struct error *err)
{
    CLEANUP(worker_info_list_release) struct worker_info_list list = {0};
    TRY(workers_list(s, &list, err));
    for (int i = 0; i < list.n; i++) {
        const struct worker_info *worker = &list.workers[i];
        if (now_ms - worker->seen_ms > WORKER_ALIVE_MS || !serves(worker, job->pool))
            continue;
        w->drained += worker->drained;
        if (worker->drained)
            continue;
        w->workers++;
        w->slots += worker->slots;
        w->busy += worker->running;
    }
    return OK;
}

/* Slots become free one after the other, evenly, each after the usual time. */
static int64_t estimate_start(const struct why *w, int64_t now_ms)
{
    int64_t free_slots = w->slots - w->busy;
    bool limited = w->max_running && w->running >= w->max_running;
    if (!w->place || !w->slots || limited)
        return 0;
    if (w->place <= free_slots)
        return now_ms;
    return w->usual_ms ? now_ms + (w->place - MAX(free_slots, (int64_t)0)) * w->usual_ms / w->slots : 0;
}

enum status queue_why(struct store *s, const struct job *job, int64_t now_ms, struct why *ret_why,
                      struct error *err)
{
    CLEANUP(why_release) struct why w = {0};
    {
        READER reader = {0};
        TRY(reader_take(s, &reader, err));
        TRY(read_needs(reader.db, job, &w, err));
        TRY(read_lane(reader.db, job, &w, err));
        if (job->state == STATE_READY)
            TRY(read_place(reader.db, job, &w, err));
    }
    TRY(read_workers(s, job, now_ms, &w, err));
    w.start_ms = estimate_start(&w, now_ms);
    *ret_why = w;
    w = (struct why){0};
    return OK;
}
