/*
 * jobs.c - scripts: a program of the user's or the operator's, run by a
 * worker in its sandbox (docs/scripts.md).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/arrays.h"
#include "api/job_inputs.h"
#include "api/job_options.h"
#include "base/file.h"
#include "base/size.h"

#define PARAMETERS_MAX 100000 /* the kernel takes 128 KiB as one argument */
#define NESTING_MAX    80

/* What the client asks for and is shown again. */
#define ASKED_ROWS                                                                                           \
    {"parameters", FIELD_OBJECT, 0, "Given to the script as its argument and as parameters.json.",           \
     .otherwise = "{}"},                                                                                     \
        {"inputs",                                                                                           \
         FIELD_ARRAY,                                                                                        \
         0,                                                                                                  \
         "Files laid into inputs/.",                                                                         \
         .max = INPUTS_MAX,                                                                                  \
         .otherwise = "[]",                                                                                  \
         .fields = job_input_rows},                                                                          \
        {"entry",     FIELD_STRING,                                                                          \
         0,           "File of a bundle to run; else run, run.py, run.sh, main, main.py, main.sh.",          \
         .max = 1000, .otherwise = "\"\""},                                                                  \
        {"cpu", FIELD_INT, 0, "Processors wanted; 0: what its pool has.", .max = 100000, .otherwise = "0"},  \
        {"memory",    FIELD_INT,       0, "Bytes of memory for all its processes; 0: what its pool has.",    \
         .max = 1e15, .otherwise = "0"},                                                                     \
        {"gpu", FIELD_INT, 0, "GPUs wanted.", .max = 1000, .otherwise = "0"},                                \
        {"max-seconds",   FIELD_INT,       0, "Fail the job when an attempt takes longer; 0 is no limit.",   \
         .max = 31536000, .otherwise = "0"},                                                                 \
    {                                                                                                        \
        "network", FIELD_BOOL, 0, "Let it reach the network, where the operator allows that.",               \
            .otherwise = "false"                                                                             \
    }

static const struct field job_in[] = {
    {"script", FIELD_STRING, 0, "Name of a script that the operator installed; or a file part.", .min = 1,
     .max = 100},
    {"script-of", FIELD_ID, 0, "Instead: a job whose script is to be run again.", .of = "job"},
    ASKED_ROWS,
    JOB_OPTION_ROWS,
    ARRAY_ROW,
    {NULL},
};

static const struct field artifact_fields[] = {
    {"name", FIELD_STRING, READ_ONLY, "Its name."},
    {"url", FIELD_STRING, READ_ONLY, "cbfs://ID/NAME is found at /blobs/ID/NAME."},
    {"size", FIELD_INT, READ_ONLY, "Bytes."},
    {NULL},
};
static const struct field artifact_rows[] = {
    {"*", FIELD_OBJECT, READ_ONLY, "A file that the script left in artifacts/.", .fields = artifact_fields},
    {NULL},
};

static const struct field job_out[] = {
    DOCUMENT_ROWS,
    PROCESSED_ROWS,
    {"script", FIELD_STRING, READ_ONLY, "Name of the script's file."},
    ASKED_ROWS,
    JOB_OPTION_OUT_ROWS,
    {"pool", FIELD_STRING, READ_ONLY, "Pool of workers that takes it."},
    {"exit-status", FIELD_INT, READ_ONLY | NULLABLE, "Of the script, when it ended by itself."},
    {"signal", FIELD_STRING, READ_ONLY | NULLABLE, "That ended it."},
    {"result", FIELD_OBJECT, READ_ONLY | NULLABLE,
     "Last JSON object on a line of its own that is no metric."},
    {"artifacts", FIELD_ARRAY, READ_ONLY, "Files that it left.", .otherwise = "[]", .fields = artifact_rows},
    {"std-out-url", FIELD_STRING, READ_ONLY, "Standard output, when it is over.", .otherwise = "\"\""},
    {"std-err-url", FIELD_STRING, READ_ONLY, "The log, both streams as they came, when it is over.",
     .otherwise = "\"\""},
    {NULL},
};

const struct resource resource_job = {
    .type = "job", .collection = "jobs", .fields = job_out, .processed = true};

static const char *const job_files[] = {"script", NULL};

/* ---- the script ---- */

static enum status copy_in(struct store *store, int fd, const char *name, int64_t now_ms,
                           struct blob *ret_blob, struct error *err)
{
    CLEANUP(blob_abortp) struct blob_writer *writer = NULL;
    TRY(blob_begin(store, &writer, err));
    char part[65536];
    ssize_t n;
    while ((n = read(fd, part, sizeof part)) > 0)
        TRY(blob_write(writer, part, (size_t)n, err));
    if (n < 0)
        return error_set(err, FAILED, "cannot read script '%s': %s", name, strerror(errno));
    return blob_commit(TAKE(writer), NULL, now_ms, ret_blob, err);
}

/* A script of the operator's: a plain name in the folder that they named. */
static enum status find_installed(struct request *r, const char *name, struct blob *ret_blob,
                                  struct error *err)
{
    const char *folder = api_scripts(r->api);
    CLEANUP(freep) char *plain = blob_name_from(name);
    if (!folder)
        return error_set(err, INVALID,
                         "no scripts are installed here; send the script itself as a file part");
    if (strcmp(plain, name) || *name == '.')
        return error_set(err, INVALID, "'%.100s' is no plain name of a script", name);
    CLEANUP(freep) char *path = path_join(folder, name);
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode))
        return error_set(err, INVALID, "no script '%.100s' is installed here", name);
    return copy_in(api_store(r->api), fd, name, r->now_ms, ret_blob, err);
}

/* That of another job of theirs. */
static enum status find_of_job(struct request *r, struct response *response, const char *id, char **ret_name,
                               struct blob *ret_blob, struct error *err)
{
    CLEANUP(document_release) struct document job = {0};
    TRY(resource_find_named(r, response, &resource_job, "/script-of", id, &job, err));
    TRY(blob_ref_get(api_store(r->api), job.id, SCRIPT_BLOB, ret_blob, err));
    *ret_name = xstrdup(json_get_string(job.body, "script", SCRIPT_BLOB));
    return OK;
}

/* *ret_name: the file's name, for the caller to free. */
static enum status find_script(struct request *r, struct response *response, const json_t *in,
                               char **ret_name, struct blob *ret_blob, struct error *err)
{
    const struct upload *upload = request_upload(r, "script");
    const char *name = json_get_string(in, "script", NULL), *of = json_get_string(in, "script-of", NULL);
    if (upload) {
        *ret_blob = (struct blob){.size = upload->size};
        memcpy(ret_blob->sha256, upload->sha256, sizeof ret_blob->sha256);
        *ret_name = blob_name_from(upload->file_name);
        return OK;
    }
    if (of && !name)
        return find_of_job(r, response, of, ret_name, ret_blob, err);
    if (!name)
        return problem_at(response, "/script", err, INVALID,
                          "'script' is missing: expected a file part, the name of an installed script, or "
                          "'script-of'");
    if (find_installed(r, name, ret_blob, err) != OK)
        return problem_of_field(response, "/script", err);
    *ret_name = xstrdup(name);
    return OK;
}

/* ---- what it asks for ---- */

static enum status choose_pool(const struct request *r, const json_t *in, const char **ret_pool,
                               struct error *err)
{
    int cpus = (int)json_get_int(in, "cpu", 0), gpus = (int)json_get_int(in, "gpu", 0);
    int64_t memory = json_get_int(in, "memory", 0);
    const struct pool_size *pool = pools_fit(api_pools(r->api), cpus, memory, gpus);
    char there[POOLS_TEXT_MAX], size[SIZE_TEXT_MAX];
    if (!pool)
        return error_set(err, INVALID,
                         "no pool of workers holds a job of %d cpus, %s of memory and %d gpus; there are: %s",
                         cpus, size_text(memory, size), gpus, pools_text(api_pools(r->api), there));
    *ret_pool = pool->name;
    return OK;
}

/* Does the path stay below the bundle's folder? */
static bool is_below(const char *path)
{
    CLEANUP(freep) char *copy = xstrdup(path);
    char *rest = copy;
    for (char *part; (part = strsep(&rest, "/"));)
        if (!*part || !strcmp(part, ".."))
            return false;
    return true;
}

static enum status too_long(size_t size, struct error *err)
{
    return error_set(err, INVALID,
                     "parameters take %zu bytes as JSON, and at most %d are possible: send more as an input",
                     size, PARAMETERS_MAX);
}

/* Levels of arrays and objects; at most one more than `most`. */
static int depth_of(const json_t *json, int most)
{
    int deepest = 0;
    size_t i;
    const char *key;
    json_t *inner;
    if (!most || (!json_is_object(json) && !json_is_array(json)))
        return json_is_object(json) || json_is_array(json);
    json_array_foreach((json_t *)(uintptr_t)json, i, inner) {
        int depth = depth_of(inner, most - 1);
        deepest = MAX(deepest, depth);
    }
    json_object_foreach((json_t *)(uintptr_t)json, key, inner) {
        int depth = depth_of(inner, most - 1);
        deepest = MAX(deepest, depth);
    }
    return deepest + 1;
}

/* What contains them must still be read. */
static enum status check_depth(const json_t *parameters, struct error *err)
{
    if (depth_of(parameters, NESTING_MAX) <= NESTING_MAX)
        return OK;
    return error_set(err, INVALID, "parameters nest deeper than %d levels", NESTING_MAX);
}

static size_t text_size(const json_t *json)
{
    return json ? json_dumpb(json, NULL, 0, JSON_COMPACT) : 0;
}

static enum status check_asked(const struct request *r, struct response *response, const json_t *in,
                               const char **ret_pool, struct error *err)
{
    size_t size = text_size(json_object_get(in, "parameters"));
    const char *entry = json_get_string(in, "entry", "");
    if (size > PARAMETERS_MAX)
        return too_long(size, err), problem_of_field(response, "/parameters", err);
    if (check_depth(json_object_get(in, "parameters"), err) != OK)
        return problem_of_field(response, "/parameters", err);
    if (*entry && !is_below(entry))
        return problem_at(response, "/entry", err, INVALID, "entry '%.100s' is no path in the bundle", entry);
    if (json_get_bool(in, "network", false) && !api_scripts_network(r->api))
        return problem_at(response, "/network", err, INVALID,
                          "this service lets no script reach the network (et serve --script-network would)");
    return choose_pool(r, in, ret_pool, err);
}

static json_t *script_spec(const json_t *in, const struct inputs *inputs, const char *id, const char *file)
{
    static const char *const same[] = {"entry", "parameters", "cpu", "memory", "gpu", "network"};
    json_t *spec = json_pack("{s:s, s:O}", "file", file, "inputs", inputs->names);
    for (size_t i = 0; i < ARRAY_SIZE(same); i++)
        json_object_set(spec, same[i], json_object_get(in, same[i]));
    json_array_append_new(inputs->leased, job_input(SCRIPT_BLOB, id, SCRIPT_BLOB, false));
    return json_pack("{s:o, s:O, s:O}", "spec", spec, "inputs", inputs->leased, "max_seconds",
                     json_object_get(in, "max-seconds"));
}

static json_t *script_body(const json_t *in, const struct inputs *inputs, const char *file, const char *pool)
{
    json_t *body = json_copy((json_t *)(uintptr_t)in);
    json_object_del(body, "array");
    json_object_del(body, "script-of");
    json_object_set_new(body, "script", json_string(file));
    json_object_set_new(body, "pool", json_string(pool));
    json_object_set(body, "inputs", inputs->shown);
    return body;
}

/* A plan's own. */
struct script {
    struct inputs inputs;
    char *file;
    struct blob bytes;
    struct blob_ref blob;
};

static void script_free(void *own)
{
    struct script *s = own;
    inputs_release(&s->inputs);
    free(s->file);
    free(s);
}

static enum status script_plan(struct request *r, struct response *response, const json_t *in,
                               struct job_plan *p, struct error *err)
{
    struct script *s = p->own = xcalloc(1, sizeof(*s));
    p->release_own = script_free;
    const char *pool = NULL;
    TRY(check_asked(r, response, in, &pool, err));
    TRY(inputs_read(r, response, json_object_get(in, "inputs"), &s->inputs, err));
    TRY(find_script(r, response, in, &s->file, &s->bytes, err));
    id_new(p->id);
    p->spec = script_spec(in, &s->inputs, p->id, s->file);
    p->body = script_body(in, &s->inputs, s->file, pool);
    p->job = (struct new_job){
        .kind = "script",
        .pool = pool,
        .spec = p->spec,
        .max_ms = 1000 * json_get_int(in, "max-seconds", 0),
    };
    TRY(job_options_read(r, response, in, s->inputs.jobs, s->inputs.n_jobs, &p->job, &p->after, err));
    s->blob = (struct blob_ref){SCRIPT_BLOB, s->bytes.sha256};
    p->document = (struct new_document){
        .id = p->id,
        .type = resource_job.type,
        .body = p->body,
        .job = &p->job,
        .refs = (const char *const *)s->inputs.ids,
        .n_refs = s->inputs.n,
        .blobs = &s->blob,
        .n_blobs = 1,
    };
    return OK;
}

/* Parameters of an element are merged into those of all. */
static enum status script_vary(struct request *r, struct job_plan *plan, const json_t *parameters,
                               json_t **ret_patch, struct error *err)
{
    (void)r;
    size_t size = text_size(json_object_get(plan->body, "parameters")) + text_size(parameters);
    if (size > PARAMETERS_MAX)
        return too_long(size, err);
    TRY(check_depth(parameters, err));
    *ret_patch = json_pack("{s:{s:O}, s:{s:{s:O}}}", "body", "parameters", parameters, "spec", "spec",
                           "parameters", parameters);
    return OK;
}

const struct job_maker script_job_maker = {
    .resource = &resource_job, .in = job_in, .plan = script_plan, .vary = script_vary};

static enum status job_create(struct request *r, struct response *response, struct error *err)
{
    return job_create_request(r, response, &script_job_maker, r->body, err);
}

const struct route job_routes[] = {
    {"POST", "/jobs", job_create, SCOPE_USER, BODY_DOCUMENT, "Queue a script.", job_in, job_out, 201,
     .files = job_files, .json_max = ARRAY_BODY_MAX},
    {"GET", "/jobs", resource_list, SCOPE_USER, BODY_NONE, "List scripts' jobs.", NULL, list_fields, 200,
     list_query},
    {"GET", "/jobs/{id}", resource_get, SCOPE_USER, BODY_NONE, "One script's job.", NULL, job_out, 200},
    {"GET", "/jobs/{id}/logs", resource_logs, SCOPE_USER, BODY_NONE,
     "What it printed, all attempts so far, as text; Range is honoured.", NULL, NULL, 200, log_query},
    {"GET", "/jobs/{id}/metrics", resource_metrics, SCOPE_USER, BODY_NONE,
     "What it measured: as told, what is new, or thinned for a plot.", NULL, metrics_out, 200, metrics_query},
    {"DELETE", "/jobs/{id}", resource_delete, SCOPE_USER, BODY_NONE, "Delete a script's job.", NULL, NULL,
     204},
    {"POST", "/jobs/{id}/cancel", resource_cancel, SCOPE_USER, BODY_JSON, "Stop a script.", cancel_in,
     cancel_fields, 200},
    {NULL},
};
