/*
 * json.h - JSON by jansson, strictly: duplicate keys, nesting deeper than 100,
 * invalid UTF-8 and anything after the value are refused.
 */
#ifndef ET_JSON_H
#define ET_JSON_H

#include <jansson.h>

#include "base/base.h"

/* jansson brings CLEANUP(json_decrefp). */

/*
 * Reads one JSON value; the caller owns the reference.
 * Errors: INVALID with line and column.
 */
enum status json_read(const char *text, size_t size, json_t **ret_json, struct error *err);

/*
 * The value's text by jansson's flags (JSON_INDENT(2), ...), of any type of
 * value, for the caller to free.  Reals are as real_text writes them.
 */
char *json_text_as(const json_t *json, size_t flags);

/* Compact text with sorted keys, for the caller to free. */
char *json_text(const json_t *json);

#define REAL_TEXT_MAX 32

/*
 * 15, 16 or 17 digits of a finite value, the fewest that read back as the same
 * double: 0.3, not 0.29999999999999999.  A whole number has no point.
 */
const char *real_text(double value, char out[REAL_TEXT_MAX]);

/* A string of any bytes: what is not UTF-8 becomes U+FFFD.  New. */
json_t *json_of_bytes(const char *bytes, size_t size);

/* The string at key, or otherwise when it is absent or no string.  Lent. */
const char *json_get_string(const json_t *object, const char *key, const char *otherwise);
int64_t json_get_int(const json_t *object, const char *key, int64_t otherwise);
bool json_get_bool(const json_t *object, const char *key, bool otherwise);

#endif
