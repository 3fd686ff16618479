/*
 * limits.h - how much an owner may have under way.
 *
 * `running` holds for each pool by itself, `queued` (waiting and ready jobs)
 * for all together.  Whoever is at the first waits his turn; whoever would
 * go over the second is told LIMITED.
 */
#ifndef ET_LIMITS_H
#define ET_LIMITS_H

#include "store/documents.h"

struct limits {
    int running, queued; /* 0: no limit */
};
enum status limits_get(struct store *s, const char *owner, struct limits *ret_limits, struct error *err);
enum status limits_set(struct store *s, const char *owner, const struct limits *limits, struct error *err);

#endif
