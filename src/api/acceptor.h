/*
 * acceptor.h - takes connections off a listening socket and hands them on.
 *
 * A thread of its own, which deals them to the network threads in turn, and
 * which can be stopped while those go on.
 */
#ifndef ET_ACCEPTOR_H
#define ET_ACCEPTOR_H

#include <sys/socket.h>

#include "base/base.h"

struct acceptor;

struct acceptor_options {
    int listen_fd; /* non-blocking; the acceptor's from here on */
    int max;       /* connections at a time; others wait until one has left */
    /* Owns fd. */
    void (*hand)(void *context, int fd, const struct sockaddr *from, socklen_t n_from);
    void *context;
};

struct acceptor *acceptor_new(const struct acceptor_options *options);
/* Errors: FAILED. */
enum status acceptor_start(struct acceptor *a, struct error *err);
/* One of those handed on is closed.  On any thread. */
void acceptor_left(struct acceptor *a);
/* Connections are refused from here on.  Before the start, or again: fine. */
void acceptor_stop(struct acceptor *a);
void acceptor_free(struct acceptor *a); /* stops it first; NULL is fine */

#endif
