#include "api/pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* JSON nests 2048 deep, by recursion. */
#define POOL_STACK_BYTES (4 * 1024 * 1024)

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct pool_job *head, **tail;
    bool ending;
    int n_threads;
    pthread_t *threads;
};

static void *pool_thread(void *context)
{
    struct pool *p = context;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct pool_job *job = p->head;
        if (job) {
            p->head = job->next;
            if (!p->head)
                p->tail = &p->head;
            pthread_mutex_unlock(&p->lock);
            job->run(job);
            pthread_mutex_lock(&p->lock);
        } else if (p->ending) {
            break;
        } else {
            pthread_cond_wait(&p->work, &p->lock);
        }
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

enum status pool_new(int n_threads, struct pool **ret_pool, struct error *err)
{
    struct pool *p = xcalloc(1, sizeof(*p));
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    p->tail = &p->head;
    p->threads = xcalloc((size_t)n_threads, sizeof(*p->threads));
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, POOL_STACK_BYTES);
    int failed = 0;
    while (p->n_threads < n_threads && !failed) {
        failed = pthread_create(&p->threads[p->n_threads], &attributes, pool_thread, p);
        if (!failed)
            p->n_threads++;
    }
    pthread_attr_destroy(&attributes);
    if (failed) {
        pool_free(p);
        return error_set(err, FAILED, "cannot start %d threads: %s", n_threads, strerror(failed));
    }
    *ret_pool = p;
    return OK;
}

void pool_add(struct pool *p, struct pool_job *job)
{
    pthread_mutex_lock(&p->lock);
    job->next = NULL;
    *p->tail = job;
    p->tail = &job->next;
    pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->lock);
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->ending = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    free(p->threads);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
