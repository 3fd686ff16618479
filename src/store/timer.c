#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/internal.h"

#define RETRY_MS 1000

struct timer {
    struct store *store;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    int64_t next_ms; /* when it wakes; 0 while it works */
    bool stopping;
};

static void wait_until(struct timer *t, int64_t next_ms)
{
    /* A poke while it worked has left something in next_ms. */
    t->next_ms = t->next_ms ? MIN(t->next_ms, next_ms) : next_ms;
    for (int64_t left_ms; !t->stopping && (left_ms = t->next_ms - clock_now_ms()) > 0;) {
        if (!clock_wait(&t->changed, &t->lock, clock_monotonic_ms() + left_ms))
            break; /* the clock may have been corrected meanwhile: what was not due is not now */
    }
    t->next_ms = 0;
}

static void *timer_main(void *opaque)
{
    struct timer *t = opaque;
    pthread_mutex_lock(&t->lock);
    while (!t->stopping) {
        pthread_mutex_unlock(&t->lock);
        int64_t now_ms = clock_now_ms(), next_ms = 0;
        if (store_tick(t->store, now_ms, &next_ms, NULL) != OK)
            next_ms = now_ms + RETRY_MS;
        pthread_mutex_lock(&t->lock);
        wait_until(t, next_ms);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

enum status timer_start(struct store *s, struct error *err)
{
    struct timer *t = xcalloc(1, sizeof(*t));
    t->store = s;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->changed, NULL);
    s->timer = t; /* before its thread, which makes the committer look for it */
    int number = pthread_create(&t->thread, NULL, timer_main, t);
    if (number) {
        s->timer = NULL;
        free(t);
        return error_set(err, FAILED, "cannot start a thread: %s", strerror(number));
    }
    return OK;
}

void timer_stop(struct timer *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

void timer_poke(struct timer *t, int64_t due_ms)
{
    pthread_mutex_lock(&t->lock);
    if (!t->next_ms || due_ms < t->next_ms) {
        t->next_ms = due_ms;
        pthread_cond_signal(&t->changed);
    }
    pthread_mutex_unlock(&t->lock);
}
