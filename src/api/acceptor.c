#include "api/acceptor.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/file.h"

/* Without descriptors, and no connection of ours that could leave one, it tries again after so long. */
#define STARVED_MS 1000

struct acceptor {
    struct acceptor_options options;
    pthread_t thread;
    int wake_fd;
    atomic_int n;            /* connections */
    atomic_bool is_full;     /* it waits for one to leave */
    atomic_bool is_stopping; /* the thread ends */
    bool runs;
};

/* False when there is no descriptor for one. */
static bool accept_one(struct acceptor *a)
{
    struct sockaddr_storage from;
    socklen_t n_from = sizeof(from);
    int fd = accept4(a->options.listen_fd, (struct sockaddr *)&from, &n_from, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
    atomic_fetch_add(&a->n, 1);
    a->options.hand(a->options.context, fd, (struct sockaddr *)&from, n_from);
    return true;
}

static void *acceptor_main(void *opaque)
{
    struct acceptor *a = opaque;
    bool starved = false;
    while (!atomic_load(&a->is_stopping)) {
        /* Said before it is looked at: who leaves in between wakes. */
        atomic_store(&a->is_full, true);
        bool waits = starved || atomic_load(&a->n) >= a->options.max;
        atomic_store(&a->is_full, waits);
        struct pollfd on[] = {{.fd = a->wake_fd, .events = POLLIN},
                              {.fd = waits ? -1 : a->options.listen_fd, .events = POLLIN}};
        poll(on, ARRAY_SIZE(on), starved ? STARVED_MS : -1);
        eventfd_t ignored;
        if (on[0].revents)
            eventfd_read(a->wake_fd, &ignored);
        starved = on[1].revents && !accept_one(a);
    }
    return NULL;
}

struct acceptor *acceptor_new(const struct acceptor_options *options)
{
    struct acceptor *a = xcalloc(1, sizeof(*a));
    a->options = *options;
    a->wake_fd = -1;
    return a;
}

enum status acceptor_start(struct acceptor *a, struct error *err)
{
    a->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int number = a->wake_fd < 0 ? errno : pthread_create(&a->thread, NULL, acceptor_main, a);
    if (number)
        return error_set(err, FAILED, "cannot wait for connections: %s", strerror(number));
    a->runs = true;
    return OK;
}

void acceptor_left(struct acceptor *a)
{
    atomic_fetch_sub(&a->n, 1);
    if (atomic_load(&a->is_full))
        eventfd_write(a->wake_fd, 1);
}

void acceptor_stop(struct acceptor *a)
{
    if (a->runs) {
        atomic_store(&a->is_stopping, true);
        eventfd_write(a->wake_fd, 1);
        pthread_join(a->thread, NULL);
        a->runs = false;
    }
    fd_closep(&a->options.listen_fd);
}

void acceptor_free(struct acceptor *a)
{
    if (!a)
        return;
    acceptor_stop(a);
    fd_closep(&a->wake_fd);
    free(a);
}
