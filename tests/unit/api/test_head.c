#include "../test.h"

#include "api/head.h"

/*
 * Lays a head out as the library leaves it: the text as it arrived, each CRLF
 * (and each bare LF) made NUL, the colon of each line too.
 */
struct laid_out {
    char bytes[2048];
    struct head_line lines[16];
    struct head head;
};

static void lay_out(struct laid_out *l, const char *text, size_t size)
{
    memset(l, 0, sizeof(*l));
    memcpy(l->bytes, text, size);
    char *at = l->bytes, *end = l->bytes + size;
    l->head = (struct head){.method = l->bytes, .size = size, .lines = l->lines};
    while (at < end) {
        char *line = at, *feed = memchr(at, '\n', (size_t)(end - at));
        assert_non_null(feed);
        at = feed + 1;
        *feed = '\0';
        if (feed > line && feed[-1] == '\r')
            feed[-1] = '\0';
        if (line == l->bytes) {
            l->head.version = strrchr(line, ' ') + 1;
            *strchr(line, ' ') = '\0';
            continue;
        }
        char *colon = strchr(line, ':');
        if (!colon)
            continue;
        *colon = '\0';
        char *value = colon + 1 + strspn(colon + 1, " \t");
        l->lines[l->head.n_lines++] = (struct head_line){line, value, strlen(line), strlen(value)};
    }
}

#define TOP "GET / HTTP/1.1\r\nHost: h\r\n"

static void a_sound_head_tells_its_bodys_length(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t length;
    } rows[] = {
        {TOP "\r\n", 0},
        {"GET / HTTP/1.0\r\n\r\n", 0},
        {TOP "Content-Length: 0\r\n\r\n", 0},
        {TOP "Content-Length: 17179869184\r\n\r\n", 17179869184},
        {TOP "Transfer-Encoding: Chunked\r\n\r\n", HEAD_CHUNKED},
        {TOP "X-Empty:\r\nX-Blank:   \r\nX-Tab: a\tb\r\n\r\n", 0},
        {TOP "X-Trailing: a  \r\nX-More: \xc3\xa9\r\n\r\n", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct laid_out l;
        int64_t length = -9;
        lay_out(&l, rows[i].text, strlen(rows[i].text));
        const char *fault = head_fault(&l.head, &length);
        if (fault)
            fail_msg("%s: %s", rows[i].text, fault);
        assert_int_equal(length, rows[i].length);
    }
}

static void what_two_parsers_could_read_differently_is_refused(void **state)
{
    (void)state;
#define ROW(text, fault)                                                                                     \
    {                                                                                                        \
        text, sizeof(text) - 1, fault                                                                        \
    }
    static const struct {
        const char *text;
        size_t size;
        const char *fault;
    } rows[] = {
        ROW(TOP "Host: h\r\n\r\n", "two Host"),
        ROW("GET / HTTP/1.1\r\nX: y\r\n\r\n", "no Host"),
        ROW(TOP "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", "two Content-Length"),
        ROW(TOP "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "two Content-Length"),
        ROW(TOP "Content-Length: 5, 5\r\n\r\n", "no number"),
        ROW(TOP "Content-Length: +5\r\n\r\n", "no number"),
        ROW(TOP "Content-Length: -1\r\n\r\n", "no number"),
        ROW(TOP "Content-Length: 0x5\r\n\r\n", "no number"),
        ROW(TOP "Content-Length:\r\n\r\n", "no number"),
        ROW(TOP "Content-Length: 99999999999999999999\r\n\r\n", "no number"),
        ROW(TOP "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "both"),
        ROW(TOP "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "two Transfer-Encoding"),
        ROW(TOP "Transfer-Encoding: gzip, chunked\r\n\r\n", "not 'chunked'"),
        ROW(TOP "X: a\rY: b\r\n\r\n", "bare CR"),
        ROW(TOP "X: a\x7f\r\n\r\n", "control character"),
        ROW(TOP "X: a\nY: b\r\n\r\n", "bare LF"),
        ROW(TOP "X: a\n\r\n", "bare LF"),
        ROW(TOP "X: a\r\n\n", "bare LF"),
        ROW("GET / HTTP/1.1\nHost: h\r\n\r\n", "bare LF"),
        ROW(TOP "X: a\0b\r\nY: c\r\n\r\n", "NUL"),
        ROW(TOP "Y: c\r\nX: a\0b\r\n\r\n", "NUL"),
        ROW(TOP "X y: a\r\n\r\n", "name"),
        ROW(TOP "X : a\r\n\r\n", "name"),
        ROW(TOP ": a\r\n\r\n", "name"),
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct laid_out l;
        int64_t length = -9;
        lay_out(&l, rows[i].text, rows[i].size);
        const char *fault = head_fault(&l.head, &length);
        if (!fault || !strstr(fault, rows[i].fault))
            fail_msg("%s: %s, not %s", rows[i].text, fault ? fault : "sound", rows[i].fault);
        assert_int_equal(length, -9);
    }
}

static void a_folded_line_is_refused(void **state)
{
    (void)state;
    struct laid_out l;
    int64_t length;
    static const char text[] = TOP "X: a\r\nY: c\r\n\r\n";
    lay_out(&l, text, sizeof(text) - 1);
    /* The library joins a folded value in memory of its own, outside of the head. */
    static const char joined[] = "a b";
    l.lines[1].value = joined;
    l.lines[1].value_size = 3;
    assert_non_null(strstr(head_fault(&l.head, &length), "folded"));
}

static void a_target_with_blanks_is_refused(void **state)
{
    (void)state;
    assert_null(target_fault("/a%20b?c=d+e"));
    assert_non_null(target_fault("/a b"));
    assert_non_null(target_fault("/a\rb"));
    assert_non_null(target_fault("/a\x7f"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_head_tells_its_bodys_length),
        cmocka_unit_test(what_two_parsers_could_read_differently_is_refused),
        cmocka_unit_test(a_folded_line_is_refused),
        cmocka_unit_test(a_target_with_blanks_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
