#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char empty[1];

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.data = empty, .max = max_bytes};
}

void buf_release(struct buf *b)
{
    if (b->allocated)
        free(b->data);
    buf_init(b, b->max);
}

void buf_clear(struct buf *b)
{
    b->size = 0;
    b->overflowed = false;
    if (b->allocated)
        b->data[0] = '\0';
}

static bool grow(struct buf *b, size_t extra)
{
    if (b->overflowed || extra > b->max - b->size) {
        b->overflowed = true;
        return false;
    }
    size_t need = b->size + extra + 1;
    if (need > b->allocated) {
        size_t allocated = MAX(need, b->allocated + b->allocated / 2 + 64);
        b->data = xrealloc(b->allocated ? b->data : NULL, allocated);
        b->allocated = allocated;
    }
    return true;
}

void buf_append(struct buf *b, const void *bytes, size_t size)
{
    if (!grow(b, size))
        return;
    if (size)
        memcpy(b->data + b->size, bytes, size);
    b->size += size;
    b->data[b->size] = '\0';
}

void buf_puts(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

void buf_putc(struct buf *b, char c)
{
    buf_append(b, &c, 1);
}

void buf_puts_xml(struct buf *b, const char *s)
{
    for (; *s; s++) {
        if (*s == '<')
            buf_puts(b, "&lt;");
        else if (*s == '>')
            buf_puts(b, "&gt;");
        else if (*s == '&')
            buf_puts(b, "&amp;");
        else if (*s == '"')
            buf_puts(b, "&quot;");
        else if ((unsigned char)*s >= ' ')
            buf_putc(b, *s);
    }
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length >= 0 && grow(b, (size_t)length)) {
        vsnprintf(b->data + b->size, (size_t)length + 1, format, again);
        b->size += (size_t)length;
    }
    va_end(again);
}

char *buf_take(struct buf *b, size_t *ret_size)
{
    char *data = b->allocated ? b->data : xstrdup("");
    if (ret_size)
        *ret_size = b->size;
    buf_init(b, b->max);
    return data;
}
