#include "api/resource.h"

#include <stdlib.h>
#include <string.h>

#include "api/arrays.h"
#include "api/range.h"
#include "base/clock.h"

#define LIST_MAX 1000

const struct field list_fields[] = {
    {"items", FIELD_ARRAY, READ_ONLY, "Documents, newest first."},
    {"next_page_token", FIELD_STRING, READ_ONLY | NULLABLE, "Gives the next page; null on the last."},
    {NULL},
};

const struct field list_query[] = {
    {"limit", FIELD_INT, 0, "Documents wanted at most.", .min = 1, .max = LIST_MAX, .otherwise = "100"},
    {"page_token", FIELD_STRING, 0, "From the page before."},
    {"state", FIELD_STRING, 0, "Only those in this state, in the words of processing-state or state."},
    {NULL},
};

const struct field cancel_in[] = {
    {"force", FIELD_BOOL, 0, "Do not wait until it has saved what it has.", .otherwise = "false"},
    {NULL},
};

const struct field cancel_fields[] = {
    {"id", FIELD_STRING, READ_ONLY, "Id of the document."},
    {"processing-state", FIELD_STRING, READ_ONLY, "failed; or processing, when a worker has yet to stop.",
     .words = "pending|processing|finished_successfully|failed"},
    {"state", FIELD_STRING, READ_ONLY, "cancelled, or leased.", .words = "leased|cancelled"},
    {NULL},
};

static const struct resource *const resources[] = {
    &resource_user,         &resource_datafile,    &resource_dataset,      &resource_solver,
    &resource_training_job, &resource_classifier,  &resource_classify_job, &resource_boss_job,
    &resource_order,        &resource_worker_node, &resource_job,          &resource_array,
    &resource_schedule,
};

const struct resource *resource_of_type(const char *type)
{
    for (size_t i = 0; i < ARRAY_SIZE(resources); i++)
        if (!strcmp(resources[i]->type, type))
            return resources[i];
    return NULL;
}

const struct resource *resource_of_request(const struct request *r)
{
    const char *first = r->route->path + 1;
    size_t length = strcspn(first, "/");
    for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
        const char *collection = resources[i]->collection;
        if (collection && strlen(collection) == length && !strncmp(collection, first, length))
            return resources[i];
    }
    return NULL;
}

/* A document without a job was made finished. */
static enum document_state state_shown(const struct resource *resource, enum document_state state)
{
    return resource->processed && state == STATE_NONE ? STATE_FINISHED : state;
}

json_t *resource_encode(const struct resource *resource, const struct document *d)
{
    char rev[REV_MAX], created[CLOCK_TEXT_MAX], updated[CLOCK_TEXT_MAX];
    json_t *whole = json_copy(d->body);
    json_object_set_new(whole, "_id", json_string(d->id));
    json_object_set_new(whole, "id", json_string(d->id));
    json_object_set_new(whole, "_rev", json_string(document_rev(d->id, d->rev, rev)));
    json_object_set_new(whole, "type", json_string(d->type));
    json_object_set_new(whole, "user-id", json_string(d->owner));
    json_object_set_new(whole, "created", json_string(clock_text(d->created_ms, created)));
    json_object_set_new(whole, "updated", json_string(clock_text(d->updated_ms, updated)));
    if (resource->processed) {
        enum document_state state = state_shown(resource, d->state);
        json_object_set_new(whole, "processing-state", json_string(document_state_word(state)));
        json_object_set_new(whole, "state", json_string(document_state_name(state)));
    }
    json_t *shown = fields_encode(resource->fields, whole);
    json_decref(whole);
    return shown;
}

#define ETAG_MAX (REV_MAX + 2)

/* The revision as an entity tag.  Returns out. */
static const char *document_etag(const struct document *d, char out[ETAG_MAX])
{
    char rev[REV_MAX];
    snprintf(out, ETAG_MAX, "\"%s\"", document_rev(d->id, d->rev, rev));
    return out;
}

void resource_respond(struct response *response, int status, const struct resource *resource,
                      const struct document *document)
{
    char etag[ETAG_MAX];
    response_json(response, status, resource_encode(resource, document));
    response_header(response, "ETag", document_etag(document, etag));
}

enum status resource_find(const struct request *r, const struct resource *resource, const char *id,
                          struct document *ret_document, struct error *err)
{
    struct document found;
    enum status status = document_get(api_store(r->api), r->who.owner, id, &found, err);
    if (status != OK && status != NOT_FOUND)
        return status;
    if (status == OK && !strcmp(found.type, resource->type) && found.state != STATE_DELETED) {
        *ret_document = found;
        return OK;
    }
    if (status == OK)
        document_release(&found);
    return error_set(err, NOT_FOUND, "no %s '%.64s'", resource->type, id);
}

enum status problem_of_field(struct response *response, const char *pointer, struct error *err)
{
    struct error was = *err;
    problem_at(response, pointer, err, was.status, "%s: %s", pointer + 1, was.message);
    err->line = was.line;
    err->column = was.column;
    return was.status;
}

enum status resource_find_named(const struct request *r, struct response *response,
                                const struct resource *resource, const char *pointer, const char *id,
                                struct document *ret_document, struct error *err)
{
    enum status status = resource_find(r, resource, id, ret_document, err);
    if (status != NOT_FOUND)
        return status;
    err->status = INVALID;
    return problem_of_field(response, pointer, err);
}

/* The answer that is kept for an Idempotency-Key: the document, as resource_respond() sends it. */
static char *created_answer(void *context, const struct document_list *made, int *ret_http_status)
{
    json_t *shown = resource_encode(context, &made->documents[0]);
    char *text = json_text(shown);
    json_decref(shown);
    *ret_http_status = 201;
    return text;
}

enum status resource_create(struct request *r, struct response *response, const struct resource *resource,
                            struct new_document *document, struct error *err)
{
    CLEANUP(document_list_release) struct document_list made = {0};
    document->type = resource->type;
    struct idempotency once = {
        .owner = r->who.owner,
        .key = r->idempotency_key,
        .request_hash = r->request_hash,
        .answer = created_answer,
        .context = (void *)resource,
    };
    TRY(documents_create(api_store(r->api), r->who.owner, document, 1, r->idempotency_key ? &once : NULL,
                         r->now_ms, &made, err));
    resource_respond(response, 201, resource, &made.documents[0]);
    const char *folder = resource->collection ? resource->collection : "elastic-thought";
    CLEANUP(freep) char *location = xasprintf("/%s/%s", folder, document->id);
    response_header(response, "Location", location);
    return OK;
}

enum status resource_get(struct request *r, struct response *response, struct error *err)
{
    const struct resource *resource = resource_of_request(r);
    CLEANUP(document_release) struct document document = {0};
    TRY(resource_find(r, resource, r->args[0], &document, err));
    char etag[ETAG_MAX];
    const char *known = request_header(r, "If-None-Match");
    if (known && etag_matches(known, document_etag(&document, etag), true)) {
        response_empty(response, 304);
        response_header(response, "ETag", etag);
    } else {
        resource_respond(response, 200, resource, &document);
    }
    return OK;
}

enum status query_int(const struct request *r, const char *name, int64_t min, int64_t max, int64_t otherwise,
                      int64_t *ret_value, struct error *err)
{
    const char *text = request_query(r, name);
    int64_t value = otherwise;
    if (text) {
        json_t *json = NULL;
        bool whole = json_read(text, strlen(text), &json, NULL) == OK && json_is_integer(json);
        value = whole ? json_integer_value(json) : 0;
        json_decref(json);
        if (!whole || value < min || value > max)
            return error_set(err, INVALID, "%s must be a whole number from %lld to %lld, not '%.40s'", name,
                             (long long)min, (long long)max, text);
    }
    *ret_value = value;
    return OK;
}

enum status query_bool(const struct request *r, const char *name, bool *ret_value, struct error *err)
{
    const char *text = request_query(r, name);
    bool is_true = text && (!strcmp(text, "true") || !strcmp(text, "1"));
    if (text && !is_true && strcmp(text, "false") != 0 && strcmp(text, "0") != 0)
        return error_set(err, INVALID, "%s must be true or false, not '%.40s'", name, text);
    *ret_value = is_true;
    return OK;
}

enum status resource_list(struct request *r, struct response *response, struct error *err)
{
    const struct resource *resource = resource_of_request(r);
    int64_t limit;
    TRY(query_int(r, "limit", 1, LIST_MAX, 100, &limit, err));
    struct document_filter filter = {
        .owner = r->who.owner,
        .type = resource->type,
        .after = request_query(r, "page_token"),
        .newest_first = true,
        .limit = (int)limit,
    };
    if (filter.after && !id_is_valid(filter.after))
        return error_set(err, INVALID, "page_token '%.40s' is not one that a list gave", filter.after);
    const char *word = request_query(r, "state");
    if (word) {
        filter.states = document_states_of(word);
        if (!filter.states || !resource->processed)
            return error_set(err, INVALID,
                             "no %s has the state '%.40s'; states are pending, processing, "
                             "finished_successfully, failed, and waiting, ready, leased, finished, "
                             "cancelled",
                             resource->type, word);
        if (filter.states & STATE_BIT(STATE_FINISHED))
            filter.states |= STATE_BIT(STATE_NONE);
    }
    CLEANUP(document_list_release) struct document_list list = {0};
    TRY(documents_list(api_store(r->api), &filter, &list, err));
    json_t *documents = json_array();
    for (int i = 0; i < list.n; i++)
        json_array_append_new(documents, resource_encode(resource, &list.documents[i]));
    json_t *next = list.more ? json_string(list.documents[list.n - 1].id) : json_null();
    response_json(response, 200, json_pack("{s:o, s:o}", "items", documents, "next_page_token", next));
    return OK;
}

/* Errors: CONFLICT when there is an If-Match and the document has another revision. */
static enum status if_match_holds(const struct request *r, const struct document *d, struct error *err)
{
    char etag[ETAG_MAX];
    const char *wanted = request_header(r, "If-Match");
    if (!wanted || etag_matches(wanted, document_etag(d, etag), false))
        return OK;
    return error_set(err, CONFLICT, "the document is at revision %s by now", etag);
}

enum status resource_delete(struct request *r, struct response *response, struct error *err)
{
    const struct resource *resource = resource_of_request(r);
    CLEANUP(document_release) struct document document = {0};
    TRY(resource_find(r, resource, r->args[0], &document, err));
    bool conditional = request_header(r, "If-Match") != NULL;
    if (if_match_holds(r, &document, err) != OK) {
        problem_http_status(response, 412);
        return err->status;
    }
    CLEANUP(json_decrefp) json_t *users = json_array();
    enum status status = document_delete(api_store(r->api), r->who.owner, document.id,
                                         conditional ? document.rev : 0, r->now_ms, users, NULL, err);
    if (status == CONFLICT && json_array_size(users))
        problem_member(response, "used-by", TAKE(users));
    if (status != OK)
        return status;
    response_empty(response, 204);
    return OK;
}

enum status resource_cancel(struct request *r, struct response *response, struct error *err)
{
    const struct resource *resource = resource_of_request(r);
    CLEANUP(document_release) struct document document = {0};
    TRY(resource_find(r, resource, r->args[0], &document, err));
    const char *name = strchr(r->who.owner, ':');
    enum document_state state;
    const char *who = name ? name + 1 : r->who.owner;
    bool force = json_get_bool(r->body, "force", false);
    TRY((force ? queue_kill : queue_cancel)(api_store(r->api), r->who.owner, document.id, who, r->now_ms,
                                            &state, err));
    response_json(response, 200,
                  json_pack("{s:s, s:s, s:s}", "id", document.id, "processing-state",
                            document_state_word(state), "state", document_state_name(state)));
    return OK;
}

char *blob_url(const char *id, const char *name)
{
    return xasprintf("cbfs://%s/%s", id, name);
}
