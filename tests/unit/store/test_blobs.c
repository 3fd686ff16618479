#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "store_test.h"

#define ALICE "user:alice"

/* FIPS 180's example: the digests of "abc". */
#define ABC_SHA256 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABC_SHA1   "a9993e364706816aba3e25717850c26c9cd0d89d"

static int disarm_teardown(void **state)
{
    fault_arm(NULL, NULL);
    return fixture_teardown(state);
}

/* Regular files below a folder of the blobs. */
static int count_files(const struct fixture *f, const char *folder)
{
    CLEANUP(freep) char *path = path_join(f->blobs, folder);
    int n = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        CLEANUP(freep) char *below = xasprintf("%s/%s", folder, e->d_name);
        if (e->d_type == DT_REG)
            n += strcmp(e->d_name, "lock") != 0;
        else if (e->d_name[0] != '.')
            n += count_files(f, below);
    }
    closedir(dir);
    return n;
}

static void bytes_come_back_under_their_digests(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct blob_writer *w = NULL;
    struct blob blob;
    assert_ok(blob_begin(f->store, &w, &err));
    assert_ok(blob_write(w, "a", 1, &err));
    assert_ok(blob_write(w, "bc", 2, &err));
    assert_ok(blob_write(w, "", 0, &err));
    assert_ok(blob_commit(w, NULL, T0, &blob, &err));
    assert_string_equal(blob.sha256, ABC_SHA256);
    assert_string_equal(blob.sha1, ABC_SHA1);
    assert_int_equal(blob.size, 3);
    assert_int_equal(count_files(f, "tmp"), 0);

    CLEANUP(fd_closep) int fd = -1;
    int64_t size = 0;
    char bytes[4] = "";
    assert_ok(blob_open(f->store, ABC_SHA256, &fd, &size, &err));
    assert_int_equal(size, 3);
    assert_int_equal(read(fd, bytes, 4), 3);
    assert_string_equal(bytes, "abc");
    struct stat st;
    CLEANUP(freep) char *path = xasprintf("%s/sha256/ba/%s", f->blobs, ABC_SHA256 + 2);
    assert_int_equal(stat(path, &st), 0);
}

static void unknown_and_strange_names_are_not_found(void **state)
{
    struct fixture *f = *state;
    struct error err;
    int fd = -1;
    int64_t size = 0;
    static const char *const names[] = {"", "abc", "../../../../etc/passwd", ABC_SHA256,
                                        "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        assert_int_equal(blob_open(f->store, names[i], &fd, &size, &err), NOT_FOUND);
    assert_int_equal(fd, -1);
}

static void an_aborted_or_wrong_put_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct blob blob;
    struct blob_writer *w = NULL;
    assert_ok(blob_begin(f->store, &w, &err));
    assert_ok(blob_write(w, "abc", 3, &err));
    blob_abort(w);
    assert_ok(blob_begin(f->store, &w, &err));
    assert_ok(blob_write(w, "abd", 3, &err));
    assert_int_equal(blob_commit(w, ABC_SHA256, T0, &blob, &err), INVALID);
    assert_non_null(strstr(err.message, ABC_SHA256));
    assert_ok(blob_begin(f->store, &w, &err));
    assert_ok(blob_write(w, "abc", 3, &err));
    assert_int_equal(count_files(f, "tmp"), 1);
    assert_ok(
        blob_commit(w, "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD", T0, &blob, &err));
    assert_int_equal(count_files(f, "."), 1);
}

static void a_full_disk_is_no_space_and_leaves_nothing(void **state)
{
    static const char *const points[] = {"blob.write:2:error", "blob.commit:1:error"};
    struct fixture *f = *state;
    struct error err;
    struct blob blob;
    for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
        CLEANUP(blob_abortp) struct blob_writer *w = NULL;
        assert_ok(fault_arm(points[i], &err));
        assert_ok(blob_begin(f->store, &w, &err));
        assert_ok(blob_write(w, "abc", 3, &err));
        enum status status = blob_write(w, "def", 3, &err);
        if (status == OK) {
            status = blob_commit(w, NULL, T0, &blob, &err);
            w = NULL;
        }
        assert_int_equal(status, NO_SPACE);
        blob_abortp(&w);
        assert_int_equal(count_files(f, "."), 0);
    }
}

static void what_a_crash_left_is_cleaned_but_not_a_put_under_way(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct blob_writer *w = NULL;
    struct blob blob;
    CLEANUP(freep) char *left = path_join(f->blobs, "tmp/left");
    assert_ok(file_write(left, "x", 1, 0600, &err));
    assert_ok(blob_begin(f->store, &w, &err));
    struct store *first = f->store;
    fixture_open(f, T0);
    assert_int_equal(count_files(f, "tmp"), 1);
    assert_ok(blob_write(w, "abc", 3, &err));
    assert_ok(blob_commit(w, NULL, T0, &blob, &err));
    store_close(first);
    assert_int_equal(count_files(f, "."), 1);
}

struct putter {
    struct store *store;
    pthread_t thread;
    enum status status;
};

static void *put_many(void *opaque)
{
    struct putter *p = opaque;
    struct blob blob;
    for (int i = 0; i < 10 && p->status == OK; i++)
        p->status = blob_put(p->store, "abc", 3, T0, &blob, NULL);
    return NULL;
}

static void the_same_bytes_put_at_once_are_one_blob(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct putter putters[8];
    for (int i = 0; i < 8; i++) {
        putters[i] = (struct putter){.store = f->store};
        pthread_create(&putters[i].thread, NULL, put_many, &putters[i]);
    }
    /* Meanwhile sweeps, to which nothing is old enough, and one that takes all. */
    int64_t removed = 0;
    for (int i = 0; i < 5; i++)
        assert_ok(blob_collect(f->store, T0 + i % 2, 0, &removed, &err));
    for (int i = 0; i < 8; i++) {
        pthread_join(putters[i].thread, NULL);
        assert_int_equal(putters[i].status, OK);
    }
    struct blob blob;
    assert_ok(blob_put(f->store, "abc", 3, T0, &blob, &err));
    assert_int_equal(count_files(f, "."), 1);
}

static void documents_have_blobs_by_name(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    struct blob a, b, got;
    assert_ok(blob_put(s, "aaa", 3, T0, &a, &err));
    assert_ok(blob_put(s, "bbbb", 4, T0, &b, &err));
    CLEANUP(json_decrefp) json_t *body = json_object();
    struct blob_ref refs[] = {{"x.prototxt", a.sha256}, {"missing", ABC_SHA256}};
    struct new_document d = {.id = id_of(1), .type = "solver", .body = body, .blobs = refs, .n_blobs = 2};
    assert_int_equal(documents_create(s, ALICE, &d, 1, NULL, T0, NULL, &err), NOT_FOUND);
    d.n_blobs = 1;
    assert_ok(documents_create(s, ALICE, &d, 1, NULL, T0, NULL, &err));
    assert_ok(blob_ref_get(s, id_of(1), "x.prototxt", &got, &err));
    assert_string_equal(got.sha256, a.sha256);
    assert_int_equal(got.size, 3);
    assert_int_equal(blob_ref_get(s, id_of(1), "y", &got, &err), NOT_FOUND);
    assert_ok(blob_ref_set_for(s, ALICE, id_of(1), "y", b.sha256, T0, &err));
    assert_int_equal(blob_ref_set_for(s, "user:bob", id_of(1), "y", b.sha256, T0, &err), NOT_FOUND);
    CLEANUP(blob_list_release) struct blob_list list = {0};
    assert_ok(blob_refs(s, id_of(1), &list, &err));
    assert_int_equal(list.n, 2);
    assert_string_equal(list.blobs[1].name, "y");
    assert_int_equal(list.blobs[1].blob.size, 4);
}

static void the_holder_of_a_lease_gives_its_document_blobs(void **state)
{
    struct store *s = ((struct fixture *)*state)->store;
    struct error err;
    struct blob a, b, got;
    assert_ok(blob_put(s, "aaa", 3, T0, &a, &err));
    assert_ok(blob_put(s, "bbbb", 4, T0, &b, &err));
    enqueue(s, ALICE, 1, (struct enqueue){0});
    assert_int_equal(blob_ref_set(s, id_of(1), 1, "snapshot", a.sha256, T0, &err), CONFLICT);
    lease_one(s, T0, NULL);
    assert_ok(blob_ref_set(s, id_of(1), 1, "snapshot", a.sha256, T0, &err));
    assert_ok(blob_ref_set(s, id_of(1), 1, "snapshot", b.sha256, T0, &err));
    assert_int_equal(blob_ref_set(s, id_of(1), 2, "snapshot", a.sha256, T0, &err), CONFLICT);
    assert_int_equal(blob_ref_set(s, id_of(1), 0, "snapshot", a.sha256, T0, &err), CONFLICT);
    assert_int_equal(blob_ref_set(s, id_of(1), 1, "model", ABC_SHA256, T0, &err), NOT_FOUND);
    struct blob_ref refs[] = {{"trained", a.sha256}};
    struct finish f = {.job = id_of(1), .attempt = 1, .outcome = OUTCOME_DONE, .blobs = refs, .n_blobs = 1};
    assert_ok(queue_finish(s, &f, T0, &err));
    assert_ok(blob_ref_get(s, id_of(1), "snapshot", &got, &err));
    assert_string_equal(got.sha256, b.sha256);
    assert_ok(blob_ref_get(s, id_of(1), "trained", &got, &err));
    assert_string_equal(got.sha256, a.sha256);
}

static void what_nothing_refers_to_goes_after_the_grace_period(void **state)
{
    struct fixture *f = *state;
    struct store *s = f->store;
    struct error err;
    struct blob a, b;
    int64_t removed = 0;
    assert_ok(blob_put(s, "aaa", 3, T0, &a, &err));
    assert_ok(blob_put(s, "bbb", 3, T0, &b, &err));
    CLEANUP(json_decrefp) json_t *body = json_object();
    struct blob_ref ref = {"x", a.sha256};
    struct new_document d = {.id = id_of(1), .type = "solver", .body = body, .blobs = &ref, .n_blobs = 1};
    assert_ok(documents_create(s, ALICE, &d, 1, NULL, T0, NULL, &err));
    assert_ok(blob_collect(s, T0 + 1000, 1000, &removed, &err));
    assert_int_equal(removed, 0);
    assert_ok(blob_collect(s, T0 + 1001, 1000, &removed, &err));
    assert_int_equal(removed, 1);
    assert_int_equal(count_files(f, "."), 1);
    assert_int_equal(blob_ref_set_for(s, ALICE, id_of(1), "y", b.sha256, T0, &err), NOT_FOUND);
    assert_ok(document_delete(s, ALICE, id_of(1), 0, T0, NULL, NULL, &err));
    assert_ok(store_tick(s, T0 + 86400000 + 1, NULL, &err));
    assert_int_equal(count_files(f, "."), 0);
    assert_ok(blob_put(s, "aaa", 3, T0, &a, &err));
    assert_ok(blob_open(s, a.sha256, &(int){-1}, &removed, &err));
}

static void a_file_without_a_row_goes_after_twice_the_grace_period(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct blob blob;
    int64_t removed = 0;
    assert_ok(blob_put(f->store, "abc", 3, T0, &blob, &err));
    CLEANUP(freep) char *stray = xasprintf("%s/sha256/ba/%062d", f->blobs, 7);
    assert_ok(file_write(stray, "x", 1, 0600, &err));
    struct timespec times[2] = {{.tv_sec = T0 / 1000}, {.tv_sec = T0 / 1000}};
    assert_int_equal(utimensat(AT_FDCWD, stray, times, 0), 0);
    assert_ok(blob_collect(f->store, T0 + 2000, 1000, &removed, &err));
    assert_int_equal(removed, 1); /* abc, by its row */
    assert_int_equal(count_files(f, "."), 1);
    assert_ok(blob_collect(f->store, T0 + 2001, 1000, &removed, &err));
    assert_int_equal(removed, 1);
    assert_int_equal(count_files(f, "."), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, disarm_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(bytes_come_back_under_their_digests),
        T(unknown_and_strange_names_are_not_found),
        T(an_aborted_or_wrong_put_leaves_nothing),
        T(a_full_disk_is_no_space_and_leaves_nothing),
        T(what_a_crash_left_is_cleaned_but_not_a_put_under_way),
        T(the_same_bytes_put_at_once_are_one_blob),
        T(documents_have_blobs_by_name),
        T(the_holder_of_a_lease_gives_its_document_blobs),
        T(what_nothing_refers_to_goes_after_the_grace_period),
        T(a_file_without_a_row_goes_after_twice_the_grace_period),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
