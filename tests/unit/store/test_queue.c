/* The queue as a table of what happens: fair share, dependencies, fencing, retries, cancelling. */
#include <pthread.h>

#include "base/clock.h"
#include "store/sql.h"
#include "store_test.h"

#define ALICE "user:alice"
#define BOB   "user:bob"
#define CAROL "user:carol"

static void a_job_goes_from_ready_to_finished_with_its_result(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    assert_document(s, 1, STATE_READY, "");

    CLEANUP(job_release) struct job job = {0};
    assert_int_equal(lease_one(s, T0, &job), 1);
    assert_string_equal(job.owner, ALICE);
    assert_string_equal(job.kind, "train");
    assert_string_equal(job.pool, "cpu");
    assert_int_equal(job.attempt, 1);
    assert_int_equal(job.expires_ms, T0 + LEASE_MS);
    assert_int_equal(json_object_size(job.spec), 0);
    assert_document(s, 1, STATE_PROCESSING, "");

    CLEANUP(json_decrefp)
    json_t *result = json_pack("{s:[s,s], s:{s:i}}", "labels", "A", "B", "sizes", "train", 7);
    struct finish f = {.job = job.id, .attempt = 1, .outcome = OUTCOME_DONE, .result = result};
    assert_ok(queue_finish(s, &f, T0 + 5, &err));
    CLEANUP(document_release) struct document d = {0};
    assert_ok(document_get(s, ALICE, job.id, &d, &err));
    assert_int_equal(d.state, STATE_FINISHED);
    assert_int_equal(d.rev, 3);
    assert_int_equal(d.updated_ms, T0 + 5);
    assert_string_equal(json_string_value(json_array_get(json_object_get(d.body, "labels"), 1)), "B");
    assert_int_equal(json_get_int(json_object_get(d.body, "sizes"), "train", 0), 7);
    assert_int_equal(queue_job(s, job.id, &job, &err), NOT_FOUND);
    assert_int_equal(lease_one(s, T0 + 6, NULL), 0);
}

struct order_case {
    const char *what;
    struct {
        const char *owner;
        int priority;
    } jobs[6];       /* enqueued as 1, 2, ... */
    int expected[6]; /* leased in this order, none finished in between */
};

static const struct order_case order_cases[] = {
    {"the older first", {{ALICE, 0}, {ALICE, 0}, {ALICE, 0}}, {1, 2, 3}},
    {"a higher priority before age", {{ALICE, 0}, {ALICE, 5}, {ALICE, 5}}, {2, 3, 1}},
    {"owners take turns", {{ALICE, 0}, {ALICE, 0}, {ALICE, 0}, {BOB, 0}, {BOB, 0}}, {1, 4, 2, 5, 3}},
    {"least running goes before priority", {{ALICE, 9}, {ALICE, 9}, {BOB, 0}}, {1, 3, 2}},
    {"three owners, one busy", {{ALICE, 0}, {ALICE, 0}, {BOB, 1}, {CAROL, 2}, {CAROL, 0}}, {4, 3, 1, 2, 5}},
};

static void the_next_job_is_by_least_running_then_priority_then_age(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(order_cases); i++) {
        const struct order_case *c = &order_cases[i];
        void *fixture = NULL;
        fixture_setup(&fixture);
        struct store *s = ((struct fixture *)fixture)->store;
        for (int n = 0; n < 6 && c->jobs[n].owner; n++)
            enqueue(s, c->jobs[n].owner, n + 1, (struct enqueue){.priority = c->jobs[n].priority});
        for (int n = 0; n < 6; n++) {
            int got = lease_one(s, T0, NULL);
            if (got != c->expected[n])
                fail_msg("%s: lease %d gave job %d, not %d", c->what, n + 1, got, c->expected[n]);
        }
        fixture_teardown(&fixture);
    }
}

static void one_lease_takes_as_many_as_slots_and_pools_in_order(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enqueue(s, ALICE, 1, (struct enqueue){.pool = "cpu"});
    enqueue(s, ALICE, 2, (struct enqueue){.pool = "gpu"});
    enqueue(s, ALICE, 3, (struct enqueue){.pool = "cpu"});
    enqueue(s, ALICE, 4, (struct enqueue){.pool = "other"});
    const char *pools[] = {"gpu", "cpu"};
    struct lease_request r = {
        .request_id = "r", .worker = "w", .pools = pools, .n_pools = 2, .slots = 3, .lease_ms = LEASE_MS};
    CLEANUP(job_list_release) struct job_list list = {0};
    assert_ok(queue_lease(s, &r, T0, &list, &err));
    assert_int_equal(list.n, 3);
    assert_string_equal(list.jobs[0].id, id_of(2));
    assert_string_equal(list.jobs[1].id, id_of(1));
    assert_string_equal(list.jobs[2].id, id_of(3));
}

static void a_repeated_lease_gets_the_same_jobs_and_valid_tokens(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    enqueue(s, ALICE, 2, (struct enqueue){0});
    CLEANUP(job_release) struct job first = {0};
    CLEANUP(job_release) struct job again = {0};
    CLEANUP(job_release) struct job other = {0};
    assert_int_equal(lease_from(s, "cpu", "request-1", T0, &first), 1);
    assert_int_equal(lease_from(s, "cpu", "request-1", T0 + 1, &again), 1);
    assert_string_equal(first.token, again.token);
    assert_int_equal(strlen(first.token), 64);
    assert_int_equal(lease_from(s, "cpu", "request-2", T0 + 2, &other), 2);
    assert_string_not_equal(first.token, other.token);

    assert_ok(queue_check_lease(s, id_of(1), 1, first.token, &err));
    assert_int_equal(queue_check_lease(s, id_of(1), 1, other.token, &err), DENIED);
    assert_int_equal(queue_check_lease(s, id_of(1), 2, first.token, &err), DENIED);
    assert_int_equal(queue_check_lease(s, id_of(1), 1, "", &err), DENIED);
    assert_ok(finish_as(s, 1, 1, OUTCOME_DONE, "", T0 + 3, &err));
    assert_int_equal(queue_check_lease(s, id_of(1), 1, first.token, &err), CONFLICT);
}

static void a_repeated_enqueue_does_not_run_a_finished_job_again(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    enqueue(s, ALICE, 1, (struct enqueue){0});
    assert_int_equal(lease_one(s, T0, NULL), 1);
    assert_int_equal(lease_one(s, T0, NULL), 0);
    assert_ok(finish_as(s, 1, 1, OUTCOME_DONE, "", T0, &err));
    enqueue(s, ALICE, 1, (struct enqueue){0});
    assert_int_equal(lease_one(s, T0, NULL), 0);
    assert_document(s, 1, STATE_FINISHED, "");
    assert_int_equal(try_enqueue(s, BOB, 1, (struct enqueue){0}, T0, &err), CONFLICT);
}

static void a_repeated_finish_is_the_same_and_another_one_is_refused(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    lease_one(s, T0, NULL);
    assert_int_equal(finish_as(s, 1, 2, OUTCOME_DONE, "", T0, &err), CONFLICT);
    assert_ok(finish_as(s, 1, 1, OUTCOME_DONE, "", T0, &err));
    int64_t before = 0, after = 0;
    assert_ok(feed_seq(s, ALICE, &before, &err));
    assert_ok(finish_as(s, 1, 1, OUTCOME_DONE, "", T0, &err));
    assert_ok(feed_seq(s, ALICE, &after, &err));
    assert_int_equal(before, after);
    assert_int_equal(finish_as(s, 1, 1, OUTCOME_FAILED, "", T0, &err), CONFLICT);
    assert_int_equal(finish_as(s, 9, 1, OUTCOME_DONE, "", T0, &err), CONFLICT);
    assert_int_equal(finish_as(s, 1, 1, OUTCOME_LAPSED, "", T0, &err), INVALID);
}

static void dependents_wait_until_all_they_need_is_finished(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    enqueue(s, ALICE, 2, (struct enqueue){0});
    enqueue(s, ALICE, 3, (struct enqueue){.after = {1, 2}});
    enqueue(s, ALICE, 4, (struct enqueue){.after = {3, 3}});
    assert_document(s, 3, STATE_WAITING, "");
    assert_int_equal(lease_one(s, T0, NULL), 1);
    assert_int_equal(lease_one(s, T0, NULL), 2);
    assert_int_equal(lease_one(s, T0, NULL), 0);
    assert_ok(finish_as(s, 1, 1, OUTCOME_DONE, "", T0, &err));
    assert_document(s, 3, STATE_WAITING, "");
    assert_ok(finish_as(s, 2, 1, OUTCOME_DONE, "", T0, &err));
    assert_document(s, 3, STATE_READY, "");
    assert_int_equal(lease_one(s, T0, NULL), 3);
    assert_ok(finish_as(s, 3, 1, OUTCOME_DONE, "", T0, &err));
    assert_int_equal(lease_one(s, T0, NULL), 4);
    enqueue(s, ALICE, 5, (struct enqueue){.after = {1}});
    assert_document(s, 5, STATE_READY, "");
    assert_int_equal(try_enqueue(s, ALICE, 6, (struct enqueue){.after = {99}}, T0, &err), NOT_FOUND);
    assert_non_null(strstr(err.message, id_of(99)));
    assert_int_equal(try_enqueue(s, BOB, 8, (struct enqueue){.pool = ""}, T0, &err), INVALID);
    assert_int_equal(try_enqueue(s, BOB, 7, (struct enqueue){.after = {1}}, T0, &err), NOT_FOUND);
}

static void a_failure_fails_all_that_depend_on_it_with_the_reason(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    enqueue(s, ALICE, 2, (struct enqueue){.after = {1}});
    enqueue(s, ALICE, 3, (struct enqueue){.after = {2}});
    enqueue(s, ALICE, 4, (struct enqueue){.after = {1, 2}});
    enqueue(s, ALICE, 5, (struct enqueue){0});
    lease_one(s, T0, NULL);
    assert_ok(finish_as(s, 1, 1, OUTCOME_FAILED, "no images", T0, &err));
    CLEANUP(freep) char *reason = xasprintf("job '%s' failed: no images", id_of(1));
    assert_document(s, 1, STATE_FAILED, "no images");
    for (int n = 2; n <= 4; n++)
        assert_document(s, n, STATE_FAILED, reason);
    enqueue(s, ALICE, 6, (struct enqueue){.after = {1}});
    assert_document(s, 6, STATE_FAILED, reason);
    assert_int_equal(lease_one(s, T0, NULL), 5);
    assert_int_equal(lease_one(s, T0, NULL), 0);
    struct queue_counts counts;
    assert_ok(queue_count(s, &counts, &err));
    assert_int_equal(counts.waiting + counts.ready, 0);
    assert_int_equal(counts.leased, 1);
}

static void a_lapsed_lease_returns_the_job_and_fences_the_late_worker(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enum stop_wish cancel = STOP_SAVING;
    int64_t next = 0;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    lease_one(s, T0, NULL);
    assert_ok(queue_heartbeat(s, id_of(1), 1, T0 + 15000, &cancel, &err));
    assert_false(cancel);
    assert_ok(store_tick(s, T0 + 15000 + LEASE_MS, &next, &err));
    assert_document(s, 1, STATE_PROCESSING, "");
    assert_int_equal(next, T0 + 15000 + LEASE_MS + 1);
    int64_t lapsed = next;
    assert_ok(store_tick(s, lapsed, &next, &err));
    assert_document(s, 1, STATE_WAITING, "");
    assert_int_equal(next, lapsed + 5000);
    assert_int_equal(queue_heartbeat(s, id_of(1), 1, lapsed, &cancel, &err), CONFLICT);
    assert_int_equal(finish_as(s, 1, 1, OUTCOME_DONE, "", lapsed, &err), CONFLICT);
    assert_int_equal(lease_one(s, lapsed + 4999, NULL), 0);
    assert_ok(store_tick(s, lapsed + 5000, NULL, &err));
    CLEANUP(job_release) struct job job = {0};
    assert_int_equal(lease_one(s, lapsed + 5000, &job), 1);
    assert_int_equal(job.attempt, 2);
    assert_int_equal(finish_as(s, 1, 1, OUTCOME_DONE, "", lapsed + 5001, &err), CONFLICT);
    assert_ok(finish_as(s, 1, 2, OUTCOME_DONE, "", lapsed + 5002, &err));

    CLEANUP(attempt_list_release) struct attempt_list list = {0};
    assert_ok(queue_attempts(s, id_of(1), &list, &err));
    assert_int_equal(list.n, 2);
    assert_int_equal(list.attempts[0].outcome, OUTCOME_LAPSED);
    assert_string_equal(list.attempts[0].reason, "worker 'w' was lost");
    assert_int_equal(list.attempts[0].started_ms, T0);
    assert_int_equal(list.attempts[0].ended_ms, lapsed);
    assert_int_equal(list.attempts[1].outcome, OUTCOME_DONE);
}

static void retries_back_off_from_5_s_doubling_five_times(void **state)
{
    static const int64_t delays_ms[] = {5000, 10000, 20000, 40000, 80000};
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    int64_t now = T0, next = 0;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    for (int i = 0; i < 5; i++) {
        assert_int_equal(lease_one(s, now, NULL), 1);
        assert_ok(finish_as(s, 1, i + 1, OUTCOME_RETRY, "disk full", now, &err));
        assert_document(s, 1, STATE_WAITING, "");
        assert_ok(store_tick(s, now, &next, &err));
        assert_int_equal(next - now, MIN(delays_ms[i], tested_driver()->wait ? 5000 : 60000));
        now += delays_ms[i];
        assert_ok(store_tick(s, now - 1, NULL, &err));
        assert_document(s, 1, STATE_WAITING, "");
        assert_ok(store_tick(s, now, NULL, &err));
        assert_document(s, 1, STATE_READY, "");
    }
    assert_int_equal(lease_one(s, now, NULL), 1);
    assert_ok(finish_as(s, 1, 6, OUTCOME_RETRY, "disk full", now, &err));
    assert_document(s, 1, STATE_FAILED, "disk full (given up after 6 attempts)");
}

static void a_released_job_is_ready_at_once_and_costs_no_attempt(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enqueue(s, ALICE, 1, (struct enqueue){.max_attempts = 1});
    for (int attempt = 1; attempt <= 3; attempt++) {
        CLEANUP(job_release) struct job job = {0};
        assert_int_equal(lease_one(s, T0, &job), 1);
        assert_int_equal(job.attempt, attempt);
        assert_int_equal(job.counted, 0);
        assert_ok(finish_as(s, 1, attempt, OUTCOME_RELEASED, "", T0, &err));
        assert_document(s, 1, STATE_READY, "");
    }
    assert_int_equal(lease_one(s, T0, NULL), 1);
    assert_ok(finish_as(s, 1, 4, OUTCOME_RETRY, "gone", T0, &err));
    assert_document(s, 1, STATE_FAILED, "gone (given up after 1 attempts)");
}

static void cancel_ends_a_waiting_or_ready_job_at_once_and_fails_dependents(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enum document_state now = STATE_NONE;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    enqueue(s, ALICE, 2, (struct enqueue){.after = {1}});
    enqueue(s, ALICE, 3, (struct enqueue){.after = {2}});
    assert_int_equal(queue_cancel(s, BOB, id_of(2), "bob", T0, &now, &err), NOT_FOUND);
    assert_ok(queue_cancel(s, ALICE, id_of(2), "alice", T0, &now, &err));
    assert_int_equal(now, STATE_CANCELLED);
    assert_document(s, 2, STATE_CANCELLED, "cancelled by alice");
    CLEANUP(freep) char *reason = xasprintf("job '%s' was cancelled: cancelled by alice", id_of(2));
    assert_document(s, 3, STATE_FAILED, reason);
    assert_ok(queue_cancel(s, ALICE, id_of(1), "alice", T0, &now, &err));
    assert_document(s, 1, STATE_CANCELLED, "cancelled by alice");
    assert_int_equal(lease_one(s, T0, NULL), 0);
    assert_ok(queue_cancel(s, ALICE, id_of(1), "alice", T0, &now, &err));
    assert_int_equal(queue_cancel(s, ALICE, id_of(3), "alice", T0, &now, &err), CONFLICT);
    CLEANUP(document_release) struct document d = {0};
    assert_ok(document_get(s, ALICE, id_of(1), &d, &err));
    assert_true(json_get_bool(d.body, "cancelled", false));
}

struct cancel_case {
    enum outcome outcome;
    enum document_state state;
    const char *log;
};
static const struct cancel_case cancel_cases[] = {
    {OUTCOME_CANCELLED, STATE_CANCELLED, "cancelled by alice"},
    {OUTCOME_FAILED, STATE_CANCELLED, "cancelled by alice"},
    {OUTCOME_RETRY, STATE_CANCELLED, "cancelled by alice"},
    {OUTCOME_RELEASED, STATE_CANCELLED, "cancelled by alice"},
    {OUTCOME_DONE, STATE_FINISHED, ""},
};

static void a_leased_job_is_cancelled_when_its_worker_says_that_it_is_over(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    for (int i = 0; i < (int)ARRAY_SIZE(cancel_cases); i++) {
        int n = i + 1;
        enum stop_wish cancel = STOP_NOT;
        enum document_state now = STATE_NONE;
        enqueue(s, ALICE, n, (struct enqueue){0});
        assert_int_equal(lease_one(s, T0, NULL), n);
        assert_ok(queue_cancel(s, ALICE, id_of(n), "alice", T0, &now, &err));
        assert_int_equal(now, STATE_PROCESSING);
        assert_ok(queue_cancel(s, ALICE, id_of(n), "alice", T0, &now, &err));
        assert_document(s, n, STATE_PROCESSING, "");
        assert_ok(queue_heartbeat(s, id_of(n), 1, T0, &cancel, &err));
        assert_true(cancel);
        assert_ok(finish_as(s, n, 1, cancel_cases[i].outcome, "", T0, &err));
        assert_document(s, n, cancel_cases[i].state, cancel_cases[i].log);
        assert_ok(finish_as(s, n, 1, cancel_cases[i].outcome, "", T0, &err));
    }
    enqueue(s, ALICE, 9, (struct enqueue){0});
    assert_int_equal(lease_one(s, T0, NULL), 9);
    enum document_state now = STATE_NONE;
    assert_ok(queue_cancel(s, ALICE, id_of(9), "alice", T0, &now, &err));
    assert_ok(store_tick(s, T0 + LEASE_MS + 1, NULL, &err));
    assert_document(s, 9, STATE_CANCELLED, "cancelled by alice");
}

static void a_job_with_a_time_waits_for_it(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    int64_t next = 0;
    enqueue(s, ALICE, 1, (struct enqueue){.not_before_ms = T0 + 1000});
    enqueue(s, ALICE, 2, (struct enqueue){0});
    enqueue(s, ALICE, 3, (struct enqueue){.not_before_ms = T0 + 2000, .after = {2}});
    assert_int_equal(lease_one(s, T0, NULL), 2);
    assert_ok(finish_as(s, 2, 1, OUTCOME_DONE, "", T0, &err));
    assert_ok(store_tick(s, T0, &next, &err));
    assert_int_equal(next, T0 + 1000);
    assert_ok(store_tick(s, T0 + 1000, &next, &err));
    assert_int_equal(next, T0 + 2000);
    assert_int_equal(lease_one(s, T0 + 1000, NULL), 1);
    assert_ok(store_tick(s, T0 + 2000, &next, &err));
    assert_int_equal(lease_one(s, T0 + 2000, NULL), 3);
}

static void a_restart_extends_leases_and_keeps_the_order(void **state)
{
    struct fixture *f = *state;
    struct error err;
    CLEANUP(job_release) struct job job = {0};
    for (int n = 1; n <= 3; n++)
        enqueue(f->store, ALICE, n, (struct enqueue){0});
    enqueue(f->store, BOB, 4, (struct enqueue){0});
    assert_int_equal(lease_one(f->store, T0, &job), 1);
    store_close(f->store);

    int64_t later = T0 + 3600000;
    struct store *s = fixture_open(f, later);
    assert_ok(store_tick(s, later + LEASE_MS, NULL, &err));
    assert_document(s, 1, STATE_PROCESSING, "");
    assert_ok(queue_check_lease(s, id_of(1), 1, job.token, &err));
    assert_int_equal(lease_one(s, later, NULL), 4);
    assert_int_equal(lease_one(s, later, NULL), 2);
    assert_ok(finish_as(s, 1, 1, OUTCOME_DONE, "", later, &err));
    assert_document(s, 1, STATE_FINISHED, "");
}

static void a_restart_counts_the_lanes_anew(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct connection *db = NULL;
    ROWS rows = {0};
    for (int n = 1; n <= 3; n++)
        enqueue(f->store, ALICE, n, (struct enqueue){0});
    enqueue(f->store, BOB, 4, (struct enqueue){0});
    assert_int_equal(lease_one(f->store, T0, NULL), 1);
    store_close(f->store);
    const char *path = where_of(f->database);
    assert_ok(connection_open(tested_driver(), path, false, &db, &err));
    assert_ok(SQL(db, NULL, &err, "UPDATE lanes SET running = 9, head_priority = NULL, head_job = NULL"));
    connection_free(db);

    struct store *s = fixture_open(f, T0);
    assert_ok(connection_open(tested_driver(), path, true, &db, &err));
    assert_ok(SQL(db, &rows, &err, "SELECT running, head_job FROM lanes ORDER BY owner"));
    assert_int_equal(row_int(&rows, 0, 0), 1);
    assert_string_equal(row_text(&rows, 0, 1), id_of(2));
    assert_int_equal(row_int(&rows, 1, 0), 0);
    connection_free(db);
    assert_int_equal(lease_one(s, T0, NULL), 4);
}

static void a_result_and_progress_reach_the_document_also_when_it_failed(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    CLEANUP(json_decrefp) json_t *progress = json_pack("{s:i}", "iteration", 40);
    CLEANUP(json_decrefp) json_t *result = json_pack("{s:i, s:n}", "accuracy", 1, "processing-log");
    for (int n = 1; n <= 2; n++) {
        enqueue(s, ALICE, n, (struct enqueue){0});
        lease_one(s, T0, NULL);
        assert_ok(metrics_add(s, id_of(n), 1, NULL, 0, progress, T0, &err));
        struct finish f = {.job = id_of(n),
                           .attempt = 1,
                           .outcome = n == 1 ? OUTCOME_DONE : OUTCOME_FAILED,
                           .reason = "r",
                           .result = result};
        assert_ok(queue_finish(s, &f, T0, &err));
        CLEANUP(document_release) struct document d = {0};
        assert_ok(document_get(s, NULL, id_of(n), &d, &err));
        assert_int_equal(json_get_int(d.body, "accuracy", 0), 1);
        assert_int_equal(json_get_int(json_object_get(d.body, "progress"), "iteration", 0), 40);
        assert_string_equal(json_get_string(d.body, "processing-log", ""), "r");
    }
}

struct heard {
    struct buf topics;
};

static void hear(void *context, const char *topic)
{
    struct heard *h = context;
    buf_printf(&h->topics, "%s ", topic);
}

static void commits_stir_the_topics_that_changed(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enum stop_wish cancel;
    struct heard h;
    buf_init(&h.topics, 4096);
    store_on_change(s, hear, &h);
    CLEANUP(freep) char *job_topic = xasprintf("feed:user:alice job:%s ", id_of(1));

    enqueue(s, ALICE, 1, (struct enqueue){.pool = "gpu"});
    assert_string_equal(h.topics.data, "feed:user:alice pool:gpu ");
    buf_clear(&h.topics);
    assert_int_equal(lease_from(s, "gpu", "r", T0, NULL), 1);
    assert_string_equal(h.topics.data, job_topic);
    buf_clear(&h.topics);
    assert_ok(queue_heartbeat(s, id_of(1), 1, T0, &cancel, &err));
    assert_int_equal(finish_as(s, 1, 7, OUTCOME_DONE, "", T0, &err), CONFLICT);
    assert_string_equal(h.topics.data, "");
    assert_ok(finish_as(s, 1, 1, OUTCOME_DONE, "", T0, &err));
    assert_string_equal(h.topics.data, job_topic);
    buf_release(&h.topics);
}

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t stirred;
    int waking; /* times that pool "cpu" stirred */
};

static void count_waking(void *context, const char *topic)
{
    struct waiter *w = context;
    if (strcmp(topic, "pool:cpu") != 0)
        return;
    pthread_mutex_lock(&w->lock);
    w->waking++;
    pthread_cond_signal(&w->stirred);
    pthread_mutex_unlock(&w->lock);
}

static void wait_for_waking(struct waiter *w, int times)
{
    pthread_mutex_lock(&w->lock);
    while (w->waking < times)
        pthread_cond_wait(&w->stirred, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

static void the_timer_wakes_jobs_by_itself_and_an_earlier_one_first(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct waiter w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    int64_t now = clock_now_ms();
    store_close(f->store);
    struct store_options options = {.blobs = f->blobs, .now_ms = now};
    assert_ok(store_open(f->database, &options, &f->store, &err));
    store_on_change(f->store, count_waking, &w);
    enqueue(f->store, ALICE, 1, (struct enqueue){.not_before_ms = now + 3600000});
    enqueue(f->store, ALICE, 2, (struct enqueue){.not_before_ms = now + 30});
    enqueue(f->store, ALICE, 3, (struct enqueue){.not_before_ms = now + 10});
    wait_for_waking(&w, 2);
    assert_int_equal(lease_one(f->store, clock_now_ms(), NULL), 2);
    assert_int_equal(lease_one(f->store, clock_now_ms(), NULL), 3);
    assert_int_equal(lease_one(f->store, clock_now_ms(), NULL), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_job_goes_from_ready_to_finished_with_its_result),
        cmocka_unit_test(the_next_job_is_by_least_running_then_priority_then_age),
        T(one_lease_takes_as_many_as_slots_and_pools_in_order),
        T(a_repeated_lease_gets_the_same_jobs_and_valid_tokens),
        T(a_repeated_enqueue_does_not_run_a_finished_job_again),
        T(a_repeated_finish_is_the_same_and_another_one_is_refused),
        T(dependents_wait_until_all_they_need_is_finished),
        T(a_failure_fails_all_that_depend_on_it_with_the_reason),
        T(a_lapsed_lease_returns_the_job_and_fences_the_late_worker),
        T(retries_back_off_from_5_s_doubling_five_times),
        T(a_released_job_is_ready_at_once_and_costs_no_attempt),
        T(cancel_ends_a_waiting_or_ready_job_at_once_and_fails_dependents),
        T(a_leased_job_is_cancelled_when_its_worker_says_that_it_is_over),
        T(a_job_with_a_time_waits_for_it),
        T(a_restart_extends_leases_and_keeps_the_order),
        T(a_restart_counts_the_lanes_anew),
        T(a_result_and_progress_reach_the_document_also_when_it_failed),
        T(commits_stir_the_topics_that_changed),
        T(the_timer_wakes_jobs_by_itself_and_an_earlier_one_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
