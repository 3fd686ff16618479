/*
 * reorder.c - moving an owner's jobs that have not begun.
 *
 * The order is priority (highest first), position, id.  Positions are a
 * POSITION_GAP apart for each millisecond between the jobs' making, so that
 * there is nearly always room between two; where there is none, all before
 * the place are moved away from it.  What is moved is one job, or those of an
 * array that have not begun, in their order.
 */
#include <string.h>

#include "store/internal.h"

#define PIECE 250 /* documents told of their new priority at a time */

/* Is `id` (a column) moved with the document `moved` (a parameter)?  An array's id is no job's. */
#define IS_MOVED(id, moved)                                                                                  \
    id " IN (SELECT " moved " UNION ALL SELECT doc FROM members WHERE parent = " moved ")"

struct place {
    char id[ID_MAX];
    char pool[POOL_MAX];
    int priority;
    int64_t position;
};

struct moving {
    const char *owner, *id;
    const struct job_move *move;
    int64_t now_ms;
    bool is_array;
    int64_t n;          /* jobs to move */
    int64_t step;       /* between their positions */
    int64_t from, next; /* element to be told of its priority; -1: none */
    struct document result;
};

/*
 * Where a job of the owner's that has not begun stands; of an array, the first of those.
 * Errors: NOT_FOUND, CONFLICT.
 */
static enum status find_place(struct tx *tx, const char *owner, const char *id, struct place *ret_place,
                              int64_t *ret_n, bool *ret_is_array, struct error *err)
{
    CLEANUP(document_release) struct document d = {0};
    ROWS unmade = {0}, rows = {0};
    TRY(document_find(tx->db, owner, id, &d, err));
    *ret_is_array = !strcmp(d.type, "array");
    TRY(SQL(tx->db, &unmade, err, "SELECT 1 FROM arrays WHERE id = $1 AND made < total", V(id)));
    if (unmade.n)
        return error_set(err, CONFLICT, "array '%s' is still being made: try again", id);
    TRY(SQL(tx->db, &rows, err,
            "SELECT id, pool, priority, position, COUNT(*) OVER () FROM jobs WHERE " IS_MOVED(
                "id", "$1") " AND " IS_QUEUED " ORDER BY priority DESC, position, id LIMIT 1",
            V(id)));
    if (!rows.n && *ret_is_array)
        return error_set(err, CONFLICT,
                         "all of array '%s' has begun or is over: only what has not begun is moved", id);
    if (!rows.n)
        return error_set(err, CONFLICT, "'%s' %s: only what has not begun is moved", id,
                         d.state == STATE_PROCESSING ? "has begun"
                         : d.state == STATE_NONE     ? "has no job"
                                                     : "is over");
    copy_text(ret_place->id, sizeof(ret_place->id), row_text(&rows, 0, 0));
    copy_text(ret_place->pool, sizeof(ret_place->pool), row_text(&rows, 0, 1));
    ret_place->priority = (int)row_int(&rows, 0, 2);
    ret_place->position = row_int(&rows, 0, 3);
    *ret_n = row_int(&rows, 0, 4);
    return OK;
}

/* Priority and position of what stands at one end of the rest; no row when there is nothing else. */
static enum status find_end(struct tx *tx, const struct moving *m, const char *pool, struct rows *rows,
                            struct error *err)
{
    if (m->move->where == MOVE_FIRST)
        return SQL(tx->db, rows, err,
                   "SELECT priority, position FROM jobs WHERE owner = $1 AND pool = $2 AND " IS_QUEUED " AND"
                   " NOT " IS_MOVED("id", "$3") " ORDER BY priority DESC, position, id LIMIT 1",
                   V(m->owner), V(pool), V(m->id));
    return SQL(tx->db, rows, err,
               "SELECT priority, position FROM jobs WHERE owner = $1 AND pool = $2 AND " IS_QUEUED " AND"
               " NOT " IS_MOVED("id", "$3") " ORDER BY priority, position DESC, id DESC LIMIT 1",
               V(m->owner), V(pool), V(m->id));
}

/* At an array's end its jobs share one gap: those made a moment later stay behind them. */
static enum status place_at_end(struct tx *tx, struct moving *m, struct place *place, struct error *err)
{
    bool first = m->move->where == MOVE_FIRST;
    ROWS rows = {0};
    m->step = POSITION_GAP / m->n;
    TRY(find_end(tx, m, place->pool, &rows, err));
    if (!rows.n)
        return OK;
    int priority = (int)row_int(&rows, 0, 0);
    int64_t position = row_int(&rows, 0, 1);
    place->priority = first ? MAX(place->priority, priority) : MIN(place->priority, priority);
    place->position = position + (first ? -POSITION_GAP : POSITION_GAP);
    if (!first)
        place->position = MAX(place->position, m->now_ms * POSITION_GAP);
    return OK;
}

/* Makes room: all that precede the place are put a gap apart before it, and the gaps of what is moved. */
static enum status respace(struct tx *tx, const struct moving *m, const struct place *next, struct error *err)
{
    return SQL(
        tx->db, NULL, err,
        "UPDATE jobs SET position = $1 - $2 * (ranked.back + $3) FROM (SELECT id AS job, ROW_NUMBER() OVER"
        " (ORDER BY position DESC, id DESC) AS back FROM jobs WHERE owner = $4 AND pool = $5"
        " AND " IS_QUEUED " AND priority = $6 AND NOT " IS_MOVED(
            "id", "$7") " AND (position < $1 OR (position = $1 AND id < $8)))"
                        " ranked WHERE jobs.id = ranked.job",
        V(next->position), V(POSITION_GAP), V(m->n - 1), V(m->owner), V((const char *)next->pool),
        V(next->priority), V(m->id), V((const char *)next->id));
}

static enum status is_moved(struct tx *tx, const struct moving *m, const char *id, bool *ret_is,
                            struct error *err)
{
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err, "SELECT 1 FROM jobs WHERE id = $1 AND " IS_MOVED("id", "$2"), V(id),
            V(m->id)));
    *ret_is = rows.n > 0;
    return OK;
}

/* ret_stays: it is before itself. */
static enum status place_before(struct tx *tx, struct moving *m, struct place *place, bool *ret_stays,
                                struct error *err)
{
    struct place next;
    int64_t n;
    bool is_array;
    ROWS rows = {0};
    TRY(find_place(tx, m->owner, m->move->before, &next, &n, &is_array, err));
    if (strcmp(next.pool, place->pool) != 0)
        return error_set(err, CONFLICT, "'%s' is in pool '%s', but '%s' in '%s'", m->id, place->pool,
                         m->move->before, next.pool);
    TRY(is_moved(tx, m, next.id, ret_stays, err));
    if (*ret_stays)
        return OK;
    TRY(SQL(tx->db, &rows, err,
            "SELECT position FROM jobs WHERE owner = $1 AND pool = $2 AND " IS_QUEUED " AND priority = $3"
            " AND NOT " IS_MOVED("id", "$4") " AND (position < $5 OR (position = $5 AND id < $6))"
                                             " ORDER BY position DESC, id DESC LIMIT 1",
            V(m->owner), V((const char *)next.pool), V(next.priority), V(m->id), V(next.position),
            V((const char *)next.id)));
    int64_t room = rows.n ? next.position - row_int(&rows, 0, 0) : (m->n + 1) * POSITION_GAP;
    if (room <= m->n) {
        TRY(respace(tx, m, &next, err));
        room = m->n * POSITION_GAP;
    }
    m->step = MIN(room / (m->n + 1), POSITION_GAP);
    place->priority = next.priority;
    place->position = next.position - m->n * m->step;
    return OK;
}

static enum status put(struct tx *tx, const struct moving *m, const struct place *place, struct error *err)
{
    if (m->move->where == MOVE_NOT)
        return SQL(tx->db, NULL, err,
                   "UPDATE jobs SET priority = $1 WHERE " IS_MOVED("id", "$2") " AND " IS_QUEUED,
                   V(place->priority), V(m->id));
    return SQL(
        tx->db, NULL, err,
        "UPDATE jobs SET priority = $1, position = $2 + $3 * (ranked.place - 1) FROM (SELECT id AS job,"
        " ROW_NUMBER() OVER (ORDER BY priority DESC, position, id) AS place FROM jobs WHERE " IS_MOVED(
            "id", "$4") " AND " IS_QUEUED ") ranked WHERE jobs.id = ranked.job",
        V(place->priority), V(place->position), V(m->step), V(m->id));
}

static enum status tell(struct tx *tx, const char *owner, const char *id, int priority, int64_t now_ms,
                        struct document *ret_document, struct error *err)
{
    TRY(document_find(tx->db, owner, id, ret_document, err));
    json_object_set_new(ret_document->body, "priority", json_integer(priority));
    return document_write(tx, ret_document, now_ms, err);
}

static enum status move(struct tx *tx, void *opaque, struct error *err)
{
    struct moving *m = opaque;
    struct place place;
    bool stays = false;
    document_release(&m->result);
    TRY(find_place(tx, m->owner, m->id, &place, &m->n, &m->is_array, err));
    switch (m->move->where) {
    case MOVE_NOT:
        place.priority = m->move->priority;
        break;
    case MOVE_FIRST:
    case MOVE_LAST:
        TRY(place_at_end(tx, m, &place, err));
        break;
    case MOVE_BEFORE:
        TRY(place_before(tx, m, &place, &stays, err));
        break;
    }
    if (!stays)
        TRY(put(tx, m, &place, err));
    if (m->is_array)
        TRY(document_find(tx->db, m->owner, m->id, &m->result, err));
    else
        TRY(tell(tx, m->owner, m->id, place.priority, m->now_ms, &m->result, err));
    return lane_update(tx, place.pool, m->owner, 0, err);
}

/* Of an array's elements that have not begun, the next whose documents do not say their priority. */
static enum status tell_piece(struct tx *tx, void *opaque, struct error *err)
{
    struct moving *m = opaque;
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err,
            "SELECT doc, ord, priority FROM members JOIN jobs ON id = doc WHERE parent = $1 AND ord >= $2"
            " AND " IS_QUEUED " ORDER BY ord LIMIT $3",
            V(m->id), V(m->from), V(PIECE)));
    for (int i = 0; i < rows.n; i++) {
        CLEANUP(document_release) struct document d = {0};
        TRY(document_find(tx->db, m->owner, row_text(&rows, i, 0), &d, err));
        if (json_get_int(d.body, "priority", 0) == row_int(&rows, i, 2))
            continue;
        json_object_set_new(d.body, "priority", json_integer(row_int(&rows, i, 2)));
        TRY(document_write_unread(tx, &d, m->now_ms, err));
    }
    m->next = rows.n == PIECE ? row_int(&rows, PIECE - 1, 1) + 1 : -1;
    return OK;
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
    for (m.from = m.is_array ? 0 : -1; m.from >= 0; m.from = m.next)
        TRY(store_write_for(s, owner, tell_piece, &m, err));
    *ret_document = m.result;
    m.result.body = NULL;
    return OK;
}
