#include "api/waits.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fault.h"

#define N_BUCKETS             1024
#define CHECK_GONE_MS         1000
#define CHECK_GONE_PATIENT_MS 5000
/* A stir waits for the lock, so few are asked (a system call each) at a time. */
#define CHECK_GONE_AT_ONCE 200
#define CHECK_GONE_REST_MS 20

struct bucket {
    struct waiter_topic *topics;
    uint64_t stirred; /* stamp of the latest stir of any topic in here */
};

struct waits {
    pthread_mutex_t lock;
    pthread_cond_t earlier; /* a deadline before next_ms was added, or ending */
    pthread_t thread;
    struct bucket buckets[N_BUCKETS];
    struct waiter *waiters;
    uint64_t stamp;
    uint64_t all_stirred; /* stamp of the latest waits_stir_all */
    int64_t next_ms;
    bool ended, freeing;
};

/* FNV-1a, 64 bits. Two topics of one hash only wake each other's waiters for nothing. */
static uint64_t topic_hash(const char *topic)
{
    uint64_t h = 14695981039346656037u;
    for (; *topic; topic++)
        h = (h ^ (unsigned char)*topic) * 1099511628211u;
    return h;
}

static struct bucket *bucket_of(struct waits *w, uint64_t hash)
{
    return &w->buckets[(hash ^ hash >> 32) % N_BUCKETS];
}

static void wake(struct waiter *waiter)
{
    for (int i = 0; i < waiter->n_topics; i++) {
        struct waiter_topic *t = &waiter->topics[i];
        *t->link = t->next;
        if (t->next)
            t->next->link = t->link;
    }
    *waiter->link = waiter->next;
    if (waiter->next)
        waiter->next->link = waiter->link;
    waiter->n_topics = 0;
    waiter->wake(waiter);
}

static int64_t due_ms(const struct waiter *waiter)
{
    return MIN(waiter->deadline_ms, waiter->fallback_ms);
}

static void ask_gone_later(struct waiter *waiter, int64_t now_ms)
{
    waiter->ask_gone_ms = now_ms + (waiter->is_patient ? CHECK_GONE_PATIENT_MS : CHECK_GONE_MS);
}

/* Wakes who is due and who has gone; sets the time of the next look. */
static void look(struct waits *w, int64_t now_ms)
{
    int asked = 0;
    w->next_ms = now_ms + CHECK_GONE_MS;
    for (struct waiter *waiter = w->waiters, *next; waiter; waiter = next) {
        next = waiter->next;
        bool ask = waiter->ask_gone_ms <= now_ms;
        if (ask && asked == CHECK_GONE_AT_ONCE) {
            ask = false;
            w->next_ms = MIN(w->next_ms, now_ms + CHECK_GONE_REST_MS);
        }
        if (ask) {
            asked++;
            ask_gone_later(waiter, now_ms);
        }
        if (due_ms(waiter) <= now_ms || (ask && waiter->is_gone(waiter)))
            wake(waiter);
        else
            w->next_ms = MIN(w->next_ms, due_ms(waiter));
    }
}

static void *waits_thread(void *context)
{
    struct waits *w = context;
    pthread_mutex_lock(&w->lock);
    while (!w->freeing) {
        int64_t now_ms = clock_monotonic_ms();
        if (now_ms < w->next_ms) {
            clock_wait(&w->earlier, &w->lock, w->next_ms);
            continue;
        }
        look(w, now_ms);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

enum status waits_new(struct waits **ret_waits, struct error *err)
{
    struct waits *w = xcalloc(1, sizeof(*w));
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->earlier, NULL);
    if (pthread_create(&w->thread, NULL, waits_thread, w)) {
        free(w);
        return error_set(err, FAILED, "cannot start a thread");
    }
    *ret_waits = w;
    return OK;
}

void waits_free(struct waits *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->freeing = true;
    pthread_cond_signal(&w->earlier);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->earlier);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

uint64_t waits_stamp(struct waits *w)
{
    pthread_mutex_lock(&w->lock);
    uint64_t stamp = w->stamp;
    pthread_mutex_unlock(&w->lock);
    return stamp;
}

void waiter_topic_add(struct waiter *waiter, const char *topic)
{
    if (waiter->n_topics < WAITS_TOPICS)
        waiter->topics[waiter->n_topics++] =
            (struct waiter_topic){.waiter = waiter, .hash = topic_hash(topic)};
}

bool waits_add(struct waits *w, struct waiter *waiter, uint64_t stamp)
{
    pthread_mutex_lock(&w->lock);
    bool stirred = w->ended || w->all_stirred > stamp;
    for (int i = 0; i < waiter->n_topics; i++)
        stirred |= bucket_of(w, waiter->topics[i].hash)->stirred > stamp;
    if (stirred) {
        waiter->n_topics = 0;
        pthread_mutex_unlock(&w->lock);
        return false;
    }
    for (int i = 0; i < waiter->n_topics; i++) {
        struct waiter_topic *t = &waiter->topics[i];
        struct bucket *b = bucket_of(w, t->hash);
        t->next = b->topics;
        t->link = &b->topics;
        if (t->next)
            t->next->link = &t->next;
        b->topics = t;
    }
    waiter->next = w->waiters;
    waiter->link = &w->waiters;
    if (waiter->next)
        waiter->next->link = &waiter->next;
    w->waiters = waiter;
    int64_t now_ms = clock_monotonic_ms();
    bool is_patient = waiter->is_patient || fault_point("waits.fallback");
    waiter->fallback_ms = is_patient ? waiter->deadline_ms : now_ms + WAITS_FALLBACK_MS;
    if (waiter->look_ms)
        waiter->fallback_ms = MIN(waiter->fallback_ms, waiter->look_ms);
    ask_gone_later(waiter, now_ms);
    if (due_ms(waiter) < w->next_ms) {
        w->next_ms = due_ms(waiter);
        pthread_cond_signal(&w->earlier);
    }
    pthread_mutex_unlock(&w->lock);
    return true;
}

static void stir(struct waits *w, const char *topic, bool one)
{
    uint64_t hash = topic_hash(topic);
    pthread_mutex_lock(&w->lock);
    struct bucket *b = bucket_of(w, hash);
    b->stirred = ++w->stamp;
    struct waiter_topic *t = b->topics;
    while (t) {
        struct waiter *waiter = t->waiter;
        bool matches = t->hash == hash;
        t = t->next;
        if (!matches)
            continue;
        while (t && t->waiter == waiter) /* its topics in one bucket are neighbours, and all go */
            t = t->next;
        wake(waiter);
        if (one)
            break;
    }
    pthread_mutex_unlock(&w->lock);
}

void waits_stir(struct waits *w, const char *topic)
{
    stir(w, topic, false);
}

void waits_stir_one(struct waits *w, const char *topic)
{
    stir(w, topic, true);
}

static void wake_all(struct waits *w)
{
    while (w->waiters)
        wake(w->waiters);
}

void waits_stir_all(struct waits *w)
{
    pthread_mutex_lock(&w->lock);
    w->all_stirred = ++w->stamp;
    wake_all(w);
    pthread_mutex_unlock(&w->lock);
}

void waits_end(struct waits *w)
{
    pthread_mutex_lock(&w->lock);
    w->ended = true;
    wake_all(w);
    pthread_mutex_unlock(&w->lock);
}
