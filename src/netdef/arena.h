/*
 * arena.h - memory that is freed all at once, with the definition it is of.
 */
#ifndef ET_NETDEF_ARENA_H
#define ET_NETDEF_ARENA_H

#include "base/base.h"

struct arena;

struct arena *arena_make(void);
void arena_free(struct arena *a);                          /* accepts NULL */
void *arena_alloc(struct arena *a, size_t n, size_t size); /* n items of size, zeroed; never NULL */
void *arena_dup(struct arena *a, const void *bytes, size_t n, size_t size);

#endif
