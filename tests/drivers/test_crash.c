/*
 * A process that is killed at its n-th commit: what it was told is done, is there.
 *
 * The test starts itself again as `child DATABASE BLOBS`, with ET_FAULT armed.
 * The child's threads enqueue, lease and finish, and write a line to stdout
 * for each answer that they got: "E n" or "F n".
 */
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver_test.h"

#define THREADS 4
#define EACH    12
#define JOBS    (THREADS * EACH)

/* -- the child -- */

struct client {
    struct store *store;
    int index;
    pthread_t thread;
};

static void tell(char what, int n)
{
    char line[16];
    int size = snprintf(line, sizeof(line), "%c %d\n", what, n);
    if (write(STDOUT_FILENO, line, (size_t)size) != size)
        _exit(3);
}

static void *work(void *opaque)
{
    struct client *c = opaque;
    CLEANUP(freep) char *owner = xasprintf("user:u%d", c->index % 3);
    struct error err;
    for (int i = 0; i < EACH; i++) {
        int n = 1 + c->index * EACH + i;
        if (try_enqueue(c->store, owner, n, (struct enqueue){0}, T0, &err) != OK)
            _exit(4);
        tell('E', n);
        CLEANUP(job_release) struct job job = {0};
        int leased = lease_one(c->store, T0, &job);
        if (leased && i % 3) {
            if (finish_as(c->store, leased, job.attempt, OUTCOME_DONE, "", T0, &err) != OK)
                _exit(5);
            tell('F', leased);
        }
    }
    return NULL;
}

static int child_main(char *database, char *blobs)
{
    struct fixture f = {.database = database, .blobs = blobs};
    fixture_open(&f, T0);
    struct client clients[THREADS];
    for (int i = 0; i < THREADS; i++) {
        clients[i] = (struct client){.store = f.store, .index = i};
        pthread_create(&clients[i].thread, NULL, work, &clients[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(clients[i].thread, NULL);
    store_close(f.store);
    return 0;
}

/* -- the parent -- */

struct told {
    bool enqueued[JOBS + 1], finished[JOBS + 1];
    int n;
};

/* Runs the child with a fault; its exit status, and what it was told. */
static int run_child(const struct fixture *f, const char *fault, struct told *told)
{
    extern char **environ;
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, pipe_fds[0]);
    posix_spawn_file_actions_addclose(&actions, pipe_fds[1]);
    assert_int_equal(setenv("ET_FAULT", fault, 1), 0);
    char *argv[] = {(char[]){"crash"}, (char[]){"child"}, f->database, f->blobs, NULL};
    pid_t pid = 0;
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environ), 0);
    assert_int_equal(unsetenv("ET_FAULT"), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_fds[1]);

    FILE *lines = fdopen(pipe_fds[0], "r");
    char what = 0;
    int n = 0, status = 0;
    while (fscanf(lines, "%c %d\n", &what, &n) == 2) {
        assert_in_range(n, 1, JOBS);
        (what == 'E' ? told->enqueued : told->finished)[n] = true;
        told->n++;
    }
    fclose(lines);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Nothing that was acknowledged is lost; the rest runs to its end, each job once. */
static void check_after(struct fixture *f, const struct told *told)
{
    struct error err;
    assert_consistent(f->database);
    struct store *s = fixture_open(f, T0 + 1);
    for (int n = 1; n <= JOBS; n++) {
        CLEANUP(document_release) struct document d = {0};
        enum status status = document_get(s, NULL, id_of(n), &d, &err);
        if (told->enqueued[n] && status != OK)
            fail_msg("job %d was acknowledged and is lost", n);
        if (told->finished[n] && d.state != STATE_FINISHED)
            fail_msg("job %d was acknowledged as finished and is '%s'", n, document_state_name(d.state));
    }
    int64_t lapsed = T0 + 2 + LEASE_MS;
    assert_ok(store_tick(s, lapsed, NULL, &err));
    assert_ok(store_tick(s, lapsed + 5000, NULL, &err));
    CLEANUP(job_release) struct job job = {0};
    for (int n; (n = lease_one(s, lapsed + 5000, &job)); job_release(&job)) {
        assert_false(told->finished[n]);
        assert_ok(finish_as(s, n, job.attempt, OUTCOME_DONE, "", lapsed + 5001, &err));
    }
    struct queue_counts left;
    assert_ok(queue_count(s, &left, &err));
    assert_int_equal(left.waiting + left.ready + left.leased, 0);
    assert_consistent(f->database);
}

static void what_was_acknowledged_survives_a_kill_at_any_commit(void **state)
{
    (void)state;
    static const int commits[] = {1, 2, 3, 4, 6, 9, 13, 20, 30};
    static const char *const points[] = {"store.commit", "store.committed"};
    for (size_t i = 0; i < ARRAY_SIZE(commits) * ARRAY_SIZE(points); i++) {
        void *fixture = NULL;
        struct told told = {0};
        fixture_setup(&fixture);
        struct fixture *f = fixture;
        store_close(f->store);
        CLEANUP(freep)
        char *fault = xasprintf("%s:%d", points[i % ARRAY_SIZE(points)], commits[i / ARRAY_SIZE(points)]);
        assert_int_equal(run_child(f, fault, &told), 137);
        check_after(f, &told);
        fixture_teardown(&fixture);
    }
}

static void without_a_kill_everything_is_told(void **state)
{
    struct fixture *f = *state;
    struct told told = {0};
    store_close(f->store);
    assert_int_equal(run_child(f, "", &told), 0);
    for (int n = 1; n <= JOBS; n++)
        assert_true(told.enqueued[n]);
    check_after(f, &told);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "child") == 0)
        return child_main(argv[2], argv[3]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_survives_a_kill_at_any_commit),
        cmocka_unit_test_setup_teardown(without_a_kill_everything_is_told, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
