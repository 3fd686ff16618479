#include "../test.h"

#include "api/range.h"

static void ranges_are_read_as_rfc_9110_says(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        int64_t size;
        enum range_result result;
        int64_t offset, length;
    } rows[] = {
        {NULL, 100, RANGE_WHOLE, 0, 0},
        {"bytes=0-0", 100, RANGE_PART, 0, 1},
        {"bytes=0-99", 100, RANGE_PART, 0, 100},
        {"bytes=10-19", 100, RANGE_PART, 10, 10},
        {"bytes=90-", 100, RANGE_PART, 90, 10},
        {"bytes=90-1000", 100, RANGE_PART, 90, 10},
        {"bytes=-5", 100, RANGE_PART, 95, 5},
        {"bytes=-1000", 100, RANGE_PART, 0, 100},
        {"Bytes= 1-2 ", 100, RANGE_PART, 1, 2},
        {"bytes=100-", 100, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=100-200", 100, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-0", 100, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=0-", 0, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-5", 0, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=--5", 100, RANGE_WHOLE, 0, 0},
        {"bytes=5-3", 100, RANGE_WHOLE, 0, 0},
        {"bytes=-", 100, RANGE_WHOLE, 0, 0},
        {"bytes=", 100, RANGE_WHOLE, 0, 0},
        {"bytes=a-b", 100, RANGE_WHOLE, 0, 0},
        {"bytes=1-2,4-5", 100, RANGE_WHOLE, 0, 0},
        {"bytes=1-2x", 100, RANGE_WHOLE, 0, 0},
        {"bytes=99999999999999999999-", 100, RANGE_WHOLE, 0, 0},
        {"lines=1-2", 100, RANGE_WHOLE, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t offset = 0, length = 0;
        enum range_result got = range_read(rows[i].header, rows[i].size, &offset, &length);
        if (got != rows[i].result || offset != rows[i].offset || length != rows[i].length)
            fail_msg("%s of %lld: %d %lld+%lld", rows[i].header, (long long)rows[i].size, got,
                     (long long)offset, (long long)length);
    }
}

static void tags_are_compared_weakly_or_strongly(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        bool weak, strong;
    } rows[] = {
        {"\"a\"", true, true},
        {"*", true, true},
        {"W/\"a\"", true, false},
        {"\"b\", \"a\"", true, true},
        {"\"b\" , W/\"a\"", true, false},
        {"\"ab\"", false, false},
        {"a", false, false},
        {"", false, false},
        {"\"a", false, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(etag_matches(rows[i].list, "\"a\"", true), rows[i].weak);
        assert_int_equal(etag_matches(rows[i].list, "\"a\"", false), rows[i].strong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_read_as_rfc_9110_says),
        cmocka_unit_test(tags_are_compared_weakly_or_strongly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
