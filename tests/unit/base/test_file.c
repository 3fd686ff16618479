#include "../test.h"

#include <sys/stat.h>
#include <unistd.h>

static void a_written_file_is_read_back(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *deep = path_join(folder, "a/b/c");
    assert_ok(dir_make(deep, &err));
    CLEANUP(freep) char *path = path_join(deep, "f");
    assert_ok(file_write(path, "xyz", 3, 0600, &err));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    CLEANUP(freep) char *bytes = NULL;
    size_t size = 0;
    assert_ok(file_read(path, 3, &bytes, &size, &err));
    assert_int_equal(size, 3);
    assert_string_equal(bytes, "xyz");
    assert_int_equal(file_read(path, 2, &bytes, &size, &err), TOO_LARGE);
    assert_ok(dir_remove(folder, &err));
    assert_int_equal(file_read(path, 3, &bytes, &size, &err), NOT_FOUND);
    assert_non_null(strstr(err.message, "No such file"));
}

static void removing_does_not_follow_links(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(freep) char *outside = test_folder();
    CLEANUP(freep) char *inside = test_folder();
    CLEANUP(freep) char *kept = path_join(outside, "kept");
    CLEANUP(freep) char *link = path_join(inside, "link");
    assert_ok(file_write(kept, "", 0, 0600, &err));
    assert_int_equal(symlink(outside, link), 0);
    assert_ok(dir_remove(inside, &err));
    assert_int_equal(access(kept, F_OK), 0);
    assert_int_not_equal(access(inside, F_OK), 0);
    assert_ok(dir_remove(inside, &err));
    assert_ok(dir_remove(outside, &err));
}

/* As /dev/stdout is one: replaced by a file it would be lost to everybody. */
static void a_link_to_a_pipe_is_written_to_and_stays(void **state)
{
    (void)state;
    struct error err = {0};
    int ends[2];
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *path = path_join(folder, "out");
    assert_int_equal(pipe(ends), 0);
    CLEANUP(freep) char *target = xasprintf("/proc/self/fd/%d", ends[1]);
    assert_int_equal(symlink(target, path), 0);
    assert_ok(file_write(path, "xyz", 3, 0600, &err));
    char bytes[4] = "";
    assert_int_equal(read(ends[0], bytes, 3), 3);
    assert_string_equal(bytes, "xyz");
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    close(ends[0]);
    close(ends[1]);
    assert_ok(dir_remove(folder, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_written_file_is_read_back),
        cmocka_unit_test(removing_does_not_follow_links),
        cmocka_unit_test(a_link_to_a_pipe_is_written_to_and_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
