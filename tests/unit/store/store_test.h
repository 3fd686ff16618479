/* store_test.h - a store in a temporary folder, and short ways to say what tests say often. */
#ifndef ET_STORE_TEST_H
#define ET_STORE_TEST_H

#include "../test.h"
#include "store/sql.h"
#include "store/store.h"

/*
 * DRIVER_NAME says over which database the tests run.  A database of
 * PostgreSQL's is a schema of the server that tests/postgres.py has started.
 */
#ifndef DRIVER_NAME
#define DRIVER_NAME "sqlite"
#endif

static const struct driver *const drivers[] = {&driver_sqlite, &driver_postgres};

static inline const struct driver *tested_driver(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
        if (strcmp(drivers[i]->name, DRIVER_NAME) == 0)
            return drivers[i];
    fail_msg("there is no driver '%s'", DRIVER_NAME);
    return NULL;
}

/* What a driver connects to: a URL without SQLite's scheme. */
static inline const char *where_of(const char *url)
{
    return strncmp(url, "sqlite:", 7) == 0 ? url + 7 : url;
}

/* Runs one statement in a database. */
static inline void run_in(const char *url, const char *sql)
{
    struct error err;
    struct connection *db = NULL;
    assert_ok(connection_open(tested_driver(), where_of(url), false, &db, &err));
    assert_ok(sql_run(db, NULL, &err, sql, NULL, 0));
    connection_free(db);
}

/* The URL of a new database, in the folder or beside it. */
static inline char *database_new(const char *folder)
{
    if (tested_driver() == &driver_sqlite)
        return xasprintf("sqlite:%s/et.db", folder);
    const char *server = getenv("ET_TEST_POSTGRES");
    assert_non_null(server);
    char name[17];
    random_hex(8, name);
    CLEANUP(freep) char *sql = xasprintf("CREATE SCHEMA t%s", name);
    run_in(server, sql);
    return xasprintf("%s&options=-csearch_path%%3Dt%s", server, name);
}

static inline void database_drop(const char *url)
{
    const char *name = strstr(url, "search_path%3D");
    if (!name)
        return;
    CLEANUP(freep) char *sql = xasprintf("DROP SCHEMA %s CASCADE", strchr(name, 'D') + 1);
    run_in(url, sql);
}

#define T0       1763730000000LL /* when every test begins */
#define LEASE_MS 20000

struct fixture {
    char *folder, *database, *blobs;
    struct store *store;
    const struct driver *driver; /* NULL: the database's own */
};

static inline struct store *fixture_open(struct fixture *f, int64_t now_ms)
{
    struct error err;
    struct store_options options = {
        .blobs = f->blobs, .now_ms = now_ms, .no_timer = true, .driver = f->driver};
    assert_ok(store_open(f->database, &options, &f->store, &err));
    return f->store;
}

static inline int fixture_setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    f->folder = test_folder();
    f->database = database_new(f->folder);
    f->blobs = path_join(f->folder, "blobs");
    fixture_open(f, T0);
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    database_drop(f->database);
    dir_remove(f->folder, NULL);
    free(f->folder);
    free(f->database);
    free(f->blobs);
    free(f);
    return 0;
}

/* The first column of a query on the fixture's database, by a connection of the test's own. */
static inline int64_t ask(const struct fixture *f, const char *query)
{
    struct error err;
    struct connection *db = NULL;
    ROWS rows = {0};
    assert_ok(connection_open(tested_driver(), where_of(f->database), true, &db, &err));
    assert_ok(sql_run(db, &rows, &err, query, NULL, 0));
    assert_int_equal(rows.n, 1);
    int64_t answer = row_int(&rows, 0, 0);
    connection_free(db);
    return answer;
}

/* An id that sorts by n: 32 hex digits. */
static inline const char *id_of(int n)
{
    static _Thread_local char ids[16][ID_MAX];
    static _Thread_local int next;
    char *id = ids[next++ % 16];
    snprintf(id, ID_MAX, "%032x", (unsigned)n);
    return id;
}

struct enqueue {
    int priority;
    const char *pool;
    int after[4]; /* ids, ended by 0 */
    int max_attempts;
    int64_t not_before_ms;
};

/* A document of type "job" with a job of kind "train". */
static inline enum status try_enqueue(struct store *s, const char *owner, int n, struct enqueue e,
                                      int64_t now_ms, struct error *err)
{
    const char *after[4];
    struct new_job job = {.kind = "train",
                          .pool = e.pool,
                          .priority = e.priority,
                          .max_attempts = e.max_attempts,
                          .not_before_ms = e.not_before_ms,
                          .after = after};
    for (; job.n_after < 4 && e.after[job.n_after]; job.n_after++)
        after[job.n_after] = id_of(e.after[job.n_after]);
    CLEANUP(json_decrefp) json_t *body = json_pack("{s:s}", "processing-log", "");
    struct new_document d = {.id = id_of(n), .type = "job", .body = body, .job = &job};
    return documents_create(s, owner, &d, 1, NULL, now_ms, NULL, err);
}

static inline void enqueue(struct store *s, const char *owner, int n, struct enqueue e)
{
    struct error err;
    assert_ok(try_enqueue(s, owner, n, e, T0, &err));
}

/* Leases one job; its number, 0 when there is none.  ret_job may be NULL. */
static inline int lease_from(struct store *s, const char *pool, const char *request, int64_t now_ms,
                             struct job *ret_job)
{
    struct error err;
    CLEANUP(job_list_release) struct job_list list = {0};
    struct lease_request r = {
        .request_id = request, .worker = "w", .pools = &pool, .n_pools = 1, .slots = 1, .lease_ms = LEASE_MS};
    assert_ok(queue_lease(s, &r, now_ms, &list, &err));
    if (!list.n)
        return 0;
    int n = (int)strtol(list.jobs[0].id, NULL, 16);
    if (ret_job) {
        *ret_job = list.jobs[0];
        list.n = 0;
    }
    return n;
}

/* Leases one job of pool "cpu" with a request id of its own. */
static inline int lease_one(struct store *s, int64_t now_ms, struct job *ret_job)
{
    char request[33];
    random_hex(16, request);
    return lease_from(s, "cpu", request, now_ms, ret_job);
}

static inline enum status finish_as(struct store *s, int n, int attempt, enum outcome outcome,
                                    const char *reason, int64_t now_ms, struct error *err)
{
    struct finish f = {.job = id_of(n), .attempt = attempt, .outcome = outcome, .reason = reason};
    return queue_finish(s, &f, now_ms, err);
}

static inline void assert_document(struct store *s, int n, enum document_state state, const char *log)
{
    struct error err;
    CLEANUP(document_release) struct document d = {0};
    assert_ok(document_get(s, NULL, id_of(n), &d, &err));
    assert_string_equal(document_state_name(d.state), document_state_name(state));
    assert_string_equal(json_get_string(d.body, "processing-log", "(absent)"), log);
}

#endif
