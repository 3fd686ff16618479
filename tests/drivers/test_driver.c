/* What every driver does: values, transactions, and the dialect that the store's statements use. */
#include "driver_test.h"

struct database {
    char *folder, *url;
    const char *where;
    struct connection *writer, *reader;
};

static int setup(void **state)
{
    struct error err;
    struct database *d = xcalloc(1, sizeof(*d));
    d->folder = test_folder();
    d->url = database_new(d->folder);
    d->where = where_of(d->url);
    assert_ok(connection_open(tested_driver(), d->where, false, &d->writer, &err));
    assert_ok(SQL(d->writer, NULL, &err,
                  "CREATE TABLE t (k TEXT PRIMARY KEY, i BIGINT, r DOUBLE PRECISION, s TEXT, b BYTEA)"));
    assert_ok(connection_open(tested_driver(), d->where, true, &d->reader, &err));
    *state = d;
    return 0;
}

static int teardown(void **state)
{
    struct database *d = *state;
    connection_free(d->reader);
    connection_free(d->writer);
    database_drop(d->url);
    dir_remove(d->folder, NULL);
    free(d->url);
    free(d->folder);
    free(d);
    return 0;
}

static int64_t count(struct connection *c)
{
    struct error err;
    ROWS rows = {0};
    assert_ok(SQL(c, &rows, &err, "SELECT COUNT(*) FROM t"));
    return row_int(&rows, 0, 0);
}

static enum status insert(struct connection *c, const char *key, struct error *err)
{
    ROWS rows = {0};
    return SQL(c, &rows, err, "INSERT INTO t(k) VALUES ($1) RETURNING k", V(key));
}

static void values_come_back_as_they_went(void **state)
{
    struct database *d = *state;
    struct error err;
    static const int64_t numbers[] = {0, -1, INT64_MAX, INT64_MIN};
    static const char bytes[] = "\0a\xff\0";
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        ROWS rows = {0};
        assert_ok(SQL(d->writer, &rows, &err,
                      "INSERT INTO t(k, i, r, s, b) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (k) DO UPDATE"
                      " SET i = excluded.i RETURNING k, i, r, s, b",
                      V("key"), V(numbers[i]), V(1e-310), V("n\xc3\xa9\x01'\""), value_bytes(bytes, 4)));
        assert_int_equal(rows.n, 1);
        assert_true(row_int(&rows, 0, 1) == numbers[i]);
        assert_true(row_real(&rows, 0, 2) == 1e-310);
        assert_string_equal(row_text(&rows, 0, 3), "n\xc3\xa9\x01'\"");
        size_t size = 0;
        assert_memory_equal(row_bytes(&rows, 0, 4, &size), bytes, 4);
        assert_int_equal(size, 4);
    }
    ROWS rows = {0};
    assert_ok(SQL(d->writer, &rows, &err, "INSERT INTO t(k, s, b) VALUES ($1, $2, $3) RETURNING s, b, i",
                  V("empty"), V(""), value_bytes(NULL, 0)));
    assert_false(row_is_null(&rows, 0, 0));
    assert_false(row_is_null(&rows, 0, 1));
    assert_true(row_is_null(&rows, 0, 2));
}

static void a_reader_sees_what_is_committed_and_nothing_else(void **state)
{
    struct database *d = *state;
    struct error err;
    assert_ok(connection_begin(d->writer, &err));
    assert_ok(insert(d->writer, "a", &err));
    assert_int_equal(count(d->reader), 0);
    assert_ok(connection_commit(d->writer, &err));
    assert_int_equal(count(d->reader), 1);

    assert_ok(connection_begin(d->reader, &err));
    assert_int_equal(count(d->reader), 1);
    assert_ok(insert(d->writer, "b", &err));
    assert_int_equal(count(d->reader), 1);
    connection_rollback(d->reader);
    assert_int_equal(count(d->reader), 2);
    assert_int_not_equal(insert(d->reader, "c", &err), OK);
}

static void rollback_undoes_all_and_a_savepoint_its_part(void **state)
{
    struct database *d = *state;
    struct error err;
    assert_ok(connection_begin(d->writer, &err));
    assert_ok(insert(d->writer, "a", &err));
    connection_rollback(d->writer);
    connection_rollback(d->writer);
    assert_int_equal(count(d->writer), 0);

    assert_ok(connection_begin(d->writer, &err));
    assert_ok(insert(d->writer, "a", &err));
    assert_ok(SQL(d->writer, NULL, &err, "SAVEPOINT request"));
    assert_ok(insert(d->writer, "b", &err));
    assert_ok(SQL(d->writer, NULL, &err, "ROLLBACK TO SAVEPOINT request"));
    assert_ok(SQL(d->writer, NULL, &err, "RELEASE SAVEPOINT request"));
    assert_ok(connection_commit(d->writer, &err));
    assert_int_equal(count(d->reader), 1);
}

static void a_failed_statement_is_told_and_works_the_next_time(void **state)
{
    struct database *d = *state;
    struct error err;
    assert_ok(connection_begin(d->writer, &err));
    assert_false(connection_failed(d->writer));
    assert_ok(insert(d->writer, "a", &err));
    assert_int_equal(insert(d->writer, "a", &err), FAILED);
    assert_true(connection_failed(d->writer));
    connection_rollback(d->writer);
    assert_ok(connection_begin(d->writer, &err));
    assert_false(connection_failed(d->writer));
    assert_ok(insert(d->writer, "a", &err));
    assert_ok(connection_commit(d->writer, &err));
}

static void a_failure_of_what_nobody_waits_for_is_told_at_the_commit_at_the_latest(void **state)
{
    struct database *d = *state;
    struct error err;
    for (int n = 1; n <= 300; n += 299) { /* few, and more than a driver leaves unread */
        enum status status = OK;
        assert_ok(connection_begin(d->writer, &err));
        for (int i = 0; i <= n && status == OK; i++)
            status = SQL(d->writer, NULL, &err, "INSERT INTO t(k) VALUES ($1)", V("same"));
        if (status == OK)
            status = connection_commit(d->writer, &err);
        assert_int_equal(status, FAILED);
        assert_non_null(strstr(err.message, "INSERT INTO t"));
        connection_rollback(d->writer);
        assert_int_equal(count(d->writer), 0);
    }
    for (int i = 0; i < 300; i++)
        assert_ok(SQL(d->writer, NULL, &err, "INSERT INTO t(k, i) VALUES ($1, $2)", V(id_of(i)), V(i)));
    assert_int_equal(count(d->reader), 300);
}

static void sums_and_truths_come_back_as_numbers(void **state)
{
    static const struct {
        const char *sql;
        int64_t integer;
        double real;
    } cases[] = {
        {"SELECT SUM(CAST(v AS BIGINT)) FROM (SELECT 5000000000 AS v UNION ALL SELECT 10000) AS x",
         5000010000, 5000010000},
        {"SELECT SUM(CAST(v AS BIGINT)) FROM (SELECT -20000 AS v UNION ALL SELECT 1) AS x", -19999, -19999},
        {"SELECT SUM(CAST(v AS BIGINT)) FROM (SELECT 0 AS v) AS x", 0, 0},
        {"SELECT AVG(v) FROM (SELECT 1 AS v UNION ALL SELECT 2) AS x", 1, 1.5},
        {"SELECT 2 > 1", 1, 1},
        {"SELECT 1 > 2", 0, 0},
    };
    struct database *d = *state;
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        ROWS rows = {0};
        assert_ok(sql_run(d->reader, &rows, &err, cases[i].sql, NULL, 0));
        assert_true(row_int(&rows, 0, 0) == cases[i].integer);
        assert_true(row_real(&rows, 0, 0) == cases[i].real);
    }
}

static void text_that_is_not_utf8_is_found_nowhere_and_breaks_nothing(void **state)
{
    static const char *const texts[] = {"\xff", "a\xc3", "\xed\xa0\x80", "\xc0\xaf", "ok\xf5 ok"};
    struct database *d = *state;
    struct error err;
    assert_ok(insert(d->writer, "a", &err));
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        ROWS rows = {0};
        assert_ok(SQL(d->reader, &rows, &err, "SELECT k FROM t WHERE k = $1", V(texts[i])));
        assert_int_equal(rows.n, 0);
    }
}

static void null_is_of_any_type(void **state)
{
    struct database *d = *state;
    struct error err;
    const struct value none = {.kind = VALUE_NULL}, values[] = {none, V(7), none, V(8)};
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        ROWS rows = {0};
        assert_ok(
            SQL(d->writer, &rows, &err,
                "INSERT INTO t(k, i, s) VALUES ($1, $2, $3) ON CONFLICT (k) DO UPDATE SET i = excluded.i"
                " RETURNING i, s IS NULL",
                V("a"), values[i], V((const char *)NULL)));
        assert_int_equal(row_is_null(&rows, 0, 0), values[i].kind == VALUE_NULL);
        assert_int_equal(row_int(&rows, 0, 0), values[i].integer);
        assert_int_equal(row_int(&rows, 0, 1), 1);
        assert_ok(SQL(d->reader, &rows, &err, "SELECT COUNT(*) FROM t WHERE $1 IS NULL OR k = $1",
                      V((const char *)(i % 2 ? NULL : "b"))));
        assert_int_equal(row_int(&rows, 0, 0), i % 2);
    }
}

static void wrong_statements_are_refused(void **state)
{
    struct database *d = *state;
    struct error err;
    assert_int_equal(SQL(d->writer, NULL, &err, "SELECT $2, $1", V(1), V(2)), FAILED);
    assert_int_equal(SQL(d->writer, NULL, &err, "SELECT $1", V(1), V(2)), FAILED);
    assert_int_equal(SQL(d->writer, NULL, &err, "SELECT nothing FROM nowhere"), FAILED);
}

static void the_dialect_has_what_the_statements_need(void **state)
{
    static const struct {
        const char *sql;
        int64_t answer;
    } cases[] = {
        {"WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE i < 10) SELECT SUM(i) FROM n", 55},
        {"SELECT CAST(1 AS BIGINT) << 5", 32},
        {"SELECT COALESCE(MAX(i), 0) FROM t", 0},
        {"SELECT CASE WHEN 2 > 1 THEN 7 ELSE 8 END", 7},
    };
    struct database *d = *state;
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        ROWS rows = {0};
        assert_ok(sql_run(d->writer, &rows, &err, cases[i].sql, NULL, 0));
        assert_int_equal(row_int(&rows, 0, 0), cases[i].answer);
    }
    ROWS rows = {0};
    assert_ok(insert(d->writer, "a", &err));
    assert_ok(SQL(d->writer, &rows, &err, "UPDATE t SET (i, s) = (SELECT 5, 'x') WHERE k = $1 RETURNING i, s",
                  V("a")));
    assert_int_equal(row_int(&rows, 0, 0), 5);
    assert_string_equal(row_text(&rows, 0, 1), "x");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(values_come_back_as_they_went),
        T(a_reader_sees_what_is_committed_and_nothing_else),
        T(rollback_undoes_all_and_a_savepoint_its_part),
        T(a_failed_statement_is_told_and_works_the_next_time),
        T(a_failure_of_what_nobody_waits_for_is_told_at_the_commit_at_the_latest),
        T(sums_and_truths_come_back_as_numbers),
        T(text_that_is_not_utf8_is_found_nowhere_and_breaks_nothing),
        T(null_is_of_any_type),
        T(wrong_statements_are_refused),
        T(the_dialect_has_what_the_statements_need),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
