/*
 * head.h - what a request's head must be, beyond what the HTTP library sees to.
 *
 * Anything that two parsers could read differently (request smuggling) is
 * refused: two lengths, two hosts or none, folded lines, bare CR or LF, NUL.
 */
#ifndef ET_HEAD_H
#define ET_HEAD_H

#include "base/base.h"

struct head_line {
    const char *name, *value; /* in the buffer that the head arrived in, NUL-terminated */
    size_t name_size, value_size;
};

struct head {
    const char *version; /* end of the first line, in the same buffer */
    const char *method;  /* begin of the first line */
    size_t size;         /* bytes from the method to the end of the empty line */
    int n_lines;
    const struct head_line *lines; /* in order of arrival */
};

/* What the body's length is said to be. */
#define HEAD_CHUNKED (-1)

/*
 * NULL when the head is sound, else what is wrong with it ("it has two Host
 * headers").  ret_length (on NULL only): Content-Length, 0 without one, or
 * HEAD_CHUNKED.
 */
const char *head_fault(const struct head *head, int64_t *ret_length);

/* The same of the target, as sent: a blank or a control character in it; NULL when it is sound. */
const char *target_fault(const char *uri);

#endif
