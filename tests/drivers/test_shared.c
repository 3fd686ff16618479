/*
 * Two stores on one database, as two servers have them: what one writes the
 * other hears, what both do at once is done once, and a database that drops
 * its connections costs time and nothing else.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/fault.h"
#include "driver_test.h"

#define ALICE "user:alice"
#define BOB   "user:bob"

static struct store *open_beside(const struct fixture *f)
{
    struct fixture other = {.database = f->database, .blobs = f->blobs};
    return fixture_open(&other, T0);
}

/* -- hearing -- */

struct ear {
    pthread_mutex_t lock;
    pthread_cond_t heard;
    const char *topic;
    int times;
};

static void hear(void *context, const char *topic)
{
    struct ear *e = context;
    pthread_mutex_lock(&e->lock);
    if (strcmp(topic, e->topic) == 0) {
        e->times++;
        pthread_cond_signal(&e->heard);
    }
    pthread_mutex_unlock(&e->lock);
}

static void wait_until_heard(struct ear *e)
{
    pthread_mutex_lock(&e->lock);
    while (!e->times)
        pthread_cond_wait(&e->heard, &e->lock);
    pthread_mutex_unlock(&e->lock);
}

static void what_one_commits_the_other_hears(void **state)
{
    struct fixture *f = *state;
    static const char *const topics[] = {"pool:cpu", "feed:" ALICE};
    for (int i = 0; i < (int)ARRAY_SIZE(topics); i++) {
        struct ear ear = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, topics[i], 0};
        struct store *other = open_beside(f);
        store_on_change(other, hear, &ear);
        enqueue(f->store, ALICE, 1 + i, (struct enqueue){0});
        wait_until_heard(&ear);
        assert_int_equal(lease_one(other, T0, NULL), 1 + i);
        store_close(other);
    }
}

static void what_a_server_did_last_before_it_was_closed_is_heard(void **state)
{
    struct fixture *f = *state;
    struct ear ear = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, "feed:" ALICE, 0};
    struct store *other = open_beside(f);
    store_on_change(f->store, hear, &ear);
    enqueue(other, ALICE, 1, (struct enqueue){0});
    store_close(other);
    wait_until_heard(&ear);
    store_on_change(f->store, NULL, NULL);
}

/* Both stores' notifications are dropped: the next sign of life tells that one is missing. */
static void after_a_notification_that_is_lost_everything_is_looked_at(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct ear ear = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, "everything", 0};
    store_close(f->store);
    assert_ok(fault_arm("peers.tell:2:error", &err));
    fixture_open(f, T0);
    struct store *other = open_beside(f);
    struct ear first = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, "feed:" ALICE, 0};
    store_on_change(other, hear, &first);
    enqueue(f->store, ALICE, 1, (struct enqueue){0});
    wait_until_heard(&first);
    store_on_change(other, hear, &ear);
    assert_int_equal(ear.times, 0);
    enqueue(f->store, ALICE, 2, (struct enqueue){0});
    wait_until_heard(&ear);
    store_close(other);
    store_close(f->store);
    fault_arm(NULL, NULL);
    fixture_open(f, T0);
}

static void a_server_whose_connections_were_dropped_looks_at_everything(void **state)
{
    struct fixture *f = *state;
    struct ear ear = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, "everything", 0};
    store_on_change(f->store, hear, &ear);
    assert_int_equal(ear.times, 0);
    run_in(f->database, "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity"
                        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()");
    wait_until_heard(&ear);
    store_on_change(f->store, NULL, NULL);
}

/* This process's clock is put wrong; stores that open, and those that are open, put it right. */
static void a_server_goes_by_the_databases_clock(void **state)
{
    struct fixture *f = *state;
    struct error err;
    static const int64_t off_ms[] = {3600000, -3600000};
    assert_true(llabs(clock_correction_ms()) < 1000);
    for (size_t i = 0; i < ARRAY_SIZE(off_ms); i++) {
        struct store_options options = {.blobs = f->blobs, .now_ms = T0, .no_timer = true, .compare_ms = 10};
        struct store *other = NULL;
        clock_correct(off_ms[i]);
        assert_ok(store_open(f->database, &options, &other, &err));
        assert_true(llabs(clock_correction_ms()) < 1000);
        clock_correct(off_ms[i]);
        while (llabs(clock_correction_ms()) >= 1000)
            assert_ok(store_check(other, &err));
        store_close(other);
    }
    clock_correct(-clock_correction_ms());
}

static void a_changed_password_takes_effect_at_the_other_server_too(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct store *other = open_beside(f);
    struct ear ear = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, "password:" ALICE, 0};
    store_on_change(other, hear, &ear);
    assert_ok(user_create(f->store, "alice", "first password", NULL, T0, NULL, &err));
    assert_ok(user_verify(other, "alice", "first password", T0, &err));
    assert_ok(user_set_password(f->store, "alice", "second password", T0, &err));
    wait_until_heard(&ear);
    assert_int_equal(user_verify(other, "alice", "first password", T0, &err), DENIED);
    assert_ok(user_verify(other, "alice", "second password", T0, &err));
    store_close(other);
}

static void each_server_has_operators_tokens_of_its_own(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct store *other = open_beside(f);
    CLEANUP(freep) char *folder = test_folder();
    struct store *stores[] = {f->store, other};
    const char *folders[] = {f->folder, folder};
    for (int i = 0; i < 4; i++)
        assert_ok(ensure_operator_tokens(stores[i % 2], folders[i % 2], T0, &err));
    for (int i = 0; i < 2; i++) {
        CLEANUP(freep) char *path = path_join(folders[i], "worker-token");
        CLEANUP(freep) char *secret = NULL;
        size_t size = 0;
        struct token token;
        assert_ok(file_read(path, 100, &secret, &size, &err));
        secret[strcspn(secret, "\n")] = '\0';
        assert_ok(token_verify(stores[!i], secret, T0, &token, &err));
    }
    dir_remove(folder, NULL);
    store_close(other);
}

/* -- at once -- */

#define THREADS 6
#define EACH    10
#define JOBS    (THREADS * EACH)

struct client {
    struct store *store, *other;
    int index;
    pthread_t thread;
    _Atomic int *done; /* JOBS + 1 counters: how often each job was leased and finished */
};

/* Says it again while the database is away, as a client does that gets 503. */
#define AGAIN(call)                                                                                          \
    ({                                                                                                       \
        enum status again_status;                                                                            \
        do                                                                                                   \
            again_status = (call);                                                                           \
        while (again_status == UNAVAILABLE);                                                                 \
        again_status;                                                                                        \
    })

static void *enqueue_some(void *opaque)
{
    struct client *c = opaque;
    struct error err;
    for (int i = 0; i < EACH; i++) {
        int n = 1 + c->index * EACH + i;
        const char *owner = n % 3 ? ALICE : BOB;
        enum status status =
            AGAIN(try_enqueue(i % 2 ? c->store : c->other, owner, n, (struct enqueue){0}, T0, &err));
        if (status != OK)
            fail_msg("enqueue %d: %s", n, err.message);
    }
    return NULL;
}

static void *work_off(void *opaque)
{
    struct client *c = opaque;
    struct error err;
    for (int left = EACH; left;) {
        char request[33];
        random_hex(16, request);
        const char *pool = "cpu";
        struct lease_request r = {.request_id = request,
                                  .worker = "w",
                                  .pools = &pool,
                                  .n_pools = 1,
                                  .slots = 1,
                                  .lease_ms = LEASE_MS};
        CLEANUP(job_list_release) struct job_list list = {0};
        struct store *s = left % 2 ? c->store : c->other;
        assert_ok(AGAIN(queue_lease(s, &r, T0, &list, &err)));
        if (!list.n)
            continue;
        int n = (int)strtol(list.jobs[0].id, NULL, 16);
        if (AGAIN(finish_as(s, n, list.jobs[0].attempt, OUTCOME_DONE, "", T0, &err)) != OK)
            fail_msg("finish %d: %s", n, err.message);
        atomic_fetch_add(&c->done[n], 1);
        left--;
    }
    return NULL;
}

/* Half enqueue, half lease and finish, each at both servers in turn. */
static void run_clients(struct store *a, struct store *b, void (*meanwhile)(void *), void *context)
{
    _Atomic int done[JOBS + 1] = {0};
    struct client clients[2 * THREADS];
    for (int i = 0; i < 2 * THREADS; i++) {
        clients[i] = (struct client){.store = a, .other = b, .index = i % THREADS, .done = done};
        pthread_create(&clients[i].thread, NULL, i < THREADS ? enqueue_some : work_off, &clients[i]);
    }
    if (meanwhile)
        meanwhile(context);
    for (int i = 0; i < 2 * THREADS; i++)
        pthread_join(clients[i].thread, NULL);
    for (int n = 1; n <= JOBS; n++) {
        if (atomic_load(&done[n]) != 1)
            fail_msg("job %d was done %d times", n, atomic_load(&done[n]));
        assert_document(a, n, STATE_FINISHED, "");
    }
}

static void jobs_of_few_owners_are_done_once_each_at_two_servers(void **state)
{
    struct fixture *f = *state;
    struct store *other = open_beside(f);
    run_clients(f->store, other, NULL, NULL);
    store_close(other);
    assert_consistent(f->database);
}

/* Ends every connection but its own, again and again: those of the readers, committers and listeners. */
static void drop_connections(void *opaque)
{
    const struct fixture *f = opaque;
    struct error err;
    struct connection *db = NULL;
    assert_ok(connection_open(tested_driver(), where_of(f->database), false, &db, &err));
    for (int i = 0; i < 20; i++) {
        ROWS rows = {0};
        assert_ok(SQL(db, &rows, &err,
                      "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity"
                      " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"));
    }
    connection_free(db);
}

static void connections_that_are_dropped_lose_nothing(void **state)
{
    struct fixture *f = *state;
    struct store *other = open_beside(f);
    run_clients(f->store, other, drop_connections, f);
    store_close(other);
    assert_consistent(f->database);
}

/* -- one request, sent again by a balancer -- */

struct asking {
    struct store *store;
    const char *request;
    pthread_barrier_t *together;
    int leased;
};

static void *ask_once(void *opaque)
{
    struct asking *a = opaque;
    pthread_barrier_wait(a->together);
    a->leased = lease_from(a->store, "cpu", a->request, T0, NULL);
    return NULL;
}

#define ROUNDS 40

static void a_request_that_arrives_at_two_servers_at_once_leases_once(void **state)
{
    struct fixture *f = *state;
    struct store *stores[] = {f->store, open_beside(f)};
    pthread_barrier_t together;
    pthread_barrier_init(&together, NULL, 2);
    for (int n = 1; n <= 2 * ROUNDS; n++)
        enqueue(f->store, n % 2 ? ALICE : BOB, n, (struct enqueue){0});
    for (int i = 1; i <= ROUNDS; i++) {
        char request[33];
        random_hex(16, request);
        struct asking asking[2];
        pthread_t threads[2];
        for (int k = 0; k < 2; k++) {
            asking[k] = (struct asking){stores[k], request, &together, 0};
            pthread_create(&threads[k], NULL, ask_once, &asking[k]);
        }
        for (int k = 0; k < 2; k++)
            pthread_join(threads[k], NULL);
        assert_int_not_equal(asking[0].leased, 0);
        assert_int_equal(asking[0].leased, asking[1].leased);
        assert_int_equal(ask(f, "SELECT COUNT(*) FROM jobs WHERE state = 2"), i);
    }
    pthread_barrier_destroy(&together);
    store_close(stores[1]);
    assert_consistent(f->database);
}

/* -- ticks -- */

static void *tick(void *opaque)
{
    struct error err;
    if (store_tick(opaque, T0 + LEASE_MS + 1, NULL, &err) != OK)
        fail_msg("tick: %s", err.message);
    return NULL;
}

static void servers_that_tick_at_once_let_each_lease_lapse_once(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct store *stores[] = {f->store, open_beside(f)};
    pthread_t threads[2];
    for (int n = 1; n <= 20; n++)
        enqueue(f->store, n % 2 ? ALICE : BOB, n, (struct enqueue){0});
    while (lease_one(f->store, T0, NULL))
        ;
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, tick, stores[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int n = 1; n <= 20; n++) {
        CLEANUP(attempt_list_release) struct attempt_list list = {0};
        assert_document(f->store, n, STATE_WAITING, "");
        assert_ok(queue_attempts(f->store, id_of(n), &list, &err));
        assert_int_equal(list.n, 1);
        assert_int_equal(list.attempts[0].outcome, OUTCOME_LAPSED);
    }
    store_close(stores[1]);
    assert_consistent(f->database);
}

#define DAY_MS (24 * 3600 * 1000LL)
#define POINTS 9000

static void *tick_a_day_later(void *opaque)
{
    struct error err;
    if (store_tick(opaque, T0 + DAY_MS, NULL, &err) != OK)
        fail_msg("tick: %s", err.message);
    return NULL;
}

static void servers_that_pack_at_once_leave_no_row(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct store *stores[] = {f->store, open_beside(f)};
    pthread_t threads[2];
    struct metric_point *points = xcalloc(POINTS, sizeof(*points));
    for (int i = 0; i < POINTS; i++)
        points[i] = (struct metric_point){.name = "loss", .step = i, .at_ms = T0, .value = i};
    for (int n = 1; n <= 2; n++) {
        enqueue(f->store, ALICE, n, (struct enqueue){0});
        assert_int_equal(lease_one(f->store, T0, NULL), n);
        assert_ok(metrics_add(f->store, id_of(n), 1, points, POINTS, NULL, T0, &err));
        assert_ok(finish_as(f->store, n, 1, OUTCOME_DONE, "", T0, &err));
    }
    free(points);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, tick_a_day_later, stores[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(ask(f, "SELECT (SELECT COUNT(*) FROM metrics) + (SELECT COUNT(*) FROM to_pack)"), 0);
    for (int n = 1; n <= 2; n++) {
        CLEANUP(metric_list_release) struct metric_list list = {0};
        assert_ok(metrics_read(stores[1], id_of(n), "loss", 0, 0, &list, &err));
        assert_int_equal(list.n, POINTS);
        assert_true(list.points[POINTS - 1].value == POINTS - 1);
    }
    store_close(stores[1]);
}

/* -- opening -- */

static void *open_one(void *opaque)
{
    struct fixture *f = opaque;
    fixture_open(f, T0);
    return NULL;
}

static void servers_that_start_at_once_make_the_schema_once(void **state)
{
    (void)state;
    struct fixture f = {.folder = test_folder()};
    f.database = database_new(f.folder);
    f.blobs = path_join(f.folder, "blobs");
    struct fixture opened[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        opened[i] = f;
        pthread_create(&threads[i], NULL, open_one, &opened[i]);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    enqueue(opened[0].store, ALICE, 1, (struct enqueue){0});
    assert_document(opened[3].store, 1, STATE_READY, "");
    for (int i = 0; i < 4; i++)
        store_close(opened[i].store);
    database_drop(f.database);
    dir_remove(f.folder, NULL);
    free(f.folder);
    free(f.database);
    free(f.blobs);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_one_commits_the_other_hears),
        T(what_a_server_did_last_before_it_was_closed_is_heard),
        T(after_a_notification_that_is_lost_everything_is_looked_at),
        T(a_server_whose_connections_were_dropped_looks_at_everything),
        T(a_server_goes_by_the_databases_clock),
        T(a_changed_password_takes_effect_at_the_other_server_too),
        T(each_server_has_operators_tokens_of_its_own),
        T(jobs_of_few_owners_are_done_once_each_at_two_servers),
        T(connections_that_are_dropped_lose_nothing),
        T(a_request_that_arrives_at_two_servers_at_once_leases_once),
        T(servers_that_tick_at_once_let_each_lease_lapse_once),
        T(servers_that_pack_at_once_leave_no_row),
        cmocka_unit_test(servers_that_start_at_once_make_the_schema_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
