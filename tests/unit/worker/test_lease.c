#include "../test.h"

#include <unistd.h>

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

static void a_snapshot_is_packed_and_comes_back_whole_or_not_at_all(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(freep) char *folder = test_folder();
    CLEANUP(freep) char *back = path_join(folder, "back");
    CLEANUP(freep) char *model = path_join(folder, "m");
    CLEANUP(freep) char *solver = path_join(folder, "s");
    CLEANUP(freep) char *tar = path_join(folder, "t.tar");
    assert_ok(dir_make(back, &err));
    assert_ok(file_write(model, "abc", 3, 0600, &err));
    assert_ok(file_write(solver, "\x08\x05", 2, 0600, &err));
    assert_ok(snapshot_pack(model, solver, tar, &err));
    assert_ok(snapshot_unpack(tar, back, &err));
    CLEANUP(freep) char *model_back = path_join(back, SNAPSHOT_MODEL);
    CLEANUP(freep) char *state_back = path_join(back, SNAPSHOT_STATE);
    CLEANUP(freep) char *bytes = NULL;
    CLEANUP(freep) char *state_bytes = NULL;
    size_t size;
    assert_ok(file_read(model_back, 100, &bytes, &size, &err));
    assert_string_equal(bytes, "abc");
    assert_ok(file_read(state_back, 100, &state_bytes, &size, &err));
    assert_int_equal(size, 2);
    assert_int_equal(snapshot_pack("/nowhere/m", solver, tar, &err), NOT_FOUND);
    assert_int_equal(truncate(tar, 700), 0);
    assert_int_equal(snapshot_unpack(tar, back, &err), INVALID);
    assert_ok(dir_remove(folder, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_is_read_with_its_defaults),
        cmocka_unit_test(a_lease_that_cannot_be_worked_on_is_refused),
        cmocka_unit_test(a_snapshot_is_packed_and_comes_back_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
