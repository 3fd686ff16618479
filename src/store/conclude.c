/*
 * conclude.c - jobs whose holders do not speak the workers' protocol: what
 * one holds, and ends that come from outside.
 */
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

struct conclusion {
    const char *owner;
    const struct finish *finish;
    int64_t now_ms;
};

static enum status conclude(struct tx *tx, void *opaque, struct error *err)
{
    const struct conclusion *c = opaque;
    struct finish f = *c->finish;
    CLEANUP(document_release) struct document d = {0};
    TRY(document_find(tx->db, c->owner, f.job, &d, err));
    ROWS gone = {0};
    TRY(SQL(tx->db, &gone, err, "DELETE FROM jobs WHERE id = $1 AND state IN (0, 1) RETURNING pool",
            V(f.job)));
    if (!gone.n) {
        ROWS held = {0};
        TRY(SQL(tx->db, &held, err, "SELECT attempt FROM jobs WHERE id = $1", V(f.job)));
        if (!held.n)
            return error_set(err, CONFLICT, "the job of '%.64s' is over", f.job);
        f.attempt = (int)row_int(&held, 0, 0);
        return attempt_finish(tx, &f, c->now_ms, err);
    }
    struct ending e = {
        .id = f.job,
        .owner = d.owner,
        .state = f.outcome == OUTCOME_DONE ? STATE_FINISHED : STATE_FAILED,
        .reason = f.reason ? f.reason : "",
        .result = f.result,
    };
    TRY(queue_end(tx, &e, NULL, c->now_ms, err));
    return lane_update(tx, row_text(&gone, 0, 0), d.owner, 0, err);
}

enum status queue_conclude(struct store *s, const char *owner, const struct finish *f, int64_t now_ms,
                           struct error *err)
{
    if (f->outcome != OUTCOME_DONE && f->outcome != OUTCOME_FAILED)
        return error_set(err, INVALID, "a job is concluded as done or failed");
    return store_write_about(s, owner, f->job, conclude, &(struct conclusion){owner, f, now_ms}, err);
}

enum status queue_held(struct store *s, const char *pool, const char *worker, struct job_list *ret_list,
                       struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err,
            "SELECT " JOB_COLUMNS " FROM jobs WHERE state = 2 AND worker = $1 AND pool = $2 ORDER BY id",
            V(worker), V(pool)));
    CLEANUP(job_list_release)
    struct job_list list = {.jobs = xcalloc((size_t)rows.n + 1, sizeof(*list.jobs))};
    for (; list.n < rows.n; list.n++)
        TRY(job_read_row(&rows, list.n, &list.jobs[list.n], err));
    *ret_list = list;
    list = (struct job_list){0};
    return OK;
}
