/*
 * workers.c - the workers that this server knows, and draining them.
 */
#include <string.h>

#include "api/resource.h"
#include "api/server.h"
#include "base/clock.h"
#include "base/log.h"

static const struct field pool_rows[] = {{"*", FIELD_STRING, 0, "A pool."}, {NULL}};

static const struct field worker_out[] = {
    {"name", FIELD_STRING, READ_ONLY, "Host and process."},
    {"seen", FIELD_STRING, READ_ONLY, "When it last asked for jobs or renewed a lease, RFC 3339."},
    {"alive", FIELD_BOOL, READ_ONLY, "It was seen within the last minute."},
    {"pools", FIELD_ARRAY, READ_ONLY, "Pools that it serves, the preferred first.", .fields = pool_rows},
    {"slots", FIELD_INT, READ_ONLY, "Jobs that it runs at a time."},
    {"running", FIELD_INT, READ_ONLY, "Jobs that it runs now."},
    {"drained", FIELD_BOOL, READ_ONLY, "It gets no new jobs."},
    {NULL},
};
static const struct field worker_rows[] = {{"*", FIELD_OBJECT, 0, "A worker.", .fields = worker_out}, {NULL}};
static const struct field workers_out[] = {
    {"items", FIELD_ARRAY, READ_ONLY, "Workers seen within the last day, by name.", .fields = worker_rows},
    {NULL},
};

static json_t *split_pools(const char *pools)
{
    json_t *list = json_array();
    for (const char *p = pools; *p;) {
        size_t n = strcspn(p, ",");
        json_array_append_new(list, json_stringn(p, n));
        p += n + (p[n] == ',');
    }
    return list;
}

static json_t *worker_json(const struct worker_info *w, int64_t now_ms)
{
    char seen[CLOCK_TEXT_MAX];
    return json_pack("{s:s, s:s, s:b, s:o, s:i, s:i, s:b}", "name", w->name, "seen",
                     clock_text(w->seen_ms, seen), "alive", (int)(now_ms - w->seen_ms <= WORKER_ALIVE_MS),
                     "pools", split_pools(w->pools), "slots", w->slots, "running", w->running, "drained",
                     (int)w->drained);
}

static enum status workers_get(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(worker_info_list_release) struct worker_info_list list = {0};
    TRY(workers_list(api_store(r->api), &list, err));
    json_t *items = json_array();
    for (int i = 0; i < list.n; i++)
        json_array_append_new(items, worker_json(&list.workers[i], r->now_ms));
    response_json(response, 200, json_pack("{s:o}", "items", items));
    return OK;
}

static enum status set_drained(struct request *r, struct response *response, bool drained, struct error *err)
{
    char name[LOG_VALUE_MAX];
    TRY(worker_drain(api_store(r->api), r->args[0], drained, err));
    log_event(drained ? "worker.drained" : "worker.resumed", "name=%s", log_value(r->args[0], name));
    CLEANUP(worker_info_list_release) struct worker_info_list list = {0};
    TRY(workers_list(api_store(r->api), &list, err));
    for (int i = 0; i < list.n; i++)
        if (!strcmp(list.workers[i].name, r->args[0])) {
            response_json(response, 200, worker_json(&list.workers[i], r->now_ms));
            return OK;
        }
    return error_set(err, NOT_FOUND, "there is no worker '%.127s'", r->args[0]);
}

static enum status workers_drain(struct request *r, struct response *response, struct error *err)
{
    return set_drained(r, response, true, err);
}

static enum status workers_resume(struct request *r, struct response *response, struct error *err)
{
    return set_drained(r, response, false, err);
}

const struct route worker_routes[] = {
    {"GET", "/workers", workers_get, SCOPE_ANY, BODY_NONE, "List workers.", NULL, workers_out, 200},
    {"POST", "/workers/{name}/drain", workers_drain, SCOPE_ADMIN, BODY_NONE,
     "Give a worker no new jobs; those that it runs go on to their end.", NULL, worker_out, 200},
    {"POST", "/workers/{name}/resume", workers_resume, SCOPE_ADMIN, BODY_NONE,
     "Give a drained worker jobs again.", NULL, worker_out, 200},
    {NULL},
};
