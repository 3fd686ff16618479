#include "api/range.h"

#include <string.h>

/* Digits at *s; false when there are none or too many. */
static bool read_number(const char **s, int64_t *ret_n)
{
    int64_t n = 0;
    const char *begin = *s;
    for (; **s >= '0' && **s <= '9'; (*s)++) {
        if (n > (INT64_MAX - 9) / 10)
            return false;
        n = n * 10 + (**s - '0');
    }
    *ret_n = n;
    return *s > begin;
}

static const char *skip_blanks(const char *s)
{
    return s + strspn(s, " \t");
}

enum range_result range_read(const char *header, int64_t size, int64_t *ret_offset, int64_t *ret_length)
{
    int64_t first = -1, last = -1;
    if (!header || strncasecmp(header, "bytes=", 6))
        return RANGE_WHOLE;
    const char *s = skip_blanks(header + 6);
    if (*s != '-' && !read_number(&s, &first))
        return RANGE_WHOLE;
    if (*s++ != '-')
        return RANGE_WHOLE;
    if (*s >= '0' && *s <= '9' && !read_number(&s, &last))
        return RANGE_WHOLE;
    if (*skip_blanks(s) || (first < 0 && last < 0) || (first >= 0 && last >= 0 && last < first))
        return RANGE_WHOLE;
    if (first < 0) {
        if (last == 0 || size == 0)
            return RANGE_UNSATISFIABLE;
        *ret_length = MIN(last, size);
        *ret_offset = size - *ret_length;
        return RANGE_PART;
    }
    if (first >= size)
        return RANGE_UNSATISFIABLE;
    *ret_offset = first;
    *ret_length = (last < 0 || last >= size ? size - 1 : last) - first + 1;
    return RANGE_PART;
}

bool etag_matches(const char *list, const char *etag, bool weak)
{
    size_t n = strlen(etag);
    const char *s = skip_blanks(list);
    if (*s == '*')
        return true;
    while (*s) {
        bool is_weak = !strncmp(s, "W/", 2);
        const char *tag = is_weak ? s + 2 : s;
        if (*tag != '"')
            return false;
        const char *end = strchr(tag + 1, '"');
        if (!end)
            return false;
        if ((weak || !is_weak) && (size_t)(end + 1 - tag) == n && !memcmp(tag, etag, n))
            return true;
        s = end + 1 + strspn(end + 1, " \t,");
    }
    return false;
}
