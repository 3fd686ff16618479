#include "cli/parameters.h"

#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/file.h"

#define SETS_MAX 50000
#define FILE_MAX (64 << 20)
#define CELL_MAX (1 << 20)

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

/* ---- CSV, as RFC 4180 has it ---- */

struct csv {
    const char *at;
    int line; /* from 1 */
};

/* The next cell, for the caller to free; *ret_last: its line ends with it. */
static enum status read_cell(struct csv *csv, char **ret_cell, bool *ret_last, struct error *err)
{
    CLEANUP(buf_release) struct buf cell;
    buf_init(&cell, CELL_MAX);
    int begun = csv->line;
    bool quoted = *csv->at == '"';
    for (csv->at += quoted; *csv->at; csv->at++) {
        if (quoted && *csv->at == '"' && csv->at[1] == '"')
            csv->at++;
        else if (quoted ? *csv->at == '"' : strchr(",\r\n", *csv->at) != NULL)
            break;
        csv->line += *csv->at == '\n';
        buf_putc(&cell, *csv->at);
    }
    if (quoted && *csv->at++ != '"')
        return error_set(err, INVALID, "line %d: a quote is not closed", begun);
    if (cell.overflowed || (*csv->at && !strchr(",\r\n", *csv->at)))
        return error_set(err, INVALID, "line %d: %s", begun,
                         cell.overflowed ? "a cell is too long" : "a comma is missing after a quote");
    *ret_last = *csv->at != ',';
    if (*csv->at == ',')
        csv->at++;
    csv->at += *csv->at == '\r' && *ret_last;
    if (*csv->at == '\n' && *ret_last) {
        csv->at++;
        csv->line++;
    }
    *ret_cell = buf_take(&cell, NULL);
    return OK;
}

static enum status read_names(struct csv *csv, json_t *names, struct error *err)
{
    for (bool last = false; !last;) {
        CLEANUP(freep) char *name = NULL;
        TRY(read_cell(csv, &name, &last, err));
        if (!*name || json_array_append_new(names, json_string(name)))
            return error_set(err, INVALID, "line 1: names of parameters are wanted, divided by commas");
    }
    return OK;
}

/* A set; an empty cell leaves its parameter out. */
static enum status read_row(struct csv *csv, const json_t *names, json_t *set, struct error *err)
{
    size_t n = 0;
    int line = csv->line;
    for (bool last = false; !last; n++) {
        CLEANUP(freep) char *text = NULL;
        TRY(read_cell(csv, &text, &last, err));
        const char *name = json_string_value(json_array_get(names, n));
        if (name && *text && json_object_set_new(set, name, read_value(text, strlen(text))))
            return error_set(err, INVALID, "line %d: '%s' is no UTF-8", line, name);
    }
    if (n == json_array_size(names))
        return OK;
    return error_set(err, INVALID, "line %d has %zu cells, and line 1 names %zu parameters", line, n,
                     json_array_size(names));
}

static enum status read_csv(const char *text, json_t *sets, struct error *err)
{
    struct csv csv = {.at = text, .line = 1};
    CLEANUP(json_decrefp) json_t *names = json_array();
    TRY(read_names(&csv, names, err));
    while (*csv.at) {
        if (*csv.at == '\n' || *csv.at == '\r') {
            csv.line += *csv.at++ == '\n';
            continue;
        }
        CLEANUP(json_decrefp) json_t *set = json_object();
        TRY(read_row(&csv, names, set, err));
        json_array_append(sets, set);
    }
    return OK;
}

static bool is_csv(const char *path)
{
    const char *end = strrchr(path, '.');
    return end && !strcasecmp(end, ".csv");
}

enum status parameters_read(const char *path, json_t **ret_sets, struct error *err)
{
    CLEANUP(freep) char *text = NULL;
    CLEANUP(json_decrefp) json_t *sets = NULL;
    size_t size;
    TRY(file_read(path, FILE_MAX, &text, &size, err));
    if (is_csv(path)) {
        sets = json_array();
        if (read_csv(text, sets, err) != OK)
            return error_context(err, "'%s'", path);
    } else if (text[strspn(text, " \t\r\n")] == '[') {
        if (json_read(text, size, &sets, err) != OK)
            return error_context(err, "'%s'", path);
    } else {
        sets = json_array();
        if (read_lines(text, sets, err) != OK)
            return error_context(err, "'%s'", path);
    }
    if (!json_array_size(sets))
        return error_set(
            err, INVALID,
            "'%s' holds no parameter sets: an array of objects is wanted, an object a line, or CSV", path);
    *ret_sets = TAKE(sets);
    return OK;
}
