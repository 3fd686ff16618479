#include "api/job_inputs.h"

#include <stdlib.h>
#include <string.h>

static const struct field job_input_fields[] = {
    {"id", FIELD_STRING, REQUIRED, "A datafile, training job, job, or other document that has files.",
     .min = 1, .max = DOCUMENT_ID_MAX - 1},
    {"file", FIELD_STRING, 0,
     "Which of its files; a datafile has one, a training job its trained.caffemodel.", .min = 1, .max = 128},
    {"name", FIELD_STRING, 0, "Its name in inputs/; that of the file.", .min = 1, .max = 100},
    {NULL},
};
const struct field job_input_rows[] = {
    {"*", FIELD_OBJECT, 0, "An input.", .fields = job_input_fields},
    {NULL},
};

void inputs_release(struct inputs *in)
{
    for (int i = 0; i < in->n; i++)
        free(in->ids[i]);
    json_decref(in->names);
    json_decref(in->shown);
    json_decref(in->leased);
}

static const char *usual_file(const struct document *document)
{
    if (!strcmp(document->type, "datafile"))
        return json_get_string(document->body, "file-name", NULL);
    return strcmp(document->type, "training-job") ? NULL : "trained.caffemodel";
}

static bool has_name(const struct inputs *in, const char *name)
{
    size_t i;
    json_t *other;
    json_array_foreach(in->names, i, other)
        if (!strcmp(json_string_value(other), name))
            return true;
    return false;
}

static void note_document(struct inputs *in, const struct document *document)
{
    for (int i = 0; i < in->n; i++)
        if (!strcmp(in->ids[i], document->id))
            return;
    in->ids[in->n++] = xstrdup(document->id);
    if (resource_of_type(document->type)->processed)
        in->jobs[in->n_jobs++] = in->ids[in->n - 1];
}

static enum status input_add(const struct request *r, struct inputs *in, const json_t *asked,
                             struct error *err)
{
    CLEANUP(document_release) struct document document = {0};
    const char *id = json_get_string(asked, "id", "");
    if (document_get(api_store(r->api), r->who.owner, id, &document, err) != OK ||
        document.state == STATE_DELETED || !resource_of_type(document.type))
        return error_set(err, INVALID, "no document '%.64s'", id);
    const char *file = json_get_string(asked, "file", usual_file(&document));
    if (!file)
        return error_set(err, INVALID, "'%s' is a %s: say which of its files, as file", id, document.type);
    const char *name = json_get_string(asked, "name", file);
    CLEANUP(freep) char *plain = blob_name_from(name);
    if (strcmp(plain, name) || *name == '.' || !strcmp(name, SCRIPT_BLOB))
        return error_set(
            err, INVALID,
            "'%.100s' is no name for an input: letters, digits, '.', '_' and '-' are, but no dot "
            "first, and not 'script'",
            name);
    if (has_name(in, name))
        return error_set(err, INVALID, "two inputs are named '%s'", name);
    note_document(in, &document);
    json_array_append_new(in->names, json_string(name));
    json_array_append_new(in->leased, job_input(name, document.id, file, false));
    json_array_append_new(in->shown, json_pack("{s:s, s:s, s:s}", "id", id, "file", file, "name", name));
    return OK;
}

enum status inputs_read(const struct request *r, struct response *response, const json_t *asked,
                        struct inputs *ret_inputs, struct error *err)
{
    struct inputs *in = ret_inputs;
    in->names = json_array();
    in->shown = json_array();
    in->leased = json_array();
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)asked, i, one) {
        CLEANUP(freep) char *pointer = xasprintf("/inputs/%zu", i);
        if (input_add(r, in, one, err) != OK)
            return problem_of_field(response, pointer, err);
    }
    return OK;
}
