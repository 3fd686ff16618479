#include "base/cron.h"

#include <string.h>
#include <strings.h>
#include <time.h>

#define MINUTE_MS     60000
#define DAYS_SEARCHED (9 * 366) /* 29 February may be eight years away */

struct part {
    const char *name;
    int min, max;
    const char *words; /* three letters each, from min; NULL: none */
};
static const struct part parts[] = {
    {"minute", 0, 59, NULL},
    {"hour", 0, 23, NULL},
    {"day of the month", 1, 31, NULL},
    {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
    {"day of the week", 0, 7, "sunmontuewedthufrisat"},
};
enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY, N_PARTS };

static const struct {
    const char *name, *text;
} shorthands[] = {
    {"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@weekly", "0 0 * * 0"},
    {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"},
};

/* A number, or a word of the part.  -1 when it is neither. */
static int read_value(const struct part *p, const char **at)
{
    int value = 0, n = 0;
    for (; **at >= '0' && **at <= '9' && n < 4; (*at)++, n++)
        value = 10 * value + (**at - '0');
    if (n)
        return value;
    for (int i = 0; p->words && p->words[3 * i]; i++)
        if (!strncasecmp(*at, p->words + 3 * i, 3)) {
            *at += 3;
            return p->min + i;
        }
    return -1;
}

/* "*", "5", "1-5", each perhaps with "/2", as bits; 0 when it is wrong. */
static uint64_t read_range(const struct part *p, const char **at)
{
    int low = p->min, high = p->max, step = 1;
    bool all = **at == '*', single = false;
    if (all) {
        (*at)++;
        high = p == &parts[WEEKDAY] ? 6 : high;
    } else {
        low = high = read_value(p, at);
        single = **at != '-';
        if (!single) {
            (*at)++;
            high = read_value(p, at);
        }
    }
    if (**at == '/') {
        (*at)++;
        step = read_value(&parts[MINUTE], at);
        high = single ? p->max : high;
    }
    if (low < p->min || high > p->max || low > high || step < 1)
        return 0;
    uint64_t bits = 0;
    for (int value = low; value <= high; value += step)
        bits |= UINT64_C(1) << value;
    return bits;
}

static enum status read_part(const struct part *p, const char *text, size_t size, uint64_t *ret_bits,
                             struct error *err)
{
    const char *at = text, *end = text + size;
    uint64_t bits = 0;
    for (bool more = true; more;) {
        uint64_t range = read_range(p, &at);
        more = *at == ',';
        if (!range || at > end || (!more && at != end))
            return error_set(err, INVALID,
                             "'%.*s' is no %s: numbers from %d to %d, such as *, 5, 1-5, */2 "
                             "or 1,3",
                             (int)(size < 40 ? size : 40), text, p->name, p->min, p->max);
        bits |= range;
        at += more;
    }
    *ret_bits = bits;
    return OK;
}

/* 29 February comes; 30 February and 31 April never do. */
static bool ever_comes(const struct cron *c)
{
    static const int lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    for (int month = 1; month <= 12; month++)
        for (int day = 1; day <= lengths[month - 1]; day++)
            if ((c->months >> month & 1) && (c->days >> day & 1))
                return true;
    return c->either_day;
}

enum status cron_read(const char *text, struct cron *ret_cron, struct error *err)
{
    uint64_t bits[N_PARTS];
    bool starred[N_PARTS];
    for (size_t i = 0; i < ARRAY_SIZE(shorthands); i++)
        if (!strcasecmp(text, shorthands[i].name))
            text = shorthands[i].text;
    const char *at = text;
    for (int i = 0; i < N_PARTS; i++) {
        at += strspn(at, " \t");
        size_t size = strcspn(at, " \t");
        if (!size)
            return error_set(err, INVALID,
                             "'%.64s' has %d fields; five are wanted: minute, hour, day of the "
                             "month, month, day of the week",
                             text, i);
        TRY(read_part(&parts[i], at, size, &bits[i], err));
        starred[i] = *at == '*';
        at += size;
    }
    if (at[strspn(at, " \t")])
        return error_set(err, INVALID, "'%.64s' has more than five fields", text);
    if (bits[WEEKDAY] >> 7 & 1)
        bits[WEEKDAY] |= 1;
    struct cron c = {bits[MINUTE], bits[HOUR],    bits[DAY],
                     bits[MONTH],  bits[WEEKDAY], !starred[DAY] && !starred[WEEKDAY]};
    if (!ever_comes(&c))
        return error_set(err, INVALID, "'%.64s' never comes", text);
    *ret_cron = c;
    return OK;
}

static bool day_matches(const struct cron *c, const struct tm *tm)
{
    bool day = c->days >> tm->tm_mday & 1, weekday = c->weekdays >> tm->tm_wday & 1;
    return (c->months >> (tm->tm_mon + 1) & 1) && (c->either_day ? day || weekday : day && weekday);
}

int64_t cron_next(const struct cron *c, int64_t after_ms)
{
    time_t minute = (time_t)(after_ms / MINUTE_MS + 1);
    for (int days = 0; days < DAYS_SEARCHED; days++) {
        time_t seconds = minute * 60;
        struct tm tm;
        gmtime_r(&seconds, &tm);
        int first = 60 * tm.tm_hour + tm.tm_min;
        for (int m = first; day_matches(c, &tm) && m < 24 * 60; m++)
            if ((c->hours >> m / 60 & 1) && (c->minutes >> m % 60 & 1))
                return ((int64_t)minute + m - first) * MINUTE_MS;
        minute += 24 * 60 - first;
    }
    return INT64_MAX;
}
