/* Jobs made from templates: arrays, all there in the end or never accepted, and schedules. */
#include "store_test.h"

#define ALICE  "user:alice"
#define BOB    "user:bob"
#define MINUTE 60000LL
/* T0 is 13:00.  The schedules of these tests run every ten minutes: */
#define FIRST (T0 + 10 * MINUTE)

enum { ARRAY = 0xa0, TEMPLATE = 0xb0, SCHEDULE = 0xc0 };

static enum status make_array(struct store *s, const char *owner, json_t *patches, struct error *err)
{
    CLEANUP(json_decrefp) json_t *body = json_pack("{s:s}", "of", "job");
    CLEANUP(json_decrefp) json_t *element = json_pack("{s:s, s:s}", "self", id_of(TEMPLATE), "kept", "yes");
    CLEANUP(json_decrefp)
    json_t *spec = json_pack("{s:{s:s, s:i}}", "spec", "id", id_of(TEMPLATE), "threads", 2);
    struct new_job job = {.kind = "train", .priority = 4, .spec = spec, .max_attempts = 2};
    struct new_document document = {.id = id_of(ARRAY), .type = "array", .body = body};
    struct new_document one = {.id = id_of(TEMPLATE), .type = "job", .body = element, .job = &job};
    struct new_array array = {.document = &document, .element = &one, .patches = patches};
    CLEANUP(document_release) struct document made = {0};
    CLEANUP(json_decrefp) json_t *given = patches;
    return array_create(s, owner, &array, NULL, T0, &made, err);
}

static json_t *numbered(int n)
{
    json_t *patches = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(patches,
                              json_pack("{s:{s:i}, s:{s:{s:i}}}", "body", "n", i, "spec", "spec", "seed", i));
    return patches;
}

static void an_element_is_the_template_with_its_patch_under_its_own_id(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    assert_ok(make_array(s, ALICE, numbered(3), &err));
    CLEANUP(document_list_release) struct document_list list = {0};
    int64_t next;
    assert_ok(members_list(s, id_of(ARRAY), 0, 10, &list, &next, &err));
    assert_int_equal(list.n, 3);
    assert_int_equal(next, -1);
    for (int i = 0; i < 3; i++) {
        const struct document *d = &list.documents[i];
        assert_string_equal(json_get_string(d->body, "self", ""), d->id);
        assert_string_equal(json_get_string(d->body, "kept", ""), "yes");
        assert_string_equal(json_get_string(d->body, "array-id", ""), id_of(ARRAY));
        assert_int_equal(json_get_int(d->body, "array-index", -1), i);
        assert_int_equal(json_get_int(d->body, "n", -1), i);
        CLEANUP(job_release) struct job job = {0};
        assert_ok(queue_job(s, d->id, &job, &err));
        const json_t *spec = json_object_get(job.spec, "spec");
        assert_string_equal(json_get_string(spec, "id", ""), d->id);
        assert_int_equal(json_get_int(spec, "seed", -1), i);
        assert_int_equal(json_get_int(spec, "threads", -1), 2);
        assert_int_equal(job.priority, 4);
        assert_int_equal(job.max_attempts, 2);
    }
}

/* Leases one job: 100 and more are elements of the array, by their number; the rest as they are numbered. */
static int lease_any(struct store *s)
{
    struct error err;
    CLEANUP(job_list_release) struct job_list jobs = {0};
    const char *pool = "cpu";
    char request[33];
    random_hex(16, request);
    struct lease_request r = {
        .request_id = request, .worker = "w", .pools = &pool, .n_pools = 1, .slots = 1, .lease_ms = LEASE_MS};
    assert_ok(queue_lease(s, &r, T0, &jobs, &err));
    if (!jobs.n)
        return 0;
    int64_t seed = json_get_int(json_object_get(jobs.jobs[0].spec, "spec"), "seed", -1);
    return seed >= 0 ? 100 + (int)seed : (int)strtol(jobs.jobs[0].id, NULL, 16);
}

/* Jobs 1 and 2 of priority 4, the array of three (100, 101, 102) of the same, jobs 3 and 4 of 4 and 1. */
static void an_array_is_moved_whole_and_keeps_its_order(void **state)
{
    (void)state;
    enum { ALL = -1 }; /* for the array's id */
    static const struct {
        const char *what;
        int moved, where, before, priority;
        int leased_before; /* of jobs, before the move */
        int expected[8];
        int told; /* the priority in an element's document */
    } cases[] = {
        {"first", ALL, MOVE_FIRST, 0, 0, 0, {100, 101, 102, 1, 2, 3, 4}, 4},
        {"last", ALL, MOVE_LAST, 0, 0, 0, {1, 2, 3, 4, 100, 101, 102}, 1},
        {"before one", ALL, MOVE_BEFORE, 2, 0, 0, {1, 100, 101, 102, 2, 3, 4}, 4},
        {"before one of another priority", ALL, MOVE_BEFORE, 4, 0, 0, {1, 2, 3, 100, 101, 102, 4}, 1},
        {"before itself", ALL, MOVE_BEFORE, ALL, 0, 0, {1, 2, 100, 101, 102, 3, 4}, 4},
        {"a new priority", ALL, MOVE_NOT, 0, 9, 0, {100, 101, 102, 1, 2, 3, 4}, 9},
        {"one before the array", 4, MOVE_BEFORE, ALL, 0, 0, {1, 2, 4, 100, 101, 102, 3}, 4},
        {"what has begun stays", ALL, MOVE_LAST, 0, 0, 3, {1, 2, 100, 3, 4, 101, 102}, 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        void *fixture = NULL;
        struct error err;
        fixture_setup(&fixture);
        struct store *s = ((struct fixture *)fixture)->store;
        CLEANUP(document_release) struct document d = {0};
        CLEANUP(document_list_release) struct document_list list = {0};
        int64_t next;
        enqueue(s, ALICE, 1, (struct enqueue){.priority = 4});
        enqueue(s, ALICE, 2, (struct enqueue){.priority = 4});
        assert_ok(make_array(s, ALICE, numbered(3), &err));
        assert_ok(try_enqueue(s, ALICE, 3, (struct enqueue){.priority = 4}, T0 + 1, &err));
        assert_ok(try_enqueue(s, ALICE, 4, (struct enqueue){.priority = 1}, T0 + 1, &err));
        for (int n = 0; n < cases[i].leased_before; n++)
            assert_int_equal(lease_any(s), cases[i].expected[n]);
        struct job_move move = {.where = cases[i].where, .priority = cases[i].priority};
        if (cases[i].before)
            move.before = id_of(cases[i].before == ALL ? ARRAY : cases[i].before);
        if (queue_move(s, ALICE, id_of(cases[i].moved == ALL ? ARRAY : cases[i].moved), &move, T0 + 2, &d,
                       &err) != OK)
            fail_msg("%s: %s", cases[i].what, err.message);
        for (int n = cases[i].leased_before; n < 8; n++) {
            int got = lease_any(s);
            if (got != cases[i].expected[n])
                fail_msg("%s: lease %d gave %d, not %d", cases[i].what, n + 1, got, cases[i].expected[n]);
        }
        assert_ok(members_list(s, id_of(ARRAY), 0, 10, &list, &next, &err));
        if (json_get_int(list.documents[2].body, "priority", 4) != cases[i].told)
            fail_msg("%s: the document does not tell the priority", cases[i].what);
        fixture_teardown(&fixture);
    }
}

static void a_large_array_is_moved_where_there_is_no_room(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    CLEANUP(document_release) struct document d = {0};
    enqueue(s, ALICE, 1, (struct enqueue){0}); /* both at one time: no room between them */
    enqueue(s, ALICE, 2, (struct enqueue){0});
    assert_ok(make_array(s, ALICE, numbered(600), &err));
    struct job_move move = {.where = MOVE_BEFORE, .before = id_of(2)};
    assert_ok(queue_move(s, ALICE, id_of(ARRAY), &move, T0 + 1, &d, &err));
    assert_int_equal(lease_any(s), 1);
    for (int n = 0; n < 600; n++)
        assert_int_equal(lease_any(s), 100 + n);
    assert_int_equal(lease_any(s), 2);
    move.where = MOVE_FIRST;
    assert_int_equal(queue_move(s, ALICE, id_of(ARRAY), &move, T0 + 1, &d, &err), CONFLICT);
    assert_non_null(strstr(err.message, "all of array"));
    assert_int_equal(queue_move(s, BOB, id_of(ARRAY), &move, T0 + 1, &d, &err), NOT_FOUND);
}

static void elements_are_leased_in_order_and_counted_by_state(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    struct array_counts counts;
    assert_ok(make_array(s, ALICE, numbered(600), &err));
    for (int i = 0; i < 3; i++) {
        CLEANUP(job_list_release) struct job_list jobs = {0};
        const char *pool = "cpu";
        char request[33];
        random_hex(16, request);
        struct lease_request r = {.request_id = request,
                                  .worker = "w",
                                  .pools = &pool,
                                  .n_pools = 1,
                                  .slots = 1,
                                  .lease_ms = LEASE_MS};
        assert_ok(queue_lease(s, &r, T0, &jobs, &err));
        assert_int_equal(json_get_int(json_object_get(jobs.jobs[0].spec, "spec"), "seed", -1), i);
        struct finish f = {
            .job = jobs.jobs[0].id, .attempt = 1, .outcome = i ? OUTCOME_FAILED : OUTCOME_DONE};
        if (i < 2)
            assert_ok(queue_finish(s, &f, T0, &err));
    }
    assert_ok(array_count(s, id_of(ARRAY), &counts, &err));
    assert_int_equal(counts.total, 600);
    assert_int_equal(counts.made, 600);
    assert_int_equal(counts.in[STATE_READY], 597);
    assert_int_equal(counts.in[STATE_PROCESSING], 1);
    assert_int_equal(counts.in[STATE_FINISHED], 1);
    assert_int_equal(counts.in[STATE_FAILED], 1);
    assert_ok(array_cancel(s, ALICE, id_of(ARRAY), "alice", false, T0, &err));
    assert_ok(array_count(s, id_of(ARRAY), &counts, &err));
    assert_int_equal(counts.in[STATE_CANCELLED], 597);
    assert_int_equal(counts.in[STATE_PROCESSING], 1);
    assert_int_equal(array_delete(s, ALICE, id_of(ARRAY), T0, &err), CONFLICT);
    assert_int_equal(array_cancel(s, BOB, id_of(ARRAY), "bob", false, T0, &err), NOT_FOUND);
}

static void a_job_without_a_spec_is_repeated_and_a_patch_may_name_the_element(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    CLEANUP(json_decrefp) json_t *body = json_object();
    CLEANUP(json_decrefp) json_t *patch = json_pack("[{s:{s:s}}]", "body", "me", id_of(TEMPLATE));
    struct new_job job = {.kind = "train"};
    struct new_document document = {.id = id_of(ARRAY), .type = "array", .body = body};
    struct new_document one = {.id = id_of(TEMPLATE), .type = "job", .body = body, .job = &job};
    struct new_array array = {.document = &document, .element = &one, .patches = patch};
    CLEANUP(document_release) struct document made = {0};
    CLEANUP(document_list_release) struct document_list list = {0};
    CLEANUP(job_release) struct job queued = {0};
    int64_t next;
    assert_ok(array_create(s, ALICE, &array, NULL, T0, &made, &err));
    assert_ok(members_list(s, id_of(ARRAY), 0, 10, &list, &next, &err));
    assert_int_equal(list.n, 1);
    assert_string_equal(json_get_string(list.documents[0].body, "me", ""), list.documents[0].id);
    assert_ok(queue_job(s, list.documents[0].id, &queued, &err));
    assert_int_equal(json_object_size(queued.spec), 0);
}

static enum document_state state_of(struct store *s, const char *id)
{
    CLEANUP(document_release) struct document d = {0};
    struct error err;
    assert_ok(document_get(s, ALICE, id, &d, &err));
    return d.state;
}

static void a_job_after_an_array_waits_for_all_of_it(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    struct job job;
    assert_ok(make_array(s, ALICE, numbered(2), &err));
    enqueue(s, ALICE, 1, (struct enqueue){.pool = "gpu", .after = {ARRAY}});
    assert_int_equal(state_of(s, id_of(1)), STATE_WAITING);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(state_of(s, id_of(1)), STATE_WAITING);
        assert_true(lease_one(s, T0, &job));
        struct finish f = {.job = job.id, .attempt = 1, .outcome = OUTCOME_DONE};
        assert_ok(queue_finish(s, &f, T0, &err));
        job_release(&job);
    }
    assert_int_equal(state_of(s, id_of(1)), STATE_READY);
    enqueue(s, ALICE, 2, (struct enqueue){.pool = "gpu", .after = {ARRAY}});
    assert_int_equal(state_of(s, id_of(2)), STATE_READY);
}

static void a_job_after_an_array_fails_with_one_of_it(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    struct job job;
    assert_ok(make_array(s, ALICE, numbered(3), &err));
    enqueue(s, ALICE, 1, (struct enqueue){.pool = "gpu", .after = {ARRAY}});
    assert_true(lease_one(s, T0, &job));
    struct finish f = {.job = job.id, .attempt = 1, .outcome = OUTCOME_FAILED, .reason = "NaN"};
    assert_ok(queue_finish(s, &f, T0, &err));
    job_release(&job);
    assert_int_equal(state_of(s, id_of(1)), STATE_FAILED);
    enqueue(s, ALICE, 2, (struct enqueue){.pool = "gpu", .after = {ARRAY}});
    assert_int_equal(state_of(s, id_of(2)), STATE_FAILED);
}

static void an_array_over_the_limit_is_not_accepted_at_all(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    struct limits limits = {.queued = 5};
    struct array_counts counts;
    CLEANUP(document_release) struct document d = {0};
    assert_ok(limits_set(s, ALICE, &limits, &err));
    assert_int_equal(make_array(s, ALICE, numbered(6), &err), LIMITED);
    assert_int_equal(document_get(s, ALICE, id_of(ARRAY), &d, &err), NOT_FOUND);
    assert_int_equal(array_count(s, id_of(ARRAY), &counts, &err), NOT_FOUND);
    assert_ok(make_array(s, ALICE, numbered(5), &err));
}

static void an_array_that_is_half_made_is_made_whole(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct array_counts counts;
    /* The first piece of 250 is there, as after a crash: the row says so, the rest is taken away. */
    assert_ok(make_array(f->store, ALICE, numbered(600), &err));
    store_close(f->store);
    f->store = NULL;
    static const char *const taken[] = {
        "DELETE FROM jobs WHERE id IN (SELECT doc FROM members WHERE ord >= 250)",
        "DELETE FROM documents WHERE id IN (SELECT doc FROM members WHERE ord >= 250)",
        "DELETE FROM members WHERE ord >= 250",
        "UPDATE arrays SET made = 250",
    };
    for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
        run_in(f->database, taken[i]);
    fixture_open(f, T0 + 1);
    assert_ok(array_count(f->store, id_of(ARRAY), &counts, &err));
    assert_int_equal(counts.made, 250);
    assert_ok(store_tick(f->store, T0 + 2, NULL, &err));
    assert_ok(array_count(f->store, id_of(ARRAY), &counts, &err));
    assert_int_equal(counts.made, 600);
    assert_int_equal(counts.in[STATE_READY], 600);
    CLEANUP(document_list_release) struct document_list list = {0};
    int64_t next;
    assert_ok(members_list(f->store, id_of(ARRAY), 249, 2, &list, &next, &err));
    assert_int_equal(json_get_int(list.documents[1].body, "n", -1), 250);
    assert_int_equal(next, 251);
}

/* -- schedules -- */

static void make_schedule(struct store *s, const char *cron, const char *overlap)
{
    struct error err;
    CLEANUP(json_decrefp) json_t *body = json_pack("{s:s, s:s}", "cron", cron, "overlap", overlap);
    CLEANUP(json_decrefp) json_t *element = json_pack("{s:s}", "self", id_of(TEMPLATE));
    CLEANUP(json_decrefp) json_t *spec = json_object();
    struct new_job job = {.kind = "train", .spec = spec};
    struct new_document schedule = {.id = id_of(SCHEDULE), .type = "schedule", .body = body};
    struct new_document one = {.id = id_of(TEMPLATE), .type = "job", .body = element, .job = &job};
    CLEANUP(document_release) struct document made = {0};
    assert_ok(schedule_create(s, ALICE, &schedule, &one, T0, &made, &err));
}

static int runs(struct store *s, int64_t now_ms)
{
    struct error err;
    int64_t next;
    CLEANUP(document_list_release) struct document_list list = {0};
    assert_ok(store_tick(s, now_ms, NULL, &err));
    assert_ok(members_list(s, id_of(SCHEDULE), 0, 100, &list, &next, &err));
    return list.n;
}

static void assert_field(struct store *s, const char *name, const char *value)
{
    struct error err;
    CLEANUP(document_release) struct document d = {0};
    assert_ok(document_get(s, ALICE, id_of(SCHEDULE), &d, &err));
    assert_string_equal(json_get_string(d.body, name, "(absent)"), value);
}

/* Leases the one job that is ready and ends it. */
static void work(struct store *s, enum outcome outcome, int64_t now_ms)
{
    struct error err;
    CLEANUP(job_release) struct job job = {0};
    assert_true(lease_one(s, now_ms, &job));
    struct finish f = {.job = job.id, .attempt = job.attempt, .outcome = outcome, .reason = "r"};
    assert_ok(queue_finish(s, &f, now_ms, &err));
}

static void a_schedule_makes_a_job_each_time(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    int64_t next = 0;
    make_schedule(s, "*/10 * * * *", "skip");
    assert_field(s, "next-run", "2025-11-21T13:10:00.000Z");
    assert_int_equal(runs(s, FIRST - 1), 0);
    assert_ok(store_tick(s, FIRST - 1, &next, &err));
    assert_int_equal(next, FIRST);
    assert_int_equal(runs(s, FIRST), 1);
    assert_int_equal(runs(s, FIRST + 1), 1);
    assert_field(s, "next-run", "2025-11-21T13:20:00.000Z");
    assert_field(s, "last-run", "2025-11-21T13:10:00.000Z");
    work(s, OUTCOME_DONE, FIRST + 1);
    assert_int_equal(runs(s, FIRST + 10 * MINUTE), 2);
    work(s, OUTCOME_FAILED, FIRST + 10 * MINUTE);
    assert_int_equal(runs(s, FIRST + 20 * MINUTE), 3);
}

static void times_that_were_missed_are_made_up_for_by_one_run(void **state)
{
    struct fixture *f = *state;
    make_schedule(f->store, "*/10 * * * *", "skip");
    store_close(f->store);
    int64_t later = FIRST + 300 * MINUTE + 5000;
    fixture_open(f, later);
    assert_int_equal(runs(f->store, later), 1);
    assert_int_equal(runs(f->store, later + 1), 1);
    assert_field(f->store, "next-run", "2025-11-21T18:20:00.000Z");
}

static void a_time_is_skipped_while_the_last_run_has_not_ended(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    make_schedule(s, "*/10 * * * *", "skip");
    assert_int_equal(runs(s, FIRST), 1);
    assert_int_equal(runs(s, FIRST + 10 * MINUTE), 1);
    assert_int_equal(lease_one(s, FIRST + 10 * MINUTE, NULL) != 0, 1);
}

static void a_run_is_queued_behind_one_that_has_begun_but_no_second(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    CLEANUP(job_release) struct job job = {0};
    make_schedule(s, "*/10 * * * *", "queue");
    assert_int_equal(runs(s, FIRST), 1);
    assert_int_equal(runs(s, FIRST + 10 * MINUTE), 1); /* it has not begun */
    int64_t now = FIRST + 20 * MINUTE - 1000;
    assert_true(lease_one(s, now, &job));
    now += 1000;
    assert_int_equal(runs(s, now), 2);
    assert_int_equal(lease_one(s, now, NULL), 0);
    struct finish f = {.job = job.id, .attempt = 1, .outcome = OUTCOME_FAILED};
    assert_ok(queue_finish(s, &f, now, &err));
    assert_true(lease_one(s, now, NULL));
}

static void a_schedule_is_paused_changed_and_deleted(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    make_schedule(s, "*/10 * * * *", "skip");
    CLEANUP(json_decrefp) json_t *pause = json_pack("{s:b}", "paused", 1);
    CLEANUP(json_decrefp) json_t *go_on = json_pack("{s:b, s:s}", "paused", 0, "cron", "30 * * * *");
    CLEANUP(document_release) struct document d = {0};
    CLEANUP(document_release) struct document e = {0};
    assert_ok(schedule_change(s, ALICE, id_of(SCHEDULE), pause, T0, &d, &err));
    assert_true(json_is_null(json_object_get(d.body, "next-run")));
    assert_int_equal(runs(s, FIRST), 0);
    assert_ok(schedule_change(s, ALICE, id_of(SCHEDULE), go_on, FIRST, &e, &err));
    assert_field(s, "next-run", "2025-11-21T13:30:00.000Z");
    assert_int_equal(runs(s, FIRST + 30 * MINUTE), 1);
    assert_ok(document_delete(s, ALICE, id_of(SCHEDULE), 0, FIRST, NULL, NULL, &err));
    assert_int_equal(runs(s, FIRST + 400 * MINUTE), 0);
}

static void a_run_that_cannot_be_made_is_noted_and_the_schedule_goes_on(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    struct limits one = {.queued = 1}, none = {0};
    assert_ok(limits_set(s, ALICE, &one, &err));
    enqueue(s, ALICE, 1, (struct enqueue){.pool = "gpu"});
    make_schedule(s, "*/10 * * * *", "skip");
    assert_int_equal(runs(s, FIRST), 0);
    assert_field(s, "note", "1 of at most 1 jobs are queued: 1 more would be too many");
    assert_ok(limits_set(s, ALICE, &none, &err));
    assert_int_equal(runs(s, FIRST + 10 * MINUTE), 1);
    assert_field(s, "note", "");
}

#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_element_is_the_template_with_its_patch_under_its_own_id),
        T(a_job_without_a_spec_is_repeated_and_a_patch_may_name_the_element),
        cmocka_unit_test(an_array_is_moved_whole_and_keeps_its_order),
        T(a_large_array_is_moved_where_there_is_no_room),
        T(elements_are_leased_in_order_and_counted_by_state),
        T(a_job_after_an_array_waits_for_all_of_it),
        T(a_job_after_an_array_fails_with_one_of_it),
        T(an_array_over_the_limit_is_not_accepted_at_all),
        T(an_array_that_is_half_made_is_made_whole),
        T(a_schedule_makes_a_job_each_time),
        T(times_that_were_missed_are_made_up_for_by_one_run),
        T(a_time_is_skipped_while_the_last_run_has_not_ended),
        T(a_run_is_queued_behind_one_that_has_begun_but_no_second),
        T(a_schedule_is_paused_changed_and_deleted),
        T(a_run_that_cannot_be_made_is_noted_and_the_schedule_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
