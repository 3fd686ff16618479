/*
 * peers.h - the open connections, and the end of those that are slow.
 *
 * A connection is in the phase that says whose turn it is.  A thread looks at
 * all of them about once a second, and shuts down (the library closes) one
 *
 *   in HEAD, IDLE or DRAIN   past the phase's deadline
 *   in PIECE                 the same: a piece of a stream that is not taken
 *   in BODY                  that brought less than body_rate bytes a second
 *                            over body_window_ms, or whose client is gone: an
 *                            end that comes together with the last bytes is
 *                            one that the library, waiting for edges, misses
 *
 * and none in BUSY (the server's turn) or SEND (the library's time-out).
 */
#ifndef ET_PEERS_H
#define ET_PEERS_H

#include <stdatomic.h>

#include "base/base.h"

enum phase { PHASE_HEAD, PHASE_IDLE, PHASE_BODY, PHASE_DRAIN, PHASE_BUSY, PHASE_SEND, PHASE_PIECE };

struct peer {
    struct peer *next, **link; /* in the list, under its lock */
    int fd;
    bool loopback;
    atomic_int phase;
    atomic_llong deadline_ms; /* monotonic */
    atomic_llong window_ms;   /* begin of the window in which body bytes are counted */
    atomic_llong window_bytes;
};

struct peers;

enum status peers_new(int64_t head_ms, int64_t body_window_ms, int64_t body_rate, struct peers **ret_peers,
                      struct error *err);
void peers_free(struct peers *ps); /* none may be open; NULL is fine */
int peers_count(struct peers *ps);
void peers_cut(struct peers *ps); /* all but those in BUSY */

/* Begins in HEAD.  fd stays the caller's, and open until peer_close. */
struct peer *peer_open(struct peers *ps, int fd, bool loopback);
void peer_close(struct peers *ps, struct peer *c);

void peer_phase(struct peer *c, enum phase phase, int64_t deadline_ms);
/* The other side has ended, and nothing that it sent is left to read. */
bool peer_at_end(const struct peer *c);
/* The other side has ended, whatever is left to read. */
bool peer_is_gone(const struct peer *c);

#endif
