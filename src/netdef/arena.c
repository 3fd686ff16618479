#include "netdef/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 64 << 10 };

struct chunk {
    struct chunk *next;
    size_t used, size;
    alignas(max_align_t) char bytes[];
};

struct arena {
    struct chunk *chunks; /* the newest first; only it has room to give */
};

struct arena *arena_make(void)
{
    return xcalloc(1, sizeof(struct arena));
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    while (a->chunks) {
        struct chunk *next = a->chunks->next;
        free(a->chunks);
        a->chunks = next;
    }
    free(a);
}

void *arena_alloc(struct arena *a, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX / 2)
        abort();
    bytes = (bytes + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
    if (!a->chunks || a->chunks->size - a->chunks->used < bytes) {
        size_t room = MAX(bytes, (size_t)CHUNK_BYTES);
        struct chunk *chunk = xcalloc(1, sizeof(*chunk) + room);
        chunk->size = room;
        chunk->next = a->chunks;
        a->chunks = chunk;
    }
    void *result = a->chunks->bytes + a->chunks->used;
    a->chunks->used += bytes;
    return result;
}

void *arena_dup(struct arena *a, const void *bytes, size_t n, size_t size)
{
    void *copy = arena_alloc(a, n, size);
    if (n)
        memcpy(copy, bytes, n * size);
    return copy;
}
