/*
 * changes.h - documents and their changes as CouchDB's clients read them.
 */
#ifndef ET_CHANGES_H
#define ET_CHANGES_H

#include "api/api.h"

/* A document of any type, or the stub of a deleted one.  New. */
json_t *document_encode(const struct document *d);
/* {"seq", "id", "changes": [{"rev"}], "deleted"?, "doc"?}.  New. */
json_t *change_encode(const struct document *d, bool with_document);

#endif
