#include "api/server.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define LEASE_MS        20000
#define HANDLER_THREADS 16

/* Of a pool's thousand workers one is woken: the lease that takes a job stirs again if there is another. */
void api_stir(struct api *api, const char *topic)
{
    (strncmp(topic, "pool:", 5) ? waits_stir : waits_stir_one)(api->waits, topic);
}

static void on_change(void *context, const char *topic)
{
    struct api *api = context;
    if (!strncmp(topic, "outbox:", 7))
        sender_wake(api->sender);
    else if (!strncmp(topic, "damage:", 7))
        log_event("blob.damaged", "sha256=%s", topic + 7);
    else if (!strcmp(topic, "everything"))
        sender_wake(api->sender), waits_stir_all(api->waits);
    else
        api_stir(api, topic);
}

static void options_copy(struct api_options *to, const struct api_options *from)
{
    *to = *from;
    to->listen = xstrdup(from->listen);
    to->data = from->data ? xstrdup(from->data) : NULL;
    to->scripts = from->scripts ? xstrdup(from->scripts) : NULL;
    to->pools = (struct pools){0};
    pools_put(&to->pools, &(struct pool_size){.name = "cpu"});
    pools_put(&to->pools, &(struct pool_size){.name = "gpu", .gpus = 1, .implied = true});
    for (int i = 0; i < from->pools.n; i++)
        pools_put(&to->pools, &from->pools.items[i]);
    to->max_upload = from->max_upload ? from->max_upload : 16LL << 30;
    to->lease_ms = from->lease_ms ? from->lease_ms : LEASE_MS;
    to->max_connections = from->max_connections ? from->max_connections : 16384;
    to->head_ms = from->head_ms ? from->head_ms : 10000;
    to->body_window_ms = from->body_window_ms ? from->body_window_ms : 30000;
    to->body_rate = from->body_rate ? from->body_rate : 1024;
    to->idle_ms = from->idle_ms ? from->idle_ms : 75000;
    to->webhook_ms = from->webhook_ms ? from->webhook_ms : SENDER_TIMEOUT_MS;
}

void api_free(struct api *api)
{
    http_free(api->http);
    legacy_free(api->legacy); /* its threads stir topics */
    sender_free(api->sender);
    waits_free(api->waits);
    free((char *)api->options.listen);
    free((char *)api->options.data);
    free((char *)api->options.scripts);
    pools_release(&api->options.pools);
    free(api->openapi);
    free(api);
}

enum status api_start(const struct api_options *options, struct store *store, struct api **ret_api,
                      struct error *err)
{
    struct api *api = xcalloc(1, sizeof(*api));
    options_copy(&api->options, options);
    api->store = store;
    api->started_ms = clock_now_ms();
    enum status status = waits_new(&api->waits, err);
    if (status == OK)
        status = legacy_new(api, options, &api->legacy, err);
    if (status == OK)
        status =
            sender_start(store, api->options.allow_private_urls, api->options.webhook_ms, &api->sender, err);
    if (status == OK) {
        api->tables = legacy_tables(api->legacy);
        api->openapi = openapi_text(api->tables);
        store_on_change(store, on_change, api);
        const struct http_options http = {
            .listen = api->options.listen,
            .n_threads = HANDLER_THREADS,
            .max_connections = api->options.max_connections,
            .head_ms = api->options.head_ms,
            .body_window_ms = api->options.body_window_ms,
            .body_rate = api->options.body_rate,
            .idle_ms = api->options.idle_ms,
            .callbacks = &exchange_callbacks,
            .context = api,
        };
        status = http_new(&http, &api->http, err);
        if (status == OK)
            status = legacy_start(api->legacy, err);
        if (status == OK)
            status = http_serve(api->http, err);
    }
    if (status != OK) {
        atomic_store(&api->stopping, true);
        if (api->waits)
            waits_end(api->waits);
        legacy_stop(api->legacy);
        store_on_change(store, NULL, NULL);
        return api_free(api), status;
    }
    *ret_api = api;
    return OK;
}

const char *api_address(const struct api *api)
{
    return http_address(api->http);
}

bool api_stop(struct api *api, int64_t grace_ms)
{
    atomic_store(&api->stopping, true);
    http_quiesce(api->http);
    waits_end(api->waits);
    legacy_stop(api->legacy);
    bool ended = http_stop(api->http, grace_ms);
    sender_stop(api->sender);
    return ended;
}

struct store *api_store(struct api *api)
{
    return api->store;
}

bool api_allows_private_urls(const struct api *api)
{
    return api->options.allow_private_urls;
}

int64_t api_lease_ms(const struct api *api)
{
    return api->options.lease_ms;
}

const struct pools *api_pools(const struct api *api)
{
    return &api->options.pools;
}

const char *api_scripts(const struct api *api)
{
    return api->options.scripts;
}

bool api_scripts_network(const struct api *api)
{
    return api->options.scripts_network;
}

const char *request_query(const struct request *r, const char *name)
{
    return query_get(&exchange_of(r)->query, name);
}

const char *request_header(const struct request *r, const char *name)
{
    return http_header(exchange_of(r)->call, name);
}

bool request_client_gone(const struct request *r)
{
    return http_gone(exchange_of(r)->call);
}

const char *request_client_address(const struct request *r, char out[ADDRESS_TEXT_MAX])
{
    return http_client_address(exchange_of(r)->call, out);
}

const struct upload *request_upload(const struct request *r, const char *part)
{
    for (int i = 0; i < r->n_uploads; i++)
        if (!strcmp(r->uploads[i].part, part))
            return &r->uploads[i];
    return NULL;
}
