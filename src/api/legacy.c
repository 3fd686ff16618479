#include "api/legacy.h"

#include <stdlib.h>
#include <string.h>

#include "api/boss.h"
#include "api/buckets.h"
#include "api/resource.h"
#include "api/server.h"
#include "base/clock.h"
#include "base/log.h"

struct legacy {
    struct boss *boss;
    struct buckets *buckets;
    const struct route **tables;
};

enum status legacy_user(struct store *store, const char *name, char ret_owner[OWNER_MAX], struct error *err)
{
    TRY(user_id(name, ret_owner, err));
    CLEANUP(json_decrefp) json_t *body = json_pack("{s:s}", "username", name);
    enum status status = user_create(store, name, NULL, body, clock_now_ms(), NULL, err);
    return status == CONFLICT ? OK : status;
}

static void add_table(struct legacy *l, size_t *n, const struct route *table)
{
    l->tables = xrealloc(l->tables, (*n + 2) * sizeof *l->tables);
    l->tables[(*n)++] = table;
    l->tables[*n] = NULL;
}

enum status legacy_new(struct api *api, const struct api_options *options, struct legacy **ret_legacy,
                       struct error *err)
{
    struct legacy *l = xcalloc(1, sizeof *l);
    size_t n = 0;
    for (const struct route *const *t = route_tables; *t; t++)
        add_table(l, &n, *t);
    enum status status = OK;
    if (options->boss_user) {
        add_table(l, &n, boss_routes);
        status = boss_new(api->store, options->boss_user, options->order_timeout_ms, &l->boss, err);
        if (status == OK)
            log_event("boss.enabled", "user=%s order-timeout-ms=%lld", options->boss_user,
                      (long long)options->order_timeout_ms);
    }
    CLEANUP(freep) const struct route **reserved = xcalloc(n + 3, sizeof *reserved);
    memcpy(reserved, l->tables, n * sizeof *reserved);
    reserved[n] = boss_routes; /* also where they are not served */
    reserved[n + 1] = queue_page_routes;
    if (status == OK)
        status = buckets_new(api, options, reserved, &l->buckets, err);
    if (status != OK)
        return legacy_free(l), status;
    if (buckets_count(l->buckets))
        add_table(l, &n, queue_page_routes);
    for (int i = 0; i < buckets_count(l->buckets); i++)
        add_table(l, &n, buckets_routes(l->buckets, i));
    *ret_legacy = l;
    return OK;
}

enum status legacy_start(struct legacy *l, struct error *err)
{
    return buckets_start(l->buckets, err);
}

void legacy_stop(struct legacy *l)
{
    if (l && l->buckets)
        buckets_stop(l->buckets);
}

void legacy_free(struct legacy *l)
{
    if (!l)
        return;
    boss_free(l->boss);
    buckets_free(l->buckets);
    free(l->tables);
    free(l);
}

const struct route *const *legacy_tables(const struct legacy *l)
{
    return l->tables;
}

struct boss *legacy_boss(const struct api *api)
{
    return api->legacy->boss;
}

struct buckets *legacy_buckets(const struct api *api)
{
    return api->legacy->buckets;
}
