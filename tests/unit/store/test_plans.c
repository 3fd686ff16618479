/* The queue's statements find their rows by an index, however many jobs and owners wait: SQLite counts. */
#include <sqlite3.h>

#include "store_test.h"

#define OWNERS 20
#define JOBS   400

static sqlite3 *opened[16];
static int n_opened;

static int note_opened(sqlite3 *db, char **message, const struct sqlite3_api_routines *api)
{
    (void)message;
    (void)api;
    assert_true(n_opened < (int)ARRAY_SIZE(opened));
    opened[n_opened++] = db;
    return SQLITE_OK;
}

/* All steps that statements took through whole tables, or sorting. */
static int wasted(bool forget)
{
    int steps = 0;
    for (int i = 0; i < n_opened; i++)
        for (sqlite3_stmt *s = NULL; (s = sqlite3_next_stmt(opened[i], s));) {
            int scanned = sqlite3_stmt_status(s, SQLITE_STMTSTATUS_FULLSCAN_STEP, forget);
            int sorted = sqlite3_stmt_status(s, SQLITE_STMTSTATUS_SORT, forget);
            if (!forget && scanned + sorted)
                print_message("# %d rows scanned, %d sorts: %s\n", scanned, sorted, sqlite3_sql(s));
            steps += scanned + sorted;
        }
    return steps;
}

static void jobs_are_leased_and_ended_without_scanning_or_sorting(void **state)
{
    struct fixture *f = *state;
    for (int i = 1; i <= JOBS; i++) {
        CLEANUP(freep) char *owner = xasprintf("user:u%d", i % OWNERS);
        enqueue(f->store, owner, i, (struct enqueue){.priority = i % 3});
    }
    (void)wasted(true);
    for (int i = 0; i < 50; i++) {
        struct error err;
        CLEANUP(job_release) struct job job = {0};
        int n = lease_one(f->store, T0, &job);
        assert_true(n > 0);
        assert_ok(finish_as(f->store, n, job.attempt, OUTCOME_DONE, "", T0, &err));
    }
    assert_int_equal(wasted(false), 0);
}

int main(void)
{
    sqlite3_auto_extension((void (*)(void))note_opened);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(jobs_are_leased_and_ended_without_scanning_or_sorting, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
