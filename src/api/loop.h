/*
 * loop.h - a thread that runs a daemon of the HTTP library.
 *
 * The daemon has no thread of the library's: such a one (MHD_epoll of
 * libmicrohttpd 0.9.75 to 1.0.1) takes 128 events at a time and, having got
 * just as many, waits for more before it looks at them; should none come,
 * 128 clients wait until they time out.
 */
#ifndef ET_LOOP_H
#define ET_LOOP_H

#include <sys/socket.h>

#include "base/base.h"

struct MHD_Daemon;
struct loop;

/* Owns fd.  On the loop's thread. */
typedef void loop_take(void *context, int fd, const struct sockaddr *from, socklen_t n_from);

/*
 * daemon: the caller's, started for epoll without a thread, to be stopped
 * after the loop; only the loop's thread calls it from here on, but for
 * MHD_resume_connection.  take: adds a connection to it.
 * Errors: FAILED.
 */
enum status loop_start(struct MHD_Daemon *daemon, loop_take *take, void *context, struct loop **ret_loop,
                       struct error *err);
/* Owns fd, which take gets soon, or which is closed if the loop stops before.  On any thread. */
void loop_give(struct loop *l, int fd, const struct sockaddr *from, socklen_t n_from);
/* To be called after MHD_resume_connection.  On any thread. */
void loop_wake(struct loop *l);
/* Waits for the thread, and frees; NULL is fine. */
void loop_stop(struct loop *l);

#endif
