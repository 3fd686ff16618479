#include "store/postgres_values.h"

#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

/* From the server's catalog pg_type; they never change. */
enum {
    TYPE_BOOL = 16,
    TYPE_BYTEA = 17,
    TYPE_INT8 = 20,
    TYPE_INT2 = 21,
    TYPE_INT4 = 23,
    TYPE_TEXT = 25,
    TYPE_OID = 26,
    TYPE_FLOAT4 = 700,
    TYPE_FLOAT8 = 701,
    TYPE_NUMERIC = 1700,
};

unsigned postgres_type(enum value_kind kind)
{
    switch (kind) {
    case VALUE_INT:
        return TYPE_INT8;
    case VALUE_REAL:
        return TYPE_FLOAT8;
    case VALUE_BYTES:
        return TYPE_BYTEA;
    case VALUE_TEXT:
    case VALUE_NULL:
        break;
    }
    return TYPE_TEXT;
}

/* Bytes of the character at s (RFC 3629), 0 when there is none. */
static size_t utf8_length(const unsigned char *s, size_t size)
{
    static const struct {
        unsigned char first, last, second_low, second_high;
        size_t length;
    } forms[] = {
        {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        if (*s < forms[i].first || *s > forms[i].last)
            continue;
        if (forms[i].length > size ||
            (forms[i].length > 1 && (s[1] < forms[i].second_low || s[1] > forms[i].second_high)))
            return 0;
        for (size_t k = 2; k < forms[i].length; k++)
            if ((s[k] & 0xc0) != 0x80)
                return 0;
        return forms[i].length;
    }
    return 0;
}

static size_t utf8_prefix(const char *s, size_t size)
{
    size_t at = 0;
    for (size_t n; at < size && (n = utf8_length((const unsigned char *)s + at, size - at)); at += n)
        ;
    return at;
}

/* The server takes no text that is not UTF-8, where it is only looked for either. */
static char *repair(const char *s, size_t size, size_t *ret_size)
{
    CLEANUP(buf_release) struct buf out;
    buf_init(&out, 3 * size + 1);
    while (size) {
        size_t good = utf8_prefix(s, size), bad = good < size;
        buf_append(&out, s, good);
        if (bad)
            buf_append(&out, "\xef\xbf\xbd", 3);
        s += good + bad;
        size -= good + bad;
    }
    return buf_take(&out, ret_size);
}

void postgres_parameter_release(struct postgres_parameter *p)
{
    free(p->repaired);
    p->repaired = NULL;
}

static void encode_number(struct postgres_parameter *p, uint64_t bits)
{
    bits = htobe64(bits);
    memcpy(p->number, &bits, sizeof(bits));
    p->bytes = p->number;
    p->size = sizeof(bits);
}

static void encode_text(struct postgres_parameter *p, const char *text, size_t size)
{
    if (utf8_prefix(text, size) < size)
        text = p->repaired = repair(text, size, &size);
    p->bytes = text;
    p->size = (int)size;
}

void postgres_encode(const struct value *v, struct postgres_parameter *p)
{
    uint64_t bits;
    *p = (struct postgres_parameter){0};
    switch (v->kind) {
    case VALUE_INT:
        encode_number(p, (uint64_t)v->integer);
        break;
    case VALUE_REAL:
        memcpy(&bits, &v->real, sizeof(bits));
        encode_number(p, bits);
        break;
    case VALUE_TEXT:
        encode_text(p, v->bytes, v->size);
        break;
    case VALUE_BYTES:
        p->bytes = v->size ? v->bytes : "";
        p->size = (int)v->size;
        break;
    case VALUE_NULL:
        break;
    }
}

/* Two's complement, most significant byte first. */
static int64_t decode_integer(const char *bytes, size_t size)
{
    uint64_t bits = size && (bytes[0] & 0x80) ? UINT64_MAX : 0;
    for (size_t i = 0; i < size; i++)
        bits = bits << 8 | (unsigned char)bytes[i];
    return (int64_t)bits;
}

static double decode_float8(const char *bytes)
{
    uint64_t bits = (uint64_t)decode_integer(bytes, 8);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static double decode_float4(const char *bytes)
{
    uint32_t bits = (uint32_t)decode_integer(bytes, 4);
    float value;
    memcpy(&value, &bits, sizeof(value));
    return (double)value;
}

/* An integer when it is one and has at most 16 digits (the sum of a BIGINT column is numeric), else a real.
 */
static void decode_numeric(const char *bytes, size_t size, struct value *v)
{
    *v = (struct value){.kind = VALUE_INT};
    if (size < 8)
        return;
    int groups = MIN((int)decode_integer(bytes, 2), (int)(size - 8) / 2);
    int weight = (int)decode_integer(bytes + 2, 2);
    bool negative = decode_integer(bytes + 4, 2) == 0x4000;
    double real = 0;
    for (int i = 0; i < groups; i++)
        real += (double)decode_integer(bytes + 8 + 2 * i, 2) * pow(10000, weight - i);
    int64_t integer = 0;
    for (int i = 0; weight < 4 && i <= weight; i++)
        integer = 10000 * integer + (i < groups ? decode_integer(bytes + 8 + 2 * i, 2) : 0);
    if (weight < 4 && groups <= weight + 1)
        v->integer = negative ? -integer : integer;
    else
        *v = (struct value){.kind = VALUE_REAL, .real = negative ? -real : real};
}

void postgres_decode(unsigned type, const char *bytes, size_t size, struct value *v)
{
    switch (type) {
    case TYPE_BOOL:
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
    case TYPE_OID:
        *v = (struct value){.kind = VALUE_INT, .integer = decode_integer(bytes, size)};
        break;
    case TYPE_FLOAT4:
        *v = (struct value){.kind = VALUE_REAL, .real = decode_float4(bytes)};
        break;
    case TYPE_FLOAT8:
        *v = (struct value){.kind = VALUE_REAL, .real = decode_float8(bytes)};
        break;
    case TYPE_NUMERIC:
        decode_numeric(bytes, size, v);
        break;
    case TYPE_BYTEA:
        *v = (struct value){.kind = VALUE_BYTES, .bytes = bytes, .size = size};
        break;
    default:
        *v = (struct value){.kind = VALUE_TEXT, .bytes = bytes, .size = size};
    }
}
