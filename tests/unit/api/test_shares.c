#include "../test.h"

#include <math.h>

#include "api/shares.h"

static void fractions_and_percentages_mean_what_they_say(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        double training, test, training_share, test_share;
    } rows[] = {
        {"fractions", 0.7, 0.3, 0.7, 0.3},
        {"percentages", 70, 30, 0.7, 0.3},
        {"fractions of a part", 0.2, 0.1, 0.2, 0.1},
        {"percentages of a part", 20, 10, 0.2, 0.1},
        {"a small percentage", 99.5, 0.5, 0.995, 0.005},
        {"one percent", 99, 1, 0.99, 0.01},
        {"already split", 0, 0, 0, 0},
        {"a sum that is not quite 1 in binary", 0.9, 0.1 + 1e-16, 0.9, 0.1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        double training = -1, test = -1;
        if (shares_read(rows[i].training, rows[i].test, &training, &test, &err) != OK)
            fail_msg("%s: %s", rows[i].what, err.message);
        assert_true(fabs(training - rows[i].training_share) < 1e-12);
        assert_true(fabs(test - rows[i].test_share) < 1e-12);
    }
}

static void shares_that_mean_nothing_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        double training, test;
    } rows[] = {
        {"negative", -0.1, 0.3},
        {"more than the whole", 0.9, 0.3},
        {"more than a hundred", 80, 30},
        {"one side only", 0.7, 0},
        {"the other side only", 0, 30},
        {"a fraction beside a percentage", 0.7, 30},
        {"infinite", 1.0 / 0.0, 0.3},
        {"not a number", 0.0 / 0.0, 0.3},
        {"two wholes", 1, 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        double training = -1, test = -1;
        if (shares_read(rows[i].training, rows[i].test, &training, &test, &err) != INVALID)
            fail_msg("%s: not refused", rows[i].what);
        assert_true(strlen(err.message) > 0);
        assert_true(training == -1 && test == -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fractions_and_percentages_mean_what_they_say),
        cmocka_unit_test(shares_that_mean_nothing_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
