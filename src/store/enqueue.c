/* enqueue.c - a job's way into the queue, with its document. */
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

#define ATTEMPTS_USUAL 6

/* max_running of a new lane. */
#define LANE_LIMIT(owner) "COALESCE((SELECT running FROM owner_limits WHERE owner = " owner "), 1000000)"

/* Why a job that needs this document cannot run. */
static char *failed_reason(const struct document *needed)
{
    const char *log = json_get_string(needed->body, "processing-log", "");
    return xasprintf("%s '%s' %s%s%s", needed->type, needed->id,
                     needed->state == STATE_CANCELLED ? "was cancelled" : "failed", *log ? ": " : "", log);
}

/* What an array is to one that waits for it: WAITING or FINISHED; *ret_reason is set when one of it has
 * failed. */
static enum status resolve_array(struct tx *tx, const char *owner, const char *id,
                                 enum document_state *ret_state, char **ret_reason, struct error *err)
{
    ROWS unmade = {0}, rows = {0};
    TRY(SQL(tx->db, &unmade, err, "SELECT 1 FROM arrays WHERE id = $1 AND made < total", V(id)));
    if (unmade.n)
        return error_set(err, CONFLICT, "array '%s' is still being made: try again", id);
    TRY(SQL(tx->db, &rows, err,
            "SELECT SUM(CASE WHEN state BETWEEN 1 AND 3 THEN 1 ELSE 0 END),"
            " MIN(CASE WHEN state IN (5, 6) THEN id END) FROM members JOIN documents ON id = doc"
            " WHERE parent = $1",
            V(id)));
    *ret_state = row_int(&rows, 0, 0) ? STATE_WAITING : STATE_FINISHED;
    if (row_is_null(&rows, 0, 1))
        return OK;
    CLEANUP(document_release) struct document failed = {0};
    TRY(document_find(tx->db, owner, row_text(&rows, 0, 1), &failed, err));
    *ret_reason = failed_reason(&failed);
    return OK;
}

enum status enqueue_resolve(struct tx *tx, const char *owner, const struct new_job *job,
                            enum document_state *ret_state, char **ret_reason, struct error *err)
{
    enum document_state state = job->not_before_ms ? STATE_WAITING : STATE_READY;
    for (int i = 0; i < job->n_after; i++) {
        CLEANUP(document_release) struct document needed = {0};
        TRY(document_find(tx->db, owner, job->after[i], &needed, err));
        if (needed.state == STATE_FAILED || needed.state == STATE_CANCELLED) {
            *ret_state = STATE_FAILED;
            *ret_reason = failed_reason(&needed);
            return OK;
        }
        if (!strcmp(needed.type, "array")) {
            char *reason = NULL;
            TRY(resolve_array(tx, owner, needed.id, &needed.state, &reason, err));
            if (reason) {
                *ret_state = STATE_FAILED;
                *ret_reason = reason;
                return OK;
            }
        }
        if (needed.state >= STATE_WAITING && needed.state <= STATE_PROCESSING)
            state = STATE_WAITING;
    }
    if (job->behind) {
        CLEANUP(document_release) struct document before = {0};
        TRY(document_find(tx->db, owner, job->behind, &before, err));
        if (before.state >= STATE_WAITING && before.state <= STATE_PROCESSING)
            state = STATE_WAITING;
    }
    *ret_state = state;
    return OK;
}

static enum status insert_dependencies(struct tx *tx, const char *owner, const char *id,
                                       const struct new_job *job, int *ret_waits, struct error *err)
{
    int waits = 0;
    for (int i = 0; i < job->n_after; i++) {
        ROWS rows = {0};
        TRY(SQL(tx->db, &rows, err,
                "INSERT INTO deps(job, needs) SELECT $1, id FROM jobs WHERE id = $2 AND owner = $3"
                " ON CONFLICT DO NOTHING RETURNING needs",
                V(id), V(job->after[i]), V(owner)));
        if (!rows.n) /* over, or an array */
            TRY(SQL(tx->db, &rows, err,
                    "INSERT INTO deps(job, needs) SELECT $1, j.id FROM members m JOIN jobs j ON j.id = m.doc"
                    " WHERE m.parent = $2 AND j.owner = $3 ON CONFLICT DO NOTHING RETURNING needs",
                    V(id), V(job->after[i]), V(owner)));
        waits += rows.n;
    }
    if (job->behind) {
        ROWS rows = {0};
        TRY(SQL(tx->db, &rows, err,
                "INSERT INTO deps(job, needs, whatever) SELECT $1, id, 1 FROM jobs"
                " WHERE id = $2 AND owner = $3 ON CONFLICT DO NOTHING RETURNING needs",
                V(id), V(job->behind), V(owner)));
        waits += rows.n;
    }
    *ret_waits = waits;
    return OK;
}

/* A lane whose head may have got better by this job. */
static enum status lane_add(struct tx *tx, const char *pool, const char *owner, int priority,
                            int64_t position, const char *id, struct error *err)
{
    tx_stir(tx, "pool", pool);
    return SQL(tx->db, NULL, err,
               "INSERT INTO lanes(pool, owner, max_running, head_priority, head_position, head_job)"
               " VALUES ($1, $2, " LANE_LIMIT(
                   "$2") ", $3, $4, $5)"
                         " ON CONFLICT (pool, owner) DO UPDATE SET head_priority = excluded.head_priority,"
                         " head_position = excluded.head_position, head_job = excluded.head_job"
                         " WHERE lanes.head_job IS NULL OR lanes.head_priority < excluded.head_priority"
                         " OR (lanes.head_priority = excluded.head_priority AND (lanes.head_position >"
                         " excluded.head_position OR (lanes.head_position = excluded.head_position"
                         " AND lanes.head_job > excluded.head_job)))",
               V(pool), V(owner), V(priority), V(position), V(id));
}

enum status enqueue_insert(struct tx *tx, const char *owner, const char *id, const struct new_job *job,
                           enum document_state state, int64_t now_ms, struct error *err)
{
    int64_t position = job->position ? job->position : now_ms * POSITION_GAP;
    const char *pool = job->pool ? job->pool : "cpu";
    CLEANUP(freep) char *spec = job->spec ? json_text(job->spec) : xstrdup("{}");
    int waits = 0;
    TRY(insert_dependencies(tx, owner, id, job, &waits, err));
    TRY(SQL(tx->db, NULL, err,
            "INSERT INTO jobs(id, owner, pool, state, priority, waits, not_before, attempt, counted,"
            " max_attempts, kind, spec, position, backoff_ms, retry_failed, max_ms)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, $8, $9, $10, $11, $12, $13, $14)",
            V(id), V(owner), V(pool), V(state == STATE_READY ? 1 : 0), V(job->priority), V(waits),
            V(job->not_before_ms), V(job->max_attempts > 0 ? job->max_attempts : ATTEMPTS_USUAL),
            V(job->kind), V((const char *)spec), V(position),
            V(job->backoff_ms > 0 ? job->backoff_ms : tx->store->backoff_ms), V(job->retry_failed ? 1 : 0),
            V(job->max_ms)));
    if (state == STATE_READY)
        return lane_add(tx, pool, owner, job->priority, position, id, err);
    if (!waits)
        tx_due(tx, job->not_before_ms);
    return SQL(tx->db, NULL, err,
               "INSERT INTO lanes(pool, owner, max_running) VALUES ($1, $2, " LANE_LIMIT(
                   "$2") ")"
                         " ON CONFLICT DO NOTHING",
               V(pool), V(owner));
}
