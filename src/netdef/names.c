#include "netdef/names.h"

#include <stdlib.h>
#include <string.h>

struct names_slot {
    const char *name; /* NULL: free */
    int value;
};

/* FNV-1a; slots are a power of two, at most half of them taken. */
static struct names_slot *find_slot(const struct names *map, const char *name)
{
    uint64_t hash = 14695981039346656037u;
    for (const char *p = name; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 1099511628211u;
    size_t i = (size_t)(hash ^ (hash >> 32)) & (map->n_slots - 1);
    while (map->slots[i].name && strcmp(map->slots[i].name, name) != 0)
        i = (i + 1) & (map->n_slots - 1);
    return &map->slots[i];
}

static void grow(struct names *map)
{
    struct names old = *map;
    map->n_slots = old.n_slots ? 2 * old.n_slots : 64;
    map->slots = xcalloc(map->n_slots, sizeof(*map->slots));
    for (size_t i = 0; i < old.n_slots; i++) {
        if (old.slots[i].name)
            *find_slot(map, old.slots[i].name) = old.slots[i];
    }
    free(old.slots);
}

void names_put(struct names *map, const char *name, int value)
{
    if (2 * map->n >= map->n_slots)
        grow(map);
    struct names_slot *slot = find_slot(map, name);
    map->n += !slot->name;
    *slot = (struct names_slot){name, value};
}

int names_get(const struct names *map, const char *name)
{
    if (!map->n_slots)
        return -1;
    const struct names_slot *slot = find_slot(map, name);
    return slot->name ? slot->value : -1;
}

void names_release(struct names *map)
{
    free(map->slots);
    *map = (struct names){0};
}
