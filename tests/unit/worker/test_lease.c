#include "../test.h"

#include "netdef/caffe.pb-c.h"
#include "worker/lease.h"
#include "worker/snapshot.h"

#define ID "0123456789abcdef0123456789abcdef"

static enum status read_text(const char *text, struct lease *ret_lease, struct error *err)
{
    CLEANUP(json_decrefp) json_t *json = NULL;
    TRY(json_read(text, strlen(text), &json, err));
    return lease_read(json, ret_lease, err);
}

static void a_lease_is_read_with_its_defaults(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(lease_release) struct lease l = {0};
    assert_ok(read_text("{\"job\":\"" ID "\",\"attempt\":2,\"token\":\"t\",\"kind\":\"split\",\"spec\":{},"
                        "\"inputs\":[{\"name\":\"a\",\"size\":3,\"sha256\":\"ff\"}]}",
                        &l, &err));
    assert_string_equal(l.job, ID);
    assert_int_equal(l.attempt, 2);
    assert_int_equal(l.heartbeat_ms, 5000);
    assert_int_equal(l.lease_ms, 20000);
    assert_false(l.allow_private_urls);
    assert_int_equal(lease_find_input(&l, "a")->size, 3);
    assert_null(lease_find_input(&l, "b"));
}

static void a_lease_that_cannot_be_worked_on_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{}",
        "[]",
        "{\"job\":\"../x\",\"attempt\":1,\"token\":\"t\",\"kind\":\"split\",\"spec\":{}}",
        "{\"job\":\"" ID "\",\"attempt\":0,\"token\":\"t\",\"kind\":\"split\",\"spec\":{}}",
        "{\"job\":\"" ID "\",\"attempt\":1,\"token\":\"\",\"kind\":\"split\",\"spec\":{}}",
        "{\"job\":\"" ID "\",\"attempt\":1,\"token\":\"t\",\"kind\":\"split\"}",
        "{\"job\":\"" ID
        "\",\"attempt\":1,\"token\":\"t\",\"kind\":\"split\",\"spec\":{},\"heartbeat_ms\":0}",
        "{\"job\":\"" ID "\",\"attempt\":1,\"token\":\"t\",\"kind\":\"split\",\"spec\":{},\"inputs\":{}}",
        "{\"job\":\"" ID "\",\"attempt\":1,\"token\":\"t\",\"kind\":\"split\",\"spec\":{},"
        "\"inputs\":[{\"name\":\"../x\"}]}",
        "{\"job\":\"" ID "\",\"attempt\":1,\"token\":\"t\",\"kind\":\"split\",\"spec\":{},\"inputs\":[{}]}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        struct lease l;
        if (read_text(rows[i], &l, &err) != INVALID)
            fail_msg("%s", rows[i]);
    }
}

static void a_seal_tells_whether_two_files_belong_together(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *model = path_join(folder, "m");
    CLEANUP(freep) char *other = path_join(folder, "o");
    CLEANUP(freep) char *solver = path_join(folder, "s");
    assert_ok(file_write(model, "abc", 3, 0600, &err));
    assert_ok(file_write(other, "abd", 3, 0600, &err));
    assert_ok(file_write(solver, "\x08\x05", 2, 0600, &err)); /* SolverState { iter: 5 } */
    assert_false(snapshot_is_whole(model, solver));
    assert_ok(snapshot_seal(model, solver, &err));
    assert_true(snapshot_is_whole(model, solver));
    assert_false(snapshot_is_whole(other, solver));
    assert_false(snapshot_is_whole(model, folder));
    assert_int_equal(snapshot_seal("/nowhere/m", solver, &err), NOT_FOUND);
    /* The SHA-256 of "abc" is the example of FIPS 180-2; the state before it is as it was. */
    CLEANUP(freep) char *bytes = NULL;
    size_t size;
    assert_ok(file_read(solver, 1000, &bytes, &size, &err));
    assert_int_equal(size, 2 + 3 + 64);
    assert_memory_equal(bytes,
                        "\x08\x05\xc2\x3e\x40"
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                        size);
    Caffe__SolverState *read = caffe__solver_state__unpack(NULL, size, (const uint8_t *)bytes);
    assert_true(read && read->iter == 5 && !read->learned_net);
    caffe__solver_state__free_unpacked(read, NULL);
    assert_ok(dir_remove(folder, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_is_read_with_its_defaults),
        cmocka_unit_test(a_lease_that_cannot_be_worked_on_is_refused),
        cmocka_unit_test(a_seal_tells_whether_two_files_belong_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
