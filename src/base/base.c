#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_message(struct error *err, enum status status, int line, int column, const char *format,
                        va_list args)
{
    if (!err)
        return;
    err->status = status;
    err->line = line;
    err->column = column;
    /* Arguments may point into the message itself: format aside first. */
    char message[ERROR_MESSAGE_MAX];
    vsnprintf(message, sizeof(message), format, args);
    memcpy(err->message, message, sizeof(message));
}

enum status error_set(struct error *err, enum status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_message(err, status, 0, 0, format, args);
    va_end(args);
    return status;
}

enum status error_set_at(struct error *err, enum status status, int line, int column, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_message(err, status, line, column, format, args);
    va_end(args);
    return status;
}

enum status error_context(struct error *err, const char *format, ...)
{
    if (!err)
        return FAILED;
    char message[ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (length >= 0 && (size_t)length < sizeof(message))
        snprintf(message + length, sizeof(message) - (size_t)length, ": %s", err->message);
    memcpy(err->message, message, sizeof(message));
    return err->status;
}

const char *status_name(enum status status)
{
    static const char *const names[] = {
        [OK] = "ok",
        [INVALID] = "invalid",
        [NOT_FOUND] = "not found",
        [DENIED] = "not allowed",
        [CONFLICT] = "conflict",
        [TOO_LARGE] = "too large",
        [UNSUPPORTED] = "not supported",
        [UNAVAILABLE] = "unavailable",
        [NO_SPACE] = "no space",
        [LIMITED] = "limited",
        [CANCELLED] = "cancelled",
        [FAILED] = "failed",
    };
    return (size_t)status < ARRAY_SIZE(names) ? names[status] : "unknown";
}

void freep(void *pointer_to_pointer)
{
    void **p = pointer_to_pointer;
    free(*p);
    *p = NULL;
}

static void *need(void *p)
{
    if (!p) {
        fputs("et: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *xmalloc(size_t size)
{
    return need(malloc(size ? size : 1));
}

void *xcalloc(size_t n, size_t size)
{
    return need(calloc(n ? n : 1, size ? size : 1));
}

void *xrealloc(void *old, size_t size)
{
    return need(realloc(old, size ? size : 1));
}

char *xstrdup(const char *s)
{
    return need(strdup(s));
}

char *xasprintf(const char *format, ...)
{
    char *s = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&s, format, args);
    va_end(args);
    return need(length < 0 ? NULL : s);
}
