#include "../test.h"

#include <math.h>

#include "base/json.h"

static void what_is_not_strict_json_is_refused_with_its_place(void **state)
{
    (void)state;
    static const char *const bad[] = {"{\"a\":1,\"a\":2}", "{'a':1}", "[1,]",      "{} x", "NaN",
                                      "\"\xff\"",          "",        "{\"a\":01}"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct error err = {0};
        json_t *json = NULL;
        assert_int_equal(json_read(bad[i], strlen(bad[i]), &json, &err), INVALID);
        assert_int_not_equal(err.line, 0);
    }
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(freep) char *deep = xmalloc(200001);
    memset(deep, '[', 200000);
    deep[200000] = '\0';
    json_t *json = NULL;
    assert_int_equal(json_read(deep, 200000, &json, &err), INVALID);
    assert_int_equal(json_read(deep, 101, &json, &err), INVALID);
    assert_non_null(strstr(err.message, "line 1, column 101"));
    memset(deep + 100, ']', 100);
    assert_ok(json_read(deep, 200, &json, &err));
    json_decref(json);
}

static void brackets_in_strings_do_not_nest(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(freep) char *text = xmalloc(304);
    memset(text, '[', 303);
    memcpy(text, "\"\\\"", 3);
    text[302] = '"';
    CLEANUP(json_decrefp) json_t *json = NULL;
    assert_ok(json_read(text, 303, &json, &err));
    assert_int_equal(json_string_length(json), 300);
}

static void text_is_compact_and_sorted(void **state)
{
    (void)state;
    struct error err = {0};
    CLEANUP(json_decrefp) json_t *json = NULL;
    assert_ok(json_read("{ \"b\": [1, 2.5], \"a\": \"x\" }", 27, &json, &err));
    CLEANUP(freep) char *text = json_text(json);
    assert_string_equal(text, "{\"a\":\"x\",\"b\":[1,2.5]}");
    assert_string_equal(json_get_string(json, "a", "-"), "x");
    assert_string_equal(json_get_string(json, "b", "-"), "-");
    assert_int_equal(json_get_int(json, "a", 5), 5);
}

/* What Python's repr() says of the same doubles. */
static void reals_have_the_fewest_digits_that_read_back(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"0.3", "0.3"},
        {"-0.1", "-0.1"},
        {"0.30000000000000004", "0.30000000000000004"},
        {"5e-324", "4.94065645841247e-324"},
        {"1.7976931348623157e308", "1.7976931348623157e308"},
        {"3.0", "3.0"},
        {"-0.0", "-0.0"},
        {"9007199254740993", "9007199254740993"},
        {"1e22", "1e22"},
        {"123456789012345680.0", "1.2345678901234568e17"},
        {"[0.1,{\"0.29999999999999999\":[-2.5,7]},\"a\\\\\",0.7]",
         "[0.1,{\"0.29999999999999999\":[-2.5,7]},\"a\\\\\",0.7]"},
        {"[\"\\\"0.29999999999999999\\\"\",0.29999999999999999]", "[\"\\\"0.29999999999999999\\\"\",0.3]"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {0};
        CLEANUP(json_decrefp) json_t *json = NULL;
        assert_ok(json_read(cases[i].in, strlen(cases[i].in), &json, &err));
        CLEANUP(freep) char *text = json_text(json);
        assert_string_equal(text, cases[i].out);
    }
    char out[REAL_TEXT_MAX];
    assert_string_equal(real_text(255, out), "255");
    assert_string_equal(real_text(0.99609375, out), "0.99609375");
}

static void every_real_reads_back_as_itself(void **state)
{
    (void)state;
    uint64_t bits = 1;
    for (int i = 0; i < 20000; i++) {
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        double value, back;
        memcpy(&value, &bits, sizeof(value));
        if (!isfinite(value))
            continue;
        struct error err = {0};
        CLEANUP(json_decrefp) json_t *json = json_pack("[f]", value);
        CLEANUP(freep) char *text = json_text(json);
        CLEANUP(json_decrefp) json_t *again = NULL;
        assert_ok(json_read(text, strlen(text), &again, &err));
        back = json_real_value(json_array_get(again, 0));
        assert_memory_equal(&back, &value, sizeof(value));
    }
}

static void bytes_that_are_no_utf8_become_replacement_characters(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *text;
    } cases[] = {
        {"plain", "plain"},
        {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"a\xff", "a\xef\xbf\xbd"},
        {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},                                 /* overlong */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 /* a surrogate */
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* past U+10FFFF */
        {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},                                 /* cut */
        {"\xe2\x82x", "\xef\xbf\xbd\xef\xbf\xbdx"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(json_decrefp) json_t *text = json_of_bytes(cases[i].bytes, strlen(cases[i].bytes));
        assert_string_equal(json_string_value(text), cases[i].text);
    }
    CLEANUP(json_decrefp) json_t *zero = json_of_bytes("a\0b", 3);
    assert_int_equal(json_string_length(zero), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_strict_json_is_refused_with_its_place),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(brackets_in_strings_do_not_nest),
        cmocka_unit_test(text_is_compact_and_sorted),
        cmocka_unit_test(reals_have_the_fewest_digits_that_read_back),
        cmocka_unit_test(every_real_reads_back_as_itself),
        cmocka_unit_test(bytes_that_are_no_utf8_become_replacement_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
