#include "api/fields.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "netdef/nearest.h"

const struct field *fields_find(const struct field *table, const char *name)
{
    for (const struct field *f = table; f && f->name; f++)
        if (!strcmp(f->name, name) || (f->also && !strcmp(f->also, name)))
            return f;
    return NULL;
}

/* The row that describes an array's elements or a map's values. */
static const struct field *any_row(const struct field *table)
{
    return table && table->name && !strcmp(table->name, "*") ? table : NULL;
}

double field_number(const json_t *value)
{
    if (json_is_number(value))
        return json_number_value(value);
    const char *s = json_string_value(value);
    if (!s || !*s || isspace((unsigned char)*s))
        return NAN;
    char *end;
    double number = strtod(s, &end);
    return *end || !isfinite(number) || strpbrk(s, "xXnN") ? NAN : number;
}

/* A place in the body, as a chain from the innermost key outwards. */
struct place {
    const struct place *up;
    const char *key; /* NULL at the top, and for an array's element */
    size_t index;
};

static void place_write(const struct place *at, struct buf *b)
{
    if (!at->up)
        return;
    place_write(at->up, b);
    if (!at->key) {
        buf_printf(b, "/%zu", at->index);
        return;
    }
    buf_putc(b, '/');
    for (const char *c = at->key; *c; c++) {
        if (*c == '~')
            buf_puts(b, "~0");
        else if (*c == '/')
            buf_puts(b, "~1");
        else
            buf_putc(b, *c);
    }
}

struct decoding {
    char *pointer;
    struct error *err;
};

/* The first failure's place and message: "'/scale' is true: expected ...". */
static enum status wrong(struct decoding *d, const struct place *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum status wrong(struct decoding *d, const struct place *at, const char *format, ...)
{
    struct buf b;
    buf_init(&b, 4096);
    place_write(at, &b);
    if (d->pointer) {
        size_t n = MIN(b.size, (size_t)FIELD_POINTER_MAX - 1);
        memcpy(d->pointer, b.data, n);
        d->pointer[n] = '\0';
    }
    char message[ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (at->up)
        error_set(d->err, INVALID, "'%s' %s", b.data + 1, message);
    else
        error_set(d->err, INVALID, "the body %s", message);
    buf_release(&b);
    return INVALID;
}

/* What a value is, in words: "the string 'abc'", "an array". Returns out. */
static const char *value_words(const json_t *value, char out[64])
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        snprintf(out, 64, "an array of %zu elements", json_array_size(value));
        return out;
    case JSON_STRING:
        snprintf(out, 64, "the string '%.32s%s'", json_string_value(value),
                 json_string_length(value) > 32 ? "..." : "");
        return out;
    case JSON_INTEGER:
        snprintf(out, 64, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return out;
    case JSON_REAL:
        return real_text(json_real_value(value), out);
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    default:
        return "null";
    }
}

/* A row's bound: 9000000000000000, not 9e+15. */
static const char *bound_text(double bound, char out[REAL_TEXT_MAX])
{
    snprintf(out, REAL_TEXT_MAX, fabs(bound) < 1e16 && bound == floor(bound) ? "%.0f" : "%.15g", bound);
    return out;
}

/* What a row takes, in words: "a number from 0 to 100". Returns out. */
static const char *expected_words(const struct field *f, char out[256])
{
    char range[80] = "", least[REAL_TEXT_MAX], most[REAL_TEXT_MAX];
    bool limited = f->min != 0 || f->max != 0;
    bool sized = f->type == FIELD_STRING || f->type == FIELD_URL || f->type == FIELD_ARRAY;
    const char *unit = !sized ? "" : f->type == FIELD_ARRAY ? " elements" : " bytes";
    if (limited && f->max == 0)
        snprintf(range, sizeof(range), " of at least %s%s", bound_text(f->min, least), unit);
    else if (limited)
        snprintf(range, sizeof(range), "%s %s to %s%s", sized ? " of" : " from", bound_text(f->min, least),
                 bound_text(f->max, most), unit);
    switch (f->type) {
    case FIELD_STRING:
        if (f->words)
            snprintf(out, 256, "one of %s", f->words);
        else
            snprintf(out, 256, "a string%s", range);
        break;
    case FIELD_INT:
        snprintf(out, 256, "an integer%s", range);
        break;
    case FIELD_NUMBER:
        snprintf(out, 256, "a number%s", range);
        break;
    case FIELD_NUMERIC:
        snprintf(out, 256, "a number%s, or a string that holds one", range);
        break;
    case FIELD_BOOL:
        return "true or false";
    case FIELD_ID:
        snprintf(out, 256, "the id of a %s, 32 lower-case hex digits", f->of ? f->of : "document");
        break;
    case FIELD_URL:
        return "a URL that begins with http:// or https://";
    case FIELD_OBJECT:
        return "an object";
    case FIELD_ARRAY:
        snprintf(out, 256, "an array%s", range);
        break;
    case FIELD_ANY:
        return "any value";
    }
    return out;
}

static bool in_range(const struct field *f, double x)
{
    if (f->min == 0 && f->max == 0)
        return true;
    return x >= f->min && (f->max == 0 || x <= f->max);
}

static bool is_word(const char *words, const char *s)
{
    size_t n = strlen(s);
    for (const char *w = words; n && w; w = strchr(w, '|') ? strchr(w, '|') + 1 : NULL)
        if (!strncmp(w, s, n) && (w[n] == '|' || !w[n]))
            return true;
    return false;
}

static bool is_web_url(const char *s)
{
    size_t skip = !strncasecmp(s, "http://", 7) ? 7 : !strncasecmp(s, "https://", 8) ? 8 : 0;
    if (!skip || !s[skip])
        return false;
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || *s == 0x7f)
            return false;
    return true;
}

/* Whether a plain value (not an object or array) is what the row takes. */
static bool value_fits(const struct field *f, const json_t *value)
{
    const char *s = json_string_value(value);
    switch (f->type) {
    case FIELD_STRING:
        return s && (f->words ? is_word(f->words, s) : in_range(f, (double)json_string_length(value)));
    case FIELD_INT:
        return json_is_integer(value) && in_range(f, (double)json_integer_value(value));
    case FIELD_NUMBER:
        return json_is_number(value) && in_range(f, json_number_value(value));
    case FIELD_NUMERIC:
        return !isnan(field_number(value)) && in_range(f, field_number(value));
    case FIELD_BOOL:
        return json_is_boolean(value);
    case FIELD_ID:
        return s && id_is_valid(s);
    case FIELD_URL:
        return s && is_web_url(s) && in_range(f, (double)json_string_length(value));
    case FIELD_OBJECT:
        return json_is_object(value);
    case FIELD_ARRAY:
        return json_is_array(value) && in_range(f, (double)json_array_size(value));
    case FIELD_ANY:
        return true;
    }
    return false;
}

static enum status object_decode(struct decoding *d, const struct field *table, const struct fields_how *how,
                                 const struct place *at, const json_t *in, json_t **ret_out);

static enum status value_decode(struct decoding *d, const struct field *f, const struct fields_how *how,
                                const struct place *at, json_t *value, json_t **ret_out)
{
    char found[64], expected[256];
    if (json_is_null(value) && (f->flags & NULLABLE))
        return *ret_out = json_null(), OK;
    if (!value_fits(f, value))
        return wrong(d, at, "is %s: expected %s%s", value_words(value, found), expected_words(f, expected),
                     f->flags & NULLABLE ? ", or null" : "");
    if (f->type == FIELD_NUMERIC && json_is_number(value)) {
        char number[REAL_TEXT_MAX];
        if (json_is_integer(value))
            snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        else
            real_text(json_real_value(value), number);
        return *ret_out = json_string(number), OK;
    }
    if (f->type == FIELD_OBJECT && f->fields)
        return object_decode(d, f->fields, how, at, value, ret_out);
    if (f->type == FIELD_ARRAY && any_row(f->fields)) {
        CLEANUP(json_decrefp) json_t *out = json_array();
        size_t i;
        json_t *element;
        json_array_foreach(value, i, element) {
            struct place here = {at, NULL, i};
            json_t *decoded = NULL;
            TRY(value_decode(d, f->fields, how, &here, element, &decoded));
            json_array_append_new(out, decoded);
        }
        *ret_out = TAKE(out);
        return OK;
    }
    *ret_out = json_incref(value);
    return OK;
}

/* A key that is in no row: the nearest one that a client may send, or all of them. */
static enum status unknown_key(struct decoding *d, const struct field *table, const struct place *at)
{
    struct nearest nearest;
    struct buf list;
    char hint[NEAREST_TEXT_MAX];
    nearest_init(&nearest, at->key);
    buf_init(&list, 400);
    for (const struct field *f = table; f->name; f++) {
        if (f->flags & READ_ONLY)
            continue;
        nearest_offer(&nearest, f->name);
        if (f->also)
            nearest_offer(&nearest, f->also);
        buf_printf(&list, "%s%s", list.size ? ", " : "", f->name);
    }
    if (nearest.best)
        wrong(d, at, "is no field of this document%s", nearest_text(&nearest, hint));
    else
        wrong(d, at, "is no field of this document: it takes %s", list.size ? list.data : "none");
    buf_release(&list);
    return INVALID;
}

static bool is_elsewhere(const struct fields_how *how, const struct place *at, const char *name)
{
    if (!how || !how->elsewhere || at->up)
        return false;
    for (const char *const *s = how->elsewhere; *s; s++)
        if (!strcmp(*s, name))
            return true;
    return false;
}

/* What the client left out: an error, or a default. */
static enum status fill_absent(struct decoding *d, const struct field *table, const struct fields_how *how,
                               const struct place *at, json_t *out)
{
    for (const struct field *f = table; f->name; f++) {
        if ((f->flags & READ_ONLY) || json_object_get(out, f->name) || is_elsewhere(how, at, f->name))
            continue;
        if (f->flags & REQUIRED) {
            char expected[256];
            struct place here = {at, f->name, 0};
            return wrong(d, &here, "is missing: expected %s", expected_words(f, expected));
        }
        if (f->otherwise)
            json_object_set_new(out, f->name, json_loads(f->otherwise, JSON_DECODE_ANY, NULL));
    }
    return OK;
}

static enum status object_decode(struct decoding *d, const struct field *table, const struct fields_how *how,
                                 const struct place *at, const json_t *in, json_t **ret_out)
{
    const struct field *any = any_row(table);
    CLEANUP(json_decrefp) json_t *out = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)in, key, value) {
        struct place here = {at, key, 0};
        const struct field *f = any ? any : fields_find(table, key);
        if (!f)
            return unknown_key(d, table, &here);
        if (f->flags & READ_ONLY)
            continue;
        const char *name = any ? key : f->name;
        if (json_object_get(out, name))
            return wrong(d, &here, "is given twice: as '%s' and as '%s'", f->name, f->also);
        if (is_elsewhere(how, at, name))
            return wrong(d, &here, "is given twice: in the document and as a file");
        json_t *decoded = NULL;
        TRY(value_decode(d, f, how, &here, value, &decoded));
        json_object_set_new(out, name, decoded);
    }
    if (!any && !(how && how->partial))
        TRY(fill_absent(d, table, how, at, out));
    *ret_out = TAKE(out);
    return OK;
}

enum status fields_decode(const struct field *table, const struct fields_how *how, const json_t *in,
                          json_t **ret_out, char pointer[FIELD_POINTER_MAX], struct error *err)
{
    struct decoding d = {pointer, err};
    struct place top = {NULL, NULL, 0};
    char found[64];
    if (!json_is_object(in))
        return wrong(&d, &top, "is %s: expected an object", in ? value_words(in, found) : "missing");
    return object_decode(&d, table, how, &top, in, ret_out);
}

static json_t *value_encode(const struct field *f, const json_t *value)
{
    if (f->type == FIELD_OBJECT && f->fields && json_is_object(value)) {
        const struct field *any = any_row(f->fields);
        if (!any)
            return fields_encode(f->fields, value);
        json_t *out = json_object();
        const char *key;
        json_t *inner;
        json_object_foreach((json_t *)value, key, inner)
            json_object_set_new(out, key, value_encode(any, inner));
        return out;
    }
    if (f->type == FIELD_ARRAY && any_row(f->fields) && json_is_array(value)) {
        json_t *out = json_array();
        size_t i;
        json_t *element;
        json_array_foreach(value, i, element)
            json_array_append_new(out, value_encode(f->fields, element));
        return out;
    }
    return json_incref((json_t *)value);
}

json_t *fields_encode(const struct field *table, const json_t *document)
{
    json_t *out = json_object();
    for (const struct field *f = table; f->name; f++) {
        if (f->flags & WRITE_ONLY)
            continue;
        json_t *value = json_object_get(document, f->name);
        json_t *encoded = NULL;
        if (value)
            encoded = value_encode(f, value);
        else if (f->otherwise)
            encoded = json_loads(f->otherwise, JSON_DECODE_ANY, NULL);
        else if (f->flags & NULLABLE)
            encoded = json_null();
        if (!encoded)
            continue;
        if (f->also && (f->flags & ALSO_SHOWN))
            json_object_set(out, f->also, encoded);
        json_object_set_new(out, f->name, encoded);
    }
    return out;
}

/* minimum/maximum, or the length form for strings and arrays. */
static void schema_limits(const struct field *f, json_t *schema, const char *least, const char *most)
{
    if (f->min == 0 && f->max == 0)
        return;
    bool whole = f->min == trunc(f->min) && fabs(f->min) < 9e15;
    json_object_set_new(schema, least, whole ? json_integer((json_int_t)f->min) : json_real(f->min));
    whole = f->max == trunc(f->max) && fabs(f->max) < 9e15;
    if (f->max != 0)
        json_object_set_new(schema, most, whole ? json_integer((json_int_t)f->max) : json_real(f->max));
}

static void schema_words(const char *words, json_t *schema)
{
    json_t *list = json_array();
    for (const char *w = words; w;) {
        size_t n = strcspn(w, "|");
        json_array_append_new(list, json_stringn(w, n));
        w = w[n] ? w + n + 1 : NULL;
    }
    json_object_set_new(schema, "enum", list);
}

static json_t *schema_of_type(const struct field *f, bool input)
{
    json_t *s = json_object();
    const char *type = NULL;
    switch (f->type) {
    case FIELD_URL:
        if (input)
            json_object_set_new(s, "format", json_string("uri"));
        /* fall through */
    case FIELD_STRING:
        type = "string";
        if (f->words)
            schema_words(f->words, s);
        if (input && !f->words)
            schema_limits(f, s, "minLength", "maxLength");
        break;
    case FIELD_ID:
        type = "string";
        json_object_set_new(s, "pattern", json_string("^[0-9a-f]{32}$"));
        break;
    case FIELD_INT:
    case FIELD_NUMBER:
        type = f->type == FIELD_INT ? "integer" : "number";
        schema_limits(f, s, "minimum", "maximum");
        break;
    case FIELD_NUMERIC:
        type = "string";
        json_object_set_new(s, "pattern",
                            json_string("^[-+]?([0-9]+\\.?[0-9]*|\\.[0-9]+)([eE][-+]?[0-9]+)?$"));
        break;
    case FIELD_BOOL:
        type = "boolean";
        break;
    case FIELD_OBJECT:
        if (f->fields) {
            json_decref(s);
            return fields_schema(f->fields, input);
        }
        type = "object";
        break;
    case FIELD_ARRAY:
        type = "array";
        if (any_row(f->fields))
            json_object_set_new(s, "items", field_schema(f->fields, input));
        if (input)
            schema_limits(f, s, "minItems", "maxItems");
        break;
    case FIELD_ANY:
        break;
    }
    if (type)
        json_object_set_new(s, "type", json_string(type));
    return s;
}

json_t *field_schema(const struct field *f, bool input)
{
    json_t *s = schema_of_type(f, input);
    if (f->type == FIELD_NUMERIC && input) {
        json_t *number = json_pack("{s:s}", "type", "number");
        schema_limits(f, number, "minimum", "maximum");
        s = json_pack("{s:[o,o]}", "anyOf", s, number);
    }
    if (f->flags & NULLABLE)
        s = json_pack("{s:[o,{s:s}]}", "anyOf", s, "type", "null");
    if (f->text)
        json_object_set_new(s, "description", json_string(f->text));
    if (f->otherwise)
        json_object_set_new(s, "default", json_loads(f->otherwise, JSON_DECODE_ANY, NULL));
    if (input && (f->flags & WRITE_ONLY))
        json_object_set_new(s, "writeOnly", json_true());
    return s;
}

json_t *fields_schema(const struct field *table, bool input)
{
    const struct field *any = any_row(table);
    if (any)
        return json_pack("{s:s,s:o}", "type", "object", "additionalProperties", field_schema(any, input));
    CLEANUP(json_decrefp) json_t *required = json_array();
    json_t *properties = json_object();
    for (const struct field *f = table; f->name; f++) {
        if (f->flags & (input ? READ_ONLY : WRITE_ONLY))
            continue;
        json_object_set_new(properties, f->name, field_schema(f, input));
        if (f->also && (input || (f->flags & ALSO_SHOWN)))
            json_object_set_new(properties, f->also, field_schema(f, input));
        if ((f->flags & REQUIRED) && !(input && f->also))
            json_array_append_new(required, json_string(f->name));
    }
    json_t *schema = json_pack("{s:s,s:o}", "type", "object", "properties", properties);
    if (json_array_size(required))
        json_object_set(schema, "required", required);
    return schema;
}
