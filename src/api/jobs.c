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

#include "api/job_options.h"
#include "base/file.h"
#include "base/size.h"

#define INPUTS_MAX     100
#define PARAMETERS_MAX 100000 /* the kernel takes 128 KiB as one argument */
#define SCRIPT_BLOB    "script"

static const struct field job_input_fields[] = {
    {"id", FIELD_STRING, REQUIRED, "A datafile, training job, job, or other document that has files.",
     .min = 1, .max = DOCUMENT_ID_MAX - 1},
    {"file", FIELD_STRING, 0,
     "Which of its files; a datafile has one, a training job its trained.caffemodel.", .min = 1, .max = 128},
    {"name", FIELD_STRING, 0, "Its name in inputs/; that of the file.", .min = 1, .max = 100},
    {NULL},
};
static const struct field job_input_rows[] = {
    {"*", FIELD_OBJECT, 0, "An input.", .fields = job_input_fields},
    {NULL},
};

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
    {"script", FIELD_STRING, REQUIRED, "Name of a script that the operator installed; or a file part.",
     .min = 1, .max = 100},
    ASKED_ROWS,
    JOB_OPTION_ROWS,
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

/* *ret_name: the file's name, for the caller to free. */
static enum status find_script(struct request *r, struct response *response, char **ret_name,
                               struct blob *ret_blob, struct error *err)
{
    const struct upload *upload = request_upload(r, "script");
    if (upload) {
        *ret_blob = (struct blob){.size = upload->size};
        memcpy(ret_blob->sha256, upload->sha256, sizeof ret_blob->sha256);
        *ret_name = blob_name_from(upload->file_name);
        return OK;
    }
    const char *name = json_get_string(r->body, "script", "");
    if (find_installed(r, name, ret_blob, err) != OK)
        return problem_of_field(response, "/script", err);
    *ret_name = xstrdup(name);
    return OK;
}

/* ---- inputs ---- */

struct inputs {
    int n;
    char *ids[INPUTS_MAX];
    const char *jobs[INPUTS_MAX]; /* those of ids that may have to be waited for */
    int n_jobs;
    json_t *names;  /* array, for the worker */
    json_t *shown;  /* array, for the document */
    json_t *leased; /* array of job_input() */
};

static void inputs_release(struct inputs *in)
{
    for (int i = 0; i < in->n; i++)
        free(in->ids[i]);
    json_decref(in->names);
    json_decref(in->shown);
    json_decref(in->leased);
}

static const char *usual_file(const struct document *document)
{
    if (!strcmp(document->type, "datafile"))
        return json_get_string(document->body, "file-name", NULL);
    return strcmp(document->type, "training-job") ? NULL : "trained.caffemodel";
}

static bool has_name(const struct inputs *in, const char *name)
{
    size_t i;
    json_t *other;
    json_array_foreach(in->names, i, other)
        if (!strcmp(json_string_value(other), name))
            return true;
    return false;
}

static void note_document(struct inputs *in, const struct document *document)
{
    for (int i = 0; i < in->n; i++)
        if (!strcmp(in->ids[i], document->id))
            return;
    in->ids[in->n++] = xstrdup(document->id);
    if (resource_of_type(document->type)->processed)
        in->jobs[in->n_jobs++] = in->ids[in->n - 1];
}

static enum status input_add(struct request *r, struct inputs *in, const json_t *asked, struct error *err)
{
    CLEANUP(document_release) struct document document = {0};
    const char *id = json_get_string(asked, "id", "");
    if (document_get(api_store(r->api), r->who.owner, id, &document, err) != OK ||
        document.state == STATE_DELETED || !resource_of_type(document.type))
        return error_set(err, INVALID, "no document '%.64s'", id);
    const char *file = json_get_string(asked, "file", usual_file(&document));
    if (!file)
        return error_set(err, INVALID, "'%s' is a %s: say which of its files, as file", id, document.type);
    const char *name = json_get_string(asked, "name", file);
    CLEANUP(freep) char *plain = blob_name_from(name);
    if (strcmp(plain, name) || *name == '.' || !strcmp(name, SCRIPT_BLOB))
        return error_set(
            err, INVALID,
            "'%.100s' is no name for an input: letters, digits, '.', '_' and '-' are, but no dot "
            "first, and not 'script'",
            name);
    if (has_name(in, name))
        return error_set(err, INVALID, "two inputs are named '%s'", name);
    note_document(in, &document);
    json_array_append_new(in->names, json_string(name));
    json_array_append_new(in->leased, job_input(name, document.id, file, false));
    json_array_append_new(in->shown, json_pack("{s:s, s:s, s:s}", "id", id, "file", file, "name", name));
    return OK;
}

static enum status inputs_read(struct request *r, struct response *response, struct inputs *in,
                               struct error *err)
{
    in->names = json_array();
    in->shown = json_array();
    in->leased = json_array();
    size_t i;
    json_t *asked;
    json_array_foreach(json_object_get(r->body, "inputs"), i, asked) {
        CLEANUP(freep) char *pointer = xasprintf("/inputs/%zu", i);
        if (input_add(r, in, asked, err) != OK)
            return problem_of_field(response, pointer, err);
    }
    return OK;
}

/* ---- what it asks for ---- */

static enum status choose_pool(struct request *r, const char **ret_pool, struct error *err)
{
    int cpus = (int)json_get_int(r->body, "cpu", 0), gpus = (int)json_get_int(r->body, "gpu", 0);
    int64_t memory = json_get_int(r->body, "memory", 0);
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

static enum status check_asked(struct request *r, struct response *response, const char **ret_pool,
                               struct error *err)
{
    CLEANUP(freep) char *parameters = json_text(json_object_get(r->body, "parameters"));
    const char *entry = json_get_string(r->body, "entry", "");
    if (strlen(parameters) > PARAMETERS_MAX)
        return problem_at(
            response, "/parameters", err, INVALID,
            "parameters take %zu bytes as JSON, and at most %d are possible: send more as an input",
            strlen(parameters), PARAMETERS_MAX);
    if (*entry && !is_below(entry))
        return problem_at(response, "/entry", err, INVALID, "entry '%.100s' is no path in the bundle", entry);
    if (json_get_bool(r->body, "network", false) && !api_scripts_network(r->api))
        return problem_at(response, "/network", err, INVALID,
                          "this service lets no script reach the network (et serve --script-network would)");
    return choose_pool(r, ret_pool, err);
}

static json_t *script_spec(const struct request *r, const struct inputs *inputs, const char *id,
                           const char *file)
{
    static const char *const same[] = {"entry", "parameters", "cpu", "memory", "gpu", "network"};
    json_t *spec = json_pack("{s:s, s:O}", "file", file, "inputs", inputs->names);
    for (size_t i = 0; i < ARRAY_SIZE(same); i++)
        json_object_set(spec, same[i], json_object_get(r->body, same[i]));
    json_array_append_new(inputs->leased, job_input(SCRIPT_BLOB, id, SCRIPT_BLOB, false));
    return json_pack("{s:o, s:O, s:O}", "spec", spec, "inputs", inputs->leased, "max_seconds",
                     json_object_get(r->body, "max-seconds"));
}

static enum status job_create(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(inputs_release) struct inputs inputs = {0};
    CLEANUP(freep) char *file = NULL;
    struct blob script;
    const char *pool = NULL;
    TRY(check_asked(r, response, &pool, err));
    TRY(inputs_read(r, response, &inputs, err));
    TRY(find_script(r, response, &file, &script, err));
    char id[ID_MAX];
    id_new(id);
    CLEANUP(json_decrefp) json_t *spec = script_spec(r, &inputs, id, file);
    CLEANUP(json_decrefp) json_t *body = json_copy(r->body);
    json_object_set_new(body, "script", json_string(file));
    json_object_set_new(body, "pool", json_string(pool));
    json_object_set(body, "inputs", inputs.shown);
    struct new_job job = {
        .kind = "script",
        .pool = pool,
        .spec = spec,
        .max_ms = 1000 * json_get_int(r->body, "max-seconds", 0),
    };
    CLEANUP(freep) const char **after = NULL;
    TRY(job_options_read(r, response, r->body, inputs.jobs, inputs.n_jobs, &job, &after, err));
    struct blob_ref blob = {SCRIPT_BLOB, script.sha256};
    struct new_document document = {
        .id = id,
        .body = body,
        .job = &job,
        .refs = (const char *const *)inputs.ids,
        .n_refs = inputs.n,
        .blobs = &blob,
        .n_blobs = 1,
    };
    return resource_create(r, response, &resource_job, &document, err);
}

const struct route job_routes[] = {
    {"POST", "/jobs", job_create, SCOPE_USER, BODY_DOCUMENT, "Queue a script.", job_in, job_out, 201,
     .files = job_files},
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
