/*
 * documents.c - the document API: any of the caller's documents by its id,
 * and the feed of changes, in the shape that CouchDB's clients read.
 */
#include <string.h>

#include "api/resource.h"
#include "base/clock.h"

#define CHANGES_MAX     1000
#define LONGPOLL_MS     60000
#define LONGPOLL_MAX_MS 300000

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
    {"update_seq", FIELD_INT, READ_ONLY, "Number of the caller's latest change."},
    {NULL},
};

static const struct field rev_fields[] = {
    {"rev", FIELD_STRING, READ_ONLY, "Revision."},
    {NULL},
};
static const struct field rev_rows[] = {
    {"*", FIELD_OBJECT, READ_ONLY, "Its latest revision.", .fields = rev_fields},
    {NULL},
};
static const struct field change_fields[] = {
    {"seq", FIELD_INT, READ_ONLY, "Number of the change."},
    {"id", FIELD_STRING, READ_ONLY, "Document that changed."},
    {"changes", FIELD_ARRAY, READ_ONLY, "Its latest revision.", .fields = rev_rows},
    {"deleted", FIELD_BOOL, READ_ONLY, "It is gone."},
    {"doc", FIELD_OBJECT, READ_ONLY, "The document, with include_docs=true."},
    {NULL},
};
static const struct field change_rows[] = {
    {"*", FIELD_OBJECT, READ_ONLY, "A document's latest change.", .fields = change_fields},
    {NULL},
};
static const struct field changes_out[] = {
    {"results", FIELD_ARRAY, READ_ONLY, "Changes after since, oldest first.", .fields = change_rows},
    {"last_seq", FIELD_INT, READ_ONLY, "Go on from here."},
    {NULL},
};

static const struct field changes_query_fields[] = {
    {"feed", FIELD_STRING, 0, "longpoll waits for a change.", .words = "normal|longpoll",
     .otherwise = "\"normal\""},
    {"since", FIELD_STRING, 0, "Number of the last change known; or now.", .otherwise = "\"0\""},
    {"limit", FIELD_INT, 0, "Changes wanted at most."},
    {"include_docs", FIELD_BOOL, 0, "With the documents.", .otherwise = "false"},
    {"timeout", FIELD_INT, 0, "Milliseconds that longpoll waits.", .otherwise = "60000"},
    {NULL},
};

static json_t *document_encode(const struct document *d)
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
    int64_t seq;
    TRY(feed_seq(api_store(r->api), r->who.owner, &seq, err));
    response_json(response, 200,
                  json_pack("{s:s, s:I}", "db_name", "elastic-thought", "update_seq", (json_int_t)seq));
    return OK;
}

static json_t *change_encode(const struct document *d, bool with_document)
{
    char rev[REV_MAX];
    json_t *change = json_pack("{s:I, s:s, s:[{s:s}]}", "seq", (json_int_t)d->seq, "id", d->id, "changes",
                               "rev", document_rev(d->id, d->rev, rev));
    if (d->state == STATE_DELETED)
        json_object_set_new(change, "deleted", json_true());
    if (with_document)
        json_object_set_new(change, "doc", document_encode(d));
    return change;
}

struct changes_query {
    bool longpoll, with_documents;
    int64_t since, limit, timeout_ms;
};

static enum status changes_query_read(const struct request *r, struct changes_query *q, struct error *err)
{
    const char *feed = request_query(r, "feed");
    const char *documents = request_query(r, "include_docs");
    const char *since = request_query(r, "since");
    q->longpoll = feed && !strcmp(feed, "longpoll");
    if (feed && !q->longpoll && strcmp(feed, "normal") != 0)
        return error_set(err, INVALID, "feed is normal or longpoll, not '%.40s'", feed);
    q->with_documents = documents && !strcmp(documents, "true");
    TRY(query_int(r, "limit", 0, INT64_MAX, CHANGES_MAX, &q->limit, err));
    q->limit = q->limit ? MIN(q->limit, CHANGES_MAX) : 1; /* as CouchDB does */
    TRY(query_int(r, "timeout", 0, INT64_MAX, LONGPOLL_MS, &q->timeout_ms, err));
    q->timeout_ms = MIN(q->timeout_ms, LONGPOLL_MAX_MS);
    if (since && !strcmp(since, "now"))
        return feed_seq(api_store(r->api), r->who.owner, &q->since, err);
    return query_int(r, "since", 0, INT64_MAX, 0, &q->since, err);
}

static enum status changes(struct request *r, struct response *response, struct error *err)
{
    struct changes_query *q = r->state;
    if (!q) {
        q = r->state = xcalloc(1, sizeof *q);
        TRY(changes_query_read(r, q, err));
    }
    CLEANUP(document_list_release) struct document_list list = {0};
    TRY(feed_changes(api_store(r->api), r->who.owner, q->since, (int)q->limit, &list, err));
    int64_t deadline_ms = r->arrived_ms + q->timeout_ms;
    if (!list.n && q->longpoll && !r->last && clock_monotonic_ms() < deadline_ms) {
        CLEANUP(freep) char *topic = xasprintf("feed:%s", r->who.owner);
        response_wait(response, topic, deadline_ms);
        return OK;
    }
    json_t *results = json_array();
    for (int i = 0; i < list.n; i++)
        json_array_append_new(results, change_encode(&list.documents[i], q->with_documents));
    json_int_t last = list.n ? list.documents[list.n - 1].seq : q->since;
    response_json(response, 200, json_pack("{s:o, s:I}", "results", results, "last_seq", last));
    return OK;
}

const struct route document_routes[] = {
    {"GET", "/elastic-thought", database_get, SCOPE_USER, BODY_NONE, "The caller's documents as a database.",
     NULL, database_out, 200},
    {"GET", "/elastic-thought/_changes", changes, SCOPE_USER, BODY_NONE, "Documents that changed.", NULL,
     changes_out, 200, changes_query_fields},
    {"GET", "/elastic-thought/{id}", document_get_one, SCOPE_USER, BODY_NONE, "Any document.", NULL,
     any_document_out, 200},
    {NULL},
};
