/* pack.h - a folder as a .tar.gz in a temporary file, by libarchive. */
#ifndef ET_PACK_H
#define ET_PACK_H

#include "base/base.h"

struct packed {
    char *folder; /* temporary, removed on release */
    char *path;   /* of the archive in it */
};
void packed_releasep(struct packed *p); /* CLEANUP */

/*
 * Packs what is below `folder`: regular files, by name in sorted order, so
 * that the same folder gives the same bytes. Links are followed; hidden files
 * are left out. Errors: NOT_FOUND, INVALID for an empty folder, NO_SPACE.
 */
enum status pack_folder(const char *folder, struct packed *ret_packed, struct error *err);

#endif
