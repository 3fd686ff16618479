/*
 * documents.c - the document API: any of the caller's documents by its id, in
 * the shape that CouchDB's clients read, and what those need to pull them:
 * many at once with their revisions, and notes of their own.  It takes no
 * documents from them.
 */
#include <string.h>

#include "api/changes.h"
#include "api/resource.h"

#define REVISIONS_MAX 1000

static const struct field user_out[] = {
    DOCUMENT_ROWS,
    {"username", FIELD_STRING, READ_ONLY, "Name to log in with."},
    {"email", FIELD_STRING, READ_ONLY, "Address."},
    {NULL},
};
const struct resource resource_user = {.type = "user", .fields = user_out};

static const struct field any_document_out[] = {
    DOCUMENT_ROWS,
    {NULL},
};

static const struct field database_out[] = {
    {"db_name", FIELD_STRING, READ_ONLY, "elastic-thought."},
    {"doc_count", FIELD_INT, READ_ONLY, "Documents that are there."},
    {"update_seq", FIELD_INT, READ_ONLY, "Number of the caller's latest change."},
    {NULL},
};

static const struct field bulk_wanted[] = {
    {"id", FIELD_STRING, REQUIRED, "Document."},
    {"rev", FIELD_STRING, 0, "Its revision; absent: the newest."},
    {NULL},
};
static const struct field bulk_rows[] = {
    {"*", FIELD_OBJECT, 0, "One.", .fields = bulk_wanted},
    {NULL},
};
static const struct field bulk_in[] = {
    {"docs", FIELD_ARRAY, REQUIRED, "Documents wanted.", .max = 1000, .fields = bulk_rows},
    {NULL},
};
static const struct field bulk_out[] = {
    {"results", FIELD_ARRAY, READ_ONLY, "For each {id, docs: [{ok: document} or {error: why}]}."},
    {NULL},
};
static const struct field bulk_query[] = {
    {"revs", FIELD_BOOL, 0, "With the names of all earlier revisions.", .otherwise = "false"},
    {"latest", FIELD_BOOL, 0, "The newest revision for an older one.", .otherwise = "false"},
    {NULL},
};
static const struct field local_out[] = {
    {"_id", FIELD_STRING, READ_ONLY, "_local/ID."},
    {"_rev", FIELD_STRING, READ_ONLY, "0- and how often it was written."},
    {NULL},
};
static const struct field put_out[] = {
    {"ok", FIELD_BOOL, READ_ONLY, "Kept."},
    {"id", FIELD_STRING, READ_ONLY, "_local/ID."},
    {"rev", FIELD_STRING, READ_ONLY, "0- and how often it was written."},
    {NULL},
};

json_t *document_encode(const struct document *d)
{
    static const struct resource unknown = {.fields = any_document_out};
    const struct resource *resource = resource_of_type(d->type);
    if (d->state == STATE_DELETED) {
        char rev[REV_MAX];
        return json_pack("{s:s, s:s, s:b}", "_id", d->id, "_rev", document_rev(d->id, d->rev, rev),
                         "_deleted", 1);
    }
    return resource_encode(resource ? resource : &unknown, d);
}

static enum status document_get_one(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(document_release) struct document document = {0};
    TRY(document_get(api_store(r->api), r->who.owner, r->args[0], &document, err));
    if (document.state == STATE_DELETED)
        return error_set(err, NOT_FOUND, "document '%.64s' is deleted", r->args[0]);
    const struct resource *resource = resource_of_type(document.type);
    if (resource)
        resource_respond(response, 200, resource, &document);
    else
        response_json(response, 200, document_encode(&document));
    return OK;
}

static enum status database_get(struct request *r, struct response *response, struct error *err)
{
    int64_t seq, n;
    TRY(feed_seq(api_store(r->api), r->who.owner, &seq, err));
    TRY(documents_count(api_store(r->api), r->who.owner, &n, err));
    response_json(response, 200,
                  json_pack("{s:s, s:I, s:I}", "db_name", "elastic-thought", "doc_count", (json_int_t)n,
                            "update_seq", (json_int_t)seq));
    return OK;
}

/*
 * The document with its ancestors: {"start": N, "ids": [id of N, of N-1, ...]}.  All of them: with fewer a
 * replica that is behind keeps what it has as a conflict, and a deleted document alive.
 */
static json_t *with_revisions(const struct document *d)
{
    json_t *shown = document_encode(d), *ids = json_array();
    for (int64_t rev = d->rev; rev > 0 && rev > d->rev - REVISIONS_MAX; rev--) {
        char text[REV_MAX];
        json_array_append_new(ids, json_string(strchr(document_rev(d->id, rev, text), '-') + 1));
    }
    json_object_set_new(shown, "_revisions",
                        json_pack("{s:I, s:o}", "start", (json_int_t)d->rev, "ids", ids));
    return shown;
}

/* One element of _bulk_get's results. */
static enum status bulk_one(struct request *r, const json_t *wanted, json_t **ret_result, struct error *err)
{
    bool newest, with_all;
    TRY(query_bool(r, "latest", &newest, err));
    TRY(query_bool(r, "revs", &with_all, err));
    const char *id = json_get_string(wanted, "id", ""), *text = json_get_string(wanted, "rev", NULL);
    CLEANUP(document_release) struct document d = {0};
    int64_t rev = 0;
    enum status status = document_get_any(api_store(r->api), r->who.owner, id, &d, err);
    if (status != OK && status != NOT_FOUND)
        return status;
    bool is_there = status == OK;
    if (is_there && text)
        is_there = document_rev_read(id, text, &rev, NULL) == OK && rev <= d.rev && (rev == d.rev || newest);
    json_t *found = is_there
                        ? json_pack("{s:o}", "ok", with_all ? with_revisions(&d) : document_encode(&d))
                        : json_pack("{s:{s:s, s:s, s:s, s:s}}", "error", "id", id, "rev",
                                    text ? text : "undefined", "error", "not_found", "reason", "missing");
    *ret_result = json_pack("{s:s, s:[o]}", "id", id, "docs", found);
    return OK;
}

static enum status bulk_get(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(json_decrefp) json_t *results = json_array();
    size_t i;
    json_t *wanted;
    json_array_foreach(json_object_get(r->body, "docs"), i, wanted) {
        json_t *result = NULL;
        TRY(bulk_one(r, wanted, &result, err));
        json_array_append_new(results, result);
    }
    response_json(response, 200, json_pack("{s:O}", "results", results));
    return OK;
}

static json_t *local_encode(const char *id, int64_t rev, json_t *body /* taken */)
{
    CLEANUP(freep) char *whole = xasprintf("_local/%s", id);
    CLEANUP(freep) char *rev_text = xasprintf("0-%lld", (long long)rev);
    json_object_set_new(body, "_id", json_string(whole));
    json_object_set_new(body, "_rev", json_string(rev_text));
    return body;
}

static enum status local_get_one(struct request *r, struct response *response, struct error *err)
{
    json_t *body;
    int64_t rev;
    TRY(local_get(api_store(r->api), r->who.owner, r->args[0], &body, &rev, err));
    response_json(response, 200, local_encode(r->args[0], rev, body));
    return OK;
}

static enum status local_put_one(struct request *r, struct response *response, struct error *err)
{
    int64_t rev;
    TRY(local_put(api_store(r->api), r->who.owner, r->args[0], r->body, r->now_ms, &rev, err));
    CLEANUP(freep) char *id = xasprintf("_local/%s", r->args[0]);
    CLEANUP(freep) char *rev_text = xasprintf("0-%lld", (long long)rev);
    response_json(response, 201, json_pack("{s:b, s:s, s:s}", "ok", 1, "id", id, "rev", rev_text));
    return OK;
}

static enum status no_push(struct request *r, struct response *response, struct error *err)
{
    (void)r, (void)response;
    return error_set(err, DENIED,
                     "documents are made by the service: they can be pulled from here, not pushed to here");
}

const struct route document_routes[] = {
    {"GET", "/elastic-thought", database_get, SCOPE_USER, BODY_NONE, "The caller's documents as a database.",
     NULL, database_out, 200},
    {"GET", "/elastic-thought/", database_get, SCOPE_USER, BODY_NONE, "The same.", NULL, database_out, 200},
    {"POST", "/elastic-thought/_bulk_get", bulk_get, SCOPE_USER, BODY_JSON,
     "Many documents, deleted ones too, with their revisions.", bulk_in, bulk_out, 200, bulk_query},
    {"GET", "/elastic-thought/_local/{id}", local_get_one, SCOPE_USER, BODY_NONE,
     "A replicating client's own note.", NULL, local_out, 200},
    {"PUT", "/elastic-thought/_local/{id}", local_put_one, SCOPE_USER, BODY_JSON,
     "Keep a replicating client's own note.", NULL, put_out, 201},
    {"POST", "/elastic-thought/_revs_diff", no_push, SCOPE_USER, BODY_JSON,
     "Always 403: documents cannot be pushed.", NULL, NULL, 403},
    {"POST", "/elastic-thought/_bulk_docs", no_push, SCOPE_USER, BODY_JSON,
     "Always 403: documents cannot be pushed.", NULL, NULL, 403},
    {"GET", "/elastic-thought/{id}", document_get_one, SCOPE_USER, BODY_NONE, "Any document.", NULL,
     any_document_out, 200},
    {NULL},
};
