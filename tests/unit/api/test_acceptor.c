/* Connections are taken as long as there is room for them, and until the stop. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../test.h"
#include "api/acceptor.h"
#include "api/listen.h"

#define CLIENTS 6

struct fixture {
    struct acceptor *acceptor;
    struct sockaddr_in address;
    int max;
    bool refuses;
    sem_t handed;
    atomic_int n_open, n_too_many, n_fds;
    int fds[CLIENTS];
};

static void hand(void *context, int fd, const struct sockaddr *from, socklen_t n_from)
{
    struct fixture *f = context;
    bool known = from->sa_family == AF_INET && n_from >= sizeof(struct sockaddr_in);
    if (atomic_fetch_add(&f->n_open, 1) >= f->max || !known)
        atomic_fetch_add(&f->n_too_many, 1);
    if (f->refuses) {
        close(fd);
        atomic_fetch_sub(&f->n_open, 1);
        acceptor_left(f->acceptor);
    } else {
        f->fds[atomic_fetch_add(&f->n_fds, 1)] = fd;
    }
    sem_post(&f->handed);
}

static void start(struct fixture *f, int max, bool refuses)
{
    struct error err;
    int fd = -1;
    socklen_t size = sizeof(f->address);
    *f = (struct fixture){.max = max, .refuses = refuses};
    sem_init(&f->handed, 0, 0);
    assert_ok(listen_on("127.0.0.1:0", &fd, &err));
    assert_int_equal(getsockname(fd, (struct sockaddr *)&f->address, &size), 0);
    f->acceptor =
        acceptor_new(&(struct acceptor_options){.listen_fd = fd, .max = max, .hand = hand, .context = f});
    assert_ok(acceptor_start(f->acceptor, &err));
}

static int try_connect(const struct fixture *f)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (const struct sockaddr *)&f->address, sizeof(f->address)) == 0)
        return fd;
    int number = errno;
    close(fd);
    errno = number;
    return -1;
}

static void those_over_the_limit_wait_until_one_has_left(void **state)
{
    (void)state;
    struct fixture f;
    int clients[CLIENTS];
    start(&f, 2, false);
    for (int i = 0; i < CLIENTS; i++)
        assert_true((clients[i] = try_connect(&f)) >= 0);
    for (int i = 0; i < CLIENTS; i++) {
        if (i >= 2) {
            close(f.fds[i - 2]);
            atomic_fetch_sub(&f.n_open, 1);
            acceptor_left(f.acceptor);
        }
        sem_wait(&f.handed);
    }
    assert_int_equal(f.n_too_many, 0);
    acceptor_free(f.acceptor);
    close(f.fds[CLIENTS - 2]);
    close(f.fds[CLIENTS - 1]);
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
}

static void one_that_was_refused_leaves_its_place(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, 1, true);
    for (int i = 0; i < CLIENTS; i++) {
        int client = try_connect(&f);
        assert_true(client >= 0);
        sem_wait(&f.handed);
        close(client);
    }
    assert_int_equal(f.n_too_many, 0);
    acceptor_free(f.acceptor);
}

static void after_the_stop_connections_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, 1, false);
    acceptor_stop(f.acceptor);
    acceptor_stop(f.acceptor);
    assert_int_equal(try_connect(&f), -1);
    assert_int_equal(errno, ECONNREFUSED);
    assert_int_equal(f.n_fds, 0);
    acceptor_free(f.acceptor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_over_the_limit_wait_until_one_has_left),
        cmocka_unit_test(one_that_was_refused_leaves_its_place),
        cmocka_unit_test(after_the_stop_connections_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
