#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "store/driver.h"
#include "store/sqlite_wal.h"

/* Long enough for another process's checkpoint; our own writer is one thread. */
#define BUSY_MS 10000

static pthread_once_t prepared = PTHREAD_ONCE_INIT;
static const char *vfs;

struct sqlite_link {
    sqlite3 *db;
    bool read_only;
};

static enum status fail(sqlite3 *db, const char *what, struct error *err)
{
    int code = sqlite3_errcode(db) & 0xff;
    enum status status = code == SQLITE_FULL                            ? NO_SPACE
                         : code == SQLITE_BUSY || code == SQLITE_LOCKED ? UNAVAILABLE
                                                                        : FAILED;
    return error_set(err, status, "database: cannot %s: %s", what, sqlite3_errmsg(db));
}

static enum status run_text(struct sqlite_link *link, const char *sql, struct error *err)
{
    if (sqlite3_exec(link->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return fail(link->db, sql, err);
    return OK;
}

static void prepare_library(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* what nobody asks for costs a lock at each allocation */
    vfs = sqlite_wal_make();
}

static void sqlite_disconnect(void *opaque)
{
    struct sqlite_link *link = opaque;
    sqlite3_close(link->db);
    free(link);
}

static void link_closep(struct sqlite_link **link)
{
    if (*link)
        sqlite_disconnect(*link);
}

/*
 * The database holds secrets: for its owner only.  The files beside it take
 * its mode.  One that is there is not opened: closing it again would drop
 * the locks that this process holds on it.
 */
static void make_private(const char *where)
{
    CLEANUP(fd_closep) int fd = open(where, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    (void)fd; /* when it cannot be made, opening it says why */
}

static enum status sqlite_connect(const struct driver *self, const char *where, bool read_only,
                                  void **ret_link, struct error *err)
{
    (void)self;
    pthread_once(&prepared, prepare_library);
    CLEANUP(link_closep) struct sqlite_link *link = xcalloc(1, sizeof(*link));
    link->read_only = read_only;
    if (!read_only)
        make_private(where);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (read_only ? 0 : SQLITE_OPEN_CREATE);
    if (sqlite3_open_v2(where, &link->db, flags, vfs) != SQLITE_OK)
        return error_set(err, FAILED, "cannot open database '%s': %s", where, sqlite3_errmsg(link->db));
    sqlite3_busy_timeout(link->db, BUSY_MS);
    sqlite3_extended_result_codes(link->db, 1);
    TRY(run_text(
        link,
        read_only ? "PRAGMA query_only=1; PRAGMA cache_size=-4000"
                  : "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000;"
                    "PRAGMA journal_size_limit=67108864; PRAGMA cache_size=-64000; PRAGMA temp_store=MEMORY",
        err));
    *ret_link = TAKE(link);
    return OK;
}

static enum status sqlite_prepare(void *opaque, const char *sql, void **ret_statement, struct error *err)
{
    struct sqlite_link *link = opaque;
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v3(link->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK)
        return fail(link->db, sql, err);
    /* "$n" is a name for SQLite, numbered by first appearance. */
    for (int i = 1; i <= sqlite3_bind_parameter_count(statement); i++) {
        const char *name = sqlite3_bind_parameter_name(statement, i);
        if (!name || name[0] != '$' || strtol(name + 1, NULL, 10) != i) {
            sqlite3_finalize(statement);
            return error_set(err, FAILED, "parameter %d is not '$%d' in order in: %s", i, i, sql);
        }
    }
    *ret_statement = statement;
    return OK;
}

static void sqlite_discard(void *link, void *statement)
{
    (void)link;
    sqlite3_finalize(statement);
}

static int bind_one(sqlite3_stmt *statement, int i, const struct value *v)
{
    switch (v->kind) {
    case VALUE_INT:
        return sqlite3_bind_int64(statement, i, v->integer);
    case VALUE_REAL:
        return sqlite3_bind_double(statement, i, v->real);
    case VALUE_TEXT:
        return sqlite3_bind_text64(statement, i, v->bytes, v->size, SQLITE_STATIC, SQLITE_UTF8);
    case VALUE_BYTES:
        return sqlite3_bind_blob64(statement, i, v->size ? v->bytes : "", v->size, SQLITE_STATIC);
    case VALUE_NULL:
        break;
    }
    return sqlite3_bind_null(statement, i);
}

static enum status sqlite_bind(void *opaque, void *statement, const struct value *values, int n,
                               struct error *err)
{
    struct sqlite_link *link = opaque;
    if (sqlite3_bind_parameter_count(statement) != n)
        return error_set(err, FAILED, "%d values given for %d in: %s", n,
                         sqlite3_bind_parameter_count(statement), sqlite3_sql(statement));
    for (int i = 0; i < n; i++)
        if (bind_one(statement, i + 1, &values[i]) != SQLITE_OK)
            return fail(link->db, "bind a value", err);
    return OK;
}

static enum status sqlite_step(void *opaque, void *statement, bool *ret_row, struct error *err)
{
    struct sqlite_link *link = opaque;
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return fail(link->db, sqlite3_sql(statement), err);
    *ret_row = code == SQLITE_ROW;
    return OK;
}

static int sqlite_columns(void *statement)
{
    return sqlite3_column_count(statement);
}

static void sqlite_column(void *statement, int i, struct value *ret_value)
{
    struct value v = {.kind = VALUE_NULL};
    switch (sqlite3_column_type(statement, i)) {
    case SQLITE_INTEGER:
        v.kind = VALUE_INT;
        v.integer = sqlite3_column_int64(statement, i);
        break;
    case SQLITE_FLOAT:
        v.kind = VALUE_REAL;
        v.real = sqlite3_column_double(statement, i);
        break;
    case SQLITE_TEXT:
        v.kind = VALUE_TEXT;
        v.bytes = sqlite3_column_text(statement, i);
        v.size = (size_t)sqlite3_column_bytes(statement, i);
        break;
    case SQLITE_BLOB:
        v.kind = VALUE_BYTES;
        v.bytes = sqlite3_column_blob(statement, i);
        v.size = (size_t)sqlite3_column_bytes(statement, i);
        break;
    }
    *ret_value = v;
}

static void sqlite_reset(void *link, void *statement)
{
    (void)link;
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

static enum status sqlite_begin(void *opaque, struct error *err)
{
    struct sqlite_link *link = opaque;
    return run_text(link, link->read_only ? "BEGIN" : "BEGIN IMMEDIATE", err);
}

static enum status sqlite_commit(void *opaque, struct error *err)
{
    return run_text(opaque, "COMMIT", err);
}

static void sqlite_rollback(void *opaque)
{
    struct sqlite_link *link = opaque;
    if (!sqlite3_get_autocommit(link->db))
        sqlite3_exec(link->db, "ROLLBACK", NULL, NULL, NULL);
}

const struct driver driver_sqlite = {
    .name = "sqlite",
    .connect = sqlite_connect,
    .disconnect = sqlite_disconnect,
    .prepare = sqlite_prepare,
    .discard = sqlite_discard,
    .bind = sqlite_bind,
    .step = sqlite_step,
    .columns = sqlite_columns,
    .column = sqlite_column,
    .reset = sqlite_reset,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
};
