/*
 * pack.c - what ended jobs told moves from rows into blobs.
 *
 *   pack_later --PACK_AFTER_MS--> written as blobs (to_pack.packed 1) --> rows deleted in pieces
 *
 * A packed log is its bytes.  Packed metrics are little-endian: all records
 * by ord, all again by name and step, a table of the names, a tail:
 *
 *   record: ord i64, step i64, at i64, value f64, name u64 (place in the table)
 *   name:   64 bytes padded with zeros, u64 its number of records
 *   tail:   records u64 (of one order), names u64, "etmetric"
 *
 * Readers look at the rows first and at the blob then: the blob is there
 * before the first row goes.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "store/internal.h"
#include "store/pack.h"

/* A watcher that comes back within this time finds the rows that it missed. */
#define PACK_AFTER_MS (24 * 3600 * 1000LL)
#define LIMIT_MAX     10000
#define PIECE_BYTES   (1 << 20)
#define JOBS_AT_ONCE  20
#define CLAIM_MS      600000

#define NAME_BYTES 64
struct record {
    uint64_t ord, step, at, value, name;
};
struct name_entry {
    char name[NAME_BYTES];
    uint64_t n;
};
struct tail {
    uint64_t n_records, n_names;
    char magic[8];
};
static const char magic[8] = "etmetric";

static const char *log_blob(enum log_stream stream)
{
    return stream == LOG_STDOUT ? "/log.1" : "/log.2";
}

enum status pack_later(struct tx *tx, const char *job, int64_t now_ms, struct error *err)
{
    tx_due(tx, now_ms + PACK_AFTER_MS);
    return SQL(tx->db, NULL, err,
               "INSERT INTO to_pack(job, at, packed) VALUES ($1, $2, 0) ON CONFLICT (job) DO UPDATE"
               " SET at = excluded.at, packed = 0",
               V(job), V(now_ms + PACK_AFTER_MS));
}

/* -- writing -- */

static enum status pack_log(struct store *s, const char *job, enum log_stream stream, int64_t now_ms,
                            struct blob *ret_blob, struct error *err)
{
    CLEANUP(blob_abortp) struct blob_writer *w = NULL;
    int64_t size;
    TRY(log_size(s, job, stream, &size, err));
    TRY(blob_begin(s, &w, err));
    for (int64_t at = 0; at < size;) {
        CLEANUP(freep) char *bytes = NULL;
        size_t n;
        TRY(log_read(s, job, stream, at, PIECE_BYTES, &bytes, &n, err));
        if (!n)
            return error_set(err, FAILED, "the log of job '%s' ends early", job);
        TRY(blob_write(w, bytes, n, err));
        at += (int64_t)n;
    }
    return blob_commit(TAKE(w), NULL, now_ms, ret_blob, err);
}

struct names {
    int n;
    struct name_entry *entries; /* by name, as strcmp orders them */
};

static void names_release(struct names *names)
{
    free(names->entries);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct name_entry *)a)->name, ((const struct name_entry *)b)->name);
}

static enum status read_names(struct store *s, const char *job, struct names *names, struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT DISTINCT name FROM metrics WHERE job = $1", V(job)));
    names->n = rows.n;
    names->entries = xcalloc((size_t)rows.n, sizeof(*names->entries));
    for (int i = 0; i < rows.n; i++)
        copy_text(names->entries[i].name, NAME_BYTES, row_text(&rows, i, 0));
    if (rows.n)
        qsort(names->entries, (size_t)rows.n, sizeof(*names->entries), compare_names);
    return OK;
}

static enum status write_record(struct blob_writer *w, const struct metric_point *p, uint64_t name,
                                struct error *err)
{
    uint64_t value;
    memcpy(&value, &p->value, sizeof(value));
    struct record r = {htole64((uint64_t)p->ord), htole64((uint64_t)p->step), htole64((uint64_t)p->at_ms),
                       htole64(value), htole64(name)};
    return blob_write(w, &r, sizeof(r), err);
}

static enum status write_by_ord(struct store *s, const char *job, struct names *names, struct blob_writer *w,
                                uint64_t *ret_n, struct error *err)
{
    uint64_t n = 0;
    int64_t since = 0;
    for (bool more = true; more;) {
        CLEANUP(metric_list_release) struct metric_list list = {0};
        TRY(metrics_read(s, job, NULL, since, LIMIT_MAX, &list, err));
        for (int i = 0; i < list.n; i++, n++) {
            struct name_entry key = {0};
            copy_text(key.name, NAME_BYTES, list.points[i].name);
            const struct name_entry *entry =
                bsearch(&key, names->entries, (size_t)names->n, sizeof(key), compare_names);
            if (!entry)
                return error_set(err, FAILED, "metric '%s' appeared while its job was packed", key.name);
            TRY(write_record(w, &list.points[i], (uint64_t)(entry - names->entries), err));
        }
        since = list.n ? list.points[list.n - 1].ord : since;
        more = list.more;
    }
    *ret_n = n;
    return OK;
}

static enum status write_name(struct store *s, const char *job, struct names *names, int name,
                              struct blob_writer *w, struct error *err)
{
    struct name_entry *entry = &names->entries[name];
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    int64_t from = INT64_MIN;
    do {
        TRY(SQL(reader.db, &rows, err,
                "SELECT " METRIC_COLUMNS " FROM metrics WHERE job = $1 AND name = $2 AND step >= $3"
                " ORDER BY step LIMIT $4",
                V(job), V((const char *)entry->name), V(from), V(LIMIT_MAX)));
        for (int i = 0; i < rows.n; i++, entry->n++) {
            struct metric_point p;
            metric_read_row(&rows, i, &p);
            TRY(write_record(w, &p, (uint64_t)name, err));
            from = p.step;
        }
    } while (rows.n == LIMIT_MAX && from++ < INT64_MAX);
    return OK;
}

static enum status write_tables(struct blob_writer *w, struct names *names, uint64_t n, struct error *err)
{
    uint64_t again = 0;
    for (int i = 0; i < names->n; i++) {
        again += names->entries[i].n;
        names->entries[i].n = htole64(names->entries[i].n);
        TRY(blob_write(w, &names->entries[i], sizeof(names->entries[i]), err));
    }
    if (again != n)
        return error_set(err, FAILED, "metrics changed while their job was packed");
    struct tail tail = {htole64(n), htole64((uint64_t)names->n), {0}};
    memcpy(tail.magic, magic, sizeof(magic));
    return blob_write(w, &tail, sizeof(tail), err);
}

static enum status pack_metrics(struct store *s, const char *job, int64_t now_ms, int64_t *ret_points,
                                struct blob *ret_blob, struct error *err)
{
    CLEANUP(blob_abortp) struct blob_writer *w = NULL;
    CLEANUP(names_release) struct names names = {0};
    uint64_t n = 0;
    TRY(read_names(s, job, &names, err));
    TRY(blob_begin(s, &w, err));
    TRY(write_by_ord(s, job, &names, w, &n, err));
    for (int i = 0; i < names.n; i++)
        TRY(write_name(s, job, &names, i, w, err));
    TRY(write_tables(w, &names, n, err));
    *ret_points = (int64_t)n;
    return blob_commit(TAKE(w), NULL, now_ms, ret_blob, err);
}

struct packing {
    const char *job;
    struct blob logs[2], metrics;
    int64_t points, now_ms;
    bool claimed, packed;
    struct rows piece;
};

static void packing_release(struct packing *p)
{
    rows_release(&p->piece);
}

static enum status record_packs(struct tx *tx, void *opaque, struct error *err)
{
    const struct packing *p = opaque;
    ROWS rows = {0};
    /* Deleted, or queued again meanwhile: nothing is packed. */
    TRY(SQL(tx->db, &rows, err,
            "SELECT 1 FROM documents d WHERE d.id = $1 AND d.state IN (4, 5, 6)"
            " AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = $1)",
            V(p->job)));
    if (!rows.n)
        return SQL(tx->db, NULL, err, "DELETE FROM to_pack WHERE job = $1", V(p->job));
    for (int i = 0; i < 2; i++)
        if (p->logs[i].size)
            TRY(blob_refer(tx, p->job, log_blob(i + LOG_STDOUT), p->logs[i].sha256, p->now_ms, err));
    if (p->points) {
        TRY(blob_refer(tx, p->job, "/metrics", p->metrics.sha256, p->now_ms, err));
        TRY(SQL(tx->db, NULL, err,
                "INSERT INTO metric_packs(job, hash, points) VALUES ($1, $2, $3) ON CONFLICT (job) DO UPDATE"
                " SET hash = excluded.hash, points = excluded.points",
                V(p->job), V(p->metrics.sha256), V(p->points)));
    }
    return SQL(tx->db, NULL, err, "UPDATE to_pack SET packed = 1 WHERE job = $1", V(p->job));
}

static enum status pack(struct store *s, struct packing *p, struct error *err)
{
    const char *job = p->job;
    int64_t now_ms = p->now_ms;
    for (int i = 0; i < 2; i++)
        TRY(pack_log(s, job, (enum log_stream)(i + LOG_STDOUT), now_ms, &p->logs[i], err));
    TRY(pack_metrics(s, job, now_ms, &p->points, &p->metrics, err));
    (void)fault_point("pack.blobs");
    TRY(store_write_about(s, NULL, job, record_packs, p, err));
    (void)fault_point("pack.recorded");
    return OK;
}

/* Not for other servers any more, unless this one does not end it. */
static enum status claim(struct tx *tx, void *opaque, struct error *err)
{
    struct packing *p = opaque;
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err, "UPDATE to_pack SET at = $1 WHERE job = $2 AND at <= $3 RETURNING packed",
            V(p->now_ms + (tx->store->peers ? CLAIM_MS : 0)), V(p->job), V(p->now_ms)));
    p->claimed = rows.n > 0;
    p->packed = rows.n && row_int(&rows, 0, 0);
    return OK;
}

/*
 * The rows of a packed job; those of `logs`, one an attempt, stay: they say where attempts begin.  Its row in
 * to_pack is the lock: no other server takes a piece of which this one has found nothing left.
 */
static enum status remove_piece(struct tx *tx, void *opaque, struct error *err)
{
    static const char *const pieces[] = {
        "DELETE FROM metrics WHERE job = $1 AND ord IN (SELECT ord FROM metrics WHERE job = $1 LIMIT 2000)"
        " RETURNING 1",
        "DELETE FROM log_chunks WHERE (job, attempt, stream, pos) IN"
        " (SELECT job, attempt, stream, pos FROM log_chunks WHERE job = $1 LIMIT 200) RETURNING 1",
        "DELETE FROM to_pack WHERE job = $1 RETURNING 1",
    };
    struct packing *p = opaque;
#define PACKED "SELECT 1 FROM to_pack WHERE job = $1 AND packed = 1"
    TRY(SQL(tx->db, &p->piece, err, tx->store->driver->locks_rows ? PACKED " FOR UPDATE" : PACKED,
            V(p->job)));
    if (!p->piece.n)
        return OK;
    rows_release(&p->piece);
    for (size_t i = 0; i < ARRAY_SIZE(pieces) && !p->piece.n; i++)
        TRY(SQL(tx->db, &p->piece, err, pieces[i], V(p->job)));
    return OK;
}

enum status pack_tick(struct store *s, int64_t now_ms, struct error *err)
{
    ROWS rows = {0};
    READER reader = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT job FROM to_pack WHERE at <= $1 ORDER BY at LIMIT $2", V(now_ms),
            V(JOBS_AT_ONCE)));
    reader_give(&reader);
    for (int i = 0; i < rows.n; i++) {
        CLEANUP(packing_release) struct packing p = {.job = row_text(&rows, i, 0), .now_ms = now_ms};
        TRY(store_write(s, claim, &p, err));
        if (!p.claimed)
            continue;
        if (!p.packed)
            TRY(pack(s, &p, err));
        do
            TRY(store_write(s, remove_piece, &p, err));
        while (p.piece.n);
    }
    return OK;
}

/* -- reading -- */

static enum status read_at(int fd, void *out, size_t size, int64_t offset, size_t *ret_size,
                           struct error *err)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(fd, (char *)out + done, size - done, offset + (int64_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return blob_failed("read", errno, err);
        if (!n)
            break;
        done += (size_t)n;
    }
    *ret_size = done;
    return OK;
}

enum status pack_read_log(struct store *s, struct connection *db, const char *job, enum log_stream stream,
                          int64_t offset, size_t max_size, struct buf *out, struct error *err)
{
    ROWS rows = {0};
    TRY(SQL(db, &rows, err, "SELECT hash FROM blob_refs WHERE doc = $1 AND name = $2", V(job),
            V(log_blob(stream))));
    if (!rows.n)
        return OK;
    CLEANUP(fd_closep) int fd = -1;
    int64_t size;
    if (blob_open(s, row_text(&rows, 0, 0), &fd, &size, err) != OK)
        return error_set(err, FAILED, "the log of job '%s' is damaged: its blob is not there", job);
    if (offset >= size)
        return OK;
    size_t wanted = (size_t)MIN((int64_t)max_size, size - offset), n;
    CLEANUP(freep) char *bytes = xmalloc(wanted);
    TRY(read_at(fd, bytes, wanted, offset, &n, err));
    buf_append(out, bytes, n);
    return OK;
}

struct metric_pack {
    int fd;
    int64_t n;
    int n_names;
    struct name_entry *names;
};

void metric_pack_free(struct metric_pack *p)
{
    if (!p)
        return;
    fd_closep(&p->fd);
    free(p->names);
    free(p);
}

void metric_pack_freep(struct metric_pack **p)
{
    metric_pack_free(*p);
    *p = NULL;
}

/* Errors: FAILED when the file is not what its tail says. */
static enum status read_tables(struct metric_pack *p, int64_t size, struct error *err)
{
    struct tail tail;
    size_t n = 0;
    if (size >= (int64_t)sizeof(tail))
        TRY(read_at(p->fd, &tail, sizeof(tail), size - (int64_t)sizeof(tail), &n, err));
    if (n != sizeof(tail) || memcmp(tail.magic, magic, sizeof(magic)) != 0)
        return error_set(err, FAILED, "packed metrics are damaged");
    uint64_t records = le64toh(tail.n_records), names = le64toh(tail.n_names), room = (uint64_t)size;
    if (records > room / sizeof(struct record) || names > room / sizeof(struct name_entry) ||
        2 * records * sizeof(struct record) + names * sizeof(struct name_entry) + sizeof(tail) != room)
        return error_set(err, FAILED, "packed metrics are damaged");
    p->n = (int64_t)records;
    p->n_names = (int)names;
    p->names = xcalloc(names, sizeof(*p->names));
    int64_t at = (int64_t)(2 * records * sizeof(struct record));
    TRY(read_at(p->fd, p->names, names * sizeof(*p->names), at, &n, err));
    uint64_t sum = 0;
    for (uint64_t i = 0; i < names; i++) {
        p->names[i].name[NAME_BYTES - 1] = '\0';
        p->names[i].n = le64toh(p->names[i].n);
        sum += p->names[i].n <= records ? p->names[i].n : records + 1;
    }
    return n == names * sizeof(*p->names) && sum == records
               ? OK
               : error_set(err, FAILED, "packed metrics are damaged");
}

enum status metric_pack_open(struct store *s, struct connection *db, const char *job,
                             struct metric_pack **ret_pack, struct error *err)
{
    ROWS rows = {0};
    TRY(SQL(db, &rows, err, "SELECT hash FROM metric_packs WHERE job = $1", V(job)));
    if (!rows.n) {
        *ret_pack = NULL;
        return OK;
    }
    CLEANUP(metric_pack_freep) struct metric_pack *p = xcalloc(1, sizeof(*p));
    p->fd = -1;
    int64_t size;
    if (blob_open(s, row_text(&rows, 0, 0), &p->fd, &size, err) != OK)
        return error_set(err, FAILED, "the metrics of job '%s' are damaged: their blob is not there", job);
    TRY(read_tables(p, size, err));
    *ret_pack = TAKE(p);
    return OK;
}

enum status metric_pack_read(struct metric_pack *p, int64_t first, int n, struct metric_point *ret_points,
                             struct error *err)
{
    CLEANUP(freep) struct record *records = xcalloc((size_t)n, sizeof(*records));
    size_t size;
    TRY(read_at(p->fd, records, (size_t)n * sizeof(*records), first * (int64_t)sizeof(*records), &size, err));
    if (size != (size_t)n * sizeof(*records))
        return error_set(err, FAILED, "packed metrics are damaged");
    for (int i = 0; i < n; i++) {
        uint64_t name = le64toh(records[i].name), value = le64toh(records[i].value);
        if (name >= (uint64_t)p->n_names)
            return error_set(err, FAILED, "packed metrics are damaged");
        struct metric_point point = {
            .step = (int64_t)le64toh(records[i].step),
            .at_ms = (int64_t)le64toh(records[i].at),
            .ord = (int64_t)le64toh(records[i].ord),
        };
        copy_text(point.name, sizeof(point.name), p->names[name].name);
        memcpy(&point.value, &value, sizeof(point.value));
        ret_points[i] = point;
    }
    return OK;
}

/* The first of n records from `first` on whose ord or (by_step) step is at least `least`. */
static enum status find_record(struct metric_pack *p, int64_t first, int64_t n, bool by_step, int64_t least,
                               int64_t *ret_place, struct error *err)
{
    int64_t low = first, high = first + n;
    while (low < high) {
        struct metric_point point;
        int64_t middle = low + (high - low) / 2;
        TRY(metric_pack_read(p, middle, 1, &point, err));
        if ((by_step ? point.step : point.ord) >= least)
            high = middle;
        else
            low = middle + 1;
    }
    *ret_place = low;
    return OK;
}

enum status metric_pack_range(struct metric_pack *p, const char *name, int64_t from, int64_t to,
                              int64_t *ret_first, int64_t *ret_n, struct error *err)
{
    int64_t first = p->n, end;
    int i = 0;
    for (; i < p->n_names && strcmp(p->names[i].name, name) != 0; i++)
        first += (int64_t)p->names[i].n;
    int64_t n = i < p->n_names ? (int64_t)p->names[i].n : 0;
    TRY(find_record(p, first, n, true, from, ret_first, err));
    if (to == INT64_MAX)
        end = first + n;
    else
        TRY(find_record(p, first, n, true, to + 1, &end, err));
    *ret_n = MAX(end - *ret_first, (int64_t)0);
    return OK;
}

enum status pack_read_metrics(struct store *s, struct connection *db, const char *job, const char *name,
                              int64_t since, int limit, bool *ret_packed, struct metric_list *ret_list,
                              struct error *err)
{
    CLEANUP(metric_pack_freep) struct metric_pack *p = NULL;
    TRY(metric_pack_open(s, db, job, &p, err));
    *ret_packed = p != NULL;
    if (!p)
        return OK;
    CLEANUP(metric_list_release) struct metric_list list = {0};
    struct metric_point piece[256];
    int64_t at;
    TRY(find_record(p, 0, p->n, false, MIN(since, INT64_MAX - 1) + 1, &at, err));
    list.points = xcalloc((size_t)MIN((int64_t)limit, p->n - at) + 1, sizeof(*list.points));
    while (at < p->n && !list.more) {
        int n = (int)MIN((int64_t)ARRAY_SIZE(piece), p->n - at);
        TRY(metric_pack_read(p, at, n, piece, err));
        for (int i = 0; i < n && !list.more; i++) {
            if (name && strcmp(piece[i].name, name) != 0)
                continue;
            list.more = list.n == limit;
            if (!list.more)
                list.points[list.n++] = piece[i];
        }
        at += n;
    }
    *ret_list = list;
    list = (struct metric_list){0};
    return OK;
}

enum status pack_latest_metrics(struct store *s, struct connection *db, const char *job, bool *ret_packed,
                                struct metric_list *ret_list, struct error *err)
{
    CLEANUP(metric_pack_freep) struct metric_pack *p = NULL;
    TRY(metric_pack_open(s, db, job, &p, err));
    *ret_packed = p != NULL;
    if (!p)
        return OK;
    CLEANUP(metric_list_release) struct metric_list list = {0};
    list.points = xcalloc((size_t)p->n_names + 1, sizeof(*list.points));
    int64_t end = p->n;
    for (; list.n < p->n_names; list.n++) {
        end += (int64_t)p->names[list.n].n;
        TRY(metric_pack_read(p, end - 1, 1, &list.points[list.n], err));
    }
    *ret_list = list;
    list = (struct metric_list){0};
    return OK;
}
