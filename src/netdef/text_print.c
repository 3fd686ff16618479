#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netdef/message.h"
#include "netdef/netdef.h"

static void print_fields(const ProtobufCMessage *message, int depth, struct buf *out);

static void print_string(const char *data, size_t size, struct buf *out)
{
    static const char escapes[] = "\nn\rr\tt\"\"''\\\\";
    buf_putc(out, '"');
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)data[i];
        const char *pair = escapes;
        while (*pair && (unsigned char)*pair != c)
            pair += 2;
        if (*pair && c)
            buf_printf(out, "\\%c", pair[1]);
        else if (c < ' ' || c >= 127)
            buf_printf(out, "\\%03o", c);
        else
            buf_putc(out, (char)c);
    }
    buf_putc(out, '"');
}

/* Six digits (a float) or fifteen when these read back as the value, else all that it takes. */
static void print_number(double value, bool is_float, struct buf *out)
{
    if (isnan(value)) {
        buf_puts(out, "nan");
        return;
    }
    if (isinf(value)) {
        buf_puts(out, value < 0 ? "-inf" : "inf");
        return;
    }
    char text[40];
    snprintf(text, sizeof(text), "%.*g", is_float ? FLT_DIG : DBL_DIG, value);
    if (is_float ? strtof(text, NULL) != (float)value : strtod(text, NULL) != value)
        snprintf(text, sizeof(text), "%.*g", is_float ? FLT_DECIMAL_DIG : DBL_DECIMAL_DIG, value);
    buf_puts(out, text);
}

static void print_enum(const ProtobufCEnumDescriptor *type, int number, struct buf *out)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(type, number);
    if (value)
        buf_puts(out, value->name);
    else
        buf_printf(out, "%d", number);
}

static void print_scalar(const ProtobufCFieldDescriptor *field, const void *value, struct buf *out)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING: {
        const char *string = *(char *const *)value;
        print_string(string, strlen(string), out);
        break;
    }
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *bytes = value;
        print_string((const char *)bytes->data, bytes->len, out);
        break;
    }
    case PROTOBUF_C_TYPE_ENUM:
        print_enum(field->descriptor, *(const int *)value, out);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        buf_puts(out, *(const protobuf_c_boolean *)value ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        print_number((double)*(const float *)value, true, out);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        print_number(*(const double *)value, false, out);
        break;
    case PROTOBUF_C_TYPE_UINT32:
        buf_printf(out, "%u", *(const uint32_t *)value);
        break;
    case PROTOBUF_C_TYPE_INT64:
        buf_printf(out, "%lld", (long long)*(const int64_t *)value);
        break;
    default:
        buf_printf(out, "%d", *(const int32_t *)value);
        break;
    }
}

static void print_fields(const ProtobufCMessage *message, int depth, struct buf *out)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        size_t n = field_count(message, field);
        for (size_t k = 0; k < n; k++) {
            const void *value = field_at(message, field, k);
            buf_printf(out, "%*s%s", 2 * depth, "", field->name);
            if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
                buf_puts(out, " {\n");
                print_fields(*(ProtobufCMessage *const *)value, depth + 1, out);
                buf_printf(out, "%*s}\n", 2 * depth, "");
            } else {
                buf_puts(out, ": ");
                print_scalar(field, value, out);
                buf_putc(out, '\n');
            }
        }
    }
}

void message_print_text(const ProtobufCMessage *message, struct buf *out)
{
    print_fields(message, 0, out);
}
