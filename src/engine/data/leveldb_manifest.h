/*
 * leveldb_manifest.h - the tables that a LevelDB has, by its MANIFEST.
 *
 * A MANIFEST is a log of edits: tables added at a level and taken from it,
 * and the numbers that come next.
 * Source: LevelDB 1.23's VersionEdit and VersionSet.
 */
#ifndef ET_LEVELDB_MANIFEST_H
#define ET_LEVELDB_MANIFEST_H

#include "engine/data/leveldb_log.h"

struct leveldb_table {
    uint64_t number, size; /* of its file, bytes */
    unsigned level;
    struct leveldb_span smallest, largest; /* keys, the manifest's */
};

struct leveldb_manifest {
    struct leveldb_log log;
    struct leveldb_table *tables;
    size_t n_tables;
    uint64_t log_number, previous_log_number, last_sequence;
};

/*
 * Errors: INVALID for what LevelDB would refuse, and for what it would end
 * the process for: keys that are none, tables of a level that overlap, a
 * table that is there twice, numbers that would be given a second time.
 */
enum status leveldb_manifest_read(const char *path, struct leveldb_manifest *ret_manifest, struct error *err);
void leveldb_manifest_release(struct leveldb_manifest *manifest);

#endif
