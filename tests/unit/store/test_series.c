#include <math.h>

#include "store_test.h"

#define ALICE "user:alice"

static int series_setup(void **state)
{
    fixture_setup(state);
    struct store *s = ((struct fixture *)*state)->store;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    assert_int_equal(lease_one(s, T0, NULL), 1);
    return 0;
}

/* The job's second attempt begins. */
static void next_attempt(struct store *s, int attempt)
{
    struct error err;
    assert_ok(finish_as(s, 1, attempt, OUTCOME_RELEASED, "", T0, &err));
    assert_int_equal(lease_one(s, T0, NULL), 1);
}

static struct metric_point point(const char *name, int64_t step, double value)
{
    struct metric_point p = {.step = step, .at_ms = T0 + step, .value = value};
    snprintf(p.name, sizeof(p.name), "%s", name);
    return p;
}

static void metrics_are_read_in_order_since_a_position(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    struct metric_point first[] = {point("loss", 1, 0.5), point("accuracy", 1, 0.1), point("loss", 2, 0.25)};
    assert_ok(metrics_add(s, id_of(1), 1, first, 3, NULL, T0, &err));
    assert_ok(metrics_add(s, id_of(1), 1, first, 3, NULL, T0, &err));
    struct metric_point second[] = {point("loss", 1, 0.75), point("loss", 2, 0.25)};
    assert_ok(metrics_add(s, id_of(1), 1, second, 2, NULL, T0, &err));

    CLEANUP(metric_list_release) struct metric_list all = {0};
    assert_ok(metrics_read(s, id_of(1), NULL, 0, 0, &all, &err));
    assert_int_equal(all.n, 3);
    assert_string_equal(all.points[0].name, "accuracy");
    assert_int_equal(all.points[0].ord, 2);
    assert_int_equal(all.points[1].ord, 3);
    assert_true(all.points[2].ord > 3);
    assert_int_equal(all.points[2].step, 1);
    assert_true(all.points[2].value == 0.75);
    assert_int_equal(all.points[2].at_ms, T0 + 1);

    CLEANUP(metric_list_release) struct metric_list since = {0};
    assert_ok(metrics_read(s, id_of(1), "loss", 2, 1, &since, &err));
    assert_int_equal(since.n, 1);
    assert_true(since.more);
    assert_int_equal(since.points[0].step, 2);

    CLEANUP(metric_list_release) struct metric_list latest = {0};
    assert_ok(metrics_latest(s, id_of(1), &latest, &err));
    assert_int_equal(latest.n, 2);
    assert_string_equal(latest.points[0].name, "accuracy");
    assert_int_equal(latest.points[1].step, 2);
}

static void values_that_are_not_finite_survive(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    struct metric_point points[] = {point("a", 1, NAN), point("a", 2, INFINITY), point("a", 3, -INFINITY),
                                    point("a", 4, -0.0), point("a", 5, 5e-324)};
    assert_ok(metrics_add(s, id_of(1), 1, points, 5, NULL, T0, &err));
    assert_ok(metrics_add(s, id_of(1), 1, points, 5, NULL, T0, &err));
    CLEANUP(metric_list_release) struct metric_list all = {0};
    assert_ok(metrics_read(s, id_of(1), NULL, 0, 0, &all, &err));
    assert_int_equal(all.n, 5);
    assert_true(isnan(all.points[0].value));
    assert_true(isinf(all.points[1].value) && all.points[1].value > 0);
    assert_true(isinf(all.points[2].value) && all.points[2].value < 0);
    assert_true(all.points[4].value == 5e-324);
}

static void only_the_current_attempt_writes(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    int64_t length = 0;
    struct metric_point p = point("loss", 1, 1), unnamed = point("", 1, 1);
    next_attempt(s, 1);
    assert_int_equal(metrics_add(s, id_of(1), 1, &p, 1, NULL, T0, &err), CONFLICT);
    assert_int_equal(log_append(s, id_of(1), 1, LOG_STDERR, 0, "x", 1, &length, &err), CONFLICT);
    assert_int_equal(metrics_add(s, id_of(2), 1, &p, 1, NULL, T0, &err), CONFLICT);
    assert_int_equal(metrics_add(s, id_of(1), 2, &unnamed, 1, NULL, T0, &err), INVALID);
    assert_ok(metrics_add(s, id_of(1), 2, &p, 1, NULL, T0, &err));
}

static void progress_is_kept_outside_the_feed(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    int64_t before = 0, after = 0;
    json_t *none = (json_t *)1;
    assert_ok(progress_get(s, id_of(1), &none, &err));
    assert_null(none);
    assert_ok(feed_seq(s, ALICE, &before, &err));
    CLEANUP(json_decrefp) json_t *progress = json_pack("{s:i}", "iteration", 100);
    assert_ok(metrics_add(s, id_of(1), 1, NULL, 0, progress, T0, &err));
    CLEANUP(json_decrefp) json_t *got = NULL;
    assert_ok(progress_get(s, id_of(1), &got, &err));
    assert_true(json_equal(got, progress));
    assert_ok(feed_seq(s, ALICE, &after, &err));
    assert_int_equal(before, after);
}

struct append_case {
    const char *what;
    int64_t offset;
    const char *bytes;
    int64_t stored; /* afterwards */
};

/* One after the other, to the same stream. */
static const struct append_case append_cases[] = {
    {"the first bytes", 0, "hello ", 6}, {"the same again", 0, "hello ", 6},
    {"past the end", 8, "gap", 6},       {"half of it known", 3, "lo world", 11},
    {"all of it known", 2, "llo", 11},   {"nothing", 11, "", 11},
    {"the next bytes", 11, "!\n", 13},
};

static void a_log_takes_what_it_lacks_and_tells_its_length(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    int64_t length = -1;
    for (size_t i = 0; i < ARRAY_SIZE(append_cases); i++) {
        const struct append_case *c = &append_cases[i];
        assert_ok(
            log_append(s, id_of(1), 1, LOG_STDERR, c->offset, c->bytes, strlen(c->bytes), &length, &err));
        if (length != c->stored)
            fail_msg("%s: length %lld", c->what, (long long)length);
    }
    assert_int_equal(log_append(s, id_of(1), 1, LOG_STDERR, -1, "x", 1, &length, &err), INVALID);
    CLEANUP(freep) char *big = xcalloc(1, LOG_CHUNK_MAX + 1);
    assert_int_equal(log_append(s, id_of(1), 1, LOG_STDERR, 13, big, LOG_CHUNK_MAX + 1, &length, &err),
                     TOO_LARGE);
    CLEANUP(freep) char *bytes = NULL;
    size_t size = 0;
    assert_ok(log_read(s, id_of(1), LOG_STDERR, 0, 100, &bytes, &size, &err));
    assert_int_equal(size, 13);
    assert_string_equal(bytes, "hello world!\n");
}

static void a_log_reads_as_one_across_chunks_and_attempts(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    int64_t length = 0, size = 0;
    assert_ok(log_append(s, id_of(1), 1, LOG_STDERR, 0, "abc", 3, &length, &err));
    assert_ok(log_append(s, id_of(1), 1, LOG_STDOUT, 0, "other", 5, &length, &err));
    assert_ok(log_append(s, id_of(1), 1, LOG_STDERR, 3, "\0e", 2, &length, &err));
    next_attempt(s, 1);
    next_attempt(s, 2);
    assert_ok(log_append(s, id_of(1), 3, LOG_STDERR, 0, "fgh", 3, &length, &err));
    assert_ok(log_append(s, id_of(1), 3, LOG_STDERR, 3, "i", 1, &length, &err));
    assert_int_equal(length, 4);
    static const char whole[] = "abc\0efghi";
    assert_ok(log_size(s, id_of(1), LOG_STDERR, &size, &err));
    assert_int_equal(size, 9);
    for (int64_t offset = 0; offset <= 10; offset++) {
        for (size_t max = 1; max <= 10; max++) {
            CLEANUP(freep) char *bytes = NULL;
            size_t got = 0, expected = offset < 9 ? MIN(max, (size_t)(9 - offset)) : 0;
            assert_ok(log_read(s, id_of(1), LOG_STDERR, offset, max, &bytes, &got, &err));
            assert_int_equal(got, expected);
            assert_memory_equal(bytes, whole + MIN(offset, 9), expected);
        }
    }
    assert_ok(log_size(s, id_of(1), LOG_STDOUT, &size, &err));
    assert_int_equal(size, 5);
    assert_ok(log_size(s, id_of(2), LOG_STDOUT, &size, &err));
    assert_int_equal(size, 0);
}

static void a_deleted_documents_series_go_in_pieces(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    int64_t length = 0, size = 0;
    static struct metric_point points[5000];
    for (int i = 0; i < 5000; i++)
        points[i] = point("loss", i, i);
    assert_ok(metrics_add(s, id_of(1), 1, points, 5000, NULL, T0, &err));
    for (int i = 0; i < 450; i++)
        assert_ok(log_append(s, id_of(1), 1, LOG_STDERR, i, "x", 1, &length, &err));
    assert_ok(finish_as(s, 1, 1, OUTCOME_DONE, "", T0, &err));
    assert_ok(document_delete(s, ALICE, id_of(1), 0, T0, NULL, NULL, &err));
    assert_ok(store_tick(s, T0, NULL, &err));
    CLEANUP(metric_list_release) struct metric_list left = {0};
    CLEANUP(attempt_list_release) struct attempt_list attempts = {0};
    assert_ok(metrics_read(s, id_of(1), NULL, 0, 0, &left, &err));
    assert_int_equal(left.n, 0);
    assert_ok(log_size(s, id_of(1), LOG_STDERR, &size, &err));
    assert_int_equal(size, 0);
    assert_ok(queue_attempts(s, id_of(1), &attempts, &err));
    assert_int_equal(attempts.n, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, series_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(metrics_are_read_in_order_since_a_position),
        T(values_that_are_not_finite_survive),
        T(only_the_current_attempt_writes),
        T(progress_is_kept_outside_the_feed),
        T(a_log_takes_what_it_lacks_and_tells_its_length),
        T(a_log_reads_as_one_across_chunks_and_attempts),
        T(a_deleted_documents_series_go_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
