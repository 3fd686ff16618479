/*
 * boss.h - the Boss: Jobs, Orders and Outcomes for worker nodes that speak
 * their own protocol, at the root paths and without passwords.
 *
 *   Job      what to run: a script's name and its parameters; type "boss-job"
 *   Order    the state of a Job: a document of type "order" with a queue job
 *   Outcome  what came of it; kept in its Order
 *
 * A node holds the Order that it was given until it posts the Outcome, says
 * that it is bored, or the order's time is over.  Workers of our own lease
 * Orders from the pool BOSS_POOL like any other job.
 */
#ifndef ET_BOSS_H
#define ET_BOSS_H

#include "api/api.h"

#define BOSS_POOL "boss"

struct boss;

/*
 * user: in whose name everything is kept; made, without a password, when
 * missing.  Errors: INVALID for a name that is none; the store's.
 */
enum status boss_new(struct store *store, const char *user, int64_t order_timeout_ms, struct boss **ret_boss,
                     struct error *err);
void boss_free(struct boss *b); /* NULL is fine */

/*
 * What the end of an attempt of our own worker at an Order changes in it: a
 * merge patch with the Outcome: what the script printed last, which is in
 * result's "result", and the reason when it is not done.  New.
 */
json_t *boss_order_patch(const struct job *job, bool done, const char *reason, const json_t *result);

#endif
