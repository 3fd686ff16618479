/* Who asks for jobs, and draining. */
#include "store_test.h"

#define ALICE "user:alice"

/* How many it gets; DRAINED when it is told that there will be none. */
#define DRAINED (-1)

static int ask_for(struct store *s, const char *name, int slots, int all_slots, int64_t now_ms)
{
    struct error err;
    char request_id[33];
    random_hex(16, request_id);
    const char *pools[] = {"gpu", "cpu"};
    struct lease_request r = {.request_id = request_id,
                              .worker = name,
                              .pools = pools,
                              .n_pools = 2,
                              .slots = slots,
                              .all_slots = all_slots,
                              .lease_ms = LEASE_MS};
    CLEANUP(job_list_release) struct job_list list = {0};
    assert_ok(queue_lease(s, &r, now_ms, &list, &err));
    return list.drained && !list.n ? DRAINED : list.n;
}

static void assert_worker(struct store *s, const char *name, int64_t seen_ms, int slots, int running,
                          bool drained)
{
    struct error err;
    CLEANUP(worker_info_list_release) struct worker_info_list list = {0};
    assert_ok(workers_list(s, &list, &err));
    for (int i = 0; i < list.n; i++) {
        const struct worker_info *w = &list.workers[i];
        if (strcmp(w->name, name))
            continue;
        assert_int_equal(w->seen_ms, seen_ms);
        assert_int_equal(w->slots, slots);
        assert_int_equal(w->running, running);
        assert_int_equal(w->drained, drained);
        assert_string_equal(w->pools, "gpu,cpu");
        return;
    }
    fail_msg("no worker '%s' of %d", name, list.n);
}

static void a_worker_is_known_from_its_first_question(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    enqueue(s, ALICE, 2, (struct enqueue){0});
    assert_int_equal(ask_for(s, "b", 2, 4, T0), 2);
    assert_int_equal(ask_for(s, "a", 1, 0, T0), 0);
    assert_worker(s, "b", T0, 4, 2, false);
    assert_worker(s, "a", T0, 1, 0, false);
}

static void a_renewed_lease_says_that_its_worker_lives(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enum stop_wish cancel;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    ask_for(s, "a", 1, 1, T0);
    assert_ok(queue_heartbeat(s, id_of(1), 1, T0 + 15000, &cancel, &err));
    assert_worker(s, "a", T0 + 15000, 1, 1, false);
}

static void a_drained_worker_gets_no_new_jobs_but_keeps_its_own(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enum stop_wish cancel = STOP_SAVING;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    enqueue(s, ALICE, 2, (struct enqueue){0});
    assert_int_equal(ask_for(s, "a", 1, 2, T0), 1);
    assert_ok(worker_drain(s, "a", true, &err));
    assert_int_equal(ask_for(s, "a", 1, 2, T0 + 1), DRAINED);
    assert_worker(s, "a", T0, 2, 1, true);
    assert_ok(queue_heartbeat(s, id_of(1), 1, T0 + 2, &cancel, &err));
    assert_false(cancel);
    assert_ok(finish_as(s, 1, 1, OUTCOME_DONE, "", T0 + 3, &err));
    assert_int_equal(ask_for(s, "other", 1, 1, T0 + 4), 1);
    enqueue(s, ALICE, 3, (struct enqueue){0});
    assert_ok(worker_drain(s, "a", false, &err));
    assert_int_equal(ask_for(s, "a", 2, 2, T0 + 5), 1);
}

static void an_unknown_worker_cannot_be_drained(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    assert_int_equal(worker_drain(s, "nobody", true, &err), NOT_FOUND);
    assert_int_equal(ask_for(s, "nobody", 1, 1, T0), 0);
}

static void a_worker_is_forgotten_after_a_day_unless_it_runs_something(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    CLEANUP(worker_info_list_release) struct worker_info_list list = {0};
    const int64_t day = 24 * 3600 * 1000LL;
    enum stop_wish cancel;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    ask_for(s, "busy", 1, 1, T0);
    ask_for(s, "idle", 1, 1, T0);
    assert_ok(queue_heartbeat(s, id_of(1), 1, T0 + day, &cancel, &err));
    assert_ok(store_tick(s, T0 + day + 1, NULL, &err));
    assert_ok(workers_list(s, &list, &err));
    assert_int_equal(list.n, 1);
    assert_string_equal(list.workers[0].name, "busy");
}

#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_worker_is_known_from_its_first_question),
        T(a_renewed_lease_says_that_its_worker_lives),
        T(a_drained_worker_gets_no_new_jobs_but_keeps_its_own),
        T(an_unknown_worker_cannot_be_drained),
        T(a_worker_is_forgotten_after_a_day_unless_it_runs_something),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
