#include "api/form.h"

#include <string.h>

/* A form's text as its row takes it; what does not look like that stays text, and is told when it is decoded.
 */
static json_t *value_of(const struct field *f, const char *text)
{
    json_t *value = NULL;
    if (f->type == FIELD_STRING || f->type == FIELD_ID || f->type == FIELD_URL || f->type == FIELD_NUMERIC ||
        json_read(text, strlen(text), &value, NULL) != OK)
        return json_string(text);
    return value;
}

enum status form_object(const struct form_value *values, int n, const struct field *table,
                        json_t **ret_object, struct error *err)
{
    CLEANUP(json_decrefp) json_t *object = json_object();
    for (int i = 0; i < n; i++) {
        const struct field *f = fields_find(table, values[i].part);
        bool repeats = f && f->type == FIELD_ARRAY && f->fields;
        json_t *value = f ? value_of(repeats ? f->fields : f, values[i].value) : NULL;
        if (!value)
            return error_set(err, INVALID, "the form's part '%.64s' is none that is taken here, or no UTF-8",
                             values[i].part);
        json_t *there = json_object_get(object, f->name);
        if (!repeats && there) {
            json_decref(value);
            return error_set(err, INVALID, "the form has two parts '%.64s'", values[i].part);
        }
        if (repeats && !there)
            json_object_set_new(object, f->name, there = json_array());
        if (repeats)
            json_array_append_new(there, value);
        else
            json_object_set_new(object, f->name, value);
    }
    *ret_object = TAKE(object);
    return OK;
}
