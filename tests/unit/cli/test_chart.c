#include "../test.h"

#include <math.h>

#include "cli/chart.h"
#include "cli/terminal.h"

static const double ramp_x[] = {0, 1}, ramp_y[] = {0, 1};
static const struct curve ramp = {"loss", 2, ramp_x, ramp_y, 0};

static void a_line_goes_from_corner_to_corner(void **state)
{
    (void)state;
    CLEANUP(buf_release) struct buf out;
    buf_init(&out, 4096);
    chart_text(&ramp, &(struct chart_style){.columns = 20, .rows = 4}, &out);
    assert_string_equal(out.data, "loss  1 at 1\n"
                                  "        1 |       **\n"
                                  "          |    ***\n"
                                  "          |  **\n"
                                  "        0 |**\n"
                                  "           0       1\n");
}

/* A flat line through the middle of 18 x 16 dots. */
static void braille_has_eight_dots_a_character(void **state)
{
    (void)state;
    static const double x[] = {0, 1}, y[] = {2, 2};
    CLEANUP(buf_release) struct buf out;
    buf_init(&out, 4096);
    chart_text(&(struct curve){"flat", 2, x, y, 0},
               &(struct chart_style){.columns = 20, .rows = 4, .utf8 = true}, &out);
    /* (1 - 1/2) * 15 rounds to dot row 8: the uppermost of character row 2, bits 1 and 8: U+2809 */
    assert_non_null(strstr(
        out.data, "\n          \xe2\x94\x82\xe2\xa0\x89\xe2\xa0\x89\xe2\xa0\x89\xe2\xa0\x89\xe2\xa0\x89"
                  "\xe2\xa0\x89\xe2\xa0\x89\xe2\xa0\x89\xe2\xa0\x89\n"));
}

static void what_is_no_number_is_a_gap_and_infinity_the_edge(void **state)
{
    (void)state;
    static const double x[] = {0, 1, 2, 3, 4}, y[] = {0, NAN, 1, INFINITY, -INFINITY}, none[] = {NAN, NAN};
    CLEANUP(buf_release) struct buf out;
    buf_init(&out, 1 << 16);
    chart_svg(&(struct curve){"loss", 5, x, y, 1}, 1, "job", &out);
    assert_non_null(strstr(out.data, "d=\"M70.00 230.00M425.00 30.00L602.50 30.00L780.00 230.00\""));
    buf_clear(&out);
    chart_text(&(struct curve){"loss", 2, x, none, 2}, &(struct chart_style){.columns = 20, .rows = 4}, &out);
    assert_non_null(strstr(out.data, "nothing to draw"));
    assert_non_null(strstr(out.data, "(2 not a number)"));
    buf_clear(&out);
    chart_text(&(struct curve){"loss", 0, x, none, 0}, &(struct chart_style){.columns = 1, .rows = 1}, &out);
    assert_non_null(strstr(out.data, "nothing to draw"));
}

static void names_cannot_leave_their_place(void **state)
{
    (void)state;
    CLEANUP(buf_release) struct buf out;
    buf_init(&out, 1 << 16);
    chart_svg(&(struct curve){"<b>&\x1b", 2, ramp_x, ramp_y, 0}, 1, "a<script>", &out);
    assert_non_null(strstr(out.data, ">&lt;b&gt;&amp;</text>"));
    assert_null(strstr(out.data, "<script>"));
    buf_clear(&out);
    terminal_put(&out, "a\x1b[31m\nb", 0);
    assert_string_equal(out.data, "a?[31m?b");
    buf_clear(&out);
    terminal_put(&out, "long name", 4);
    terminal_put(&out, "x", 3);
    assert_string_equal(out.data, "longx  ");
}

static void extreme_values_are_drawn(void **state)
{
    (void)state;
    static const double x[] = {-9.2e18, 9.2e18, 9.2e18}, y[] = {-1.7e308, 1.7e308, 5e-324};
    CLEANUP(buf_release) struct buf out;
    buf_init(&out, 1 << 16);
    chart_text(&(struct curve){"loss", 3, x, y, 0},
               &(struct chart_style){.columns = 80, .rows = 10, .utf8 = true}, &out);
    chart_svg(&(struct curve){"loss", 3, x, y, 0}, 1, "", &out);
    assert_non_null(strstr(out.data, "M70.00 230.00L780.00 30.00L780.00 130.00"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_goes_from_corner_to_corner),
        cmocka_unit_test(braille_has_eight_dots_a_character),
        cmocka_unit_test(what_is_no_number_is_a_gap_and_infinity_the_edge),
        cmocka_unit_test(names_cannot_leave_their_place),
        cmocka_unit_test(extreme_values_are_drawn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
