/*
 * names.h - a map from names to numbers.  Keys are lent by the caller and
 * must outlive the map.  {0} is an empty one.
 */
#ifndef ET_NETDEF_NAMES_H
#define ET_NETDEF_NAMES_H

#include "base/base.h"

struct names {
    struct names_slot *slots;
    size_t n_slots, n;
};

void names_put(struct names *map, const char *name, int value); /* replaces */
int names_get(const struct names *map, const char *name);       /* -1 when absent */
void names_release(struct names *map);

#endif
