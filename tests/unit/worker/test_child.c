#include "../test.h"

#include <signal.h>

#include "base/process.h"
#include "worker/child.h"

/* Wait statuses as the kernel lays them out: the exit status in the second byte, the signal in the first. */
static void how_a_child_ended_is_told_in_words(void **state)
{
    (void)state;
    static const struct {
        int wait_status;
        const char *last_line;
        enum status status;
        const char *message;
    } rows[] = {
        {0, "whatever", OK, ""},
        {1 << 8, "et: layer 'conv1': bad", FAILED, "layer 'conv1': bad"},
        {1 << 8, "no prefix", FAILED, "no prefix"},
        {3 << 8, "", FAILED, "ended with exit status 3, saying nothing"},
        {11, "x", FAILED, "killed by signal 11 (SIGSEGV)"},
        {6 | 0x80, "x", FAILED, "killed by signal 6 (SIGABRT)"},
        {9, "x", FAILED, "killed by signal 9 (SIGKILL), as when memory runs out"},
        {1 << 8, "et: cannot write 'f': No space left on device", NO_SPACE,
         "cannot write 'f': No space left on device"},
        {1 << 8, "et: cannot write 'f': Disk quota exceeded", NO_SPACE,
         "cannot write 'f': Disk quota exceeded"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        assert_int_equal(child_verdict(rows[i].wait_status, rows[i].last_line, &err), rows[i].status);
        assert_string_equal(err.message, rows[i].message);
    }
    char name[SIGNAL_NAME_MAX];
    assert_string_equal(signal_name(60, name), "signal 60");
}

static void collect(void *context, const char *line)
{
    buf_printf(context, "%s|", line);
}

static void a_stream_is_cut_into_lines_wherever_it_was_cut(void **state)
{
    (void)state;
    static const char text[] = "one\n\ntwo\nthree";
    for (size_t step = 1; step < sizeof(text); step++) {
        struct line_reader *r = xcalloc(1, sizeof(*r));
        struct buf seen;
        buf_init(&seen, 1000);
        for (size_t at = 0; at < sizeof(text) - 1; at += step)
            line_reader_feed(r, text + at, MIN(step, sizeof(text) - 1 - at), collect, &seen);
        assert_string_equal(seen.data, "one|two|");
        buf_release(&seen);
        free(r);
    }
}

static void a_line_that_never_ends_is_dropped(void **state)
{
    (void)state;
    struct line_reader *r = xcalloc(1, sizeof(*r));
    struct buf seen;
    buf_init(&seen, 1000);
    for (int i = 0; i < 20000; i++)
        line_reader_feed(r, "x", 1, collect, &seen);
    line_reader_feed(r, "\nnext\n", 6, collect, &seen);
    assert_string_equal(seen.data, "next|");
    buf_release(&seen);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(how_a_child_ended_is_told_in_words),
        cmocka_unit_test(a_stream_is_cut_into_lines_wherever_it_was_cut),
        cmocka_unit_test(a_line_that_never_ends_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
