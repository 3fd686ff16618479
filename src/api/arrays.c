#include "api/arrays.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_MAX 1000

const struct field parameter_set_rows[] = {
    {"*", FIELD_OBJECT, 0,
     "What sets this job apart: of a training job fields of its solver, of a script parameters, merged into "
     "those of all (RFC 7396), of a classify job urls."},
    {NULL},
};

static const struct field counts_out[] = {
    {"waiting", FIELD_INT, READ_ONLY, "On a dependency or a time."},
    {"ready", FIELD_INT, READ_ONLY, "For a worker."},
    {"leased", FIELD_INT, READ_ONLY, "Running."},
    {"finished", FIELD_INT, READ_ONLY, "Well."},
    {"failed", FIELD_INT, READ_ONLY, "Failed."},
    {"cancelled", FIELD_INT, READ_ONLY, "Cancelled."},
    {NULL},
};
static const struct field array_out[] = {
    DOCUMENT_ROWS,
    {"of", FIELD_STRING, READ_ONLY, "Type of its jobs."},
    {"size", FIELD_INT, READ_ONLY, "Jobs asked for."},
    {"made", FIELD_INT, READ_ONLY, "Those that are there; the rest follows by itself."},
    {"ended", FIELD_BOOL, READ_ONLY, "All are over."},
    {"jobs", FIELD_OBJECT, READ_ONLY, "How many are in each state.", .fields = counts_out},
    {"solver-id", FIELD_STRING, READ_ONLY, "Solver that is varied."},
    {"script", FIELD_STRING, READ_ONLY, "Or script."},
    {"classifier-id", FIELD_STRING, READ_ONLY, "Or classifier that is used."},
    {NULL},
};
const struct resource resource_array = {.type = "array", .collection = "arrays", .fields = array_out};

const struct field members_query[] = {
    {"limit", FIELD_INT, 0, "Documents wanted at most.", .min = 1, .max = PAGE_MAX, .otherwise = "100"},
    {"page_token", FIELD_STRING, 0, "From the page before."},
    {NULL},
};

/* ---- making ---- */

/* A merge patch for each element. */
static enum status read_elements(struct request *r, struct response *response, const struct job_maker *maker,
                                 struct job_plan *plan, const json_t *elements, json_t *patches,
                                 struct error *err)
{
    for (size_t i = 0; i < json_array_size(elements); i++) {
        json_t *patch = NULL;
        if (maker->vary(r, plan, json_array_get(elements, i), &patch, err) != OK) {
            CLEANUP(freep) char *pointer = xasprintf("/array/%zu", i);
            return problem_of_field(response, pointer, err);
        }
        json_array_append_new(patches, patch);
    }
    return OK;
}

static char *accepted_answer(void *context, const struct document_list *made, int *ret_http_status)
{
    json_t *shown = resource_encode(context, &made->documents[0]);
    char *text = json_text(shown);
    json_decref(shown);
    *ret_http_status = 201;
    return text;
}

enum status array_create_request(struct request *r, struct response *response, const struct job_maker *maker,
                                 struct job_plan *plan, const json_t *elements, struct error *err)
{
    CLEANUP(json_decrefp) json_t *patches = json_array();
    TRY(read_elements(r, response, maker, plan, elements, patches, err));
    char id[ID_MAX];
    id_new(id);
    CLEANUP(json_decrefp)
    json_t *body =
        json_pack("{s:s, s:I}", "of", maker->resource->type, "size", (json_int_t)json_array_size(patches));
    static const char *const same[] = {"solver-id", "script", "classifier-id"};
    for (size_t i = 0; i < ARRAY_SIZE(same); i++)
        if (json_object_get(plan->body, same[i]))
            json_object_set(body, same[i], json_object_get(plan->body, same[i]));
    const struct new_document document = {.id = id,
                                          .type = resource_array.type,
                                          .body = body,
                                          .refs = plan->document.refs,
                                          .n_refs = plan->document.n_refs,
                                          .blobs = plan->document.blobs,
                                          .n_blobs = plan->document.n_blobs};
    const struct new_array array = {.document = &document, .element = &plan->document, .patches = patches};
    struct idempotency once = {.owner = r->who.owner,
                               .key = r->idempotency_key,
                               .request_hash = r->request_hash,
                               .answer = accepted_answer,
                               .context = (void *)&resource_array};
    CLEANUP(document_release) struct document made = {0};
    TRY(array_create(api_store(r->api), r->who.owner, &array, r->idempotency_key ? &once : NULL, r->now_ms,
                     &made, err));
    resource_respond(response, 201, &resource_array, &made);
    CLEANUP(freep) char *location = xasprintf("/arrays/%s", id);
    response_header(response, "Location", location);
    return OK;
}

/* ---- reading ---- */

static enum status array_answer(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(document_release) struct document document = {0};
    struct array_counts counts;
    TRY(resource_find(r, &resource_array, r->args[0], &document, err));
    TRY(array_count(api_store(r->api), document.id, &counts, err));
    json_t *jobs = json_object();
    for (enum document_state state = STATE_WAITING; state <= STATE_CANCELLED; state++)
        json_object_set_new(jobs, document_state_name(state), json_integer(counts.in[state]));
    int64_t unfinished = counts.in[STATE_WAITING] + counts.in[STATE_READY] + counts.in[STATE_PROCESSING];
    json_object_set_new(document.body, "jobs", jobs);
    json_object_set_new(document.body, "made", json_integer(counts.made));
    json_object_set_new(document.body, "ended", json_boolean(!unfinished && counts.made == counts.total));
    response_json(response, 200, resource_encode(&resource_array, &document));
    return OK;
}

enum status members_get(struct request *r, struct response *response, struct error *err)
{
    const struct resource *resource = resource_of_request(r);
    CLEANUP(document_release) struct document parent = {0};
    CLEANUP(document_list_release) struct document_list list = {0};
    int64_t limit, from, next;
    TRY(resource_find(r, resource, r->args[0], &parent, err));
    TRY(query_int(r, "limit", 1, PAGE_MAX, 100, &limit, err));
    TRY(query_int(r, "page_token", 0, INT64_MAX, 0, &from, err));
    TRY(members_list(api_store(r->api), parent.id, from, (int)limit, &list, &next, err));
    json_t *items = json_array();
    for (int i = 0; i < list.n; i++)
        json_array_append_new(items,
                              resource_encode(resource_of_type(list.documents[i].type), &list.documents[i]));
    json_t *token = json_null();
    if (next >= 0) {
        CLEANUP(freep) char *text = xasprintf("%lld", (long long)next);
        token = json_string(text);
    }
    response_json(response, 200, json_pack("{s:o, s:o}", "items", items, "next_page_token", token));
    return OK;
}

/* ---- ending ---- */

static enum status array_stop(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(document_release) struct document document = {0};
    TRY(resource_find(r, &resource_array, r->args[0], &document, err));
    const char *name = strchr(r->who.owner, ':');
    TRY(array_cancel(api_store(r->api), r->who.owner, document.id, name ? name + 1 : r->who.owner,
                     json_get_bool(r->body, "force", false), r->now_ms, err));
    return array_answer(r, response, err);
}

static enum status array_remove(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(document_release) struct document document = {0};
    TRY(resource_find(r, &resource_array, r->args[0], &document, err));
    TRY(array_delete(api_store(r->api), r->who.owner, document.id, r->now_ms, err));
    response_empty(response, 204);
    return OK;
}

const struct route array_routes[] = {
    {"GET", "/arrays", resource_list, SCOPE_USER, BODY_NONE, "List arrays of jobs.", NULL, list_fields, 200,
     list_query},
    {"GET", "/arrays/{id}", array_answer, SCOPE_USER, BODY_NONE, "One array, with its jobs counted by state.",
     NULL, array_out, 200},
    {"GET", "/arrays/{id}/jobs", members_get, SCOPE_USER, BODY_NONE,
     "Its jobs with their results, in the order of their parameter sets.", NULL, list_fields, 200,
     members_query},
    {"GET", "/arrays/{id}/results", array_results_get, SCOPE_USER, BODY_NONE,
     "What came of each parameter set, 10,000 at a time.", NULL, array_results_fields, 200,
     array_results_query},
    {"POST", "/arrays/{id}/cancel", array_stop, SCOPE_USER, BODY_JSON, "Stop all of its jobs.", cancel_in,
     array_out, 200},
    {"DELETE", "/arrays/{id}", array_remove, SCOPE_USER, BODY_NONE, "Delete an array and all of its jobs.",
     NULL, NULL, 204},
    {NULL},
};
