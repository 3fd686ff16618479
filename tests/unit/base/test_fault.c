#include "../test.h"
#include "base/fault.h"

static void a_point_acts_from_its_count_on(void **state)
{
    (void)state;
    struct error err;
    assert_false(fault_point("a"));
    assert_ok(fault_arm("a:3:error,b:1:error", &err));
    assert_false(fault_point("a"));
    assert_true(fault_point("b"));
    assert_false(fault_point("a"));
    assert_false(fault_point("c"));
    assert_true(fault_point("a"));
    assert_true(fault_point("a"));
    assert_ok(fault_arm(NULL, &err));
    assert_false(fault_point("a"));
}

static void text_that_is_no_point_is_refused(void **state)
{
    (void)state;
    struct error err;
    static const char *const bad[] = {"a", "a:", "a:0", "a:x", ":1", "a:1:sleep", "a:1:error,", "a:-1"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        if (fault_arm(bad[i], &err) != INVALID)
            fail_msg("'%s' was taken", bad[i]);
        assert_false(fault_point("a"));
    }
    assert_ok(fault_arm("", &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_point_acts_from_its_count_on),
        cmocka_unit_test(text_that_is_no_point_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
