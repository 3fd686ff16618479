#include "base/log.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

void log_event(const char *event, const char *format, ...)
{
    char line[4096];
    char when[CLOCK_TEXT_MAX];
    clock_text(clock_now_ms(), when);
    int n = snprintf(line, sizeof(line), "ts=%s event=%s ", when, event);
    va_list args;
    va_start(args, format);
    int m = vsnprintf(line + n, sizeof(line) - (size_t)n, format, args);
    va_end(args);
    size_t size = MIN(sizeof(line) - 1, (size_t)n + (size_t)MAX(m, 0));
    line[size == sizeof(line) - 1 ? size - 1 : size] = '\n';
    size = size == sizeof(line) - 1 ? size : size + 1;
    /* One write a line keeps lines whole between threads and processes. */
    ssize_t written = write(STDERR_FILENO, line, size);
    (void)written; /* nobody is left to tell */
}

const char *log_value(const char *s, char out[LOG_VALUE_MAX])
{
    bool plain = *s != '\0';
    for (const char *p = s; *p && plain; p++)
        plain = isgraph((unsigned char)*p) && !strchr("\"\\=", *p);
    if (plain && strlen(s) <= 200) {
        memcpy(out, s, strlen(s) + 1);
        return out;
    }
    size_t n = 0;
    out[n++] = '"';
    for (size_t i = 0; i < 200 && s[i]; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\')
            n += (size_t)snprintf(out + n, LOG_VALUE_MAX - n, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            n += (size_t)snprintf(out + n, LOG_VALUE_MAX - n, "\\x%02x", c);
        else
            out[n++] = (char)c;
    }
    out[n++] = '"';
    out[n] = '\0';
    return out;
}
