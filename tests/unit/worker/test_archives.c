#include "../test.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/archives.h"

/* One entry of an archive that a test makes. */
struct row {
    const char *path;
    unsigned kind;    /* AE_IFREG... */
    const char *data; /* of a file; the target of a link */
    bool hard;
};

enum packing { TAR, TAR_GZ, TAR_BZ2, TAR_XZ, TAR_ZST, ZIP };

static int make_archive(enum packing packing, const struct row *rows)
{
    int fd = fileno(tmpfile()); /* closed with the process */
    struct archive *a = archive_write_new();
    if (packing == TAR_GZ)
        archive_write_add_filter_gzip(a);
    if (packing == TAR_BZ2)
        archive_write_add_filter_bzip2(a);
    if (packing == TAR_XZ)
        archive_write_add_filter_xz(a);
    if (packing == TAR_ZST)
        archive_write_add_filter_zstd(a);
    if (packing == ZIP)
        archive_write_set_format_zip(a);
    else
        archive_write_set_format_gnutar(a);
    assert_int_equal(archive_write_open_fd(a, fd), ARCHIVE_OK);
    for (; rows->path; rows++) {
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, rows->path);
        archive_entry_set_filetype(e, rows->kind);
        archive_entry_set_perm(e, 0644);
        archive_entry_set_size(e, 0);
        if (rows->hard)
            archive_entry_set_hardlink(e, rows->data);
        else if (rows->kind == AE_IFLNK)
            archive_entry_set_symlink(e, rows->data);
        else if (rows->kind == AE_IFREG)
            archive_entry_set_size(e, (la_int64_t)strlen(rows->data));
        assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
        if (rows->kind == AE_IFREG && !rows->hard)
            archive_write_data(a, rows->data, strlen(rows->data));
        archive_entry_free(e);
    }
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
    return fd;
}

/* Reads all of it into `seen`: "path=data;" for files, "path/;" for folders. */
static enum status read_archive(int fd, const struct archive_limits *limits, struct buf *seen,
                                struct error *err)
{
    CLEANUP(archive_reader_freep) struct archive_reader *r = NULL;
    TRY(archive_reader_open(fd, "x", limits, &r, err));
    for (;;) {
        struct archive_item item;
        bool more;
        TRY(archive_reader_next(r, &item, &more, err));
        if (!more)
            return OK;
        CLEANUP(freep) char *data = NULL;
        TRY(archive_reader_read_all(r, 1 << 20, &data, &(size_t){0}, err));
        buf_printf(seen, item.is_folder ? "%s/;" : "%s=%s;", item.path, data);
    }
}

static void every_kind_is_told_by_its_content(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"A/", AE_IFDIR, "", 0},
        {"./A//x", AE_IFREG, "1", 0},
        {"B/y z", AE_IFREG, "22", 0},
        {0},
    };
    for (enum packing p = TAR; p <= ZIP; p++) {
        struct error err = {0};
        struct buf seen;
        buf_init(&seen, 1000);
        int fd = make_archive(p, rows);
        assert_ok(read_archive(fd, NULL, &seen, &err));
        assert_string_equal(seen.data, "A/;A/x=1;B/y z=22;");
        buf_release(&seen);
    }
}

static void what_an_operating_system_leaves_behind_is_passed_over(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"._A", AE_IFREG, "m", 0},        {"A/._x", AE_IFREG, "m", 0},
        {"A/x", AE_IFREG, "1", 0},        {"A/.DS_Store", AE_IFREG, "m", 0},
        {"__MACOSX/", AE_IFDIR, "", 0},   {"__MACOSX/A/x", AE_IFREG, "m", 0},
        {"A/Thumbs.db", AE_IFREG, "", 0}, {0},
    };
    struct error err = {0};
    struct buf seen;
    buf_init(&seen, 1000);
    assert_ok(read_archive(make_archive(TAR_GZ, rows), NULL, &seen, &err));
    assert_string_equal(seen.data, "A/x=1;");
    buf_release(&seen);
}

static void evil_entries_are_refused_by_name(void **state)
{
    (void)state;
    char deep[67], wide[257], lengthy[1046];
    for (size_t k = 0; k < sizeof(deep); k++)
        deep[k] = k % 2 ? '/' : 'd'; /* 32 folders and a file */
    deep[sizeof(deep) - 1] = '\0';
    memset(wide, 'w', sizeof(wide) - 1);
    wide[sizeof(wide) - 1] = '\0';
    for (size_t k = 0; k < sizeof(lengthy); k++)
        lengthy[k] = k % 201 == 200 ? '/' : 'l';
    lengthy[sizeof(lengthy) - 1] = '\0';
    const struct {
        struct row row;
        const char *why;
    } rows[] = {
        {{"/etc/passwd", AE_IFREG, "x", 0}, "'/etc/passwd' has an absolute path"},
        {{"../x", AE_IFREG, "x", 0}, "'../x' has '..' in its path"},
        {{"a/../../x", AE_IFREG, "x", 0}, "has '..' in its path"},
        {{"a/..", AE_IFDIR, "", 0}, "has '..' in its path"},
        {{"link", AE_IFLNK, "/etc", 0}, "'link' is a symbolic link"},
        {{"hard", AE_IFREG, "/etc/passwd", 1}, "'hard' is a hard link"},
        {{"dev", AE_IFCHR, "", 0}, "'dev' is a device"},
        {{"disk", AE_IFBLK, "", 0}, "'disk' is a device"},
        {{"pipe", AE_IFIFO, "", 0}, "'pipe' is a fifo"},
        {{"a\nb", AE_IFREG, "x", 0}, "control character"},
        {{deep, AE_IFREG, "x", 0}, "more than 32 folders deep"},
        {{wide, AE_IFREG, "x", 0}, "more than 255 bytes"},
        {{lengthy, AE_IFREG, "x", 0}, "more than 1024 bytes"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        struct buf seen;
        buf_init(&seen, 1000);
        const struct row list[] = {{"A/x", AE_IFREG, "1", 0}, rows[i].row, {0}};
        assert_int_equal(read_archive(make_archive(TAR_GZ, list), NULL, &seen, &err), INVALID);
        if (!strstr(err.message, rows[i].why))
            fail_msg("'%s' lacks '%s'", err.message, rows[i].why);
        buf_release(&seen);
    }
}

static void what_is_no_archive_or_cut_short_says_so(void **state)
{
    (void)state;
    struct error err = {0};
    struct buf seen;
    buf_init(&seen, 1 << 20);
    static const char *const texts[] = {"", "hello", "\x1f\x8b\x08garbage after the magic number"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        int fd = fileno(tmpfile());
        assert_int_equal(fd_write_all(fd, texts[i], strlen(texts[i])), 0);
        enum status status = read_archive(fd, NULL, &seen, &err);
        if (status != INVALID || !strstr(err.message, "'x' is not an archive"))
            fail_msg("'%s': %s: %s", texts[i], status_name(status), err.message);
    }
    /* Bytes that do not shrink, so that half the file is half the archive. */
    char noise[200001];
    uint32_t n = 1;
    for (size_t i = 0; i < sizeof(noise) - 1; i++)
        noise[i] = (char)('!' + (n = n * 1664525 + 1013904223) / 65536 % 90);
    noise[200000] = '\0';
    const struct row rows[] = {
        {"A/x", AE_IFREG, "1", 0}, {"A/y", AE_IFREG, noise, 0}, {"A/z", AE_IFREG, noise, 0}, {0}};
    for (enum packing p = TAR_GZ; p <= TAR_ZST; p++) {
        int fd = make_archive(p, rows);
        assert_int_equal(ftruncate(fd, lseek(fd, 0, SEEK_END) * 3 / 4), 0);
        assert_int_equal(read_archive(fd, NULL, &seen, &err), INVALID);
        if (!strstr(err.message, "cut short or damaged") && !strstr(err.message, "is not an archive"))
            fail_msg("kind %d: %s", p, err.message);
        if (p == TAR_GZ && !strstr(err.message, "'A/"))
            fail_msg("%s", err.message);
    }
    buf_release(&seen);
}

static void bombs_end_at_their_limit(void **state)
{
    (void)state;
    struct error err = {0};
    struct buf seen;
    buf_init(&seen, 10 << 20);
    CLEANUP(freep) char *zeros = xmalloc((1 << 20) + 1);
    memset(zeros, '0', 1 << 20);
    zeros[1 << 20] = '\0';
    const struct row rows[] = {{"A/x", AE_IFREG, zeros, 0}, {"A/y", AE_IFREG, zeros, 0}, {0}};
    for (enum packing p = TAR_GZ; p <= ZIP; p++) {
        int fd = make_archive(p, rows);
        struct archive_limits limits = {.max_bytes = 3 << 20};
        assert_ok(read_archive(fd, &limits, &seen, &err));
        limits.max_bytes = 1500000;
        assert_int_equal(read_archive(fd, &limits, &seen, &err), TOO_LARGE);
        assert_non_null(strstr(err.message, "'A/y'"));
        limits = (struct archive_limits){.max_entries = 1};
        assert_int_equal(read_archive(fd, &limits, &seen, &err), TOO_LARGE);
    }
    buf_release(&seen);
}

/* 1.5 GiB of zeros in 1.5 MiB: past 1 GiB an archive may expand 200 times, this one does 1,000 times. */
static void an_archive_that_expands_too_much_is_refused(void **state)
{
    (void)state;
    struct error err = {0};
    int fd = fileno(tmpfile());
    struct archive *a = archive_write_new();
    archive_write_add_filter_gzip(a);
    archive_write_set_filter_option(a, "gzip", "compression-level", "1");
    archive_write_set_format_gnutar(a);
    archive_write_open_fd(a, fd);
    CLEANUP(freep) char *zeros = xcalloc(1, 16 << 20);
    for (int i = 0; i < 70; i++) {
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, "A/x");
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_size(e, 16 << 20);
        assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
        archive_write_data(a, zeros, 16 << 20);
        archive_entry_free(e);
    }
    archive_write_close(a);
    archive_write_free(a);
    CLEANUP(archive_reader_freep) struct archive_reader *r = NULL;
    assert_ok(archive_reader_open(fd, "x", NULL, &r, &err));
    enum status status = OK;
    bool more = true;
    int n = 0;
    struct archive_item item;
    while (status == OK && more && (status = archive_reader_next(r, &item, &more, &err)) == OK)
        n += more;
    assert_int_equal(status, TOO_LARGE);
    assert_int_equal(n, 64); /* 1 GiB */
}

static void extracting_stays_inside_its_folder(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *outside = test_folder();
    CLEANUP(freep) char *trap = path_join(folder, "trap");
    assert_int_equal(symlink(outside, trap), 0);
    CLEANUP(fd_closep) int at = open(folder, O_RDONLY | O_DIRECTORY);
    static const struct {
        struct row rows[3];
        enum status status;
        const char *what;
    } rows[] = {
        {{{"A/x", AE_IFREG, "1", 0}, {"A/B/y", AE_IFREG, "22", 0}}, OK, ""},
        {{{"A/x", AE_IFREG, "new", 0}, {"E/", AE_IFDIR, "", 0}}, OK, ""},
        {{{"trap/x", AE_IFREG, "1", 0}}, INVALID, "'trap/x' lies in a folder that another entry made a file"},
        {{{"f", AE_IFREG, "1", 0}, {"f/x", AE_IFREG, "1", 0}}, INVALID, "'f/x' lies in a folder"},
        {{{"d/", AE_IFDIR, "", 0}, {"d", AE_IFREG, "1", 0}}, INVALID, "'d' is a file where"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(archive_reader_freep) struct archive_reader *r = NULL;
        assert_ok(archive_reader_open(make_archive(TAR, rows[i].rows), "x", NULL, &r, &err));
        struct archive_item item;
        bool more = true;
        enum status status = OK;
        while (status == OK && (status = archive_reader_next(r, &item, &more, &err)) == OK && more)
            status = archive_reader_extract(r, at, &err);
        if (status != rows[i].status || (status && !strstr(err.message, rows[i].what)))
            fail_msg("row %zu: %s: %s", i, status_name(status), err.message);
    }
    CLEANUP(freep) char *x = path_join(folder, "A/x");
    CLEANUP(freep) char *bytes = NULL;
    size_t size;
    assert_ok(file_read(x, 100, &bytes, &size, &err));
    assert_string_equal(bytes, "new");
    assert_int_equal(rmdir(outside), 0); /* empty still */
    assert_ok(dir_remove(folder, &err));
}

static void what_is_written_is_read_back_and_is_always_the_same(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *bytes[2] = {NULL, NULL};
    char name[300];
    memset(name, 'n', 250);
    memcpy(name + 250, "/\xc3\xa9.png", 8);
    size_t size[2];
    for (int i = 0; i < 2; i++) {
        CLEANUP(freep) char *path = path_join(folder, "t.tar.gz");
        CLEANUP(archive_writer_freep) struct archive_writer *w = NULL;
        assert_ok(archive_writer_open(path, ARCHIVE_GZIP, &w, &err));
        assert_ok(archive_writer_begin(w, "A/x", 3, &err));
        assert_ok(archive_writer_data(w, "ab", 2, &err));
        assert_ok(archive_writer_data(w, "c", 1, &err));
        assert_ok(archive_writer_begin(w, name, 0, &err));
        assert_ok(archive_writer_finish(w, &err));
        assert_ok(file_read(path, 100000, &bytes[i], &size[i], &err));
        struct buf seen;
        buf_init(&seen, 1000);
        CLEANUP(fd_closep) int fd = open(path, O_RDONLY);
        assert_ok(read_archive(fd, NULL, &seen, &err));
        assert_memory_equal(seen.data, "A/x=abc;n", 9);
        assert_non_null(strstr(seen.data, "n/\xc3\xa9.png=;"));
        buf_release(&seen);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(bytes[0], bytes[1], size[0]);
    free(bytes[1]);
    bytes[1] = NULL;
    assert_ok(dir_remove(folder, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_told_by_its_content),
        cmocka_unit_test(what_an_operating_system_leaves_behind_is_passed_over),
        cmocka_unit_test(evil_entries_are_refused_by_name),
        cmocka_unit_test(what_is_no_archive_or_cut_short_says_so),
        cmocka_unit_test(bombs_end_at_their_limit),
        cmocka_unit_test(an_archive_that_expands_too_much_is_refused),
        cmocka_unit_test(extracting_stays_inside_its_folder),
        cmocka_unit_test(what_is_written_is_read_back_and_is_always_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
