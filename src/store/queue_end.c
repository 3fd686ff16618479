/* queue_end.c - a job's end: its document's last words, and those that waited for it. */
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

#define BACKOFF_DOUBLINGS 10

int64_t queue_backoff_ms(int64_t first_ms, int counted)
{
    return first_ms << MIN(MAX(counted - 1, 0), BACKOFF_DOUBLINGS);
}

void merge_patch(json_t *target, const json_t *patch)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)patch, key, value) {
        if (json_is_null(value)) {
            json_object_del(target, key);
        } else if (!json_is_object(value)) {
            json_object_set_new(target, key, json_deep_copy(value));
        } else {
            if (!json_is_object(json_object_get(target, key)))
                json_object_set_new(target, key, json_object());
            merge_patch(json_object_get(target, key), value);
        }
    }
}

static enum status add_progress(struct tx *tx, struct document *d, struct error *err)
{
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err, "SELECT body FROM progress WHERE job = $1", V(d->id)));
    if (!rows.n)
        return OK;
    json_t *progress = NULL;
    TRY(json_read(row_text(&rows, 0, 0), strlen(row_text(&rows, 0, 0)), &progress, err));
    json_object_set_new(d->body, "progress", progress);
    return OK;
}

static enum status write_end(struct tx *tx, const struct ending *e, int64_t now_ms, char *ret_type,
                             struct error *err)
{
    CLEANUP(document_release) struct document d = {0};
    TRY(document_find(tx->db, e->owner, e->id, &d, err));
    d.state = e->state;
    if (e->result)
        merge_patch(d.body, e->result);
    json_object_set_new(d.body, "processing-log", json_string(e->reason));
    if (e->state == STATE_CANCELLED)
        json_object_set_new(d.body, "cancelled", json_true());
    TRY(add_progress(tx, &d, err));
    copy_text(ret_type, TYPE_MAX, d.type);
    TRY(document_write(tx, &d, now_ms, err));
    return webhooks_tell(tx, &d, now_ms, err);
}

enum status lane_update(struct tx *tx, const char *pool, const char *owner, int change, struct error *err)
{
    ROWS rows = {0};
    TRY(SQL(tx->db, change > 0 ? NULL : &rows, err,
            "UPDATE lanes SET running = running + $1, (head_priority, head_position, head_job) ="
            " (SELECT priority, position, id FROM jobs WHERE pool = $2 AND owner = $3 AND state = 1"
            " ORDER BY priority DESC, position, id LIMIT 1) WHERE pool = $2 AND owner = $3"
            " RETURNING head_job",
            V(change), V(pool), V(owner)));
    if (change <= 0 && rows.n && !row_is_null(&rows, 0, 0))
        tx_stir(tx, "pool", pool);
    return OK;
}

/* The job is over: those that waited for nothing else are ready.  Unless it is done, only those behind it. */
static enum status free_dependents(struct tx *tx, const struct ending *e, int64_t now_ms, struct error *err)
{
    int least = e->state == STATE_FINISHED ? 0 : 1;
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err,
            "UPDATE jobs SET waits = waits - 1,"
            " state = CASE WHEN waits = 1 AND not_before = 0 THEN 1 ELSE state END"
            " WHERE id IN (SELECT job FROM deps WHERE needs = $1 AND whatever >= $2)"
            " RETURNING id, pool, state, waits, not_before",
            V(e->id), V(least)));
    if (!rows.n)
        return OK;
    TRY(SQL(tx->db, NULL, err, "DELETE FROM deps WHERE needs = $1 AND whatever >= $2", V(e->id), V(least)));
    for (int i = 0; i < rows.n; i++) {
        if (row_int(&rows, i, 2) == 1) {
            TRY(document_set_state(tx, e->owner, row_text(&rows, i, 0), STATE_READY, now_ms, err));
            TRY(lane_update(tx, row_text(&rows, i, 1), e->owner, 0, err));
        } else if (row_int(&rows, i, 3) == 0) {
            tx_due(tx, row_int(&rows, i, 4));
        }
    }
    return OK;
}

/* The job is not done and never will be: all that depend on it, at any distance, fail. */
static enum status fail_dependents(struct tx *tx, const struct ending *e, const char *type, int64_t now_ms,
                                   struct error *err)
{
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err,
            "WITH RECURSIVE d(job) AS (SELECT job FROM deps WHERE needs = $1 AND whatever = 0"
            " UNION SELECT deps.job FROM deps JOIN d ON deps.needs = d.job AND deps.whatever = 0)"
            " SELECT job FROM d",
            V(e->id)));
    if (!rows.n)
        return OK;
    CLEANUP(freep)
    char *reason =
        xasprintf("%s '%s' %s%s%s", type, e->id, e->state == STATE_CANCELLED ? "was cancelled" : "failed",
                  *e->reason ? ": " : "", e->reason);
    for (int i = 0; i < rows.n; i++) {
        struct ending dependent = {
            .id = row_text(&rows, i, 0), .owner = e->owner, .state = STATE_FAILED, .reason = reason};
        char ignored[TYPE_MAX];
        TRY(SQL(tx->db, NULL, err, "DELETE FROM jobs WHERE id = $1", V(dependent.id)));
        TRY(SQL(tx->db, NULL, err, "DELETE FROM deps WHERE job = $1", V(dependent.id)));
        TRY(write_end(tx, &dependent, now_ms, ignored, err));
        TRY(free_dependents(tx, &dependent, now_ms, err));
    }
    return OK;
}

enum status queue_end(struct tx *tx, const struct ending *e, int64_t now_ms, struct error *err)
{
    char type[TYPE_MAX];
    TRY(write_end(tx, e, now_ms, type, err));
    TRY(pack_later(tx, e->id, now_ms, err));
    TRY(SQL(tx->db, NULL, err, "DELETE FROM deps WHERE job = $1", V(e->id)));
    TRY(free_dependents(tx, e, now_ms, err));
    return e->state == STATE_FINISHED ? OK : fail_dependents(tx, e, type, now_ms, err);
}
