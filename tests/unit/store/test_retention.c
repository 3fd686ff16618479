/* What is deleted is gone: rows, files, and nothing that somebody still needs. */
#include <unistd.h>

#include "store/arrays.h"
#include "store/schedules.h"
#include "store_test.h"

#define ALICE  "user:alice"
#define BOB    "user:bob"
#define DAY_MS (24 * 3600 * 1000LL)

static bool has_file(const struct fixture *f, const char *sha256)
{
    CLEANUP(freep) char *path = xasprintf("%s/sha256/%.2s/%s", f->blobs, sha256, sha256 + 2);
    return access(path, F_OK) == 0;
}

/* A document with a job (or none), of that owner, that uses others and has a blob of these bytes. */
static void make(struct store *s, const char *owner, int n, bool job, const int *uses, const char *bytes,
                 struct blob *ret_blob)
{
    struct error err;
    const char *refs[4];
    struct new_job new_job = {.kind = "train"};
    CLEANUP(json_decrefp) json_t *body = json_object();
    struct new_document d = {.id = id_of(n), .type = job ? "job" : "solver", .body = body, .refs = refs};
    for (; uses && uses[d.n_refs]; d.n_refs++)
        refs[d.n_refs] = id_of(uses[d.n_refs]);
    struct blob_ref ref = {.name = "data"};
    if (bytes) {
        assert_ok(blob_put(s, bytes, strlen(bytes), T0, ret_blob, &err));
        ref.sha256 = ret_blob->sha256;
        d.blobs = &ref;
        d.n_blobs = 1;
    }
    if (job)
        d.job = &new_job;
    assert_ok(documents_create(s, owner, &d, 1, NULL, T0, NULL, &err));
}

static void finish_job(struct store *s, int n, int64_t now_ms)
{
    struct error err;
    int64_t length;
    assert_int_equal(lease_one(s, now_ms, NULL), n);
    struct metric_point p = {.name = "loss", .step = 1, .at_ms = now_ms, .value = 0.5};
    assert_ok(metrics_add(s, id_of(n), 1, &p, 1, NULL, now_ms, &err));
    assert_ok(log_append(s, id_of(n), 1, LOG_STDERR, 0, "hello\n", 6, &length, &err));
    assert_ok(finish_as(s, n, 1, OUTCOME_DONE, "", now_ms, &err));
}

static bool is_there(struct store *s, int n)
{
    struct error err;
    CLEANUP(document_release) struct document d = {0};
    return document_get(s, NULL, id_of(n), &d, &err) == OK;
}

static void tick(struct store *s, int64_t now_ms)
{
    struct error err;
    assert_ok(store_tick(s, now_ms, NULL, &err));
}

static void a_deleted_document_leaves_no_rows_and_after_the_sweep_no_bytes(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct blob blob;
    make(f->store, ALICE, 1, true, NULL, "of one", &blob);
    finish_job(f->store, 1, T0);
    assert_true(ask(f, "SELECT (SELECT COUNT(*) FROM metrics) + (SELECT COUNT(*) FROM log_chunks)") == 2);
    assert_ok(document_delete(f->store, ALICE, id_of(1), 0, T0, NULL, NULL, &err));
    tick(f->store, T0 + 1);
    assert_int_equal(ask(f, "SELECT (SELECT COUNT(*) FROM metrics) + (SELECT COUNT(*) FROM log_chunks)"
                            " + (SELECT COUNT(*) FROM logs) + (SELECT COUNT(*) FROM attempts)"
                            " + (SELECT COUNT(*) FROM blob_refs) + (SELECT COUNT(*) FROM trash)"),
                     0);
    assert_int_equal(ask(f, "SELECT COUNT(*) FROM documents WHERE state = 7 AND body = '{}'"), 1);
    assert_true(has_file(f, blob.sha256));
    tick(f->store, T0 + 2 * DAY_MS);
    assert_false(has_file(f, blob.sha256));
    assert_int_equal(ask(f, "SELECT COUNT(*) FROM blobs"), 0);
}

static void an_old_ended_job_goes_with_what_only_it_used(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct blob blob;
    make(f->store, ALICE, 1, false, NULL, "only for two", &blob); /* used by job 2 */
    make(f->store, ALICE, 3, false, NULL, NULL, NULL);            /* used by jobs 2 and 4 */
    make(f->store, ALICE, 5, false, NULL, NULL, NULL);            /* used by nobody, and no job */
    make(f->store, ALICE, 2, true, (int[]){1, 3, 0}, NULL, NULL);
    finish_job(f->store, 2, T0);
    make(f->store, ALICE, 4, true, (int[]){3, 0}, NULL, NULL);
    make(f->store, BOB, 6, true, NULL, NULL, NULL);
    assert_ok(owner_keep_set(f->store, ALICE, 10, &err));

    tick(f->store, T0 + 10 * DAY_MS);
    assert_true(is_there(f->store, 2));
    tick(f->store, T0 + 10 * DAY_MS + 3600 * 1000);
    for (int n = 1; n <= 6; n++)
        assert_int_equal(is_there(f->store, n), n >= 3);
    assert_int_equal(ask(f, "SELECT COUNT(*) FROM attempts"), 0);
    tick(f->store, T0 + 12 * DAY_MS);
    assert_false(has_file(f, blob.sha256));
}

static void a_job_whose_result_is_used_stays(void **state)
{
    struct fixture *f = *state;
    struct error err;
    make(f->store, ALICE, 1, true, NULL, NULL, NULL);
    finish_job(f->store, 1, T0);
    make(f->store, ALICE, 2, false, (int[]){1, 0}, NULL, NULL);
    assert_ok(owner_keep_set(f->store, ALICE, 1, &err));
    tick(f->store, T0 + 5 * DAY_MS);
    assert_true(is_there(f->store, 1));
    assert_ok(document_delete(f->store, ALICE, id_of(2), 0, T0, NULL, NULL, &err));
    tick(f->store, T0 + 6 * DAY_MS);
    assert_false(is_there(f->store, 1));
}

static void the_servers_time_holds_unless_an_owner_has_one(void **state)
{
    struct fixture *f = *state;
    struct error err;
    store_close(f->store);
    struct store_options options = {.blobs = f->blobs, .now_ms = T0, .no_timer = true, .keep_days = 3};
    assert_ok(store_open(f->database, &options, &f->store, &err));
    make(f->store, ALICE, 1, true, NULL, NULL, NULL);
    finish_job(f->store, 1, T0);
    make(f->store, BOB, 2, true, NULL, NULL, NULL);
    finish_job(f->store, 2, T0);
    assert_ok(owner_keep_set(f->store, BOB, 0, &err));
    tick(f->store, T0 + 4 * DAY_MS);
    assert_false(is_there(f->store, 1));
    assert_true(is_there(f->store, 2));
    assert_ok(owner_keep_set(f->store, BOB, -1, &err));
    tick(f->store, T0 + 5 * DAY_MS);
    assert_false(is_there(f->store, 2));
}

static void make_array_and_schedule(struct store *s, const char *owner)
{
    struct error err;
    CLEANUP(json_decrefp) json_t *body = json_pack("{s:s, s:s}", "cron", "@daily", "overlap", "skip");
    CLEANUP(json_decrefp) json_t *patches = json_pack("[{}, {}]");
    CLEANUP(json_decrefp) json_t *spec = json_object();
    struct new_job job = {.kind = "train", .spec = spec};
    struct new_document element = {.id = id_of(10), .type = "job", .body = body, .job = &job};
    struct new_document parent = {.id = id_of(11), .type = "array", .body = body};
    struct new_array array = {.document = &parent, .element = &element, .patches = patches};
    CLEANUP(document_release) struct document made_array = {0};
    CLEANUP(document_release) struct document made_schedule = {0};
    assert_ok(array_create(s, owner, &array, NULL, T0, &made_array, &err));
    parent.id = id_of(12);
    parent.type = "schedule";
    assert_ok(schedule_create(s, owner, &parent, &element, T0, &made_schedule, &err));
}

static void a_user_who_leaves_takes_everything_along(void **state)
{
    struct fixture *f = *state;
    struct store *s = f->store;
    struct error err;
    struct blob hers, shared;
    struct token token;
    char secret[TOKEN_SECRET_MAX];
    assert_ok(user_create(s, "alice", "secret", NULL, T0, NULL, &err));
    assert_ok(user_create(s, "bob", "secret", NULL, T0, NULL, &err));
    assert_ok(token_create(s, ALICE, TOKEN_USER, "", 0, T0, &token, secret, &err));
    make(s, ALICE, 1, true, NULL, "hers", &hers);
    make(s, ALICE, 2, false, NULL, "shared", &shared);
    make(s, BOB, 3, false, NULL, "shared", &shared);
    finish_job(s, 1, T0);
    make(s, ALICE, 4, true, (int[]){2, 0}, NULL, NULL);
    assert_int_equal(lease_one(s, T0, NULL), 4);
    make(s, ALICE, 5, true, NULL, NULL, NULL);
    make_array_and_schedule(s, ALICE);
    struct webhook hook = {.url = (char *)"http://x.org/", .events = (char *)"*"};
    id_new(hook.id);
    assert_ok(webhook_create(s, ALICE, &hook, "whsec_", NULL, T0, &err));
    assert_ok(user_verify(s, "alice", "secret", T0, &err));

    assert_ok(user_delete(s, "alice", T0, &err));
    assert_int_equal(user_verify(s, "alice", "secret", T0, &err), DENIED);
    assert_int_equal(token_verify(s, secret, T0, &token, &err), DENIED);
    assert_int_equal(user_delete(s, "alice", T0, &err), NOT_FOUND);
    tick(s, T0 + 1);
    for (int n = 1; n <= 5; n++)
        assert_int_equal(is_there(s, n), n == 3);
    enum stop_wish cancel;
    assert_int_equal(queue_heartbeat(s, id_of(4), 1, T0, &cancel, &err), CONFLICT);
    assert_int_equal(ask(f, "SELECT COUNT(*) FROM documents WHERE owner = 'user:alice' AND id <> owner"), 0);
    assert_int_equal(ask(f, "SELECT (SELECT COUNT(*) FROM jobs) + (SELECT COUNT(*) FROM lanes)"
                            " + (SELECT COUNT(*) FROM webhooks) + (SELECT COUNT(*) FROM deliveries)"
                            " + (SELECT COUNT(*) FROM metrics) + (SELECT COUNT(*) FROM log_chunks)"
                            " + (SELECT COUNT(*) FROM attempts) + (SELECT COUNT(*) FROM doc_refs)"
                            " + (SELECT COUNT(*) FROM arrays) + (SELECT COUNT(*) FROM schedules)"
                            " + (SELECT COUNT(*) FROM members)"),
                     0);
    tick(s, T0 + 3 * DAY_MS);
    assert_false(has_file(f, hers.sha256));
    assert_true(has_file(f, shared.sha256));
    assert_int_equal(ask(f, "SELECT COUNT(*) FROM leaving"), 0);
    assert_int_equal(user_create(s, "alice", "other", NULL, T0, NULL, &err), CONFLICT);
}

static void what_a_late_request_writes_goes_too(void **state)
{
    struct fixture *f = *state;
    struct error err;
    assert_ok(user_create(f->store, "alice", "secret", NULL, T0, NULL, &err));
    assert_ok(user_delete(f->store, "alice", T0, &err));
    tick(f->store, T0 + 1);
    make(f->store, ALICE, 1, true, NULL, NULL, NULL);
    tick(f->store, T0 + 60000);
    assert_false(is_there(f->store, 1));
}

static void leaving_goes_on_after_a_crash(void **state)
{
    struct fixture *f = *state;
    struct error err;
    assert_ok(user_create(f->store, "alice", "secret", NULL, T0, NULL, &err));
    make(f->store, ALICE, 1, true, NULL, NULL, NULL);
    make(f->store, ALICE, 2, true, NULL, NULL, NULL);
    assert_ok(user_delete(f->store, "alice", T0, &err));
    store_close(f->store);
    fixture_open(f, T0 + 1);
    tick(f->store, T0 + 1);
    assert_false(is_there(f->store, 1) || is_there(f->store, 2));
    assert_int_equal(ask(f, "SELECT COUNT(*) FROM jobs"), 0);
}

static void a_blob_counts_once_an_owner(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct blob blob;
    struct usage usage;
    make(f->store, ALICE, 1, true, NULL, "twelve bytes", &blob);
    make(f->store, ALICE, 2, false, NULL, "twelve bytes", &blob);
    make(f->store, ALICE, 3, false, NULL, "four", &blob);
    make(f->store, BOB, 4, false, NULL, "four", &blob);
    finish_job(f->store, 1, T0);
    assert_ok(usage_get(f->store, ALICE, &usage, &err));
    assert_int_equal(usage.blob_bytes, 16);
    assert_int_equal(usage.log_bytes, 6);
    assert_int_equal(usage.metric_points, 1);
    assert_int_equal(usage.documents, 3);
    assert_ok(document_delete(f->store, ALICE, id_of(3), 0, T0, NULL, NULL, &err));
    CLEANUP(usage_list_release) struct usage_list list = {0};
    assert_ok(usage_list(f->store, &list, &err));
    assert_int_equal(list.n, 2);
    assert_int_equal(list.usages[0].blob_bytes, 12);
    assert_int_equal(list.usages[0].documents, 2);
    assert_int_equal(list.usages[1].blob_bytes, 4);
}

static void uploads_of_one_owner_share_the_quota(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct blob blob;
    struct quota_hold *first, *second, *others;
    make(f->store, ALICE, 1, false, NULL, "twelve bytes", &blob);
    assert_ok(owner_quota_set(f->store, ALICE, 100, &err));
    assert_ok(quota_begin(f->store, ALICE, &first, &err));
    assert_ok(quota_begin(f->store, ALICE, &second, &err));
    assert_ok(quota_begin(f->store, BOB, &others, &err));
    assert_ok(quota_add(others, 1000, &err));
    assert_ok(quota_add(first, 50, &err));
    assert_ok(quota_add(second, 38, &err));
    assert_int_equal(quota_add(second, 1, &err), NO_SPACE);
    assert_non_null(strstr(err.message, "100 bytes"));
    assert_non_null(strstr(err.message, "12 are used"));
    quota_end(second);
    /* The first upload is a document now: what it held is use. */
    CLEANUP(freep) char *fifty = xasprintf("%50s", "x");
    make(f->store, ALICE, 2, false, NULL, fifty, &blob);
    assert_ok(quota_begin(f->store, ALICE, &second, &err));
    quota_end(first);
    assert_ok(quota_add(second, 38, &err));
    assert_int_equal(quota_add(second, 1, &err), NO_SPACE);
    quota_end(second);
    quota_end(others);
    assert_ok(owner_quota_set(f->store, ALICE, 0, &err));
    assert_ok(quota_begin(f->store, ALICE, &first, &err));
    assert_ok(quota_add(first, INT64_MAX / 2, &err));
    quota_end(first);
}

static void files_without_a_row_go_and_rows_without_a_file_are_told(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct blob kept, lost, cut;
    struct blob_counts counts;
    make(f->store, ALICE, 1, false, NULL, "kept", &kept);
    make(f->store, ALICE, 2, false, NULL, "lost", &lost);
    make(f->store, ALICE, 3, false, NULL, "cut short", &cut);
    CLEANUP(freep) char *lost_path = xasprintf("%s/sha256/%.2s/%s", f->blobs, lost.sha256, lost.sha256 + 2);
    CLEANUP(freep) char *cut_path = xasprintf("%s/sha256/%.2s/%s", f->blobs, cut.sha256, cut.sha256 + 2);
    assert_int_equal(unlink(lost_path), 0);
    assert_int_equal(truncate(cut_path, 3), 0);
    assert_ok(blob_collect(f->store, T0, DAY_MS, NULL, &err));
    assert_ok(blob_count(f->store, &counts, &err));
    assert_int_equal(counts.damaged, 2);
    assert_int_equal(counts.live, 3);
    assert_int_equal(counts.live_bytes, 4 + 4 + 9);
    assert_true(has_file(f, kept.sha256));
    assert_ok(document_delete(f->store, ALICE, id_of(2), 0, T0, NULL, NULL, &err));
    assert_ok(document_delete(f->store, ALICE, id_of(3), 0, T0, NULL, NULL, &err));
    assert_ok(blob_collect(f->store, T0 + 2 * DAY_MS, DAY_MS, NULL, &err));
    assert_ok(blob_count(f->store, &counts, &err));
    assert_int_equal(counts.damaged, 0);
    assert_int_equal(counts.live, 1);
}

static void a_reference_taken_at_the_last_moment_keeps_a_blob(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct blob blob;
    int64_t removed;
    make(f->store, ALICE, 1, false, NULL, NULL, NULL);
    assert_ok(blob_put(f->store, "late", 4, T0, &blob, &err));
    assert_ok(blob_ref_set_for(f->store, ALICE, id_of(1), "late", blob.sha256, T0 + DAY_MS, &err));
    assert_ok(blob_collect(f->store, T0 + 10 * DAY_MS, DAY_MS, &removed, &err));
    assert_int_equal(removed, 0);
    assert_true(has_file(f, blob.sha256));
    /* Put again just before the sweep, without a reference: the grace begins anew. */
    assert_ok(document_delete(f->store, ALICE, id_of(1), 0, T0, NULL, NULL, &err));
    assert_ok(blob_put(f->store, "late", 4, T0 + 10 * DAY_MS, &blob, &err));
    assert_ok(blob_collect(f->store, T0 + 10 * DAY_MS + 1, DAY_MS, &removed, &err));
    assert_true(has_file(f, blob.sha256));
    assert_ok(blob_collect(f->store, T0 + 11 * DAY_MS + 1, DAY_MS, &removed, &err));
    assert_int_equal(removed, 1);
    assert_int_equal(blob_ref_set_for(f->store, BOB, id_of(1), "x", blob.sha256, T0, &err), NOT_FOUND);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_deleted_document_leaves_no_rows_and_after_the_sweep_no_bytes),
        T(an_old_ended_job_goes_with_what_only_it_used),
        T(a_job_whose_result_is_used_stays),
        T(the_servers_time_holds_unless_an_owner_has_one),
        T(a_user_who_leaves_takes_everything_along),
        T(what_a_late_request_writes_goes_too),
        T(leaving_goes_on_after_a_crash),
        T(a_blob_counts_once_an_owner),
        T(uploads_of_one_owner_share_the_quota),
        T(files_without_a_row_go_and_rows_without_a_file_are_told),
        T(a_reference_taken_at_the_last_moment_keeps_a_blob),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
