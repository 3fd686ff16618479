#include "api/head.h"

#include <string.h>
#include <strings.h>

static bool is_name(const struct head_line *l, const char *name)
{
    return !strcasecmp(l->name, name);
}

/* A header's name: RFC 9110's token. */
static bool is_token(const char *s, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c))
            return false;
    }
    return size > 0;
}

static bool is_value(const char *s, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)s[i] < ' ' && s[i] != '\t') || s[i] == 0x7f)
            return false;
    return true;
}

/*
 * The library replaces each CRLF by two NULs, and everything stays where it
 * arrived.  So a line that does not begin right after the CRLF of the one
 * before it tells of a bare LF, a NUL, or a folded line.
 */
static const char *layout_fault(const struct head *head)
{
    const char *begin = head->method, *end = head->method + head->size;
    const char *expected = head->version + strlen(head->version) + 2;
    static const char broken[] = "its head has a folded line, a bare LF or a NUL byte";
    if (head->version < begin || expected > end)
        return broken;
    for (int i = 0; i < head->n_lines; i++) {
        const struct head_line *l = &head->lines[i];
        if (l->name != expected || !l->value || l->value < l->name || l->value >= end)
            return broken;
        expected = l->value + l->value_size + 2;
    }
    return expected + 2 == end ? NULL : broken;
}

static bool read_length(const char *s, int64_t *ret_length)
{
    int64_t n = 0;
    if (!*s)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || n > (INT64_MAX - 9) / 10)
            return false;
        n = n * 10 + (*s - '0');
    }
    *ret_length = n;
    return true;
}

const char *head_fault(const struct head *head, int64_t *ret_length)
{
    int n_hosts = 0, n_lengths = 0, n_encodings = 0;
    int64_t length = 0;
    for (int i = 0; i < head->n_lines; i++) {
        const struct head_line *l = &head->lines[i];
        if (!is_token(l->name, l->name_size))
            return "a header's name has a character that is not allowed";
        if (l->value && !is_value(l->value, l->value_size))
            return "a header's value has a bare CR or another control character";
    }
    const char *fault = layout_fault(head);
    if (fault)
        return fault;
    for (int i = 0; i < head->n_lines; i++) {
        const struct head_line *l = &head->lines[i];
        if (is_name(l, "Host")) {
            n_hosts++;
        } else if (is_name(l, "Content-Length")) {
            n_lengths++;
            if (!read_length(l->value, &length))
                return "its Content-Length is no number";
        } else if (is_name(l, "Transfer-Encoding")) {
            n_encodings++;
            if (strcasecmp(l->value, "chunked"))
                return "its Transfer-Encoding is not 'chunked'";
        }
    }
    if (n_hosts > 1)
        return "it has two Host headers";
    if (!n_hosts && strcmp(head->version, "HTTP/1.0"))
        return "it has no Host header";
    if (n_lengths > 1)
        return "it has two Content-Length headers";
    if (n_encodings > 1)
        return "it has two Transfer-Encoding headers";
    if (n_encodings && n_lengths)
        return "it has both Content-Length and Transfer-Encoding";
    *ret_length = n_encodings ? HEAD_CHUNKED : length;
    return NULL;
}

const char *target_fault(const char *uri)
{
    for (; *uri; uri++)
        if ((unsigned char)*uri <= ' ' || *uri == 0x7f)
            return "its target has a blank or a control character";
    return NULL;
}
