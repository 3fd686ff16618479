/*
 * legacy.h - the APIs of two other systems, when the operator enables them:
 * the Boss (boss.h) and request queues (buckets.h).  Neither knows passwords;
 * each works in the name of one user.
 */
#ifndef ET_LEGACY_H
#define ET_LEGACY_H

#include "api/api.h"

struct api_options;
struct boss;
struct buckets;
struct legacy;

/*
 * Makes what the options enable, and announces it in the log.
 * Errors: INVALID, for a user, bucket or classifier that is none.
 */
enum status legacy_new(struct api *api, const struct api_options *options, struct legacy **ret_legacy,
                       struct error *err);
/* Threads that use the store begin, once there is a server; and end: it is stopping and has woken all. */
enum status legacy_start(struct legacy *l, struct error *err);
void legacy_stop(struct legacy *l); /* NULL is fine */
void legacy_free(struct legacy *l); /* NULL is fine */

/* All routes: routes.c's, and those of what is enabled.  Lent. */
const struct route *const *legacy_tables(const struct legacy *l);
struct boss *legacy_boss(const struct api *api); /* where its routes are served */
struct buckets *legacy_buckets(const struct api *api);

/* The owner's id of a user, who is made, without a password, when missing.  Errors: INVALID. */
enum status legacy_user(struct store *store, const char *name, char ret_owner[OWNER_MAX], struct error *err);

#endif
