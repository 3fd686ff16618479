#include "base/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static atomic_llong correction_ms;

static int64_t read_ms(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_now_ms(void)
{
    return read_ms(CLOCK_REALTIME) + clock_correction_ms();
}

void clock_correct(int64_t by_ms)
{
    atomic_fetch_add(&correction_ms, by_ms);
}

int64_t clock_correction_ms(void)
{
    return atomic_load_explicit(&correction_ms, memory_order_relaxed);
}

int64_t clock_monotonic_ms(void)
{
    return read_ms(CLOCK_MONOTONIC);
}

const char *clock_text(int64_t at_ms, char out[CLOCK_TEXT_MAX])
{
    time_t seconds = (time_t)(at_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(out, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, CLOCK_TEXT_MAX - n, ".%03dZ", (int)(at_ms % 1000));
    return out;
}
