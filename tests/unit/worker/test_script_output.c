#include "../test.h"

#include <string.h>

#include "worker/script_output.h"

static void note(void *context, const char *name, int64_t step, double value)
{
    buf_printf(context, "%s@%lld=%g ", name, (long long)step, value);
}

struct outcome {
    char *metrics, *result; /* owned; result NULL: none */
    int64_t n_refused;
};

/* The text, fed in pieces of that size. */
static struct outcome feed(const char *text, size_t size, size_t piece)
{
    struct script_output o;
    struct buf metrics;
    buf_init(&metrics, 1 << 16);
    script_output_init(&o, note, &metrics);
    for (size_t at = 0; at < size; at += piece)
        script_output_feed(&o, text + at, MIN(piece, size - at));
    script_output_end(&o);
    struct outcome outcome = {
        .result = o.result ? json_text(o.result) : NULL,
        .n_refused = o.n_refused,
    };
    outcome.metrics = buf_take(&metrics, NULL);
    buf_release(&metrics);
    script_output_release(&o);
    return outcome;
}

static void outcome_release(struct outcome *o)
{
    free(o->metrics);
    free(o->result);
}

static void lines_become_metrics_and_the_last_other_object_the_result(void **state)
{
    (void)state;
    static const struct {
        const char *text, *metrics, *result;
        int64_t n_refused;
    } rows[] = {
        {"", "", NULL, 0},
        {"words\n", "", NULL, 0},
        {"{\"metric\": \"loss\", \"step\": 10, \"value\": 0.5}\n", "loss@10=0.5 ", NULL, 0},
        {"{\"a\": 1}\n{\"b\": 2}\nwords\n", "", "{\"b\":2}", 0},
        {"{\"a\": 1}\n{\"metric\": \"m\", \"value\": 1}\n", "m@0=1 ", "{\"a\":1}", 0},
        {"{\"a\": 1}", "", "{\"a\":1}", 0},
        {"  {\"a\": 1}\r\n", "", "{\"a\":1}", 0},
        {"{\"a\": 1}\n{\"half\": ", "", "{\"a\":1}", 0},
        {"[1]\n3\n\"x\"\nnull\n", "", NULL, 0},
        {"{\"bad\": \"\xff\"}\n", "", NULL, 0},
        /* Steps that are not said count from the last one. */
        {"{\"metric\":\"m\",\"value\":1}\n{\"metric\":\"m\",\"step\":7,\"value\":2}\n"
         "{\"metric\":\"m\",\"value\":3}\n{\"metric\":\"n\",\"value\":4}\n",
         "m@0=1 m@7=2 m@8=3 n@0=4 ", NULL, 0},
        {"{\"metric\":\"m\",\"step\":2.0,\"value\":1}\n", "m@2=1 ", NULL, 0},
        /* Numbers that JSON does not have, as Python writes them. */
        {"{\"metric\": \"m\", \"step\": 1, \"value\": NaN}\n", "m@1=nan ", NULL, 0},
        {"{\"metric\": \"m\", \"step\": 1, \"value\": -Infinity}\n", "m@1=-inf ", NULL, 0},
        {"{\"metric\": \"m\", \"step\": 1, \"value\": \"Infinity\"}\n", "m@1=inf ", NULL, 0},
        {"{\"x\": [NaN, \"NaN \\\" Infinity\"]}\n", "", "{\"x\":[\"NaN\",\"NaN \\\" Infinity\"]}", 0},
        /* Metrics that are none are no result either. */
        {"{\"metric\": \"\", \"value\": 1}\n{\"metric\": 1, \"value\": 1}\n{\"metric\": \"m\"}\n"
         "{\"metric\": \"m\", \"value\": \"x\"}\n{\"metric\": \"m\", \"step\": 0.5, \"value\": 1}\n"
         "{\"metric\": \"m\", \"step\": \"1\", \"value\": 1}\n"
         "{\"metric\": \"m\", \"step\": 9223372036854775807, \"value\": 1}\n"
         "{\"metric\": \"1234567890123456789012345678901234567890123456789012345678901234\", \"value\": 1}\n",
         "", NULL, 8},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        size_t size = strlen(rows[i].text);
        for (size_t piece = 1; piece <= size + 1; piece += piece < 8 ? 1 : size) {
            struct outcome o = feed(rows[i].text, size, piece);
            assert_string_equal(o.metrics, rows[i].metrics);
            assert_int_equal(o.n_refused, rows[i].n_refused);
            if (rows[i].result)
                assert_string_equal(o.result, rows[i].result);
            else
                assert_null(o.result);
            outcome_release(&o);
        }
    }
}

static void a_line_over_the_limit_is_none_and_the_next_one_counts(void **state)
{
    (void)state;
    static const char before[] = "{\"a\": 1}\n{\"b\": \"", after[] = "\"}\n{\"c\": 3}\n";
    for (int over = 0; over < 2; over++) {
        /* {"b": ""} are nine bytes. */
        size_t fill = SCRIPT_LINE_MAX - 9 + (size_t)over, size = strlen(before) + fill;
        char *text = xmalloc(size + strlen(after) + 1);
        memcpy(text, before, strlen(before));
        memset(text + strlen(before), 'x', fill);
        memcpy(text + size, after, strlen(after) + 1);
        struct outcome all = feed(text, size + strlen(after), 65536);
        assert_string_equal(all.result, "{\"c\":3}");
        outcome_release(&all);
        struct outcome cut = feed(text, size + 3, 65536);
        assert_string_equal(cut.result + 1, over ? "\"a\":1}" : cut.result + 1);
        assert_int_equal(strlen(cut.result), over ? 7 : SCRIPT_LINE_MAX - 1);
        outcome_release(&cut);
        free(text);
    }
}

static void a_byte_of_nothing_ends_no_line(void **state)
{
    (void)state;
    static const char text[] = "{\"a\": 1}\0\n{\"b\": \"\0\"}\n";
    struct outcome o = feed(text, sizeof(text) - 1, 3);
    assert_null(o.result);
    outcome_release(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_become_metrics_and_the_last_other_object_the_result),
        cmocka_unit_test(a_line_over_the_limit_is_none_and_the_next_one_counts),
        cmocka_unit_test(a_byte_of_nothing_ends_no_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
