/*
 * Each call of the database fails in turn: the caller is told, nothing is half done, and saying it again
 * works.
 */
#include <pthread.h>

#include "driver_test.h"
#include "store/driver_faulty.h"

#define ALICE "user:alice"

struct faulty_fixture {
    struct fixture base;
    struct driver_faulty faulty;
};

/* Hundreds of databases, none of which has to survive a power cut: in memory where that is possible. */
static char *fast_folder(void)
{
    char *path = xstrdup("/dev/shm/et-test-XXXXXX");
    if (!getenv("TMPDIR") && mkdtemp(path))
        return path;
    free(path);
    return test_folder();
}

/* Of PostgreSQL one database serves all rounds, with another one's rows deleted: to make the tables takes
 * long. */
static char *used_database;

static char *database_take(const char *folder)
{
    char *database = used_database;
    used_database = NULL;
    if (!database)
        return database_new(folder);
    run_in(database, "DO 'DECLARE t TEXT; BEGIN FOR t IN SELECT tablename FROM pg_tables"
                     " WHERE schemaname = current_schema() AND tablename <> ''meta''"
                     " LOOP EXECUTE ''DELETE FROM '' || t; END LOOP; END'");
    return database;
}

static void faulty_open(struct faulty_fixture *f)
{
    *f = (struct faulty_fixture){0};
    driver_faulty_init(&f->faulty, tested_driver());
    f->base.folder = fast_folder();
    f->base.database = database_take(f->base.folder);
    f->base.blobs = path_join(f->base.folder, "blobs");
    f->base.driver = &f->faulty.driver;
}

static void faulty_close(struct faulty_fixture *f, bool is_whole)
{
    store_close(f->base.store);
    if (is_whole && tested_driver() != &driver_sqlite) {
        used_database = f->base.database;
    } else {
        database_drop(f->base.database);
        free(f->base.database);
    }
    dir_remove(f->base.folder, NULL);
    free(f->base.folder);
    free(f->base.blobs);
}

static int drop_used(void **state)
{
    (void)state;
    if (used_database)
        database_drop(used_database);
    free(used_database);
    used_database = NULL;
    return 0;
}

/* -- one thread: a scenario whose steps can all be repeated -- */

static enum status enqueue_1(struct store *s, struct error *err)
{
    return try_enqueue(s, ALICE, 1, (struct enqueue){0}, T0, err);
}

static enum status enqueue_2(struct store *s, struct error *err)
{
    return try_enqueue(s, ALICE, 2, (struct enqueue){.after = {1}}, T0, err);
}

static enum status enqueue_3(struct store *s, struct error *err)
{
    return try_enqueue(s, ALICE, 3, (struct enqueue){.after = {2}}, T0, err);
}

static enum status enqueue_4(struct store *s, struct error *err)
{
    return try_enqueue(s, "user:bob", 4, (struct enqueue){0}, T0, err);
}

static enum status lease_two(struct store *s, struct error *err)
{
    const char *pool = "cpu";
    struct lease_request r = {
        .request_id = "r", .worker = "w", .pools = &pool, .n_pools = 1, .slots = 2, .lease_ms = LEASE_MS};
    CLEANUP(job_list_release) struct job_list list = {0};
    TRY(queue_lease(s, &r, T0, &list, err));
    assert_int_equal(list.n, 2);
    return OK;
}

static enum status log_and_metrics(struct store *s, struct error *err)
{
    int64_t length = 0;
    struct metric_point p = {.name = "loss", .step = 1, .value = 0.5};
    TRY(log_append(s, id_of(1), 1, LOG_STDERR, 0, "hello", 5, &length, err));
    assert_int_equal(length, 5);
    return metrics_add(s, id_of(1), 1, &p, 1, NULL, T0, err);
}

static enum status put_blob(struct store *s, struct error *err)
{
    struct blob blob;
    TRY(blob_put(s, "abc", 3, T0, &blob, err));
    return blob_ref_set(s, id_of(1), 1, "model", blob.sha256, T0, err);
}

static enum status finish_1(struct store *s, struct error *err)
{
    return finish_as(s, 1, 1, OUTCOME_DONE, "", T0, err);
}

static enum status cancel_2(struct store *s, struct error *err)
{
    enum document_state now;
    return queue_cancel(s, ALICE, id_of(2), "alice", T0, &now, err);
}

static enum status lapse_4(struct store *s, struct error *err)
{
    return store_tick(s, T0 + LEASE_MS + 1, NULL, err);
}

static enum status wake_4(struct store *s, struct error *err)
{
    return store_tick(s, T0 + LEASE_MS + 5001, NULL, err);
}

static enum status update_1(struct store *s, struct error *err)
{
    CLEANUP(document_release) struct document d = {0};
    CLEANUP(json_decrefp) json_t *body = json_pack("{s:s}", "processing-log", "updated");
    return document_update(s, ALICE, id_of(1), 0, body, T0, &d, err);
}

static enum status delete_3(struct store *s, struct error *err)
{
    return document_delete(s, ALICE, id_of(3), 0, T0, NULL, NULL, err);
}

static enum status (*const steps[])(struct store *s, struct error *err) = {
    enqueue_1, enqueue_2, enqueue_3, enqueue_4, lease_two, log_and_metrics, put_blob,
    finish_1,  cancel_2,  lapse_4,   wake_4,    update_1,  delete_3,
};

static void assert_outcome(struct store *s)
{
    struct error err;
    struct document d;
    struct blob blob;
    int64_t seq = 0, size = 0;
    assert_document(s, 1, STATE_FINISHED, "updated");
    assert_document(s, 2, STATE_CANCELLED, "cancelled by alice");
    assert_int_equal(document_get(s, ALICE, id_of(3), &d, &err), NOT_FOUND);
    assert_document(s, 4, STATE_READY, "");
    assert_ok(blob_ref_get(s, id_of(1), "model", &blob, &err));
    assert_ok(log_size(s, id_of(1), LOG_STDERR, &size, &err));
    assert_int_equal(size, 5);
    /* 1: made, leased, ended, updated; 2: made, freed, cancelled; 3: made, failed, deleted. */
    assert_ok(feed_seq(s, ALICE, &seq, &err));
    assert_int_equal(seq, 10);
}

static void any_call_may_fail_and_saying_it_again_works(void **state)
{
    (void)state;
    bool failed = true;
    for (long at = 1; failed; at++) {
        struct faulty_fixture f;
        struct error err;
        faulty_open(&f);
        struct store *s = fixture_open(&f.base, T0);
        failed = false;
        atomic_store(&f.faulty.fail_at, atomic_load(&f.faulty.calls) + at);
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
            if (steps[i](s, &err) == OK)
                continue;
            failed = true;
            assert_non_null(strstr(err.message, "was made to fail"));
            assert_consistent(f.base.database);
            assert_ok(steps[i](s, &err));
        }
        atomic_store(&f.faulty.fail_at, 0);
        assert_consistent(f.base.database);
        assert_outcome(s);
        faulty_close(&f, true);
    }
}

/* The steps of the schema are the same for all: where they take long every seventh call is enough. */
static void opening_fails_cleanly_and_works_the_next_time(void **state)
{
    (void)state;
    enum status status = FAILED;
    for (long at = 1; status != OK; at += tested_driver()->locks_rows ? 7 : 1) {
        struct faulty_fixture f;
        struct error err;
        faulty_open(&f);
        f.faulty.status = NO_SPACE;
        atomic_store(&f.faulty.fail_at, at);
        struct store_options options = {
            .blobs = f.base.blobs, .now_ms = T0, .no_timer = true, .driver = f.base.driver};
        status = store_open(f.base.database, &options, &f.base.store, &err);
        atomic_store(&f.faulty.fail_at, 0);
        if (status != OK) {
            assert_int_equal(status, NO_SPACE);
            fixture_open(&f.base, T0);
        }
        enqueue(f.base.store, ALICE, 1, (struct enqueue){0});
        assert_document(f.base.store, 1, STATE_READY, "");
        faulty_close(&f, false);
    }
}

/* -- many threads: a batch that fails is replayed, and only the culprit is told -- */

#define THREADS 6
#define EACH    4

struct client {
    struct store *store;
    int index, failures;
    pthread_t thread;
    enum status status;
};

static void *enqueue_some(void *opaque)
{
    struct client *c = opaque;
    struct error err;
    for (int i = 0; i < EACH && c->status == OK; i++) {
        int n = 1 + c->index * EACH + i;
        /* Every second one of a thread names what is not there: a refusal within the batch. */
        struct enqueue e = {.after = {i % 2 ? 999 : 0}};
        enum status expected = i % 2 ? NOT_FOUND : OK;
        enum status status = try_enqueue(c->store, ALICE, n, e, T0, &err);
        if (status == FAILED) {
            c->failures++;
            status = try_enqueue(c->store, ALICE, n, e, T0, &err);
        }
        c->status = status == expected ? OK : FAILED;
    }
    return NULL;
}

static void one_failure_among_many_threads_is_told_to_one_at_most(void **state)
{
    (void)state;
    for (long at = 1; at <= 120; at += 7) {
        struct faulty_fixture f;
        struct error err;
        struct client clients[THREADS];
        int failures = 0;
        int64_t seq = 0;
        faulty_open(&f);
        struct store *s = fixture_open(&f.base, T0);
        atomic_store(&f.faulty.fail_at, atomic_load(&f.faulty.calls) + at);
        for (int i = 0; i < THREADS; i++) {
            clients[i] = (struct client){.store = s, .index = i};
            pthread_create(&clients[i].thread, NULL, enqueue_some, &clients[i]);
        }
        for (int i = 0; i < THREADS; i++) {
            pthread_join(clients[i].thread, NULL);
            assert_int_equal(clients[i].status, OK);
            failures += clients[i].failures;
        }
        assert_true(failures <= 1);
        atomic_store(&f.faulty.fail_at, 0);
        assert_consistent(f.base.database);
        assert_ok(feed_seq(s, ALICE, &seq, &err));
        assert_int_equal(seq, THREADS * EACH / 2);
        faulty_close(&f, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(any_call_may_fail_and_saying_it_again_works, drop_used),
        cmocka_unit_test(opening_fails_cleanly_and_works_the_next_time),
        cmocka_unit_test_teardown(one_failure_among_many_threads_is_told_to_one_at_most, drop_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
