/*
 * acceptor.h - takes connections off a listening socket and hands them on.
 *
 * A thread of our own, since libmicrohttpd 0.9.75 ends the process now and
 * then when its pool is told to stop listening: MHD_quiesce_daemon and a
 * thread of the pool then both take the socket out of one epoll set.
 */
#ifndef ET_ACCEPTOR_H
#define ET_ACCEPTOR_H

#include <sys/socket.h>

#include "base/base.h"

struct acceptor;

struct acceptor_options {
    int listen_fd; /* non-blocking; the acceptor's from here on */
    int max;       /* connections at a time; others wait until one has left */
    /* Owns fd.  False when the connection was refused: then it counts no more. */
    bool (*hand)(void *context, int fd, const struct sockaddr *from, socklen_t n_from);
    void *context;
};

struct acceptor *acceptor_new(const struct acceptor_options *options);
/* Errors: FAILED. */
enum status acceptor_start(struct acceptor *a, struct error *err);
/* One of those handed on is closed. */
void acceptor_left(struct acceptor *a);
/* Connections are refused from here on.  Before the start, or again: fine. */
void acceptor_stop(struct acceptor *a);
void acceptor_free(struct acceptor *a); /* stops it first; NULL is fine */

#endif
