/*
 * logs.c - what jobs print, in chunks as they came.
 *
 * A chunk's pos counts within its attempt; logs.base says where the attempt
 * begins in the bytes of all attempts, and is final: only the current
 * attempt appends.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "store/internal.h"

struct appending {
    const char *job;
    int attempt;
    enum log_stream stream;
    int64_t offset;
    const char *bytes;
    size_t size;
    int64_t length;
};

/* The attempt's stored length, and its row when there is none yet. */
static enum status stored_length(struct tx *tx, const struct appending *a, int64_t *ret_length,
                                 struct error *err)
{
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err, "SELECT length FROM logs WHERE job = $1 AND stream = $2 AND attempt = $3",
            V(a->job), V(a->stream), V(a->attempt)));
    *ret_length = rows.n ? row_int(&rows, 0, 0) : 0;
    if (rows.n)
        return OK;
    return SQL(
        tx->db, NULL, err,
        "INSERT INTO logs(job, stream, attempt, base, length) SELECT $1, CAST($2 AS INTEGER),"
        " CAST($3 AS INTEGER), COALESCE(MAX(base + length), 0), 0 FROM logs WHERE job = $1 AND stream = $2",
        V(a->job), V(a->stream), V(a->attempt));
}

static enum status append(struct tx *tx, void *opaque, struct error *err)
{
    struct appending *a = opaque;
    TRY(lease_check(tx, a->job, a->attempt, err));
    TRY(stored_length(tx, a, &a->length, err));
    if (a->offset > a->length || a->length - a->offset >= (int64_t)a->size)
        return OK;
    size_t known = (size_t)(a->length - a->offset), fresh = a->size - known;
    TRY(SQL(tx->db, NULL, err,
            "INSERT INTO log_chunks(job, attempt, stream, pos, bytes) VALUES ($1, $2, $3, $4, $5)", V(a->job),
            V(a->attempt), V(a->stream), V(a->length), value_bytes(a->bytes + known, fresh)));
    a->length += (int64_t)fresh;
    tx_stir(tx, "job", a->job);
    return SQL(tx->db, NULL, err,
               "UPDATE logs SET length = $1 WHERE job = $2 AND stream = $3 AND attempt = $4", V(a->length),
               V(a->job), V(a->stream), V(a->attempt));
}

enum status log_append(struct store *s, const char *job, int attempt, enum log_stream stream, int64_t offset,
                       const void *bytes, size_t size, int64_t *ret_length, struct error *err)
{
    if (offset < 0)
        return error_set(err, INVALID, "a log's offset is not negative");
    if (size > LOG_CHUNK_MAX)
        return error_set(err, TOO_LARGE, "%zu bytes of log at once; at most %d", size, LOG_CHUNK_MAX);
    struct appending a = {job, attempt, stream, offset, bytes, size, 0};
    TRY(store_write_about(s, NULL, job, append, &a, err));
    *ret_length = a.length;
    return OK;
}

enum status log_size(struct store *s, const char *job, enum log_stream stream, int64_t *ret_size,
                     struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err,
            "SELECT COALESCE(MAX(base + length), 0) FROM logs WHERE job = $1 AND stream = $2", V(job),
            V(stream)));
    *ret_size = row_int(&rows, 0, 0);
    return OK;
}

/* Appends what one chunk has at `offset` of all bytes; none when there is no further. */
static enum status read_chunk(const struct reader *reader, const char *job, enum log_stream stream,
                              int64_t offset, size_t max_size, struct buf *out, struct error *err)
{
    struct connection *db = reader->db;
    ROWS attempts = {0};
    ROWS chunks = {0};
    TRY(SQL(db, &attempts, err,
            "SELECT attempt, base FROM logs WHERE job = $1 AND stream = $2 AND base + length > $3"
            " ORDER BY attempt LIMIT 1",
            V(job), V(stream), V(offset)));
    if (!attempts.n)
        return OK;
    int64_t pos = offset - row_int(&attempts, 0, 1);
    TRY(SQL(db, &chunks, err,
            "SELECT pos, bytes FROM log_chunks WHERE job = $1 AND attempt = $2 AND stream = $3 AND pos <= $4"
            " ORDER BY pos DESC LIMIT 1",
            V(job), V(row_int(&attempts, 0, 0)), V(stream), V(pos)));
    size_t size = 0, skip = 0;
    const char *bytes = chunks.n ? row_bytes(&chunks, 0, 1, &size) : NULL;
    if (chunks.n)
        skip = (size_t)(pos - row_int(&chunks, 0, 0));
    if (skip >= size)
        return pack_read_log(reader->store, db, job, stream, offset, max_size, out, err);
    buf_append(out, bytes + skip, MIN(size - skip, max_size));
    return OK;
}

enum status log_read(struct store *s, const char *job, enum log_stream stream, int64_t offset,
                     size_t max_size, char **ret_bytes, size_t *ret_size, struct error *err)
{
    if (offset < 0)
        return error_set(err, INVALID, "a log's offset is not negative");
    READER reader = {0};
    TRY(reader_take(s, &reader, err));
    CLEANUP(buf_release) struct buf out;
    buf_init(&out, max_size);
    size_t before;
    do {
        before = out.size;
        TRY(read_chunk(&reader, job, stream, offset + (int64_t)before, max_size - before, &out, err));
    } while (out.size > before && out.size < max_size);
    *ret_bytes = buf_take(&out, ret_size);
    return OK;
}

enum status log_read_on(struct store *s, const char *job, enum log_stream stream, struct log_place *place,
                        size_t max_size, char **ret_bytes, size_t *ret_size, bool *ret_final,
                        struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err,
            "SELECT attempt, base, length FROM logs WHERE job = $1 AND stream = $2 AND attempt >= $3"
            " ORDER BY attempt",
            V(job), V(stream), V(place->attempt)));
    struct log_place from = *place;
    int at = 0;
    while (at < rows.n && (row_int(&rows, at, 0) != from.attempt || from.byte >= row_int(&rows, at, 2))) {
        if (row_int(&rows, at, 0) > from.attempt) {
            from = (struct log_place){(int)row_int(&rows, at, 0), 0};
            if (row_int(&rows, at, 2) > 0)
                break;
        }
        at++;
    }
    CLEANUP(buf_release) struct buf out;
    buf_init(&out, max_size);
    if (at < rows.n) {
        int64_t left = row_int(&rows, at, 2) - from.byte;
        size_t wanted = (size_t)MIN(left, (int64_t)max_size), before;
        do {
            before = out.size;
            TRY(read_chunk(&reader, job, stream, row_int(&rows, at, 1) + from.byte + (int64_t)before,
                           wanted - before, &out, err));
        } while (out.size > before && out.size < wanted);
    }
    from.byte += (int64_t)out.size;
    *place = from;
    if (ret_final)
        *ret_final = at + 1 < rows.n;
    *ret_bytes = buf_take(&out, ret_size);
    return OK;
}
