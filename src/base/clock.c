#include "base/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
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

bool clock_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t until_monotonic_ms)
{
    struct timespec until = {.tv_sec = (time_t)(until_monotonic_ms / 1000),
                             .tv_nsec = until_monotonic_ms % 1000 * 1000000};
    return pthread_cond_clockwait(condition, lock, CLOCK_MONOTONIC, &until) != ETIMEDOUT;
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

/* Exactly n digits as a number; -1 when they are not there. */
static int read_digits(const char **at, int n)
{
    int value = 0;
    for (int i = 0; i < n; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return -1;
        value = 10 * value + (**at - '0');
    }
    return value;
}

static bool skip(const char **at, const char *one_of)
{
    if (!**at || !strchr(one_of, **at))
        return false;
    (*at)++;
    return true;
}

/* ".123456": milliseconds, the rest dropped.  -1 when no digit follows the point. */
static int read_fraction(const char **at)
{
    int ms = 0, weight = 100, n = 0;
    if (!skip(at, "."))
        return 0;
    for (; **at >= '0' && **at <= '9'; (*at)++, n++, weight /= 10)
        ms += weight * (**at - '0');
    return n ? ms : -1;
}

/* "Z" or "+02:00" in minutes. */
static bool read_offset(const char **at, int *ret_minutes)
{
    bool minus = **at == '-';
    *ret_minutes = 0;
    if (skip(at, "Zz"))
        return true;
    if (!skip(at, "+-"))
        return false;
    int hours = read_digits(at, 2);
    bool colon = skip(at, ":");
    int minutes = read_digits(at, 2);
    *ret_minutes = (minus ? -1 : 1) * (60 * hours + minutes);
    return colon && hours >= 0 && hours < 24 && minutes >= 0 && minutes < 60;
}

enum status clock_read(const char *text, int64_t *ret_ms, struct error *err)
{
    const char *at = text;
    struct tm tm = {0}, made;
    int year = read_digits(&at, 4);
    bool right = skip(&at, "-");
    tm.tm_mon = read_digits(&at, 2) - 1;
    right &= skip(&at, "-");
    tm.tm_mday = read_digits(&at, 2);
    right &= skip(&at, "Tt ");
    tm.tm_hour = read_digits(&at, 2);
    right &= skip(&at, ":");
    tm.tm_min = read_digits(&at, 2);
    right &= skip(&at, ":");
    tm.tm_sec = read_digits(&at, 2);
    int ms = read_fraction(&at), minutes;
    right &= read_offset(&at, &minutes) && !*at && ms >= 0 && year >= 1970;
    tm.tm_year = year - 1900;
    made = tm;
    time_t seconds = right ? timegm(&made) : 0;
    if (!right || made.tm_mon != tm.tm_mon || made.tm_mday != tm.tm_mday || made.tm_hour != tm.tm_hour ||
        made.tm_min != tm.tm_min || made.tm_sec != tm.tm_sec)
        return error_set(err, INVALID, "'%.40s' is no time such as 2026-11-21T13:40:00Z", text);
    *ret_ms = ((int64_t)seconds - 60 * (int64_t)minutes) * 1000 + ms;
    return OK;
}
