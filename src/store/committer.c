#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "store/internal.h"

#define BATCH_MAX 256

#define TRIES_MAX 4

struct write_request {
    const char *owner; /* NULL: unknown, or nobody */
    write_function work;
    void *args;
    bool alone; /* its transaction is its own */
    bool bare;  /* without a savepoint */
    struct error err;
    enum status status;
    bool done;
    pthread_cond_t answered;
    struct write_request *next;
};

struct committer {
    struct store *store;
    struct connection *db;
    bool locks_owners;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wanted;
    struct write_request *first, **last;
    bool stopping;
};

static void topics_add(struct topics *t, char *name)
{
    if (t->n == t->allocated) {
        t->allocated = MAX(2 * t->allocated, (size_t)64);
        t->names = xrealloc(t->names, t->allocated * sizeof(*t->names));
    }
    t->names[t->n++] = name;
}

void tx_stir(struct tx *tx, const char *kind, const char *name)
{
    topics_add(&tx->topics, xasprintf("%s:%s", kind, name));
}

/* A batch mostly has one. */
void tx_pool(struct tx *tx, const char *pool)
{
    if (!tx->pools.n || strcmp(tx->pools.names[tx->pools.n - 1], pool) != 0)
        topics_add(&tx->pools, xstrdup(pool));
}

void tx_due(struct tx *tx, int64_t at_ms)
{
    tx->due_ms = MIN(tx->due_ms, at_ms);
}

static void topics_cut(struct topics *t, size_t n)
{
    while (t->n > n)
        free(t->names[--t->n]);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* After a commit: every topic once. */
static void tx_tell(struct tx *tx)
{
    struct store *s = tx->store;
    struct topics *t = &tx->topics;
    if (t->n)
        qsort(t->names, t->n, sizeof(*t->names), compare_names);
    pthread_mutex_lock(&s->changed_lock);
    for (size_t i = 0; s->changed && i < t->n; i++)
        if (i == 0 || strcmp(t->names[i], t->names[i - 1]) != 0)
            s->changed(s->changed_context, t->names[i]);
    pthread_mutex_unlock(&s->changed_lock);
    peers_tell(s->peers, (const char *const *)t->names, t->n);
    if (s->timer && tx->due_ms != INT64_MAX)
        timer_poke(s->timer, tx->due_ms);
}

static void tx_release(struct tx *tx)
{
    topics_cut(&tx->topics, 0);
    topics_cut(&tx->pools, 0);
    free(tx->topics.names);
    free(tx->pools.names);
}

/* Is there a job for those who wait for one?  Asked once for all of the transaction's changes. */
static enum status look_at_pools(struct tx *tx, struct error *err)
{
    struct topics *t = &tx->pools;
    if (t->n)
        qsort(t->names, t->n, sizeof(*t->names), compare_names);
    for (size_t i = 0; i < t->n; i++) {
        ROWS rows = {0};
        if (i && strcmp(t->names[i], t->names[i - 1]) == 0)
            continue;
        TRY(SQL(tx->db, &rows, err,
                "SELECT 1 FROM lanes WHERE pool = $1 AND head_job IS NOT NULL AND running < max_running"
                " LIMIT 1",
                V((const char *)t->names[i])));
        if (rows.n)
            tx_stir(tx, "pool", t->names[i]);
    }
    return OK;
}

static enum status commit(struct tx *tx, struct error *err)
{
    TRY(look_at_pools(tx, err));
    if (fault_point("store.commit"))
        return error_set(err, FAILED, "the commit was made to fail");
    TRY(connection_commit(tx->db, err));
    (void)fault_point("store.committed");
    return OK;
}

/*
 * The one lock.  Taken before anything of the owner's is read or written, and
 * of several owners in the order of their names, so that transactions wait for
 * each other but never in a circle.
 */
static enum status lock_owner(struct committer *c, const char *owner, struct error *err)
{
    if (!c->locks_owners || !owner)
        return OK;
    return SQL(c->db, NULL, err, "SELECT owner FROM owners WHERE owner = $1 FOR UPDATE", V(owner));
}

static void run_once(struct committer *c, struct write_request *r)
{
    CLEANUP(tx_release) struct tx tx = {.store = c->store, .db = c->db, .due_ms = INT64_MAX};
    r->status = connection_begin(c->db, &r->err);
    if (r->status == OK)
        r->status = lock_owner(c, r->owner, &r->err);
    if (r->status == OK)
        r->status = r->work(&tx, r->args, &r->err);
    if (r->status == OK)
        r->status = commit(&tx, &r->err);
    if (r->status == OK)
        tx_tell(&tx);
    else
        connection_rollback(c->db);
}

/* One request in a transaction of its own; again when the database says that it may work now. */
static void run_alone(struct committer *c, struct write_request *r)
{
    for (int i = 0; i < TRIES_MAX; i++) {
        run_once(c, r);
        if (r->status == OK || !connection_may_repeat(c->db))
            return;
    }
}

static enum status run_bare(struct tx *tx, struct write_request *r, struct error *err)
{
    size_t n_topics = tx->topics.n;
    unsigned long writes = connection_writes(tx->db);
    r->status = r->work(tx, r->args, &r->err);
    if (connection_failed(tx->db) || (r->status != OK && connection_writes(tx->db) != writes))
        return error_set(err, FAILED, "a request failed after it had begun to write");
    if (r->status != OK)
        topics_cut(&tx->topics, n_topics);
    return OK;
}

/* One request of several, behind a savepoint: an answer of "no" undoes its own part only. */
static enum status run_gathered(struct tx *tx, struct write_request *r, struct error *err)
{
    size_t n_topics = tx->topics.n;
    TRY(SQL(tx->db, NULL, err, "SAVEPOINT request"));
    r->status = r->work(tx, r->args, &r->err);
    if (connection_failed(tx->db))
        return error_set(err, FAILED, "a statement failed");
    if (r->status != OK) {
        topics_cut(&tx->topics, n_topics);
        TRY(SQL(tx->db, NULL, err, "ROLLBACK TO SAVEPOINT request"));
    }
    return SQL(tx->db, NULL, err, "RELEASE SAVEPOINT request");
}

/* Owners in order, one that is unknown last: those requests skip what is locked. */
static int compare_owners(const void *a, const void *b)
{
    const char *left = (*(struct write_request *const *)a)->owner;
    const char *right = (*(struct write_request *const *)b)->owner;
    if (!left || !right)
        return !left - !right;
    return strcmp(left, right);
}

static enum status lock_owners(struct committer *c, struct write_request **requests, size_t n,
                               struct error *err)
{
    if (!c->locks_owners)
        return OK;
    qsort(requests, n, sizeof(*requests), compare_owners);
    for (size_t i = 0; i < n && requests[i]->owner; i++)
        if (i == 0 || strcmp(requests[i]->owner, requests[i - 1]->owner) != 0)
            TRY(lock_owner(c, requests[i]->owner, err));
    return OK;
}

static enum status run_together(struct committer *c, struct write_request **requests, size_t n,
                                struct error *err)
{
    CLEANUP(tx_release) struct tx tx = {.store = c->store, .db = c->db, .due_ms = INT64_MAX};
    enum status status = connection_begin(c->db, err);
    if (status == OK)
        status = lock_owners(c, requests, n, err);
    for (size_t i = 0; i < n && status == OK; i++)
        status = (requests[i]->bare ? run_bare : run_gathered)(&tx, requests[i], err);
    if (status == OK)
        status = commit(&tx, err);
    if (status == OK)
        tx_tell(&tx);
    else
        connection_rollback(c->db);
    return status;
}

/* Requests that may not have been done for all we know: each is told, for doing them again may do them twice.
 */
static void give_up(struct write_request **requests, size_t n, const struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        requests[i]->status = err->status;
        requests[i]->err = *err;
    }
}

static void run_batch(struct committer *c, struct write_request *first)
{
    struct write_request *together[BATCH_MAX], *alone[BATCH_MAX];
    size_t n_together = 0, n_alone = 0;
    struct error err;
    for (struct write_request *r = first; r; r = r->next)
        if (r->alone)
            alone[n_alone++] = r;
        else
            together[n_together++] = r;
    enum status status = n_together > 1 ? run_together(c, together, n_together, &err) : OK;
    if (status != OK && connection_is_unsure(c->db))
        give_up(together, n_together, &err);
    else if (status != OK || n_together == 1)
        for (size_t i = 0; i < n_together; i++)
            run_alone(c, together[i]);
    for (size_t i = 0; i < n_alone; i++)
        run_alone(c, alone[i]);
}

/* Takes up to BATCH_MAX requests off the queue; waits for one; NULL when stopping. */
static struct write_request *take_batch(struct committer *c)
{
    while (!c->first && !c->stopping)
        pthread_cond_wait(&c->wanted, &c->lock);
    struct write_request *batch = c->first;
    if (!batch)
        return NULL;
    struct write_request *end = batch;
    for (int i = 1; i < BATCH_MAX && end->next; i++)
        end = end->next;
    c->first = end->next;
    if (!c->first)
        c->last = &c->first;
    end->next = NULL;
    return batch;
}

static void *committer_main(void *opaque)
{
    struct committer *c = opaque;
    pthread_mutex_lock(&c->lock);
    for (struct write_request *batch; (batch = take_batch(c));) {
        pthread_mutex_unlock(&c->lock);
        run_batch(c, batch);
        pthread_mutex_lock(&c->lock);
        for (struct write_request *r = batch, *next; r; r = next) {
            next = r->next;
            r->done = true;
            pthread_cond_signal(&r->answered);
        }
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

enum status committer_start(struct store *s, struct connection *writer, struct committer **ret_committer,
                            struct error *err)
{
    struct committer *c = xcalloc(1, sizeof(*c));
    c->store = s;
    c->db = writer;
    c->locks_owners = s->driver->locks_rows;
    c->last = &c->first;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->wanted, NULL);
    int number = pthread_create(&c->thread, NULL, committer_main, c);
    if (number) {
        free(c);
        return error_set(err, FAILED, "cannot start a thread: %s", strerror(number));
    }
    *ret_committer = c;
    return OK;
}

void committer_stop(struct committer *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    pthread_cond_signal(&c->wanted);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    connection_free(c->db);
    pthread_cond_destroy(&c->wanted);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static enum status write_on(struct committer *c, struct write_request *r, struct error *err)
{
    pthread_cond_init(&r->answered, NULL);
    pthread_mutex_lock(&c->lock);
    *c->last = r;
    c->last = &r->next;
    pthread_cond_signal(&c->wanted);
    while (!r->done)
        pthread_cond_wait(&r->answered, &c->lock);
    pthread_mutex_unlock(&c->lock);
    pthread_cond_destroy(&r->answered);
    if (r->status != OK && err)
        *err = r->err;
    return r->status;
}

/* FNV-1a, 32 bits: the writes of an owner or job go one way, so that committers seldom wait for each other.
 */
static struct committer *committer_of(struct store *s, const char *key)
{
    uint32_t h = 2166136261u;
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * 16777619u;
    return s->committers[h % (uint32_t)MAX(s->n_committers - 1, 1)];
}

/* The last one, where there are several, has nothing else to do. */
enum status store_write_beat(struct store *s, write_function work, void *args, struct error *err)
{
    return write_on(s->committers[s->n_committers - 1], &(struct write_request){.work = work, .args = args},
                    err);
}

enum status store_write(struct store *s, write_function work, void *args, struct error *err)
{
    return write_on(s->committers[0], &(struct write_request){.work = work, .args = args}, err);
}

enum status store_write_alone(struct store *s, write_function work, void *args, struct error *err)
{
    return write_on(s->committers[0], &(struct write_request){.work = work, .args = args, .alone = true},
                    err);
}

enum status store_write_for(struct store *s, const char *owner, write_function work, void *args,
                            struct error *err)
{
    return write_on(committer_of(s, owner),
                    &(struct write_request){.owner = owner, .work = work, .args = args}, err);
}

enum status store_write_job(struct store *s, const char *job, write_function work, void *args,
                            struct error *err)
{
    return write_on(committer_of(s, job), &(struct write_request){.work = work, .args = args}, err);
}

enum status store_owner(struct store *s, const char *document, char ret_owner[OWNER_MAX], struct error *err)
{
    ROWS rows = {0};
    READER reader = {0};
    *ret_owner = '\0';
    if (!s->driver->locks_rows)
        return OK;
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT owner FROM documents WHERE id = $1", V(document)));
    if (rows.n)
        copy_text(ret_owner, OWNER_MAX, row_text(&rows, 0, 0));
    return OK;
}

enum status store_write_about(struct store *s, const char *owner, const char *document, write_function work,
                              void *args, struct error *err)
{
    char found[OWNER_MAX] = "";
    if (!owner)
        TRY(store_owner(s, document, found, err));
    if (!owner && *found)
        owner = found;
    return owner ? store_write_for(s, owner, work, args, err) : store_write_job(s, document, work, args, err);
}

enum status store_write_bare(struct store *s, const char *owner, const char *key, write_function work,
                             void *args, struct error *err)
{
    return write_on(committer_of(s, owner ? owner : key),
                    &(struct write_request){.owner = owner, .work = work, .args = args, .bare = true}, err);
}
