/*
 * classifiers.c - a trained model with a net to classify images, and the jobs
 * that do it.
 */
#include <math.h>
#include <string.h>

#include "api/job_options.h"
#include "api/specification.h"

#define IMAGE_SIDE_MAX 16384
#define IMAGES_MAX     1000 /* in one request */

static const struct field classifier_in[] = {
    {"specification-url", FIELD_URL, 0, "The net's prototxt.", .max = 4096},
    {"specification", FIELD_STRING, WRITE_ONLY, "The net's prototxt itself, instead of its URL."},
    {"training-job-id", FIELD_ID, REQUIRED, "Training job whose model is used.", .of = "training-job"},
    {"scale", FIELD_NUMERIC, REQUIRED, "What an image, read as numbers from 0 to 1, is multiplied by."},
    {"image-width", FIELD_NUMERIC, REQUIRED, "Width that an image is resized to."},
    {"image-height", FIELD_NUMERIC, REQUIRED, "Height that an image is resized to."},
    {"color", FIELD_BOOL, 0, "Three channels instead of one.", .otherwise = "false"},
    {"gpu", FIELD_BOOL, 0, "Use a GPU where there is one.", .otherwise = "false"},
    {NULL},
};

static const struct field classifier_out[] = {
    DOCUMENT_ROWS,
    {"specification-url", FIELD_STRING, READ_ONLY, "The net's prototxt."},
    {"training-job-id", FIELD_STRING, READ_ONLY, "Training job whose model is used."},
    {"scale", FIELD_STRING, READ_ONLY, "What an image, read as numbers from 0 to 1, is multiplied by."},
    {"image-width", FIELD_STRING, READ_ONLY, "Width that an image is resized to."},
    {"image-height", FIELD_STRING, READ_ONLY, "Height that an image is resized to."},
    {"color", FIELD_BOOL, READ_ONLY, "Three channels instead of one."},
    {"gpu", FIELD_BOOL, READ_ONLY, "Use a GPU where there is one."},
    {NULL},
};

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
    {"std-out-url", FIELD_STRING, READ_ONLY, "Standard output, when it is over.", .otherwise = "\"\""},
    {"std-err-url", FIELD_STRING, READ_ONLY, "Standard error, when it is over.", .otherwise = "\"\""},
    {"results", FIELD_OBJECT, READ_ONLY,
     "SHA-1 of the URL or of the file's bytes, and the label; while pending after cbfs://ID/.",
     .fields = label_fields},
    {"scores", FIELD_OBJECT, READ_ONLY, "The same with the net's output for the label.",
     .fields = score_fields},
    {"skipped", FIELD_INT, READ_ONLY, "Images that could not be read."},
    JOB_OPTION_OUT_ROWS,
    {NULL},
};

static const struct field url_fields[] = {
    {"*", FIELD_URL, 0, "An image."},
    {NULL},
};
static const struct field classify_in[] = {
    {"urls", FIELD_ARRAY, 0, "Images to classify; in a form: repeated urls and files.", .max = IMAGES_MAX,
     .fields = url_fields},
    JOB_OPTION_ROWS,
    {NULL},
};

const struct resource resource_classifier = {
    .type = "classifier", .collection = "classifiers", .fields = classifier_out};
const struct resource resource_classify_job = {
    .type = "classify-job", .collection = "classify-jobs", .fields = classify_job_out, .processed = true};

/* A number of pixels, written as number or text. */
static enum status read_side(const struct request *r, struct response *response, const char *name,
                             int *ret_side, struct error *err)
{
    double value = field_number(json_object_get(r->body, name));
    if (!(value >= 1 && value <= IMAGE_SIDE_MAX && value == floor(value))) {
        CLEANUP(freep) char *pointer = xasprintf("/%s", name);
        return problem_at(response, pointer, err, INVALID, "%s must be a whole number of pixels from 1 to %d",
                          name, IMAGE_SIDE_MAX);
    }
    *ret_side = (int)value;
    return OK;
}

static const char *const classifier_files[] = {"specification-url", NULL};
static const char *const classify_files[] = {"files", NULL};

static enum status classifier_create(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(document_release) struct document job = {0};
    TRY(resource_find_named(r, response, &resource_training_job, "/training-job-id",
                            json_get_string(r->body, "training-job-id", ""), &job, err));
    struct classifier_specification classifier = {.color = json_get_bool(r->body, "color", false)};
    TRY(read_side(r, response, "image-width", &classifier.width, err));
    TRY(read_side(r, response, "image-height", &classifier.height, err));
    double scale = field_number(json_object_get(r->body, "scale"));
    if (!isfinite(scale) || scale == 0)
        return problem_at(response, "/scale", err, INVALID, "scale must be a number other than 0");
    CLEANUP(freep) char *net = NULL;
    struct specification_text text = {.name = "specification-url"};
    TRY(specification_fetch(r, response, text.name, "specification", &net, &text.size, err));
    text.bytes = net;
    TRY(classifier_specification_check(&text, &classifier, err));

    struct blob blob;
    TRY(blob_put(api_store(r->api), net, text.size, r->now_ms, &blob, err));
    char id[ID_MAX];
    id_new(id);
    CLEANUP(freep) char *url = blob_url(id, CLASSIFIER_PROTOTXT);
    CLEANUP(json_decrefp) json_t *body = json_copy(r->body);
    json_object_set_new(body, "specification-url", json_string(url));
    json_object_del(body, "specification");
    const char *refs[] = {job.id};
    struct blob_ref blobs[] = {{CLASSIFIER_PROTOTXT, blob.sha256}};
    struct new_document document = {
        .id = id, .body = body, .refs = refs, .n_refs = 1, .blobs = blobs, .n_blobs = 1};
    return resource_create(r, response, &resource_classifier, &document, err);
}

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

static enum status batch_add_url(const struct request *r, struct response *response, struct batch *b,
                                 const char *url, struct error *err)
{
    if (url_check(url, api_allows_private_urls(r->api), err) != OK)
        return problem_of_field(response, "/urls", err);
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

static enum status batch_read(const struct request *r, struct response *response, struct batch *b,
                              struct error *err)
{
    batch_init(b, r->n_uploads);
    json_t *urls = json_object_get(r->body, "urls"), *url;
    size_t i, wanted = json_array_size(urls) + (size_t)r->n_values + (size_t)r->n_uploads;
    if (wanted > IMAGES_MAX)
        return error_set(err, INVALID, "%zu images; one request classifies at most %d", wanted, IMAGES_MAX);
    json_array_foreach(urls, i, url)
        TRY(batch_add_url(r, response, b, json_string_value(url), err));
    for (int k = 0; k < r->n_values; k++) {
        if (strcmp(r->values[k].part, "urls") != 0)
            return error_set(err, INVALID, "unknown part '%.64s'; a form has urls and files",
                             r->values[k].part);
        TRY(batch_add_url(r, response, b, r->values[k].value, err));
    }
    for (int k = 0; k < r->n_uploads; k++) {
        if (strcmp(r->uploads[k].part, "files") != 0)
            return error_set(err, INVALID, "unknown part '%.64s'; a form has urls and files",
                             r->uploads[k].part);
        batch_add_file(b, &r->uploads[k]);
    }
    if (!json_array_size(b->images))
        return error_set(err, INVALID, "nothing to classify: send urls, files, or both");
    return OK;
}

/* What the job is queued with; the labels are those of the training job when it is leased.  New. */
static json_t *classify_spec(const struct batch *b, const struct document *classifier,
                             const char *training_job)
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
    return json_pack("{s:o, s:O, s:s}", "spec", spec, "inputs", b->inputs, "labels-of", training_job);
}

/* The document of a classify job, with all that it lends; not to be moved. */
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
                                   const struct document *classifier)
{
    const char *training_job = json_get_string(classifier->body, "training-job-id", "");
    *d = (struct classify_document){.after = {training_job}, .refs = {classifier->id}};
    d->spec = classify_spec(b, classifier, training_job);
    d->body = json_pack("{s:s, s:O}", "classifier-id", classifier->id, "results", b->results);
    d->job = (struct new_job){.kind = "classify", .spec = d->spec, .after = d->after, .n_after = 1};
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

static enum status classify(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(document_release) struct document classifier = {0};
    TRY(resource_find(r, &resource_classifier, r->args[0], &classifier, err));
    CLEANUP(batch_release) struct batch batch = {0};
    id_new(batch.id);
    TRY(batch_read(r, response, &batch, err));
    CLEANUP(classify_document_release) struct classify_document made;
    CLEANUP(freep) const char **after = NULL;
    classify_document_init(&made, &batch, &classifier);
    TRY(job_options_read(r, response, r->body, made.after, 1, &made.job, &after, err));
    if (r->body)
        json_object_update_missing(made.body, r->body);
    json_object_del(made.body, "urls");
    return resource_create(r, response, &resource_classify_job, &made.document, err);
}

enum status classifier_check(struct store *store, const char *owner, const char *id, struct error *err)
{
    CLEANUP(document_release) struct document d = {0};
    enum status status = document_get(store, owner, id, &d, err);
    if (status != OK && status != NOT_FOUND)
        return status;
    if (status == NOT_FOUND || strcmp(d.type, resource_classifier.type) != 0 || d.state == STATE_DELETED)
        return error_set(err, NOT_FOUND, "'%s' has no classifier '%.64s'", owner, id);
    return OK;
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
    classify_document_init(&made, &batch, &classifier);
    TRY(documents_create(store, owner, &made.document, 1, NULL, now_ms, NULL, err));
    memcpy(ret_job, batch.id, ID_MAX);
    return OK;
}

const struct route classifier_routes[] = {
    {"POST", "/classifiers", classifier_create, SCOPE_USER, BODY_DOCUMENT,
     "Make a classifier of a trained model.", classifier_in, classifier_out, 201, .files = classifier_files},
    {"GET", "/classifiers", resource_list, SCOPE_USER, BODY_NONE, "List classifiers.", NULL, list_fields, 200,
     list_query},
    {"GET", "/classifiers/{id}", resource_get, SCOPE_USER, BODY_NONE, "One classifier.", NULL, classifier_out,
     200},
    {"DELETE", "/classifiers/{id}", resource_delete, SCOPE_USER, BODY_NONE, "Delete a classifier.", NULL,
     NULL, 204},
    {"POST", "/classifiers/{id}/classify", classify, SCOPE_USER, BODY_FORM, "Classify images.", classify_in,
     classify_job_out, 201, .files = classify_files},
    {"GET", "/classify-jobs", resource_list, SCOPE_USER, BODY_NONE, "List classify jobs.", NULL, list_fields,
     200, list_query},
    {"GET", "/classify-jobs/{id}", resource_get, SCOPE_USER, BODY_NONE, "One classify job.", NULL,
     classify_job_out, 200},
    {"GET", "/classify-jobs/{id}/logs", resource_logs, SCOPE_USER, BODY_NONE,
     "Standard error of all attempts so far, as text; Range is honoured.", NULL, NULL, 200},
    {"DELETE", "/classify-jobs/{id}", resource_delete, SCOPE_USER, BODY_NONE, "Delete a classify job.", NULL,
     NULL, 204},
    {"POST", "/classify-jobs/{id}/cancel", resource_cancel, SCOPE_USER, BODY_JSON, "Stop classifying.",
     cancel_in, cancel_fields, 200},
    {NULL},
};
