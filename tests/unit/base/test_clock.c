#include "base/clock.h"

#include "../test.h"

/* Expected: `date -u -d TEXT +%s%3N`. */
static const struct {
    const char *text;
    int64_t ms; /* -1: refused */
} cases[] = {
    {"1970-01-01T00:00:00Z", 0},
    {"2026-11-21T13:40:00Z", 1795268400000},
    {"2026-11-21t13:40:00z", 1795268400000},
    {"2026-11-21 13:40:00Z", 1795268400000},
    {"2026-11-21T13:40:00.5Z", 1795268400500},
    {"2026-11-21T13:40:00.123999Z", 1795268400123},
    {"2026-11-21T15:40:00+02:00", 1795268400000},
    {"2026-11-21T08:10:00-05:30", 1795268400000},
    {"2028-02-29T00:00:00Z", 1835395200000},
    {"2027-02-29T00:00:00Z", -1},
    {"2026-13-01T00:00:00Z", -1},
    {"2026-00-01T00:00:00Z", -1},
    {"2026-11-31T00:00:00Z", -1},
    {"2026-11-21T24:00:00Z", -1},
    {"2026-11-21T13:60:00Z", -1},
    {"2026-11-21T13:40:61Z", -1},
    {"2026-11-21T13:40:00", -1},
    {"2026-11-21T13:40Z", -1},
    {"2026-11-21T13:40:00.Z", -1},
    {"2026-11-21T13:40:00Zz", -1},
    {"2026-11-21T13:40:00+0200", -1},
    {"2026-11-21T13:40:00+24:00", -1},
    {"1969-12-31T23:59:59Z", -1},
    {"26-11-21T13:40:00Z", -1},
    {"tomorrow", -1},
    {"", -1},
};

static void a_time_is_read_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err;
        int64_t ms = -2;
        enum status status = clock_read(cases[i].text, &ms, &err);
        if (status != (cases[i].ms < 0 ? INVALID : OK) || (status == OK && ms != cases[i].ms))
            fail_msg("'%s' gave %lld", cases[i].text, (long long)ms);
    }
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    char text[CLOCK_TEXT_MAX];
    int64_t ms;
    struct error err;
    assert_ok(clock_read(clock_text(1795268400123, text), &ms, &err));
    assert_int_equal(ms, 1795268400123);
}

struct bell {
    pthread_mutex_t lock;
    pthread_cond_t rung;
    bool is_rung;
};

static void *ring(void *context)
{
    struct bell *bell = context;
    pthread_mutex_lock(&bell->lock);
    bell->is_rung = true;
    pthread_cond_signal(&bell->rung);
    pthread_mutex_unlock(&bell->lock);
    return NULL;
}

static void waiting_ends_with_the_condition_or_with_the_time(void **state)
{
    (void)state;
    struct bell bell = {.lock = PTHREAD_MUTEX_INITIALIZER, .rung = PTHREAD_COND_INITIALIZER};
    pthread_t thread;
    pthread_mutex_lock(&bell.lock);
    assert_false(clock_wait(&bell.rung, &bell.lock, clock_monotonic_ms() - 1));
    assert_int_equal(pthread_create(&thread, NULL, ring, &bell), 0);
    while (!bell.is_rung)
        assert_true(clock_wait(&bell.rung, &bell.lock, clock_monotonic_ms() + 600000));
    pthread_mutex_unlock(&bell.lock);
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_is_read_or_refused),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(waiting_ends_with_the_condition_or_with_the_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
