/*
 * Text format by descriptor.  The schema is not recursive, so neither is the
 * depth of a text: what nests deeper than the schema is an unknown field.
 */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "netdef/message.h"
#include "netdef/nearest.h"
#include "netdef/netdef.h"
#include "netdef/text_token.h"

enum {
    FIELDS_MAX = 128,
    NAME_MAX_LENGTH = 128,
    TEXT_MAX = 64 << 20,
    MESSAGES_MAX = 256 << 20, /* bytes of structs that one text may ask for */
};

struct reader {
    struct tokens tokens;
    size_t message_bytes;
    struct problems *problems; /* NULL: the first mistake is the end */
};

static enum status read_fields(struct reader *r, ProtobufCMessage *message, char closer);

static bool accept(struct reader *r, char symbol, enum status *status)
{
    if (*status != OK || !token_is(&r->tokens.now, symbol))
        return false;
    *status = tokens_advance(&r->tokens);
    return true;
}

static enum status unexpected(struct reader *r, const char *wanted)
{
    char got[TOKEN_TEXT_MAX];
    return token_error(&r->tokens, &r->tokens.now, "expected %s, not %s", wanted,
                       token_text(&r->tokens.now, got));
}

/* The current name as a string; longer than any known name it is cut. */
static const char *name_text(const struct token *token, char out[NAME_MAX_LENGTH])
{
    snprintf(out, NAME_MAX_LENGTH, "%.*s", (int)MIN(token->size, (size_t)NAME_MAX_LENGTH - 1), token->start);
    return out;
}

static const char *integer_range(ProtobufCType type, bool *is_signed, uint64_t *max)
{
    *is_signed = true;
    switch (type) {
    case PROTOBUF_C_TYPE_UINT32:
        *is_signed = false;
        *max = UINT32_MAX;
        return "0 to 4294967295";
    case PROTOBUF_C_TYPE_UINT64:
        *is_signed = false;
        *max = UINT64_MAX;
        return "0 to 2^64 - 1";
    case PROTOBUF_C_TYPE_INT64:
        *max = INT64_MAX;
        return "-2^63 to 2^63 - 1";
    default:
        *max = INT32_MAX;
        return "-2147483648 to 2147483647";
    }
}

/* The integer token as a two's complement 64-bit value within the type's range. */
static enum status read_integer(struct reader *r, ProtobufCType type, int64_t *ret_value)
{
    struct token first = r->tokens.now;
    enum status status = OK;
    bool negative = accept(r, '-', &status), is_signed;
    TRY(status);
    if (r->tokens.now.kind != TOKEN_INTEGER)
        return unexpected(r, "an integer");
    uint64_t max, value = 0;
    const char *range = integer_range(type, &is_signed, &max);
    char digits[32];
    size_t size = r->tokens.now.size;
    if (size < sizeof(digits)) {
        snprintf(digits, sizeof(digits), "%.*s", (int)size, r->tokens.now.start);
        char *end;
        errno = 0;
        value = strtoull(digits, &end, 0);
        if (*end)
            return token_error(&r->tokens, &r->tokens.now,
                               "an integer that starts with 0 is octal: no 8 or 9");
    }
    if (size >= sizeof(digits) || errno == ERANGE || (negative && !is_signed && value) ||
        value > max + (negative && is_signed))
        return token_error(&r->tokens, &first, "integer out of range: %s", range);
    *ret_value = (int64_t)(negative ? 0 - value : value);
    return tokens_advance(&r->tokens);
}

static enum status read_double(struct reader *r, double *ret_value)
{
    enum status status = OK;
    bool negative = accept(r, '-', &status);
    TRY(status);
    const struct token *token = &r->tokens.now;
    double value;
    if (token->kind == TOKEN_NAME) {
        char name[NAME_MAX_LENGTH];
        name_text(token, name);
        if (strcasecmp(name, "inf") == 0 || strcasecmp(name, "infinity") == 0)
            value = INFINITY;
        else if (strcasecmp(name, "nan") == 0)
            value = NAN;
        else
            return unexpected(r, "a number");
    } else if (token->kind == TOKEN_INTEGER || token->kind == TOKEN_FLOAT) {
        if (token->kind == TOKEN_INTEGER && token->size > 1 && token->start[0] == '0')
            return token_error(&r->tokens, token,
                               "expected a decimal number, not a hexadecimal or octal one");
        CLEANUP(freep) char *digits = xasprintf("%.*s", (int)token->size, token->start);
        value = strtod(digits, NULL);
    } else {
        return unexpected(r, "a number");
    }
    *ret_value = negative ? -value : value;
    return tokens_advance(&r->tokens);
}

static enum status read_bool(struct reader *r, protobuf_c_boolean *ret_value)
{
    const struct token *token = &r->tokens.now;
    if (token->kind == TOKEN_INTEGER) {
        struct token at = *token;
        int64_t value;
        TRY(read_integer(r, PROTOBUF_C_TYPE_UINT64, &value));
        if (value != 0 && value != 1)
            return token_error(&r->tokens, &at, "expected true or false (or 1 or 0)");
        *ret_value = value == 1;
        return OK;
    }
    static const struct {
        const char *name;
        bool value;
    } names[] = {{"true", true},   {"True", true},   {"t", true},
                 {"false", false}, {"False", false}, {"f", false}};
    char name[NAME_MAX_LENGTH];
    name_text(token, name);
    for (size_t i = 0; token->kind == TOKEN_NAME && i < ARRAY_SIZE(names); i++) {
        if (strcmp(name, names[i].name) == 0) {
            *ret_value = names[i].value;
            return tokens_advance(&r->tokens);
        }
    }
    return unexpected(r, "true or false");
}

static enum status read_enum(struct reader *r, const ProtobufCFieldDescriptor *field, int *ret_value)
{
    const ProtobufCEnumDescriptor *type = field->descriptor;
    struct token at = r->tokens.now;
    if (at.kind == TOKEN_INTEGER || token_is(&at, '-')) {
        int64_t number;
        TRY(read_integer(r, PROTOBUF_C_TYPE_INT32, &number));
        if (!protobuf_c_enum_descriptor_get_value(type, (int)number))
            return token_error(&r->tokens, &at, "%lld is not a value of %s", (long long)number, field->name);
        *ret_value = (int)number;
        return OK;
    }
    if (at.kind != TOKEN_NAME) {
        char wanted[NAME_MAX_LENGTH + 32];
        snprintf(wanted, sizeof(wanted), "a name such as %s for '%s'", type->values[0].name, field->name);
        return unexpected(r, wanted);
    }
    char name[NAME_MAX_LENGTH], hint[NEAREST_TEXT_MAX];
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value_by_name(type, name_text(&at, name));
    if (!value) {
        struct nearest near;
        nearest_init(&near, name);
        for (unsigned i = 0; i < type->n_value_names; i++)
            nearest_offer(&near, type->values_by_name[i].name);
        return token_error(&r->tokens, &at, "unknown value '%s' of '%s'%s", name, field->name,
                           nearest_text(&near, hint));
    }
    *ret_value = value->value;
    return tokens_advance(&r->tokens);
}

/* Adjacent strings are one. */
static enum status read_bytes(struct reader *r, char **ret_data, size_t *ret_size)
{
    CLEANUP(freep) char *data = NULL;
    size_t size = 0;
    if (r->tokens.now.kind != TOKEN_STRING)
        return unexpected(r, "a string in quotes");
    while (r->tokens.now.kind == TOKEN_STRING) {
        TRY(token_string(&r->tokens, &r->tokens.now, &data, &size));
        TRY(tokens_advance(&r->tokens));
    }
    data = xrealloc(data, size + 1);
    data[size] = '\0';
    *ret_data = TAKE(data);
    *ret_size = size;
    return OK;
}

static enum status read_string(struct reader *r, char **ret_string)
{
    struct token at = r->tokens.now;
    CLEANUP(freep) char *data = NULL;
    size_t size;
    TRY(read_bytes(r, &data, &size));
    if (strlen(data) != size)
        return token_error(&r->tokens, &at, "a string must not contain a zero byte");
    *ret_string = TAKE(data);
    return OK;
}

static enum status read_message(struct reader *r, const ProtobufCFieldDescriptor *field,
                                ProtobufCMessage **ret_message)
{
    enum status status = OK;
    char closer = '}';
    if (!accept(r, '{', &status)) {
        closer = '>';
        if (!accept(r, '<', &status) && status == OK)
            return unexpected(r, "'{'");
    }
    TRY(status);
    const ProtobufCMessageDescriptor *type = field->descriptor;
    r->message_bytes += type->sizeof_message;
    if (r->message_bytes > MESSAGES_MAX)
        return error_set(r->tokens.err, TOO_LARGE, "%s needs more than %d MiB of memory", r->tokens.name,
                         MESSAGES_MAX >> 20);
    CLEANUP(message_freep) ProtobufCMessage *message = message_make(type);
    TRY(read_fields(r, message, closer));
    TRY(tokens_advance(&r->tokens));
    *ret_message = TAKE(message);
    return OK;
}

union value {
    int64_t integer;
    int32_t int32;
    float f;
    double d;
    protobuf_c_boolean boolean;
    int enumerated;
    char *string;
    ProtobufCBinaryData bytes;
    ProtobufCMessage *message;
};

static enum status read_value(struct reader *r, const ProtobufCFieldDescriptor *field, union value *v)
{
    double number;
    int64_t integer;
    memset(v, 0, sizeof(*v));
    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return read_message(r, field, &v->message);
    case PROTOBUF_C_TYPE_STRING:
        return read_string(r, &v->string);
    case PROTOBUF_C_TYPE_BYTES: {
        char *data;
        TRY(read_bytes(r, &data, &v->bytes.len));
        v->bytes.data = (uint8_t *)data;
        return OK;
    }
    case PROTOBUF_C_TYPE_ENUM:
        return read_enum(r, field, &v->enumerated);
    case PROTOBUF_C_TYPE_BOOL:
        return read_bool(r, &v->boolean);
    case PROTOBUF_C_TYPE_FLOAT:
        TRY(read_double(r, &number));
        v->f = (float)number;
        return OK;
    case PROTOBUF_C_TYPE_DOUBLE:
        return read_double(r, &v->d);
    default:
        TRY(read_integer(r, field->type, &integer));
        if (field_size(field) == sizeof(int64_t))
            v->integer = integer;
        else
            v->int32 = (int32_t)integer;
        return OK;
    }
}

/* Past one value of any kind, and past lists and messages with all that is in them. */
static enum status skip_value(struct reader *r)
{
    int depth = 0;
    do {
        const struct token *now = &r->tokens.now;
        bool is_string = now->kind == TOKEN_STRING, is_sign = token_is(now, '-');
        if (now->kind == TOKEN_END)
            return unexpected(r, "a value");
        if (token_is(now, '{') || token_is(now, '<') || token_is(now, '['))
            depth++;
        else if (token_is(now, '}') || token_is(now, '>') || token_is(now, ']'))
            depth--;
        if (depth < 0)
            return unexpected(r, "a value");
        TRY(tokens_advance(&r->tokens));
        while (is_string && r->tokens.now.kind == TOKEN_STRING)
            TRY(tokens_advance(&r->tokens));
        if (is_sign && r->tokens.now.kind != TOKEN_SYMBOL && r->tokens.now.kind != TOKEN_END)
            TRY(tokens_advance(&r->tokens));
    } while (depth > 0);
    return OK;
}

static enum status read_one(struct reader *r, ProtobufCMessage *message,
                            const ProtobufCFieldDescriptor *field)
{
    union value value;
    TRY(read_value(r, field, &value));
    memcpy(field_add(message, field), &value, field_size(field));
    return OK;
}

static enum status read_list(struct reader *r, ProtobufCMessage *message,
                             const ProtobufCFieldDescriptor *field)
{
    if (field->label != PROTOBUF_C_LABEL_REPEATED)
        return token_error(&r->tokens, &r->tokens.now, "'%s' takes one value, not a list", field->name);
    TRY(tokens_advance(&r->tokens));
    enum status status = OK;
    if (accept(r, ']', &status) || status != OK)
        return status;
    do
        TRY(read_one(r, message, field));
    while (accept(r, ',', &status));
    TRY(status);
    if (!token_is(&r->tokens.now, ']'))
        return unexpected(r, "',' or ']'");
    return tokens_advance(&r->tokens);
}

static enum status find_field(struct reader *r, const ProtobufCMessage *message,
                              const ProtobufCFieldDescriptor **ret_field)
{
    char name[NAME_MAX_LENGTH], hint[NEAREST_TEXT_MAX];
    const ProtobufCMessageDescriptor *type = message->descriptor;
    const ProtobufCFieldDescriptor *field = message_field(message, name_text(&r->tokens.now, name));
    if (!field) {
        struct nearest near;
        nearest_init(&near, name);
        for (unsigned i = 0; i < type->n_fields; i++)
            nearest_offer(&near, type->fields[i].name);
        return token_error(&r->tokens, &r->tokens.now, "unknown field '%s' in %s%s", name, type->short_name,
                           nearest_text(&near, hint));
    }
    *ret_field = field;
    return OK;
}

/* The value, or values, after the name and the colon. */
static enum status read_field_value(struct reader *r, ProtobufCMessage *message,
                                    const ProtobufCFieldDescriptor *field, bool colon)
{
    if (!colon && field->type != PROTOBUF_C_TYPE_MESSAGE) {
        char wanted[NAME_MAX_LENGTH + 16];
        snprintf(wanted, sizeof(wanted), "':' after '%s'", field->name);
        return unexpected(r, wanted);
    }
    return token_is(&r->tokens.now, '[') ? read_list(r, message, field) : read_one(r, message, field);
}

/* A mistake that was noted costs this field its value, unless the value is a message: that one has no end. */
static enum status skip_mistake(struct reader *r, enum status mistake, const struct tokens *value,
                                const ProtobufCFieldDescriptor *field)
{
    if (!r->problems || (field && field->type == PROTOBUF_C_TYPE_MESSAGE) || mistake == TOO_LARGE)
        return mistake;
    TRY(problems_note(r->problems, mistake, r->tokens.err));
    r->tokens = *value;
    return skip_value(r);
}

static enum status read_field(struct reader *r, ProtobufCMessage *message, bool *seen)
{
    if (r->tokens.now.kind != TOKEN_NAME)
        return unexpected(r, "the name of a field");
    struct token at = r->tokens.now;
    const ProtobufCFieldDescriptor *field = NULL;
    enum status mistake = find_field(r, message, &field);
    bool *seen_field = field ? &seen[field - message->descriptor->fields] : NULL;
    if (field && *seen_field && field->label != PROTOBUF_C_LABEL_REPEATED) {
        mistake = token_error(&r->tokens, &at, "'%s' is given twice in %s", field->name,
                              message->descriptor->short_name);
        field = NULL;
    }
    if (mistake != OK && !r->problems)
        return mistake;
    struct error first;
    if (mistake != OK)
        first = *r->tokens.err;
    enum status status = tokens_advance(&r->tokens);
    bool colon = accept(r, ':', &status);
    TRY(status);
    struct tokens value = r->tokens;
    if (mistake == OK) {
        *seen_field = true;
        mistake = read_field_value(r, message, field, colon);
    } else {
        *r->tokens.err = first;
    }
    if (mistake != OK)
        TRY(skip_mistake(r, mistake, &value, field));
    if (!accept(r, ';', &status))
        accept(r, ',', &status);
    return status;
}

/* Fields up to the closer, which stays the current token; '\0' is the end of the text. */
static enum status read_fields(struct reader *r, ProtobufCMessage *message, char closer)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    bool seen[FIELDS_MAX] = {false};
    assert(type->n_fields <= FIELDS_MAX);
    for (;;) {
        const struct token *now = &r->tokens.now;
        if (closer ? token_is(now, closer) : now->kind == TOKEN_END)
            break;
        if (now->kind == TOKEN_END)
            return token_error(&r->tokens, now, "the text ends before the '%c' of %s", closer,
                               type->short_name);
        TRY(read_field(r, message, seen));
    }
    for (unsigned i = 0; i < type->n_fields; i++) {
        if (type->fields[i].label != PROTOBUF_C_LABEL_REQUIRED || seen[i])
            continue;
        enum status status =
            token_error(&r->tokens, &r->tokens.now, "%s needs '%s'", type->short_name, type->fields[i].name);
        TRY(problems_note(r->problems, status, r->tokens.err));
    }
    return OK;
}

enum status message_read_text_noting(const ProtobufCMessageDescriptor *type, const char *text, size_t size,
                                     const char *name, struct problems *problems,
                                     ProtobufCMessage **ret_message, struct error *err)
{
    if (size > TEXT_MAX)
        return error_set(err, TOO_LARGE, "%s has %zu bytes; at most %d MiB are read", name, size,
                         TEXT_MAX >> 20);
    struct reader r = {.problems = problems};
    TRY(tokens_init(&r.tokens, text, size, name, err));
    CLEANUP(message_freep) ProtobufCMessage *message = message_make(type);
    TRY(read_fields(&r, message, '\0'));
    *ret_message = TAKE(message);
    return OK;
}

enum status message_read_text(const ProtobufCMessageDescriptor *type, const char *text, size_t size,
                              const char *name, ProtobufCMessage **ret_message, struct error *err)
{
    return message_read_text_noting(type, text, size, name, NULL, ret_message, err);
}
