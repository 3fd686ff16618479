#include <stdlib.h>

#include "store/internal.h"

#define READERS_MAX 8

struct readers {
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t given;
    int n_open, n_free;
    struct connection *free[READERS_MAX];
};

enum status readers_new(struct store *s, struct readers **ret_readers, struct error *err)
{
    struct readers *r = xcalloc(1, sizeof(*r));
    enum status status = connection_open(s->driver, s->where, true, &r->free[0], err);
    if (status != OK) {
        free(r);
        return status;
    }
    r->n_open = r->n_free = 1;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->given, NULL);
    *ret_readers = r;
    return OK;
}

void readers_free(struct readers *r)
{
    if (!r)
        return;
    for (int i = 0; i < r->n_free; i++)
        connection_free(r->free[i]);
    pthread_cond_destroy(&r->given);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

enum status reader_take(struct store *s, struct reader *ret_reader, struct error *err)
{
    struct readers *r = s->readers;
    pthread_mutex_lock(&r->lock);
    while (!r->n_free && r->n_open == READERS_MAX)
        pthread_cond_wait(&r->given, &r->lock);
    struct connection *db = r->n_free ? r->free[--r->n_free] : NULL;
    if (!db)
        r->n_open++;
    pthread_mutex_unlock(&r->lock);

    enum status status = db ? OK : connection_open(s->driver, s->where, true, &db, err);
    if (status == OK) {
        *ret_reader = (struct reader){.store = s, .db = db};
        return OK;
    }
    pthread_mutex_lock(&r->lock);
    r->n_open--;
    pthread_cond_signal(&r->given);
    pthread_mutex_unlock(&r->lock);
    return status;
}

void reader_give(struct reader *reader)
{
    if (!reader->db)
        return;
    struct readers *r = reader->store->readers;
    connection_rollback(reader->db);
    pthread_mutex_lock(&r->lock);
    r->free[r->n_free++] = reader->db;
    pthread_cond_signal(&r->given);
    pthread_mutex_unlock(&r->lock);
    reader->db = NULL;
}
