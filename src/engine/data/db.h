/*
 * db.h - key-value files of records in key order: LMDB and LevelDB.
 *
 * Reading:  db_open (at the first record), db_next ... until db_at_end, db_rewind
 * Writing:  db_create, db_put ..., db_commit, db_writer_free
 *
 * A database may be opened several times in one process: the handles share
 * one environment (LMDB forbids a second one, LevelDB locks it out).  One
 * handle belongs to one thread at a time.
 */
#ifndef ET_DB_H
#define ET_DB_H

#include "base/base.h"

enum db_backend { DB_LEVELDB, DB_LMDB };

/* "lmdb" or "leveldb".  Errors: INVALID. */
enum status db_backend_parse(const char *name, enum db_backend *ret_backend, struct error *err);

struct db;

/* Errors: NOT_FOUND; INVALID when it is no such database, is damaged or empty. */
enum status db_open(enum db_backend backend, const char *path, struct db **ret_db, struct error *err);
void db_close(struct db *db);
const char *db_path(const struct db *db);

bool db_at_end(const struct db *db);
/* Lent until the handle moves; not at the end. */
void db_record(const struct db *db, const void **ret_value, size_t *ret_size);
enum status db_next(struct db *db, struct error *err);
enum status db_rewind(struct db *db, struct error *err);

struct db_writer;

/* Errors: CONFLICT when path exists. */
enum status db_create(enum db_backend backend, const char *path, struct db_writer **ret_writer,
                      struct error *err);
/* Stores from time to time.  A key seen before is overwritten.  Errors: NO_SPACE, FAILED. */
enum status db_put(struct db_writer *w, const char *key, const void *value, size_t size, struct error *err);
enum status db_commit(struct db_writer *w, struct error *err);
/* What was not committed is lost. */
void db_writer_free(struct db_writer *w);
void db_writer_freep(struct db_writer **w);

#endif
