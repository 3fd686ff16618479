#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/fault.h"
#include "store/internal.h"

#define BATCH_MAX 256

#define TRIES_MAX 4

/* A batch waits so long for the next of those who ask again as soon as they are answered. */
#define GATHER_NS  50000
#define GATHER_MAX 16 /* more of them make a commit's part of a request little cheaper */

struct write_request {
    const char *owner; /* NULL: unknown, or nobody */
    const char *key;   /* of work for many */
    write_function work;
    write_many many; /* instead of work */
    bool apart;      /* its transaction is its own, or that of those for the same work for many */
    struct write_item item;
    sem_t answered; /* then the request is its maker's again */
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
    size_t n_waiting;
    size_t n_expected; /* as many as were answered by the last batch, and those that waited then */
    bool gathering;    /* it needs no word of each request, only of the last one expected */
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
    free(tx->lanes.lanes);
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

/* Owners in order, one that is unknown last: those requests skip what is locked. */
static int compare_owners(const void *a, const void *b)
{
    const char *left = (*(struct write_request *const *)a)->owner;
    const char *right = (*(struct write_request *const *)b)->owner;
    if (!left || !right)
        return !left - !right;
    return strcmp(left, right);
}

/*
 * The one lock.  Taken before anything of the owner's is read or written, and
 * of several owners in the order of their names, so that transactions wait for
 * each other but never in a circle.
 */
static enum status lock_owners(struct committer *c, struct tx *tx, struct write_request **requests, size_t n,
                               struct error *err)
{
    if (!c->locks_owners)
        return OK;
    qsort(requests, n, sizeof(*requests), compare_owners);
    CLEANUP(buf_release) struct buf owners;
    buf_init(&owners, BATCH_MAX * OWNER_MAX);
    for (size_t i = 0; i < n && requests[i]->owner; i++)
        if (i == 0 || strcmp(requests[i]->owner, requests[i - 1]->owner) != 0)
            buf_printf(&owners, "%s%s", i ? "\n" : "", requests[i]->owner);
    tx->locked = owners.size > 0;
    if (!tx->locked)
        return OK;
    return SQL(c->db, NULL, err,
               "SELECT owner FROM owners WHERE owner = ANY(string_to_array($1, chr(10))) ORDER BY owner"
               " FOR UPDATE",
               V((const char *)owners.data));
}

/* One request of several, behind a savepoint: an answer of "no" undoes its own part only. */
static enum status run_gathered(struct tx *tx, struct write_request *r, struct error *err)
{
    struct write_item *item = &r->item;
    size_t n_topics = tx->topics.n;
    TRY(SQL(tx->db, NULL, err, "SAVEPOINT request"));
    item->status = r->work(tx, item->args, &item->err);
    if (connection_failed(tx->db))
        return error_set(err, FAILED, "a statement failed");
    if (item->status != OK) {
        topics_cut(&tx->topics, n_topics);
        TRY(SQL(tx->db, NULL, err, "ROLLBACK TO SAVEPOINT request"));
    }
    return SQL(tx->db, NULL, err, "RELEASE SAVEPOINT request");
}

static int compare_keys(const void *a, const void *b)
{
    const struct write_request *left = *(struct write_request *const *)a;
    const struct write_request *right = *(struct write_request *const *)b;
    return strcmp(left->key, right->key);
}

/* Those for one work for many, in the order of their keys; of one key, one after the other. */
static enum status run_many(struct tx *tx, struct write_request **requests, size_t n, struct error *err)
{
    write_many many = requests[0]->many;
    qsort(requests, n, sizeof(*requests), compare_keys);
    while (n) {
        struct write_item *items[BATCH_MAX];
        const char *last = NULL;
        size_t n_items = 0, n_later = 0;
        for (size_t i = 0; i < n; i++) {
            if (last && strcmp(requests[i]->key, last) == 0) {
                requests[n_later++] = requests[i];
                continue;
            }
            last = requests[i]->key;
            requests[i]->item.status = OK;
            items[n_items++] = &requests[i]->item;
        }
        TRY(many(tx, items, n_items, err));
        n = n_later;
    }
    return OK;
}

/* First what is asked one by one, then what is done for many together. */
static enum status run_all(struct tx *tx, struct write_request *const *requests, size_t n, struct error *err)
{
    struct write_request *left[BATCH_MAX], *same[BATCH_MAX];
    size_t n_left = 0;
    for (size_t i = 0; i < n; i++) {
        if (requests[i]->many)
            left[n_left++] = requests[i];
        else if (n > 1)
            TRY(run_gathered(tx, requests[i], err));
        else
            TRY(requests[i]->work(tx, requests[i]->item.args, err));
    }
    while (n_left) {
        write_many many = left[0]->many;
        size_t n_same = 0, n_others = 0;
        for (size_t i = 0; i < n_left; i++)
            if (left[i]->many == many)
                same[n_same++] = left[i];
            else
                left[n_others++] = left[i];
        TRY(run_many(tx, same, n_same, err));
        n_left = n_others;
    }
    return OK;
}

/* All in one transaction, which is nothing unless it is OK. */
static enum status run_together(struct committer *c, struct write_request **requests, size_t n,
                                struct error *err)
{
    CLEANUP(tx_release) struct tx tx = {.store = c->store, .db = c->db, .due_ms = INT64_MAX};
    enum status status = connection_begin(c->db, err);
    if (status == OK)
        status = lock_owners(c, &tx, requests, n, err);
    if (status == OK)
        status = run_all(&tx, requests, n, err);
    if (status == OK)
        status = commit(&tx, err);
    if (status == OK)
        tx_tell(&tx);
    else
        connection_rollback(c->db);
    return status;
}

/* One request in a transaction of its own; again when the database says that it may work now. */
static void run_alone(struct committer *c, struct write_request *r)
{
    struct write_item *item = &r->item;
    for (int i = 0; i < TRIES_MAX; i++) {
        struct error err;
        item->status = OK;
        enum status status = run_together(c, &r, 1, &err);
        if (status != OK) {
            item->status = status;
            item->err = err;
        }
        if (status == OK || !connection_may_repeat(c->db))
            return;
    }
}

/* Requests that may have been done for all we know: each is told, for doing them again may do them twice. */
static void give_up(struct write_request **requests, size_t n, const struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        requests[i]->item.status = err->status;
        requests[i]->item.err = *err;
    }
}

/* In one transaction if that can be, else in one each: then only the culprit fails. */
static void run(struct committer *c, struct write_request **requests, size_t n)
{
    struct error err;
    enum status status = n > 1 ? run_together(c, requests, n, &err) : FAILED;
    if (status == OK)
        return;
    if (n > 1 && connection_is_unsure(c->db)) {
        give_up(requests, n, &err);
        return;
    }
    for (size_t i = 0; i < n; i++)
        run_alone(c, requests[i]);
}

static void run_batch(struct committer *c, struct write_request *first)
{
    struct write_request *together[BATCH_MAX], *apart[BATCH_MAX];
    size_t n_together = 0, n_apart = 0;
    for (struct write_request *r = first; r; r = r->next)
        if (r->apart)
            apart[n_apart++] = r;
        else
            together[n_together++] = r;
    run(c, together, n_together);
    for (size_t i = 0, n; i < n_apart; i += n) {
        for (n = 1; i + n < n_apart && apart[i]->many && apart[i + n]->many == apart[i]->many; n++)
            ;
        run(c, &apart[i], n);
    }
}

/*
 * Waits as long as requests come, up to as many as were under way.  Without it
 * half of the clients wait while the batch of the other half is committed, in turns.
 */
static void gather(struct committer *c)
{
    c->gathering = true;
    for (size_t before = SIZE_MAX; c->n_waiting < c->n_expected && c->n_waiting != before && !c->stopping;) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += GATHER_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        before = c->n_waiting;
        pthread_cond_clockwait(&c->wanted, &c->lock, CLOCK_MONOTONIC, &until);
    }
    c->gathering = false;
}

/* Takes up to BATCH_MAX requests off the queue; waits for one; NULL when stopping. */
static struct write_request *take_batch(struct committer *c)
{
    gather(c);
    while (!c->first && !c->stopping)
        pthread_cond_wait(&c->wanted, &c->lock);
    struct write_request *batch = c->first;
    if (!batch)
        return NULL;
    struct write_request *end = batch;
    size_t n = 1;
    for (; n < BATCH_MAX && end->next; n++)
        end = end->next;
    c->n_waiting -= n;
    c->n_expected = n;
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
        c->n_expected = MIN(c->n_expected + c->n_waiting, (size_t)GATHER_MAX);
        pthread_mutex_unlock(&c->lock);
        for (struct write_request *r = batch, *next; r; r = next) {
            next = r->next;
            sem_post(&r->answered);
        }
        pthread_mutex_lock(&c->lock);
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
    sem_init(&r->answered, 0, 0);
    pthread_mutex_lock(&c->lock);
    *c->last = r;
    c->last = &r->next;
    c->n_waiting++;
    if (!c->gathering || c->n_waiting >= c->n_expected)
        pthread_cond_signal(&c->wanted);
    pthread_mutex_unlock(&c->lock);
    while (sem_wait(&r->answered)) /* a signal's handler ran */
        ;
    sem_destroy(&r->answered);
    if (r->item.status != OK && err)
        *err = r->item.err;
    return r->item.status;
}

/*
 * Where there are several, the first does what has no owner, leases above all,
 * and the last only heartbeats.  Of the others each has its owners (FNV-1a, 32
 * bits), so that committers seldom wait for each other.
 */
static struct committer *committer_of(struct store *s, const char *owner)
{
    if (s->n_committers < 3 || !owner)
        return s->committers[0];
    uint32_t h = 2166136261u;
    for (; *owner; owner++)
        h = (h ^ (unsigned char)*owner) * 16777619u;
    return s->committers[1 + h % (uint32_t)(s->n_committers - 2)];
}

enum status store_write_beat(struct store *s, write_function work, void *args, struct error *err)
{
    return write_on(s->committers[s->n_committers - 1],
                    &(struct write_request){.work = work, .item.args = args}, err);
}

enum status store_write(struct store *s, write_function work, void *args, struct error *err)
{
    return write_on(s->committers[0], &(struct write_request){.work = work, .item.args = args}, err);
}

enum status store_write_apart(struct store *s, write_function work, void *args, struct error *err)
{
    return write_on(s->committers[0], &(struct write_request){.work = work, .item.args = args, .apart = true},
                    err);
}

enum status store_write_for(struct store *s, const char *owner, write_function work, void *args,
                            struct error *err)
{
    return write_on(committer_of(s, owner),
                    &(struct write_request){.owner = owner, .work = work, .item.args = args}, err);
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
    return write_on(committer_of(s, owner),
                    &(struct write_request){.owner = owner, .work = work, .item.args = args}, err);
}

enum status store_write_many(struct store *s, const char *owner, const char *key, write_many many, void *args,
                             struct error *err)
{
    return write_on(committer_of(s, owner),
                    &(struct write_request){.owner = owner, .key = key, .many = many, .item.args = args},
                    err);
}

enum status store_write_many_apart(struct store *s, const char *key, write_many many, void *args,
                                   struct error *err)
{
    return write_on(s->committers[0],
                    &(struct write_request){.key = key, .many = many, .apart = true, .item.args = args}, err);
}
