#include "base/cron.h"

#include "../test.h"
#include "base/clock.h"

/* Expected times worked out by hand with a calendar: 21 November 2026 is a Saturday. */
static const struct {
    const char *cron, *after, *next;
} cases[] = {
    {"* * * * *", "2026-11-21T13:40:00Z", "2026-11-21T13:41:00.000Z"},
    {"* * * * *", "2026-11-21T13:40:59.999Z", "2026-11-21T13:41:00.000Z"},
    {"*/5 * * * *", "2026-11-21T13:40:00Z", "2026-11-21T13:45:00.000Z"},
    {"*/5 * * * *", "2026-11-21T13:39:59.999Z", "2026-11-21T13:40:00.000Z"},
    {"0 * * * *", "2026-11-21T13:40:00Z", "2026-11-21T14:00:00.000Z"},
    {"30 6 * * *", "2026-11-21T13:40:00Z", "2026-11-22T06:30:00.000Z"},
    {"30 6 * * *", "2026-12-31T06:30:00Z", "2027-01-01T06:30:00.000Z"},
    {"0 0 1 * *", "2026-11-21T13:40:00Z", "2026-12-01T00:00:00.000Z"},
    {"0 0 31 * *", "2026-11-21T13:40:00Z", "2026-12-31T00:00:00.000Z"},
    {"0 0 31 * *", "2027-01-31T00:00:00Z", "2027-03-31T00:00:00.000Z"},
    {"0 0 29 2 *", "2026-11-21T13:40:00Z", "2028-02-29T00:00:00.000Z"},
    {"0 0 29 2 *", "2096-02-29T00:00:00Z", "2104-02-29T00:00:00.000Z"},
    {"0 0 * * mon", "2026-11-21T13:40:00Z", "2026-11-23T00:00:00.000Z"},
    {"0 0 * * 0", "2026-11-21T13:40:00Z", "2026-11-22T00:00:00.000Z"},
    {"0 0 * * 7", "2026-11-21T13:40:00Z", "2026-11-22T00:00:00.000Z"},
    {"0 0 * * 6-7", "2026-11-22T00:00:00Z", "2026-11-28T00:00:00.000Z"},
    {"15 9 * * MON-FRI", "2026-11-21T13:40:00Z", "2026-11-23T09:15:00.000Z"},
    {"0 0 13 * fri", "2026-11-21T13:40:00Z", "2026-11-27T00:00:00.000Z"}, /* either day */
    {"0 0 24 * fri", "2026-11-21T13:40:00Z", "2026-11-24T00:00:00.000Z"},
    {"0 0 */2 * fri", "2026-11-21T13:40:00Z", "2026-11-27T00:00:00.000Z"}, /* both: the day begins with * */
    {"0 0 1 jan,jul *", "2026-11-21T13:40:00Z", "2027-01-01T00:00:00.000Z"},
    {"10,50 8-10/2 * * *", "2026-11-21T08:10:00Z", "2026-11-21T08:50:00.000Z"},
    {"10,50 8-10/2 * * *", "2026-11-21T08:50:00Z", "2026-11-21T10:10:00.000Z"},
    {"50/5 * * * *", "2026-11-21T13:51:00Z", "2026-11-21T13:55:00.000Z"},
    {"  5   4 * *  * ", "2026-11-21T13:40:00Z", "2026-11-22T04:05:00.000Z"},
    {"@daily", "2026-11-21T13:40:00Z", "2026-11-22T00:00:00.000Z"},
    {"@hourly", "2026-11-21T13:40:00Z", "2026-11-21T14:00:00.000Z"},
    {"@weekly", "2026-11-21T13:40:00Z", "2026-11-22T00:00:00.000Z"},
    {"@monthly", "2026-11-21T13:40:00Z", "2026-12-01T00:00:00.000Z"},
    {"@yearly", "2026-11-21T13:40:00Z", "2027-01-01T00:00:00.000Z"},
    {"30 1 29 3 *", "2026-11-21T13:40:00Z", "2027-03-29T01:30:00.000Z"}, /* UTC: no hour is skipped */
};

static void the_next_time_is_that_of_the_calendar(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err;
        struct cron cron;
        int64_t after;
        char text[CLOCK_TEXT_MAX];
        if (cron_read(cases[i].cron, &cron, &err) != OK)
            fail_msg("%s: %s", cases[i].cron, err.message);
        assert_ok(clock_read(cases[i].after, &after, &err));
        clock_text(cron_next(&cron, after), text);
        if (strcmp(text, cases[i].next))
            fail_msg("'%s' after %s is %s, not %s", cases[i].cron, cases[i].after, text, cases[i].next);
    }
}

static const struct {
    const char *cron, *words;
} wrong[] = {
    {"", "has 0 fields"},
    {"* * * *", "has 4 fields"},
    {"* * * * * *", "more than five"},
    {"60 * * * *", "'60' is no minute"},
    {"* 24 * * *", "'24' is no hour"},
    {"* * 0 * *", "'0' is no day of the month"},
    {"* * 32 * *", "'32' is no day of the month"},
    {"* * * 13 *", "'13' is no month"},
    {"* * * * 8", "'8' is no day of the week"},
    {"5-1 * * * *", "'5-1' is no minute"},
    {"*/0 * * * *", "'*/0' is no minute"},
    {"1, * * * *", "'1,' is no minute"},
    {"1- * * * *", "'1-' is no minute"},
    {"-1 * * * *", "'-1' is no minute"},
    {"x * * * *", "'x' is no minute"},
    {"1x * * * *", "'1x' is no minute"},
    {"mon * * * *", "'mon' is no minute"},
    {"* * * * monday", "'monday' is no day of the week"},
    {"99999999999999999999 * * * *", "is no minute"},
    {"0 0 30 2 *", "never comes"},
    {"0 0 31 4,6 *", "never comes"},
    {"@reboot", "'@reboot' is no minute"},
};

static void what_is_no_time_is_refused_with_its_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct error err;
        struct cron cron;
        if (cron_read(wrong[i].cron, &cron, &err) != INVALID)
            fail_msg("'%s' was taken", wrong[i].cron);
        if (!strstr(err.message, wrong[i].words))
            fail_msg("'%s': '%s' lacks '%s'", wrong[i].cron, err.message, wrong[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_time_is_that_of_the_calendar),
        cmocka_unit_test(what_is_no_time_is_refused_with_its_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
