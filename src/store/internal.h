/*
 * internal.h - between the files of the store only.
 *
 * A write is a function that runs on the committer thread inside the batch's
 * transaction.  It may run more than once (a failed batch is replayed one by
 * one), so it begins by resetting what it puts into its arguments.  When it
 * fails, what it did is rolled back.
 */
#ifndef ET_STORE_INTERNAL_H
#define ET_STORE_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "store/sql.h"
#include "store/store.h"

struct committer;
struct peers;
struct readers;
struct timer;
struct password_cache;
struct idempotency_keys;
struct quota_holds;

#define SECRET_BYTES   32
#define COMMITTERS_MAX 4 /* one works while another waits for its database */

struct store {
    const struct driver *driver;
    char *where;
    char *blobs;
    unsigned char secret[SECRET_BYTES]; /* derives the leases' tokens; kept in the database */
    struct committer *committers[COMMITTERS_MAX];
    int n_committers;
    struct peers *peers; /* NULL: no other server can be there */
    struct readers *readers;
    struct timer *timer; /* NULL: none */
    struct password_cache *passwords;
    struct idempotency_keys *keys;
    struct quota_holds *quotas;
    int64_t quota_bytes, keep_days;  /* the usual ones; 0: none, for ever */
    int64_t backoff_ms;              /* the usual first pause before a job is tried again */
    int64_t compare_ms;              /* how often this machine's clock is compared with the database's */
    int64_t blob_grace_ms, sweep_ms; /* a blob unused so long goes; how often that is looked for */
    pthread_mutex_t tick_lock;       /* one tick at a time; guards the two below */
    int64_t swept_ms;                /* of the last sweep of blobs */
    int64_t aged_ms;                 /* of the last look for what is too old */
    atomic_llong damaged;            /* blobs without their bytes, at the last sweep */
    pthread_mutex_t changed_lock;    /* guards the two below, and is held while they are called */
    void (*changed)(void *context, const char *topic);
    void *changed_context;
};

/* -- writing: committer.c -- */
struct tx {
    struct store *store;
    struct connection *db;
    struct topics {
        size_t n, allocated;
        char **names;
    } topics;
    struct topics pools; /* whose lanes have changed */
    bool locked;         /* owners are: it may not wait for another one */
    struct lane_changes {
        bool collects;
        int n;
        struct lane_change *lanes;
    } lanes; /* while it collects, lane_update only adds up what it is told: each lane is then written once */
    int64_t due_ms; /* the earliest time that this transaction made due; INT64_MAX: none */
};
/* Stirs a topic after the commit. */
void tx_stir(struct tx *tx, const char *kind, const char *name);
/* Stirs the pool after the commit, if a job of it can be leased then. */
void tx_pool(struct tx *tx, const char *pool);
/* The timer has to look again at this time. */
void tx_due(struct tx *tx, int64_t at_ms);

enum status committer_start(struct store *s, struct connection *writer, struct committer **ret_committer,
                            struct error *err);
void committer_stop(struct committer *c); /* NULL is fine */
typedef enum status (*write_function)(struct tx *tx, void *args, struct error *err);
/*
 * Runs work in a transaction and returns after its commit.  Where databases
 * let several write at once, whose documents or jobs are changed is said
 * before: the owner's row is locked first, and what work reads stays so.
 */
enum status store_write_for(struct store *s, const char *owner, write_function work, void *args,
                            struct error *err);
/* The same for the owner of a document or job, when he is not known (NULL). */
enum status store_write_about(struct store *s, const char *owner, const char *document, write_function work,
                              void *args, struct error *err);
/* For heartbeats: they never wait for what takes long, or leases would lapse of which the worker lives. */
enum status store_write_beat(struct store *s, write_function work, void *args, struct error *err);
/* For work that changes no owner's documents or jobs, or locks the owners itself without waiting. */
enum status store_write(struct store *s, write_function work, void *args, struct error *err);
/*
 * Work that is done for several requests at once, after the others of their
 * transaction.  Each item says whether it was done (its status is OK before); what was refused has changed
 * nothing.  When many fails, all of the transaction is rolled back, and each
 * request gets one of its own: then many's error is the request's.
 * owner: NULL is nobody.  Items of one call have different keys, in order.
 */
struct write_item {
    void *args;
    enum status status;
    struct error err;
};
typedef enum status (*write_many)(struct tx *tx, struct write_item *const *items, size_t n,
                                  struct error *err);
enum status store_write_many(struct store *s, const char *owner, const char *key, write_many many, void *args,
                             struct error *err);
/* In a transaction of their own, which has locked nothing. */
enum status store_write_many_apart(struct store *s, const char *key, write_many many, void *args,
                                   struct error *err);
/* Of a document, where store_write_for needs him; else, or when there is no such document, "". */
enum status store_owner(struct store *s, const char *document, char ret_owner[OWNER_MAX], struct error *err);
/* In a transaction of its own: it may wait for locks. */
enum status store_write_apart(struct store *s, write_function work, void *args, struct error *err);

/* -- reading: readers.c -- */
enum status readers_new(struct store *s, struct readers **ret_readers, struct error *err);
void readers_free(struct readers *r);
/* A connection for reading, to be given back; several statements see one state only within a transaction. */
struct reader {
    struct store *store;
    struct connection *db;
};
enum status reader_take(struct store *s, struct reader *ret_reader, struct error *err);
void reader_give(struct reader *r);
#define READER CLEANUP(reader_give) struct reader

/* -- time: timer.c -- */
enum status timer_start(struct store *s, struct error *err);
void timer_stop(struct timer *t);
void timer_poke(struct timer *t, int64_t due_ms); /* wakes it when it would sleep past due_ms */

/* -- other servers on the same database: peers.c -- */
/* Tells them what stirs here, and hears what stirs there.  ret_peers: NULL when the driver knows no others.
 */
enum status peers_start(struct store *s, struct peers **ret_peers, struct error *err);
void peers_stop(struct peers *p);     /* NULL is fine */
#define EVERYTHING_TOPIC "everything" /* something may have been missed: who waits looks again */
void peers_tell(struct peers *p, const char *const *topics, size_t n);

/* -- documents.c -- */
#define DOCUMENT_COLUMNS "id, owner, type, rev, seq, state, created, updated, body"
/* Rows whose first columns are those; at most limit, `more` when there is one above that. */
enum status document_rows(const struct rows *rows, int limit, struct document_list *ret_list,
                          struct error *err);
/* document_delete within a write. */
enum status document_delete_within(struct tx *tx, const char *owner, const char *id, int64_t now_ms,
                                   struct error *err);
enum status document_find(struct connection *db, const char *owner, const char *id,
                          struct document *ret_document, struct error *err);
/* Gives d a new revision and sequence number and writes its state and body. */
enum status document_write(struct tx *tx, struct document *d, int64_t now_ms, struct error *err);
/* The same without telling d its number: nobody has to wait for it. */
enum status document_write_unread(struct tx *tx, struct document *d, int64_t now_ms, struct error *err);
/* The same for the state alone. */
enum status document_set_state(struct tx *tx, const char *owner, const char *id, enum document_state state,
                               int64_t now_ms, struct error *err);
/* Makes a tombstone of it: all that it has goes.  d: its present revision; then the tombstone. */
enum status document_bury(struct tx *tx, struct document *d, int64_t now_ms, struct error *err);
/* Live documents that use it, at most 100: id and type. */
enum status document_users(struct tx *tx, const char *id, struct rows *rows, struct error *err);
/* Makes one document; the job's part is enqueue.c's. */
enum status document_insert(struct tx *tx, const char *owner, const struct new_document *new, int64_t now_ms,
                            struct document *ret_document, struct error *err);

/* -- enqueue.c -- */
#define POSITION_GAP INT64_C(65536) /* a millisecond, in positions */
/* What the `after` of a new job says: WAITING, READY, or FAILED with a reason (for the caller to free). */
enum status enqueue_resolve(struct tx *tx, const char *owner, const struct new_job *job,
                            enum document_state *ret_state, char **ret_reason, struct error *err);
enum status enqueue_insert(struct tx *tx, const char *owner, const char *id, const struct new_job *job,
                           enum document_state state, int64_t now_ms, struct error *err);

/* -- limits.c -- */
/* Errors: LIMITED when the owner may not have n more jobs queued. */
enum status limit_check(struct tx *tx, const char *owner, int n, struct error *err);

/* -- cancel.c -- */
enum status cancel_within(struct tx *tx, const char *owner, const char *id, const char *who, bool force,
                          int64_t now_ms, enum document_state *ret_state, struct error *err);

/* -- queue_end.c -- */
struct ending {
    const char *id, *owner;
    enum document_state state; /* FINISHED, FAILED or CANCELLED */
    const char *reason;
    const json_t *result; /* merge patch, or NULL */
};
/*
 * The job's row is gone: writes the document's end and frees or fails those
 * that depend on it.  known: a row that begins with ENDING_COLUMNS, or NULL: it asks.
 */
enum status queue_end(struct tx *tx, const struct ending *e, const struct rows *known, int64_t now_ms,
                      struct error *err);
/* The columns of a document, for a row that queue_end knows. */
#define ENDING_COLUMNS                                                                                       \
    DOCUMENT_COLUMNS                                                                                         \
    ", (SELECT p.body FROM progress p WHERE p.job = documents.id),"                                          \
    " (SELECT COUNT(*) FROM webhooks w WHERE w.owner = documents.owner AND w.enabled = 1),"                  \
    " (SELECT COUNT(*) FROM deps WHERE needs = documents.id),"                                               \
    " (SELECT COUNT(*) FROM deps WHERE job = documents.id), " PACK_IS_WORTH("documents.id")
#define ENDING_N_COLUMNS 14
/* Recomputes a lane's head after adding `change` to its running jobs; stirs the pool when a job is there. */
enum status lane_update(struct tx *tx, const char *pool, const char *owner, int change, struct error *err);
/* Writes what tx->lanes has collected, and ends that. */
enum status lane_changes_write(struct tx *tx, struct error *err);
/* Before the attempt after `counted` failed ones. */
int64_t queue_backoff_ms(int64_t first_ms, int counted);
/* RFC 7396; patch's nested values are copied. */
void merge_patch(json_t *target, const json_t *patch);

/* -- queue.c -- */
/* queue_lease within a write, for store_write_many: an item's args. */
struct leasing {
    const struct lease_request *request;
    int64_t now_ms;
    bool busy;                /* there is a job, but its owner is locked by another transaction */
    struct rows worker, held; /* what is known of both, to begin with */
    struct rows *taken;       /* a row each */
    int n;                    /* of those */
    int pool;                 /* index of the pool that it is at; n_pools: that was the last */
};
void leasing_release(struct leasing *l);
/* After the commit: the jobs that the request has got. */
enum status leasing_jobs(const struct store *s, const struct leasing *l, struct job_list *ret_list,
                         struct error *err);
enum status lease_many(struct tx *tx, struct write_item *const *items, size_t n, struct error *err);

/* Errors: CONFLICT unless the attempt is the current one, which it stays while its owner is locked. */
enum status lease_check(struct tx *tx, const char *job, int attempt, struct error *err);

/* SQL, of a row of jobs: nobody holds it.  The index jobs_queued has this condition, word for word. */
#define IS_QUEUED "worker IS NULL"
#define IS_READY  "state = 1 AND " IS_QUEUED

/* A job's row as job_read_row reads it. */
#define JOB_COLUMNS                                                                                          \
    "id, owner, kind, pool, worker, attempt, counted, max_attempts, priority, state, cancel, not_before,"    \
    " leased, expires, spec, position"
enum status job_read_row(const struct rows *rows, int i, struct job *ret_job, struct error *err);

/* -- workers.c -- */
/*
 * Within a lease: the worker that asks is known from now on, and its row is
 * locked: what it asks for at several servers at once, they answer in turn.
 */
enum status worker_ask(struct tx *tx, const struct lease_request *request, struct rows *rows,
                       struct error *err); /* SQL_SEND */
enum status worker_note(struct tx *tx, const struct lease_request *request, const struct rows *known,
                        int64_t now_ms, struct error *err);
bool worker_is_drained(const struct rows *known);
/* Forgets those that are long gone. */
enum status workers_expire(struct store *s, int64_t now_ms, struct error *err);

/* -- arrays.c -- */
/* Goes on with arrays whose elements are not all there. */
enum status arrays_tick(struct store *s, int64_t now_ms, struct error *err);

/* -- schedules.c -- */
/* ret_next_ms: INT64_MAX when there is nothing to come. */
enum status schedules_tick(struct store *s, int64_t now_ms, int64_t *ret_next_ms, struct error *err);

/* -- attempt.c -- */
/* queue_finish within a write, for store_write_many: an item's args. */
struct attempt_end {
    const struct finish *finish;
    int64_t now_ms;
    struct rows held;
};
void attempt_end_release(struct attempt_end *f);
enum status finish_many(struct tx *tx, struct write_item *const *items, size_t n, struct error *err);
/* The same for one. */
enum status attempt_finish(struct tx *tx, const struct finish *f, int64_t now_ms, struct error *err);
/* At start: extends all leases by their lease time and counts the lanes anew. */
enum status queue_recover(struct tx *tx, int64_t now_ms, struct error *err);
enum status queue_tick(struct store *s, int64_t now_ms, int64_t *ret_next_ms, struct error *err);

/* -- metrics.c -- */
#define METRIC_COLUMNS "name, step, at, value, special, ord"
/* A row that was selected by METRIC_COLUMNS first. */
void metric_read_row(const struct rows *rows, int i, struct metric_point *p);

/* -- blobs.c -- */
enum status blobs_open(struct store *s, struct error *err);
char *blob_path(const struct store *s, const char *sha256); /* for the caller to free */
/*
 * LOCK_SH while a put moves its file in, LOCK_EX while a sweep removes files;
 * also against other servers that use the folder.  Closing the descriptor ends it.
 */
enum status blobs_lock(const struct store *s, int how, int *ret_fd, struct error *err);
/* "cannot WHAT a blob: ...": NO_SPACE or FAILED. */
enum status blob_failed(const char *what, int number, struct error *err);
/* Within a write: a document refers to a blob, which must be there. */
enum status blob_refer(struct tx *tx, const char *document, const char *name, const char *sha256,
                       int64_t now_ms, struct error *err);

/* -- idempotency.c -- */
struct idempotency_keys *idempotency_keys_new(void);
void idempotency_keys_free(struct idempotency_keys *keys);
enum status idempotency_insert(struct tx *tx, const struct idempotency *key, int http_status,
                               const char *body, int64_t now_ms, struct error *err);
/* Saves what the key's answer function says. */
enum status idempotency_answer(struct tx *tx, const struct idempotency *key, const struct document_list *made,
                               int64_t now_ms, struct error *err);
enum status idempotency_expire(struct store *s, int64_t now_ms, struct error *err);

/* -- trash.c -- */
/* Within a write: what a deleted document's job told goes soon, in pieces. */
enum status trash_add(struct tx *tx, const char *job, int64_t now_ms, struct error *err);
enum status trash_empty(struct store *s, struct error *err);

/* -- webhooks.c, outbox.c -- */
/* Within the write that ends a job: deliveries for the owner's hooks that want to hear of it. */
enum status webhooks_tell(struct tx *tx, const struct document *d, int64_t now_ms, struct error *err);
/* The oldest pending delivery of an enabled hook becomes due, unless it is. */
enum status outbox_promote(struct tx *tx, const char *hook, int64_t now_ms, struct error *err);
/* At start: what was being sent is due again. */
enum status outbox_recover(struct tx *tx, int64_t now_ms, struct error *err);

/* -- usage.c -- */
struct quota_holds *quota_holds_new(void);
void quota_holds_free(struct quota_holds *holds);

/* -- retention.c -- */
/* Deletes what is too old; the rest of users who left goes at every tick. */
enum status retention_age(struct store *s, int64_t now_ms, struct error *err);
enum status retention_leave(struct store *s, int64_t now_ms, struct error *err);

/* -- pack.c -- */
/* SQL: 1 when what a job told is so much that it is to be packed, else 0. */
#define PACK_POINTS "1000"
#define PACK_BYTES  "65536"
#define PACK_IS_WORTH(job)                                                                                   \
    "CASE WHEN (SELECT COUNT(*) FROM (SELECT 1 FROM metrics WHERE job = " job " LIMIT " PACK_POINTS ") m)"   \
    " >= " PACK_POINTS " OR (SELECT MAX(base + length) FROM logs WHERE job = " job ") >= " PACK_BYTES        \
    " THEN 1 ELSE 0 END"
/* Within the write that ends a job of which that is so. */
enum status pack_later(struct tx *tx, const char *job, int64_t now_ms, struct error *err);
enum status pack_tick(struct store *s, int64_t now_ms, struct error *err);
/* Appends at most max_size bytes of a packed log from offset; none when it is not packed. */
enum status pack_read_log(struct store *s, struct connection *db, const char *job, enum log_stream stream,
                          int64_t offset, size_t max_size, struct buf *out, struct error *err);
/* As metrics_read and metrics_latest; ret_packed false (the list untouched) when they are rows. */
enum status pack_read_metrics(struct store *s, struct connection *db, const char *job, const char *name,
                              int64_t since, int limit, bool *ret_packed, struct metric_list *ret_list,
                              struct error *err);
enum status pack_latest_metrics(struct store *s, struct connection *db, const char *job, bool *ret_packed,
                                struct metric_list *ret_list, struct error *err);

/* -- users.c -- */
#define PASSWORD_TOPIC "password" /* "password:OWNER": it has changed, at another server perhaps */
void password_forget(struct store *s, const char *owner); /* NULL: all */
struct password_cache *password_cache_new(void);
void password_cache_free(struct password_cache *cache);

/* HMAC-SHA256 of the text in lower-case hex (secret.c). */
void secret_hmac(const unsigned char secret[SECRET_BYTES], const char *text, size_t size,
                 char ret_hex[HASH_HEX_MAX]);
/* Are two texts of secrets equal?  Takes the same time wherever they differ. */
bool secret_equal(const char *a, const char *b);

/* Copies a column's text that fits by construction. */
void copy_text(char *out, size_t size, const char *text);

#endif
