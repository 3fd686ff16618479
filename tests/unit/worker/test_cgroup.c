/* In a folder that has the files of a control group: what is written is there to be read. */
#include "../test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/cgroup.h"

static void put(const char *folder, const char *name, const char *text)
{
    struct error err;
    CLEANUP(freep) char *path = path_join(folder, name);
    assert_ok(file_write(path, text, strlen(text), 0644, &err));
}

static void assert_holds(const char *folder, const char *name, const char *expected)
{
    struct error err;
    CLEANUP(freep) char *path = path_join(folder, name);
    CLEANUP(freep) char *text = NULL;
    size_t size;
    assert_ok(file_read(path, 4096, &text, &size, &err));
    assert_string_equal(text, expected);
}

static int setup(void **state)
{
    char *folder = test_folder();
    put(folder, "cgroup.controllers", "cpuset cpu io memory pids\n");
    put(folder, "cgroup.type", "domain\n");
    put(folder, "cgroup.procs", "");
    put(folder, "cgroup.subtree_control", "");
    *state = folder;
    return 0;
}

static int teardown(void **state)
{
    struct error err;
    assert_ok(dir_remove(*state, &err));
    free(*state);
    return 0;
}

static void the_controllers_are_handed_down(void **state)
{
    struct error err;
    CLEANUP(cgroups_close) struct cgroups g = {0};
    put(*state, "cgroup.procs", "77\n");
    assert_ok(cgroups_open(*state, &g, &err));
    assert_holds(*state, "cgroup.subtree_control", "+memory +pids +cpu");
    assert_holds(*state, "et-own/cgroup.procs", "77");
}

static void a_group_has_its_limits(void **state)
{
    static const struct {
        const char *name, *expected;
    } rows[] = {
        {"memory.max", "536870912"}, {"memory.swap.max", "0"},     {"memory.oom.group", "1"},
        {"pids.max", "64"},          {"cpu.max", "300000 100000"},
    };
    struct error err;
    CLEANUP(cgroups_close) struct cgroups g = {0};
    CLEANUP(freep) char *path = NULL;
    struct cgroup_limits limits = {.memory_bytes = 512 << 20, .tasks = 64, .cpus = 3};
    assert_ok(cgroups_open(*state, &g, &err));
    assert_ok(cgroup_make(&g, "job-1", &limits, &path, &err));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_holds(path, rows[i].name, rows[i].expected);
    assert_int_equal(cgroup_enter(path), 0);
    assert_holds(path, "cgroup.procs", "0");
    assert_false(cgroup_ran_out_of_memory(path));
    put(path, "memory.events", "low 0\nmax 12\noom 0\noom_kill 0\n");
    assert_false(cgroup_ran_out_of_memory(path));
    put(path, "memory.events", "low 0\nmax 12\noom 2\noom_kill 3\noom_group_kill 1\n");
    assert_true(cgroup_ran_out_of_memory(path));
    cgroup_remove(path);
    assert_holds(path, "cgroup.kill", "1");
}

static void groups_that_a_killed_worker_left_go(void **state)
{
    struct error err;
    CLEANUP(cgroups_close) struct cgroups g = {0};
    CLEANUP(freep) char *left = path_join(*state, "et-left-1");
    CLEANUP(freep) char *fresh = path_join(*state, "et-fresh-1");
    CLEANUP(freep) char *other = path_join(*state, "other");
    const struct timespec long_ago[] = {{.tv_sec = 1}, {.tv_sec = 1}};
    assert_int_equal(mkdir(left, 0755), 0);
    assert_int_equal(utimensat(AT_FDCWD, left, long_ago, 0), 0);
    assert_int_equal(mkdir(fresh, 0755), 0);
    assert_int_equal(mkdir(other, 0755), 0);
    assert_ok(cgroups_open(*state, &g, &err));
    assert_int_not_equal(access(left, F_OK), 0);
    assert_int_equal(access(fresh, F_OK), 0);
    assert_int_equal(access(other, F_OK), 0);
}

static void what_cannot_be_divided_says_why(void **state)
{
    static const struct {
        const char *controllers, *says;
    } rows[] = {{"cpu hugetlb\n", "has no memory and pids to hand down: 'cpu hugetlb'"},
                {"memory.high pids\n", "has no memory"}};
    struct error err;
    struct cgroups g = {0};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        put(*state, "cgroup.controllers", rows[i].controllers);
        assert_int_equal(cgroups_open(*state, &g, &err), UNSUPPORTED);
        assert_non_null(strstr(err.message, rows[i].says));
    }
    CLEANUP(freep) char *none = path_join(*state, "none");
    assert_int_equal(cgroups_open(none, &g, &err), UNSUPPORTED);
    assert_non_null(strstr(err.message, "is no control group of version 2"));
    assert_null(g.base);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_controllers_are_handed_down),
        T(a_group_has_its_limits),
        T(groups_that_a_killed_worker_left_go),
        T(what_cannot_be_divided_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
