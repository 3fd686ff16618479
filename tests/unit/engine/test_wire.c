#include "../test.h"

#include <unistd.h>

#include "base/file.h"
#include "engine/wire.h"

/* Bytes by hand after protobuf's encoding: tag = number << 3 | type, then a length, then the content. */
static const char written[] = "\x08\x07"                        /* iter: 7 */
                              "\x1a\x10"                        /* history: 16 bytes */
                              "\x3a\x04\x0a\x02\x02\x01"        /* shape: dims 2, 1 */
                              "\x2a\x08\0\0\x80\x3f\0\0\0\xc0"; /* data: 1, -2 */

static enum status write_state(const char *path, bool finish, struct error *err)
{
    CLEANUP(wire_freep) struct wire_file *file = NULL;
    TRY(wire_create(path, &file, err));
    Caffe__SolverState head = CAFFE__SOLVER_STATE__INIT;
    head.has_iter = true;
    head.iter = 7;
    TRY(wire_put(file, &head.base, err));
    const struct shape shape = {.n_axes = 2, .dim = {2, 1}};
    assert_int_equal(wire_blob_bytes(3, &shape, 1), sizeof(written) - 1 - 2);
    TRY(wire_put_blob(file, 3, &shape, 1, err));
    TRY(wire_put_floats(file, WIRE_BLOB_DATA, (const float[]){1, -2}, 2, err));
    return finish ? wire_finish(file, err) : OK;
}

static void parts_are_written_as_protobuf_encodes_them(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *path = path_join(folder, "state");
    CLEANUP(freep) char *bytes = NULL;
    size_t size;
    assert_ok(write_state(path, true, &err));
    assert_ok(file_read(path, 1000, &bytes, &size, &err));
    assert_int_equal(size, sizeof(written) - 1);
    assert_memory_equal(bytes, written, size);
    assert_ok(dir_remove(folder, &err));
}

static void a_file_that_is_not_finished_is_gone(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *path = path_join(folder, "state");
    assert_ok(write_state(path, false, &err));
    assert_int_equal(rmdir(folder), 0);
}

static void a_file_that_would_have_2_gib_is_refused(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *path = path_join(folder, "state");
    CLEANUP(wire_freep) struct wire_file *file = NULL;
    assert_ok(wire_create(path, &file, &err));
    const struct shape shape = {.n_axes = 2, .dim = {1 << 15, 1 << 14}};
    assert_int_equal(wire_put_blob(file, 3, &shape, 1, &err), TOO_LARGE);
    assert_non_null(strstr(err.message, "use snapshot_format: HDF5"));
    wire_freep(&file);
    assert_int_equal(rmdir(folder), 0);
}

struct taken {
    int n;
    size_t sizes[4];
};

static enum status take(void *context, const uint8_t *bytes, size_t size, struct error *err)
{
    (void)bytes;
    struct taken *taken = context;
    if (taken->n == 4)
        return error_set(err, INVALID, "four are enough");
    taken->sizes[taken->n++] = size;
    return OK;
}

#define BYTES(text) text, sizeof(text) - 1

static void parts_are_read_one_by_one_and_the_rest_together(void **state)
{
    (void)state;
    static const struct {
        const char *what, *bytes;
        size_t size;
        enum status status;
        int n_taken;
        size_t first, rest;
    } rows[] = {
        {"what was written above", BYTES(written), OK, 1, 16, 2},
        {"an empty file", BYTES(""), OK, 0, 0, 0},
        {"two, a fixed32 and a fixed64 between", BYTES("\x1a\1x\x25yyyy\x29zzzzzzzz\x1a\0"), OK, 2, 1, 14},
        {"field 3, but a varint", BYTES("\x18\x80\x01"), OK, 0, 0, 3},
        {"more than the reader takes", BYTES("\x1a\0\x1a\0\x1a\0\x1a\0\x1a\0"), INVALID, 4, 0, 0},
        {"a length beyond the end", BYTES("\x1a\x02x"), INVALID, 0, 0, 0},
        {"a length of 2^63", BYTES("\x1a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), INVALID, 0, 0, 0},
        {"a varint without an end", BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), INVALID, 0, 0,
         0},
        {"a tag alone", BYTES("\x08"), INVALID, 0, 0, 0},
        {"a group, which Caffe never writes", BYTES("\x1b\x1c"), INVALID, 0, 0, 0},
    };
    struct error err = {0};
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *path = path_join(folder, "file");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct taken taken = {0};
        CLEANUP(buf_release) struct buf rest;
        buf_init(&rest, 100);
        assert_ok(file_write(path, rows[i].bytes, rows[i].size, 0600, &err));
        enum status status = wire_read(path, 3, take, &taken, &rest, &err);
        if (status != rows[i].status || taken.n != rows[i].n_taken || taken.sizes[0] != rows[i].first ||
            (status == OK && rest.size != rows[i].rest))
            fail_msg("%s: status %d, %d taken, %zu bytes of rest", rows[i].what, status, taken.n, rest.size);
    }
    CLEANUP(buf_release) struct buf small;
    buf_init(&small, 1);
    assert_ok(file_write(path, "\x08\x07", 2, 0600, &err));
    assert_int_equal(wire_read(path, 3, take, &(struct taken){0}, &small, &err), TOO_LARGE);
    assert_ok(dir_remove(folder, &err));
    assert_int_equal(wire_read(path, 3, take, &(struct taken){0}, &small, &err), NOT_FOUND);
    assert_int_equal(wire_read("/dev/null", 3, take, &(struct taken){0}, &small, &err), INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_written_as_protobuf_encodes_them),
        cmocka_unit_test(a_file_that_is_not_finished_is_gone),
        cmocka_unit_test(a_file_that_would_have_2_gib_is_refused),
        cmocka_unit_test(parts_are_read_one_by_one_and_the_rest_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
