#include "engine/data/db.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "engine/data/db_driver.h"

#define BATCH_RECORDS 1000        /* as Caffe's tools commit */
#define BATCH_BYTES   (64u << 20) /* or earlier, when records are large */

static const struct db_driver *driver_of(enum db_backend backend)
{
    return backend == DB_LMDB ? &db_driver_lmdb : &db_driver_leveldb;
}

enum status db_backend_parse(const char *name, enum db_backend *ret_backend, struct error *err)
{
    if (!strcmp(name, db_driver_lmdb.name))
        *ret_backend = DB_LMDB;
    else if (!strcmp(name, db_driver_leveldb.name))
        *ret_backend = DB_LEVELDB;
    else
        return error_set(err, INVALID, "no backend '%s'; lmdb and leveldb are known", name);
    return OK;
}

/* ---- environments shared by the handles of this process ---- */

struct environment {
    const struct db_driver *driver;
    char *real_path;
    void *handle;
    int users;
    struct environment *next;
};

static pthread_mutex_t environments_lock = PTHREAD_MUTEX_INITIALIZER;
static struct environment *environments; /* under the lock */

static enum status environment_take_locked(const struct db_driver *driver, const char *path,
                                           const char *real_path, struct environment **ret_env,
                                           struct error *err)
{
    for (struct environment *e = environments; e; e = e->next)
        if (e->driver == driver && !strcmp(e->real_path, real_path)) {
            e->users++;
            *ret_env = e;
            return OK;
        }
    void *handle;
    TRY(driver->env_open(path, &handle, err));
    struct environment *e = xcalloc(1, sizeof(*e));
    *e = (struct environment){driver, xstrdup(real_path), handle, 1, environments};
    environments = e;
    *ret_env = e;
    return OK;
}

static enum status environment_take(const struct db_driver *driver, const char *path,
                                    struct environment **ret_env, struct error *err)
{
    CLEANUP(freep) char *real_path = realpath(path, NULL);
    if (!real_path)
        return error_set(err, status_from_errno(errno), "cannot open %s '%s': %s", driver->name, path,
                         strerror(errno));
    pthread_mutex_lock(&environments_lock);
    enum status status = environment_take_locked(driver, path, real_path, ret_env, err);
    pthread_mutex_unlock(&environments_lock);
    return status;
}

static void environment_drop(struct environment *e)
{
    pthread_mutex_lock(&environments_lock);
    if (--e->users == 0) {
        struct environment **at = &environments;
        while (*at != e)
            at = &(*at)->next;
        *at = e->next;
        e->driver->env_close(e->handle);
        free(e->real_path);
        free(e);
    }
    pthread_mutex_unlock(&environments_lock);
}

/* ---- reading ---- */

struct db {
    char *path;
    struct environment *env;
    void *reader;
    struct db_span value;
};

void db_close(struct db *db)
{
    if (!db)
        return;
    if (db->reader)
        db->env->driver->read_close(db->reader);
    if (db->env)
        environment_drop(db->env);
    free(db->path);
    free(db);
}

static void db_closep(struct db **db)
{
    db_close(*db);
}

enum status db_open(enum db_backend backend, const char *path, struct db **ret_db, struct error *err)
{
    const struct db_driver *driver = driver_of(backend);
    CLEANUP(db_closep) struct db *db = xcalloc(1, sizeof(*db));
    db->path = xstrdup(path);
    TRY(environment_take(driver, path, &db->env, err));
    TRY(driver->read_open(db->env->handle, path, &db->reader, err));
    TRY(db_rewind(db, err));
    if (db_at_end(db))
        return error_set(err, INVALID, "%s '%s' has no records", driver->name, path);
    *ret_db = TAKE(db);
    return OK;
}

const char *db_path(const struct db *db)
{
    return db->path;
}

bool db_at_end(const struct db *db)
{
    return !db->value.bytes;
}

void db_record(const struct db *db, const void **ret_value, size_t *ret_size)
{
    *ret_value = db->value.bytes;
    *ret_size = db->value.size;
}

enum status db_next(struct db *db, struct error *err)
{
    return db->env->driver->read_step(db->reader, db->path, false, &db->value, err);
}

enum status db_rewind(struct db *db, struct error *err)
{
    return db->env->driver->read_step(db->reader, db->path, true, &db->value, err);
}

/* ---- writing ---- */

struct db_writer {
    const struct db_driver *driver;
    char *path;
    void *handle;
    struct db_pair pairs[BATCH_RECORDS];
    size_t n_pairs, n_bytes;
};

static void drop_pairs(struct db_writer *w)
{
    for (size_t i = 0; i < w->n_pairs; i++) {
        free(w->pairs[i].key);
        free(w->pairs[i].value);
    }
    w->n_pairs = w->n_bytes = 0;
}

void db_writer_free(struct db_writer *w)
{
    if (!w)
        return;
    drop_pairs(w);
    if (w->handle)
        w->driver->write_close(w->handle);
    free(w->path);
    free(w);
}

void db_writer_freep(struct db_writer **w)
{
    db_writer_free(*w);
}

enum status db_create(enum db_backend backend, const char *path, struct db_writer **ret_writer,
                      struct error *err)
{
    CLEANUP(db_writer_freep) struct db_writer *w = xcalloc(1, sizeof(*w));
    w->driver = driver_of(backend);
    w->path = xstrdup(path);
    TRY(w->driver->write_open(path, &w->handle, err));
    *ret_writer = TAKE(w);
    return OK;
}

enum status db_put(struct db_writer *w, const char *key, const void *value, size_t size, struct error *err)
{
    struct db_pair *pair = &w->pairs[w->n_pairs++];
    *pair = (struct db_pair){xstrdup(key), xmalloc(size), size};
    memcpy(pair->value, value, size);
    w->n_bytes += size;
    if (w->n_pairs == BATCH_RECORDS || w->n_bytes >= BATCH_BYTES)
        return db_commit(w, err);
    return OK;
}

enum status db_commit(struct db_writer *w, struct error *err)
{
    if (!w->n_pairs)
        return OK;
    enum status status = w->driver->write_batch(w->handle, w->path, w->pairs, w->n_pairs, err);
    drop_pairs(w);
    return status;
}
