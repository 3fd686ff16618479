/*
 * leases.c - the server's side of docs/worker-protocol.md.
 *
 * The spec that a job is queued with is
 *
 *   {"spec": for the worker, "inputs": [job_input()...], "max_seconds": n, "labels-of": ID}
 *
 * of which the last two may be absent.  Inputs are resolved when the job is
 * leased, so that a resumed job finds its snapshots, and labels are those
 * that the training job has by then.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/boss.h"
#include "api/resource.h"
#include "api/server.h"
#include "base/clock.h"
#include "base/log.h"

#define HEARTBEATS    4 /* in the time of a lease */
#define WAIT_MAX_MS   60000
#define POOLS_MAX     40
#define SLOTS_MAX     256
#define SLOTS_MAX_ALL 65536
#define POINTS_MAX    10000

static const struct field pool_rows[] = {
    {"*", FIELD_STRING, 0, "A pool.", .min = 1, .max = 64},
    {NULL},
};
static const struct field lease_in[] = {
    {"request_id", FIELD_STRING, REQUIRED, "32 hex digits; the same again gets the same jobs.", .min = 32,
     .max = 32},
    {"worker", FIELD_STRING, REQUIRED, "Name of the worker.", .min = 1, .max = WORKER_MAX - 1},
    {"pools", FIELD_ARRAY, 0, "Pools that it serves, the preferred first.", .max = POOLS_MAX,
     .otherwise = "[]", .fields = pool_rows},
    {"all_pools", FIELD_ARRAY, 0, "All that it serves, when some are not open now: their GPUs are taken.",
     .max = POOLS_MAX, .otherwise = "[]", .fields = pool_rows},
    {"slots", FIELD_INT, 0, "Jobs wanted at most.", .min = 1, .max = SLOTS_MAX, .otherwise = "1"},
    {"all_slots", FIELD_INT, 0, "Slots that it has, free or not.", .max = SLOTS_MAX_ALL, .otherwise = "0"},
    {"wait_ms", FIELD_INT, 0, "Time to wait for work.", .max = WAIT_MAX_MS, .otherwise = "0"},
    {"tell_drained", FIELD_BOOL, 0, "Answer at once when the worker is drained.", .otherwise = "false"},
    {NULL},
};
static const struct field lease_out[] = {
    {"jobs", FIELD_ARRAY, READ_ONLY, "Jobs leased, each with its token, spec and inputs."},
    {"drained", FIELD_BOOL, READ_ONLY, "There will be no jobs; told to those that asked for it only."},
    {NULL},
};

static const struct field heartbeat_in[] = {
    {NULL},
};
static const struct field heartbeat_out[] = {
    {"cancel", FIELD_BOOL, READ_ONLY, "End the job."},
    {"force", FIELD_BOOL, READ_ONLY, "End it at once, without saving."},
    {NULL},
};
static const struct field lease_log_query[] = {
    {"stream", FIELD_STRING, REQUIRED, "Which.", .words = "stdout|stderr"},
    {"offset", FIELD_INT, REQUIRED, "Where in the attempt's stream the bytes begin."},
    {NULL},
};
static const struct field log_out[] = {
    {"offset", FIELD_INT, READ_ONLY, "Stored length."},
    {NULL},
};
static const struct field point_fields[] = {
    {"name", FIELD_STRING, REQUIRED, "Metric.", .min = 1, .max = 63},
    {"step", FIELD_INT, REQUIRED, "Iteration."},
    {"value", FIELD_ANY, REQUIRED, "A number, or NaN, Infinity, -Infinity as a string."},
    {"at", FIELD_INT, 0, "Milliseconds since 1970."},
    {NULL},
};
static const struct field point_rows[] = {
    {"*", FIELD_OBJECT, 0, "A point.", .fields = point_fields},
    {NULL},
};
static const struct field metrics_in[] = {
    {"points", FIELD_ARRAY, 0, "Points to store.", .max = POINTS_MAX, .otherwise = "[]",
     .fields = point_rows},
    {"progress", FIELD_OBJECT, 0, "How far it has come."},
    {NULL},
};
static const struct field empty_out[] = {
    {NULL},
};
static const struct field blob_out[] = {
    {"sha256", FIELD_STRING, READ_ONLY, "Of the bytes that came."},
    {"size", FIELD_INT, READ_ONLY, "Their number."},
    {NULL},
};
static const struct field finish_in[] = {
    {"outcome", FIELD_STRING, REQUIRED, "How it ended.", .words = "done|failed|retry|released|cancelled"},
    {"reason", FIELD_STRING, 0, "Why, when it was not done.", .max = 65536, .otherwise = "\"\""},
    {"result", FIELD_OBJECT, 0, "Merged into the document, when it was done."},
    {NULL},
};

/* ---- inputs ---- */

json_t *job_input(const char *name, const char *document, const char *blob, bool optional)
{
    return json_pack("{s:s, s:s, s:s, s:b}", "name", name, "document", document, "blob", blob, "optional",
                     (int)optional);
}

static enum status input_blob(struct store *store, const json_t *input, struct blob *ret_blob,
                              struct error *err)
{
    return blob_ref_get(store, json_get_string(input, "document", ""), json_get_string(input, "blob", ""),
                        ret_blob, err);
}

/* Adds {"name", "size", "sha256"} of each input to out.  Errors: NOT_FOUND, naming one that is not there. */
static enum status inputs_resolve(struct store *store, const json_t *inputs, json_t *out, struct error *err)
{
    size_t i;
    json_t *input;
    json_array_foreach((json_t *)inputs, i, input) {
        struct blob blob;
        const char *name = json_get_string(input, "name", "");
        enum status status = input_blob(store, input, &blob, err);
        if (status == NOT_FOUND && json_get_bool(input, "optional", false))
            continue;
        if (status != OK)
            return error_context(err, "input '%s'", name);
        json_array_append_new(out, json_pack("{s:s, s:I, s:s}", "name", name, "size", (json_int_t)blob.size,
                                             "sha256", blob.sha256));
    }
    return OK;
}

/* ---- leasing ---- */

/* Puts the labels of a training job into the worker's spec. */
static enum status spec_add_labels(struct store *store, const struct job *job, json_t *spec,
                                   struct error *err)
{
    const char *id = json_get_string(job->spec, "labels-of", NULL);
    if (!id)
        return OK;
    CLEANUP(document_release) struct document training = {0};
    if (document_get(store, job->owner, id, &training, err) != OK)
        return error_context(err, "training job");
    json_t *labels = json_object_get(training.body, "labels");
    json_object_set_new(spec, "labels", json_is_array(labels) ? json_incref(labels) : json_array());
    return OK;
}

static enum status job_encode(struct request *r, const struct job *job, json_t **ret_json, struct error *err)
{
    struct store *store = api_store(r->api);
    CLEANUP(json_decrefp) json_t *inputs = json_array();
    CLEANUP(json_decrefp) json_t *spec = json_deep_copy(json_object_get(job->spec, "spec"));
    TRY(inputs_resolve(store, json_object_get(job->spec, "inputs"), inputs, err));
    TRY(spec_add_labels(store, job, spec, err));
    *ret_json = json_pack("{s:s, s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:b, s:O, s:O}", "job", job->id,
                          "attempt", job->attempt, "token", job->token, "kind", job->kind, "pool", job->pool,
                          "heartbeat_ms", (json_int_t)(api_lease_ms(r->api) / HEARTBEATS), "lease_ms",
                          (json_int_t)api_lease_ms(r->api), "max_seconds",
                          (json_int_t)json_get_int(job->spec, "max_seconds", 0), "allow_private_urls",
                          (int)api_allows_private_urls(r->api), "spec", spec, "inputs", inputs);
    return OK;
}

/* A job that cannot be handed out: fails when what it needs is gone, else goes back. */
static void job_return(struct request *r, const struct job *job, const struct error *why)
{
    struct error err;
    struct finish finish = {
        .job = job->id,
        .attempt = job->attempt,
        .outcome = why->status == NOT_FOUND ? OUTCOME_FAILED : OUTCOME_RELEASED,
        .reason = why->message,
    };
    char reason[LOG_VALUE_MAX];
    log_event("lease.returned", "job=%s attempt=%d reason=%s", job->id, job->attempt,
              log_value(why->message, reason));
    if (queue_finish(api_store(r->api), &finish, r->now_ms, &err) != OK)
        log_event("lease.stuck", "job=%s reason=%s", job->id, log_value(err.message, reason));
}

static int read_pools(const json_t *list, const char *pools[POOLS_MAX])
{
    int n = 0;
    size_t i;
    json_t *pool;
    json_array_foreach((json_t *)(uintptr_t)list, i, pool)
        pools[n++] = json_string_value(pool);
    return n;
}

/* Whoever is woken for a job and does not take it wakes the next. */
static void stir_pools(struct request *r, const struct lease_request *wanted)
{
    for (int i = 0; i < wanted->n_pools; i++) {
        CLEANUP(freep) char *topic = xasprintf("pool:%s", wanted->pools[i]);
        api_stir(r->api, topic);
    }
}

static enum status leases_create(struct request *r, struct response *response, struct error *err)
{
    const char *pools[POOLS_MAX] = {"cpu"}, *all[POOLS_MAX];
    int n_pools = read_pools(json_object_get(r->body, "pools"), pools);
    struct lease_request wanted = {
        .request_id = json_get_string(r->body, "request_id", ""),
        .worker = json_get_string(r->body, "worker", ""),
        .pools = pools,
        .n_pools = MAX(n_pools, 1),
        .all_pools = all,
        .n_all_pools = read_pools(json_object_get(r->body, "all_pools"), all),
        .slots = (int)json_get_int(r->body, "slots", 1),
        .all_slots = (int)json_get_int(r->body, "all_slots", 0),
        .lease_ms = api_lease_ms(r->api),
    };
    if (!id_is_valid(wanted.request_id))
        return problem_at(response, "/request_id", err, INVALID,
                          "request_id must be 32 lower-case hex digits");
    if (request_client_gone(r)) {
        stir_pools(r, &wanted);
        response_empty(response, 204);
        return OK;
    }
    CLEANUP(job_list_release) struct job_list leased = {0};
    TRY(queue_lease(api_store(r->api), &wanted, clock_now_ms(), &leased, err));
    CLEANUP(json_decrefp) json_t *jobs = json_array();
    for (int i = 0; i < leased.n; i++) {
        json_t *job = NULL;
        struct error why;
        if (job_encode(r, &leased.jobs[i], &job, &why) == OK)
            json_array_append_new(jobs, job);
        else
            job_return(r, &leased.jobs[i], &why);
    }
    int64_t deadline_ms = r->arrived_ms + json_get_int(r->body, "wait_ms", 0);
    if (json_array_size(jobs)) {
        response_json(response, 200, json_pack("{s:O}", "jobs", jobs));
    } else if (leased.drained && json_get_bool(r->body, "tell_drained", false)) {
        response_json(response, 200, json_pack("{s:[], s:b}", "jobs", "drained", 1));
    } else if (clock_monotonic_ms() < deadline_ms) {
        CLEANUP(freep) char *called = xasprintf("worker:%s", wanted.worker);
        response_wait(response, called, deadline_ms);
        for (int i = 0; i < wanted.n_pools && !leased.drained; i++) {
            CLEANUP(freep) char *topic = xasprintf("pool:%s", pools[i]);
            response_wait(response, topic, deadline_ms);
        }
    } else {
        response_empty(response, 204);
    }
    return OK;
}

/* ---- one attempt ---- */

static int path_attempt(const struct request *r)
{
    char *end;
    errno = 0;
    long attempt = strtol(r->args[1], &end, 10);
    return *end || errno || attempt < 1 || attempt > INT32_MAX ? 0 : (int)attempt;
}

/* The path's attempt, whose token the request has, when it was the current one on arrival. */
static enum status lease_check(const struct request *r, int *ret_attempt, struct error *err)
{
    int attempt = path_attempt(r);
    if (!attempt)
        return error_set(err, NOT_FOUND, "no attempt '%.40s'", r->args[1]);
    if (r->who.lease_over)
        return error_set(err, CONFLICT, "attempt %d at job '%.64s' is over", attempt, r->args[0]);
    *ret_attempt = attempt;
    return OK;
}

static enum status lease_heartbeat(struct request *r, struct response *response, struct error *err)
{
    int attempt;
    enum stop_wish stop;
    TRY(lease_check(r, &attempt, err));
    TRY(queue_heartbeat(api_store(r->api), r->args[0], attempt, clock_now_ms(), &stop, err));
    response_json(
        response, 200,
        json_pack("{s:b, s:b}", "cancel", (int)(stop != STOP_NOT), "force", (int)(stop == STOP_AT_ONCE)));
    return OK;
}

static enum status lease_input(struct request *r, struct response *response, struct error *err)
{
    int attempt;
    TRY(lease_check(r, &attempt, err));
    CLEANUP(job_release) struct job job = {0};
    TRY(queue_job(api_store(r->api), r->args[0], &job, err));
    size_t i;
    json_t *input;
    json_array_foreach(json_object_get(job.spec, "inputs"), i, input) {
        if (strcmp(json_get_string(input, "name", ""), r->args[2]) != 0)
            continue;
        struct blob blob;
        TRY(input_blob(api_store(r->api), input, &blob, err));
        response_blob(response, blob.sha256, "application/octet-stream");
        return OK;
    }
    return error_set(err, NOT_FOUND, "the job has no input '%.64s'", r->args[2]);
}

static enum status lease_log(struct request *r, struct response *response, struct error *err)
{
    int attempt;
    TRY(lease_check(r, &attempt, err));
    const char *word = request_query(r, "stream");
    enum log_stream stream = word && !strcmp(word, "stdout") ? LOG_STDOUT : LOG_STDERR;
    if (!word || (stream == LOG_STDERR && strcmp(word, "stderr") != 0))
        return error_set(err, INVALID, "stream is stdout or stderr, not '%.40s'", word ? word : "");
    if (!request_query(r, "offset"))
        return error_set(err, INVALID, "offset is missing");
    int64_t offset, length;
    TRY(query_int(r, "offset", 0, INT64_MAX / 2, 0, &offset, err));
    TRY(log_append(api_store(r->api), r->args[0], attempt, stream, offset, r->bytes, r->n_bytes, &length,
                   err));
    response_json(response, length < offset ? 416 : 200, json_pack("{s:I}", "offset", (json_int_t)length));
    return OK;
}

static enum status metric_value(const json_t *json, double *ret_value)
{
    const char *word = json_string_value(json);
    double value = json_number_value(json);
    if (word)
        value = !strcmp(word, "NaN") ? NAN : !strcmp(word, "Infinity") ? INFINITY : -INFINITY;
    if (word ? strcmp(word, "NaN") && strcmp(word, "Infinity") && strcmp(word, "-Infinity")
             : !json_is_number(json))
        return INVALID;
    *ret_value = value;
    return OK;
}

static enum status lease_metrics(struct request *r, struct response *response, struct error *err)
{
    int attempt;
    TRY(lease_check(r, &attempt, err));
    json_t *in = json_object_get(r->body, "points"), *row;
    int n = (int)json_array_size(in);
    CLEANUP(freep) struct metric_point *points = xcalloc((size_t)n + 1, sizeof *points);
    size_t i;
    json_array_foreach(in, i, row) {
        struct metric_point *point = &points[i];
        snprintf(point->name, sizeof point->name, "%s", json_get_string(row, "name", ""));
        point->step = json_get_int(row, "step", 0);
        point->at_ms = json_get_int(row, "at", r->now_ms);
        if (metric_value(json_object_get(row, "value"), &point->value) != OK)
            return error_set(err, INVALID,
                             "points/%zu/value must be a number, or \"NaN\", \"Infinity\" or "
                             "\"-Infinity\"",
                             i);
    }
    const json_t *progress = json_object_get(r->body, "progress");
    TRY(metrics_add(api_store(r->api), r->args[0], attempt, points, n, progress, r->now_ms, err));
    response_json(response, 200, json_object());
    return OK;
}

static bool blob_name_is_valid(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length <= 128 && name[0] != '.' && !strpbrk(name, "/\\");
}

static enum status lease_blob(struct request *r, struct response *response, struct error *err)
{
    int attempt;
    TRY(lease_check(r, &attempt, err));
    const char *expected = request_header(r, "ET-Sha256");
    if (!blob_name_is_valid(r->args[2]))
        return error_set(err, INVALID, "'%.64s' is no name for a blob", r->args[2]);
    struct blob blob = {.size = r->raw.size};
    if (!r->raw.sha256[0])
        TRY(blob_put(api_store(r->api), "", 0, r->now_ms, &blob, err));
    else
        memcpy(blob.sha256, r->raw.sha256, sizeof blob.sha256);
    if (expected && strcasecmp(expected, blob.sha256) != 0)
        return error_set(err, INVALID, "the bytes that came have SHA-256 %s, not %.64s as ET-Sha256 says",
                         blob.sha256, expected);
    TRY(blob_ref_set(api_store(r->api), r->args[0], attempt, r->args[2], blob.sha256, r->now_ms, err));
    response_json(response, 200,
                  json_pack("{s:s, s:I}", "sha256", blob.sha256, "size", (json_int_t)blob.size));
    return OK;
}

/* ---- the end ---- */

/* A kind of job that is done: which keys of its result go into the document, and the blobs that must be
 * there. */
static const struct kind {
    const char *name;
    const char *keys[6]; /* both NULL-terminated */
    const char *blobs[3];
} kinds[] = {
    {"split",
     {"training", "test", "labels", "image-shape", "skipped"},
     {"training.tar.gz", "testing.tar.gz"}},
    {"train", {"labels", "skipped", "accuracy", "layer-times"}, {"trained.caffemodel"}},
    {"classify", {"scores", "skipped"}, {NULL}},
    {"script", {"exit-status", "signal", "result"}, {NULL}},
    {"order", {"exit-status", "signal"}, {NULL}},
    {"", {NULL}, {NULL}},
};

static const struct kind *kind_of(const struct job *job)
{
    const struct kind *kind = kinds;
    while (*kind->name && strcmp(kind->name, job->kind) != 0)
        kind++;
    return kind;
}

/* Errors: INVALID when the document would be finished without its bytes. */
static enum status check_done(struct store *store, const struct job *job, struct error *err)
{
    const char *const fetched[] = {json_get_string(json_object_get(job->spec, "spec"), "name", ""), NULL};
    const char *const *name = strcmp(job->kind, "fetch") ? kind_of(job)->blobs : fetched;
    for (; *name; name++) {
        struct blob blob;
        enum status status = blob_ref_get(store, job->id, *name, &blob, err);
        if (status == NOT_FOUND)
            return error_set(err, INVALID, "the job is not done: its blob '%s' has not been put", *name);
        TRY(status);
    }
    return OK;
}

static json_t *result_known(const struct kind *kind, const json_t *result)
{
    json_t *known = json_object();
    for (const char *const *key = kind->keys; *key; key++) {
        json_t *value = json_object_get(result, *key);
        if (value)
            json_object_set(known, *key, value);
    }
    return known;
}

/* The URL of a blob, as a field of the patch, when the document has that blob. */
static void patch_blob_url(struct store *store, json_t *patch, const char *id, const char *field,
                           const char *name)
{
    struct blob blob;
    if (blob_ref_get(store, id, name, &blob, NULL) == OK) {
        CLEANUP(freep) char *url = blob_url(id, name);
        json_object_set_new(patch, field, json_string(url));
    }
}

/* Labels take the place of "pending", under the bare SHA-1. */
static void patch_labels(json_t *patch, const struct job *job, const json_t *result)
{
    const json_t *labels = json_object_get(result, "results");
    json_t *results = json_object(), *image;
    size_t i;
    json_array_foreach(json_object_get(json_object_get(job->spec, "spec"), "images"), i, image) {
        const char *sha1 = json_get_string(image, "key", "");
        const char *label = json_get_string(labels, sha1, NULL);
        if (!label)
            continue;
        CLEANUP(freep) char *pending = blob_url(job->id, sha1);
        json_object_set_new(results, pending, json_null());
        json_object_set_new(results, sha1, json_string(label));
    }
    json_object_set_new(patch, "results", results);
}

/* The files that a script left, of those that have come. */
static void patch_artifacts(struct store *store, json_t *patch, const char *id, const json_t *names)
{
    json_t *artifacts = json_array(), *name;
    size_t i;
    json_array_foreach((json_t *)names, i, name) {
        struct blob blob;
        const char *text = json_string_value(name);
        if (!text || blob_ref_get(store, id, text, &blob, NULL) != OK)
            continue;
        CLEANUP(freep) char *url = blob_url(id, text);
        json_array_append_new(
            artifacts, json_pack("{s:s, s:s, s:I}", "name", text, "url", url, "size", (json_int_t)blob.size));
    }
    json_object_set_new(patch, "artifacts", artifacts);
}

/* What an ended attempt changes in the document: a merge patch.  New. */
static json_t *finish_patch(struct store *store, const struct job *job, enum outcome outcome,
                            const char *reason, const json_t *result)
{
    bool done = outcome == OUTCOME_DONE, order = !strcmp(job->kind, "order");
    bool script = order || !strcmp(job->kind, "script");
    json_t *patch = done || script ? result_known(kind_of(job), result) : json_object();
    bool train = !strcmp(job->kind, "train"), classify = !strcmp(job->kind, "classify");
    if (order)
        json_object_update_new(patch, boss_order_patch(job, done, reason, result));
    if (script)
        patch_artifacts(store, patch, job->id, json_object_get(result, "artifacts"));
    if (train || classify || script) {
        patch_blob_url(store, patch, job->id, "std-out-url", "std-out.txt");
        patch_blob_url(store, patch, job->id, "std-err-url", "std-err.txt");
    }
    if (train && done)
        patch_blob_url(store, patch, job->id, "trained-model-url", "trained.caffemodel");
    if (classify && done)
        patch_labels(patch, job, result);
    return patch;
}

static enum status lease_finish(struct request *r, struct response *response, struct error *err)
{
    int attempt = path_attempt(r);
    struct store *store = api_store(r->api);
    enum outcome outcome = outcome_of(json_get_string(r->body, "outcome", ""));
    CLEANUP(json_decrefp) json_t *patch = NULL;
    CLEANUP(job_release) struct job job = {0};
    if (!r->who.lease_over) { /* else this is the end, told again */
        TRY(queue_job(store, r->args[0], &job, err));
        if (outcome == OUTCOME_DONE)
            TRY(check_done(store, &job, err));
        patch = finish_patch(store, &job, outcome, json_get_string(r->body, "reason", ""),
                             json_object_get(r->body, "result"));
    }
    struct finish finish = {
        .job = r->args[0],
        .owner = r->who.lease_over ? NULL : job.owner,
        .attempt = attempt,
        .outcome = outcome,
        .reason = json_get_string(r->body, "reason", ""),
        .result = patch,
    };
    TRY(queue_finish(store, &finish, r->now_ms, err));
    log_event("job.ended", "job=%s attempt=%d outcome=%s", r->args[0], attempt, outcome_word(outcome));
    response_json(response, 200, json_object());
    return OK;
}

const struct route lease_routes[] = {
    {"POST", "/leases", leases_create, SCOPE_WORKER, BODY_JSON, "Lease jobs; 204 when there are none.",
     lease_in, lease_out, 200},
    {"GET", "/leases/{job}/{attempt}/inputs/{name}", lease_input, SCOPE_LEASE, BODY_NONE,
     "Bytes of an input.", NULL, NULL, 200},
    {"POST", "/leases/{job}/{attempt}/heartbeat", lease_heartbeat, SCOPE_LEASE, BODY_JSON, "Keep the lease.",
     heartbeat_in, heartbeat_out, 200},
    {"PUT", "/leases/{job}/{attempt}/log", lease_log, SCOPE_LEASE, BODY_BYTES, "Append to a stream.", NULL,
     log_out, 200, lease_log_query},
    {"POST", "/leases/{job}/{attempt}/metrics", lease_metrics, SCOPE_LEASE, BODY_JSON, "Store metrics.",
     metrics_in, empty_out, 200},
    {"PUT", "/leases/{job}/{attempt}/blobs/{name}", lease_blob, SCOPE_LEASE, BODY_RAW,
     "Give the document a blob.", NULL, blob_out, 200},
    {"POST", "/leases/{job}/{attempt}/finish", lease_finish, SCOPE_LEASE, BODY_JSON, "End the attempt.",
     finish_in, empty_out, 200},
    {NULL},
};
