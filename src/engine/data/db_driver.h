/* db_driver.h - what db.c asks of a backend; nobody else includes this. */
#ifndef ET_DB_DRIVER_H
#define ET_DB_DRIVER_H

#include "engine/data/db.h"

struct db_span {
    const void *bytes;
    size_t size;
};

struct db_pair {
    char *key;
    void *value;
    size_t value_size;
};

struct db_driver {
    const char *name;
    /* An environment for reading; read_open makes the place of one reader in it. */
    enum status (*env_open)(const char *path, void **ret_env, struct error *err);
    void (*env_close)(void *env);
    enum status (*read_open)(void *env, const char *path, void **ret_reader, struct error *err);
    void (*read_close)(void *reader);
    /* To the first record (rewind) or the next; at the end value.bytes is NULL. */
    enum status (*read_step)(void *reader, const char *path, bool rewind, struct db_span *ret_value,
                             struct error *err);

    enum status (*write_open)(const char *path, void **ret_writer, struct error *err);
    enum status (*write_batch)(void *writer, const char *path, const struct db_pair *pairs, size_t n,
                               struct error *err);
    void (*write_close)(void *writer);
};

extern const struct db_driver db_driver_lmdb, db_driver_leveldb;

#endif
