/*
 * pool.h - threads that run jobs in order of arrival.
 *
 * A job is part of its owner's struct: queueing allocates nothing and cannot
 * fail.  One that is queued may not be queued again before it has begun.
 */
#ifndef ET_POOL_H
#define ET_POOL_H

#include "base/base.h"

struct pool;

struct pool_job {
    void (*run)(struct pool_job *job);
    struct pool_job *next; /* the pool's */
};

enum status pool_new(int n_threads, struct pool **ret_pool, struct error *err);
void pool_add(struct pool *p, struct pool_job *job);
void pool_free(struct pool *p); /* runs what is queued, then ends the threads; NULL is fine */

#endif
