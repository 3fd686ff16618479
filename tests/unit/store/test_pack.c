/* Series read the same from rows and, once their job has long ended, from blobs. */
#include <math.h>

#include "base/fault.h"
#include "store_test.h"

#define ALICE     "user:alice"
#define DAY_MS    (24 * 3600 * 1000LL)
#define HOUR_MS   (3600 * 1000LL)
#define POINTS    2500
#define LOG_BYTES 300000

static int64_t count_rows(const struct fixture *f)
{
    return ask(f, "SELECT (SELECT COUNT(*) FROM metrics) + (SELECT COUNT(*) FROM log_chunks)");
}

static char letter(int64_t at)
{
    return (char)('a' + at * at % 26);
}

static void tell_log(struct store *s, int attempt, int64_t from, int64_t until)
{
    struct error err;
    char piece[10000];
    int64_t length;
    for (int64_t at = from; at < until; at += (int64_t)sizeof(piece)) {
        for (size_t i = 0; i < sizeof(piece); i++)
            piece[i] = letter(at + (int64_t)i);
        assert_ok(
            log_append(s, id_of(1), attempt, LOG_STDERR, at - from, piece, sizeof(piece), &length, &err));
    }
}

/* A job of two attempts with a large log, and metrics of which some are no numbers and one is written twice.
 */
static int told_setup(void **state)
{
    struct error err;
    fixture_setup(state);
    struct store *s = ((struct fixture *)*state)->store;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    assert_int_equal(lease_one(s, T0, NULL), 1);
    tell_log(s, 1, 0, LOG_BYTES / 3);
    assert_ok(finish_as(s, 1, 1, OUTCOME_RELEASED, "", T0, &err));
    assert_int_equal(lease_one(s, T0, NULL), 1);
    tell_log(s, 2, LOG_BYTES / 3, LOG_BYTES);
    struct metric_point *points = xcalloc(POINTS, sizeof(*points));
    for (int i = 0; i < POINTS; i++) {
        snprintf(points[i].name, sizeof(points[i].name), "%s", i % 5 ? "loss" : "accuracy");
        points[i].step = i;
        points[i].at_ms = T0 + i;
        points[i].value = i % 7 == 0 ? NAN : i % 11 == 0 ? -INFINITY : 1.0 / (i + 1);
    }
    assert_ok(metrics_add(s, id_of(1), 2, points, POINTS, NULL, T0, &err));
    points[1].value = 17;
    assert_ok(metrics_add(s, id_of(1), 2, &points[1], 1, NULL, T0, &err));
    free(points);
    assert_ok(finish_as(s, 1, 2, OUTCOME_DONE, "", T0, &err));
    return 0;
}

static int told_teardown(void **state)
{
    fault_arm(NULL, NULL);
    return fixture_teardown(state);
}

static void log_is_whole(struct store *s)
{
    struct error err;
    int64_t size;
    assert_ok(log_size(s, id_of(1), LOG_STDERR, &size, &err));
    assert_int_equal(size, LOG_BYTES);
    const struct {
        int64_t at;
        size_t max, expected;
    } reads[] = {{0, LOG_BYTES, LOG_BYTES}, {99999, 2, 2},           {LOG_BYTES - 3, 100, 3},
                 {LOG_BYTES, 100, 0},       {LOG_BYTES + 5, 100, 0}, {12345, 54321, 54321}};
    for (size_t i = 0; i < ARRAY_SIZE(reads); i++) {
        CLEANUP(freep) char *bytes = NULL;
        size_t n;
        assert_ok(log_read(s, id_of(1), LOG_STDERR, reads[i].at, reads[i].max, &bytes, &n, &err));
        assert_int_equal(n, reads[i].expected);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(bytes[k], letter(reads[i].at + (int64_t)k));
    }
}

static void metrics_are_whole(struct store *s)
{
    struct error err;
    CLEANUP(metric_list_release) struct metric_list all = {0};
    CLEANUP(metric_list_release) struct metric_list some = {0};
    CLEANUP(metric_list_release) struct metric_list latest = {0};
    assert_ok(metrics_read(s, id_of(1), NULL, 0, 0, &all, &err));
    assert_int_equal(all.n, POINTS);
    assert_false(all.more);
    assert_int_equal(all.points[POINTS - 1].step, 1);
    assert_true(all.points[POINTS - 1].value == 17);
    for (int i = 0; i < POINTS - 1; i++) {
        const struct metric_point *p = &all.points[i];
        int step = (int)p->step;
        assert_int_equal(step, i ? i + 1 : 0);
        assert_int_equal(p->at_ms, T0 + step);
        assert_string_equal(p->name, step % 5 ? "loss" : "accuracy");
        assert_true(step % 7 == 0    ? isnan(p->value)
                    : step % 11 == 0 ? isinf(p->value) && p->value < 0
                                     : p->value == 1.0 / (step + 1));
    }
    assert_ok(metrics_read(s, id_of(1), "accuracy", all.points[999].ord, 10, &some, &err));
    assert_int_equal(some.n, 10);
    assert_true(some.more);
    for (int i = 0; i < 10; i++)
        assert_int_equal(some.points[i].step, 1005 + 5 * i);
    assert_ok(metrics_latest(s, id_of(1), &latest, &err));
    assert_int_equal(latest.n, 2);
    assert_string_equal(latest.points[0].name, "accuracy");
    assert_int_equal(latest.points[0].step, 2495);
    assert_string_equal(latest.points[1].name, "loss");
    assert_int_equal(latest.points[1].step, 2499);
}

static void series_read_the_same_before_and_after(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct usage before, after;
    log_is_whole(f->store);
    metrics_are_whole(f->store);
    assert_ok(usage_get(f->store, ALICE, &before, &err));
    assert_ok(store_tick(f->store, T0 + DAY_MS - 1, NULL, &err));
    assert_true(count_rows(f) > POINTS);
    assert_ok(store_tick(f->store, T0 + DAY_MS, NULL, &err));
    assert_int_equal(count_rows(f), 0);
    log_is_whole(f->store);
    metrics_are_whole(f->store);
    assert_ok(usage_get(f->store, ALICE, &after, &err));
    assert_int_equal(before.log_bytes, LOG_BYTES);
    assert_int_equal(before.metric_points, POINTS);
    assert_int_equal(after.log_bytes, before.log_bytes);
    assert_int_equal(after.metric_points, before.metric_points);
    assert_int_equal(after.blob_bytes, before.blob_bytes);
    assert_ok(store_tick(f->store, T0 + 9 * DAY_MS, NULL, &err));
    log_is_whole(f->store);
    metrics_are_whole(f->store);
    assert_ok(document_delete(f->store, ALICE, id_of(1), 0, T0, NULL, NULL, &err));
    assert_ok(store_tick(f->store, T0 + 99 * DAY_MS, NULL, &err));
    struct blob_counts counts;
    assert_ok(blob_count(f->store, &counts, &err));
    assert_int_equal(counts.live, 0);
}

/* As if the process ended there: what was done so far stays, and a later tick goes on, of any server. */
static void packing_that_was_cut_short_goes_on(void **state)
{
    struct fixture *f = *state;
    struct error err;
    static const char *const points[] = {"blob.commit:1:error", "blob.write:2:error", "store.commit:3:error",
                                         "store.commit:4:error", "store.commit:6:error"};
    for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
        int64_t now_ms = T0 + DAY_MS + (int64_t)i * HOUR_MS;
        assert_ok(fault_arm(points[i], &err));
        assert_int_not_equal(store_tick(f->store, now_ms, NULL, &err), OK);
        fault_arm(NULL, NULL);
        log_is_whole(f->store);
        metrics_are_whole(f->store);
    }
    assert_ok(store_tick(f->store, T0 + 2 * DAY_MS, NULL, &err));
    assert_int_equal(count_rows(f), 0);
    log_is_whole(f->store);
    metrics_are_whole(f->store);
}

static void small_series_stay_rows(void **state)
{
    struct fixture *f = *state;
    struct error err;
    int64_t length;
    enqueue(f->store, ALICE, 1, (struct enqueue){0});
    assert_int_equal(lease_one(f->store, T0, NULL), 1);
    assert_ok(log_append(f->store, id_of(1), 1, LOG_STDERR, 0, "few\n", 4, &length, &err));
    assert_ok(finish_as(f->store, 1, 1, OUTCOME_DONE, "", T0, &err));
    assert_ok(store_tick(f->store, T0 + 2 * DAY_MS, NULL, &err));
    assert_int_equal(count_rows(f), 1);
}

static void a_lost_blob_is_an_error_and_no_short_log(void **state)
{
    struct fixture *f = *state;
    struct error err;
    CLEANUP(freep) char *bytes = NULL;
    size_t n;
    assert_ok(store_tick(f->store, T0 + DAY_MS, NULL, &err));
    CLEANUP(freep) char *objects = path_join(f->blobs, "sha256");
    assert_ok(dir_remove(objects, &err));
    assert_int_equal(log_read(f->store, id_of(1), LOG_STDERR, 0, 100, &bytes, &n, &err), FAILED);
    CLEANUP(metric_list_release) struct metric_list list = {0};
    assert_int_equal(metrics_read(f->store, id_of(1), NULL, 0, 0, &list, &err), FAILED);
}

#define TOLD(f) cmocka_unit_test_setup_teardown(f, told_setup, told_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TOLD(series_read_the_same_before_and_after),
        TOLD(packing_that_was_cut_short_goes_on),
        cmocka_unit_test_setup_teardown(small_series_stay_rows, fixture_setup, fixture_teardown),
        TOLD(a_lost_blob_is_an_error_and_no_short_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
