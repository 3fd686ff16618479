/*
 * cron.h - when something is to be done again, as crontab(5) writes it.
 *
 *   minute hour day-of-month month day-of-week        "30 6 * * mon-fri"
 *
 * Each is a number, *, a range a-b, either with a step /n, or a list of these
 * by commas; months and days also by their first three letters; Sunday is 0
 * or 7.  When both days are restricted (neither begins with *), one of them
 * must match.  Also @hourly, @daily, @midnight, @weekly, @monthly, @yearly,
 * @annually.  Times are UTC: no hour is missing or doubled.
 */
#ifndef ET_CRON_H
#define ET_CRON_H

#include "base/base.h"

struct cron {
    uint64_t minutes, hours, days, months, weekdays; /* a bit a value */
    bool either_day;                                 /* days and weekdays are both restricted */
};

/* Errors: INVALID, which field and why; also for a day that no month of it has (30 February). */
enum status cron_read(const char *text, struct cron *ret_cron, struct error *err);

/* The first full minute after a time that matches, in milliseconds since 1970. */
int64_t cron_next(const struct cron *c, int64_t after_ms);

#endif
