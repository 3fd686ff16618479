#include "api/loop.h"

#include <errno.h>
#include <limits.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/file.h"

struct newcomer {
    struct newcomer *next;
    int fd;
    struct sockaddr_storage from;
    socklen_t n_from;
};

struct loop {
    struct MHD_Daemon *daemon;
    loop_take *take;
    void *context;
    pthread_t thread;
    int daemon_fd, wake_fd;
    atomic_bool is_stopping;
    pthread_mutex_t lock;
    struct newcomer *first, **last; /* those given */
};

void loop_wake(struct loop *l)
{
    eventfd_write(l->wake_fd, 1);
}

void loop_give(struct loop *l, int fd, const struct sockaddr *from, socklen_t n_from)
{
    struct newcomer *c = xcalloc(1, sizeof(*c));
    c->fd = fd;
    c->n_from = MIN(n_from, (socklen_t)sizeof(c->from));
    memcpy(&c->from, from, c->n_from);
    pthread_mutex_lock(&l->lock);
    *l->last = c;
    l->last = &c->next;
    pthread_mutex_unlock(&l->lock);
    loop_wake(l);
}

static struct newcomer *newcomers(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    struct newcomer *first = l->first;
    l->first = NULL;
    l->last = &l->first;
    pthread_mutex_unlock(&l->lock);
    return first;
}

/* How long the library may be left alone; -1: until something happens. */
static int patience_ms(struct loop *l)
{
    MHD_UNSIGNED_LONG_LONG ms;
    return MHD_get_timeout(l->daemon, &ms) == MHD_YES ? (int)MIN(ms, (MHD_UNSIGNED_LONG_LONG)INT_MAX) : -1;
}

static void *loop_main(void *opaque)
{
    struct loop *l = opaque;
    for (;;) {
        struct pollfd on[] = {{.fd = l->wake_fd, .events = POLLIN}, {.fd = l->daemon_fd, .events = POLLIN}};
        poll(on, ARRAY_SIZE(on), patience_ms(l));
        /* Before anything is looked at: who comes after that wakes again. */
        eventfd_t ignored;
        if (on[0].revents)
            eventfd_read(l->wake_fd, &ignored);
        if (atomic_load(&l->is_stopping))
            return NULL;
        struct newcomer *next;
        for (struct newcomer *c = newcomers(l); c; c = next) {
            next = c->next;
            l->take(l->context, c->fd, (struct sockaddr *)&c->from, c->n_from);
            free(c);
        }
        MHD_run(l->daemon);
    }
}

enum status loop_start(struct MHD_Daemon *daemon, loop_take *take, void *context, struct loop **ret_loop,
                       struct error *err)
{
    struct loop *l = xcalloc(1, sizeof(*l));
    l->daemon = daemon;
    l->take = take;
    l->context = context;
    l->last = &l->first;
    l->daemon_fd = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&l->lock, NULL);
    int number = l->wake_fd < 0 ? errno : pthread_create(&l->thread, NULL, loop_main, l);
    if (number) {
        fd_closep(&l->wake_fd);
        pthread_mutex_destroy(&l->lock);
        free(l);
        return error_set(err, FAILED, "cannot start a network thread: %s", strerror(number));
    }
    *ret_loop = l;
    return OK;
}

void loop_stop(struct loop *l)
{
    if (!l)
        return;
    atomic_store(&l->is_stopping, true);
    loop_wake(l);
    pthread_join(l->thread, NULL);
    struct newcomer *next;
    for (struct newcomer *c = l->first; c; c = next) {
        next = c->next;
        close(c->fd);
        free(c);
    }
    close(l->wake_fd);
    pthread_mutex_destroy(&l->lock);
    free(l);
}
