/*
 * training_jobs.c - a solver, run against its dataset by a worker.
 */
#include <stdlib.h>
#include <string.h>

#include "api/arrays.h"
#include "api/job_options.h"
#include "api/specification.h"
#include "base/size.h"

#define SOLVER_MAX_BYTES (8 << 20)

static const struct field training_job_in[] = {
    {"solver-id", FIELD_ID, REQUIRED, "Solver to train.", .of = "solver"},
    JOB_OPTION_ROWS,
    {"threads", FIELD_INT, 0, "Threads to train with; 0 is the worker's cores by its slots.", .max = 1024,
     .otherwise = "0"},
    {"precision", FIELD_STRING, 0,
     "Numbers to compute with: bf16 is faster where the worker's processor has it.", .words = "f32|bf16",
     .otherwise = "\"f32\""},
    {"max-seconds", FIELD_INT, 0, "Fail the job when an attempt takes longer; 0 is no limit.",
     .max = 31536000, .otherwise = "0"},
    {"gpu", FIELD_BOOL, 0, "Use a GPU where there is a pool of them; else the CPU, and the log says so.",
     .otherwise = "false"},
    {"gpu-required", FIELD_BOOL, 0, "Insist on a machine with a GPU, and wait for one.",
     .otherwise = "false"},
    ARRAY_ROW,
    {NULL},
};

static const struct field layer_time_out[] = {
    {"layer", FIELD_STRING, READ_ONLY, "Name of the layer."},
    {"type", FIELD_STRING, READ_ONLY, "Its type."},
    {"forward-us", FIELD_NUMBER, READ_ONLY, "Microseconds of a forward pass, reorders included."},
    {"backward-us", FIELD_NUMBER, READ_ONLY, "Microseconds of a backward pass."},
    {NULL},
};
static const struct field layer_time_rows[] = {
    {"*", FIELD_OBJECT, READ_ONLY, "A layer.", .fields = layer_time_out},
    {NULL},
};

static const struct field training_job_out[] = {
    DOCUMENT_ROWS,
    PROCESSED_ROWS,
    {"solver-id", FIELD_STRING, READ_ONLY, "Solver that is trained."},
    {"dataset-id", FIELD_STRING, READ_ONLY, "Data that it learns from."},
    {"std-out-url", FIELD_STRING, READ_ONLY, "Standard output, when it is over.", .otherwise = "\"\""},
    {"std-err-url", FIELD_STRING, READ_ONLY, "Standard error, when it is over.", .otherwise = "\"\""},
    {"trained-model-url", FIELD_STRING, READ_ONLY, "The model, when it is finished.", .otherwise = "\"\""},
    {"labels", FIELD_ARRAY, READ_ONLY | NULLABLE, "Labels, in the order of their numbers."},
    {"accuracy", FIELD_NUMBER, READ_ONLY | NULLABLE, "Of the last test, when the net computes one."},
    {"skipped", FIELD_INT, READ_ONLY, "Images that could not be read."},
    {"layer-times", FIELD_ARRAY, READ_ONLY | NULLABLE, "Average time of each layer, when it is finished.",
     .fields = layer_time_rows},
    JOB_OPTION_OUT_ROWS,
    {"parameters", FIELD_OBJECT, READ_ONLY, "Solver fields that an array gave this job."},
    {"threads", FIELD_INT, READ_ONLY, "Threads asked for; 0 is the worker's choice."},
    {"precision", FIELD_STRING, READ_ONLY, "Numbers that it computes with.", .words = "f32|bf16",
     .otherwise = "\"f32\""},
    {"max-seconds", FIELD_INT, READ_ONLY, "Limit of an attempt; 0 is none."},
    {"gpu", FIELD_BOOL, READ_ONLY, "Asks for a GPU."},
    {"gpu-required", FIELD_BOOL, READ_ONLY, "Insists on one."},
    {"pool", FIELD_STRING, READ_ONLY, "Pool of workers that takes it."},
    {NULL},
};

static const struct field status_out[] = {
    {"id", FIELD_STRING, READ_ONLY, "Id of the training job."},
    {"state", FIELD_STRING, READ_ONLY, "Where it stands.",
     .words = "pending|processing|finished_successfully|failed"},
    {"detail", FIELD_STRING, READ_ONLY, "The same, exactly.",
     .words = "waiting|ready|leased|finished|failed|cancelled"},
    {"processing-log", FIELD_STRING, READ_ONLY, "Reason of a failure."},
    {"loss", FIELD_NUMBER, READ_ONLY | NULLABLE, "Training loss last reported."},
    {"last-iteration", FIELD_INT, READ_ONLY, "Iteration last reported."},
    {"max-iterations", FIELD_INT, READ_ONLY, "Where it ends."},
    {"seconds-left", FIELD_NUMBER, READ_ONLY | NULLABLE, "Estimate, in a first attempt only."},
    {"accuracy", FIELD_NUMBER, READ_ONLY | NULLABLE, "Of the last test, when the net computes one."},
    {"images-per-second", FIELD_NUMBER, READ_ONLY | NULLABLE, "Pace of training."},
    {"metrics", FIELD_OBJECT, READ_ONLY, "Each metric's latest value."},
    {"logs", FIELD_STRING, READ_ONLY, "Path of the log."},
    {NULL},
};

const struct resource resource_training_job = {
    .type = "training-job", .collection = "training-jobs", .fields = training_job_out, .processed = true};

/* By its own word, or its solver's "solver_mode: GPU". */
static bool wants_gpu(const json_t *in, const struct document *solver)
{
    return json_get_bool(in, "gpu-required", false) || json_get_bool(in, "gpu", false) ||
           json_get_bool(solver->body, "gpu", false);
}

/* What the job is queued with.  in: the request's body.  New. */
static json_t *train_spec(const char *id, const struct document *solver, const char *dataset,
                          const json_t *in)
{
    json_t *inputs = json_array();
    json_array_append_new(inputs, job_input(SOLVER_PROTOTXT, solver->id, SOLVER_PROTOTXT, false));
    json_array_append_new(inputs, job_input(SOLVER_NET_PROTOTXT, solver->id, SOLVER_NET_PROTOTXT, false));
    json_array_append_new(inputs, job_input("training.tar.gz", dataset, "training.tar.gz", false));
    json_array_append_new(inputs, job_input("testing.tar.gz", dataset, "testing.tar.gz", false));
    json_array_append_new(inputs, job_input("snapshot.tar", id, "snapshot.tar", true));

    int layer_type = (int)json_get_int(solver->body, "LayerType", 0);
    json_t *spec = json_object();
    json_object_set_new(spec, "layer_type", json_string(layer_type_name(layer_type)));
    json_object_set(spec, "threads", json_object_get(in, "threads"));
    json_object_set(spec, "precision", json_object_get(in, "precision"));
    json_object_set(spec, "max_iter", json_object_get(solver->body, "max-iterations"));
    if (wants_gpu(in, solver))
        json_object_set_new(spec, "gpu", json_true());
    return json_pack("{s:o, s:o, s:O}", "spec", spec, "inputs", inputs, "max_seconds",
                     json_object_get(in, "max-seconds"));
}

static bool is_bf16(const json_t *in)
{
    return !strcmp(json_get_string(in, "precision", ""), "bf16");
}

/*
 * The smallest pool of GPUs that may hold it: one that the operator has
 * defined, or, for a job that insists, any.  NULL: none, or none is wanted.
 */
static const struct pool_size *choose_gpu_pool(const struct pools *pools, const json_t *in,
                                               const struct document *solver, int64_t needed)
{
    bool insists = json_get_bool(in, "gpu-required", false);
    const struct pool_size *pool = wants_gpu(in, solver) ? pools_fit(pools, 0, needed, 1) : NULL;
    return pool && (insists || !pool->implied) ? pool : NULL;
}

/*
 * A pool of GPUs for a job that asks for one; else that of cpu jobs, or, when its memory cannot be
 * enough for the net, the smallest other one that may hold it.  Of a job in bf16 it is the twin of that
 * pool, which only workers serve whose processors have bf16; for the caller to free.
 */
static enum status choose_pool(const struct request *r, const json_t *in, const struct document *solver,
                               char **ret_pool, struct error *err)
{
    const struct pools *pools = api_pools(r->api);
    int64_t needed = json_get_int(solver->body, "memory-bytes", 0);
    if (is_bf16(in))
        needed /= 2; /* the bound counts what a layer reads as floats */
    char there[POOLS_TEXT_MAX], size[SIZE_TEXT_MAX];
    const struct pool_size *pool = choose_gpu_pool(pools, in, solver, needed);
    bool insists = json_get_bool(in, "gpu-required", false);
    if (!pool && !insists) {
        pool = pools_find(pools, "cpu");
        if (pool && pool->memory_bytes && needed > pool->memory_bytes)
            pool = pools_fit(pools, 0, needed, 0);
    }
    if (!pool)
        return error_set(
            err, INVALID,
            "training this net takes at least %s of memory%s, more than any pool of workers has; "
            "there are: %s",
            size_text(needed, size), insists ? " and a GPU" : "", pools_text(pools, there));
    *ret_pool = is_bf16(in) ? pools_bf16_name(pool->name) : xstrdup(pool->name);
    return OK;
}

/* A plan's own. */
struct training {
    struct document solver;
    char *text; /* of the solver, once it was wanted */
    size_t n_text;
    char *pool;
    const char *refs[2];
};

static void training_free(void *own)
{
    struct training *t = own;
    document_release(&t->solver);
    free(t->text);
    free(t->pool);
    free(t);
}

static enum status training_job_plan(struct request *r, struct response *response, const json_t *in,
                                     struct job_plan *p, struct error *err)
{
    struct training *t = p->own = xcalloc(1, sizeof(*t));
    p->release_own = training_free;
    TRY(resource_find_named(r, response, &resource_solver, "/solver-id", json_get_string(in, "solver-id", ""),
                            &t->solver, err));
    const char *dataset = json_get_string(t->solver.body, "dataset-id", "");
    TRY(choose_pool(r, in, &t->solver, &t->pool, err));
    id_new(p->id);
    p->spec = train_spec(p->id, &t->solver, dataset, in);
    p->body = json_copy((json_t *)(uintptr_t)in);
    json_object_del(p->body, "array");
    json_object_set_new(p->body, "pool", json_string(t->pool));
    json_object_set_new(p->body, "dataset-id", json_string(dataset));
    json_object_set(p->body, "max-iterations", json_object_get(t->solver.body, "max-iterations"));
    t->refs[0] = t->solver.id;
    t->refs[1] = dataset;
    p->job = (struct new_job){
        .kind = "train",
        .pool = t->pool,
        .spec = p->spec,
        .max_ms = 1000 * json_get_int(in, "max-seconds", 0),
    };
    TRY(job_options_read(r, response, in, &dataset, 1, &p->job, &p->after, err));
    p->document = (struct new_document){.id = p->id,
                                        .type = resource_training_job.type,
                                        .body = p->body,
                                        .job = &p->job,
                                        .refs = t->refs,
                                        .n_refs = 2};
    return OK;
}

/* Parameters of an element are fields of its solver. */
static enum status training_job_vary(struct request *r, struct job_plan *plan, const json_t *parameters,
                                     json_t **ret_patch, struct error *err)
{
    struct training *t = plan->own;
    struct blob blob;
    int max_iter;
    if (!t->text) {
        TRY(blob_ref_get(api_store(r->api), t->solver.id, SOLVER_PROTOTXT, &blob, err));
        TRY(blob_read(api_store(r->api), blob.sha256, SOLVER_MAX_BYTES, &t->text, &t->n_text, err));
    }
    struct specification_text text = {.bytes = t->text, .name = SOLVER_PROTOTXT, .size = t->n_text};
    TRY(specification_vary(&text, parameters, &max_iter, err));
    *ret_patch =
        json_pack("{s:{s:O, s:i}, s:{s:{s:O, s:i}}}", "body", "parameters", parameters, "max-iterations",
                  max_iter, "spec", "spec", "solver", parameters, "max_iter", max_iter);
    return OK;
}

const struct job_maker training_job_maker = {.resource = &resource_training_job,
                                             .in = training_job_in,
                                             .plan = training_job_plan,
                                             .vary = training_job_vary};

static enum status training_job_create(struct request *r, struct response *response, struct error *err)
{
    return job_create_request(r, response, &training_job_maker, r->body, err);
}

/*
 * Time left at the pace so far, or null.  An attempt that goes on from a
 * snapshot began at an iteration that is not known here: no estimate.
 */
static json_t *seconds_left(struct request *r, const char *id, int64_t iteration, int64_t max_iterations)
{
    CLEANUP(job_release) struct job job = {0};
    if (iteration < 1 || queue_job(api_store(r->api), id, &job, NULL) != OK || job.attempt != 1 ||
        !job.leased_ms)
        return json_null();
    double elapsed = (double)(r->now_ms - job.leased_ms) / 1000;
    return json_real(elapsed * (double)MAX(max_iterations - iteration, 0) / (double)iteration);
}

static enum status training_job_status(struct request *r, struct response *response, struct error *err)
{
    struct store *store = api_store(r->api);
    CLEANUP(document_release) struct document job = {0};
    TRY(resource_find(r, &resource_training_job, r->args[0], &job, err));
    CLEANUP(json_decrefp) json_t *progress = NULL;
    CLEANUP(json_decrefp) json_t *metrics = NULL;
    TRY(progress_get(store, job.id, &progress, err));
    TRY(latest_metrics_json(store, job.id, &metrics, err));
    if (!progress)
        progress = json_incref(json_object_get(job.body, "progress"));
    json_t *loss = json_object_get(progress, "loss");
    CLEANUP(freep) char *logs = xasprintf("/training-jobs/%s/logs", job.id);
    int64_t iteration = json_get_int(progress, "iteration", 0);
    int64_t max_iterations =
        json_get_int(progress, "max_iterations", json_get_int(job.body, "max-iterations", 0));
    json_t *answer =
        json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", job.id, "state", document_state_word(job.state),
                  "detail", document_state_name(job.state), "processing-log",
                  json_get_string(job.body, "processing-log", ""), "logs", logs);
    json_object_set(answer, "loss", loss ? loss : json_null());
    json_object_set_new(answer, "last-iteration", json_integer(iteration));
    json_object_set_new(answer, "max-iterations", json_integer(max_iterations));
    json_t *accuracy = json_object_get(progress, "accuracy");
    json_t *speed = json_object_get(progress, "images_per_second");
    json_object_set(answer, "accuracy", accuracy ? accuracy : json_null());
    json_object_set(answer, "images-per-second", speed ? speed : json_null());
    json_object_set_new(answer, "seconds-left", seconds_left(r, job.id, iteration, max_iterations));
    json_object_set(answer, "metrics", metrics);
    response_json(response, 200, answer);
    return OK;
}

const struct route training_job_routes[] = {
    {"POST", "/training-jobs", training_job_create, SCOPE_USER, BODY_JSON, "Queue a training job.",
     training_job_in, training_job_out, 201, .json_max = ARRAY_BODY_MAX},
    {"GET", "/training-jobs", resource_list, SCOPE_USER, BODY_NONE, "List training jobs.", NULL, list_fields,
     200, list_query},
    {"GET", "/training-jobs/{id}", resource_get, SCOPE_USER, BODY_NONE, "One training job.", NULL,
     training_job_out, 200},
    {"GET", "/training-jobs/{id}/status", training_job_status, SCOPE_USER, BODY_NONE, "How far it has come.",
     NULL, status_out, 200},
    {"GET", "/training-jobs/{id}/logs", resource_logs, SCOPE_USER, BODY_NONE,
     "Standard error of all attempts so far, as text; Range is honoured.", NULL, NULL, 200, log_query},
    {"GET", "/training-jobs/{id}/metrics", resource_metrics, SCOPE_USER, BODY_NONE,
     "What it measured: as told, what is new, or thinned for a plot.", NULL, metrics_out, 200, metrics_query},
    {"DELETE", "/training-jobs/{id}", resource_delete, SCOPE_USER, BODY_NONE, "Delete a training job.", NULL,
     NULL, 204},
    {"POST", "/training-jobs/{id}/cancel", resource_cancel, SCOPE_USER, BODY_JSON, "Stop training.",
     cancel_in, cancel_fields, 200},
    {NULL},
};
