#include "worker/lease.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* ---- reading a lease ---- */

static enum status read_inputs(const json_t *inputs, struct lease *lease, struct error *err)
{
    if (inputs && !json_is_array(inputs))
        return error_set(err, INVALID, "lease: 'inputs' is not an array");
    size_t n = json_array_size(inputs);
    lease->inputs = xcalloc(n, sizeof(*lease->inputs));
    for (size_t i = 0; i < n; i++) {
        const json_t *input = json_array_get(inputs, i);
        struct lease_input *in = &lease->inputs[lease->n_inputs++];
        in->name = json_get_string(input, "name", "");
        in->sha256 = json_get_string(input, "sha256", "");
        in->size = json_get_int(input, "size", 0);
        if (!in->name[0] || in->name[0] == '.' || strchr(in->name, '/'))
            return error_set(err, INVALID, "lease: input '%s' has no usable name", in->name);
    }
    return OK;
}

enum status lease_read(json_t *json, struct lease *ret_lease, struct error *err)
{
    struct lease l = {
        .job = json_get_string(json, "job", ""),
        .token = json_get_string(json, "token", ""),
        .kind = json_get_string(json, "kind", ""),
        .pool = json_get_string(json, "pool", "cpu"),
        .attempt = (int)json_get_int(json, "attempt", 0),
        .heartbeat_ms = json_get_int(json, "heartbeat_ms", 5000),
        .lease_ms = json_get_int(json, "lease_ms", 20000),
        .max_seconds = json_get_int(json, "max_seconds", 0),
        .allow_private_urls = json_get_bool(json, "allow_private_urls", false),
        .spec = json_object_get(json, "spec"),
    };
    if (!id_is_valid(l.job) || l.attempt < 1 || !l.token[0] || !l.kind[0] || !json_is_object(l.spec))
        return error_set(err, INVALID, "lease: job, attempt, token, kind and spec are needed");
    if (l.heartbeat_ms < 1 || l.lease_ms < 1 || l.max_seconds < 0)
        return error_set(err, INVALID, "lease of job '%s': times must be positive", l.job);
    enum status status = read_inputs(json_object_get(json, "inputs"), &l, err);
    l.json = json_incref(json);
    if (status == OK)
        *ret_lease = l;
    else
        lease_release(&l);
    return status;
}

void lease_release(struct lease *l)
{
    json_decref(l->json);
    free(l->inputs);
    *l = (struct lease){0};
}

const struct lease_input *lease_find_input(const struct lease *l, const char *name)
{
    for (int i = 0; i < l->n_inputs; i++)
        if (!strcmp(l->inputs[i].name, name))
            return &l->inputs[i];
    return NULL;
}

/* ---- requests ---- */

static enum status status_from_http(int http)
{
    switch (http) {
    case 401:
    case 403:
        return DENIED;
    case 404:
        return NOT_FOUND;
    case 408:
    case 429:
        return UNAVAILABLE;
    case 409:
        return CONFLICT;
    case 413:
        return TOO_LARGE;
    case 507:
        return NO_SPACE;
    default:
        return http >= 500 ? UNAVAILABLE : INVALID;
    }
}

/* The problem document's words, or the bare status. */
static enum status report_refusal(const struct http_response *response, const char *url, struct error *err)
{
    enum status status = status_from_http(response->status);
    CLEANUP(json_decrefp) json_t *problem = NULL;
    struct error unread;
    if (json_read(response->body.data, response->body.size, &problem, &unread) == OK) {
        const char *text = json_get_string(problem, "detail", json_get_string(problem, "title", NULL));
        if (text)
            return error_set(err, status, "the server answered %d: %.400s", response->status, text);
    }
    return error_set(err, status, "the server answered %d to '%s'", response->status, url);
}

enum status lease_ask(struct http_client *http, const struct lease_server *server,
                      const struct lease_request *request, const atomic_bool *stop, json_t **ret_jobs,
                      bool *ret_drained, struct error *err)
{
    CLEANUP(json_decrefp)
    json_t *body =
        json_pack("{s:s, s:s, s:[], s:i, s:i, s:I, s:b}", "request_id", request->request_id, "worker",
                  request->worker, "pools", "slots", request->slots, "all_slots", request->all_slots,
                  "wait_ms", (json_int_t)request->wait_ms, "tell_drained", (int)request->tell_drained);
    for (int i = 0; i < request->n_pools; i++)
        json_array_append_new(json_object_get(body, "pools"), json_string(request->pools[i]));
    if (request->n_all_pools > request->n_pools)
        json_object_set_new(body, "all_pools", json_array());
    for (int i = 0; i < request->n_all_pools; i++)
        json_array_append_new(json_object_get(body, "all_pools"), json_string(request->all_pools[i]));
    CLEANUP(freep) char *text = json_text(body);
    CLEANUP(freep) char *url = xasprintf("%s/leases", server->url);
    struct http_request post = {
        .url = url,
        .headers = (const char *const[]){"Content-Type: application/json", NULL},
        .bearer = server->token,
        .body = text,
        .body_size = (int64_t)strlen(text),
        .timeout_ms = request->wait_ms + 30000,
        .stop = stop,
    };
    struct http_response response;
    TRY(http_perform(http, &post, &response, err));
    enum status status = OK;
    json_t *answer = NULL;
    if (response.status == 204)
        *ret_jobs = json_array(), *ret_drained = false;
    else if (response.status != 200)
        status = report_refusal(&response, url, err);
    else
        status = json_read(response.body.data, response.body.size, &answer, err);
    if (answer) {
        json_t *jobs = json_object_get(answer, "jobs");
        if (json_is_array(jobs))
            *ret_jobs = json_incref(jobs), *ret_drained = json_get_bool(answer, "drained", false);
        else
            status = error_set(err, INVALID, "'%s' does not answer like a server of et", url);
        json_decref(answer);
    }
    http_response_release(&response);
    return status;
}

enum status lease_send(struct http_client *http, const char *server_url, const struct lease *lease,
                       const struct lease_call *call, json_t **ret_json, struct error *err)
{
    CLEANUP(freep)
    char *url = xasprintf("%s/leases/%s/%d/%s", server_url, lease->job, lease->attempt, call->path);
    CLEANUP(freep) char *text = call->json ? json_text(call->json) : NULL;
    CLEANUP(freep) char *sha256 = call->sha256 ? xasprintf("ET-Sha256: %s", call->sha256) : NULL;
    CLEANUP(freep) char *range = call->range ? xasprintf("Range: %s", call->range) : NULL;
    const char *headers[4];
    int n = 0;
    headers[n++] = call->json ? "Content-Type: application/json" : "Content-Type: application/octet-stream";
    if (sha256)
        headers[n++] = sha256;
    if (range)
        headers[n++] = range;
    headers[n] = NULL;
    struct http_request request = {
        .method = call->method,
        .url = url,
        .headers = headers,
        .bearer = lease->token,
        .body = text ? text : call->body,
        .body_fd = call->body_fd,
        .body_size = text ? (int64_t)strlen(text) : call->body_size,
        .sink = call->sink,
        .context = call->context,
        .timeout_ms = call->timeout_ms,
        .stop = call->stop,
    };
    struct http_response response;
    TRY(http_perform(http, &request, &response, err));
    enum status status = OK;
    bool is_success = (response.status >= 200 && response.status < 300) || response.status == call->also;
    if (!is_success) {
        status = report_refusal(&response, url, err);
    } else if (ret_json) {
        *ret_json = NULL;
        struct error unread;
        if (json_read(response.body.data, response.body.size, ret_json, &unread) != OK)
            *ret_json = NULL;
    }
    http_response_release(&response);
    return status;
}
