#include "cli/job_flags.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/command.h"
#include "cli/number.h"
#include "cli/parameters.h"

#define SECONDS_MAX 31536000

/* In the order of their options. */
static const struct {
    const char *flag, *field;
    int64_t low, high;
} numbers[] = {
    {"priority", "priority", -1000, 1000},
    {"max-seconds", "max-seconds", 1, SECONDS_MAX},
    {"retries", "retries", 0, 100},
    {"retry-delay", "retry-delay-seconds", 1, 86400},
};

void job_flags_init(struct job_flags *f)
{
    *f = (struct job_flags){.job = json_object()};
}

void job_flags_release(struct job_flags *f)
{
    json_decref(f->job);
    json_decref(f->sets);
}

/* "+30m" is a time from now; anything else is for the server to read. */
static bool set_time(json_t *job, const char *value)
{
    static const char units[] = "smhd";
    static const int64_t seconds[] = {1, 60, 3600, 86400};
    if (*value != '+')
        return !json_object_set_new(job, "not-before", json_string(value));
    char *end, text[CLOCK_TEXT_MAX];
    long n = strtol(value + 1, &end, 10);
    const char *unit = end == value + 1 || !*end || end[1] ? NULL : strchr(units, *end);
    if (!unit || n < 0 || n > 10 * SECONDS_MAX / seconds[unit - units])
        return false;
    int64_t at_ms = clock_now_ms() + 1000 * n * seconds[unit - units];
    return !json_object_set_new(job, "not-before", json_string(clock_text(at_ms, text)));
}

static int take_number(json_t *job, const char *command, int which, const char *value)
{
    int64_t n;
    if (!read_integer(value, numbers[which].low, numbers[which].high, &n))
        return command_usage(command, "--%s %s: a whole number from %lld to %lld is wanted",
                             numbers[which].flag, value, (long long)numbers[which].low,
                             (long long)numbers[which].high);
    json_object_set_new(job, numbers[which].field, json_integer(n));
    return -1;
}

int job_flags_take(struct job_flags *f, const char *command, int option, const char *value)
{
    struct error err = {0};
    json_t *after;
    switch (option) {
    case JOB_FLAG_AFTER:
        after = json_object_get(f->job, "after");
        if (!after)
            json_object_set_new(f->job, "after", after = json_array());
        json_array_append_new(after, json_string(value));
        return -1;
    case JOB_FLAG_AT:
        if (set_time(f->job, value))
            return -1;
        return command_usage(command, "--at %s: a time such as 2026-11-21T13:40:00Z is wanted, or +30m, +2h",
                             value);
    case JOB_FLAG_RETRY_ON_FAILURE:
        json_object_set_new(f->job, "retry-on-failure", json_true());
        return -1;
    case JOB_FLAG_SWEEP:
        if (!f->sets)
            f->sets = json_array();
        return parameters_cross(f->sets, value, &err) == OK ? -1 : command_usage(command, "%s", err.message);
    case JOB_FLAG_ARRAY:
        if (f->sets)
            return command_usage(command, "--array %s: it comes once, and before all that is crossed with it",
                                 value);
        return parameters_read(value, &f->sets, &err) == OK ? -1 : command_fail(&err);
    default:
        return take_number(f->job, command, option - JOB_FLAG_NUMBERS, value);
    }
}
