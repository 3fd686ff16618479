#include <math.h>

#include "store_test.h"

#define ALICE "user:alice"
#define BOB   "user:bob"

static int watch_setup(void **state)
{
    fixture_setup(state);
    struct store *s = ((struct fixture *)*state)->store;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    assert_int_equal(lease_one(s, T0, NULL), 1);
    return 0;
}

static struct metric_point point(const char *name, int64_t step, double value)
{
    struct metric_point p = {.step = step, .at_ms = T0 + step, .value = value};
    snprintf(p.name, sizeof(p.name), "%s", name);
    return p;
}

static void what_an_owners_jobs_tell_has_one_order(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enqueue(s, ALICE, 2, (struct enqueue){0});
    assert_int_equal(lease_one(s, T0, NULL), 2);
    enqueue(s, BOB, 3, (struct enqueue){0});
    assert_int_equal(lease_one(s, T0, NULL), 3);
    struct metric_point a = point("loss", 1, 4), b = point("loss", 1, 5), c = point("loss", 2, 6);
    CLEANUP(json_decrefp) json_t *progress = json_pack("{s:i}", "iteration", 1);
    assert_ok(metrics_add(s, id_of(1), 1, &a, 1, progress, T0, &err));
    assert_ok(metrics_add(s, id_of(3), 1, &b, 1, NULL, T0, &err));
    assert_ok(metrics_add(s, id_of(2), 1, &b, 1, NULL, T0, &err));
    assert_ok(metrics_add(s, id_of(1), 1, &c, 1, progress, T0, &err));
    static const struct {
        int job, value; /* value 0: progress */
    } expected[] = {{1, 4}, {2, 5}, {1, 6}, {1, 0}};
    int64_t since = 0, last = 0;
    assert_ok(told_ord(s, ALICE, &last, &err));
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) { /* one at a time */
        CLEANUP(told_list_release) struct told_list list = {0};
        assert_ok(told_read(s, ALICE, since, 1, &list, &err));
        assert_int_equal(list.n, 1);
        assert_string_equal(list.items[0].job, id_of(expected[i].job));
        assert_int_equal(list.items[0].progress != NULL, expected[i].value == 0);
        assert_true(list.items[0].point.value == expected[i].value);
        assert_true(list.items[0].point.ord > since);
        since = list.items[0].point.ord;
    }
    assert_int_equal(since, last);
    CLEANUP(told_list_release) struct told_list bobs = {0};
    assert_ok(told_read(s, BOB, 0, 10, &bobs, &err));
    assert_int_equal(bobs.n, 1);
    assert_ok(told_ord(s, "user:nobody", &last, &err));
    assert_int_equal(last, 0);
}

struct thin_case {
    const char *what;
    int n, points, from, to;
    int64_t n_all, n_nan;
    int steps[12], n_steps;
};

/* Steps 0 to 11. */
static const double curve[] = {3, 1, 4, 1, 5, 9, 2, 6, 5, NAN, INFINITY, 8};
static const struct thin_case thin_cases[] = {
    {"all, when they are few", 12, 12, 0, 11, 12, 1, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 12},
    {"one bucket", 9, 5, 0, 8, 9, 0, {0, 1, 5, 8}, 4},
    {"two buckets", 12, 9, 0, 11, 12, 1, {0, 1, 5, 6, 9, 10, 11}, 7},
    {"the range is cut first", 12, 5, 6, 11, 6, 1, {6, 9, 10, 11}, 4},
    {"an empty range", 12, 5, 20, 30, 0, 0, {0}, 0},
};

static void a_thinned_curve_keeps_its_peaks_its_ends_and_what_is_no_number(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(thin_cases); i++) {
        const struct thin_case *c = &thin_cases[i];
        void *fixture;
        watch_setup(&fixture);
        struct store *s = ((struct fixture *)fixture)->store;
        struct error err;
        struct metric_point points[12];
        for (int k = 0; k < c->n; k++)
            points[k] = point("loss", k, curve[k]);
        assert_ok(metrics_add(s, id_of(1), 1, points, c->n, NULL, T0, &err));
        struct thinned t = {0};
        assert_ok(metrics_thin(s, id_of(1), "loss", c->from, c->to, c->points, &t, &err));
        if (t.list.n != c->n_steps || t.n_all != c->n_all || t.n_nan != c->n_nan)
            fail_msg("%s: %d points of %lld", c->what, t.list.n, (long long)t.n_all);
        for (int k = 0; k < t.list.n; k++)
            if (t.list.points[k].step != c->steps[k])
                fail_msg("%s: point %d is step %lld", c->what, k, (long long)t.list.points[k].step);
        metric_list_release(&t.list);
        assert_int_equal(metrics_thin(s, id_of(1), "loss", 0, 9, 4, &t, &err), INVALID);
        fixture_teardown(&fixture);
    }
}

static void a_long_curve_is_thinned_to_what_was_asked_and_keeps_a_spike(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    static struct metric_point points[12001];
    for (int i = 0; i < 12001; i++)
        points[i] = point("loss", i * 100, i == 7777 ? -1e9 : i % 7);
    points[12000].step = INT64_MAX; /* the ends of what a step can be */
    points[0].step = INT64_MIN;
    assert_ok(metrics_add(s, id_of(1), 1, points, 12001, NULL, T0, &err));
    struct thinned t = {0};
    assert_ok(metrics_thin(s, id_of(1), "loss", 0, 1200000, 100, &t, &err));
    assert_int_equal(t.n_all, 11999);
    assert_true(t.list.n <= 100 && t.list.n > 60);
    bool spike = false;
    for (int i = 0; i < t.list.n; i++)
        spike |= t.list.points[i].step == 777700;
    assert_true(spike);
    metric_list_release(&t.list);
    assert_ok(metrics_thin(s, id_of(1), "loss", INT64_MIN, INT64_MAX, 10, &t, &err));
    assert_int_equal(t.n_all, 12001);
    assert_true(t.list.points[0].step == INT64_MIN && t.list.points[t.list.n - 1].step == INT64_MAX);
    metric_list_release(&t.list);
}

static void append(struct store *s, int attempt, const char *text)
{
    struct error err;
    int64_t length;
    assert_ok(log_append(s, id_of(1), attempt, LOG_STDERR, 0, text, strlen(text), &length, &err));
}

static void a_log_is_read_on_attempt_by_attempt(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    struct log_place place = {0};
    append(s, 1, "abcd");
    static const struct {
        size_t max;
        const char *text;
        int attempt, byte;
        bool final;
    } reads[] = {{3, "abc", 1, 3, false}, {3, "d", 1, 4, false}, {3, "", 1, 4, false}},
      later[] = {{9, "xy", 3, 2, true}, {9, "z", 4, 1, false}, {9, "", 4, 1, false}};
    for (size_t i = 0; i < 2 * ARRAY_SIZE(reads); i++) {
        if (i == ARRAY_SIZE(reads)) { /* the second attempt prints nothing */
            for (int attempt = 1; attempt < 4; attempt++) {
                assert_ok(finish_as(s, 1, attempt, OUTCOME_RELEASED, "", T0, &err));
                assert_int_equal(lease_one(s, T0, NULL), 1);
                append(s, attempt + 1, attempt == 1 ? "" : attempt == 2 ? "xy" : "z");
            }
        }
        __typeof__(&reads[0]) r = i < ARRAY_SIZE(reads) ? &reads[i] : &later[i - ARRAY_SIZE(reads)];
        CLEANUP(freep) char *bytes = NULL;
        size_t size;
        bool final;
        assert_ok(log_read_on(s, id_of(1), LOG_STDERR, &place, r->max, &bytes, &size, &final, &err));
        assert_string_equal(bytes, r->text);
        assert_int_equal(place.attempt, r->attempt);
        assert_int_equal(place.byte, r->byte);
        assert_int_equal(final, r->final);
    }
}

static void a_local_note_is_its_owners_and_counts_its_writes(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    int64_t rev;
    json_t *got = NULL;
    CLEANUP(json_decrefp) json_t *note = json_pack("{s:i}", "last_seq", 3);
    assert_int_equal(local_get(s, ALICE, "x", &got, &rev, &err), NOT_FOUND);
    assert_ok(local_put(s, ALICE, "x", note, T0, &rev, &err));
    assert_int_equal(rev, 1);
    assert_ok(local_put(s, ALICE, "x", note, T0, &rev, &err));
    assert_int_equal(rev, 2);
    assert_ok(local_get(s, ALICE, "x", &got, &rev, &err));
    assert_true(json_equal(got, note));
    json_decref(got);
    assert_int_equal(local_get(s, BOB, "x", &got, &rev, &err), NOT_FOUND);
    assert_int_equal(local_put(s, ALICE, "", note, T0, &rev, &err), INVALID);
    CLEANUP(freep) char *big = xcalloc(1, LOCAL_BODY_MAX + 1);
    memset(big, 'b', LOCAL_BODY_MAX);
    CLEANUP(json_decrefp) json_t *long_note = json_pack("{s:s}", "big", big);
    assert_int_equal(local_put(s, ALICE, "y", long_note, T0, &rev, &err), TOO_LARGE);
    char id[16];
    for (int i = 0; i < LOCALS_MAX; i++) {
        snprintf(id, sizeof(id), "n%d", i);
        assert_ok(local_put(s, ALICE, id, note, T0 + 1 + i, &rev, &err));
    }
    assert_int_equal(local_get(s, ALICE, "x", &got, &rev, &err), NOT_FOUND); /* it made room */
    assert_ok(local_get(s, ALICE, "n0", &got, &rev, &err));
    json_decref(got);
}

#define T(f) cmocka_unit_test_setup_teardown(f, watch_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_an_owners_jobs_tell_has_one_order),
        cmocka_unit_test(a_thinned_curve_keeps_its_peaks_its_ends_and_what_is_no_number),
        T(a_long_curve_is_thinned_to_what_was_asked_and_keeps_a_spike),
        T(a_log_is_read_on_attempt_by_attempt),
        T(a_local_note_is_its_owners_and_counts_its_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
