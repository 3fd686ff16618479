#include "netdef/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

ProtobufCMessage *message_make(const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *message = xcalloc(1, type->sizeof_message);
    protobuf_c_message_init(type, message);
    return message;
}

void message_free(ProtobufCMessage *message)
{
    if (message)
        protobuf_c_message_free_unpacked(message, NULL);
}

void message_freep(ProtobufCMessage **message)
{
    message_free(*message);
    *message = NULL;
}

const ProtobufCFieldDescriptor *message_field(const ProtobufCMessage *message, const char *name)
{
    return protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
}

size_t field_size(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_ENUM:
        return sizeof(int);
    case PROTOBUF_C_TYPE_STRING:
        return sizeof(char *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(ProtobufCMessage *);
    default:
        return 4;
    }
}

static void *member(ProtobufCMessage *message, unsigned offset)
{
    return (char *)message + offset;
}

static const void *member_const(const ProtobufCMessage *message, unsigned offset)
{
    return (const char *)message + offset;
}

static bool is_pointer(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_MESSAGE;
}

size_t field_count(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)member_const(message, field->quantifier_offset);
    if (is_pointer(field)) {
        const void *value = *(void *const *)member_const(message, field->offset);
        return value && value != field->default_value;
    }
    if (field->label == PROTOBUF_C_LABEL_REQUIRED)
        return 1;
    return *(const protobuf_c_boolean *)member_const(message, field->quantifier_offset) != 0;
}

const void *field_at(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, size_t i)
{
    const void *value = member_const(message, field->offset);
    if (field->label != PROTOBUF_C_LABEL_REPEATED)
        return value;
    return *(const char *const *)value + i * field_size(field);
}

/* Arrays grow when their count is a power of two, so that no capacity need be kept. */
static void *grown(void *array, size_t n, size_t item_size)
{
    if (n & (n - 1))
        return array;
    size_t bytes;
    if (__builtin_mul_overflow(n ? 2 * n : 1, item_size, &bytes))
        abort();
    return xrealloc(array, bytes);
}

void *field_add(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    void *value = member(message, field->offset);
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t *n = member(message, field->quantifier_offset);
        char **array = value;
        *array = grown(*array, *n, field_size(field));
        value = *array + (*n)++ * field_size(field);
        memset(value, 0, field_size(field));
        return value;
    }
    if (!is_pointer(field) && field->label == PROTOBUF_C_LABEL_OPTIONAL)
        *(protobuf_c_boolean *)member(message, field->quantifier_offset) = 1;
    return value;
}

ProtobufCMessage *field_open(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    ProtobufCMessage **value = member(message, field->offset);
    if (!*value)
        *value = message_make(field->descriptor);
    return *value;
}

/* Strings, bytes and messages are copied, all else lies in the value itself. */
static void copy_value(const ProtobufCFieldDescriptor *field, const void *from, void *to)
{
    memcpy(to, from, field_size(field));
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        *(char **)to = xstrdup(*(char *const *)from);
    } else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        *(ProtobufCMessage **)to = message_dup(*(ProtobufCMessage *const *)from);
    } else if (field->type == PROTOBUF_C_TYPE_BYTES) {
        ProtobufCBinaryData *bytes = to;
        const uint8_t *data = bytes->data;
        bytes->data = xmalloc(bytes->len + 1);
        memcpy(bytes->data, data ? data : (const uint8_t *)"", bytes->len);
    }
}

ProtobufCMessage *message_dup(const ProtobufCMessage *message)
{
    ProtobufCMessage *copy = message_make(message->descriptor);
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        size_t n = field_count(message, field);
        for (size_t k = 0; k < n; k++)
            copy_value(field, field_at(message, field, k), field_add(copy, field));
    }
    return copy;
}

static void field_unset(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    void *value = member(message, field->offset);
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        *(size_t *)member(message, field->quantifier_offset) = 0;
        *(void **)value = NULL;
        return;
    }
    if (!is_pointer(field)) {
        *(protobuf_c_boolean *)member(message, field->quantifier_offset) = 0;
        memset(value, 0, field_size(field));
    }
    if (field->default_value && field->type == PROTOBUF_C_TYPE_STRING)
        *(const void **)value = field->default_value;
    else if (field->default_value)
        memcpy(value, field->default_value, field_size(field));
    else if (is_pointer(field))
        *(void **)value = NULL;
}

static void field_release(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    size_t n = field_count(message, field);
    for (size_t i = 0; is_pointer(field) && i < n; i++) {
        void *value = *(void *const *)field_at(message, field, i);
        if (field->type == PROTOBUF_C_TYPE_MESSAGE)
            message_free(value);
        else
            free(value);
    }
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        free(*(void **)member(message, field->offset));
    field_unset(message, field);
}

void field_move(ProtobufCMessage *from, const ProtobufCFieldDescriptor *from_field, ProtobufCMessage *to,
                const ProtobufCFieldDescriptor *to_field)
{
    assert(field_size(from_field) == field_size(to_field));
    size_t n = field_count(from, from_field);
    if (!n)
        return;
    field_release(to, to_field);
    for (size_t i = 0; i < n; i++) {
        void *value = field_add(to, to_field);
        memcpy(value, field_at(from, from_field, i), field_size(to_field));
    }
    if (from_field->label == PROTOBUF_C_LABEL_REPEATED)
        free(*(void **)member(from, from_field->offset));
    field_unset(from, from_field);
}

void list_add(size_t *n, void *array_member, void *item)
{
    void ***array = array_member;
    *array = grown(*array, *n, sizeof(void *));
    (*array)[(*n)++] = item;
}
