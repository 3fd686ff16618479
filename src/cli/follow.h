/*
 * follow.h - streams that go on where they were when they are cut.
 */
#ifndef ET_FOLLOW_H
#define ET_FOLLOW_H

#include "cli/client.h"

/*
 * Calls `once` until it returns anything but UNAVAILABLE, with growing pauses;
 * it sets *ret_progress when the server told it something, which makes the
 * pauses short again.  A server that was never there (was_there: it answered
 * before), or has been away for FOLLOW_GIVE_UP_MS, is UNAVAILABLE to the
 * caller too.
 */
#define FOLLOW_GIVE_UP_MS 300000
enum status follow(enum status (*once)(void *context, bool *ret_progress, struct error *err), void *context,
                   bool was_there, struct error *err);

#endif
