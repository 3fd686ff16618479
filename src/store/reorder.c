/*
 * reorder.c - moving an owner's jobs that have not begun.
 *
 * The order is priority (highest first), position, id.  Positions are a
 * POSITION_GAP apart for each millisecond between the jobs' making, so that
 * there is nearly always room between two; where there is none, all before
 * the place are moved away from it.
 */
#include <string.h>

#include "store/internal.h"

struct place {
    char pool[POOL_MAX];
    int priority;
    int64_t position;
};

/* A job of the owner's that has not begun.  Errors: NOT_FOUND, CONFLICT. */
static enum status find_place(struct tx *tx, const char *owner, const char *id, struct place *ret_place,
                              struct error *err)
{
    CLEANUP(document_release) struct document d = {0};
    ROWS rows = {0};
    TRY(document_find(tx->db, owner, id, &d, err));
    TRY(SQL(tx->db, &rows, err, "SELECT pool, priority, position FROM jobs WHERE id = $1 AND state < 2",
            V(id)));
    if (!rows.n)
        return error_set(err, CONFLICT, "'%s' %s: only what has not begun is moved", id,
                         d.state == STATE_PROCESSING ? "has begun"
                         : d.state == STATE_NONE     ? "has no job"
                                                     : "is over");
    copy_text(ret_place->pool, sizeof(ret_place->pool), row_text(&rows, 0, 0));
    ret_place->priority = (int)row_int(&rows, 0, 1);
    ret_place->position = row_int(&rows, 0, 2);
    return OK;
}

struct moving {
    const char *owner, *id;
    const struct job_move *move;
    int64_t now_ms;
    struct document result;
};

/* The others of the same pool and owner: highest or lowest priority; no row when there are none. */
static enum status place_at_end(struct tx *tx, const struct moving *m, struct place *place, struct error *err)
{
    bool first = m->move->where == MOVE_FIRST;
    ROWS rows = {0};
    if (first)
        TRY(SQL(
            tx->db, &rows, err,
            "SELECT priority, position FROM jobs WHERE owner = $1 AND pool = $2 AND state < 2 AND id <> $3"
            " ORDER BY priority DESC, position, id LIMIT 1",
            V(m->owner), V((const char *)place->pool), V(m->id)));
    else
        TRY(SQL(
            tx->db, &rows, err,
            "SELECT priority, position FROM jobs WHERE owner = $1 AND pool = $2 AND state < 2 AND id <> $3"
            " ORDER BY priority, position DESC, id DESC LIMIT 1",
            V(m->owner), V((const char *)place->pool), V(m->id)));
    if (!rows.n)
        return OK;
    int priority = (int)row_int(&rows, 0, 0);
    int64_t position = row_int(&rows, 0, 1);
    if (first ? place->priority > priority : place->priority < priority)
        return OK; /* its own priority sees to it */
    place->priority = priority;
    place->position = position + (first ? -POSITION_GAP : POSITION_GAP);
    if (!first)
        place->position = MAX(place->position, m->now_ms * POSITION_GAP);
    return OK;
}

/* Makes room: all that precede the place are put a gap apart before it. */
static enum status respace(struct tx *tx, const struct moving *m, const struct place *next, struct error *err)
{
    return SQL(
        tx->db, NULL, err,
        "UPDATE jobs SET position = $1 - $2 * ranked.back FROM (SELECT id AS job, ROW_NUMBER() OVER"
        " (ORDER BY position DESC, id DESC) AS back FROM jobs WHERE owner = $3 AND pool = $4"
        " AND state < 2 AND priority = $5 AND id <> $6 AND (position < $1 OR (position = $1 AND id < $7)))"
        " ranked WHERE jobs.id = ranked.job",
        V(next->position), V(POSITION_GAP), V(m->owner), V((const char *)next->pool), V(next->priority),
        V(m->id), V(m->move->before));
}

static enum status place_before(struct tx *tx, const struct moving *m, struct place *place, struct error *err)
{
    struct place next;
    ROWS rows = {0};
    TRY(find_place(tx, m->owner, m->move->before, &next, err));
    if (strcmp(next.pool, place->pool) != 0)
        return error_set(err, CONFLICT, "'%s' is in pool '%s', but '%s' in '%s'", m->id, place->pool,
                         m->move->before, next.pool);
    if (!strcmp(m->id, m->move->before))
        return OK;
    TRY(SQL(tx->db, &rows, err,
            "SELECT position FROM jobs WHERE owner = $1 AND pool = $2 AND state < 2 AND priority = $3"
            " AND id <> $4 AND (position < $5 OR (position = $5 AND id < $6))"
            " ORDER BY position DESC, id DESC LIMIT 1",
            V(m->owner), V((const char *)next.pool), V(next.priority), V(m->id), V(next.position),
            V(m->move->before)));
    int64_t room = rows.n ? next.position - row_int(&rows, 0, 0) : 2 * POSITION_GAP;
    if (room < 2) {
        TRY(respace(tx, m, &next, err));
        room = POSITION_GAP;
    }
    place->priority = next.priority;
    place->position = next.position - MIN(room / 2, POSITION_GAP);
    return OK;
}

static enum status move(struct tx *tx, void *opaque, struct error *err)
{
    struct moving *m = opaque;
    struct place place;
    document_release(&m->result);
    TRY(find_place(tx, m->owner, m->id, &place, err));
    switch (m->move->where) {
    case MOVE_NOT:
        place.priority = m->move->priority;
        break;
    case MOVE_FIRST:
    case MOVE_LAST:
        TRY(place_at_end(tx, m, &place, err));
        break;
    case MOVE_BEFORE:
        TRY(place_before(tx, m, &place, err));
        break;
    }
    TRY(SQL(tx->db, NULL, err, "UPDATE jobs SET priority = $1, position = $2 WHERE id = $3",
            V(place.priority), V(place.position), V(m->id)));
    TRY(document_find(tx->db, m->owner, m->id, &m->result, err));
    json_object_set_new(m->result.body, "priority", json_integer(place.priority));
    TRY(document_write(tx, &m->result, m->now_ms, err));
    return lane_update(tx, place.pool, m->owner, 0, err);
}

static void moving_release(struct moving *m)
{
    document_release(&m->result);
}

enum status queue_move(struct store *s, const char *owner, const char *id, const struct job_move *job_move,
                       int64_t now_ms, struct document *ret_document, struct error *err)
{
    CLEANUP(moving_release)
    struct moving m = {.owner = owner, .id = id, .move = job_move, .now_ms = now_ms};
    TRY(store_write_about(s, owner, id, move, &m, err));
    *ret_document = m.result;
    m.result.body = NULL;
    return OK;
}
