/*
 * datafiles.c - archives of data, copied into the blob store from a URL by a
 * worker, or sent in the request.
 */
#include <string.h>

#include "api/resource.h"

static const struct field data_param_fields[] = {
    {"backend", FIELD_STRING, 0, "Database in a DATA archive.", .words = "LEVELDB|LMDB"},
    {NULL},
};

static const struct field datafile_in[] = {
    {"url", FIELD_URL, REQUIRED, "Archive to copy: .tar.gz, .tar.xz, .tar.zst or .zip.", .max = 4096},
    {"layers_type", FIELD_STRING, 0, "Kind of data layer that it is for.", .words = "IMAGE_DATA|DATA"},
    {"layers_data_param", FIELD_OBJECT, 0, "More about a DATA archive.", .fields = data_param_fields},
    {NULL},
};

static const struct field datafile_out[] = {
    DOCUMENT_ROWS,
    PROCESSED_ROWS,
    {"url", FIELD_STRING, READ_ONLY, "Where it came from."},
    {"blob-url", FIELD_STRING, READ_ONLY, "Its bytes here: cbfs://ID/NAME is found at /blobs/ID/NAME."},
    {"file-name", FIELD_STRING, READ_ONLY, "Name of its bytes."},
    {"layers_type", FIELD_STRING, READ_ONLY, "Kind of data layer that it is for."},
    {"layers_data_param", FIELD_OBJECT, READ_ONLY, "More about a DATA archive.", .fields = data_param_fields},
    {NULL},
};

const struct resource resource_datafile = {
    .type = "datafile", .collection = "datafiles", .fields = datafile_out, .processed = true};

static const char *const datafile_files[] = {"url", NULL};

static enum status datafile_create(struct request *r, struct response *response, struct error *err)
{
    char id[ID_MAX];
    id_new(id);
    const struct upload *upload = request_upload(r, "url");
    const char *url = json_get_string(r->body, "url", "");
    if (!upload && url_check(url, api_allows_private_urls(r->api), err) != OK)
        return problem_of_field(response, "/url", err);
    CLEANUP(freep) char *name = upload ? blob_name_from(upload->file_name) : url_file_name(url);
    CLEANUP(freep) char *blob = blob_url(id, name);
    CLEANUP(json_decrefp) json_t *body = json_copy(r->body);
    json_object_set_new(body, "url", json_string(upload ? blob : url));
    json_object_set_new(body, "blob-url", json_string(blob));
    json_object_set_new(body, "file-name", json_string(name));

    CLEANUP(json_decrefp) json_t *spec = json_pack("{s:{s:s, s:s}}", "spec", "url", url, "name", name);
    struct new_job job = {.kind = "fetch", .spec = spec};
    struct blob_ref ref = {.name = name, .sha256 = upload ? upload->sha256 : NULL};
    struct new_document document = {
        .id = id,
        .body = body,
        .job = upload ? NULL : &job,
        .blobs = &ref,
        .n_blobs = upload ? 1 : 0,
    };
    return resource_create(r, response, &resource_datafile, &document, err);
}

const struct route datafile_routes[] = {
    {"POST", "/datafiles", datafile_create, SCOPE_USER, BODY_DOCUMENT, "Copy an archive of data.",
     datafile_in, datafile_out, 201, .files = datafile_files},
    {"GET", "/datafiles", resource_list, SCOPE_USER, BODY_NONE, "List datafiles.", NULL, list_fields, 200,
     list_query},
    {"GET", "/datafiles/{id}", resource_get, SCOPE_USER, BODY_NONE, "One datafile.", NULL, datafile_out, 200},
    {"DELETE", "/datafiles/{id}", resource_delete, SCOPE_USER, BODY_NONE, "Delete a datafile.", NULL, NULL,
     204},
    {"GET", "/datafiles/{id}/logs", resource_logs, SCOPE_USER, BODY_NONE,
     "What its worker said, as text; Range is honoured.", NULL, NULL, 200, log_query},
    {"POST", "/datafiles/{id}/cancel", resource_cancel, SCOPE_USER, BODY_JSON, "Stop copying.", cancel_in,
     cancel_fields, 200},
    {NULL},
};
