#include "cli/terminal.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void terminal_look(struct terminal *ret_terminal)
{
    struct winsize size = {0};
    struct terminal t = {.is_one = isatty(STDOUT_FILENO), .columns = 80, .rows = 24};
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
    if (t.is_one && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col && size.ws_row) {
        t.columns = size.ws_col;
        t.rows = size.ws_row;
    }
    t.has_colour = t.is_one && !(no_colour && *no_colour) && !(term && !strcmp(term, "dumb"));
    setlocale(LC_CTYPE, "");
    t.has_utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
    *ret_terminal = t;
}

void terminal_put(struct buf *b, const char *text, int width)
{
    int n = 0;
    for (; text[n] && (!width || n < width); n++)
        buf_putc(b, (unsigned char)text[n] < ' ' || text[n] == 0x7f ? '?' : text[n]);
    for (; n < width; n++)
        buf_putc(b, ' ');
}
