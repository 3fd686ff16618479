#include "../test.h"

#include "base/clock.h"
#include "base/log.h"

static void values_of_users_cannot_forge_a_line(void **state)
{
    (void)state;
    char out[LOG_VALUE_MAX];
    assert_string_equal(log_value("plain-word.1", out), "plain-word.1");
    assert_string_equal(log_value("", out), "\"\"");
    assert_string_equal(log_value("a b=c \"d\"\n", out), "\"a b=c \\\"d\\\"\\x0a\"");
}

static void time_is_rfc_3339(void **state)
{
    (void)state;
    char out[CLOCK_TEXT_MAX];
    assert_string_equal(clock_text(0, out), "1970-01-01T00:00:00.000Z");
    assert_string_equal(clock_text(951782400123, out), "2000-02-29T00:00:00.123Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_users_cannot_forge_a_line),
        cmocka_unit_test(time_is_rfc_3339),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
