/*
 * leveldb_log.h - the records of a log, or of a MANIFEST, which is one.
 *
 * Checksums are LevelDB's to test: it reads nothing behind a wrong one.
 * Source: LevelDB's doc/log_format.md.
 */
#ifndef ET_LEVELDB_LOG_H
#define ET_LEVELDB_LOG_H

#include "base/buf.h"
#include "engine/data/leveldb_format.h"

struct leveldb_log {
    struct buf bytes; /* of all records, one after the other */
    size_t *ends;     /* where each ends in them */
    size_t n_records, allocated;
};

/*
 * A record that the file's end cuts off is left out: its writer was ended.
 *
 * Errors: NOT_FOUND; INVALID for records that do not fit together.
 */
enum status leveldb_log_read(const char *path, struct leveldb_log *ret_log, struct error *err);
void leveldb_log_release(struct leveldb_log *log);

/* number < n_records; the log's until it is released. */
struct leveldb_span leveldb_log_record(const struct leveldb_log *log, size_t number);

#endif
