#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/server.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/log.h"

#define IGNORED_BODY_MAX (64 * 1024)
#define RECHECK_MS       5000

struct exchange *exchange_of(const struct request *r)
{
    return (struct exchange *)((char *)r - offsetof(struct exchange, request));
}

static struct exchange *exchange_of_waiter(struct waiter *w)
{
    return (struct exchange *)((char *)w - offsetof(struct exchange, waiter));
}

static void on_wake(struct waiter *w)
{
    http_again(exchange_of_waiter(w)->call);
}

static bool on_ask_gone(struct waiter *w)
{
    return http_gone(exchange_of_waiter(w)->call);
}

static struct exchange *exchange_new(struct api *api, struct http_call *call)
{
    struct exchange *x = xcalloc(1, sizeof(*x));
    x->api = api;
    x->call = call;
    x->waiter.wake = on_wake;
    x->waiter.is_gone = on_ask_gone;
    x->response.reply = http_reply(call);
    x->response.waiter = &x->waiter;
    x->path = strndup(http_uri(call), strcspn(http_uri(call), "?"));
    if (!x->path)
        abort();
    unsigned long long n = atomic_fetch_add(&api->n_requests, 1);
    snprintf(x->id, sizeof(x->id), "%llx-%llx", (unsigned long long)api->started_ms, n + 1);
    x->request.api = api;
    x->request.method = http_method(call);
    x->request.path = x->path;
    x->request.now_ms = clock_now_ms();
    x->request.arrived_ms = x->allowed_ms = clock_monotonic_ms();
    atomic_fetch_add(&api->meters.running, 1);
    http_set_user(call, x);
    return x;
}

static void exchange_free(struct exchange *x)
{
    struct request *r = &x->request;
    if (x->idempotent)
        idempotency_end(x->api->store, r->who.owner, r->idempotency_key);
    for (int i = 0; i < r->n_uploads; i++) {
        free(r->uploads[i].part);
        free(r->uploads[i].file_name);
    }
    for (int i = 0; i < r->n_values; i++) {
        free(r->values[i].part);
        free(r->values[i].value);
    }
    free(r->uploads);
    free(r->values);
    free(r->state);
    json_decref(r->body);
    body_free(x->body);
    response_release(&x->response);
    route_match_release(&x->match);
    query_release(&x->query);
    free(x->path);
    free(x);
}

/* ---- From the head to the body. ---- */

static enum status find_route(struct exchange *x, struct error *err)
{
    switch (route_find(x->api->tables, http_method(x->call), x->path, &x->match)) {
    case ROUTE_FOUND:
        break;
    case ROUTE_NO_PATH:
        return error_set(err, NOT_FOUND, "there is nothing at this path: /openapi.json lists all there is");
    case ROUTE_NO_METHOD:
        http_reply_header(x->response.reply, "Allow", x->match.allow);
        problem_http_status(&x->response, 405);
        return error_set(err, INVALID, "%s is not possible here: %s", http_method(x->call), x->match.allow);
    case ROUTE_BAD_PATH:
        return error_set(err, INVALID,
                         "the path has a broken escape: expected %% and two hex digits, not 00");
    }
    x->request.route = x->match.route;
    for (int i = 0; i < ROUTE_ARGS; i++)
        x->request.args[i] = x->match.args[i];
    return OK;
}

/* The query's integers are integers; the rest is the handler's. */
static enum status check_query(struct exchange *x, struct error *err)
{
    const char *query = strchr(http_uri(x->call), '?');
    TRY(query_read(query ? query + 1 : NULL, &x->query, err));
    for (const struct field *f = x->match.route->query; f && f->name; f++) {
        const char *value = query_get(&x->query, f->name);
        if (!value || f->type != FIELD_INT)
            continue;
        char *end;
        errno = 0;
        long long n = strtoll(value, &end, 10);
        bool ranged = f->min != 0 || f->max != 0;
        if (end == value || *end || errno || (ranged && (n < f->min || (f->max != 0 && n > f->max))))
            return error_set(err, INVALID,
                             ranged && f->max != 0
                                 ? "the query's '%s' is '%.40s': expected an integer from %.0f to %.0f"
                                 : "the query's '%s' is '%.40s': expected an integer",
                             f->name, value, f->min, f->max);
    }
    return OK;
}

/* A browser that sends a page's request with the user's remembered password. */
static enum status check_origin(struct exchange *x, struct error *err)
{
    const char *method = http_method(x->call), *site = http_header(x->call, "Sec-Fetch-Site");
    bool writes = strcmp(method, "GET") && strcmp(method, "HEAD") && !x->match.route->cors;
    if (writes && site && strcmp(site, "same-origin") && strcmp(site, "none"))
        return error_set(err, DENIED, "another site's page may not do this");
    return OK;
}

static enum status check_length(struct exchange *x, int64_t max, struct error *err)
{
    if (http_length(x->call) > max)
        return error_set(err, TOO_LARGE, "the body is %lld bytes: at most %lld are taken",
                         (long long)http_length(x->call), (long long)max);
    return OK;
}

static enum status prepare(struct exchange *x, struct error *err)
{
    TRY(find_route(x, err));
    TRY(check_query(x, err));
    TRY(check_origin(x, err));
    TRY(auth_check(x, x->match.route->scope, err));
    int64_t max = IGNORED_BODY_MAX;
    if (x->match.route->body != BODY_NONE || http_length(x->call) != 0)
        TRY(body_begin(x, &max, err));
    if (x->match.route->body == BODY_NONE)
        max = IGNORED_BODY_MAX;
    TRY(check_length(x, max, err));
    x->body_max = max;
    http_take_body(x->call, max);
    return OK;
}

/* ---- Idempotency-Key. ---- */

static void hash_text(struct hash *h, const char *s)
{
    hash_update(h, s ? s : "", strlen(s ? s : "") + 1);
}

/* The hash is kept for a day, so nothing that could be guessed from it goes in: no password. */
static void hash_request(struct exchange *x)
{
    const struct request *r = &x->request;
    struct hash *h = hash_new(HASH_SHA256);
    hash_text(h, r->method);
    hash_text(h, http_uri(x->call));
    if (r->body) {
        CLEANUP(json_decrefp) json_t *body = json_copy(r->body);
        for (const struct field *f = x->match.route->in; f && f->name; f++)
            if (f->flags & WRITE_ONLY)
                json_object_del(body, f->name);
        CLEANUP(freep) char *text = json_text(body);
        hash_text(h, text);
    }
    for (int i = 0; i < r->n_values; i++) {
        hash_text(h, r->values[i].part);
        hash_text(h, r->values[i].value);
    }
    for (int i = 0; i < r->n_uploads; i++) {
        hash_text(h, r->uploads[i].part);
        hash_text(h, r->uploads[i].sha256);
    }
    hash_text(h, r->raw.sha256);
    hash_update(h, r->bytes, r->n_bytes);
    hash_finish(h, x->request_hash);
}

/* ret_replayed: the kept answer is the reply. */
static enum status begin_idempotent(struct exchange *x, bool *ret_replayed, struct error *err)
{
    struct request *r = &x->request;
    const char *key = strcmp(r->method, "POST") ? NULL : http_header(x->call, "Idempotency-Key");
    *ret_replayed = false;
    if (!key)
        return OK;
    hash_request(x);
    enum idempotency_result result;
    int status;
    char *body = NULL;
    TRY(idempotency_begin(x->api->store, r->who.owner, key, x->request_hash, r->now_ms, &result, &status,
                          &body, err));
    r->idempotency_key = key;
    r->request_hash = x->request_hash;
    x->idempotent = result == IDEMPOTENCY_NEW;
    if (x->idempotent)
        return OK;
    *ret_replayed = true;
    http_reply_header(x->response.reply, "Idempotency-Replayed", "true");
    if (body && *body)
        response_text(&x->response, status, "application/json; charset=utf-8", body, strlen(body));
    else
        response_empty(&x->response, (free(body), status));
    return OK;
}

/* An answer that the handler has saved already, with its write, stays. */
static void end_idempotent(struct exchange *x)
{
    struct request *r = &x->request;
    const struct http_reply *reply = x->response.reply;
    if (!x->idempotent)
        return;
    if (reply->status >= 200 && reply->status < 300 && reply->fd < 0)
        idempotency_save(x->api->store, r->who.owner, r->idempotency_key, x->request_hash, reply->status,
                         reply->bytes ? reply->bytes : "", r->now_ms, NULL);
    idempotency_end(x->api->store, r->who.owner, r->idempotency_key);
    x->idempotent = false;
}

/* ---- The handler, and its answer. ---- */

static void finish(struct exchange *x, enum status status, const struct error *err)
{
    struct http_reply *reply = x->response.reply;
    struct error failed = *err;
    if (status == OK && x->response.blob[0])
        status = blob_answer(x, &failed);
    if (status != OK) {
        reply->streams = false;
        problem_reply(x, &failed);
    }
    end_idempotent(x);
    if (reply->status >= 500) {
        char text[LOG_VALUE_MAX];
        log_event("request.failed", "request=%s error=%s", x->id, log_value(failed.message, text));
    }
    if (x->match.other && x->match.other->cors) {
        http_reply_header(reply, "Access-Control-Allow-Origin", "*");
        http_reply_header(reply, "Access-Control-Allow-Headers",
                          "Origin, X-Requested-With, Content-Type, Accept");
        http_reply_header(reply, "Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS");
    }
    http_reply_header(reply, "X-Request-Id", x->id);
    http_reply_header(reply, "X-Content-Type-Options", "nosniff");
    if (!x->response.blob[0])
        http_reply_header(reply, "Cache-Control", "no-store");
    x->sent = reply->bytes || reply->fd >= 0 ? reply->size : 0;
    (void)fault_point("api.reply");
}

static enum http_next fail(struct exchange *x, enum status status, struct error *err)
{
    finish(x, status, err);
    return HTTP_ANSWER;
}

/* Once WAIT is returned, or waits_add said yes, the exchange may be in another thread. */
static enum http_next handle(struct exchange *x)
{
    struct request *r = &x->request;
    for (;;) {
        struct error err = {0};
        x->stamp = waits_stamp(x->api->waits);
        r->last =
            atomic_load(&x->api->stopping) || (r->waited && clock_monotonic_ms() >= x->waiter.deadline_ms);
        r->now_ms = clock_now_ms();
        x->response.waits = false;
        x->waiter.n_topics = 0;
        x->waiter.look_ms = 0;
        enum status status = x->match.route->handle(r, &x->response, &err);
        if (status != OK || !x->response.waits)
            return fail(x, status, &err);
        if (r->last) {
            response_empty(&x->response, 204);
            return fail(x, OK, &err);
        }
        r->waited = true;
        atomic_fetch_add(&x->api->meters.waiting, 1);
        if (waits_add(x->api->waits, &x->waiter, x->stamp))
            return HTTP_WAIT;
        atomic_fetch_sub(&x->api->meters.waiting, 1);
    }
}

/*
 * A stream outlives the moment in which its token was good: one that was
 * revoked or has expired ends it.  A password is not asked again: that costs
 * what logging in does.
 */
static bool is_still_allowed(struct exchange *x)
{
    int64_t now_ms = clock_monotonic_ms();
    struct error err;
    if (!x->request.who.token_id[0] || now_ms - x->allowed_ms < RECHECK_MS)
        return true;
    x->allowed_ms = now_ms;
    return auth_check(x, x->match.route->scope, &err) != DENIED;
}

/* The next piece of a stream. */
static enum http_next produce(struct exchange *x)
{
    struct request *r = &x->request;
    if (x->response.end != STREAM_MORE)
        return x->response.end == STREAM_END ? HTTP_END : HTTP_CUT;
    for (;;) {
        x->stamp = waits_stamp(x->api->waits);
        r->last = atomic_load(&x->api->stopping);
        r->now_ms = clock_now_ms();
        x->response.waits = false;
        x->waiter.n_topics = 0;
        x->waiter.look_ms = 0;
        if (!is_still_allowed(x))
            return HTTP_CUT;
        CLEANUP(buf_release) struct buf out;
        buf_init(&out, STREAM_PIECE_MAX);
        enum stream_next next = x->response.source(r, &x->response, &out);
        if (out.overflowed)
            return HTTP_CUT;
        if (out.size) {
            struct http_reply *reply = x->response.reply;
            size_t size;
            reply->bytes = buf_take(&out, &size);
            reply->size = (int64_t)size;
            x->sent += reply->size;
            x->response.end = next;
            return HTTP_PIECE_READY;
        }
        if (next != STREAM_MORE || r->last || !x->response.waits)
            return next == STREAM_END ? HTTP_END : HTTP_CUT;
        r->waited = true;
        atomic_fetch_add(&x->api->meters.waiting, 1);
        if (waits_add(x->api->waits, &x->waiter, x->stamp))
            return HTTP_WAIT;
        atomic_fetch_sub(&x->api->meters.waiting, 1);
    }
}

static enum http_next on_more(void *context, struct http_call *call)
{
    (void)context;
    return produce(http_user(call));
}

static enum http_next on_end(void *context, struct http_call *call)
{
    (void)context;
    struct exchange *x = http_user(call);
    struct error err = {0};
    enum status status = x->body ? body_end(x, &err) : OK;
    bool replayed = false;
    if (status == OK)
        status = begin_idempotent(x, &replayed, &err);
    if (status != OK || replayed)
        return fail(x, status, &err);
    return handle(x);
}

static enum http_next on_begin(void *context, struct http_call *call)
{
    struct exchange *x = exchange_new(context, call);
    struct error err = {0};
    if (!strcmp(http_method(call), "OPTIONS") && http_length(call) == 0) {
        enum route_result found = route_find(x->api->tables, "OPTIONS", x->path, &x->match);
        if (found == ROUTE_FOUND || found == ROUTE_NO_METHOD) {
            http_reply_header(x->response.reply, "Allow", x->match.allow);
            response_empty(&x->response, x->match.other->cors ? 200 : 204);
            return fail(x, OK, &err);
        }
    }
    enum status status = prepare(x, &err);
    if (status != OK)
        return fail(x, status, &err);
    return http_length(call) != 0 ? HTTP_BODY : on_end(context, call);
}

static enum http_next on_body(void *context, struct http_call *call, const char *bytes, size_t size)
{
    (void)context;
    struct exchange *x = http_user(call);
    struct error err = {0};
    (void)fault_point("api.body");
    enum status status = body_write(x, bytes, size, &err);
    return status == OK ? HTTP_BODY : fail(x, status, &err);
}

static enum http_next on_again(void *context, struct http_call *call)
{
    (void)context;
    struct exchange *x = http_user(call);
    atomic_fetch_sub(&x->api->meters.waiting, 1);
    if (x->response.source)
        return http_gone(call) ? HTTP_CUT : produce(x);
    if (!http_gone(call))
        return handle(x);
    struct error err = {0};
    response_empty(&x->response, 204);
    return fail(x, OK, &err);
}

static void on_refuse(void *context, struct http_call *call, int status, const char *why)
{
    struct exchange *x = http_user(call);
    struct error err = {0};
    if (!x)
        x = exchange_new(context, call);
    if (status == 413)
        error_set(&err, TOO_LARGE, "the body is over %lld bytes, the most that is taken",
                  (long long)x->body_max);
    else
        error_set(&err, status == 503 ? UNAVAILABLE : INVALID, "%s%s",
                  status == 400 ? "the request is malformed: " : "", why);
    fail(x, err.status, &err);
}

static void on_done(void *context, struct http_call *call, bool sent)
{
    struct api *api = context;
    struct exchange *x = http_user(call);
    if (!x)
        return;
    int status = x->response.reply->status;
    int64_t ms = clock_monotonic_ms() - x->request.arrived_ms;
    struct meters *m = &api->meters;
    atomic_fetch_sub(&m->running, 1);
    atomic_fetch_add(&m->requests[status >= 100 && status < 600 ? status / 100 : 0], 1);
    atomic_fetch_add(&m->bytes_in, http_received(call));
    atomic_fetch_add(&m->bytes_out, sent ? x->sent : 0);
    atomic_fetch_add(&m->milliseconds, ms);
    char path[LOG_VALUE_MAX], method[LOG_VALUE_MAX], who[LOG_VALUE_MAX];
    const char *owner = x->request.who.owner[0] ? x->request.who.owner : x->request.who.token_id;
    log_event("request", "request=%s method=%s path=%s status=%d ms=%lld in=%lld out=%lld who=%s%s", x->id,
              log_value(http_method(call), method), log_value(x->path, path), status, (long long)ms,
              (long long)http_received(call), (long long)x->sent, log_value(owner, who),
              sent ? "" : " cut=true");
    exchange_free(x);
}

const struct http_callbacks exchange_callbacks = {
    .begin = on_begin,
    .body = on_body,
    .end = on_end,
    .again = on_again,
    .more = on_more,
    .refuse = on_refuse,
    .done = on_done,
};
