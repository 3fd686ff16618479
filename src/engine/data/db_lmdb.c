#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/file.h"
#include "engine/data/db_driver.h"
#include "engine/data/lmdb_file.h"

static enum status lmdb_error(const char *path, const char *what, int code, struct error *err)
{
    enum status status = code > 0 ? status_from_errno(code) : INVALID;
    return error_set(err, status, "cannot %s lmdb '%s': %s", what, path, mdb_strerror(code));
}

static int open_for_reading(const char *path, unsigned flags, MDB_env **ret_env)
{
    MDB_env *env;
    int code = mdb_env_create(&env);
    if (code)
        return code;
    code = mdb_env_open(env, path, MDB_RDONLY | MDB_NOTLS | flags, 0664);
    if (code)
        mdb_env_close(env);
    else
        *ret_env = env;
    return code;
}

static enum status env_open(const char *path, void **ret_env, struct error *err)
{
    MDB_env *env;
    TRY(lmdb_file_check(path, err));
    int code = open_for_reading(path, 0, &env);
    if (code == EACCES || code == EROFS || code == EPERM) /* no lock file can be made: nobody writes there */
        code = open_for_reading(path, MDB_NOLOCK, &env);
    if (code)
        return lmdb_error(path, "open", code, err);
    *ret_env = env;
    return OK;
}

static void env_close(void *env)
{
    mdb_env_close(env);
}

struct reader {
    MDB_txn *txn;
    MDB_cursor *cursor;
};

static void read_close(void *opaque)
{
    struct reader *r = opaque;
    if (r->cursor)
        mdb_cursor_close(r->cursor);
    if (r->txn)
        mdb_txn_abort(r->txn);
    free(r);
}

static enum status read_open(void *env, const char *path, void **ret_reader, struct error *err)
{
    struct reader *r = xcalloc(1, sizeof(*r));
    MDB_dbi dbi;
    int code = mdb_txn_begin(env, NULL, MDB_RDONLY, &r->txn);
    if (!code)
        code = mdb_dbi_open(r->txn, NULL, 0, &dbi);
    if (!code)
        code = mdb_cursor_open(r->txn, dbi, &r->cursor);
    if (code) {
        read_close(r);
        return lmdb_error(path, "read", code, err);
    }
    *ret_reader = r;
    return OK;
}

static enum status read_step(void *reader, const char *path, bool rewind, struct db_span *ret_value,
                             struct error *err)
{
    struct reader *r = reader;
    MDB_val key, value;
    int code = mdb_cursor_get(r->cursor, &key, &value, rewind ? MDB_FIRST : MDB_NEXT);
    if (code && code != MDB_NOTFOUND)
        return lmdb_error(path, "read", code, err);
    struct db_span span = {0};
    if (!code)
        span = (struct db_span){value.mv_data, value.mv_size};
    *ret_value = span;
    return OK;
}

static enum status write_open(const char *path, void **ret_writer, struct error *err)
{
    if (mkdir(path, 0755)) {
        enum status status = errno == EEXIST ? CONFLICT : status_from_errno(errno);
        return error_set(err, status, "cannot make lmdb '%s': %s", path, strerror(errno));
    }
    MDB_env *env;
    int code = mdb_env_create(&env);
    if (code)
        return lmdb_error(path, "make", code, err);
    code = mdb_env_open(env, path, 0, 0664);
    if (code) {
        mdb_env_close(env);
        return lmdb_error(path, "make", code, err);
    }
    *ret_writer = env;
    return OK;
}

static int put_all(MDB_env *env, const struct db_pair *pairs, size_t n)
{
    MDB_txn *txn;
    MDB_dbi dbi;
    int code = mdb_txn_begin(env, NULL, 0, &txn);
    if (code)
        return code;
    code = mdb_dbi_open(txn, NULL, 0, &dbi);
    for (size_t i = 0; i < n && !code; i++) {
        MDB_val key = {strlen(pairs[i].key), pairs[i].key}, value = {pairs[i].value_size, pairs[i].value};
        code = mdb_put(txn, dbi, &key, &value, 0);
    }
    if (code)
        mdb_txn_abort(txn);
    else
        code = mdb_txn_commit(txn);
    return code;
}

/* A write cut short by a full disk comes back from LMDB as EIO. */
static bool is_full(const char *path)
{
    struct statvfs fs;
    return !statvfs(path, &fs) && fs.f_bavail == 0;
}

/* The map starts small, so that the file's header asks readers for no more than it needs; it doubles when
 * full. */
static enum status write_batch(void *writer, const char *path, const struct db_pair *pairs, size_t n,
                               struct error *err)
{
    for (;;) {
        int code = put_all(writer, pairs, n);
        if (!code)
            return OK;
        MDB_envinfo info;
        if (code == MDB_MAP_FULL && !mdb_env_info(writer, &info))
            code = mdb_env_set_mapsize(writer, info.me_mapsize * 2);
        if (code)
            return lmdb_error(path, "write", code == EIO && is_full(path) ? ENOSPC : code, err);
    }
}

const struct db_driver db_driver_lmdb = {
    .name = "lmdb",
    .env_open = env_open,
    .env_close = env_close,
    .read_open = read_open,
    .read_close = read_close,
    .read_step = read_step,
    .write_open = write_open,
    .write_batch = write_batch,
    .write_close = env_close,
};
