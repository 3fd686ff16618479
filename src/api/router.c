#include "api/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *uri_decode(const char *s, size_t size, bool plus_is_space)
{
    CLEANUP(freep) char *out = xmalloc(size + 1);
    char *o = out;
    for (size_t i = 0; i < size; i++) {
        int c = (unsigned char)s[i];
        if (c == '%') {
            int high = i + 2 < size ? hex_digit(s[i + 1]) : -1;
            int low = high < 0 ? -1 : hex_digit(s[i + 2]);
            if (low < 0)
                return NULL;
            c = high * 16 + low;
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (!c)
            return NULL;
        *o++ = (char)c;
    }
    *o = '\0';
    return TAKE(out);
}

/* Length of the path's segment at s. */
static size_t segment(const char *s)
{
    return strcspn(s, "/");
}

static bool is_variable(const char *s)
{
    return *s == '{';
}

/* Whether path, as sent, has the form of a route's path; bits: 1 for each literal segment, first one highest.
 */
static bool path_matches(const char *pattern, const char *path, uint32_t *ret_bits)
{
    uint32_t bits = 0;
    for (int depth = 0; depth < 31; depth++) {
        if (*pattern != '/' || *path != '/')
            break;
        pattern++, path++;
        size_t n = segment(pattern), m = segment(path);
        bits <<= 1;
        if (!is_variable(pattern)) {
            if (n != m || memcmp(pattern, path, n))
                return false;
            bits |= 1;
        } else if (!m) {
            return false;
        }
        pattern += n, path += m;
    }
    *ret_bits = bits;
    return !*pattern && !*path;
}

static bool take_args(const char *pattern, const char *path, struct route_match *m)
{
    for (int n = 0; *pattern == '/'; pattern += segment(pattern), path += segment(path)) {
        pattern++, path++;
        if (!is_variable(pattern))
            continue;
        if (n == ROUTE_ARGS)
            abort();
        m->args[n] = uri_decode(path, segment(path), false);
        if (!m->args[n++])
            return false;
    }
    return true;
}

static void allow_add(struct route_match *m, const char *method)
{
    size_t n = strlen(m->allow);
    snprintf(m->allow + n, sizeof(m->allow) - n, "%s, ", method);
    if (!strcmp(method, "GET"))
        allow_add(m, "HEAD");
}

enum route_result route_find(const struct route *const *tables, const char *method, const char *path,
                             struct route_match *ret_match)
{
    const char *wanted = strcmp(method, "HEAD") ? method : "GET";
    const struct route *best = NULL;
    uint32_t best_bits = 0;
    bool any = false;
    *ret_match = (struct route_match){0};
    for (; *tables; tables++) {
        for (const struct route *r = *tables; r->method; r++) {
            uint32_t bits;
            if (!path_matches(r->path, path, &bits))
                continue;
            ret_match->other = r;
            if (!strstr(ret_match->allow, r->method))
                allow_add(ret_match, r->method);
            if (!strcmp(r->method, wanted) && (!best || bits > best_bits)) {
                best = r;
                best_bits = bits;
            }
            any = true;
        }
    }
    if (!any)
        return ROUTE_NO_PATH;
    size_t n = strlen(ret_match->allow);
    snprintf(ret_match->allow + n, sizeof(ret_match->allow) - n, "OPTIONS");
    if (!best)
        return ROUTE_NO_METHOD;
    ret_match->route = best;
    return take_args(best->path, path, ret_match) ? ROUTE_FOUND : ROUTE_BAD_PATH;
}

void route_match_release(struct route_match *m)
{
    for (int i = 0; i < ROUTE_ARGS; i++)
        free(m->args[i]);
    *m = (struct route_match){0};
}

enum status query_read(const char *text, struct query *ret_query, struct error *err)
{
    struct query q = {0};
    while (text && *text) {
        size_t size = strcspn(text, "&"), name = strcspn(text, "=&");
        if (size) {
            if (q.n == QUERY_MAX) {
                query_release(&q);
                return error_set(err, INVALID, "the query has more than %d parameters", QUERY_MAX);
            }
            q.pairs[q.n].name = uri_decode(text, name, true);
            q.pairs[q.n].value =
                name < size ? uri_decode(text + name + 1, size - name - 1, true) : xstrdup("");
            q.n++;
            if (!q.pairs[q.n - 1].name || !q.pairs[q.n - 1].value) {
                query_release(&q);
                return error_set(err, INVALID,
                                 "the query has a broken escape: expected %% and two hex digits, not 00");
            }
        }
        text += size + (text[size] == '&');
    }
    *ret_query = q;
    return OK;
}

void query_release(struct query *q)
{
    for (int i = 0; i < q->n; i++) {
        free(q->pairs[i].name);
        free(q->pairs[i].value);
    }
    *q = (struct query){0};
}

const char *query_get(const struct query *q, const char *name)
{
    for (int i = 0; i < q->n; i++)
        if (!strcmp(q->pairs[i].name, name))
            return q->pairs[i].value;
    return NULL;
}
