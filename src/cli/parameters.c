#include "cli/parameters.h"

#include <string.h>

#include "base/file.h"

#define SETS_MAX 50000
#define FILE_MAX (64 << 20)

static json_t *read_value(const char *text, size_t size)
{
    json_t *value = NULL;
    struct error ignored;
    if (json_read(text, size, &value, &ignored) == OK && (json_is_number(value) || json_is_boolean(value)))
        return value;
    json_decref(value);
    return json_stringn(text, size);
}

enum status parameters_cross(json_t *sets, const char *text, struct error *err)
{
    const char *values = strchr(text, '=');
    if (!values || values == text || !values[1])
        return error_set(err, INVALID, "'%s' is no parameter: NAME=VALUE,VALUE is wanted", text);
    CLEANUP(freep) char *name = strndup(text, (size_t)(values - text));
    CLEANUP(json_decrefp) json_t *before = json_array_size(sets) ? json_copy(sets) : json_pack("[{}]");
    json_array_clear(sets);
    for (const char *p = values + 1, *end; p; p = *end ? end + 1 : NULL) {
        end = p + strcspn(p, ",");
        CLEANUP(json_decrefp) json_t *value = read_value(p, (size_t)(end - p));
        if (end == p || !value)
            return error_set(err, INVALID, "'%s': a value is empty or no UTF-8", text);
        if (json_array_size(sets) + json_array_size(before) > SETS_MAX)
            return error_set(err, TOO_LARGE, "more than %d parameter sets", SETS_MAX);
        size_t i;
        json_t *set;
        json_array_foreach(before, i, set) {
            json_t *with = json_copy(set);
            json_object_set(with, name, value);
            json_array_append_new(sets, with);
        }
    }
    return OK;
}

static enum status read_lines(const char *text, json_t *sets, struct error *err)
{
    int line = 1;
    for (const char *p = text; *p; line++) {
        size_t size = strcspn(p, "\n");
        json_t *set = NULL;
        if (strspn(p, " \t\r") < size) {
            if (json_read(p, size, &set, err) != OK)
                return error_context(err, "line %d", line);
            json_array_append_new(sets, set);
        }
        p += size + (p[size] == '\n');
    }
    return OK;
}

enum status parameters_read(const char *path, json_t **ret_sets, struct error *err)
{
    CLEANUP(freep) char *text = NULL;
    CLEANUP(json_decrefp) json_t *sets = NULL;
    size_t size;
    TRY(file_read(path, FILE_MAX, &text, &size, err));
    if (text[strspn(text, " \t\r\n")] == '[') {
        if (json_read(text, size, &sets, err) != OK)
            return error_context(err, "'%s'", path);
    } else {
        sets = json_array();
        if (read_lines(text, sets, err) != OK)
            return error_context(err, "'%s'", path);
    }
    if (!json_array_size(sets))
        return error_set(err, INVALID,
                         "'%s' holds no parameter sets: an array of objects is wanted, or an object a line",
                         path);
    *ret_sets = TAKE(sets);
    return OK;
}
