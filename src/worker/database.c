#include "worker/database.h"

#include <stdlib.h>
#include <string.h>

const char *database_kind(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    return !strcmp(name, "data.mdb") ? "LMDB" : !strcmp(name, "CURRENT") ? "LevelDB" : NULL;
}

enum status database_note(struct database *d, const char *path, struct error *err)
{
    const char *kind = database_kind(path);
    if (!kind)
        return OK;
    if (d->folder)
        return error_set(err, INVALID,
                         "'%s' belongs to a second database, beside the %s in '%s': one is needed", path,
                         d->kind, d->folder);
    const char *slash = strrchr(path, '/');
    d->kind = kind;
    d->folder = strndup(path, slash ? (size_t)(slash - path) : 0);
    return OK;
}

void database_release(struct database *d)
{
    free(d->folder);
    *d = (struct database){0};
}
