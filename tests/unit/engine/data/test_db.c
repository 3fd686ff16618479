#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data_test.h"

static const enum db_backend backends[] = {DB_LMDB, DB_LEVELDB};

static void put(struct db_writer *w, const char *key, const char *value)
{
    struct error err;
    assert_ok(db_put(w, key, value, strlen(value), &err));
}

static void expect(const struct db *db, const char *value)
{
    const void *bytes;
    size_t size;
    assert_false(db_at_end(db));
    db_record(db, &bytes, &size);
    assert_int_equal(size, strlen(value));
    assert_memory_equal(bytes, value, size);
}

static void records_come_back_in_key_order(void **state)
{
    (void)state;
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
        CLEANUP(freep) char *folder = test_folder();
        CLEANUP(freep) char *path = path_join(folder, "db");
        struct db_writer *w;
        assert_ok(db_create(backends[i], path, &w, &err));
        put(w, "b", "two");
        put(w, "c", "");
        put(w, "a", "one");
        assert_ok(db_commit(w, &err));
        db_writer_free(w);
        struct db *db;
        assert_ok(db_open(backends[i], path, &db, &err));
        for (int round = 0; round < 2; round++) {
            expect(db, "one");
            assert_ok(db_next(db, &err));
            expect(db, "two");
            assert_ok(db_next(db, &err));
            expect(db, "");
            assert_ok(db_next(db, &err));
            assert_true(db_at_end(db));
            assert_ok(db_rewind(db, &err));
        }
        db_close(db);
        dir_remove(folder, NULL);
    }
}

/* 2,500 records of 4,000 bytes pass LMDB's first map of 1 MiB several times over. */
static void large_databases_grow(void **state)
{
    (void)state;
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
        CLEANUP(freep) char *folder = test_folder();
        CLEANUP(freep) char *path = path_join(folder, "db");
        struct db_writer *w;
        char value[4000] = {0};
        assert_ok(db_create(backends[i], path, &w, &err));
        for (int k = 0; k < 2500; k++) {
            char key[16];
            snprintf(key, sizeof(key), "%08d", k);
            memcpy(value, key, 8);
            assert_ok(db_put(w, key, value, sizeof(value), &err));
        }
        assert_ok(db_commit(w, &err));
        db_writer_free(w);
        struct db *db;
        assert_ok(db_open(backends[i], path, &db, &err));
        int n = 0;
        for (; !db_at_end(db); n++) {
            const void *bytes;
            size_t size;
            db_record(db, &bytes, &size);
            assert_int_equal(size, sizeof(value));
            assert_int_equal(strtol(strndupa(bytes, 8), NULL, 10), n);
            assert_ok(db_next(db, &err));
        }
        assert_int_equal(n, 2500);
        db_close(db);
        dir_remove(folder, NULL);
    }
}

static void one_database_is_open_twice_in_a_process(void **state)
{
    (void)state;
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
        CLEANUP(freep) char *folder = test_folder();
        CLEANUP(freep) char *path = path_join(folder, "db");
        CLEANUP(freep) char *other_name = path_join(folder, "./db/");
        make_pairs_db(backends[i], path, 3);
        struct db *train, *test;
        assert_ok(db_open(backends[i], path, &train, &err));
        assert_ok(db_next(train, &err));
        assert_ok(db_open(backends[i], other_name, &test, &err));
        assert_ok(db_next(train, &err));
        assert_ok(db_next(train, &err));
        assert_true(db_at_end(train));
        assert_false(db_at_end(test));
        db_close(train);
        assert_ok(db_next(test, &err));
        assert_false(db_at_end(test));
        db_close(test);
        dir_remove(folder, NULL);
    }
}

static void what_exists_is_not_overwritten(void **state)
{
    (void)state;
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
        CLEANUP(freep) char *folder = test_folder();
        struct db_writer *w;
        assert_int_equal(db_create(backends[i], folder, &w, &err), CONFLICT);
        assert_non_null(strstr(err.message, folder));
        dir_remove(folder, NULL);
    }
}

static void what_is_no_database_is_refused(void **state)
{
    (void)state;
    struct error err;
    struct db *db;
    for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
        CLEANUP(freep) char *folder = test_folder();
        assert_int_equal(db_open(backends[i], "/nonexistent/db", &db, &err), NOT_FOUND);
        assert_int_not_equal(db_open(backends[i], folder, &db, &err), OK);
        write_text(folder, "data.mdb", "this is no LMDB, however long it may be made for the sake of a test");
        assert_int_equal(db_open(backends[i], folder, &db, &err), INVALID);
        dir_remove(folder, NULL);
    }
}

static void an_empty_database_is_refused(void **state)
{
    (void)state;
    struct error err;
    struct db *db;
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *path = path_join(folder, "db");
    struct db_writer *w;
    assert_ok(db_create(DB_LEVELDB, path, &w, &err));
    db_writer_free(w);
    assert_int_equal(db_open(DB_LEVELDB, path, &db, &err), INVALID);
    assert_non_null(strstr(err.message, "has no records"));
    dir_remove(folder, NULL);
}

static void an_lmdb_cut_short_is_refused_rather_than_read(void **state)
{
    (void)state;
    struct error err;
    struct db *db;
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *path = path_join(folder, "db");
    CLEANUP(freep) char *file = path_join(path, "data.mdb");
    make_pairs_db(DB_LMDB, path, 2000);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(truncate(file, st.st_size - 8192), 0);
    assert_int_equal(db_open(DB_LMDB, path, &db, &err), INVALID);
    assert_non_null(strstr(err.message, "cut short"));
    dir_remove(folder, NULL);
}

/* Bytes of the file that LMDB itself would follow out of it, or end the process for. */
static void a_damaged_lmdb_is_refused_rather_than_followed(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        off_t at; /* from the start of the page */
        bool in_meta;
        unsigned char bytes[2];
    } rows[] = {
        {"magic", 16, true, {0, 0}},
        {"page size", 40, true, {0, 0}},
        {"several values a key", 92, true, {4, 0}},
        {"depth", 94, true, {77, 0}},
        {"root", 128, true, {0xff, 0x7f}},
        {"kind of the root page", 10, false, {1, 0}},
        {"number of nodes", 12, false, {0xff, 0xff}},
        {"place of a node", 16, false, {0xff, 0x0f}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err;
        struct db *db;
        CLEANUP(freep) char *folder = test_folder();
        CLEANUP(freep) char *path = path_join(folder, "db");
        CLEANUP(freep) char *file = path_join(path, "data.mdb");
        make_pairs_db(DB_LMDB, path, 3);
        CLEANUP(fd_closep) int fd = open(file, O_RDWR | O_CLOEXEC);
        uint64_t transactions[2], root;
        for (int meta = 0; meta < 2; meta++)
            assert_int_equal(pread(fd, &transactions[meta], 8, meta * 4096 + 144), 8);
        off_t meta = transactions[0] < transactions[1] ? 4096 : 0;
        assert_int_equal(pread(fd, &root, 8, meta + 128), 8);
        for (int page = 0; page < 2 && rows[i].in_meta; page++)
            assert_int_equal(pwrite(fd, rows[i].bytes, 2, page * 4096 + rows[i].at), 2);
        if (!rows[i].in_meta)
            assert_int_equal(pwrite(fd, rows[i].bytes, 2, (off_t)root * 4096 + rows[i].at), 2);
        if (db_open(DB_LMDB, path, &db, &err) != INVALID)
            fail_msg("%s: not refused", rows[i].what);
        dir_remove(folder, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_back_in_key_order),
        cmocka_unit_test(large_databases_grow),
        cmocka_unit_test(one_database_is_open_twice_in_a_process),
        cmocka_unit_test(what_exists_is_not_overwritten),
        cmocka_unit_test(what_is_no_database_is_refused),
        cmocka_unit_test(an_empty_database_is_refused),
        cmocka_unit_test(an_lmdb_cut_short_is_refused_rather_than_read),
        cmocka_unit_test(a_damaged_lmdb_is_refused_rather_than_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
