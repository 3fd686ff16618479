/*
 * openapi.c - /openapi.json, written from the tables of routes and fields.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "api/server.h"
#include "base/buf.h"

static json_t *problem_schema(void)
{
    static const struct field error_fields[] = {
        {"pointer", FIELD_STRING, REQUIRED, "JSON pointer of the field of the body."},
        {"detail", FIELD_STRING, REQUIRED, "What is wrong with it, and what would be right."},
        {NULL},
    };
    static const struct field error_rows[] = {
        {"*", FIELD_OBJECT, 0, "A field that is wrong.", .fields = error_fields}, {NULL}};
    static const struct field problem_fields[] = {
        {"type", FIELD_STRING, REQUIRED, "about:blank: the status says it."},
        {"title", FIELD_STRING, REQUIRED, "The status in words."},
        {"status", FIELD_INT, REQUIRED, "HTTP status."},
        {"detail", FIELD_STRING, REQUIRED, "What is wrong, where, and what would be right."},
        {"instance", FIELD_STRING, REQUIRED, "Path of the request."},
        {"request-id", FIELD_STRING, REQUIRED, "Its id, as in the server's log."},
        {"line", FIELD_INT, 0, "Line of the text that was sent."},
        {"column", FIELD_INT, 0, "Column in that line."},
        {"errors", FIELD_ARRAY, 0, "The fields that are wrong.", .fields = error_rows},
        {NULL},
    };
    return fields_schema(problem_fields, false);
}

static json_t *components(void)
{
    json_t *schemes = json_pack(
        "{s:{s:s,s:s,s:s}, s:{s:s,s:s,s:s}, s:{s:s,s:s,s:s}, s:{s:s,s:s,s:s}, s:{s:s,s:s,s:s}}", "basic",
        "type", "http", "scheme", "basic", "description", "A user's name and password.", "user", "type",
        "http", "scheme", "bearer", "description", "A token of scope user, or an admin's.", "worker", "type",
        "http", "scheme", "bearer", "description", "A token of scope worker.", "admin", "type", "http",
        "scheme", "bearer", "description", "A token of scope admin.", "lease", "type", "http", "scheme",
        "bearer", "description", "The token of one attempt, from POST /leases.");
    json_t *problem = json_pack("{s:s,s:{s:{s:{s:s}}}}", "description", "A problem (RFC 9457).", "content",
                                "application/problem+json", "schema", "$ref", "#/components/schemas/Problem");
    return json_pack("{s:o,s:{s:o},s:{s:o}}", "securitySchemes", schemes, "schemas", "Problem",
                     problem_schema(), "responses", "Problem", problem);
}

static json_t *security_of(enum scope scope)
{
    switch (scope) {
    case SCOPE_NONE:
        return json_array();
    case SCOPE_USER:
        return json_pack("[{s:[]},{s:[]}]", "basic", "user");
    case SCOPE_ANY:
        return json_pack("[{s:[]},{s:[]},{s:[]}]", "basic", "user", "admin");
    case SCOPE_WORKER:
        return json_pack("[{s:[]}]", "worker");
    case SCOPE_ADMIN:
        return json_pack("[{s:[]}]", "admin");
    case SCOPE_METRICS:
        return json_pack("[{s:[]},{}]", "admin");
    case SCOPE_LEASE:
        return json_pack("[{s:[]}]", "lease");
    }
    return json_array();
}

/* "POST", "/training-jobs/{id}/cancel" -> "postTrainingJobsIdCancel". */
static json_t *operation_id(const struct route *r)
{
    struct buf b;
    buf_init(&b, 256);
    for (const char *c = r->method; *c; c++)
        buf_putc(&b, (char)tolower((unsigned char)*c));
    bool up = true;
    for (const char *c = r->path; *c; c++) {
        if (!isalnum((unsigned char)*c)) {
            up = true;
            continue;
        }
        buf_putc(&b, (char)(up ? toupper((unsigned char)*c) : *c));
        up = false;
    }
    if (r->path[strlen(r->path) - 1] == '/' && r->path[1])
        buf_puts(&b, "Root");
    json_t *id = json_string(b.data);
    buf_release(&b);
    return id;
}

static json_t *parameters_of(const struct route *r)
{
    json_t *list = json_array();
    for (const char *c = strchr(r->path, '{'); c; c = strchr(c + 1, '{'))
        json_array_append_new(list, json_pack("{s:s%,s:s,s:b,s:{s:s}}", "name", c + 1, strcspn(c + 1, "}"),
                                              "in", "path", "required", 1, "schema", "type", "string"));
    for (const struct field *f = r->query; f && f->name; f++) {
        json_t *schema = field_schema(f, true);
        json_object_del(schema, "description");
        json_array_append_new(list, json_pack("{s:s,s:s,s:b,s:s,s:o}", "name", f->name, "in", "query",
                                              "required", (f->flags & REQUIRED) != 0, "description",
                                              f->text ? f->text : "", "schema", schema));
    }
    if (!strcmp(r->method, "POST"))
        json_array_append_new(
            list, json_pack("{s:s,s:s,s:b,s:s,s:{s:s,s:i}}", "name", "Idempotency-Key", "in", "header",
                            "required", 0, "description",
                            "Names the request: sent again within a day, it gets the same answer again.",
                            "schema", "type", "string", "maxLength", IDEMPOTENCY_KEY_MAX));
    return list;
}

static json_t *binary_schema(void)
{
    return json_pack("{s:s,s:s}", "type", "string", "contentMediaType", "application/octet-stream");
}

static json_t *input_schema(const struct route *r)
{
    return r->in ? fields_schema(r->in, true) : json_pack("{s:s}", "type", "object");
}

/* What a file may stand for is not required beside it. */
static void relax_required(json_t *schema, const char *const *files)
{
    json_t *required = json_object_get(schema, "required");
    for (; required && files && *files; files++)
        for (size_t i = json_array_size(required); i-- > 0;)
            if (!strcmp(json_string_value(json_array_get(required, i)), *files))
                json_array_remove(required, i);
    if (required && !json_array_size(required))
        json_object_del(schema, "required");
}

static json_t *form_schema(const struct route *r)
{
    json_t *properties = json_object();
    if (r->body == BODY_DOCUMENT) {
        json_t *document = input_schema(r);
        relax_required(document, r->files);
        json_object_set_new(properties, "document", document);
    } else if (r->in) {
        json_t *schema = input_schema(r);
        json_object_update(properties, json_object_get(schema, "properties"));
        json_decref(schema);
    }
    for (const char *const *f = r->files; f && *f; f++)
        json_object_set_new(properties, *f,
                            r->body == BODY_FORM
                                ? json_pack("{s:s,s:o}", "type", "array", "items", binary_schema())
                                : binary_schema());
    return json_pack("{s:s,s:o}", "type", "object", "properties", properties);
}

static json_t *body_of(const struct route *r)
{
    json_t *content = json_object();
    if (r->body == BODY_JSON || r->body == BODY_DOCUMENT || r->body == BODY_FORM)
        json_object_set_new(content, "application/json", json_pack("{s:o}", "schema", input_schema(r)));
    if (r->body == BODY_FORM || r->body == BODY_DOCUMENT)
        json_object_set_new(content, "multipart/form-data", json_pack("{s:o}", "schema", form_schema(r)));
    if (r->body == BODY_RAW || r->body == BODY_BYTES)
        json_object_set_new(content, "application/octet-stream",
                            json_pack("{s:o}", "schema", binary_schema()));
    return json_pack("{s:b,s:o}", "required", 1, "content", content);
}

static json_t *responses_of(const struct route *r)
{
    json_t *responses = json_object();
    char status[8];
    snprintf(status, sizeof(status), "%d", r->success);
    json_t *success = json_pack("{s:s}", "description", http_phrase(r->success));
    if (r->out)
        json_object_set_new(
            success, "content",
            json_pack("{s:{s:o}}", "application/json", "schema", fields_schema(r->out, false)));
    else if (r->success != 204)
        json_object_set_new(success, "content", json_pack("{s:{}}", "*/*"));
    json_object_set_new(responses, status, success);
    if (!r->out && r->success == 200 && !strcmp(r->method, "GET")) {
        json_object_set_new(responses, "206",
                            json_pack("{s:s}", "description", "The part that Range names."));
        json_object_set_new(responses, "304", json_pack("{s:s}", "description", "You have it already."));
    }
    if (r->scope == SCOPE_WORKER)
        json_object_set_new(responses, "204", json_pack("{s:s}", "description", "There is none."));
    json_object_set_new(responses, "4XX", json_pack("{s:s}", "$ref", "#/components/responses/Problem"));
    json_object_set_new(responses, "5XX", json_pack("{s:s}", "$ref", "#/components/responses/Problem"));
    return responses;
}

static json_t *operation(const struct route *r)
{
    size_t n = strcspn(r->path + 1, "/");
    json_t *o = json_pack("{s:o,s:s,s:[s%],s:o,s:o,s:o}", "operationId", operation_id(r), "summary",
                          r->summary, "tags", r->path + 1, n, "security", security_of(r->scope), "parameters",
                          parameters_of(r), "responses", responses_of(r));
    if (r->body != BODY_NONE)
        json_object_set_new(o, "requestBody", body_of(r));
    return o;
}

char *openapi_text(const struct route *const *tables)
{
    json_t *paths = json_object();
    for (const struct route *const *t = tables; *t; t++) {
        for (const struct route *r = *t; r->method; r++) {
            json_t *path = json_object_get(paths, r->path);
            if (!path) {
                path = json_object();
                json_object_set_new(paths, r->path, path);
            }
            char method[16];
            size_t n = 0;
            for (const char *c = r->method; *c && n < sizeof(method) - 1; c++)
                method[n++] = (char)tolower((unsigned char)*c);
            method[n] = '\0';
            json_object_set_new(path, method, operation(r));
        }
    }
    CLEANUP(json_decrefp)
    json_t *document =
        json_pack("{s:s,s:{s:s,s:s,s:s,s:{s:s,s:s}},s:[{s:s}],s:o,s:o}", "openapi", "3.1.0", "info", "title",
                  "et", "version", ET_VERSION, "description",
                  "Queue, run and follow training jobs; keep datasets and models; serve predictions.",
                  "license", "name", "Apache-2.0", "identifier", "Apache-2.0", "servers", "url", "/", "paths",
                  paths, "components", components());
    return json_text(document);
}
