/*
 * buckets.h - request queues that a browser watches, one a bucket.
 *
 * A bucket NAME is served at /NAME, without passwords: a browser posts a
 * picture's URL, a worker in any language takes the request from /NAME/queue
 * and posts progress and result there, and the browser polls /NAME or reads
 * /NAME/events.  Pictures lie in DIR/buckets/NAME: workers run on the
 * server's machine.  items.h has the queue, pictures.h the files.
 */
#ifndef ET_BUCKETS_H
#define ET_BUCKETS_H

#include "api/api.h"

struct api_options;
struct buckets;

/*
 * Makes the buckets that options->buckets names, and their users when
 * missing.  tables: those whose paths a bucket may not take; NULL-terminated.
 * Errors: INVALID, saying which and why.
 */
enum status buckets_new(struct api *api, const struct api_options *options, const struct route *const *tables,
                        struct buckets **ret_buckets, struct error *err);
/* Starts the threads of buckets that a classifier of ours serves; they use the store until buckets_stop. */
enum status buckets_start(struct buckets *b, struct error *err);
void buckets_stop(struct buckets *b); /* the server is stopping and has woken all who wait */
void buckets_free(struct buckets *b); /* NULL is fine */

int buckets_count(const struct buckets *b);
/* Routes of one bucket.  Lent. */
const struct route *buckets_routes(const struct buckets *b, int index);
bool buckets_has(const struct buckets *b, const char *name);

#endif
