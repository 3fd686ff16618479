/*
 * range.h - which part of a file a client wants (RFC 9110, 13 and 14).
 */
#ifndef ET_RANGE_H
#define ET_RANGE_H

#include "base/base.h"

enum range_result {
    RANGE_WHOLE, /* no Range, one that is not understood, or several ranges */
    RANGE_PART,
    RANGE_UNSATISFIABLE, /* 416 */
};

/* header: "bytes=0-99", "bytes=100-", "bytes=-5"; NULL: none. */
enum range_result range_read(const char *header, int64_t size, int64_t *ret_offset, int64_t *ret_length);

/*
 * Whether a list of entity tags ("a", W/"b" or *) names etag, quotes
 * included.  weak: as If-None-Match compares, else as If-Match and If-Range.
 */
bool etag_matches(const char *list, const char *etag, bool weak);

#endif
