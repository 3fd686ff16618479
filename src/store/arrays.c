#include "store/arrays.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/internal.h"
#include "store/template.h"

#define PIECE     250
#define ANSWER_MS 20000 /* that a request waits for its elements */
#define TICK_MS   1000  /* that the timer spends on an array at a time */

/* -- making -- */

struct creating {
    const char *owner;
    const struct new_array *array;
    const char *template, *patches;
    const struct idempotency *idempotency;
    int64_t now_ms;
    struct document_list made;
};

static void creating_release(struct creating *c)
{
    document_list_release(&c->made);
}

static enum status create(struct tx *tx, void *opaque, struct error *err)
{
    struct creating *c = opaque;
    document_list_release(&c->made);
    int total = (int)json_array_size(c->array->patches);
    c->made.documents = xcalloc(1, sizeof(*c->made.documents));
    TRY(limit_check(tx, c->owner, total, err));
    TRY(document_insert(tx, c->owner, c->array->document, c->now_ms, &c->made.documents[0], err));
    c->made.n = 1;
    TRY(SQL(tx->db, NULL, err,
            "INSERT INTO arrays(id, owner, template, parameters, total) VALUES ($1, $2, $3, $4, $5)",
            V(c->array->document->id), V(c->owner), V(c->template), V(c->patches), V(total)));
    if (!c->idempotency)
        return OK;
    int http_status = 0;
    CLEANUP(freep) char *body = c->idempotency->answer(c->idempotency->context, &c->made, &http_status);
    return idempotency_insert(tx, c->idempotency, http_status, body, c->now_ms, err);
}

struct filling {
    const char *id, *owner, *template;
    const json_t *patches;
    int64_t now_ms;
    bool done;
};

static enum status add_element(struct tx *tx, const struct filling *f, int64_t index, struct error *err)
{
    CLEANUP(instance_release) struct instance i = {0};
    CLEANUP(document_release) struct document made = {0};
    TRY(template_instance(f->template, json_array_get(f->patches, (size_t)index), &i, err));
    json_t *body = json_object_get(i.json, "body");
    json_object_set_new(body, "array-id", json_string(f->id));
    json_object_set_new(body, "array-index", json_integer(index));
    i.job.position = f->now_ms * POSITION_GAP + index;
    TRY(document_insert(tx, f->owner, &i.document, f->now_ms, &made, err));
    return SQL(tx->db, NULL, err, "INSERT INTO members(parent, ord, doc) VALUES ($1, $2, $3)", V(f->id),
               V(index), V((const char *)i.id));
}

/* The next piece; two that fill the same array take turns. */
static enum status fill_piece(struct tx *tx, void *opaque, struct error *err)
{
    struct filling *f = opaque;
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err, "SELECT made, total FROM arrays WHERE id = $1", V(f->id)));
    int64_t made = rows.n ? row_int(&rows, 0, 0) : 0, total = rows.n ? row_int(&rows, 0, 1) : 0;
    int64_t end = MIN(made + PIECE, total);
    f->done = end == total;
    for (int64_t i = made; i < end; i++)
        TRY(add_element(tx, f, i, err));
    return SQL(tx->db, NULL, err, "UPDATE arrays SET made = $1 WHERE id = $2", V(end), V(f->id));
}

/* As many pieces as go into the time; the timer goes on with the rest. */
static enum status fill(struct store *s, struct filling *f, int64_t most_ms, struct error *err)
{
    int64_t until = clock_monotonic_ms() + most_ms;
    for (f->done = false; !f->done && clock_monotonic_ms() < until;)
        TRY(store_write_for(s, f->owner, fill_piece, f, err));
    if (!f->done && s->timer)
        timer_poke(s->timer, clock_now_ms());
    return OK;
}

enum status array_create(struct store *s, const char *owner, const struct new_array *array,
                         const struct idempotency *idempotency, int64_t now_ms, struct document *ret_document,
                         struct error *err)
{
    size_t total = json_array_size(array->patches);
    if (!total || total > ARRAY_MAX)
        return error_set(err, INVALID, "an array has from 1 to %d elements, not %zu", ARRAY_MAX, total);
    CLEANUP(freep) char *template = template_text(array->element);
    CLEANUP(freep) char *patches = json_text(array->patches);
    CLEANUP(creating_release)
    struct creating c = {owner, array, template, patches, idempotency, now_ms, {0}};
    TRY(store_write_for(s, owner, create, &c, err));
    struct filling f = {.id = array->document->id,
                        .owner = owner,
                        .template = template,
                        .patches = array->patches,
                        .now_ms = now_ms};
    struct error later; /* store_tick goes on */
    (void)fill(s, &f, ANSWER_MS, &later);
    *ret_document = c.made.documents[0];
    c.made.n = 0;
    return OK;
}

enum status arrays_tick(struct store *s, int64_t now_ms, struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err,
            "SELECT id, owner, template, parameters FROM arrays WHERE made < total ORDER BY id LIMIT 10"));
    for (int i = 0; i < rows.n; i++) {
        CLEANUP(json_decrefp) json_t *patches = NULL;
        TRY(json_read(row_text(&rows, i, 3), strlen(row_text(&rows, i, 3)), &patches, err));
        struct filling f = {.id = row_text(&rows, i, 0),
                            .owner = row_text(&rows, i, 1),
                            .template = row_text(&rows, i, 2),
                            .patches = patches,
                            .now_ms = now_ms};
        TRY(fill(s, &f, TICK_MS, err));
    }
    return OK;
}

/* -- reading -- */

enum status array_count(struct store *s, const char *id, struct array_counts *ret_counts, struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    struct array_counts counts = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT total, made FROM arrays WHERE id = $1", V(id)));
    if (!rows.n)
        return error_set(err, NOT_FOUND, "there is no array '%.64s'", id);
    counts.total = row_int(&rows, 0, 0);
    counts.made = row_int(&rows, 0, 1);
    TRY(SQL(reader.db, &rows, err,
            "SELECT d.state, COUNT(*) FROM members m JOIN documents d ON d.id = m.doc WHERE m.parent = $1"
            " GROUP BY d.state",
            V(id)));
    for (int i = 0; i < rows.n; i++)
        if (row_int(&rows, i, 0) >= 0 && row_int(&rows, i, 0) <= STATE_DELETED)
            counts.in[row_int(&rows, i, 0)] = row_int(&rows, i, 1);
    *ret_counts = counts;
    return OK;
}

enum status members_list(struct store *s, const char *parent, int64_t from, int limit,
                         struct document_list *ret_list, int64_t *ret_next, struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err,
            "SELECT " DOCUMENT_COLUMNS ", ord FROM members JOIN documents ON id = doc"
            " WHERE parent = $1 AND ord >= $2 AND state <> 7 ORDER BY ord LIMIT $3",
            V(parent), V(from), V(limit + 1)));
    TRY(document_rows(&rows, limit, ret_list, err));
    *ret_next = rows.n > limit ? row_int(&rows, limit, 9) : -1;
    return OK;
}

/* -- ending -- */

struct sweep {
    const char *owner, *id, *who;
    bool force;
    int64_t now_ms;
    int64_t from, next; /* -1: done */
};

static enum status forget_unmade(struct tx *tx, const struct sweep *w, struct error *err)
{
    CLEANUP(document_release) struct document d = {0};
    TRY(document_find(tx->db, w->owner, w->id, &d, err));
    return SQL(tx->db, NULL, err, "UPDATE arrays SET total = made WHERE id = $1 AND made < total", V(w->id));
}

static enum status cancel_piece(struct tx *tx, void *opaque, struct error *err)
{
    struct sweep *w = opaque;
    ROWS rows = {0};
    TRY(forget_unmade(tx, w, err));
    TRY(SQL(tx->db, &rows, err,
            "SELECT doc, ord FROM members JOIN documents ON id = doc WHERE parent = $1 AND ord >= $2"
            " AND state BETWEEN 1 AND 3 ORDER BY ord LIMIT $3",
            V(w->id), V(w->from), V(PIECE)));
    for (int i = 0; i < rows.n; i++) {
        enum document_state state;
        TRY(cancel_within(tx, w->owner, row_text(&rows, i, 0), w->who, w->force, w->now_ms, &state, err));
    }
    w->next = rows.n == PIECE ? row_int(&rows, PIECE - 1, 1) + 1 : -1;
    return OK;
}

static enum status sweep(struct store *s, write_function piece, struct sweep *w, struct error *err)
{
    for (; w->from >= 0; w->from = w->next)
        TRY(store_write_for(s, w->owner, piece, w, err));
    return OK;
}

enum status array_cancel(struct store *s, const char *owner, const char *id, const char *who, bool force,
                         int64_t now_ms, struct error *err)
{
    struct sweep w = {.owner = owner, .id = id, .who = who, .force = force, .now_ms = now_ms};
    return sweep(s, cancel_piece, &w, err);
}

static enum status delete_piece(struct tx *tx, void *opaque, struct error *err)
{
    struct sweep *w = opaque;
    ROWS rows = {0};
    TRY(forget_unmade(tx, w, err));
    TRY(SQL(tx->db, &rows, err,
            "SELECT 1 FROM members JOIN documents ON id = doc WHERE parent = $1 AND state BETWEEN 1 AND 3 "
            "LIMIT 1",
            V(w->id)));
    if (rows.n)
        return error_set(err, CONFLICT, "array '%s' has jobs that are not over: cancel it first", w->id);
    TRY(SQL(tx->db, &rows, err,
            "SELECT doc, ord FROM members JOIN documents ON id = doc WHERE parent = $1 AND state <> 7"
            " ORDER BY ord LIMIT $2",
            V(w->id), V(PIECE)));
    for (int i = 0; i < rows.n; i++)
        TRY(document_delete_within(tx, w->owner, row_text(&rows, i, 0), w->now_ms, err));
    w->next = rows.n == PIECE ? 0 : -1;
    return w->next < 0 ? document_delete_within(tx, w->owner, w->id, w->now_ms, err) : OK;
}

enum status array_delete(struct store *s, const char *owner, const char *id, int64_t now_ms,
                         struct error *err)
{
    struct sweep w = {.owner = owner, .id = id, .now_ms = now_ms};
    return sweep(s, delete_piece, &w, err);
}
