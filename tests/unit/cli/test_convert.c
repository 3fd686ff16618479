#include <unistd.h>
#include <zlib.h>

#include "../test.h"
#include "cli/commands.h"
#include "engine/data/db.h"
#include "engine/data/image.h"
#include "netdef/caffe.pb-c.h"

static char *old_folder, *folder;
static int old_stdout;

/*
 * The commands take relative names: each test runs in a folder of its own.
 * What they print goes to stderr, away from the test's protocol.
 */
static int enter_folder(void **state)
{
    (void)state;
    fflush(stdout);
    old_stdout = dup(STDOUT_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    old_folder = getcwd(NULL, 0);
    folder = test_folder();
    return chdir(folder);
}

static int leave_folder(void **state)
{
    (void)state;
    fflush(stdout);
    dup2(old_stdout, STDOUT_FILENO);
    close(old_stdout);
    int rc = chdir(old_folder);
    dir_remove(folder, NULL);
    free(folder);
    free(old_folder);
    return rc;
}

#define ARGV(...)         ((char *[]){__VA_ARGS__, NULL})
#define RUN(command, ...) command((int)(sizeof(ARGV(__VA_ARGS__)) / sizeof(char *)) - 1, ARGV(__VA_ARGS__))

static void write_bytes(const char *path, const void *bytes, size_t size, bool gzipped)
{
    gzFile file = gzopen(path, gzipped ? "wb" : "wbT");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, (unsigned)size), (int)size);
    assert_int_equal(gzclose(file), Z_OK);
}

/* Two images of 1 row and 2 columns, labels 7 and 3. */
static const uint8_t images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 10, 20, 30, 40};
static const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 7, 3};

static void expect_record(struct db *db, const uint8_t *want, size_t size)
{
    const void *bytes;
    size_t got;
    assert_false(db_at_end(db));
    db_record(db, &bytes, &got);
    assert_int_equal(got, size);
    assert_memory_equal(bytes, want, size);
}

/* Datum by protobuf's wire format: channels 1, height 1, width 2, data, label. */
static void mnist_becomes_the_records_that_caffe_writes(void **state)
{
    (void)state;
    static const uint8_t first[] = {0x08, 1, 0x10, 1, 0x18, 2, 0x22, 2, 10, 20, 0x28, 7};
    static const uint8_t second[] = {0x08, 1, 0x10, 1, 0x18, 2, 0x22, 2, 30, 40, 0x28, 3};
    static const struct {
        const char *flag;
        enum db_backend backend;
        bool gzipped;
    } rows[] = {{"--backend=lmdb", DB_LMDB, false}, {"--backend=leveldb", DB_LEVELDB, true}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err;
        struct db *db;
        write_bytes("images", images, sizeof(images), rows[i].gzipped);
        write_bytes("labels", labels, sizeof(labels), rows[i].gzipped);
        char out[] = "db0";
        out[2] = (char)('0' + i);
        assert_int_equal(RUN(command_convert_mnist, (char *)"convert-mnist", (char *)rows[i].flag,
                             (char *)"images", (char *)"labels", out),
                         EXIT_DONE);
        assert_ok(db_open(rows[i].backend, out, &db, &err));
        expect_record(db, first, sizeof(first));
        assert_ok(db_next(db, &err));
        expect_record(db, second, sizeof(second));
        assert_ok(db_next(db, &err));
        assert_true(db_at_end(db));
        db_close(db);
    }
}

static void damaged_mnist_files_leave_no_database(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        size_t image_bytes, label_bytes;
        int at, value; /* one byte of the images changed; -1: none */
    } rows[] = {
        {"an image cut short", sizeof(images) - 1, sizeof(labels), -1, 0},
        {"a label missing", sizeof(images), sizeof(labels) - 1, -1, 0},
        {"a head cut short", 3, sizeof(labels), -1, 0},
        {"another magic number", sizeof(images), sizeof(labels), 3, 1},
        {"more images than labels", sizeof(images), sizeof(labels), 7, 3},
        {"images without rows", sizeof(images), sizeof(labels), 11, 0},
        {"images too large for this world", sizeof(images), sizeof(labels), 8, 0xff},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        print_message("# %s\n", rows[i].what);
        uint8_t changed[sizeof(images)];
        memcpy(changed, images, sizeof(images));
        if (rows[i].at >= 0)
            changed[rows[i].at] = (uint8_t)rows[i].value;
        write_bytes("images", changed, rows[i].image_bytes, false);
        write_bytes("labels", labels, rows[i].label_bytes, false);
        assert_int_equal(RUN(command_convert_mnist, (char *)"convert-mnist", (char *)"images",
                             (char *)"labels", (char *)"db"),
                         EXIT_WORK_FAILED);
        assert_int_not_equal(access("db", F_OK), 0);
    }
}

static void an_existing_database_is_kept(void **state)
{
    (void)state;
    write_bytes("images", images, sizeof(images), false);
    write_bytes("labels", labels, sizeof(labels), false);
    assert_int_equal(dir_make("db/inside", NULL), OK);
    assert_int_equal(
        RUN(command_convert_mnist, (char *)"convert-mnist", (char *)"images", (char *)"labels", (char *)"db"),
        EXIT_WORK_FAILED);
    assert_int_equal(access("db/inside", F_OK), 0);
}

static void wrong_usage_is_told_apart_from_failure(void **state)
{
    (void)state;
    char *const mnist = (char *)"convert-mnist", *const imageset = (char *)"convert-imageset";
    char *const a = (char *)"a";
    assert_int_equal(RUN(command_convert_mnist, mnist, a, a), EXIT_USAGE);
    assert_int_equal(RUN(command_convert_mnist, mnist, (char *)"--backend=bdb", a, a, a), EXIT_USAGE);
    assert_int_equal(RUN(command_convert_mnist, mnist, (char *)"--nonsense", a, a, a), EXIT_USAGE);
    assert_int_equal(RUN(command_convert_mnist, mnist, (char *)"--help"), EXIT_DONE);
    assert_int_equal(RUN(command_convert_mnist, mnist, a, a, a), EXIT_WORK_FAILED);
    assert_int_equal(RUN(command_convert_imageset, imageset, a, a), EXIT_USAGE);
    assert_int_equal(RUN(command_convert_imageset, imageset, (char *)"--resize_width=3", a, a, a),
                     EXIT_USAGE);
    assert_int_equal(RUN(command_convert_imageset, imageset, (char *)"--encode_type=gif", a, a, a),
                     EXIT_USAGE);
    assert_int_equal(RUN(command_convert_imageset, imageset, (char *)"--help"), EXIT_DONE);
    assert_int_equal(RUN(command_convert_imageset, imageset, a, a, a), EXIT_WORK_FAILED);
}

/* ---- convert-imageset ---- */

/* A PNG of 1 row and 2 columns: blue, green, red of both pixels. */
static void write_png(const char *path, uint8_t bgr[6], int width)
{
    struct error err;
    CLEANUP(freep) char *bytes = NULL;
    size_t size;
    struct image image = {1, width, 3, bgr};
    assert_ok(image_encode(&image, IMAGE_PNG, &bytes, &size, &err));
    assert_ok(file_write(path, bytes, size, 0644, &err));
}

static void write_list(const char *text)
{
    struct error err;
    assert_ok(file_write("list", text, strlen(text), 0644, &err));
}

/* channels 3, height 1, width 2, six bytes by channel, label, encoded false. */
static void images_become_records_by_channel_and_bad_ones_are_left_out(void **state)
{
    (void)state;
    static const uint8_t want[] = {0x08, 3, 0x10, 1, 0x18, 2, 0x22, 6, 1, 4, 2, 5, 3, 6, 0x28, 9, 0x38, 0};
    struct error err;
    struct db *db;
    assert_int_equal(dir_make("img", NULL), OK);
    write_png("img/a.png", (uint8_t[]){1, 2, 3, 4, 5, 6}, 2);
    write_list("missing.png 1\na.png 9\nlist 3\n");
    char *const name = (char *)"convert-imageset";
    assert_int_equal(RUN(command_convert_imageset, name, (char *)"img/", (char *)"list", (char *)"db"),
                     EXIT_DONE);
    assert_ok(db_open(DB_LMDB, "db", &db, &err));
    expect_record(db, want, sizeof(want));
    assert_ok(db_next(db, &err));
    assert_true(db_at_end(db));
    db_close(db);

    write_list("missing.png 1\n");
    assert_int_equal(RUN(command_convert_imageset, name, (char *)"img/", (char *)"list", (char *)"db2"),
                     EXIT_WORK_FAILED);
    assert_int_not_equal(access("db2", F_OK), 0);
}

/* Both pixels are grey already, so that grey keeps their values; the mean of two columns is 30. */
static void flags_make_images_grey_and_of_one_size(void **state)
{
    (void)state;
    static const uint8_t want[] = {0x08, 1, 0x10, 1, 0x18, 1, 0x22, 1, 30, 0x28, 4, 0x38, 0};
    struct error err;
    struct db *db;
    write_png("a.png", (uint8_t[]){20, 20, 20, 40, 40, 40}, 2);
    write_list("a.png 4\n");
    assert_int_equal(RUN(command_convert_imageset, (char *)"convert-imageset", (char *)"--gray",
                         (char *)"--resize_width=1", (char *)"--resize_height=1", (char *)"--backend=leveldb",
                         (char *)"./", (char *)"list", (char *)"db"),
                     EXIT_DONE);
    assert_ok(db_open(DB_LEVELDB, "db", &db, &err));
    expect_record(db, want, sizeof(want));
    db_close(db);
}

static void encoded_records_hold_the_file_as_it_is(void **state)
{
    (void)state;
    struct error err;
    struct db *db;
    write_png("a.png", (uint8_t[]){1, 2, 3, 4, 5, 6}, 2);
    write_list("a.png 4\n");
    assert_int_equal(RUN(command_convert_imageset, (char *)"convert-imageset", (char *)"--encoded",
                         (char *)"./", (char *)"list", (char *)"db"),
                     EXIT_DONE);
    CLEANUP(freep) char *file = NULL;
    size_t file_size, size;
    const void *bytes;
    assert_ok(file_read("a.png", 1 << 20, &file, &file_size, &err));
    assert_ok(db_open(DB_LMDB, "db", &db, &err));
    db_record(db, &bytes, &size);
    Caffe__Datum *datum = caffe__datum__unpack(NULL, size, bytes);
    assert_non_null(datum);
    assert_true(datum->encoded);
    assert_int_equal(datum->label, 4);
    assert_int_equal(datum->data.len, file_size);
    assert_memory_equal(datum->data.data, file, file_size);
    caffe__datum__free_unpacked(datum, NULL);
    db_close(db);
}

static void check_size_ends_at_the_first_image_that_differs(void **state)
{
    (void)state;
    write_png("a.png", (uint8_t[]){1, 2, 3, 4, 5, 6}, 2);
    write_png("b.png", (uint8_t[]){1, 2, 3, 4, 5, 6}, 1);
    write_list("a.png 1\nb.png 2\n");
    char *const name = (char *)"convert-imageset";
    assert_int_equal(RUN(command_convert_imageset, name, (char *)"--check_size", (char *)"./", (char *)"list",
                         (char *)"db"),
                     EXIT_WORK_FAILED);
    assert_int_not_equal(access("db", F_OK), 0);
    assert_int_equal(RUN(command_convert_imageset, name, (char *)"--check_size=false", (char *)"./",
                         (char *)"list", (char *)"db"),
                     EXIT_DONE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_folder, leave_folder)
    const struct CMUnitTest tests[] = {
        TEST(mnist_becomes_the_records_that_caffe_writes),
        TEST(damaged_mnist_files_leave_no_database),
        TEST(an_existing_database_is_kept),
        TEST(wrong_usage_is_told_apart_from_failure),
        TEST(images_become_records_by_channel_and_bad_ones_are_left_out),
        TEST(flags_make_images_grey_and_of_one_size),
        TEST(encoded_records_hold_the_file_as_it_is),
        TEST(check_size_ends_at_the_first_image_that_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
