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

/* Compact text with sorted keys, for the caller to free. */
char *json_text(const json_t *json);

/* A string of any bytes: what is not UTF-8 becomes U+FFFD.  New. */
json_t *json_of_bytes(const char *bytes, size_t size);

/* The string at key, or otherwise when it is absent or no string.  Lent. */
const char *json_get_string(const json_t *object, const char *key, const char *otherwise);
int64_t json_get_int(const json_t *object, const char *key, int64_t otherwise);
bool json_get_bool(const json_t *object, const char *key, bool otherwise);

#endif
