#include "../test.h"

#include "worker/devices.h"

static void a_list_names_them(void **state)
{
    static const struct {
        const char *list;
        int n;
    } rows[] = {{"0", 1}, {"0,1,7", 3}, {"GPU-6d1f0a2e-11aa,MIG-GPU-1/2/0", 2}, {"", 0}};
    (void)state;
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(devices_release) struct devices d = {0};
        assert_ok(devices_read(rows[i].list, &d, &err));
        assert_int_equal(d.n, rows[i].n);
    }
}

static void a_list_that_is_none_is_refused(void **state)
{
    static const char *const rows[] = {"0,,1", ",", "0,0", "1 2", "$(x)", "0,1,"};
    (void)state;
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(devices_release) struct devices d = {0};
        assert_int_equal(devices_read(rows[i], &d, &err), INVALID);
        assert_int_equal(d.n, 0);
    }
}

static void the_environment_says_which_when_nobody_does(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(devices_release) struct devices d = {0};
    setenv("CUDA_VISIBLE_DEVICES", "2,3", 1);
    assert_ok(devices_read(NULL, &d, &err));
    unsetenv("CUDA_VISIBLE_DEVICES");
    assert_int_equal(d.n, 2);
    assert_string_equal(d.names[1], "3");
}

static void each_is_given_to_one_at_a_time(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(devices_release) struct devices d = {0};
    assert_ok(devices_read("4,5,6", &d, &err));
    CLEANUP(freep) char *first = devices_take(&d, 2);
    assert_string_equal(first, "4,5");
    assert_int_equal(devices_free(&d), 1);
    assert_null(devices_take(&d, 2));
    CLEANUP(freep) char *none = devices_take(&d, 0);
    assert_string_equal(none, "");
    CLEANUP(freep) char *second = devices_take(&d, 1);
    assert_string_equal(second, "6");
    devices_give(&d, first);
    devices_give(&d, NULL);
    devices_give(&d, none);
    assert_int_equal(devices_free(&d), 2);
    CLEANUP(freep) char *third = devices_take(&d, 1);
    assert_string_equal(third, "4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_names_them),
        cmocka_unit_test(a_list_that_is_none_is_refused),
        cmocka_unit_test(the_environment_says_which_when_nobody_does),
        cmocka_unit_test(each_is_given_to_one_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
