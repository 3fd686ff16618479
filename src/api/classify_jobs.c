/*
 * classify_jobs.c - images, classified by a worker.
 */
#include <stdlib.h>
#include <string.h>

#include "api/arrays.h"
#include "api/job_options.h"
#include "api/specification.h"

#define IMAGES_MAX 1000 /* in one job */

static const struct field label_fields[] = {
    {"*", FIELD_STRING, READ_ONLY, "Label; pending; or error: and the reason."},
    {NULL},
};
static const struct field score_fields[] = {
    {"*", FIELD_NUMBER, READ_ONLY, "The net's output for the label."},
    {NULL},
};

static const struct field classify_job_out[] = {
    DOCUMENT_ROWS,
    PROCESSED_ROWS,
    {"classifier-id", FIELD_STRING, READ_ONLY, "Classifier that is used."},
    {"urls", FIELD_ARRAY, READ_ONLY, "Images that were asked for by URL."},
    {"std-out-url", FIELD_STRING, READ_ONLY, "Standard output, when it is over.", .otherwise = "\"\""},
    {"std-err-url", FIELD_STRING, READ_ONLY, "Standard error, when it is over.", .otherwise = "\"\""},
    {"results", FIELD_OBJECT, READ_ONLY,
     "SHA-1 of the URL or of the file's bytes, and the label; while pending after cbfs://ID/.",
     .fields = label_fields},
    {"scores", FIELD_OBJECT, READ_ONLY, "The same with the net's output for the label.",
     .fields = score_fields},
    {"skipped", FIELD_INT, READ_ONLY, "Images that could not be read."},
    JOB_OPTION_OUT_ROWS,
    {"max-seconds", FIELD_INT, READ_ONLY, "Limit of an attempt; 0 is none."},
    {"parameters", FIELD_OBJECT, READ_ONLY, "What an array gave this job."},
    {NULL},
};

static const struct field url_fields[] = {
    {"*", FIELD_URL, 0, "An image."},
    {NULL},
};
/* An element of an array. */
static const struct field classify_set[] = {
    {"urls", FIELD_ARRAY, REQUIRED, "Images beside those of all.", .min = 1, .max = IMAGES_MAX,
     .fields = url_fields},
    {NULL},
};
#define CLASSIFY_ROWS                                                                                        \
    {"urls",                                                                                                 \
     FIELD_ARRAY,                                                                                            \
     0,                                                                                                      \
     "Images to classify; in a form: repeated urls and files.",                                              \
     .max = IMAGES_MAX,                                                                                      \
     .fields = url_fields},                                                                                  \
        {"max-seconds",   FIELD_INT,       0, "Fail the job when an attempt takes longer; 0 is no limit.",   \
         .max = 31536000, .otherwise = "0"},                                                                 \
        JOB_OPTION_ROWS, ARRAY_ROW
static const struct field classify_in[] = {CLASSIFY_ROWS, {NULL}};
/* The same where no path says which classifier. */
static const struct field classify_job_in[] = {
    {"classifier-id", FIELD_ID, REQUIRED, "Classifier to use.", .of = "classifier"},
    CLASSIFY_ROWS,
    {NULL},
};

const struct resource resource_classify_job = {
    .type = "classify-job", .collection = "classify-jobs", .fields = classify_job_out, .processed = true};

static const char *const classify_files[] = {"files", NULL};

/* What one request wants classified, each image once. */
struct batch {
    char id[ID_MAX]; /* of the job to be */
    json_t *images, *inputs, *results;
    struct blob_ref *blobs;
    int n_blobs;
};

static void batch_release(struct batch *b)
{
    json_decref(b->images);
    json_decref(b->inputs);
    json_decref(b->results);
    free(b->blobs);
}

static void batch_init(struct batch *b, int n_files)
{
    b->images = json_array();
    b->inputs = json_array();
    b->results = json_object();
    b->blobs = xcalloc((size_t)n_files + 1, sizeof *b->blobs);
}

/* False when the image is in the batch already. */
static bool batch_add(struct batch *b, const char *sha1)
{
    CLEANUP(freep) char *key = blob_url(b->id, sha1);
    if (json_object_get(b->results, key))
        return false;
    json_object_set_new(b->results, key, json_string("pending"));
    return true;
}

static enum status batch_add_url(const struct request *r, struct batch *b, const char *url, struct error *err)
{
    TRY(url_check(url, api_allows_private_urls(r->api), err));
    char sha1[HASH_HEX_MAX];
    hash_bytes(HASH_SHA1, url, strlen(url), sha1);
    if (batch_add(b, sha1))
        json_array_append_new(b->images, json_pack("{s:s, s:s}", "key", sha1, "url", url));
    return OK;
}

static void batch_add_file(struct batch *b, const struct upload *file)
{
    if (!batch_add(b, file->sha1))
        return;
    json_array_append_new(b->images, json_pack("{s:s, s:s}", "key", file->sha1, "input", file->sha1));
    json_array_append_new(b->inputs, job_input(file->sha1, b->id, file->sha1, false));
    b->blobs[b->n_blobs++] = (struct blob_ref){file->sha1, file->sha256};
}

static enum status batch_add_urls(const struct request *r, struct batch *b, const json_t *urls,
                                  struct error *err)
{
    size_t i;
    json_t *url;
    json_array_foreach((json_t *)(uintptr_t)urls, i, url)
        TRY(batch_add_url(r, b, json_string_value(url), err));
    if (json_array_size(b->images) > IMAGES_MAX)
        return error_set(err, INVALID, "%zu images; one job classifies at most %d",
                         json_array_size(b->images), IMAGES_MAX);
    return OK;
}

static enum status batch_read(const struct request *r, struct response *response, const json_t *in,
                              struct batch *b, struct error *err)
{
    size_t wanted = json_array_size(json_object_get(in, "urls")) + (size_t)r->n_uploads;
    batch_init(b, r->n_uploads);
    if (wanted > IMAGES_MAX)
        return error_set(err, INVALID, "%zu images; one job classifies at most %d", wanted, IMAGES_MAX);
    if (batch_add_urls(r, b, json_object_get(in, "urls"), err) != OK)
        return problem_of_field(response, "/urls", err);
    for (int k = 0; k < r->n_uploads; k++)
        batch_add_file(b, &r->uploads[k]);
    if (!json_array_size(b->images) && !json_object_get(in, "array"))
        return error_set(err, INVALID, "nothing to classify: send urls, files, or both");
    return OK;
}

/* What the job is queued with; the labels are those of the training job when it is leased.  New. */
static json_t *classify_spec(const struct batch *b, const struct document *classifier,
                             const char *training_job, const json_t *in)
{
    const json_t *is = classifier->body;
    json_array_append_new(b->inputs,
                          job_input(CLASSIFIER_PROTOTXT, classifier->id, CLASSIFIER_PROTOTXT, false));
    json_array_append_new(b->inputs,
                          job_input("trained.caffemodel", training_job, "trained.caffemodel", false));
    json_t *spec = json_object();
    json_object_set(spec, "images", b->images);
    json_object_set_new(spec, "scale", json_real(field_number(json_object_get(is, "scale"))));
    json_object_set_new(spec, "width", json_integer((int)field_number(json_object_get(is, "image-width"))));
    json_object_set_new(spec, "height", json_integer((int)field_number(json_object_get(is, "image-height"))));
    json_object_set_new(spec, "color", json_boolean(json_get_bool(is, "color", false)));
    return json_pack("{s:o, s:O, s:s, s:I}", "spec", spec, "inputs", b->inputs, "labels-of", training_job,
                     "max_seconds", (json_int_t)json_get_int(in, "max-seconds", 0));
}

/* The document of a classify job, with all that it lends; not to be moved.  in: the request, or NULL. */
struct classify_document {
    struct new_document document;
    struct new_job job;
    const char *after[1], *refs[1];
    json_t *spec, *body;
};

static void classify_document_release(struct classify_document *d)
{
    json_decref(d->spec);
    json_decref(d->body);
}

static void classify_document_init(struct classify_document *d, const struct batch *b,
                                   const struct document *classifier, const json_t *in)
{
    const char *training_job = json_get_string(classifier->body, "training-job-id", "");
    *d = (struct classify_document){.after = {training_job}, .refs = {classifier->id}};
    d->spec = classify_spec(b, classifier, training_job, in);
    d->body = in ? json_copy((json_t *)(uintptr_t)in) : json_object();
    json_object_del(d->body, "array");
    json_object_set_new(d->body, "classifier-id", json_string(classifier->id));
    json_object_set(d->body, "results", b->results);
    d->job = (struct new_job){.kind = "classify",
                              .spec = d->spec,
                              .after = d->after,
                              .n_after = 1,
                              .max_ms = 1000 * json_get_int(in, "max-seconds", 0)};
    d->document = (struct new_document){
        .id = b->id,
        .type = resource_classify_job.type,
        .body = d->body,
        .job = &d->job,
        .refs = d->refs,
        .n_refs = 1,
        .blobs = b->blobs,
        .n_blobs = b->n_blobs,
    };
}

/* A plan's own. */
struct classifying {
    struct document classifier;
    struct batch batch;
    struct classify_document made;
};

static void classifying_free(void *own)
{
    struct classifying *c = own;
    classify_document_release(&c->made);
    batch_release(&c->batch);
    document_release(&c->classifier);
    free(c);
}

static enum status classify_plan(struct request *r, struct response *response, const json_t *in,
                                 struct job_plan *p, struct error *err)
{
    struct classifying *c = p->own = xcalloc(1, sizeof(*c));
    p->release_own = classifying_free;
    TRY(resource_find_named(r, response, &resource_classifier, "/classifier-id",
                            json_get_string(in, "classifier-id", ""), &c->classifier, err));
    id_new(p->id);
    memcpy(c->batch.id, p->id, sizeof(c->batch.id));
    TRY(batch_read(r, response, in, &c->batch, err));
    classify_document_init(&c->made, &c->batch, &c->classifier, in);
    p->job = c->made.job;
    TRY(job_options_read(r, response, in, c->made.after, 1, &p->job, &p->after, err));
    p->body = json_incref(c->made.body);
    p->document = c->made.document;
    p->document.job = &p->job;
    return OK;
}

/* An element has images of its own beside those of all. */
static enum status classify_vary(struct request *r, struct job_plan *plan, const json_t *parameters,
                                 json_t **ret_patch, struct error *err)
{
    const struct classifying *c = plan->own;
    CLEANUP(json_decrefp) json_t *set = NULL;
    CLEANUP(batch_release) struct batch batch = {0};
    TRY(fields_decode(classify_set, NULL, parameters, &set, NULL, err));
    memcpy(batch.id, plan->id, sizeof(batch.id));
    batch_init(&batch, 0);
    json_object_update(batch.results, c->batch.results);
    json_array_extend(batch.images, c->batch.images);
    TRY(batch_add_urls(r, &batch, json_object_get(set, "urls"), err));
    *ret_patch = json_pack("{s:{s:O, s:O}, s:{s:{s:O}}}", "body", "parameters", set, "results", batch.results,
                           "spec", "spec", "images", batch.images);
    return OK;
}

const struct job_maker classify_job_maker = {
    .resource = &resource_classify_job, .in = classify_job_in, .plan = classify_plan, .vary = classify_vary};

static enum status classify(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(document_release) struct document classifier = {0};
    TRY(resource_find(r, &resource_classifier, r->args[0], &classifier, err));
    CLEANUP(json_decrefp) json_t *in = json_copy(r->body);
    json_object_set_new(in, "classifier-id", json_string(classifier.id));
    return job_create_request(r, response, &classify_job_maker, in, err);
}

enum status classify_picture(struct store *store, const char *owner, const char *classifier_id,
                             const struct upload *picture, int64_t now_ms, char ret_job[ID_MAX],
                             struct error *err)
{
    CLEANUP(document_release) struct document classifier = {0};
    TRY(classifier_check(store, owner, classifier_id, err));
    TRY(document_get(store, owner, classifier_id, &classifier, err));
    CLEANUP(batch_release) struct batch batch = {0};
    id_new(batch.id);
    batch_init(&batch, 1);
    batch_add_file(&batch, picture);
    CLEANUP(classify_document_release) struct classify_document made;
    classify_document_init(&made, &batch, &classifier, NULL);
    TRY(documents_create(store, owner, &made.document, 1, NULL, now_ms, NULL, err));
    memcpy(ret_job, batch.id, ID_MAX);
    return OK;
}

const struct route classify_job_routes[] = {
    {"POST", "/classifiers/{id}/classify", classify, SCOPE_USER, BODY_FORM, "Classify images.", classify_in,
     classify_job_out, 201, .files = classify_files, .json_max = ARRAY_BODY_MAX},
    {"GET", "/classify-jobs", resource_list, SCOPE_USER, BODY_NONE, "List classify jobs.", NULL, list_fields,
     200, list_query},
    {"GET", "/classify-jobs/{id}", resource_get, SCOPE_USER, BODY_NONE, "One classify job.", NULL,
     classify_job_out, 200},
    {"GET", "/classify-jobs/{id}/logs", resource_logs, SCOPE_USER, BODY_NONE,
     "Standard error of all attempts so far, as text; Range is honoured.", NULL, NULL, 200, log_query},
    {"DELETE", "/classify-jobs/{id}", resource_delete, SCOPE_USER, BODY_NONE, "Delete a classify job.", NULL,
     NULL, 204},
    {"POST", "/classify-jobs/{id}/cancel", resource_cancel, SCOPE_USER, BODY_JSON, "Stop classifying.",
     cancel_in, cancel_fields, 200},
    {NULL},
};
