/*
 * trash.c - a deleted document's metrics and log, which may be millions of rows, go in pieces between other
 * writes.
 */
#include <string.h>

#include "store/internal.h"

/* Each deletes a piece of job $1; the last ones are short.  Pieces are small enough not to hold up a batch.
 */
static const char *const pieces[] = {
    "DELETE FROM metrics WHERE job = $1 AND ord IN (SELECT ord FROM metrics WHERE job = $1 LIMIT 2000)"
    " RETURNING 1",
    "DELETE FROM log_chunks WHERE (job, attempt, stream, pos) IN"
    " (SELECT job, attempt, stream, pos FROM log_chunks WHERE job = $1 LIMIT 200) RETURNING 1",
    "DELETE FROM logs WHERE job = $1 RETURNING 1",
    "DELETE FROM attempts WHERE job = $1 RETURNING 1",
    "DELETE FROM to_pack WHERE job = $1 RETURNING 1",
    "DELETE FROM metric_packs WHERE job = $1 RETURNING 1",
    "DELETE FROM trash WHERE job = $1 RETURNING 1",
};

enum status trash_add(struct tx *tx, const char *job, int64_t now_ms, struct error *err)
{
    tx_due(tx, now_ms);
    return SQL(tx->db, NULL, err, "INSERT INTO trash(job) VALUES ($1) ON CONFLICT DO NOTHING", V(job));
}

/* The first piece that has rows. */
static enum status remove_piece(struct tx *tx, void *opaque, struct error *err)
{
    const char *job = opaque;
    ROWS rows = {0};
    if (tx->store->driver->locks_rows) {
        TRY(SQL(tx->db, &rows, err, "SELECT job FROM trash WHERE job = $1 FOR UPDATE", V(job)));
        if (!rows.n)
            return OK; /* another server was faster */
        rows_release(&rows);
    }
    for (size_t i = 0; i < ARRAY_SIZE(pieces) && !rows.n; i++)
        TRY(SQL(tx->db, &rows, err, pieces[i], V(job)));
    return OK;
}

static enum status first_job(struct store *s, char ret_job[DOCUMENT_ID_MAX], struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT job FROM trash LIMIT 1"));
    copy_text(ret_job, DOCUMENT_ID_MAX, rows.n ? row_text(&rows, 0, 0) : "");
    return OK;
}

enum status trash_empty(struct store *s, struct error *err)
{
    for (;;) {
        char job[DOCUMENT_ID_MAX];
        TRY(first_job(s, job, err));
        if (!*job)
            return OK;
        TRY(store_write(s, remove_piece, job, err));
    }
}
