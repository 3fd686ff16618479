#include "store_test.h"

#define ALICE "user:alice"
#define BOB   "user:bob"

static enum status begin(struct store *s, const char *owner, const char *key, const char *hash,
                         int64_t now_ms, enum idempotency_result *ret, char **ret_body, struct error *err)
{
    int http_status = 0;
    enum status status = idempotency_begin(s, owner, key, hash, now_ms, ret, &http_status, ret_body, err);
    if (status == OK && *ret == IDEMPOTENCY_REPLAY)
        assert_int_equal(http_status, 201);
    return status;
}

static char *answer(void *context, const struct document_list *documents, int *ret_http_status)
{
    *ret_http_status = 201;
    return xasprintf("%s%d %s", (const char *)context, documents->n,
                     document_state_name(documents->documents[0].state));
}

static void the_answer_is_saved_with_the_write_and_replayed(void **state)
{
    struct fixture *f = *state;
    struct error err;
    enum idempotency_result result;
    char *body = NULL;
    assert_ok(begin(f->store, ALICE, "key", "hash", T0, &result, &body, &err));
    assert_int_equal(result, IDEMPOTENCY_NEW);
    assert_int_equal(begin(f->store, ALICE, "key", "hash", T0, &result, &body, &err), CONFLICT);

    CLEANUP(json_decrefp) json_t *json = json_object();
    struct new_job job = {.kind = "fetch"};
    struct new_document d = {.id = id_of(1), .type = "datafile", .body = json, .job = &job};
    char context[] = "made ";
    struct idempotency key = {ALICE, "key", "hash", answer, context};
    assert_ok(documents_create(f->store, ALICE, &d, 1, &key, T0, NULL, &err));
    idempotency_end(f->store, ALICE, "key");

    for (int opened = 1; opened <= 2; opened++) {
        assert_ok(begin(f->store, ALICE, "key", "hash", T0 + 1, &result, &body, &err));
        assert_int_equal(result, IDEMPOTENCY_REPLAY);
        assert_string_equal(body, "made 1 ready");
        free(body);
        assert_int_equal(begin(f->store, ALICE, "key", "another", T0 + 1, &result, &body, &err), CONFLICT);
        store_close(f->store);
        fixture_open(f, T0 + 2);
    }
    assert_ok(begin(f->store, BOB, "key", "another", T0 + 1, &result, &body, &err));
    assert_int_equal(result, IDEMPOTENCY_NEW);
    idempotency_end(f->store, BOB, "key");
}

static void a_key_whose_work_failed_is_new_again(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enum idempotency_result result;
    char *body = NULL;
    CLEANUP(json_decrefp) json_t *json = json_object();
    const char *refs[] = {id_of(9)};
    char context[] = "";
    struct new_document d = {.id = id_of(1), .type = "solver", .body = json, .refs = refs, .n_refs = 1};
    struct idempotency key = {ALICE, "key", "hash", answer, context};
    assert_ok(begin(s, ALICE, "key", "hash", T0, &result, &body, &err));
    assert_int_equal(documents_create(s, ALICE, &d, 1, &key, T0, NULL, &err), NOT_FOUND);
    idempotency_end(s, ALICE, "key");
    assert_ok(begin(s, ALICE, "key", "other hash", T0, &result, &body, &err));
    assert_int_equal(result, IDEMPOTENCY_NEW);
    assert_ok(idempotency_save(s, ALICE, "key", "other hash", 201, "saved", T0, &err));
    assert_int_equal(idempotency_save(s, ALICE, "key", "other hash", 201, "again", T0, &err), CONFLICT);
    d.n_refs = 0;
    assert_int_equal(documents_create(s, ALICE, &d, 1, &key, T0, NULL, &err), CONFLICT);
    struct document none;
    assert_int_equal(document_get(s, ALICE, id_of(1), &none, &err), NOT_FOUND);
    idempotency_end(s, ALICE, "key");
}

static void keys_are_kept_for_24_hours(void **state)
{
    static const int64_t day_ms = 86400000;
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enum idempotency_result result;
    char *body = NULL;
    assert_ok(idempotency_save(s, ALICE, "key", "hash", 201, "first", T0, &err));
    assert_ok(store_tick(s, T0 + day_ms - 1, NULL, &err));
    assert_ok(begin(s, ALICE, "key", "hash", T0 + day_ms - 1, &result, &body, &err));
    assert_int_equal(result, IDEMPOTENCY_REPLAY);
    free(body);
    assert_ok(begin(s, ALICE, "key", "hash", T0 + day_ms, &result, &body, &err));
    assert_int_equal(result, IDEMPOTENCY_NEW);
    assert_ok(idempotency_save(s, ALICE, "key", "hash", 201, "second", T0 + day_ms, &err));
    idempotency_end(s, ALICE, "key");
    assert_ok(store_tick(s, T0 + 2 * day_ms, NULL, &err));
    assert_ok(begin(s, ALICE, "key", "hash", T0 + day_ms + 1, &result, &body, &err));
    assert_int_equal(result, IDEMPOTENCY_NEW);
}

static void keys_that_are_empty_or_too_long_are_refused(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    enum idempotency_result result;
    char *body = NULL, key[IDEMPOTENCY_KEY_MAX + 1];
    memset(key, 'k', sizeof(key));
    key[IDEMPOTENCY_KEY_MAX] = '\0';
    assert_int_equal(begin(s, ALICE, "", "h", T0, &result, &body, &err), INVALID);
    assert_int_equal(begin(s, ALICE, key, "h", T0, &result, &body, &err), INVALID);
    key[IDEMPOTENCY_KEY_MAX - 1] = '\0';
    assert_ok(begin(s, ALICE, key, "h", T0, &result, &body, &err));
}

#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_answer_is_saved_with_the_write_and_replayed),
        T(a_key_whose_work_failed_is_new_again),
        T(keys_are_kept_for_24_hours),
        T(keys_that_are_empty_or_too_long_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
