#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The parser, and whatever walks a value, recurses; threads that do have small stacks. */
#define DEPTH_MAX 100

/*
 * Errors: INVALID where brackets nest deeper than DEPTH_MAX.  Text that is no
 * JSON is the parser's to refuse.
 */
static enum status check_depth(const char *text, size_t size, struct error *err)
{
    int depth = 0, line = 1;
    const char *line_start = text;
    bool in_string = false;
    for (const char *c = text; c < text + size; c++) {
        if (*c == '\n') {
            line++;
            line_start = c + 1;
        }
        if (in_string && *c == '\\')
            c++;
        else if (*c == '"')
            in_string = !in_string;
        else if (!in_string && (*c == '{' || *c == '['))
            depth++;
        else if (!in_string && (*c == '}' || *c == ']'))
            depth--;
        if (depth > DEPTH_MAX) {
            int column = (int)MIN(c - line_start + 1, INT32_MAX);
            return error_set_at(err, INVALID, line, column,
                                "not taken as JSON: nested deeper than %d at line %d, column %d", DEPTH_MAX,
                                line, column);
        }
    }
    return OK;
}

enum status json_read(const char *text, size_t size, json_t **ret_json, struct error *err)
{
    json_error_t e;
    TRY(check_depth(text, size, err));
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (!json)
        return error_set_at(err, INVALID, e.line, e.column, "not valid JSON at line %d, column %d: %s",
                            e.line, e.column, e.text);
    *ret_json = json;
    return OK;
}

const char *real_text(double value, char out[REAL_TEXT_MAX])
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, REAL_TEXT_MAX, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            break;
    }
    return out;
}

/* Writes the real at the beginning of text again, never longer, and tells its new size. */
static size_t shorten_real(const char *text, size_t size, char *out)
{
    char number[REAL_TEXT_MAX];
    real_text(strtod(text, NULL), number);
    bool is_whole = !number[strcspn(number, ".e")];
    size_t n = strlen(number) + (is_whole ? 2 : 0);
    memmove(out, n < size ? number : text, n < size ? strlen(number) : size);
    if (n < size && is_whole)
        memcpy(out + n - 2, ".0", 2);
    return MIN(n, size);
}

/* jansson writes every real with 17 digits, or all with fewer. */
static void shorten_reals(char *text)
{
    char *out = text;
    for (const char *in = text; *in;) {
        size_t n = 1;
        if (*in == '"') {
            while (in[n] != '"')
                n += in[n] == '\\' ? 2 : 1;
            n++;
        } else if (*in == '-' || (*in >= '0' && *in <= '9')) {
            n = strspn(in, "-+.eE0123456789");
            if (memchr(in, '.', n) || memchr(in, 'e', n)) {
                out += shorten_real(in, n, out);
                in += n;
                continue;
            }
        }
        memmove(out, in, n);
        out += n;
        in += n;
    }
    *out = '\0';
}

char *json_text_as(const json_t *json, size_t flags)
{
    char *text = json_dumps(json, flags | JSON_ENCODE_ANY);
    if (!text)
        abort();
    shorten_reals(text);
    return text;
}

char *json_text(const json_t *json)
{
    return json_text_as(json, JSON_COMPACT | JSON_SORT_KEYS);
}

const char *json_get_string(const json_t *object, const char *key, const char *otherwise)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : otherwise;
}

int64_t json_get_int(const json_t *object, const char *key, int64_t otherwise)
{
    json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : otherwise;
}

bool json_get_bool(const json_t *object, const char *key, bool otherwise)
{
    json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_boolean_value(value) : otherwise;
}

/* The size of the UTF-8 character at bytes (Unicode's table 3-7); 0: there is none. */
static size_t utf8_size(const unsigned char *s, size_t left)
{
    static const struct {
        unsigned char first, last, from, to; /* of the first byte; of the second */
        size_t size;
    } rows[] = {
        {0x00, 0x7f, 0x00, 0xff, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (s[0] < rows[i].first || s[0] > rows[i].last)
            continue;
        if (left < rows[i].size || (rows[i].size > 1 && (s[1] < rows[i].from || s[1] > rows[i].to)))
            return 0;
        for (size_t k = 2; k < rows[i].size; k++)
            if (s[k] < 0x80 || s[k] > 0xbf)
                return 0;
        return rows[i].size;
    }
    return 0;
}

json_t *json_of_bytes(const char *bytes, size_t size)
{
    CLEANUP(freep) char *text = xmalloc(3 * size + 1);
    size_t n = 0;
    for (size_t i = 0; i < size;) {
        size_t c = utf8_size((const unsigned char *)bytes + i, size - i);
        memcpy(text + n, c ? bytes + i : "\xef\xbf\xbd", c ? c : 3);
        n += c ? c : 3;
        i += c ? c : 1;
    }
    return json_stringn(text, n);
}
