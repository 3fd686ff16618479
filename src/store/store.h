/*
 * store.h - what survives a restart: documents, queue, series, users, tokens, blobs.
 *
 * One store serves all threads.  Writes gather in a committer thread, which
 * runs those that wait in one transaction and answers each only after the
 * commit: OK means it is on disk.  Readers have connections of their own and
 * never wait for writers.  Time is a parameter everywhere: now_ms, since 1970.
 *
 * An owner is the id of a user's document, "user:NAME".  Where a function
 * takes an owner, other owners' things are NOT_FOUND; NULL means any owner.
 * FAILED, NO_SPACE and UNAVAILABLE can come from any call: the database or
 * the disk said no, and nothing was written (after UNAVAILABLE, when the
 * database went away during a commit, it may have been).
 */
#ifndef ET_STORE_H
#define ET_STORE_H

#include "base/base.h"

struct store;
struct driver;

struct store_options {
    const char *blobs;           /* folder of the blobs; made when missing */
    int64_t now_ms;              /* from when leases are extended; 0: when opening is nearly over */
    int64_t quota_bytes;         /* of an owner without a quota of their own; 0: none */
    int64_t keep_days;           /* ended jobs of an owner without a time of their own; 0: for ever */
    int64_t blob_grace_ms;       /* an unused blob stays so long; 0: BLOB_GRACE_MS */
    int64_t sweep_ms;            /* unused blobs are looked for so often; 0: daily */
    int64_t backoff_ms;          /* before a job without a pause of its own is tried again; 0: 5 s */
    int64_t compare_ms;          /* tests: how often clocks are compared; 0: every minute */
    bool no_timer;               /* tests: no timer thread, store_tick() is called by hand */
    const struct driver *driver; /* tests: instead of the url's own (driver.h); NULL otherwise */
};

/*
 * url: "sqlite:PATH" or a path; "postgres://..." as libpq reads it, a database
 * that any number of processes may share, by whose clock this process goes
 * then.  Makes or migrates the schema; extends every lease by one lease time
 * and counts the lanes anew.
 * Errors: UNSUPPORTED for another kind of url, or a database that a newer et wrote.
 */
enum status store_open(const char *url, const struct store_options *options, struct store **ret_store,
                       struct error *err);
void store_close(struct store *s); /* waits for what is under way; NULL is fine */
void store_closep(struct store **s);

/*
 * Names one function that is called after a commit, once for each topic that
 * stirred: "feed:OWNER" (a document changed), "pool:NAME" (a job became
 * ready), "job:ID" (its log, metrics, progress or state changed),
 * "worker:NAME" (it was drained, or is wanted again),
 * "told:OWNER" (metrics or progress of one of the owner's jobs), "outbox:ID"
 * (a webhook has something to be sent), "damage:SHA256" (a blob has lost its
 * bytes: told by each sweep, from the thread that sweeps), "everything" (what
 * other servers told may have been missed: any topic may have stirred).  Else
 * it runs on the committer thread: it must be quick and never call the store.
 * NULL ends it: when this returns, none is being called any more.
 */
void store_on_change(struct store *s, void (*changed)(void *context, const char *topic), void *context);

/*
 * Does what is due by now: lapsed leases return their jobs or fail them, jobs
 * whose waiting time is over become ready, series of ended jobs are packed,
 * old keys, (hourly) what is kept too long and (daily) unreferenced blobs go.
 * The store's own timer thread calls it at the right moments.
 * ret_next_ms: when it has to be called again (may be NULL).
 */
enum status store_tick(struct store *s, int64_t now_ms, int64_t *ret_next_ms, struct error *err);

/* A read and a write of nothing: is the database there?  For /readyz. */
enum status store_check(struct store *s, struct error *err);

#include "store/arrays.h"
#include "store/blobs.h"
#include "store/documents.h"
#include "store/idempotency.h"
#include "store/limits.h"
#include "store/locals.h"
#include "store/queue.h"
#include "store/schedules.h"
#include "store/series.h"
#include "store/usage.h"
#include "store/users.h"
#include "store/webhooks.h"
#include "store/why.h"
#include "store/workers.h"

#endif
