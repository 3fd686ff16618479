/*
 * leveldb_check.h - can LevelDB open the database in a folder.
 *
 * LevelDB trusts what lies under a right checksum: a wrong length in a
 * block, or keys that are not in order, end the process.  So the MANIFEST,
 * the logs to be recovered and all tables are looked at before.
 */
#ifndef ET_LEVELDB_CHECK_H
#define ET_LEVELDB_CHECK_H

#include "base/base.h"

/* INVALID for a damaged database, and for what is none. */
enum status leveldb_check(const char *folder, struct error *err);

#endif
