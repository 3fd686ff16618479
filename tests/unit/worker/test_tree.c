#include "../test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "worker/tree.h"

#define BLOCK (32 << 20)

/* A child that has done its part says so, and stays until `hold` closes. */
struct pipes {
    int ready[2], hold[2];
};

static void pipes_open(struct pipes *p)
{
    assert_int_equal(pipe2(p->ready, O_CLOEXEC), 0);
    assert_int_equal(pipe2(p->hold, O_CLOEXEC), 0);
}

static void child_stays(const struct pipes *p)
{
    char byte = 0;
    close(p->hold[1]);
    if (write(p->ready[1], &byte, 1) == 1 && !read(p->hold[0], &byte, 1))
        _exit(0);
    _exit(1);
}

static void wait_ready(const struct pipes *p, int n)
{
    char byte;
    for (int i = 0; i < n; i++)
        assert_int_equal(read(p->ready[0], &byte, 1), 1);
}

static void pipes_close(const struct pipes *p)
{
    close(p->ready[0]);
    close(p->ready[1]);
    close(p->hold[0]);
    close(p->hold[1]);
}

static void a_tree_is_a_process_and_all_its_descendants(void **state)
{
    (void)state;
    struct pipes p;
    pipes_open(&p);
    pid_t root = fork();
    if (!root) {
        for (int i = 0; i < 3; i++)
            if (!fork()) {
                if (!fork())
                    child_stays(&p);
                child_stays(&p);
            }
        child_stays(&p);
    }
    wait_ready(&p, 7);
    struct tree tree;
    tree_read(root, &tree);
    assert_int_equal(tree.n, 7);
    assert_int_equal(tree.pids[0], root);
    tree_release(&tree);
    pipes_close(&p);
    assert_int_equal(waitpid(root, NULL, 0), root);
    tree_read(root, &tree);
    assert_int_equal(tree.n, 0);
    tree_release(&tree);
}

/* Anonymous memory of 32 MiB in the root; the child of it sees the same pages. */
static void memory_that_is_shared_counts_once(void **state)
{
    (void)state;
    struct pipes p;
    pipes_open(&p);
    pid_t root = fork();
    if (!root) {
        void *block = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED)
            _exit(1);
        memset(block, 1, BLOCK);
        if (!fork())
            child_stays(&p);
        child_stays(&p);
    }
    wait_ready(&p, 2);
    struct tree tree;
    tree_read(root, &tree);
    assert_int_equal(tree.n, 2);
    assert_true(tree_memory(&tree, 1) >= BLOCK);
    assert_true(tree_memory(&tree, 1) < 2 * (int64_t)BLOCK);
    assert_true(tree_memory(&tree, INT64_MAX) >= 2 * (int64_t)BLOCK);
    tree_release(&tree);
    pipes_close(&p);
    assert_int_equal(waitpid(root, NULL, 0), root);
}

static void files_without_a_name_are_found_by_who_holds_them(void **state)
{
    (void)state;
    CLEANUP(freep) char *folder = test_folder();
    struct pipes p;
    pipes_open(&p);
    pid_t root = fork();
    if (!root) {
        char bytes[65536] = {1};
        int file = open(folder, O_TMPFILE | O_RDWR, 0600), memory = memfd_create("m", 0);
        if (file < 0 || memory < 0 || fd_write_all(file, bytes, sizeof(bytes)) || fsync(file) ||
            fd_write_all(memory, bytes, sizeof(bytes)))
            _exit(1);
        if (!fork())
            child_stays(&p);
        child_stays(&p);
    }
    wait_ready(&p, 2);
    struct tree tree;
    struct stat st;
    int64_t disk, memory;
    assert_int_equal(stat(folder, &st), 0);
    tree_read(root, &tree);
    tree_nameless(&tree, st.st_dev, &disk, &memory);
    if (major(st.st_dev)) /* a tmpfs is memory itself */
        assert_int_equal(memory, 65536);
    assert_true(disk >= 65536 && disk < 2 * 65536 + 65536 * !major(st.st_dev));
    tree_release(&tree);
    pipes_close(&p);
    assert_int_equal(waitpid(root, NULL, 0), root);
    assert_int_equal(rmdir(folder), 0);
}

static void what_lies_below_a_folder_is_counted(void **state)
{
    (void)state;
    CLEANUP(freep) char *folder = test_folder();
    struct error err;
    CLEANUP(freep) char *inner = path_join(folder, "a/b");
    CLEANUP(freep) char *file = path_join(inner, "file");
    CLEANUP(freep) char *link = path_join(folder, "link");
    CLEANUP(freep) char *bytes = xcalloc(1, 100000);
    assert_int_equal(dir_make(inner, &err), OK);
    assert_int_equal(file_write(file, bytes, 100000, 0600, &err), OK);
    assert_int_equal(symlink("/usr", link), 0);
    assert_int_equal(chmod(inner, 0), 0);
    CLEANUP(fd_closep) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int64_t size, n;
    folder_usage(fd, &size, &n);
    assert_int_equal(n, 4); /* a, a/b, file, link */
    assert_true(size >= 100000 && size < 200000);
    assert_int_equal(dir_remove(folder, &err), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_is_a_process_and_all_its_descendants),
        cmocka_unit_test(memory_that_is_shared_counts_once),
        cmocka_unit_test(files_without_a_name_are_found_by_who_holds_them),
        cmocka_unit_test(what_lies_below_a_folder_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
