/*
 * nearest.h - the known name that a mistyped one most likely meant.
 */
#ifndef ET_NETDEF_NEAREST_H
#define ET_NETDEF_NEAREST_H

#include "base/base.h"

/* Feed it every known name; best is NULL when none is near.  Lends the names. */
struct nearest {
    const char *wanted;
    const char *best;
    int distance;
};

void nearest_init(struct nearest *n, const char *wanted);
void nearest_offer(struct nearest *n, const char *known);

/* "; did you mean 'bottom'?" into out, or "" when nothing is near.  Returns out. */
#define NEAREST_TEXT_MAX 128
const char *nearest_text(const struct nearest *n, char out[NEAREST_TEXT_MAX]);

#endif
