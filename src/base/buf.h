/*
 * buf.h - bytes that grow up to a stated maximum.
 *
 * A buffer cannot be made without its maximum.  An append that would pass it
 * stores nothing and sets `overflowed`, which stays set: append freely, ask
 * once at the end.  data is always NUL-terminated (the NUL is not counted).
 */
#ifndef ET_BUF_H
#define ET_BUF_H

#include "base/base.h"

struct buf {
    char *data; /* never NULL */
    size_t size;
    size_t allocated;
    size_t max;
    bool overflowed;
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_release(struct buf *b);
void buf_clear(struct buf *b);

void buf_append(struct buf *b, const void *bytes, size_t size);
void buf_puts(struct buf *b, const char *s);
/* As text or a quoted attribute of XML or HTML: < > & " escaped, control characters left out. */
void buf_puts_xml(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Gives the bytes to the caller, who frees them; the buffer is empty again. */
char *buf_take(struct buf *b, size_t *ret_size);

#endif
