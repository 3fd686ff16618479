/*
 * pools.h - the sizes of job that workers take.
 *
 *   NAME:cpus=4,memory=16G,gpus=1
 *
 * A pool is a name and what one job in it may use.  A worker offers pools,
 * the server knows of pools, and a job goes to the smallest that holds it.
 *
 * Every pool has a twin of the same size, NAME-bf16, for jobs that compute in
 * bf16: a worker whose processor can takes jobs from both.
 */
#ifndef ET_POOLS_H
#define ET_POOLS_H

#include "base/base.h"

#define POOL_NAME_MAX  64
#define POOLS_TEXT_MAX 600

struct pool_size {
    char name[POOL_NAME_MAX];
    int cpus;             /* 0: not said, so any number fits */
    int64_t memory_bytes; /* 0: the same */
    int gpus;
    bool implied; /* nobody has defined it, and perhaps nobody serves it */
};

struct pools {
    int n;
    struct pool_size *items;
};
void pools_release(struct pools *p);

/* Adds a pool, in place of the one of that name. */
void pools_put(struct pools *p, const struct pool_size *pool);
/* The same from its text.  Errors: INVALID, with what would be right. */
enum status pools_add(struct pools *p, const char *text, struct error *err);
/* The same for every word of a text, by spaces. */
enum status pools_add_all(struct pools *p, const char *text, struct error *err);
const struct pool_size *pools_find(const struct pools *p, const char *name); /* NULL: none */

/*
 * The smallest pool that holds what is asked for (0: does not matter): fewest
 * gpus, then cpus, then memory.  One that wants no GPU does not take one from
 * those that do.  NULL: none.
 */
const struct pool_size *pools_fit(const struct pools *p, int cpus, int64_t memory_bytes, int gpus);

/* The name of a pool's twin, for the caller to free; and whether a name is one. */
char *pools_bf16_name(const char *name);
bool pools_is_bf16_name(const char *name);

/* "cpu (cpus 2, memory 4 GiB, gpus 0), big (...)", for messages; cut when it does not fit.  Returns out. */
const char *pools_text(const struct pools *p, char out[POOLS_TEXT_MAX]);

#endif
