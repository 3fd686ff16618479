#include "store/schedules.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cron.h"
#include "store/internal.h"
#include "store/template.h"

/* The body's next time; 0 while it is paused.  Written into the body, too. */
static enum status plan_next(json_t *body, int64_t now_ms, int64_t *ret_next_ms, struct error *err)
{
    struct cron cron;
    char text[CLOCK_TEXT_MAX];
    TRY(cron_read(json_get_string(body, "cron", ""), &cron, err));
    bool paused = json_get_bool(body, "paused", false);
    *ret_next_ms = paused ? 0 : cron_next(&cron, now_ms);
    json_object_set_new(body, "next-run", paused ? json_null() : json_string(clock_text(*ret_next_ms, text)));
    return OK;
}

/* -- making and changing -- */

struct creating {
    const char *owner;
    const struct new_document *schedule;
    const char *template;
    int64_t next_ms, now_ms;
    struct document result;
};

static enum status create(struct tx *tx, void *opaque, struct error *err)
{
    struct creating *c = opaque;
    document_release(&c->result);
    TRY(document_insert(tx, c->owner, c->schedule, c->now_ms, &c->result, err));
    tx_due(tx, c->next_ms ? c->next_ms : INT64_MAX);
    return SQL(tx->db, NULL, err,
               "INSERT INTO schedules(id, owner, template, next) VALUES ($1, $2, $3, NULLIF($4, 0))",
               V(c->schedule->id), V(c->owner), V(c->template), V(c->next_ms));
}

enum status schedule_create(struct store *s, const char *owner, const struct new_document *schedule,
                            const struct new_document *template, int64_t now_ms,
                            struct document *ret_document, struct error *err)
{
    CLEANUP(freep) char *text = template_text(template);
    CLEANUP(json_decrefp) json_t *body = json_deep_copy(schedule->body);
    struct new_document document = *schedule;
    document.body = body;
    struct creating c = {.owner = owner, .schedule = &document, .template = text, .now_ms = now_ms};
    TRY(plan_next(body, now_ms, &c.next_ms, err));
    enum status status = store_write_for(s, owner, create, &c, err);
    if (status == OK)
        *ret_document = c.result;
    else
        document_release(&c.result);
    return status;
}

struct changing {
    const char *owner, *id;
    const json_t *change;
    int64_t now_ms;
    struct document result;
};

static enum status change(struct tx *tx, void *opaque, struct error *err)
{
    static const char *const keys[] = {"cron", "overlap", "paused"};
    struct changing *c = opaque;
    int64_t next_ms;
    document_release(&c->result);
    TRY(document_find(tx->db, c->owner, c->id, &c->result, err));
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (json_object_get(c->change, keys[i]))
            json_object_set_new(c->result.body, keys[i], json_deep_copy(json_object_get(c->change, keys[i])));
    TRY(plan_next(c->result.body, c->now_ms, &next_ms, err));
    TRY(SQL(tx->db, NULL, err, "UPDATE schedules SET next = NULLIF($1, 0) WHERE id = $2", V(next_ms),
            V(c->id)));
    tx_due(tx, next_ms ? next_ms : INT64_MAX);
    return document_write(tx, &c->result, c->now_ms, err);
}

enum status schedule_change(struct store *s, const char *owner, const char *id, const json_t *wanted,
                            int64_t now_ms, struct document *ret_document, struct error *err)
{
    struct changing c = {.owner = owner, .id = id, .change = wanted, .now_ms = now_ms};
    enum status status = store_write_for(s, owner, change, &c, err);
    if (status == OK)
        *ret_document = c.result;
    else
        document_release(&c.result);
    return status;
}

/* -- running -- */

struct firing {
    const char *id;
    int64_t now_ms;
};

struct run {
    struct document *schedule;
    const char *template;
    const char *last; /* the run before; "": none */
    int64_t number;
};

/*
 * The state of the run before; STATE_NONE when there is none any more.
 * ret_go: this run is to be made.
 */
static enum status look_back(struct tx *tx, const struct run *run, bool *ret_go, const char **ret_behind,
                             struct error *err)
{
    CLEANUP(document_release) struct document last = {0};
    enum status status =
        *run->last ? document_find(tx->db, run->schedule->owner, run->last, &last, err) : NOT_FOUND;
    if (status != OK && status != NOT_FOUND)
        return status;
    bool unfinished = last.state >= STATE_WAITING && last.state <= STATE_PROCESSING;
    bool queues = !strcmp(json_get_string(run->schedule->body, "overlap", "skip"), "queue");
    *ret_behind = unfinished ? run->last : NULL;
    *ret_go = !unfinished || (queues && last.state == STATE_PROCESSING);
    return OK;
}

static enum status make_run(struct tx *tx, struct run *run, const char *behind, int64_t now_ms,
                            struct error *err)
{
    CLEANUP(instance_release) struct instance i = {0};
    CLEANUP(document_release) struct document made = {0};
    char text[CLOCK_TEXT_MAX];
    json_t *body = run->schedule->body;
    TRY(limit_check(tx, run->schedule->owner, 1, err));
    TRY(template_instance(run->template, NULL, &i, err));
    json_object_set_new(json_object_get(i.json, "body"), "array-id", json_string(run->schedule->id));
    i.job.behind = behind;
    TRY(document_insert(tx, run->schedule->owner, &i.document, now_ms, &made, err));
    TRY(SQL(tx->db, NULL, err, "INSERT INTO members(parent, ord, doc) VALUES ($1, $2, $3)",
            V((const char *)run->schedule->id), V(run->number), V((const char *)i.id)));
    TRY(SQL(tx->db, NULL, err, "UPDATE schedules SET runs = runs + 1, last = $1 WHERE id = $2",
            V((const char *)i.id), V((const char *)run->schedule->id)));
    json_object_set_new(body, "last-run", json_string(clock_text(now_ms, text)));
    json_object_set_new(body, "last-id", json_string(i.id));
    json_object_set_new(body, "runs", json_integer(run->number + 1));
    json_object_set_new(body, "note", json_string(""));
    return OK;
}

/* A run that cannot be made is noted, and the schedule goes on. */
static enum status try_run(struct tx *tx, struct run *run, int64_t now_ms, struct error *err)
{
    bool go = false;
    const char *behind = NULL;
    TRY(look_back(tx, run, &go, &behind, err));
    if (!go) {
        CLEANUP(freep) char *note = xasprintf("skipped: '%s' has not ended", run->last);
        json_object_set_new(run->schedule->body, "note", json_string(note));
        return OK;
    }
    TRY(SQL(tx->db, NULL, err, "SAVEPOINT run"));
    enum status status = make_run(tx, run, behind, now_ms, err);
    if (status != OK && connection_failed(tx->db))
        return status;
    if (status != OK) {
        json_object_set_new(run->schedule->body, "note", json_string(err->message));
        TRY(SQL(tx->db, NULL, err, "ROLLBACK TO SAVEPOINT run"));
    }
    return SQL(tx->db, NULL, err, "RELEASE SAVEPOINT run");
}

static enum status fire(struct tx *tx, void *opaque, struct error *err)
{
    const struct firing *f = opaque;
    CLEANUP(document_release) struct document schedule = {0};
    ROWS rows = {0};
    int64_t next_ms;
    TRY(SQL(tx->db, &rows, err, "SELECT template, last, runs FROM schedules WHERE id = $1 AND next <= $2",
            V(f->id), V(f->now_ms)));
    if (!rows.n)
        return OK;
    TRY(document_find(tx->db, NULL, f->id, &schedule, err));
    struct run run = {&schedule, row_text(&rows, 0, 0), row_text(&rows, 0, 1), row_int(&rows, 0, 2)};
    TRY(try_run(tx, &run, f->now_ms, err));
    TRY(plan_next(schedule.body, f->now_ms, &next_ms, err));
    TRY(SQL(tx->db, NULL, err, "UPDATE schedules SET next = NULLIF($1, 0) WHERE id = $2", V(next_ms),
            V(f->id)));
    return document_write(tx, &schedule, f->now_ms, err);
}

enum status schedules_tick(struct store *s, int64_t now_ms, int64_t *ret_next_ms, struct error *err)
{
    READER reader = {0};
    ROWS due = {0};
    ROWS next = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &due, err, "SELECT id, owner FROM schedules WHERE next <= $1 ORDER BY next LIMIT 100",
            V(now_ms)));
    for (int i = 0; i < due.n; i++)
        TRY(store_write_for(s, row_text(&due, i, 1), fire, &(struct firing){row_text(&due, i, 0), now_ms},
                            err));
    TRY(SQL(reader.db, &next, err, "SELECT MIN(next) FROM schedules WHERE next IS NOT NULL"));
    *ret_next_ms = row_is_null(&next, 0, 0) ? INT64_MAX : row_int(&next, 0, 0);
    return OK;
}
