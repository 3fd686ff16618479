/* What SQLite's log says to others, written in one piece a commit (sqlite_wal.h). */
#include <sqlite3.h>
#include <unistd.h>

#include "store_test.h"

#define ROW_BYTES 3000

static char *folder, *where;
static struct connection *writer;

static int set_up(void **state)
{
    (void)state;
    struct error err;
    folder = test_folder();
    where = xasprintf("%s/et.db", folder);
    assert_ok(connection_open(&driver_sqlite, where, false, &writer, &err));
    assert_ok(sql_run(writer, NULL, &err, "CREATE TABLE t (i INTEGER PRIMARY KEY, x BLOB)", NULL, 0));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    connection_free(writer);
    assert_int_equal(dir_remove(folder, NULL), OK);
    free(folder);
    free(where);
    return 0;
}

/* n rows in one transaction, which is committed or not. */
static void write_rows(int n, bool commits)
{
    struct error err;
    assert_ok(connection_begin(writer, &err));
    for (int i = 0; i < n; i++)
        assert_ok(SQL(writer, NULL, &err, "INSERT INTO t(x) VALUES (randomblob($1))", V(ROW_BYTES)));
    if (commits)
        assert_ok(connection_commit(writer, &err));
    else
        connection_rollback(writer);
}

/* As another process would: SQLite's own file system, a connection of its own. */
static void expect_rows(const char *database, int n)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open_v2(database, &db, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT COUNT(*), SUM(LENGTH(x)) FROM t", -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(statement, 0), n);
    assert_int_equal(sqlite3_column_int64(statement, 1), (sqlite3_int64)n * ROW_BYTES);
    sqlite3_finalize(statement);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(statement, 0), "ok");
    sqlite3_finalize(statement);
    sqlite3_close(db);
}

static void copy_file(const char *from, const char *to)
{
    struct error err;
    char *bytes = NULL;
    size_t size = 0;
    assert_ok(file_read(from, (size_t)1 << 30, &bytes, &size, &err));
    assert_ok(file_write(to, bytes, size, 0600, &err));
    free(bytes);
}

/* What a process that was killed now would have left. */
static void expect_rows_of_copy(int n)
{
    CLEANUP(freep) char *copy = xasprintf("%s/copy.db", folder), *copied_log = xasprintf("%s-wal", copy);
    CLEANUP(freep) char *log = xasprintf("%s-wal", where);
    copy_file(where, copy);
    copy_file(log, copied_log);
    expect_rows(copy, n);
    unlink(copied_log);
    unlink(copy);
}

static void commit_and_look(int n, int *total)
{
    write_rows(n, true);
    *total += n;
    expect_rows(where, *total);
    expect_rows_of_copy(*total);
}

static void each_commit_is_there_for_others_however_large(void **state)
{
    (void)state;
    static const int sizes[] = {1, 1, 7, 30, 400, 1, 3000, 2, 1500};
    int total = 0;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        commit_and_look(sizes[i], &total);
}

/* Most pages are written before their commit from here on. */
static void shrink_cache(void)
{
    struct error err;
    assert_ok(sql_run(writer, NULL, &err, "PRAGMA cache_size = 10", NULL, 0));
}

static void pages_that_leave_the_cache_before_the_commit_are_read_again(void **state)
{
    (void)state;
    struct error err;
    int total = 0;
    shrink_cache();
    commit_and_look(200, &total);
    assert_ok(connection_begin(writer, &err));
    for (int i = 0; i < 3; i++) /* each row again, in pages that were written in this transaction */
        assert_ok(SQL(writer, NULL, &err, "UPDATE t SET x = randomblob($1)", V(ROW_BYTES)));
    expect_rows(where, total);
    assert_ok(connection_commit(writer, &err));
    expect_rows(where, total);
    expect_rows_of_copy(total);
}

static void what_is_rolled_back_leaves_nothing(void **state)
{
    (void)state;
    int total = 0;
    shrink_cache();
    commit_and_look(3, &total);
    for (int i = 0; i < 3; i++) {
        write_rows(500, false);
        expect_rows(where, total);
        commit_and_look(2, &total);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_commit_is_there_for_others_however_large, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pages_that_leave_the_cache_before_the_commit_are_read_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_rolled_back_leaves_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
