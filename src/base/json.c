#include "base/json.h"

#include <stdlib.h>

/* The parser, and whatever walks a value, recurses; threads that do have small stacks. */
#define DEPTH_MAX 100

/* Where brackets nest deeper than DEPTH_MAX; NULL: nowhere.  Text that is no JSON is the parser's to refuse. */
static const char *find_too_deep(const char *text, size_t size)
{
    int depth = 0;
    bool in_string = false;
    for (const char *c = text; c < text + size; c++) {
        if (in_string && *c == '\\')
            c++;
        else if (*c == '"')
            in_string = !in_string;
        else if (!in_string && (*c == '{' || *c == '['))
            depth++;
        else if (!in_string && (*c == '}' || *c == ']'))
            depth--;
        if (depth > DEPTH_MAX)
            return c;
    }
    return NULL;
}

enum status json_read(const char *text, size_t size, json_t **ret_json, struct error *err)
{
    json_error_t e;
    const char *deep = find_too_deep(text, size);
    if (deep)
        return error_set(err, INVALID, "not taken as JSON: at byte %zu it is nested deeper than %d",
                         (size_t)(deep - text) + 1, DEPTH_MAX);
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (!json)
        return error_set_at(err, INVALID, e.line, e.column, "not valid JSON at line %d, column %d: %s",
                            e.line, e.column, e.text);
    *ret_json = json;
    return OK;
}

char *json_text(const json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    if (!text)
        abort();
    return text;
}

const char *json_get_string(const json_t *object, const char *key, const char *otherwise)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : otherwise;
}

int64_t json_get_int(const json_t *object, const char *key, int64_t otherwise)
{
    json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : otherwise;
}

bool json_get_bool(const json_t *object, const char *key, bool otherwise)
{
    json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_boolean_value(value) : otherwise;
}
