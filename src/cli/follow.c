#include "cli/follow.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"

#define PAUSE_FIRST_MS 100
#define PAUSE_MAX_MS   10000

static void pause_ms(int64_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

enum status follow(enum status (*once)(void *context, bool *ret_progress, struct error *err), void *context,
                   bool was_there, struct error *err)
{
    int64_t lost_ms = -1, next_pause_ms = PAUSE_FIRST_MS;
    for (;;) {
        bool progress = false;
        enum status status = once(context, &progress, err);
        if (status != UNAVAILABLE)
            return status;
        int64_t now_ms = clock_monotonic_ms();
        was_there |= progress;
        if (progress || lost_ms < 0) {
            lost_ms = now_ms;
            next_pause_ms = PAUSE_FIRST_MS;
        }
        if (!was_there || now_ms - lost_ms >= FOLLOW_GIVE_UP_MS)
            return status;
        pause_ms(next_pause_ms);
        next_pause_ms = MIN(2 * next_pause_ms, PAUSE_MAX_MS);
    }
}
