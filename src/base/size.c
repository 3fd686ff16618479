#include "base/size.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool size_read(const char *text, int64_t *ret_bytes)
{
    static const char units[] = "KMGT";
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    int shift = unit ? (int)(unit - units + 1) * 10 : 0;
    if (end == text || errno || n < 1 || (*end && (!unit || end[1])) || n > (INT64_MAX >> shift))
        return false;
    *ret_bytes = n << shift;
    return true;
}

const char *size_text(int64_t bytes, char out[SIZE_TEXT_MAX])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    if (bytes < 1024) {
        snprintf(out, SIZE_TEXT_MAX, "%lld bytes", (long long)bytes);
        return out;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
        value /= 1024;
        unit++;
    }
    snprintf(out, SIZE_TEXT_MAX, "%.4g %s", value, units[unit]);
    return out;
}
