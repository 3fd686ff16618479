#include "store/sqlite_wal.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#define KEPT_MAX ((size_t)1 << 20)
#define PIECE    ((size_t)1 << 16) /* SQLite writes less than 128 KiB at a time */

/* An open log.  The usual file system's part lies behind it. */
struct log {
    sqlite3_file base; /* first: SQLite knows it as this */
    sqlite3_int64 at;  /* of the file: where `kept` goes */
    size_t n;
    char *kept;
};

static sqlite3_file *real(sqlite3_file *file)
{
    return (sqlite3_file *)((struct log *)file + 1);
}

static int flush(sqlite3_file *file)
{
    struct log *log = (struct log *)file;
    int code = SQLITE_OK;
    for (size_t i = 0; i < log->n && code == SQLITE_OK; i += PIECE)
        code = real(file)->pMethods->xWrite(real(file), log->kept + i, (int)MIN(log->n - i, PIECE),
                                            log->at + (sqlite3_int64)i);
    log->n = 0;
    return code;
}

static int log_close(sqlite3_file *file)
{
    int code = flush(file), closed = real(file)->pMethods->xClose(real(file));
    free(((struct log *)file)->kept);
    return code ? code : closed;
}

static int log_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 at)
{
    struct log *log = (struct log *)file;
    if (log->n && (at != log->at + (sqlite3_int64)log->n || log->n + (size_t)size > KEPT_MAX)) {
        int code = flush(file);
        if (code)
            return code;
    }
    assert((size_t)size <= KEPT_MAX); /* a page at most */
    if (!log->kept)
        log->kept = xmalloc(KEPT_MAX); /* not for one who only reads */
    if (!log->n)
        log->at = at;
    memcpy(log->kept + log->n, bytes, (size_t)size);
    log->n += (size_t)size;
    return SQLITE_OK;
}

static int log_read(sqlite3_file *file, void *bytes, int size, sqlite3_int64 at)
{
    int code = flush(file);
    return code ? code : real(file)->pMethods->xRead(real(file), bytes, size, at);
}

static int log_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    int code = flush(file);
    return code ? code : real(file)->pMethods->xTruncate(real(file), size);
}

static int log_sync(sqlite3_file *file, int flags)
{
    int code = flush(file);
    return code ? code : real(file)->pMethods->xSync(real(file), flags);
}

static int log_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    int code = flush(file);
    return code ? code : real(file)->pMethods->xFileSize(real(file), ret_size);
}

static int log_lock(sqlite3_file *file, int kind)
{
    return real(file)->pMethods->xLock(real(file), kind);
}

static int log_unlock(sqlite3_file *file, int kind)
{
    return real(file)->pMethods->xUnlock(real(file), kind);
}

static int log_is_reserved(sqlite3_file *file, int *ret_is)
{
    return real(file)->pMethods->xCheckReservedLock(real(file), ret_is);
}

static int log_control(sqlite3_file *file, int what, void *argument)
{
    return real(file)->pMethods->xFileControl(real(file), what, argument);
}

static int log_sector(sqlite3_file *file)
{
    return real(file)->pMethods->xSectorSize(real(file));
}

static int log_device(sqlite3_file *file)
{
    return real(file)->pMethods->xDeviceCharacteristics(real(file));
}

static const sqlite3_io_methods log_methods = {
    .iVersion = 1,
    .xClose = log_close,
    .xRead = log_read,
    .xWrite = log_write,
    .xTruncate = log_truncate,
    .xSync = log_sync,
    .xFileSize = log_size,
    .xLock = log_lock,
    .xUnlock = log_unlock,
    .xCheckReservedLock = log_is_reserved,
    .xFileControl = log_control,
    .xSectorSize = log_sector,
    .xDeviceCharacteristics = log_device,
};

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    sqlite3_vfs *usual = vfs->pAppData;
    if (!(flags & SQLITE_OPEN_WAL))
        return usual->xOpen(usual, name, file, flags, ret_flags);
    struct log *log = (struct log *)file;
    *log = (struct log){0};
    int code = usual->xOpen(usual, name, real(file), flags, ret_flags);
    if (code == SQLITE_OK)
        log->base.pMethods = &log_methods;
    return code;
}

const char *sqlite_wal_make(void)
{
    static sqlite3_vfs vfs;
    static const char name[] = "et-wal";
    sqlite3_vfs *usual = sqlite3_vfs_find(NULL);
    vfs = *usual;
    vfs.zName = name;
    vfs.pNext = NULL;
    vfs.pAppData = usual;
    vfs.szOsFile = usual->szOsFile + (int)sizeof(struct log);
    vfs.xOpen = vfs_open;
    return sqlite3_vfs_register(&vfs, 0) == SQLITE_OK ? name : NULL;
}
