/* listen.h - the socket to serve on. */
#ifndef ET_LISTEN_H
#define ET_LISTEN_H

#include "base/base.h"

#define LISTEN_TEXT_MAX 80

/*
 * A listening socket on "127.0.0.1:8080", "[::1]:0", "localhost:80" or
 * ":8080" (all addresses), non-blocking, closed on exec.
 * Errors: INVALID for an address that is none; CONFLICT when it is in use;
 * DENIED for a port that needs privileges.
 */
enum status listen_on(const char *address, int *ret_fd, struct error *err);

/* "127.0.0.1:41234", as bound. */
void listen_describe(int fd, char ret_text[LISTEN_TEXT_MAX]);

#endif
