#include "../test.h"

#include "base/buf.h"

static void it_grows_and_ends_with_nul(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    assert_string_equal(b.data, "");
    buf_puts(&b, "loss");
    buf_printf(&b, " = %d", 7);
    buf_putc(&b, '\n');
    assert_string_equal(b.data, "loss = 7\n");
    assert_int_equal(b.size, 9);
    buf_release(&b);
}

static void past_its_maximum_it_stores_nothing_and_remembers(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4);
    buf_puts(&b, "abc");
    buf_puts(&b, "de");
    assert_true(b.overflowed);
    assert_string_equal(b.data, "abc");
    buf_putc(&b, 'd');
    assert_string_equal(b.data, "abc");
    buf_clear(&b);
    buf_puts(&b, "abcd");
    assert_false(b.overflowed);
    buf_release(&b);
}

static void text_of_xml_is_escaped_and_loses_control_characters(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    buf_puts_xml(&b, "a<b & \"c\"\x1b[m]]>\n\xc3\xa9");
    assert_string_equal(b.data, "a&lt;b &amp; &quot;c&quot;[m]]&gt;\xc3\xa9");
    buf_release(&b);
}

static void take_gives_the_bytes_away(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    size_t size = 1;
    CLEANUP(freep) char *none = buf_take(&b, &size);
    assert_string_equal(none, "");
    assert_int_equal(size, 0);
    buf_puts(&b, "x");
    CLEANUP(freep) char *x = buf_take(&b, &size);
    assert_string_equal(x, "x");
    assert_int_equal(b.size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_grows_and_ends_with_nul),
        cmocka_unit_test(past_its_maximum_it_stores_nothing_and_remembers),
        cmocka_unit_test(text_of_xml_is_escaped_and_loses_control_characters),
        cmocka_unit_test(take_gives_the_bytes_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
