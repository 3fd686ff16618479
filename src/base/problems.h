/*
 * problems.h - everything that is wrong with an input, not only the first thing.
 *
 * Code that can go on after a mistake hands its failures to problems_note();
 * with problems NULL that is no more than the failure itself, so the same
 * code serves callers who want the first mistake and those who want all.
 */
#ifndef ET_PROBLEMS_H
#define ET_PROBLEMS_H

#include "base/base.h"

#define PROBLEMS_MAX 100 /* more are counted, not kept */

struct problems {
    int n; /* also those that are not kept */
    struct error *kept;
};

/* {0} is an empty list. */
void problems_release(struct problems *p);

/* status, when it is OK or p is NULL; else keeps a copy of err and returns OK. */
enum status problems_note(struct problems *p, enum status status, const struct error *err);

static inline int problems_n_kept(const struct problems *p)
{
    return MIN(p->n, PROBLEMS_MAX);
}

#endif
