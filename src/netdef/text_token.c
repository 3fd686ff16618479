#include "netdef/text_token.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static bool name_start(char c)
{
    return isalpha((unsigned char)c) || c == '_';
}

static bool name_part(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static char peek(const struct tokens *t, size_t ahead)
{
    return (size_t)(t->end - t->next) > ahead ? t->next[ahead] : '\0';
}

static void step(struct tokens *t)
{
    if (*t->next == '\n') {
        t->line++;
        t->column = 1;
    } else {
        t->column++;
    }
    t->next++;
}

enum status token_error(const struct tokens *t, const struct token *at, const char *format, ...)
{
    char what[ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    return error_set_at(t->err, INVALID, at->line, at->column, "%s line %d, column %d: %s", t->name, at->line,
                        at->column, what);
}

bool token_is(const struct token *token, char symbol)
{
    return token->kind == TOKEN_SYMBOL && *token->start == symbol;
}

const char *token_text(const struct token *token, char out[TOKEN_TEXT_MAX])
{
    if (token->kind == TOKEN_END) {
        snprintf(out, TOKEN_TEXT_MAX, "the end of the text");
        return out;
    }
    size_t n = 0;
    out[n++] = '\'';
    for (size_t i = 0; i < token->size && n < TOKEN_TEXT_MAX - 5; i++) {
        unsigned char c = (unsigned char)token->start[i];
        out[n++] = c < ' ' || c == 127 ? '?' : (char)c;
    }
    if (token->size > n - 1) {
        /* Not in the middle of a UTF-8 sequence. */
        while (n > 1 && ((unsigned char)out[n - 1] & 0x80))
            n--;
        memcpy(out + n, "...", 3);
        n += 3;
    }
    out[n++] = '\'';
    out[n] = '\0';
    return out;
}

static void skip_space(struct tokens *t)
{
    while (t->next < t->end) {
        char c = *t->next;
        if (c == '#') {
            while (t->next < t->end && *t->next != '\n')
                step(t);
        } else if (c == ' ' || (c >= '\t' && c <= '\r')) {
            step(t);
        } else {
            return;
        }
    }
}

static void skip_digits(struct tokens *t)
{
    while (isdigit((unsigned char)peek(t, 0)))
        step(t);
}

static enum status scan_number(struct tokens *t, struct token *token)
{
    token->kind = TOKEN_INTEGER;
    if (peek(t, 0) == '0' && (peek(t, 1) | 0x20) == 'x') {
        step(t);
        step(t);
        if (!isxdigit((unsigned char)peek(t, 0)))
            return token_error(t, token, "'0x' must be followed by hexadecimal digits");
        while (isxdigit((unsigned char)peek(t, 0)))
            step(t);
        return OK;
    }
    skip_digits(t);
    if (peek(t, 0) == '.') {
        token->kind = TOKEN_FLOAT;
        step(t);
        skip_digits(t);
    }
    if ((peek(t, 0) | 0x20) == 'e') {
        token->kind = TOKEN_FLOAT;
        step(t);
        if (peek(t, 0) == '-' || peek(t, 0) == '+')
            step(t);
        if (!isdigit((unsigned char)peek(t, 0)))
            return token_error(t, token, "an exponent needs digits");
        skip_digits(t);
    }
    if ((peek(t, 0) | 0x20) == 'f') {
        token->kind = TOKEN_FLOAT;
        step(t);
    }
    return OK;
}

static enum status scan_string(struct tokens *t, struct token *token)
{
    char quote = *t->next;
    token->kind = TOKEN_STRING;
    step(t);
    while (t->next < t->end && *t->next != '\n') {
        char c = *t->next;
        step(t);
        if (c == quote)
            return OK;
        if (c == '\\' && t->next < t->end && *t->next != '\n')
            step(t);
    }
    return token_error(t, token, "the string that starts here has no closing %c on its line", quote);
}

enum status tokens_advance(struct tokens *t)
{
    skip_space(t);
    struct token token = {.start = t->next, .line = t->line, .column = t->column};
    if (t->next == t->end) {
        token.kind = TOKEN_END;
    } else if (name_start(*t->next)) {
        token.kind = TOKEN_NAME;
        while (t->next < t->end && name_part(*t->next))
            step(t);
    } else if (isdigit((unsigned char)*t->next) || (*t->next == '.' && isdigit((unsigned char)peek(t, 1)))) {
        TRY(scan_number(t, &token));
    } else if (*t->next == '"' || *t->next == '\'') {
        TRY(scan_string(t, &token));
    } else {
        token.kind = TOKEN_SYMBOL;
        unsigned char c = (unsigned char)*t->next;
        if (c < ' ' || c >= 127)
            return token_error(t, &token, "byte 0x%02x is not allowed outside of strings and comments", c);
        step(t);
    }
    token.size = (size_t)(t->next - token.start);
    t->now = token;
    return OK;
}

enum status tokens_init(struct tokens *t, const char *text, size_t size, const char *name, struct error *err)
{
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        size -= 3;
    }
    *t = (struct tokens){.name = name, .next = text, .end = text + size, .line = 1, .column = 1, .err = err};
    return tokens_advance(t);
}

static int hex_value(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Appends a code point as UTF-8; false when it is not one. */
static bool append_utf8(char *data, size_t *size, unsigned long point)
{
    if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        return false;
    if (point < 0x80) {
        data[(*size)++] = (char)point;
        return true;
    }
    int n_tail = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
    data[(*size)++] = (char)(lead[n_tail] | (point >> (6 * n_tail)));
    while (n_tail--)
        data[(*size)++] = (char)(0x80 | ((point >> (6 * n_tail)) & 0x3f));
    return true;
}

/* One escape; *p is past the backslash and moves past the escape. */
static bool decode_escape(const char **p, const char *end, char *data, size_t *size)
{
    static const char plain[] = "n\nr\rt\ta\ab\bf\fv\v\\\\''\"\"??";
    char c = *(*p)++;
    for (const char *pair = plain; *pair; pair += 2) {
        if (c == *pair) {
            data[(*size)++] = pair[1];
            return true;
        }
    }
    unsigned long value = 0;
    int n_max = 0, base = 16, n = 0;
    if (c >= '0' && c <= '7') {
        (*p)--;
        base = 8;
        n_max = 3;
    } else if (c == 'x' || c == 'X') {
        n_max = 2;
    } else if (c == 'u' || c == 'U') {
        n_max = c == 'u' ? 4 : 8;
    }
    while (n < n_max && *p < end &&
           (base == 8 ? **p >= '0' && **p <= '7' : isxdigit((unsigned char)**p) != 0)) {
        value = value * (unsigned)base + (unsigned)hex_value(*(*p)++);
        n++;
    }
    if (n_max > 3)
        return n == n_max && append_utf8(data, size, value);
    data[(*size)++] = (char)value;
    return n > 0 && value < 256;
}

enum status token_string(const struct tokens *t, const struct token *token, char **data, size_t *size)
{
    /* An escape is never shorter than what it stands for. */
    *data = xrealloc(*data, *size + token->size);
    const char *end = token->start + token->size - 1;
    for (const char *p = token->start + 1; p < end;) {
        if (*p != '\\') {
            (*data)[(*size)++] = *p++;
            continue;
        }
        const char *escape = p++;
        if (!decode_escape(&p, end, *data, size))
            return token_error(t, token, "unknown escape '%.*s' in a string", (int)(p - escape), escape);
    }
    return OK;
}
