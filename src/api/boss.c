/*
 * boss.c - the API of the Boss, for its clients and its worker nodes as they
 * are.  It answers 200 to everything it understands, errors too; only a
 * store that is away is a 503.
 */
#include "api/boss.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "api/resource.h"
#include "api/server.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"

#define ATTEMPTS      3
#define NODE_NAME_MAX 100
#define NODE_PREFIX   "node:" /* tells foreign nodes from our own workers */

struct boss {
    char owner[OWNER_MAX];
    int64_t order_timeout_ms;
    pthread_mutex_t lock; /* guards last_ms, and the uniqueness of worker nodes */
    int64_t last_ms;      /* of the latest id */
};

static const struct field boss_job_out[] = {
    DOCUMENT_ROWS,
    {"job", FIELD_OBJECT, READ_ONLY, "Script and parameters, as they were sent."},
    {NULL},
};
static const struct field order_out[] = {
    DOCUMENT_ROWS,
    PROCESSED_ROWS,
    {"jobId", FIELD_STRING, READ_ONLY, "Job that it is about."},
    {"projectName", FIELD_STRING, READ_ONLY, "The Job's."},
    {"createdDate", FIELD_STRING, READ_ONLY, "Time of its making."},
    {"status", FIELD_STRING, READ_ONLY, "Its Outcome's."},
    {"assignedNode", FIELD_STRING, READ_ONLY, "Node that the Outcome came from."},
    {"exit-status", FIELD_INT, READ_ONLY | NULLABLE, "The script's, when one of our workers ran it."},
    {"signal", FIELD_STRING, READ_ONLY | NULLABLE, "What killed it."},
    {"artifacts", FIELD_ARRAY, READ_ONLY, "Files that it left: name, url, size."},
    {"std-out-url", FIELD_STRING, READ_ONLY, "Standard output, when one of our workers ran it."},
    {"std-err-url", FIELD_STRING, READ_ONLY, "Standard error, when one of our workers ran it."},
    {"outcomes", FIELD_ARRAY, READ_ONLY, "The Outcome, when it has come."},
    {NULL},
};
static const struct field worker_node_out[] = {
    DOCUMENT_ROWS,
    {"node", FIELD_OBJECT, READ_ONLY, "The node, as it was sent."},
    {NULL},
};
const struct resource resource_boss_job = {.type = "boss-job", .fields = boss_job_out};
const struct resource resource_order = {
    .type = "order", .collection = "orders", .fields = order_out, .processed = true};
const struct resource resource_worker_node = {.type = "worker-node", .fields = worker_node_out};

enum status boss_new(struct store *store, const char *user, int64_t order_timeout_ms, struct boss **ret_boss,
                     struct error *err)
{
    struct boss b = {.order_timeout_ms = order_timeout_ms};
    TRY(legacy_user(store, user, b.owner, err));
    *ret_boss = xcalloc(1, sizeof **ret_boss);
    **ret_boss = b;
    pthread_mutex_init(&(*ret_boss)->lock, NULL);
    return OK;
}

void boss_free(struct boss *b)
{
    if (!b)
        return;
    pthread_mutex_destroy(&b->lock);
    free(b);
}

/* Ids in the order of their making, also within a millisecond: the oldest Order is the next. */
static void next_id(struct boss *b, int64_t now_ms, char ret_id[ID_MAX])
{
    char tail[21];
    random_hex(10, tail);
    pthread_mutex_lock(&b->lock);
    b->last_ms = MAX(now_ms, b->last_ms + 1);
    snprintf(ret_id, ID_MAX, "%012llx%s", (unsigned long long)b->last_ms, tail);
    pthread_mutex_unlock(&b->lock);
}

/* ---- answers ---- */

static void answer(struct response *response, json_t *json /* taken */)
{
    char *text = json_text_as(json, JSON_COMPACT);
    json_decref(json);
    response_text(response, 200, "application/json; charset=utf-8", text, strlen(text));
}

static json_t *message_json(const char *text)
{
    return json_of_bytes(text, strlen(text));
}

static enum status say_error(struct response *response, const char *text)
{
    answer(response, json_pack("{s:o}", "error", message_json(text)));
    return OK;
}

/* why: NULL for the original's empty object. */
static enum status say_shape(struct response *response, const char *why)
{
    json_t *inner = why ? json_pack("{s:o}", "error", message_json(why)) : json_object();
    answer(response, json_pack("{s:s, s:o}", "error", "Error with request shape.", "err", inner));
    return OK;
}

/* The request's object; NULL: the reply says what is wrong with it. */
static json_t *read_object(const struct request *r, struct response *response)
{
    struct error err;
    json_t *body = NULL;
    if (!r->n_bytes)
        return json_object();
    if (json_read(r->bytes, r->n_bytes, &body, &err) != OK) {
        say_shape(response, err.message);
    } else if (!json_is_object(body)) {
        say_shape(response, "the body is no object: expected {...}");
        json_decref(body);
        body = NULL;
    }
    return body;
}

static void copy_string(json_t *to, const char *name, const json_t *from)
{
    if (json_object_get(from, name))
        json_object_set(to, name, json_object_get(from, name));
}

/* The client's own fields, after the id and before the version, as the original's database has them. */
static json_t *stored_json(const char *id, const json_t *fields)
{
    json_t *shown = json_pack("{s:s}", "_id", id);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)fields, key, value) {
        if (strcmp(key, "_id") && strcmp(key, "__v"))
            json_object_set(shown, key, value);
    }
    json_object_set_new(shown, "__v", json_integer(0));
    return shown;
}

static const char *node_of(const char *worker)
{
    size_t n = strlen(NODE_PREFIX);
    return strncmp(worker, NODE_PREFIX, n) ? worker : worker + n;
}

/* The Order as its clients know it.  node: NULL, or who holds it. */
static json_t *order_json(const struct document *d, const char *node)
{
    const char *status = json_get_string(d->body, "status", NULL);
    if (d->state == STATE_WAITING || d->state == STATE_READY)
        status = "unassigned";
    else if (d->state == STATE_PROCESSING)
        status = "assigned";
    else if (d->state == STATE_CANCELLED)
        status = "cancelled";
    else if (!status)
        status = "failed";
    json_t *order = json_pack("{s:s}", "_id", d->id);
    copy_string(order, "jobId", d->body);
    copy_string(order, "projectName", d->body);
    copy_string(order, "createdDate", d->body);
    json_object_set_new(order, "status", json_string(status));
    if (node)
        json_object_set_new(order, "assignedNode", json_string(node));
    else
        copy_string(order, "assignedNode", d->body);
    if (d->state == STATE_FAILED || d->state == STATE_CANCELLED)
        json_object_set_new(order, "error", json_string(json_get_string(d->body, "processing-log", "")));
    json_object_set_new(order, "__v", json_integer(0));
    return order;
}

/* The same, looking up who holds it. */
static json_t *order_shown(struct store *store, const struct document *d)
{
    CLEANUP(job_release) struct job job = {0};
    bool held = d->state == STATE_PROCESSING && queue_job(store, d->id, &job, NULL) == OK && job.worker;
    return order_json(d, held ? node_of(job.worker) : NULL);
}

/* ---- Jobs ---- */

/* Errors: INVALID, for a script that is not a plain name. */
static enum status check_script(const json_t *job, struct error *err)
{
    const json_t *name = json_object_get(job, "scriptName");
    const char *text = json_string_value(name);
    if (name && (!text || !*text || strchr(text, '/') || strchr(text, '\\') || strstr(text, "..")))
        return error_set(err, INVALID, "scriptName '%.64s' is not the plain name of a file",
                         text ? text : "");
    return OK;
}

static enum status job_create(struct request *r, struct response *response, struct error *err)
{
    struct boss *b = legacy_boss(r->api);
    if (strcmp(r->args[0], "create") != 0)
        return say_error(response, "No method selected.");
    CLEANUP(json_decrefp) json_t *job = read_object(r, response);
    if (!job)
        return OK;
    if (check_script(job, err) != OK)
        return say_shape(response, err->message);
    char job_id[ID_MAX], order_id[ID_MAX], created[CLOCK_TEXT_MAX];
    next_id(b, r->now_ms, job_id);
    next_id(b, r->now_ms, order_id);
    CLEANUP(json_decrefp) json_t *job_body = json_pack("{s:O}", "job", job);
    CLEANUP(json_decrefp)
    json_t *order_body =
        json_pack("{s:s, s:s}", "jobId", job_id, "createdDate", clock_text(r->now_ms, created));
    copy_string(order_body, "projectName", job);
    CLEANUP(json_decrefp)
    json_t *spec =
        json_pack("{s:{s:s, s:o}, s:I}", "spec", "order", order_id, "job", stored_json(job_id, job),
                  "max_seconds", (json_int_t)MAX(b->order_timeout_ms / 1000, (int64_t)1));
    struct new_job queued = {.kind = "order", .pool = BOSS_POOL, .spec = spec, .max_attempts = ATTEMPTS};
    const char *refs[] = {job_id};
    const struct new_document made[] = {
        {.id = job_id, .type = resource_boss_job.type, .body = job_body},
        {.id = order_id,
         .type = resource_order.type,
         .body = order_body,
         .job = &queued,
         .refs = refs,
         .n_refs = 1},
    };
    CLEANUP(document_list_release) struct document_list list = {0};
    TRY(documents_create(api_store(r->api), b->owner, made, 2, NULL, r->now_ms, &list, err));
    answer(response, order_json(&list.documents[1], NULL));
    return OK;
}

/* ---- Orders ---- */

/* What a node still holds when it says that it is bored, it has lost. */
static enum status orders_lost(struct store *store, const char *worker, int64_t now_ms, struct error *err)
{
    CLEANUP(job_list_release) struct job_list held = {0};
    TRY(queue_held(store, BOSS_POOL, worker, &held, err));
    for (int i = 0; i < held.n; i++) {
        CLEANUP(freep) char *reason = xasprintf("node '%s' lost it: it asked for work", node_of(worker));
        struct finish lost = {.job = held.jobs[i].id,
                              .attempt = held.jobs[i].attempt,
                              .outcome = OUTCOME_RETRY,
                              .reason = reason,
                              .at_once = true};
        enum status status = queue_finish(store, &lost, now_ms, err);
        if (status != OK && status != CONFLICT)
            return status;
        log_event("order.lost", "order=%s attempt=%d", held.jobs[i].id, held.jobs[i].attempt);
    }
    return OK;
}

static enum status bored(struct request *r, struct response *response, struct error *err)
{
    struct boss *b = legacy_boss(r->api);
    struct store *store = api_store(r->api);
    CLEANUP(json_decrefp) json_t *name = json_string(r->args[0]);
    if (!name || strlen(r->args[0]) > NODE_NAME_MAX)
        return say_shape(response, "a node's name is 1 to 100 bytes of UTF-8");
    CLEANUP(freep) char *worker = xasprintf(NODE_PREFIX "%s", r->args[0]);
    char request_id[ID_MAX];
    id_new(request_id);
    if (request_client_gone(r)) {
        response_empty(response, 200);
        return OK;
    }
    TRY(orders_lost(store, worker, r->now_ms, err));
    static const char *const pools[] = {BOSS_POOL};
    struct lease_request wanted = {.request_id = request_id,
                                   .worker = worker,
                                   .pools = pools,
                                   .n_pools = 1,
                                   .slots = 1,
                                   .lease_ms = b->order_timeout_ms};
    CLEANUP(job_list_release) struct job_list leased = {0};
    TRY(queue_lease(store, &wanted, clock_now_ms(), &leased, err));
    if (!leased.n)
        return say_error(response, "No Jobs or all are assigned.");
    CLEANUP(document_release) struct document order = {0};
    TRY(document_get(store, NULL, leased.jobs[0].id, &order, err));
    order.state = STATE_PROCESSING;
    answer(response, order_json(&order, r->args[0]));
    return OK;
}

/* ---- Outcomes ---- */

/* "12.5" -> 12.5; what is no number stays as it is. */
static void make_number(json_t *outcome, const char *name)
{
    const char *text = json_string_value(json_object_get(outcome, name));
    char *end;
    if (!text)
        return;
    errno = 0;
    double value = strtod(text, &end);
    if (end != text && !*end && !errno && isfinite(value))
        json_object_set_new(outcome, name, json_real(value));
}

/* The Outcome's status in words: a script may say 200 or 400.  For the caller to free. */
static char *outcome_status(const json_t *outcome)
{
    const json_t *status = json_object_get(outcome, "status");
    if (json_is_string(status) && *json_string_value(status))
        return xstrdup(json_string_value(status));
    if (json_is_number(status))
        return xasprintf("%.15g", json_number_value(status));
    return xstrdup("completed");
}

static bool outcome_is_failure(const json_t *outcome, const char *status)
{
    char *end;
    double code = strtod(status, &end);
    bool is_code = end != status && !*end;
    return json_object_get(outcome, "error") || (is_code && code >= 400) || !strcasecmp(status, "failed") ||
           !strcasecmp(status, "error");
}

/* Why it failed; for the caller to free. */
static char *outcome_reason(const json_t *outcome, const char *status)
{
    const json_t *error = json_object_get(outcome, "error");
    if (json_is_string(error))
        return xstrdup(json_string_value(error));
    return error ? json_text_as(error, JSON_COMPACT) : xasprintf("status %s", status);
}

/* fields: the Outcome as it came. */
static json_t *outcome_patch(const json_t *fields, const char *node)
{
    char id[ID_MAX];
    id_new(id);
    CLEANUP(json_decrefp) json_t *outcome = stored_json(id, fields);
    make_number(outcome, "loss");
    make_number(outcome, "metric");
    CLEANUP(freep) char *status = outcome_status(outcome);
    json_t *patch = json_pack("{s:s, s:[O]}", "status", status, "outcomes", outcome);
    if (node)
        json_object_set_new(patch, "assignedNode", json_string(node));
    return patch;
}

json_t *boss_order_patch(const struct job *job, bool done, const char *reason, const json_t *result)
{
    const json_t *said = json_object_get(result, "result");
    CLEANUP(json_decrefp)
    json_t *fields = json_is_object(said) ? json_copy((json_t *)(uintptr_t)said) : json_object();
    if (!json_object_get(fields, "status"))
        json_object_set_new(fields, "status", json_string(done ? "completed" : "failed"));
    CLEANUP(freep) char *status = outcome_status(fields);
    if (!done && !outcome_is_failure(fields, status))
        json_object_set_new(fields, "status", json_string("failed"));
    if (!done && !json_object_get(fields, "error"))
        json_object_set_new(fields, "error", message_json(reason));
    json_object_set_new(fields, "orderId", json_string(job->id));
    if (job->worker)
        json_object_set_new(fields, "workerNodeName", json_string(job->worker));
    return outcome_patch(fields, job->worker);
}

/* The caller's Order; *ret_found false: there is none, and the reply says so. */
static enum status find_order(struct request *r, struct response *response, const char *id,
                              struct document *ret_order, bool *ret_found, struct error *err)
{
    *ret_found = false;
    enum status status = document_get(api_store(r->api), legacy_boss(r->api)->owner, id, ret_order, err);
    if (status != OK && status != NOT_FOUND)
        return status;
    if (status == OK && !strcmp(ret_order->type, resource_order.type) && ret_order->state != STATE_DELETED) {
        *ret_found = true;
        return OK;
    }
    CLEANUP(freep) char *why = xasprintf("there is no Order '%.64s'", id);
    return say_shape(response, why);
}

static enum status callback(struct request *r, struct response *response, struct error *err)
{
    struct store *store = api_store(r->api);
    CLEANUP(json_decrefp) json_t *fields = read_object(r, response);
    if (!fields)
        return OK;
    const char *id = json_get_string(fields, "orderId", "");
    if (!*id)
        return say_shape(response, "Missing Id");
    CLEANUP(document_release) struct document order = {0};
    bool found;
    TRY(find_order(r, response, id, &order, &found, err));
    if (!found)
        return OK;
    CLEANUP(json_decrefp)
    json_t *patch = outcome_patch(fields, json_get_string(fields, "workerNodeName", NULL));
    const char *word = json_get_string(patch, "status", "");
    bool failed = outcome_is_failure(fields, word);
    CLEANUP(freep) char *reason = failed ? outcome_reason(fields, word) : NULL;
    struct finish end = {
        .job = id, .outcome = failed ? OUTCOME_FAILED : OUTCOME_DONE, .reason = reason, .result = patch};
    enum status status = queue_conclude(store, legacy_boss(r->api)->owner, &end, r->now_ms, err);
    if (status != OK && status != CONFLICT) /* one that is over stays as it is */
        return status;
    document_release(&order);
    TRY(document_get(store, legacy_boss(r->api)->owner, id, &order, err));
    answer(response, order_shown(store, &order));
    return OK;
}

/* ---- what there is ---- */

static enum status all_orders(struct request *r, struct response *response, struct error *err)
{
    struct store *store = api_store(r->api);
    CLEANUP(json_decrefp) json_t *orders = json_array();
    char after[DOCUMENT_ID_MAX] = "";
    for (bool more = true; more;) {
        CLEANUP(document_list_release) struct document_list list = {0};
        struct document_filter filter = {.owner = legacy_boss(r->api)->owner,
                                         .type = resource_order.type,
                                         .after = *after ? after : NULL,
                                         .limit = 1000};
        TRY(documents_list(store, &filter, &list, err));
        for (int i = 0; i < list.n; i++)
            json_array_append_new(orders, order_shown(store, &list.documents[i]));
        more = list.more;
        if (more)
            snprintf(after, sizeof after, "%s", list.documents[list.n - 1].id);
    }
    answer(response, json_incref(orders));
    return OK;
}

static enum status one_job(struct request *r, struct response *response, const char *id, struct error *err)
{
    CLEANUP(document_release) struct document d = {0};
    enum status status = document_get(api_store(r->api), legacy_boss(r->api)->owner, id, &d, err);
    if (status != OK && status != NOT_FOUND)
        return status;
    if (status == OK && !strcmp(d.type, resource_boss_job.type) && d.state != STATE_DELETED)
        answer(response, stored_json(d.id, json_object_get(d.body, "job")));
    else
        response_empty(response, 200);
    return OK;
}

static enum status latest_job(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(document_list_release) struct document_list list = {0};
    struct document_filter filter = {.owner = legacy_boss(r->api)->owner,
                                     .type = resource_boss_job.type,
                                     .newest_first = true,
                                     .limit = 1};
    TRY(documents_list(api_store(r->api), &filter, &list, err));
    if (list.n)
        answer(response, stored_json(list.documents[0].id, json_object_get(list.documents[0].body, "job")));
    else
        response_empty(response, 200);
    return OK;
}

static enum status one_outcome(struct request *r, struct response *response, const char *id,
                               struct error *err)
{
    CLEANUP(document_release) struct document d = {0};
    enum status status = document_get(api_store(r->api), legacy_boss(r->api)->owner, id, &d, err);
    if (status != OK && status != NOT_FOUND)
        return status;
    json_t *outcome = json_array_get(json_object_get(d.body, "outcomes"), 0);
    if (outcome && !strcmp(d.type, resource_order.type))
        answer(response, json_incref(outcome));
    else
        response_empty(response, 200);
    return OK;
}

static enum status retrieve(struct request *r, struct response *response, struct error *err)
{
    const char *type = r->args[0], *id = r->args[1];
    if (!strcmp(type, "order"))
        return all_orders(r, response, err);
    if (!strcmp(type, "latest-job"))
        return latest_job(r, response, err);
    bool is_job = !strcmp(type, "job");
    if (!is_job && strcmp(type, "outcome") != 0)
        return say_shape(response, NULL);
    if (!id)
        return say_shape(response, "Missing Id");
    return is_job ? one_job(r, response, id, err) : one_outcome(r, response, id, err);
}

/* ---- worker nodes ---- */

/* The node of the list that has this one's value under the key, or NULL. */
static const struct document *node_with(const struct document_list *list, const json_t *node, const char *key)
{
    for (int i = 0; i < list->n; i++)
        if (json_equal(json_object_get(json_object_get(list->documents[i].body, "node"), key),
                       json_object_get(node, key)))
            return &list->documents[i];
    return NULL;
}

static enum status check_unique(struct request *r, const json_t *node, char **ret_why, struct error *err)
{
    char after[DOCUMENT_ID_MAX] = "";
    for (bool more = true; more && !*ret_why;) {
        CLEANUP(document_list_release) struct document_list list = {0};
        struct document_filter filter = {.owner = legacy_boss(r->api)->owner,
                                         .type = resource_worker_node.type,
                                         .after = *after ? after : NULL,
                                         .limit = 1000};
        TRY(documents_list(api_store(r->api), &filter, &list, err));
        const char *taken = node_with(&list, node, "address") ? "address"
                            : node_with(&list, node, "name")  ? "name"
                                                              : NULL;
        if (taken)
            *ret_why = xasprintf("E11000 duplicate key error: %s \"%s\" is taken", taken,
                                 json_get_string(node, taken, ""));
        more = list.more;
        if (more)
            snprintf(after, sizeof after, "%s", list.documents[list.n - 1].id);
    }
    return OK;
}

/* What the original's database says of one that lacks a name; NULL when it is whole. */
static char *node_fault(const json_t *node)
{
    bool has_address = *json_get_string(node, "address", ""), has_name = *json_get_string(node, "name", "");
    if (has_address && has_name)
        return NULL;
    return xasprintf("WorkerNode validation failed: %s%s%s",
                     has_address ? "" : "address: Path `address` is required.",
                     has_address || has_name ? "" : ", ", has_name ? "" : "name: Path `name` is required.");
}

static void unlockp(pthread_mutex_t **lock)
{
    pthread_mutex_unlock(*lock);
}

static enum status worker_node_create(struct request *r, struct response *response, struct error *err)
{
    struct boss *b = legacy_boss(r->api);
    if (strcmp(r->args[0], "create") != 0)
        return say_shape(response, NULL);
    CLEANUP(json_decrefp) json_t *node = read_object(r, response);
    if (!node)
        return OK;
    CLEANUP(freep) char *fault = node_fault(node);
    if (fault)
        return say_error(response, fault);
    char id[ID_MAX];
    next_id(b, r->now_ms, id);
    CLEANUP(unlockp) pthread_mutex_t *locked = &b->lock;
    pthread_mutex_lock(locked);
    CLEANUP(freep) char *taken = NULL;
    TRY(check_unique(r, node, &taken, err));
    if (taken)
        return say_error(response, taken);
    CLEANUP(json_decrefp) json_t *body = json_pack("{s:O}", "node", node);
    struct new_document made = {.id = id, .type = resource_worker_node.type, .body = body};
    TRY(documents_create(api_store(r->api), b->owner, &made, 1, NULL, r->now_ms, NULL, err));
    answer(response, stored_json(id, node));
    return OK;
}

const struct route boss_routes[] = {
    {"POST", "/job/{method}", job_create, SCOPE_NONE, BODY_BYTES, "Boss: create a Job; the Order for it.",
     .success = 200, .cors = true},
    {"POST", "/bored/{node}", bored, SCOPE_NONE, BODY_BYTES, "Boss: a node wants work; an Order for it.",
     .success = 200, .cors = true},
    {"GET", "/retrieve/{type}", retrieve, SCOPE_NONE, BODY_NONE, "Boss: order (all), or latest-job.",
     .success = 200, .cors = true},
    {"GET", "/retrieve/{type}/", retrieve, SCOPE_NONE, BODY_NONE, "Boss: the same.", .success = 200,
     .cors = true},
    {"GET", "/retrieve/{type}/{id}", retrieve, SCOPE_NONE, BODY_NONE,
     "Boss: a job, or an Order's outcome; empty when there is none.", .success = 200, .cors = true},
    {"GET", "/retrieve/{type}/{id}/{more}", retrieve, SCOPE_NONE, BODY_NONE, "Boss: the same.",
     .success = 200, .cors = true},
    {"POST", "/callback", callback, SCOPE_NONE, BODY_BYTES, "Boss: an Outcome; the Order that it ends.",
     .success = 200, .cors = true},
    {"POST", "/worker-node/{method}", worker_node_create, SCOPE_NONE, BODY_BYTES, "Boss: create a node.",
     .success = 200, .cors = true},
    {"GET", "/orders", resource_list, SCOPE_USER, BODY_NONE, "List Orders.", NULL, list_fields, 200,
     list_query},
    {"GET", "/orders/{id}", resource_get, SCOPE_USER, BODY_NONE, "One Order.", NULL, order_out, 200},
    {"GET", "/orders/{id}/logs", resource_logs, SCOPE_USER, BODY_NONE,
     "Standard error of our workers' attempts so far, as text; Range is honoured.", NULL, NULL, 200,
     log_query},
    {"POST", "/orders/{id}/cancel", resource_cancel, SCOPE_USER, BODY_JSON, "Stop an Order.", cancel_in,
     cancel_fields, 200},
    {NULL},
};
