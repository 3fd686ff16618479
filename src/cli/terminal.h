/*
 * terminal.h - what standard output can show.
 */
#ifndef ET_TERMINAL_H
#define ET_TERMINAL_H

#include "base/buf.h"

struct terminal {
    bool is_one;       /* standard output is a terminal */
    bool has_colour;   /* that, and NO_COLOR is not set, nor TERM dumb */
    bool has_utf8;     /* the locale's characters are UTF-8 */
    int columns, rows; /* 80 x 24 when it is none */
};
void terminal_look(struct terminal *ret_terminal);

/* Text from elsewhere, cut or filled with blanks to `width` bytes (0: as it is); control bytes become '?'. */
void terminal_put(struct buf *b, const char *text, int width);

#endif
