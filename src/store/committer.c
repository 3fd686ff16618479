#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "store/internal.h"

#define BATCH_MAX 256

struct write_request {
    write_function work;
    void *args;
    struct error err;
    enum status status;
    bool done;
    pthread_cond_t answered;
    struct write_request *next;
};

struct committer {
    struct store *store;
    struct connection *db;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wanted;
    struct write_request *first, **last;
    bool stopping;
};

void tx_stir(struct tx *tx, const char *kind, const char *name)
{
    struct topics *t = &tx->topics;
    if (t->n == t->allocated) {
        t->allocated = MAX(2 * t->allocated, (size_t)64);
        t->names = xrealloc(t->names, t->allocated * sizeof(*t->names));
    }
    t->names[t->n++] = xasprintf("%s:%s", kind, name);
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
    if (s->timer && tx->due_ms != INT64_MAX)
        timer_poke(s->timer, tx->due_ms);
}

static void tx_release(struct tx *tx)
{
    topics_cut(&tx->topics, 0);
    free(tx->topics.names);
}

static enum status commit(struct connection *db, struct error *err)
{
    if (fault_point("store.commit"))
        return error_set(err, FAILED, "the commit was made to fail");
    TRY(connection_commit(db, err));
    (void)fault_point("store.committed");
    return OK;
}

/* One request in a transaction of its own. */
static void run_alone(struct committer *c, struct write_request *r)
{
    CLEANUP(tx_release) struct tx tx = {.store = c->store, .db = c->db, .due_ms = INT64_MAX};
    r->status = connection_begin(c->db, &r->err);
    if (r->status == OK)
        r->status = r->work(&tx, r->args, &r->err);
    if (r->status == OK)
        r->status = commit(c->db, &r->err);
    if (r->status == OK)
        tx_tell(&tx);
    else
        connection_rollback(c->db);
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

static enum status run_together(struct committer *c, struct write_request *first)
{
    struct error err;
    CLEANUP(tx_release) struct tx tx = {.store = c->store, .db = c->db, .due_ms = INT64_MAX};
    TRY(connection_begin(c->db, &err));
    enum status status = OK;
    for (struct write_request *r = first; r && status == OK; r = r->next)
        status = run_gathered(&tx, r, &err);
    if (status == OK)
        status = commit(c->db, &err);
    if (status == OK)
        tx_tell(&tx);
    else
        connection_rollback(c->db);
    return status;
}

static void run_batch(struct committer *c, struct write_request *first)
{
    if (first->next && run_together(c, first) == OK)
        return;
    for (struct write_request *r = first; r; r = r->next)
        run_alone(c, r);
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

enum status store_write(struct store *s, write_function work, void *args, struct error *err)
{
    struct committer *c = s->committer;
    struct write_request r = {.work = work, .args = args};
    pthread_cond_init(&r.answered, NULL);
    pthread_mutex_lock(&c->lock);
    *c->last = &r;
    c->last = &r.next;
    pthread_cond_signal(&c->wanted);
    while (!r.done)
        pthread_cond_wait(&r.answered, &c->lock);
    pthread_mutex_unlock(&c->lock);
    pthread_cond_destroy(&r.answered);
    if (r.status != OK && err)
        *err = r.err;
    return r.status;
}
