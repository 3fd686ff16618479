/*
 * database.h - finding an LMDB or LevelDB folder among the files of an
 * archive: the one that holds data.mdb or CURRENT.
 */
#ifndef ET_DATABASE_H
#define ET_DATABASE_H

#include "base/base.h"

struct database {
    const char *kind; /* "LMDB", "LevelDB"; NULL: none was seen */
    char *folder;     /* "" for the archive's root; NULL: none was seen */
};

/* What a file of this path tells: "LMDB", "LevelDB", or NULL. */
const char *database_kind(const char *path);

/* Each file's path in turn.  Errors: INVALID when there is a second database. */
enum status database_note(struct database *d, const char *path, struct error *err);
void database_release(struct database *d);

#endif
