/*
 * webhooks.c - who is told by HTTP when jobs end: hooks, and what was sent.
 */
#include "store/webhooks.h"

#include <string.h>

#include "api/resource.h"
#include "api/server.h"
#include "base/buf.h"
#include "base/clock.h"

#define URL_MAX    2048
#define EVENTS_MAX 50
#define LIST_MAX   1000

static const struct field event_rows[] = {
    {"*", FIELD_STRING, 0, "TYPE.finished, TYPE.failed, TYPE.cancelled, TYPE.*, or *.", .min = 1,
     .max = DELIVERY_EVENT_MAX - 1},
    {NULL},
};

static const struct field hook_in[] = {
    {"url", FIELD_URL, REQUIRED, "Where to send: http or https.", .max = URL_MAX},
    {"events", FIELD_ARRAY, 0, "What to send: \"training-job.finished\", \"dataset.*\", \"*\".", .min = 1,
     .max = EVENTS_MAX, .otherwise = "[\"*\"]", .fields = event_rows},
    {"secret", FIELD_STRING, WRITE_ONLY,
     "What signs: whsec_ and 24 to 64 bytes in Base64; absent: one is made.", .max = WEBHOOK_SECRET_MAX - 1},
    {NULL},
};

static const struct field hook_change[] = {
    {"url", FIELD_URL, 0, "Where to send.", .max = URL_MAX},
    {"events", FIELD_ARRAY, 0, "What to send.", .min = 1, .max = EVENTS_MAX, .fields = event_rows},
    {"enabled", FIELD_BOOL, 0, "Send at all; enabled again, it hears of what is still pending."},
    {NULL},
};

#define HOOK_ROWS                                                                                            \
    {"id", FIELD_STRING, READ_ONLY, "Id."}, {"url", FIELD_STRING, READ_ONLY, "Where it is sent."},           \
        {"events", FIELD_ARRAY, READ_ONLY, "What is sent.", .fields = event_rows},                           \
        {"enabled", FIELD_BOOL, READ_ONLY, "Is anything sent."},                                             \
        {"why-disabled", FIELD_STRING, READ_ONLY, "What the receiver did; empty otherwise."},                \
    {                                                                                                        \
        "created", FIELD_STRING, READ_ONLY, "Time of its making, RFC 3339."                                  \
    }

static const struct field hook_out[] = {HOOK_ROWS, {NULL}};
static const struct field made_out[] = {
    HOOK_ROWS,
    {"secret", FIELD_STRING, READ_ONLY | NULLABLE,
     "Signs what is sent; told here only, null when this answer is a repeated one."},
    {NULL},
};
static const struct field hook_list_rows[] = {{"*", FIELD_OBJECT, 0, "A webhook.", .fields = hook_out},
                                              {NULL}};
static const struct field hook_list_out[] = {
    {"items", FIELD_ARRAY, READ_ONLY, "Your webhooks, oldest first.", .fields = hook_list_rows},
    {NULL},
};

static const struct field delivery_out[] = {
    {"id", FIELD_STRING, READ_ONLY, "The webhook-id that the receiver sees."},
    {"event", FIELD_STRING, READ_ONLY, "What it tells."},
    {"state", FIELD_STRING, READ_ONLY, "Where it stands.", .words = "pending|delivered|failed"},
    {"attempts", FIELD_INT, READ_ONLY, "Tries so far."},
    {"created", FIELD_STRING, READ_ONLY, "Time of the event."},
    {"tried", FIELD_STRING, READ_ONLY | NULLABLE, "Time of the last try."},
    {"next-try", FIELD_STRING, READ_ONLY | NULLABLE, "Time of the next; null: none, or after an older one."},
    {"response-status", FIELD_INT, READ_ONLY | NULLABLE, "Of the last answer; null: none came."},
    {"response-body", FIELD_STRING, READ_ONLY, "First bytes of the last answer."},
    {"error", FIELD_STRING, READ_ONLY, "Why the last try failed."},
    {NULL},
};
static const struct field delivery_list_rows[] = {
    {"*", FIELD_OBJECT, 0, "A delivery.", .fields = delivery_out},
    {NULL},
};
static const struct field delivery_list_out[] = {
    {"items", FIELD_ARRAY, READ_ONLY, "Deliveries, newest first.", .fields = delivery_list_rows},
    {"next_page_token", FIELD_STRING, READ_ONLY | NULLABLE, "Gives the next page; null on the last."},
    {NULL},
};
static const struct field delivery_query[] = {
    {"limit", FIELD_INT, 0, "Deliveries wanted at most.", .min = 1, .max = LIST_MAX, .otherwise = "100"},
    {"page_token", FIELD_STRING, 0, "From the page before."},
    {NULL},
};
static const struct field sent_out[] = {
    {"delivery", FIELD_STRING, READ_ONLY, "Its id, in the history."},
    {NULL},
};

/* ---- what a client sends ---- */

static bool is_event(const char *event)
{
    static const char *const ends[] = {"finished", "failed", "cancelled", "*"};
    if (!strcmp(event, "*"))
        return true;
    const char *dot = strchr(event, '.');
    if (!dot)
        return false;
    char type[TYPE_MAX];
    snprintf(type, sizeof(type), "%.*s", (int)(dot - event), event);
    const struct resource *resource = resource_of_type(type);
    for (size_t i = 0; resource && resource->processed && i < ARRAY_SIZE(ends); i++)
        if (!strcmp(dot + 1, ends[i]))
            return true;
    return false;
}

/* The body's events in one string, for the caller to free; NULL when there are none. */
static enum status read_events(const json_t *body, struct response *response, char **ret_events,
                               struct error *err)
{
    const json_t *events = json_object_get(body, "events"), *event;
    *ret_events = NULL;
    if (!events)
        return OK;
    struct buf text;
    buf_init(&text, EVENTS_MAX * DELIVERY_EVENT_MAX);
    size_t i;
    json_array_foreach((json_t *)events, i, event) {
        const char *word = json_string_value(event);
        if (!is_event(word)) {
            buf_release(&text);
            char pointer[32];
            snprintf(pointer, sizeof(pointer), "/events/%zu", i);
            return problem_at(response, pointer, err, INVALID,
                              "'%.64s' is no event: expected a type of job and .finished, .failed, "
                              ".cancelled or .*, such as training-job.finished; or *",
                              word);
        }
        buf_printf(&text, "%s%s", i ? " " : "", word);
    }
    *ret_events = buf_take(&text, NULL);
    return OK;
}

static enum status check_url(const struct request *r, struct response *response, struct error *err)
{
    const char *url = json_get_string(r->body, "url", NULL);
    if (url && url_check(url, api_allows_private_urls(r->api), err) != OK)
        return problem_of_field(response, "/url", err);
    return OK;
}

/* ---- hooks ---- */

static json_t *hook_json(const struct webhook *hook)
{
    char created[CLOCK_TEXT_MAX];
    json_t *events = json_array();
    for (const char *word = hook->events; *word;) {
        size_t size = strcspn(word, " ");
        json_array_append_new(events, json_stringn(word, size));
        word += size + strspn(word + size, " ");
    }
    return json_pack("{s:s, s:s, s:o, s:b, s:s, s:s}", "id", hook->id, "url", hook->url, "events", events,
                     "enabled", (int)hook->enabled, "why-disabled",
                     hook->why_disabled ? hook->why_disabled : "", "created",
                     clock_text(hook->created_ms, created));
}

/* The answer that is kept: the secret is in no second place. */
static char *made_answer(void *context, const struct document_list *made, int *ret_http_status)
{
    (void)made;
    json_t *json = hook_json(context);
    json_object_set_new(json, "secret", json_null());
    char *text = json_text(json);
    json_decref(json);
    *ret_http_status = 201;
    return text;
}

static enum status hooks_create(struct request *r, struct response *response, struct error *err)
{
    char secret[WEBHOOK_SECRET_MAX];
    const char *own = json_get_string(r->body, "secret", NULL);
    TRY(check_url(r, response, err));
    if (own && webhook_secret_check(own, err) != OK)
        return problem_of_field(response, "/secret", err);
    if (own)
        snprintf(secret, sizeof(secret), "%s", own);
    else
        webhook_secret_new(secret, sizeof(secret));
    CLEANUP(webhook_release) struct webhook hook = {.enabled = true, .created_ms = r->now_ms};
    TRY(read_events(r->body, response, &hook.events, err));
    hook.url = xstrdup(json_get_string(r->body, "url", ""));
    id_new(hook.id);
    struct idempotency once = {
        .owner = r->who.owner,
        .key = r->idempotency_key,
        .request_hash = r->request_hash,
        .answer = made_answer,
        .context = &hook,
    };
    TRY(webhook_create(api_store(r->api), r->who.owner, &hook, secret, r->idempotency_key ? &once : NULL,
                       r->now_ms, err));
    json_t *json = hook_json(&hook);
    json_object_set_new(json, "secret", json_string(secret));
    response_json(response, 201, json);
    CLEANUP(freep) char *location = xasprintf("/webhooks/%s", hook.id);
    response_header(response, "Location", location);
    return OK;
}

static enum status hooks_list(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(webhook_list_release) struct webhook_list list = {0};
    TRY(webhook_list(api_store(r->api), r->who.owner, &list, err));
    json_t *items = json_array();
    for (int i = 0; i < list.n; i++)
        json_array_append_new(items, hook_json(&list.webhooks[i]));
    response_json(response, 200, json_pack("{s:o}", "items", items));
    return OK;
}

static enum status hooks_get(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(webhook_release) struct webhook hook = {0};
    TRY(webhook_get(api_store(r->api), r->who.owner, r->args[0], &hook, err));
    response_json(response, 200, hook_json(&hook));
    return OK;
}

static enum status hooks_change(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(freep) char *events = NULL;
    TRY(check_url(r, response, err));
    TRY(read_events(r->body, response, &events, err));
    const json_t *enabled = json_object_get(r->body, "enabled");
    TRY(webhook_change(api_store(r->api), r->who.owner, r->args[0], json_get_string(r->body, "url", NULL),
                       events, enabled ? json_is_true(enabled) : -1, r->now_ms, err));
    return hooks_get(r, response, err);
}

static enum status hooks_delete(struct request *r, struct response *response, struct error *err)
{
    TRY(webhook_delete(api_store(r->api), r->who.owner, r->args[0], err));
    response_empty(response, 204);
    return OK;
}

static enum status hooks_ping(struct request *r, struct response *response, struct error *err)
{
    char delivery[ID_MAX];
    TRY(webhook_ping(api_store(r->api), r->who.owner, r->args[0], r->now_ms, delivery, err));
    response_json(response, 202, json_pack("{s:s}", "delivery", delivery));
    return OK;
}

/* ---- deliveries ---- */

static json_t *time_json(int64_t at_ms)
{
    char text[CLOCK_TEXT_MAX];
    return at_ms ? json_string(clock_text(at_ms, text)) : json_null();
}

static json_t *delivery_json(const struct delivery *d)
{
    static const char *const states[] = {"pending", "delivered", "failed"};
    return json_pack("{s:s, s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:s, s:s}", "id", d->id, "event", d->event,
                     "state", states[d->state], "attempts", d->attempts, "created", time_json(d->created_ms),
                     "tried", time_json(d->tried_ms), "next-try", time_json(d->next_ms), "response-status",
                     d->http_status ? json_integer(d->http_status) : json_null(), "response-body", d->answer,
                     "error", d->error);
}

static enum status deliveries_list(struct request *r, struct response *response, struct error *err)
{
    int64_t limit;
    TRY(query_int(r, "limit", 1, LIST_MAX, 100, &limit, err));
    CLEANUP(webhook_release) struct webhook hook = {0};
    CLEANUP(delivery_list_release) struct delivery_list list = {0};
    TRY(webhook_get(api_store(r->api), r->who.owner, r->args[0], &hook, err));
    TRY(delivery_list(api_store(r->api), r->who.owner, hook.id, request_query(r, "page_token"), (int)limit,
                      &list, err));
    json_t *items = json_array();
    for (int i = 0; i < list.n; i++)
        json_array_append_new(items, delivery_json(&list.deliveries[i]));
    json_t *next = list.more ? json_string(list.deliveries[list.n - 1].id) : json_null();
    response_json(response, 200, json_pack("{s:o, s:o}", "items", items, "next_page_token", next));
    return OK;
}

static enum status deliveries_resend(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(webhook_release) struct webhook hook = {0};
    TRY(webhook_get(api_store(r->api), r->who.owner, r->args[0], &hook, err));
    TRY(delivery_resend(api_store(r->api), r->who.owner, hook.id, r->args[1], r->now_ms, err));
    response_json(response, 202, json_pack("{s:s}", "delivery", r->args[1]));
    return OK;
}

const struct route webhook_routes[] = {
    {"POST", "/webhooks", hooks_create, SCOPE_USER, BODY_JSON,
     "Be told when jobs end, by a signed request; the secret is told once.", hook_in, made_out, 201},
    {"GET", "/webhooks", hooks_list, SCOPE_USER, BODY_NONE, "Your webhooks.", NULL, hook_list_out, 200},
    {"GET", "/webhooks/{id}", hooks_get, SCOPE_USER, BODY_NONE, "One webhook.", NULL, hook_out, 200},
    {"PATCH", "/webhooks/{id}", hooks_change, SCOPE_USER, BODY_JSON, "Change a webhook, or enable it again.",
     hook_change, hook_out, 200},
    {"DELETE", "/webhooks/{id}", hooks_delete, SCOPE_USER, BODY_NONE,
     "Delete a webhook, its history and what is still to be sent.", NULL, NULL, 204},
    {"POST", "/webhooks/{id}/ping", hooks_ping, SCOPE_USER, BODY_NONE, "Send webhook.ping, to try it.", NULL,
     sent_out, 202},
    {"GET", "/webhooks/{id}/deliveries", deliveries_list, SCOPE_USER, BODY_NONE,
     "What was sent, newest first, and what came of it.", NULL, delivery_list_out, 200, delivery_query},
    {"POST", "/webhooks/{id}/deliveries/{delivery}/resend", deliveries_resend, SCOPE_USER, BODY_NONE,
     "Send it once more, under the same id.", NULL, sent_out, 202},
    {NULL},
};
