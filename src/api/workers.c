/*
 * workers.c - who works here, on what, and draining.
 *
 * An operator sees all that were seen within the last day; a user sees the
 * workers that run the user's own jobs, and of those no others.
 */
#include <stdlib.h>
#include <string.h>

#include "api/resource.h"
#include "api/server.h"
#include "base/clock.h"
#include "base/log.h"

#define JOBS_MAX 10000

static const struct field string_rows[] = {{"*", FIELD_STRING, 0, "One."}, {NULL}};
static const struct field job_fields[] = {
    {"id", FIELD_STRING, READ_ONLY, "Id of the document that is worked on."},
    {"user-id", FIELD_STRING, READ_ONLY, "Its owner."},
    {"kind", FIELD_STRING, READ_ONLY, "Kind of work."},
    {"attempt", FIELD_INT, READ_ONLY, "Which attempt."},
    {"since", FIELD_STRING, READ_ONLY, "Begin of the attempt, RFC 3339."},
    {"progress", FIELD_OBJECT, READ_ONLY | NULLABLE, "What it last told."},
    {NULL},
};
static const struct field job_rows[] = {{"*", FIELD_OBJECT, 0, "A job.", .fields = job_fields}, {NULL}};
static const struct field worker_fields[] = {
    {"name", FIELD_STRING, READ_ONLY, "Name that it gave."},
    {"pools", FIELD_ARRAY, READ_ONLY, "Pools that it serves.", .fields = string_rows},
    {"slots", FIELD_INT, READ_ONLY, "Jobs that it can run at once."},
    {"running", FIELD_INT, READ_ONLY, "Jobs that it runs, those of other users too."},
    {"seen", FIELD_STRING, READ_ONLY, "When it last asked for work or renewed a lease, RFC 3339."},
    {"alive", FIELD_BOOL, READ_ONLY, "It was seen within the last minute."},
    {"drained", FIELD_BOOL, READ_ONLY, "It gets no new jobs."},
    {"jobs", FIELD_ARRAY, READ_ONLY, "Jobs that it runs.", .fields = job_rows},
    {NULL},
};
static const struct field worker_rows[] = {
    {"*", FIELD_OBJECT, 0, "A worker.", .fields = worker_fields},
    {NULL},
};
static const struct field workers_out[] = {
    {"workers", FIELD_ARRAY, READ_ONLY, "By name.", .fields = worker_rows},
    {NULL},
};

/* The jobs of each worker, by its name. */
static enum status jobs_by_worker(struct request *r, json_t **ret_jobs, struct error *err)
{
    struct store *store = api_store(r->api);
    CLEANUP(job_list_release) struct job_list list = {0};
    CLEANUP(json_decrefp) json_t *all = json_object();
    bool is_operator = r->who.scope == SCOPE_ADMIN;
    TRY(queue_leased(store, is_operator ? NULL : r->who.owner, JOBS_MAX, &list, err));
    for (int i = 0; i < list.n; i++) {
        const struct job *job = &list.jobs[i];
        char since[CLOCK_TEXT_MAX];
        const char *name = job->worker ? job->worker : "";
        json_t *progress = NULL, *of_worker = json_object_get(all, name);
        if (!of_worker)
            json_object_set_new(all, name, of_worker = json_array());
        TRY(progress_get(store, job->id, &progress, err));
        json_array_append_new(of_worker, json_pack("{s:s, s:s, s:s, s:i, s:s, s:o}", "id", job->id, "user-id",
                                                   job->owner, "kind", job->kind, "attempt", job->attempt,
                                                   "since", clock_text(job->leased_ms, since), "progress",
                                                   progress ? progress : json_null()));
    }
    *ret_jobs = TAKE(all);
    return OK;
}

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

static json_t *worker_encode(const struct worker_info *w, json_t *jobs /* borrowed, may be NULL */,
                             int64_t now_ms)
{
    char seen[CLOCK_TEXT_MAX];
    return json_pack("{s:s, s:s, s:b, s:o, s:i, s:i, s:b, s:o}", "name", w->name, "seen",
                     clock_text(w->seen_ms, seen), "alive", (int)(now_ms - w->seen_ms <= WORKER_ALIVE_MS),
                     "pools", split_pools(w->pools), "slots", w->slots, "running", w->running, "drained",
                     (int)w->drained, "jobs", jobs ? json_incref(jobs) : json_array());
}

static enum status workers_get(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(worker_info_list_release) struct worker_info_list list = {0};
    CLEANUP(json_decrefp) json_t *jobs = NULL;
    TRY(jobs_by_worker(r, &jobs, err));
    TRY(workers_list(api_store(r->api), &list, err));
    json_t *out = json_array();
    for (int i = 0; i < list.n; i++) {
        json_t *own = json_object_get(jobs, list.workers[i].name);
        if (own || r->who.scope == SCOPE_ADMIN)
            json_array_append_new(out, worker_encode(&list.workers[i], own, r->now_ms));
    }
    response_json(response, 200, json_pack("{s:o}", "workers", out));
    return OK;
}

static enum status set_drained(struct request *r, struct response *response, bool drained, struct error *err)
{
    char name[LOG_VALUE_MAX];
    CLEANUP(worker_info_list_release) struct worker_info_list list = {0};
    CLEANUP(json_decrefp) json_t *jobs = NULL;
    TRY(worker_drain(api_store(r->api), r->args[0], drained, err));
    log_event(drained ? "worker.drained" : "worker.resumed", "name=%s", log_value(r->args[0], name));
    TRY(jobs_by_worker(r, &jobs, err));
    TRY(workers_list(api_store(r->api), &list, err));
    for (int i = 0; i < list.n; i++)
        if (!strcmp(list.workers[i].name, r->args[0])) {
            json_t *own = json_object_get(jobs, r->args[0]);
            response_json(response, 200, worker_encode(&list.workers[i], own, r->now_ms));
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
    {"GET", "/workers", workers_get, SCOPE_ANY, BODY_NONE,
     "Who asked for work lately, and who works on what; a user sees those that run the user's jobs.", NULL,
     workers_out, 200},
    {"POST", "/workers/{name}/drain", workers_drain, SCOPE_ADMIN, BODY_NONE,
     "Give a worker no new jobs; those that it runs go on to their end.", NULL, worker_fields, 200},
    {"POST", "/workers/{name}/resume", workers_resume, SCOPE_ADMIN, BODY_NONE,
     "Give a drained worker jobs again.", NULL, worker_fields, 200},
    {NULL},
};
