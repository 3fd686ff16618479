#include "api/peers.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"

struct peers {
    int64_t head_ms, body_window_ms, body_rate, tick_ms;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    pthread_t thread;
    struct peer *list;
    int n;
    bool ending;
};

void peer_phase(struct peer *c, enum phase phase, int64_t deadline_ms)
{
    atomic_store(&c->deadline_ms, deadline_ms);
    if (phase == PHASE_BODY) {
        atomic_store(&c->window_bytes, 0);
        atomic_store(&c->window_ms, clock_monotonic_ms());
    }
    atomic_store(&c->phase, phase);
}

bool peer_at_end(const struct peer *c)
{
    char byte;
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

bool peer_is_gone(const struct peer *c)
{
    struct pollfd p = {c->fd, POLLRDHUP, 0};
    return poll(&p, 1, 0) > 0;
}

static bool is_over(const struct peers *ps, struct peer *c, int64_t now_ms)
{
    switch ((enum phase)atomic_load(&c->phase)) {
    case PHASE_HEAD:
    case PHASE_IDLE:
    case PHASE_DRAIN:
    case PHASE_PIECE:
        return now_ms >= atomic_load(&c->deadline_ms);
    case PHASE_BODY: {
        if (peer_at_end(c))
            return true;
        int64_t passed_ms = now_ms - atomic_load(&c->window_ms);
        if (passed_ms < ps->body_window_ms)
            return false;
        atomic_store(&c->window_ms, now_ms);
        return atomic_exchange(&c->window_bytes, 0) * 1000 < ps->body_rate * passed_ms;
    }
    case PHASE_BUSY:
    case PHASE_SEND:
        return false;
    }
    return false;
}

static void *watch(void *context)
{
    struct peers *ps = context;
    int64_t next_ms = clock_monotonic_ms() + ps->tick_ms;
    pthread_mutex_lock(&ps->lock);
    while (!ps->ending) {
        int64_t now_ms = clock_monotonic_ms();
        if (now_ms < next_ms) {
            clock_wait(&ps->ended, &ps->lock, next_ms);
            continue;
        }
        for (struct peer *c = ps->list; c; c = c->next)
            if (is_over(ps, c, now_ms))
                shutdown(c->fd, SHUT_RDWR);
        next_ms = now_ms + ps->tick_ms;
    }
    pthread_mutex_unlock(&ps->lock);
    return NULL;
}

enum status peers_new(int64_t head_ms, int64_t body_window_ms, int64_t body_rate, struct peers **ret_peers,
                      struct error *err)
{
    struct peers *ps = xcalloc(1, sizeof(*ps));
    ps->head_ms = head_ms;
    ps->body_window_ms = body_window_ms;
    ps->body_rate = body_rate;
    ps->tick_ms = MAX((int64_t)20, MIN((int64_t)1000, MIN(head_ms, body_window_ms) / 4));
    pthread_mutex_init(&ps->lock, NULL);
    pthread_cond_init(&ps->ended, NULL);
    if (pthread_create(&ps->thread, NULL, watch, ps)) {
        free(ps);
        return error_set(err, FAILED, "cannot start a thread");
    }
    *ret_peers = ps;
    return OK;
}

void peers_free(struct peers *ps)
{
    if (!ps)
        return;
    pthread_mutex_lock(&ps->lock);
    ps->ending = true;
    pthread_cond_signal(&ps->ended);
    pthread_mutex_unlock(&ps->lock);
    pthread_join(ps->thread, NULL);
    pthread_cond_destroy(&ps->ended);
    pthread_mutex_destroy(&ps->lock);
    free(ps);
}

int peers_count(struct peers *ps)
{
    pthread_mutex_lock(&ps->lock);
    int n = ps->n;
    pthread_mutex_unlock(&ps->lock);
    return n;
}

void peers_cut(struct peers *ps)
{
    pthread_mutex_lock(&ps->lock);
    for (struct peer *c = ps->list; c; c = c->next)
        if (atomic_load(&c->phase) != PHASE_BUSY)
            shutdown(c->fd, SHUT_RDWR);
    pthread_mutex_unlock(&ps->lock);
}

struct peer *peer_open(struct peers *ps, int fd, bool loopback)
{
    struct peer *c = xcalloc(1, sizeof(*c));
    c->fd = fd;
    c->loopback = loopback;
    peer_phase(c, PHASE_HEAD, clock_monotonic_ms() + ps->head_ms);
    pthread_mutex_lock(&ps->lock);
    c->next = ps->list;
    if (c->next)
        c->next->link = &c->next;
    c->link = &ps->list;
    ps->list = c;
    ps->n++;
    pthread_mutex_unlock(&ps->lock);
    return c;
}

void peer_close(struct peers *ps, struct peer *c)
{
    pthread_mutex_lock(&ps->lock);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    ps->n--;
    pthread_mutex_unlock(&ps->lock);
    free(c);
}
