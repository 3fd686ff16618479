/* vary.c - a solver with other values, given as JSON: what a parameter set of a job array is. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "netdef/message.h"
#include "netdef/nearest.h"
#include "netdef/netdef.h"

#define TEXT_MAX 65536

static enum status no_field(const char *name, struct error *err)
{
    const ProtobufCMessageDescriptor *type = &caffe__solver_parameter__descriptor;
    struct nearest near;
    char hint[NEAREST_TEXT_MAX];
    nearest_init(&near, name);
    for (unsigned i = 0; i < type->n_fields; i++)
        nearest_offer(&near, type->fields[i].name);
    return error_set(err, INVALID, "a solver has no field '%.64s'%s", name, nearest_text(&near, hint));
}

/* "name: value" in text format.  Errors: INVALID for what no single field holds. */
static enum status write_value(const ProtobufCFieldDescriptor *field, const json_t *value, struct buf *out,
                               struct error *err)
{
    const char *word = json_string_value(value);
    if (field->type == PROTOBUF_C_TYPE_MESSAGE || !(word || json_is_number(value) || json_is_boolean(value)))
        return error_set(err, INVALID, "'%s' takes %s", field->name,
                         field->type == PROTOBUF_C_TYPE_MESSAGE ? "no value of its own"
                                                                : "a number, a word, true or false");
    CLEANUP(freep) char *text = json_text(value);
    bool bare = word && field->type == PROTOBUF_C_TYPE_ENUM;
    if (bare && (!*word || strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") != strlen(word)))
        return error_set(err, INVALID, "'%s' takes a word such as those in solver.prototxt, not '%.64s'",
                         field->name, word);
    buf_printf(out, "%s: %s\n", field->name, bare ? word : text);
    return OK;
}

static enum status set_field(Caffe__SolverParameter *solver, const char *name, const json_t *value,
                             struct error *err)
{
    const ProtobufCFieldDescriptor *field = message_field(&solver->base, name);
    if (!field)
        return no_field(name, err);
    CLEANUP(buf_release) struct buf text;
    CLEANUP(message_freep) ProtobufCMessage *one = NULL;
    buf_init(&text, TEXT_MAX);
    size_t i;
    json_t *element;
    if (json_is_array(value) && field->label == PROTOBUF_C_LABEL_REPEATED) {
        json_array_foreach((json_t *)(uintptr_t)value, i, element)
            TRY(write_value(field, element, &text, err));
    } else {
        TRY(write_value(field, value, &text, err));
    }
    if (text.overflowed)
        return error_set(err, TOO_LARGE, "'%s' is over %d bytes", name, TEXT_MAX);
    CLEANUP(freep) char *called = xasprintf("field '%s'", name);
    TRY(message_read_text(&caffe__solver_parameter__descriptor, text.data, text.size, called, &one, err));
    field_move(one, field, &solver->base, field);
    return OK;
}

enum status solver_vary(Caffe__SolverParameter *solver, const json_t *values, struct error *err)
{
    const char *name;
    json_t *value;
    if (!json_is_object(values))
        return error_set(err, INVALID, "a parameter set is an object of solver fields");
    json_object_foreach((json_t *)(uintptr_t)values, name, value)
        TRY(set_field(solver, name, value, err));
    return OK;
}
