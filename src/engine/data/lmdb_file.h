/*
 * lmdb_file.h - is a data.mdb what LMDB takes it for.
 *
 * LMDB trusts its pages: a wrong length or offset in one ends the process.
 * So the pages that a walk over all records touches are looked at before,
 * which reads each branch and leaf page once; large values lie in pages of
 * their own and cost nothing.
 *
 * A file has two meta pages, and that of the later transaction leads to the
 * tree of records: branch pages down to leaf pages, all equally deep.
 * Source: the structures of LMDB 0.9's mdb.c.
 */
#ifndef ET_LMDB_FILE_H
#define ET_LMDB_FILE_H

#include "base/base.h"

/* folder: what mdb_env_open gets.  INVALID for a damaged file; NOT_FOUND without one. */
enum status lmdb_file_check(const char *folder, struct error *err);

#endif
