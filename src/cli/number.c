#include "cli/number.h"

#include <errno.h>
#include <stdlib.h>

bool read_integer(const char *text, int64_t low, int64_t high, int64_t *ret_value)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < low || value > high)
        return false;
    *ret_value = value;
    return true;
}
