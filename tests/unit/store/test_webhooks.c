/* Deliveries: written with the end of a job, due in order, tried for a day. */
#include "store_test.h"

#define ALICE "user:alice"
#define BOB   "user:bob"

static void make_hook(struct store *s, const char *owner, const char *events, char ret_id[ID_MAX])
{
    struct error err;
    struct webhook hook = {.url = (char *)"http://example.org/", .events = (char *)events};
    id_new(hook.id);
    assert_ok(webhook_create(s, owner, &hook, "whsec_", NULL, T0, &err));
    memcpy(ret_id, hook.id, ID_MAX);
}

static void end_job(struct store *s, const char *owner, int n, enum outcome outcome)
{
    struct error err;
    enqueue(s, owner, n, (struct enqueue){0});
    assert_int_equal(lease_one(s, T0, NULL), n);
    assert_ok(finish_as(s, n, 1, outcome, "why", T0, &err));
}

/* Ids of the due deliveries' jobs, "1 3 " */
static const char *due(struct store *s, int64_t now_ms, char out[200], char ret_first[ID_MAX])
{
    struct error err;
    int64_t next_ms;
    CLEANUP(outgoing_list_release) struct outgoing_list list = {0};
    assert_ok(outbox_due(s, now_ms, &list, &next_ms, &err));
    size_t size = 0;
    out[0] = '\0';
    for (int i = 0; i < list.n; i++) {
        CLEANUP(json_decrefp) json_t *body = NULL;
        assert_ok(json_read(list.outgoing[i].body, strlen(list.outgoing[i].body), &body, &err));
        const char *id = json_get_string(json_object_get(body, "data"), "id", "");
        size += (size_t)snprintf(out + size, 200 - size, "%ld ", strtol(id, NULL, 16));
        if (i == 0)
            memcpy(ret_first, list.outgoing[i].id, ID_MAX);
    }
    return out;
}

static struct outgoing outgoing_of(const char *id)
{
    struct outgoing o = {.owner = ALICE};
    memcpy(o.id, id, ID_MAX);
    return o;
}

static void finish_delivery(struct store *s, const char *id, enum delivery_result result, int http_status,
                            int64_t now_ms)
{
    struct error err;
    struct delivery_outcome o = {.result = result, .http_status = http_status, .answer = "said", .error = ""};
    struct outgoing sent = outgoing_of(id);
    assert_ok(outbox_claim(s, &sent, now_ms, 30000, &err));
    assert_int_equal(outbox_claim(s, &sent, now_ms, 30000, &err), CONFLICT);
    assert_ok(outbox_finish(s, &sent, &o, now_ms, &err));
}

static void each_hook_hears_what_it_asked_for_and_no_owner_of_another(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    char id[ID_MAX], out[200];
    make_hook(s, ALICE, "job.finished", id);
    make_hook(s, ALICE, "other.* job.failed", id);
    make_hook(s, BOB, "*", id);
    make_hook(s, BOB, "jo.* job.finishe job.f* other", id);
    end_job(s, ALICE, 1, OUTCOME_DONE);
    assert_string_equal(due(s, T0, out, id), "1 ");
    end_job(s, ALICE, 2, OUTCOME_FAILED);
    assert_string_equal(due(s, T0, out, id), "1 2 ");
    end_job(s, BOB, 3, OUTCOME_FAILED);
    assert_string_equal(due(s, T0, out, id), "1 2 3 ");
}

static void a_hook_hears_in_order_and_waits_for_the_first(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    char hook[ID_MAX], id[ID_MAX], out[200];
    make_hook(s, ALICE, "*", hook);
    for (int n = 1; n <= 3; n++)
        end_job(s, ALICE, n, OUTCOME_DONE);
    assert_string_equal(due(s, T0, out, id), "1 ");
    finish_delivery(s, id, DELIVERY_RETRY, 500, T0);
    assert_string_equal(due(s, T0 + 4999, out, id), "");
    assert_string_equal(due(s, T0 + 5000, out, id), "1 ");
    finish_delivery(s, id, DELIVERY_DONE, 200, T0 + 5000);
    assert_string_equal(due(s, T0 + 5000, out, id), "2 ");
    finish_delivery(s, id, DELIVERY_GIVE_UP, 0, T0 + 5000);
    assert_string_equal(due(s, T0 + 5000, out, id), "3 ");
}

static void ten_tries_take_most_of_a_day(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    char hook[ID_MAX], id[ID_MAX], first[ID_MAX], out[200];
    make_hook(s, ALICE, "*", hook);
    end_job(s, ALICE, 1, OUTCOME_DONE);
    end_job(s, ALICE, 2, OUTCOME_DONE);
    due(s, T0, out, first);
    int64_t now_ms = T0;
    for (int i = 0; i < 9; i++) {
        finish_delivery(s, first, DELIVERY_RETRY, 503, now_ms);
        int64_t next_ms;
        CLEANUP(outgoing_list_release) struct outgoing_list list = {0};
        assert_ok(outbox_due(s, now_ms, &list, &next_ms, &err));
        assert_int_equal(list.n, 0);
        now_ms = next_ms;
    }
    assert_true(now_ms - T0 > 18 * 3600 * 1000LL && now_ms - T0 < 24 * 3600 * 1000LL);
    finish_delivery(s, first, DELIVERY_RETRY, 503, now_ms);
    CLEANUP(delivery_list_release) struct delivery_list list = {0};
    assert_ok(delivery_list(s, ALICE, hook, NULL, 0, &list, &err));
    assert_int_equal(list.n, 2);
    assert_int_equal(list.deliveries[1].state, DELIVERY_FAILED);
    assert_int_equal(list.deliveries[1].attempts, 10);
    assert_string_equal(list.deliveries[1].answer, "said");
    assert_string_equal(due(s, now_ms, out, id), "2 ");
}

static void gone_gives_up_all_and_disables(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    char hook[ID_MAX], id[ID_MAX], out[200];
    int64_t pending;
    make_hook(s, ALICE, "*", hook);
    end_job(s, ALICE, 1, OUTCOME_DONE);
    end_job(s, ALICE, 2, OUTCOME_DONE);
    due(s, T0, out, id);
    finish_delivery(s, id, DELIVERY_GONE, 410, T0);
    assert_ok(outbox_count(s, &pending, &err));
    assert_int_equal(pending, 0);
    end_job(s, ALICE, 3, OUTCOME_DONE);
    assert_string_equal(due(s, T0 + 1000000, out, id), "");
    assert_ok(webhook_change(s, ALICE, hook, NULL, NULL, 1, T0, &err));
    end_job(s, ALICE, 4, OUTCOME_DONE);
    assert_string_equal(due(s, T0, out, id), "4 ");
}

static void what_was_under_way_at_a_crash_is_due_at_the_start(void **state)
{
    struct fixture *f = *state;
    struct error err;
    char hook[ID_MAX], id[ID_MAX], again[ID_MAX], out[200];
    make_hook(f->store, ALICE, "*", hook);
    end_job(f->store, ALICE, 1, OUTCOME_DONE);
    due(f->store, T0, out, id);
    struct outgoing sent = outgoing_of(id);
    assert_ok(outbox_claim(f->store, &sent, T0, 30000, &err));
    assert_string_equal(due(f->store, T0, out, again), "");
    store_close(f->store);
    /* Where other servers may be alive the claim has to run out. */
    int64_t at_ms = tested_driver() == &driver_sqlite ? T0 + 1 : T0 + 30000;
    struct store *s = fixture_open(f, T0 + 1);
    assert_string_equal(due(s, at_ms, out, again), "1 ");
    assert_string_equal(again, id);
}

static void a_delivery_of_a_deleted_hook_ends_quietly(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    char hook[ID_MAX], id[ID_MAX], out[200];
    struct delivery_outcome o = {.result = DELIVERY_RETRY, .answer = "", .error = ""};
    make_hook(s, ALICE, "*", hook);
    end_job(s, ALICE, 1, OUTCOME_DONE);
    due(s, T0, out, id);
    struct outgoing sent = outgoing_of(id);
    assert_ok(outbox_claim(s, &sent, T0, 30000, &err));
    assert_int_equal(webhook_delete(s, BOB, hook, &err), NOT_FOUND);
    assert_ok(webhook_delete(s, ALICE, hook, &err));
    assert_ok(outbox_finish(s, &sent, &o, T0, &err));
    assert_string_equal(due(s, T0 + 1000000, out, id), "");
}

static void old_deliveries_go_after_a_month(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    char hook[ID_MAX], id[ID_MAX], out[200];
    const int64_t day_ms = 24 * 3600 * 1000LL;
    make_hook(s, ALICE, "*", hook);
    end_job(s, ALICE, 1, OUTCOME_DONE);
    end_job(s, ALICE, 2, OUTCOME_DONE);
    due(s, T0, out, id);
    finish_delivery(s, id, DELIVERY_DONE, 200, T0);
    assert_ok(store_tick(s, T0 + 30 * day_ms + 3600 * 1000, NULL, &err));
    CLEANUP(delivery_list_release) struct delivery_list list = {0};
    assert_ok(delivery_list(s, ALICE, hook, NULL, 0, &list, &err));
    assert_int_equal(list.n, 1);
    assert_int_equal(list.deliveries[0].state, DELIVERY_PENDING);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_hook_hears_what_it_asked_for_and_no_owner_of_another),
        T(a_hook_hears_in_order_and_waits_for_the_first),
        T(ten_tries_take_most_of_a_day),
        T(gone_gives_up_all_and_disables),
        T(what_was_under_way_at_a_crash_is_due_at_the_start),
        T(a_delivery_of_a_deleted_hook_ends_quietly),
        T(old_deliveries_go_after_a_month),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
