#include "../test.h"

#include "api/api.h"
#include "api/router.h"

static const struct route jobs[] = {
    {"GET", "/jobs", .summary = "list"},
    {"POST", "/jobs", .summary = "make"},
    {"GET", "/jobs/{id}", .summary = "one"},
    {"GET", "/jobs/_changes", .summary = "changes"},
    {"GET", "/jobs/{id}/files/{name}", .summary = "file"},
    {NULL},
};
static const struct route others[] = {
    {"DELETE", "/jobs/{id}", .summary = "delete"},
    {"GET", "/jobs/", .summary = "root"},
    {"GET", "/", .summary = "top"},
    {NULL},
};
static const struct route *const tables[] = {jobs, others, NULL};

static void a_path_finds_its_route(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path;
        enum route_result result;
        const char *summary, *first, *second;
    } rows[] = {
        {"GET", "/jobs", ROUTE_FOUND, "list", NULL, NULL},
        {"HEAD", "/jobs", ROUTE_FOUND, "list", NULL, NULL},
        {"POST", "/jobs", ROUTE_FOUND, "make", NULL, NULL},
        {"GET", "/jobs/x", ROUTE_FOUND, "one", "x", NULL},
        {"GET", "/jobs/_changes", ROUTE_FOUND, "changes", NULL, NULL},
        {"DELETE", "/jobs/x", ROUTE_FOUND, "delete", "x", NULL},
        {"GET", "/jobs/", ROUTE_FOUND, "root", NULL, NULL},
        {"GET", "/", ROUTE_FOUND, "top", NULL, NULL},
        {"GET", "/jobs/a%2Fb/files/c%20d", ROUTE_FOUND, "file", "a/b", "c d"},
        {"GET", "/jobs/user:foo/files/x+y", ROUTE_FOUND, "file", "user:foo", "x+y"},
        {"PUT", "/jobs", ROUTE_NO_METHOD, NULL, NULL, NULL},
        {"GET", "/job", ROUTE_NO_PATH, NULL, NULL, NULL},
        {"GET", "/jobs/x/", ROUTE_NO_PATH, NULL, NULL, NULL},
        {"GET", "/jobs/x/files/", ROUTE_NO_PATH, NULL, NULL, NULL},
        {"GET", "", ROUTE_NO_PATH, NULL, NULL, NULL},
        {"GET", "*", ROUTE_NO_PATH, NULL, NULL, NULL},
        {"GET", "http://h/jobs", ROUTE_NO_PATH, NULL, NULL, NULL},
        {"GET", "/jobs/%", ROUTE_BAD_PATH, "one", NULL, NULL},
        {"GET", "/jobs/%4", ROUTE_BAD_PATH, "one", NULL, NULL},
        {"GET", "/jobs/%zz", ROUTE_BAD_PATH, "one", NULL, NULL},
        {"GET", "/jobs/a%00b", ROUTE_BAD_PATH, "one", NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct route_match m;
        enum route_result got = route_find(tables, rows[i].method, rows[i].path, &m);
        if (got != rows[i].result)
            fail_msg("%s %s: %d", rows[i].method, rows[i].path, got);
        if (rows[i].summary)
            assert_string_equal(m.route->summary, rows[i].summary);
        if (rows[i].first)
            assert_string_equal(m.args[0], rows[i].first);
        if (rows[i].second)
            assert_string_equal(m.args[1], rows[i].second);
        route_match_release(&m);
    }
}

static void the_methods_of_a_path_are_told(void **state)
{
    (void)state;
    struct route_match m;
    assert_int_equal(route_find(tables, "PATCH", "/jobs/x", &m), ROUTE_NO_METHOD);
    assert_string_equal(m.allow, "GET, HEAD, DELETE, OPTIONS");
    route_match_release(&m);
}

static void a_query_is_decoded(void **state)
{
    (void)state;
    struct error err = {0};
    struct query q;
    assert_ok(query_read("a=1&b=x%20y+z&&c&a=2&d=%3D", &q, &err));
    assert_string_equal(query_get(&q, "a"), "1");
    assert_string_equal(query_get(&q, "b"), "x y z");
    assert_string_equal(query_get(&q, "c"), "");
    assert_string_equal(query_get(&q, "d"), "=");
    assert_null(query_get(&q, "e"));
    query_release(&q);
    assert_ok(query_read(NULL, &q, &err));
    assert_null(query_get(&q, "a"));
    assert_int_equal(query_read("a=%0", &q, &err), INVALID);
    assert_int_equal(query_read("%00=1", &q, &err), INVALID);
    CLEANUP(freep) char *many = xcalloc(1, 2 * (QUERY_MAX + 1) + 1);
    for (int i = 0; i <= QUERY_MAX; i++)
        memcpy(many + 2 * i, "a&", 2);
    assert_int_equal(query_read(many, &q, &err), INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_finds_its_route),
        cmocka_unit_test(the_methods_of_a_path_are_told),
        cmocka_unit_test(a_query_is_decoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
