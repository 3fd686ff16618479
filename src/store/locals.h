/*
 * locals.h - what replicating clients note for themselves, per user.
 *
 * CouchDB's `_local` documents: never in the feed, never replicated.  An
 * owner has LOCALS_MAX; the one written longest ago makes room.
 */
#ifndef ET_LOCALS_H
#define ET_LOCALS_H

#include "base/json.h"

struct store;

#define LOCALS_MAX     1000
#define LOCAL_ID_MAX   128
#define LOCAL_BODY_MAX 65536

/* ret_body: an object for the caller to decref; ret_rev: times written.  Errors: NOT_FOUND. */
enum status local_get(struct store *s, const char *owner, const char *id, json_t **ret_body, int64_t *ret_rev,
                      struct error *err);
/* Errors: INVALID for an id that is empty or over LOCAL_ID_MAX bytes; TOO_LARGE over LOCAL_BODY_MAX bytes. */
enum status local_put(struct store *s, const char *owner, const char *id, const json_t *body, int64_t now_ms,
                      int64_t *ret_rev, struct error *err);

#endif
