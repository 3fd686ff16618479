/* What an owner says about his jobs, and the operator about an owner: order, limits, retries, times, force.
 */
#include "store_test.h"

#define ALICE "user:alice"
#define BOB   "user:bob"

enum { BEGIN = 100 }; /* times of making are this many milliseconds apart */

static struct store *fresh(void **fixture)
{
    fixture_setup(fixture);
    return ((struct fixture *)*fixture)->store;
}

/* -- order -- */

struct step {
    int job;
    int where; /* MOVE_ */
    int before;
    int priority;
};
struct order_case {
    const char *what;
    int priorities[5]; /* of jobs 1 to 5, made in that order */
    struct step steps[3];
    int expected[5];
};
static const struct order_case order_cases[] = {
    {"as made", {0}, {{0}}, {1, 2, 3, 4, 5}},
    {"the last one first", {0}, {{5, MOVE_FIRST}}, {5, 1, 2, 3, 4}},
    {"the first one last", {0}, {{1, MOVE_LAST}}, {2, 3, 4, 5, 1}},
    {"before another", {0}, {{5, MOVE_BEFORE, 2}}, {1, 5, 2, 3, 4}},
    {"before the next, which changes nothing", {0}, {{2, MOVE_BEFORE, 3}}, {1, 2, 3, 4, 5}},
    {"before itself, which changes nothing", {0}, {{2, MOVE_BEFORE, 2}}, {1, 2, 3, 4, 5}},
    {"before the first", {0}, {{3, MOVE_BEFORE, 1}}, {3, 1, 2, 4, 5}},
    {"first twice", {0}, {{4, MOVE_FIRST}, {5, MOVE_FIRST}}, {5, 4, 1, 2, 3}},
    {"last twice", {0}, {{1, MOVE_LAST}, {2, MOVE_LAST}}, {3, 4, 5, 1, 2}},
    {"first takes the highest priority", {3, 0, 0, 0, 0}, {{5, MOVE_FIRST}}, {5, 1, 2, 3, 4}},
    {"last takes the lowest priority", {9, 0, 0, 0, -4}, {{1, MOVE_LAST}}, {2, 3, 4, 5, 1}},
    {"before one of another priority", {0, 0, 7, 7, 0}, {{5, MOVE_BEFORE, 4}}, {3, 5, 4, 1, 2}},
    {"a new priority", {0}, {{4, MOVE_NOT, 0, 2}}, {4, 1, 2, 3, 5}},
    {"a lower priority", {0}, {{1, MOVE_NOT, 0, -1}}, {2, 3, 4, 5, 1}},
};

static void try_move(struct store *s, const struct step *step, const char *what)
{
    struct error err;
    CLEANUP(document_release) struct document d = {0};
    struct job_move move = {.where = step->where, .priority = step->priority};
    if (step->before)
        move.before = id_of(step->before);
    if (queue_move(s, ALICE, id_of(step->job), &move, T0 + 5 * BEGIN, &d, &err) != OK)
        fail_msg("%s: %s", what, err.message);
}

static void jobs_are_leased_in_the_order_that_their_owner_gave(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(order_cases); i++) {
        const struct order_case *c = &order_cases[i];
        void *fixture = NULL;
        struct error err;
        struct store *s = fresh(&fixture);
        for (int n = 0; n < 5; n++)
            assert_ok(try_enqueue(s, ALICE, n + 1, (struct enqueue){.priority = c->priorities[n]},
                                  T0 + n * BEGIN, &err));
        for (const struct step *step = c->steps; step->job; step++)
            try_move(s, step, c->what);
        for (int n = 0; n < 5; n++) {
            int got = lease_one(s, T0 + 6 * BEGIN, NULL);
            if (got != c->expected[n])
                fail_msg("%s: lease %d gave job %d, not %d", c->what, n + 1, got, c->expected[n]);
        }
        fixture_teardown(&fixture);
    }
}

static void there_is_always_room_between_two(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    for (int n = 1; n <= 60; n++) /* all at the same time: no room at all */
        enqueue(s, ALICE, n, (struct enqueue){0});
    /* Each goes before 60: they keep their order.  The halves of one gap are used up many times. */
    for (int n = 1; n < 60; n++)
        try_move(s, &(struct step){n, MOVE_BEFORE, 60, 0}, "before 60");
    for (int n = 1; n < 59; n++)
        try_move(s, &(struct step){n, MOVE_BEFORE, 59, 0}, "before 59");
    for (int n = 1; n <= 60; n++)
        assert_int_equal(lease_one(s, T0, NULL), n);
}

static void a_waiting_job_keeps_the_place_that_it_was_given(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    enqueue(s, ALICE, 2, (struct enqueue){0});
    enqueue(s, ALICE, 3, (struct enqueue){.not_before_ms = T0 + 1000});
    try_move(s, &(struct step){3, MOVE_FIRST, 0, 0}, "first");
    assert_int_equal(lease_one(s, T0, NULL), 1);
    assert_ok(store_tick(s, T0 + 1000, NULL, &err));
    assert_int_equal(lease_one(s, T0 + 1000, NULL), 3);
}

static void only_what_has_not_begun_is_moved(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    CLEANUP(document_release) struct document d = {0};
    struct job_move first = {.where = MOVE_FIRST};
    enqueue(s, ALICE, 1, (struct enqueue){0});
    enqueue(s, ALICE, 2, (struct enqueue){0});
    enqueue(s, ALICE, 3, (struct enqueue){.pool = "gpu"});
    assert_int_equal(lease_one(s, T0, NULL), 1);
    assert_int_equal(queue_move(s, ALICE, id_of(1), &first, T0, &d, &err), CONFLICT);
    struct job_move before = {.where = MOVE_BEFORE, .before = id_of(1)};
    assert_int_equal(queue_move(s, ALICE, id_of(2), &before, T0, &d, &err), CONFLICT);
    before.before = id_of(3);
    assert_int_equal(queue_move(s, ALICE, id_of(2), &before, T0, &d, &err), CONFLICT);
    assert_int_equal(queue_move(s, BOB, id_of(2), &first, T0, &d, &err), NOT_FOUND);
    assert_int_equal(queue_move(s, ALICE, id_of(9), &first, T0, &d, &err), NOT_FOUND);
}

static void a_move_is_told_in_the_document_and_does_not_touch_others(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    CLEANUP(document_release) struct document d = {0};
    enqueue(s, BOB, 1, (struct enqueue){.priority = 5});
    enqueue(s, ALICE, 2, (struct enqueue){.priority = 3});
    enqueue(s, ALICE, 3, (struct enqueue){0});
    struct job_move first = {.where = MOVE_FIRST};
    assert_ok(queue_move(s, ALICE, id_of(3), &first, T0 + 7, &d, &err));
    assert_int_equal(json_get_int(d.body, "priority", 0), 3);
    assert_int_equal(d.rev, 2);
    assert_int_equal(lease_one(s, T0 + 7, NULL), 1);
    assert_int_equal(lease_one(s, T0 + 7, NULL), 3);
}

/* -- limits -- */

static void no_more_run_than_the_limit_in_each_pool(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    struct limits none = {0}, two = {.running = 2}, got;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    assert_ok(limits_set(s, ALICE, &two, &err));
    assert_ok(limits_get(s, ALICE, &got, &err));
    assert_int_equal(got.running, 2);
    for (int n = 2; n <= 4; n++)
        enqueue(s, ALICE, n, (struct enqueue){0});
    enqueue(s, ALICE, 5, (struct enqueue){.pool = "gpu"});
    assert_int_equal(lease_one(s, T0, NULL), 1);
    assert_int_equal(lease_one(s, T0, NULL), 2);
    assert_int_equal(lease_one(s, T0, NULL), 0);
    assert_int_equal(lease_from(s, "gpu", "r", T0, NULL), 5);
    assert_ok(finish_as(s, 1, 1, OUTCOME_DONE, "", T0, &err));
    assert_int_equal(lease_one(s, T0, NULL), 3);
    assert_int_equal(lease_one(s, T0, NULL), 0);
    assert_ok(limits_set(s, ALICE, &none, &err));
    assert_int_equal(lease_one(s, T0, NULL), 4);
}

static void no_more_are_queued_than_the_limit(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    struct limits two = {.queued = 2};
    assert_ok(limits_set(s, ALICE, &two, &err));
    enqueue(s, ALICE, 1, (struct enqueue){0});
    enqueue(s, ALICE, 2, (struct enqueue){.not_before_ms = T0 + 9});
    assert_int_equal(try_enqueue(s, ALICE, 3, (struct enqueue){0}, T0, &err), LIMITED);
    assert_string_equal(err.message, "2 of at most 2 jobs are queued: 1 more would be too many");
    enqueue(s, BOB, 4, (struct enqueue){0});
    assert_int_equal(lease_one(s, T0, NULL), 1);
    enqueue(s, ALICE, 3, (struct enqueue){0});
    assert_int_equal(try_enqueue(s, ALICE, 5, (struct enqueue){0}, T0, &err), LIMITED);
}

/* -- ends -- */

static void a_forced_cancel_is_told_by_the_heartbeat_and_never_milder_again(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enum document_state now;
    enum stop_wish wish;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    enqueue(s, ALICE, 2, (struct enqueue){0});
    assert_int_equal(lease_one(s, T0, NULL), 1);
    assert_ok(queue_heartbeat(s, id_of(1), 1, T0, &wish, &err));
    assert_int_equal(wish, STOP_NOT);
    assert_ok(queue_cancel(s, ALICE, id_of(1), "alice", T0, &now, &err));
    assert_ok(queue_heartbeat(s, id_of(1), 1, T0, &wish, &err));
    assert_int_equal(wish, STOP_SAVING);
    assert_ok(queue_kill(s, ALICE, id_of(1), "alice", T0, &now, &err));
    assert_int_equal(now, STATE_PROCESSING);
    assert_ok(queue_cancel(s, ALICE, id_of(1), "alice", T0, &now, &err));
    assert_ok(queue_heartbeat(s, id_of(1), 1, T0, &wish, &err));
    assert_int_equal(wish, STOP_AT_ONCE);
    assert_ok(queue_kill(s, ALICE, id_of(2), "alice", T0, &now, &err));
    assert_int_equal(now, STATE_CANCELLED);
}

static void enqueue_job(struct store *s, int n, struct new_job job)
{
    struct error err;
    CLEANUP(json_decrefp) json_t *body = json_object();
    job.kind = "train";
    struct new_document d = {.id = id_of(n), .type = "job", .body = body, .job = &job};
    assert_ok(documents_create(s, ALICE, &d, 1, NULL, T0, NULL, &err));
}

static void a_failure_is_retried_where_the_job_says_so_with_its_own_pause(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enqueue_job(s, 1, (struct new_job){.max_attempts = 3, .backoff_ms = 100, .retry_failed = true});
    const int64_t pauses[] = {100, 200};
    int64_t now = T0;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lease_one(s, now, NULL), 1);
        assert_ok(finish_as(s, 1, i + 1, OUTCOME_FAILED, "NaN", now, &err));
        now += pauses[i];
        assert_ok(store_tick(s, now - 1, NULL, &err));
        assert_int_equal(lease_one(s, now - 1, NULL), 0);
        assert_ok(store_tick(s, now, NULL, &err));
    }
    assert_int_equal(lease_one(s, now, NULL), 1);
    assert_ok(finish_as(s, 1, 3, OUTCOME_FAILED, "NaN", now, &err));
    assert_document(s, 1, STATE_FAILED, "NaN (given up after 3 attempts)");
}

static void no_retries_at_all_are_possible(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enqueue_job(s, 1, (struct new_job){.max_attempts = 1, .retry_failed = true});
    enqueue_job(s, 2, (struct new_job){.max_attempts = 1});
    assert_int_equal(lease_one(s, T0, NULL), 1);
    assert_ok(finish_as(s, 1, 1, OUTCOME_FAILED, "NaN", T0, &err));
    assert_document(s, 1, STATE_FAILED, "NaN");
    assert_int_equal(lease_one(s, T0, NULL), 2);
    assert_ok(finish_as(s, 2, 1, OUTCOME_RETRY, "disk full", T0, &err));
    assert_document(s, 2, STATE_FAILED, "disk full (given up after 1 attempts)");
}

static void the_server_ends_an_attempt_that_its_worker_lets_run(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enum stop_wish wish;
    const int64_t over = 60000 + 300000; /* the limit, and five minutes for inputs and results */
    enqueue_job(s, 1, (struct new_job){.max_ms = 60000});
    assert_int_equal(lease_one(s, T0, NULL), 1);
    for (int64_t now = T0; now < T0 + over; now += 10000) {
        assert_ok(queue_heartbeat(s, id_of(1), 1, now, &wish, &err));
        assert_ok(store_tick(s, now, NULL, &err));
    }
    assert_document(s, 1, STATE_PROCESSING, "(absent)");
    assert_ok(store_tick(s, T0 + over, NULL, &err));
    assert_document(s, 1, STATE_FAILED, "ran longer than its limit of 60 s, and its worker did not end it");
    assert_int_equal(queue_heartbeat(s, id_of(1), 1, T0 + over, &wish, &err), CONFLICT);
}

static void a_job_behind_another_waits_for_any_end_of_it(void **state)
{
    static const enum outcome outcomes[] = {OUTCOME_DONE, OUTCOME_FAILED, OUTCOME_CANCELLED};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++) {
        void *fixture = NULL;
        struct error err;
        struct store *s = fresh(&fixture);
        enqueue(s, ALICE, 1, (struct enqueue){0});
        enqueue_job(s, 2, (struct new_job){.behind = id_of(1)});
        assert_int_equal(lease_one(s, T0, NULL), 1);
        assert_int_equal(lease_one(s, T0, NULL), 0);
        assert_ok(finish_as(s, 1, 1, outcomes[i], "", T0, &err));
        assert_int_equal(lease_one(s, T0, NULL), 2);
        fixture_teardown(&fixture);
    }
}

static void a_job_behind_a_dependent_that_fails_is_freed_too(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    enqueue(s, ALICE, 2, (struct enqueue){.after = {1}});
    enqueue_job(s, 3, (struct new_job){.behind = id_of(2)});
    assert_int_equal(lease_one(s, T0, NULL), 1);
    assert_ok(finish_as(s, 1, 1, OUTCOME_FAILED, "NaN", T0, &err));
    assert_document(s, 2, STATE_FAILED, "job '00000000000000000000000000000001' failed: NaN");
    assert_int_equal(lease_one(s, T0, NULL), 3);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_are_leased_in_the_order_that_their_owner_gave),
        T(there_is_always_room_between_two),
        T(a_waiting_job_keeps_the_place_that_it_was_given),
        T(only_what_has_not_begun_is_moved),
        T(a_move_is_told_in_the_document_and_does_not_touch_others),
        T(no_more_run_than_the_limit_in_each_pool),
        T(no_more_are_queued_than_the_limit),
        T(a_forced_cancel_is_told_by_the_heartbeat_and_never_milder_again),
        T(a_failure_is_retried_where_the_job_says_so_with_its_own_pause),
        T(no_retries_at_all_are_possible),
        T(the_server_ends_an_attempt_that_its_worker_lets_run),
        cmocka_unit_test(a_job_behind_another_waits_for_any_end_of_it),
        T(a_job_behind_a_dependent_that_fails_is_freed_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
