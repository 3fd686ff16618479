/*
 * leveldb_tables.h - can LevelDB read the tables of a folder.
 *
 * A table ends with where its index lies.  LevelDB allocates the length it
 * finds there, and a process without C++'s exceptions ends when that is
 * absurd; all other lengths lie under checksums, which readers ask for.
 * Source: LevelDB's doc/table_format.md.
 */
#ifndef ET_LEVELDB_TABLES_H
#define ET_LEVELDB_TABLES_H

#include "base/base.h"

/* Every .ldb and .sst of the folder.  INVALID for a damaged one. */
enum status leveldb_tables_check(const char *folder, struct error *err);

#endif
