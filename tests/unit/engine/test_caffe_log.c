/* The patterns are those of DIGITS' process_output and of Caffe's parse_log.py and extract_seconds.py. */
#include "../test.h"

#include <regex.h>
#include <unistd.h>

#include "engine/caffe_log.h"

/* What one call writes on stderr. */
static char *logged(const char *name, double value)
{
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    int saved = dup(STDERR_FILENO);
    dup2(pipe_fds[1], STDERR_FILENO);
    caffe_log('I', "solver.cpp:258", "    Train net output #%d: %s = " CAFFE_FLOAT, 0, name, value);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(pipe_fds[1]);
    static char line[512];
    ssize_t n = read(pipe_fds[0], line, sizeof(line) - 1);
    assert_true(n > 0);
    line[n] = '\0';
    close(pipe_fds[0]);
    return line;
}

static bool matches(const char *pattern, const char *text)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    bool is_match = !regexec(&regex, text, 0, NULL, 0);
    regfree(&regex);
    return is_match;
}

static void a_line_has_the_form_of_glog_before_0_6(void **state)
{
    (void)state;
    const char *line = logged("loss", .25);
    assert_true(
        matches("^I[01][0-9][0-3][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6} +[0-9]+ solver\\.cpp:258\\] "
                "    Train net output #0: loss = 0\\.25\n$",
                line));
    assert_true(matches("(Train|Test) net output #([0-9]+): ([^ ]*) = ([0-9.]+)", line));
}

static void a_float_has_six_significant_digits(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *want;
    } cases[] = {
        {1.431512345, " = 1.43151\n"}, {0.3f, " = 0.3\n"}, {1e-7, " = 1e-07\n"},
        {1234567, " = 1.23457e+06\n"}, {100, " = 100\n"},  {0, " = 0\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_non_null(strstr(logged("x", cases[i].value), cases[i].want));
}

static void a_long_name_is_not_cut(void **state)
{
    (void)state;
    char name[300];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_non_null(strstr(logged(name, 1), "nnn = 1\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_the_form_of_glog_before_0_6),
        cmocka_unit_test(a_float_has_six_significant_digits),
        cmocka_unit_test(a_long_name_is_not_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
