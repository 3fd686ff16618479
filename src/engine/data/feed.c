/*
 * A ring of batches between the source's thread and the net's.
 *
 *   slots:  [lent][full][full][being filled]
 *           head^  n_full = 2        ^ (head + is_lent + n_full) % n
 *
 * The producer owns the slot it fills without the lock; everything else of
 * the ring is under it.  The source itself is the producer's alone while the
 * thread runs; feed_seek stops the thread first.
 */
#include <pthread.h>
#include <stdlib.h>

#include "engine/data/source_common.h"

struct slot {
    float *tops[SOURCE_MAX_TOPS];
    struct source_position after; /* where the source stood when the batch was read */
};

struct feed {
    struct source *source;
    int n_slots;
    struct slot *slots;

    pthread_t thread;
    bool is_running; /* the thread is there to be joined; the net's thread only */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    int head;   /* the lent slot, or the first full one */
    int n_full; /* not counting the lent one */
    bool is_lent;
    bool stop;
    enum status failed; /* why the producer ended, after the full slots */
    struct error error;

    struct source_position position; /* of the batch that feed_next will give; the net's thread only */
};

static void *produce(void *context)
{
    struct feed *f = context;
    pthread_mutex_lock(&f->lock);
    for (;;) {
        while (!f->stop && f->n_full + f->is_lent == f->n_slots)
            pthread_cond_wait(&f->changed, &f->lock);
        if (f->stop)
            break;
        struct slot *slot = &f->slots[(f->head + f->is_lent + f->n_full) % f->n_slots];
        pthread_mutex_unlock(&f->lock);

        struct error error = {0};
        enum status status = f->source->ops->read(f->source, slot->tops, &error);
        if (status == OK)
            f->source->ops->tell(f->source, &slot->after);

        pthread_mutex_lock(&f->lock);
        if (status != OK) {
            f->failed = status;
            f->error = error;
        } else {
            f->n_full++;
        }
        pthread_cond_signal(&f->changed);
        if (status != OK)
            break;
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

static enum status start(struct feed *f, struct error *err)
{
    f->head = f->n_full = 0;
    f->is_lent = f->stop = false;
    f->failed = OK;
    if (pthread_create(&f->thread, NULL, produce, f))
        return error_set(err, FAILED, "cannot start a thread for reading data");
    f->is_running = true;
    return OK;
}

static void stop(struct feed *f)
{
    if (!f->is_running)
        return;
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    f->is_running = false;
}

void feed_close(struct feed *f)
{
    if (!f)
        return;
    stop(f);
    for (int i = 0; i < f->n_slots; i++)
        for (int t = 0; t < SOURCE_MAX_TOPS; t++)
            free(f->slots[i].tops[t]);
    free(f->slots);
    f->source->ops->close(f->source);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

enum status feed_open(const struct source_options *options, int n_ahead, struct feed **ret_feed,
                      struct error *err)
{
    const struct source_ops *ops = source_ops_find(options->param->type);
    if (!ops)
        return error_set(err, INVALID, "layer type '%s' reads no data", options->param->type);
    if (n_ahead < 1)
        return error_set(err, INVALID, "prefetch of %d batches; at least 1 is needed", n_ahead);
    struct source *source;
    TRY(ops->open(options, &source, err));
    struct feed *f = xcalloc(1, sizeof(*f));
    f->source = source;
    f->n_slots = n_ahead;
    f->slots = xcalloc((size_t)n_ahead, sizeof(*f->slots));
    for (int i = 0; i < n_ahead; i++)
        for (int t = 0; t < source->n_tops; t++)
            f->slots[i].tops[t] = xmalloc((size_t)shape_count(&source->tops[t]) * sizeof(float));
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    ops->tell(source, &f->position);
    enum status status = start(f, err);
    if (status != OK)
        feed_close(f);
    else
        *ret_feed = f;
    return status;
}

enum status feed_next(struct feed *f, float *const **ret_tops, struct error *err)
{
    pthread_mutex_lock(&f->lock);
    if (f->is_lent) {
        f->head = (f->head + 1) % f->n_slots;
        f->is_lent = false;
        pthread_cond_signal(&f->changed);
    }
    while (!f->n_full && f->failed == OK)
        pthread_cond_wait(&f->changed, &f->lock);
    enum status status = f->n_full ? OK : f->failed;
    struct slot *slot = &f->slots[f->head];
    if (status == OK) {
        f->n_full--;
        f->is_lent = true;
    }
    pthread_mutex_unlock(&f->lock);
    if (status != OK) {
        if (err)
            *err = f->error;
        return status;
    }
    f->position = slot->after;
    *ret_tops = slot->tops;
    return OK;
}

const struct source *feed_source(const struct feed *f)
{
    return f->source;
}

void feed_tell(struct feed *f, struct source_position *ret_position)
{
    *ret_position = f->position;
}

enum status feed_seek(struct feed *f, const struct source_position *position, struct error *err)
{
    stop(f);
    TRY(f->source->ops->seek(f->source, position, err));
    f->position = *position;
    return start(f, err);
}
