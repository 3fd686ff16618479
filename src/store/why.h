/* why.h - what a job waits for, its place, and when its turn may come. */
#ifndef ET_WHY_H
#define ET_WHY_H

#include "store/queue.h"

struct needed {
    char id[DOCUMENT_ID_MAX], type[TYPE_MAX];
    enum document_state state;
    bool whatever; /* any end of it will do */
};

struct why {
    struct needed *needs; /* unfinished documents that it waits for; at most 100 */
    int n_needs;
    int running, max_running; /* of its owner in its pool; max_running 0: no limit */
    int64_t place, ready;     /* in its pool by the real order, from 1, of so many; 0: it is not ready */
    int workers, slots, busy; /* of its pool: those alive and not drained */
    int drained;              /* workers of its pool that are alive, and drained */
    int64_t usual_ms;         /* mean of the pool's latest good attempts; 0: there are none */
    int64_t start_ms;         /* estimate of its start; 0: none */
    char *last_reason;        /* how its last attempt ended; "" */
};
void why_release(struct why *w);

/* For an unfinished job. */
enum status queue_why(struct store *s, const struct job *job, int64_t now_ms, struct why *ret_why,
                      struct error *err);

#endif
