/*
 * classifiers.c - a trained model with a net to classify images.
 */
#include <math.h>
#include <string.h>

#include "api/job_options.h"
#include "api/specification.h"

#define IMAGE_SIDE_MAX 16384

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

const struct resource resource_classifier = {
    .type = "classifier", .collection = "classifiers", .fields = classifier_out};

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

const struct route classifier_routes[] = {
    {"POST", "/classifiers", classifier_create, SCOPE_USER, BODY_DOCUMENT,
     "Make a classifier of a trained model.", classifier_in, classifier_out, 201, .files = classifier_files},
    {"GET", "/classifiers", resource_list, SCOPE_USER, BODY_NONE, "List classifiers.", NULL, list_fields, 200,
     list_query},
    {"GET", "/classifiers/{id}", resource_get, SCOPE_USER, BODY_NONE, "One classifier.", NULL, classifier_out,
     200},
    {"DELETE", "/classifiers/{id}", resource_delete, SCOPE_USER, BODY_NONE, "Delete a classifier.", NULL,
     NULL, 204},
    {NULL},
};
