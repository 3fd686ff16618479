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

/* What there is to do beside writing the document, asked for all at once: mostly nothing. */
struct facts {
    char type[TYPE_MAX];
    bool has_hooks, is_needed, needs, is_worth_packing;
};

static enum status ending_read(const struct ending *e, const struct rows *rows, struct document *d,
                               struct facts *ret_facts, struct error *err)
{
    CLEANUP(document_list_release) struct document_list list = {0};
    if (!rows->n)
        return error_set(err, NOT_FOUND, "there is no document '%.64s'", e->id);
    TRY(document_rows(rows, 1, &list, err));
    *d = list.documents[0];
    list.documents[0].body = NULL;
    *ret_facts = (struct facts){
        .has_hooks = row_int(rows, 0, 10) > 0,
        .is_needed = row_int(rows, 0, 11) > 0,
        .needs = row_int(rows, 0, 12) > 0,
        .is_worth_packing = row_int(rows, 0, 13) != 0,
    };
    copy_text(ret_facts->type, TYPE_MAX, d->type);
    if (row_is_null(rows, 0, 9))
        return OK;
    json_t *progress = NULL;
    TRY(json_read(row_text(rows, 0, 9), strlen(row_text(rows, 0, 9)), &progress, err));
    json_object_set_new(d->body, "progress", progress);
    return OK;
}

static enum status write_end(struct tx *tx, const struct ending *e, const struct rows *known, int64_t now_ms,
                             struct facts *ret_facts, struct error *err)
{
    CLEANUP(document_release) struct document d = {0};
    ROWS rows = {0};
    if (!known)
        TRY(SQL(tx->db, &rows, err, "SELECT " ENDING_COLUMNS " FROM documents WHERE id = $1 AND state <> 7",
                V(e->id)));
    TRY(ending_read(e, known ? known : &rows, &d, ret_facts, err));
    d.state = e->state;
    if (e->result)
        merge_patch(d.body, e->result);
    json_object_set_new(d.body, "processing-log", json_string(e->reason));
    if (e->state == STATE_CANCELLED)
        json_object_set_new(d.body, "cancelled", json_true());
    TRY(document_write_unread(tx, &d, now_ms, err));
    return ret_facts->has_hooks ? webhooks_tell(tx, &d, now_ms, err) : OK;
}

static enum status lane_write(struct tx *tx, const char *pool, const char *owner, int change,
                              struct error *err)
{
    tx_pool(tx, pool);
    return SQL(tx->db, NULL, err,
               "UPDATE lanes SET running = running + $1, (head_priority, head_position, head_job) ="
               " (SELECT priority, position, id FROM jobs WHERE pool = $2 AND owner = $3 AND " IS_READY
               " ORDER BY priority DESC, position, id LIMIT 1) WHERE pool = $2 AND owner = $3",
               V(change), V(pool), V(owner));
}

struct lane_change {
    char pool[POOL_MAX], owner[OWNER_MAX];
    int change;
};

enum status lane_update(struct tx *tx, const char *pool, const char *owner, int change, struct error *err)
{
    struct lane_changes *l = &tx->lanes;
    if (!l->collects)
        return lane_write(tx, pool, owner, change, err);
    struct lane_change *c = l->lanes;
    while (c < l->lanes + l->n && (strcmp(c->owner, owner) != 0 || strcmp(c->pool, pool) != 0))
        c++;
    if (c == l->lanes + l->n) {
        l->lanes = xrealloc(l->lanes, (size_t)++l->n * sizeof(*l->lanes));
        c = &l->lanes[l->n - 1];
        *c = (struct lane_change){0};
        copy_text(c->pool, sizeof(c->pool), pool);
        copy_text(c->owner, sizeof(c->owner), owner);
    }
    c->change += change;
    return OK;
}

enum status lane_changes_write(struct tx *tx, struct error *err)
{
    struct lane_changes *l = &tx->lanes;
    for (int i = 0; i < l->n; i++)
        TRY(lane_write(tx, l->lanes[i].pool, l->lanes[i].owner, l->lanes[i].change, err));
    l->collects = false;
    l->n = 0;
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
        struct facts facts;
        TRY(SQL(tx->db, NULL, err, "DELETE FROM jobs WHERE id = $1", V(dependent.id)));
        TRY(SQL(tx->db, NULL, err, "DELETE FROM deps WHERE job = $1", V(dependent.id)));
        TRY(write_end(tx, &dependent, NULL, now_ms, &facts, err));
        TRY(free_dependents(tx, &dependent, now_ms, err));
    }
    return OK;
}

enum status queue_end(struct tx *tx, const struct ending *e, const struct rows *known, int64_t now_ms,
                      struct error *err)
{
    struct facts facts;
    TRY(write_end(tx, e, known, now_ms, &facts, err));
    if (facts.is_worth_packing)
        TRY(pack_later(tx, e->id, now_ms, err));
    if (facts.needs)
        TRY(SQL(tx->db, NULL, err, "DELETE FROM deps WHERE job = $1", V(e->id)));
    if (!facts.is_needed)
        return OK;
    TRY(free_dependents(tx, e, now_ms, err));
    return e->state == STATE_FINISHED ? OK : fail_dependents(tx, e, facts.type, now_ms, err);
}
