/* Jobs whose holders do not speak the workers' protocol. */
#include "store_test.h"

#define ALICE "user:alice"

static enum status conclude(struct store *s, const char *owner, int n, enum outcome outcome,
                            struct error *err)
{
    CLEANUP(json_decrefp) json_t *result = json_pack("{s:s}", "status", "completed");
    struct finish f = {.job = id_of(n), .outcome = outcome, .reason = "said", .result = result};
    return queue_conclude(s, owner, &f, T0 + 1, err);
}

static void an_outcome_from_outside_ends_a_job_in_any_state(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enqueue(s, ALICE, 1, (struct enqueue){.priority = 1});
    assert_int_equal(lease_one(s, T0, NULL), 1);
    enqueue(s, ALICE, 2, (struct enqueue){0});
    enqueue(s, ALICE, 3, (struct enqueue){.not_before_ms = T0 + 1000});
    enqueue(s, ALICE, 4, (struct enqueue){.after = {2}});
    for (int n = 1; n <= 3; n++) {
        assert_ok(conclude(s, ALICE, n, n == 2 ? OUTCOME_DONE : OUTCOME_FAILED, &err));
        assert_document(s, n, n == 2 ? STATE_FINISHED : STATE_FAILED, "said");
        CLEANUP(document_release) struct document d = {0};
        assert_ok(document_get(s, ALICE, id_of(n), &d, &err));
        assert_string_equal(json_get_string(d.body, "status", ""), "completed");
    }
    assert_int_equal(finish_as(s, 1, 1, OUTCOME_DONE, "", T0 + 2, &err), CONFLICT);
    assert_int_equal(lease_one(s, T0 + 2, NULL),
                     4); /* what waited for it is free, and nothing else is left */
    assert_int_equal(lease_one(s, T0 + 2, NULL), 0);
}

static void what_is_over_or_anothers_cannot_be_concluded(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    assert_int_equal(conclude(s, "user:bob", 1, OUTCOME_DONE, &err), NOT_FOUND);
    assert_int_equal(conclude(s, ALICE, 9, OUTCOME_DONE, &err), NOT_FOUND);
    assert_int_equal(conclude(s, ALICE, 1, OUTCOME_RETRY, &err), INVALID);
    assert_ok(conclude(s, ALICE, 1, OUTCOME_DONE, &err));
    assert_int_equal(conclude(s, ALICE, 1, OUTCOME_FAILED, &err), CONFLICT);
    assert_document(s, 1, STATE_FINISHED, "said");
}

static void a_retry_at_once_is_ready_at_once_and_counts(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enqueue(s, ALICE, 1, (struct enqueue){.max_attempts = 2});
    for (int attempt = 1; attempt <= 2; attempt++) {
        assert_int_equal(lease_one(s, T0, NULL), 1);
        struct finish f = {
            .job = id_of(1), .attempt = attempt, .outcome = OUTCOME_RETRY, .reason = "lost", .at_once = true};
        assert_ok(queue_finish(s, &f, T0, &err));
    }
    assert_document(s, 1, STATE_FAILED, "lost (given up after 2 attempts)");
}

static void what_a_worker_holds_is_told_by_pool(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enqueue(s, ALICE, 1, (struct enqueue){0});
    enqueue(s, ALICE, 2, (struct enqueue){.pool = "gpu"});
    enqueue(s, ALICE, 3, (struct enqueue){0});
    CLEANUP(job_release) struct job job = {0};
    assert_int_equal(lease_one(s, T0, &job), 1);
    assert_int_equal(lease_from(s, "gpu", "r", T0, NULL), 2);
    static const struct {
        const char *pool, *worker;
        int n;
    } rows[] = {{"cpu", NULL, 1}, {"gpu", NULL, 1}, {"cpu", "nobody", 0}, {"other", NULL, 0}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(job_list_release) struct job_list list = {0};
        const char *worker = rows[i].worker ? rows[i].worker : job.worker;
        assert_ok(queue_held(s, rows[i].pool, worker, &list, &err));
        assert_int_equal(list.n, rows[i].n);
        if (list.n)
            assert_string_equal(list.jobs[0].token, "");
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_outcome_from_outside_ends_a_job_in_any_state),
        T(what_is_over_or_anothers_cannot_be_concluded),
        T(a_retry_at_once_is_ready_at_once_and_counts),
        T(what_a_worker_holds_is_told_by_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
