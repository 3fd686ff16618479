/* cancel.c - asking a job to stop. */
#include <stdlib.h>

#include "store/internal.h"

/* jobs.cancel holds an enum stop_wish: a later wish only replaces a milder one. */
static enum status ask_worker(struct tx *tx, const char *id, const char *who, bool force, struct error *err)
{
    enum stop_wish wish = force ? STOP_AT_ONCE : STOP_SAVING;
    tx_stir(tx, "job", id);
    return SQL(tx->db, NULL, err,
               "UPDATE jobs SET cancel = CASE WHEN cancel < $1 THEN $1 ELSE cancel END,"
               " cancelled_by = COALESCE(cancelled_by, $2) WHERE id = $3 AND state = 2",
               V(wish), V(who), V(id));
}

enum status cancel_within(struct tx *tx, const char *owner, const char *id, const char *who, bool force,
                          int64_t now_ms, enum document_state *ret_state, struct error *err)
{
    CLEANUP(document_release) struct document d = {0};
    TRY(document_find(tx->db, owner, id, &d, err));
    *ret_state = d.state;
    if (d.state == STATE_CANCELLED)
        return OK;
    if (d.state == STATE_PROCESSING)
        return ask_worker(tx, id, who, force, err);
    if (d.state != STATE_WAITING && d.state != STATE_READY)
        return error_set(err, CONFLICT, "'%s' cannot be cancelled: %s", id,
                         d.state == STATE_NONE ? "it has no job" : "its job is over");
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err, "DELETE FROM jobs WHERE id = $1 AND state IN (0, 1) RETURNING pool", V(id)));
    CLEANUP(freep) char *reason = xasprintf("cancelled by %s", who);
    struct ending e = {.id = id, .owner = d.owner, .state = *ret_state = STATE_CANCELLED, .reason = reason};
    TRY(queue_end(tx, &e, NULL, now_ms, err));
    return rows.n ? lane_update(tx, row_text(&rows, 0, 0), d.owner, 0, err) : OK;
}

struct cancelling {
    const char *owner, *id, *who;
    bool force;
    int64_t now_ms;
    enum document_state state;
};

static enum status cancel(struct tx *tx, void *opaque, struct error *err)
{
    struct cancelling *c = opaque;
    return cancel_within(tx, c->owner, c->id, c->who, c->force, c->now_ms, &c->state, err);
}

static enum status cancel_write(struct store *s, struct cancelling *c, enum document_state *ret_state,
                                struct error *err)
{
    TRY(store_write_about(s, c->owner, c->id, cancel, c, err));
    *ret_state = c->state;
    return OK;
}

enum status queue_cancel(struct store *s, const char *owner, const char *id, const char *who, int64_t now_ms,
                         enum document_state *ret_state, struct error *err)
{
    struct cancelling c = {.owner = owner, .id = id, .who = who, .now_ms = now_ms};
    return cancel_write(s, &c, ret_state, err);
}

enum status queue_kill(struct store *s, const char *owner, const char *id, const char *who, int64_t now_ms,
                       enum document_state *ret_state, struct error *err)
{
    struct cancelling c = {.owner = owner, .id = id, .who = who, .force = true, .now_ms = now_ms};
    return cancel_write(s, &c, ret_state, err);
}
