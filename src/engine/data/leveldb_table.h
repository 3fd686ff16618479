/*
 * leveldb_table.h - can LevelDB read a table, and compact it.
 *
 * A table is blocks of records, then a block that is their index, and a
 * footer that leads to the index.  Checksums are LevelDB's to test.
 *
 * Each block is looked at once.  Of those that are not compressed only the
 * pages that keys lie in are read, not the values.
 * Source: LevelDB's doc/table_format.md, and what LevelDB 1.23 asserts.
 */
#ifndef ET_LEVELDB_TABLE_H
#define ET_LEVELDB_TABLE_H

#include "engine/data/leveldb_manifest.h"

/*
 * INVALID for a table that is not what the manifest says, and for one that
 * LevelDB would follow out of the file, allocate absurd memory for, or end
 * the process for.
 */
enum status leveldb_table_check(const char *path, const struct leveldb_table *table, uint64_t last_sequence,
                                struct error *err);

#endif
