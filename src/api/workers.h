/*
 * workers.h - who asked for work lately.  In memory: it is forgotten with the
 * process, and fills again within a poll.
 */
#ifndef ET_WORKERS_H
#define ET_WORKERS_H

#include "base/json.h"

struct workers;

struct workers *workers_new(void);
void workers_free(struct workers *w); /* NULL is fine */

/* A worker asked for `slots` jobs of these pools; all strings are copied. */
void workers_seen(struct workers *w, const char *name, const char *const *pools, int n_pools, int slots,
                  int64_t now_ms);
/*
 * An object {"pools", "slots" (asked for at most), "seen" (ms)} for each name
 * that was seen within WORKERS_KEPT_MS.  New.
 */
json_t *workers_list(struct workers *w, int64_t now_ms);
#define WORKERS_KEPT_MS 90000

#endif
