/*
 * message.h - any protobuf-c message by its descriptor: make, copy, set and
 * move fields.  All memory is malloc's, in the layout that
 * protobuf_c_message_free_unpacked(m, NULL) frees.
 */
#ifndef ET_NETDEF_MESSAGE_H
#define ET_NETDEF_MESSAGE_H

#include <protobuf-c/protobuf-c.h>

#include "base/base.h"

ProtobufCMessage *message_make(const ProtobufCMessageDescriptor *type);
ProtobufCMessage *message_dup(const ProtobufCMessage *message); /* without fields that the schema lacks */
void message_free(ProtobufCMessage *message);                   /* accepts NULL */
void message_freep(ProtobufCMessage **message);

/* NULL when there is no such field. */
const ProtobufCFieldDescriptor *message_field(const ProtobufCMessage *message, const char *name);

/* Bytes of one value of the field as it lies in the struct or array. */
size_t field_size(const ProtobufCFieldDescriptor *field);
/* How many values are set: 0 or 1 unless repeated. */
size_t field_count(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);
/* The i-th value that is set; lent. */
const void *field_at(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, size_t i);

/*
 * Room for one more value of a repeated field, or for the value of a single
 * one, which counts as set from now on (what it held is lost).  An array that
 * was not grown here, as unpacking makes it, must not be added to.
 */
void *field_add(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);

/* The message in a single message field, made when it is not there. */
ProtobufCMessage *field_open(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);

/*
 * Moves what is set in one field into another of the same type, whose old
 * value is lost; a single value may go into a repeated field, a repeated one
 * into a repeated only.  The source field is unset then.  Not for bytes.
 */
void field_move(ProtobufCMessage *from, const ProtobufCFieldDescriptor *from_field, ProtobufCMessage *to,
                const ProtobufCFieldDescriptor *to_field);

/* Appends to a struct's own repeated pointers; the array was made by field_add or list_add, or is NULL. */
void list_add(size_t *n, void *array_member, void *item);

#endif
