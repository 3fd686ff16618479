/*
 * workers.h - the workers that have asked for jobs, and draining them.
 *
 * A worker is known by its name from its first POST /leases.  It was seen
 * when it last asked (noted at most every ten seconds) or last renewed a
 * lease.  A drained one gets no new jobs; those that it has run to their end.
 */
#ifndef ET_WORKERS_H
#define ET_WORKERS_H

#include "store/queue.h"

#define WORKER_ALIVE_MS 60000 /* unseen for longer: taken for gone */

struct worker_info {
    char name[WORKER_MAX];
    int64_t seen_ms;
    int slots;   /* that it has */
    int running; /* leases that it holds */
    char *pools; /* that it serves, the preferred first, by commas */
    bool drained;
};
struct worker_info_list {
    int n;
    struct worker_info *workers;
};
void worker_info_list_release(struct worker_info_list *l);

/* Those not yet forgotten (a day after they were last seen), by name. */
enum status workers_list(struct store *s, struct worker_info_list *ret_list, struct error *err);

/* Drains a worker, or ends that; stirs "worker:NAME".  Again: OK.  Errors: NOT_FOUND. */
enum status worker_drain(struct store *s, const char *name, bool drained, struct error *err);

#endif
