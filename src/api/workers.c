/*
 * workers.c - GET /workers: who works here, and on what.
 *
 * Two sources: who polled for work lately (this process's memory) and whose
 * leases are running (the store).  An operator sees all; a user sees the
 * workers that run the user's own jobs, and of those no others.
 */
#include "api/workers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "api/resource.h"
#include "api/server.h"
#include "base/clock.h"

#define SEEN_MAX 10000
#define JOBS_MAX 10000

struct seen {
    char *name;
    json_t *pools;
    int slots;
    int64_t at_ms;
    struct seen *next;
};

struct workers {
    pthread_mutex_t lock; /* guards what follows */
    struct seen *first;
};

struct workers *workers_new(void)
{
    struct workers *w = xcalloc(1, sizeof *w);
    pthread_mutex_init(&w->lock, NULL);
    return w;
}

static void seen_free(struct seen *s)
{
    free(s->name);
    json_decref(s->pools);
    free(s);
}

void workers_free(struct workers *w)
{
    if (!w)
        return;
    while (w->first) {
        struct seen *s = w->first;
        w->first = s->next;
        seen_free(s);
    }
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static void forget_old(struct workers *w, int64_t now_ms)
{
    int n = 0;
    for (struct seen **link = &w->first; *link;) {
        struct seen *s = *link;
        if (s->at_ms + WORKERS_KEPT_MS >= now_ms && ++n <= SEEN_MAX) {
            link = &s->next;
            continue;
        }
        *link = s->next;
        seen_free(s);
    }
}

void workers_seen(struct workers *w, const char *name, const char *const *pools, int n_pools, int slots,
                  int64_t now_ms)
{
    pthread_mutex_lock(&w->lock);
    struct seen **link = &w->first;
    while (*link && strcmp((*link)->name, name) != 0)
        link = &(*link)->next;
    struct seen *s = *link;
    if (s) {
        *link = s->next;
        json_array_clear(s->pools);
    } else {
        s = xcalloc(1, sizeof *s);
        s->name = xstrdup(name);
        s->pools = json_array();
        forget_old(w, now_ms);
    }
    for (int i = 0; i < n_pools; i++)
        json_array_append_new(s->pools, json_string(pools[i]));
    s->slots = MAX(s->slots, slots);
    s->at_ms = now_ms;
    s->next = w->first;
    w->first = s;
    pthread_mutex_unlock(&w->lock);
}

json_t *workers_list(struct workers *w, int64_t now_ms)
{
    json_t *all = json_object();
    pthread_mutex_lock(&w->lock);
    forget_old(w, now_ms);
    for (const struct seen *s = w->first; s; s = s->next)
        json_object_set_new(all, s->name,
                            json_pack("{s:o, s:i, s:I}", "pools", json_copy(s->pools), "slots", s->slots,
                                      "seen", (json_int_t)s->at_ms));
    pthread_mutex_unlock(&w->lock);
    return all;
}

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
    {"slots", FIELD_INT, READ_ONLY, "Jobs that it can run at once, as far as it said."},
    {"seen", FIELD_STRING, READ_ONLY | NULLABLE, "When it last asked for work, RFC 3339; null: not lately."},
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

static json_t *worker_encode(const char *name, const json_t *seen, json_t *jobs /* borrowed, may be NULL */)
{
    char at[CLOCK_TEXT_MAX];
    int64_t slots = MAX(json_get_int(seen, "slots", 0), (int64_t)json_array_size(jobs));
    json_t *pools = json_object_get(seen, "pools");
    return json_pack("{s:s, s:o, s:I, s:o, s:o}", "name", name, "pools",
                     pools ? json_incref(pools) : json_array(), "slots", (json_int_t)slots, "seen",
                     seen ? json_string(clock_text(json_get_int(seen, "seen", 0), at)) : json_null(), "jobs",
                     jobs ? json_incref(jobs) : json_array());
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum status workers_get(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(json_decrefp) json_t *jobs = NULL;
    CLEANUP(json_decrefp) json_t *seen = workers_list(r->api->workers, r->now_ms);
    CLEANUP(json_decrefp) json_t *names = json_object();
    CLEANUP(json_decrefp) json_t *out = json_array();
    TRY(jobs_by_worker(r, &jobs, err));
    if (r->who.scope == SCOPE_ADMIN)
        json_object_update(names, seen);
    json_object_update(names, jobs);
    size_t n = 0;
    CLEANUP(freep) const char **sorted = xcalloc(json_object_size(names) + 1, sizeof *sorted);
    for (void *at = json_object_iter(names); at; at = json_object_iter_next(names, at))
        sorted[n++] = json_object_iter_key(at);
    qsort(sorted, n, sizeof *sorted, compare_names);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(out, worker_encode(sorted[i], json_object_get(seen, sorted[i]),
                                                 json_object_get(jobs, sorted[i])));
    response_json(response, 200, json_pack("{s:O}", "workers", out));
    return OK;
}

const struct route worker_routes[] = {
    {"GET", "/workers", workers_get, SCOPE_ANY, BODY_NONE,
     "Who asked for work lately, and who works on what; a user sees those that run the user's jobs.", NULL,
     workers_out, 200},
    {NULL},
};
