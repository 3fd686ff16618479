/*
 * datasets.c - training and test data, made from one datafile by dividing
 * it, or from two as they are.
 */
#include <string.h>

#include "api/fields.h"
#include "api/job_options.h"
#include "api/shares.h"

#define PERCENTAGE_ROW                                                                                       \
    {                                                                                                        \
        "split-percentage", FIELD_NUMERIC, 0, "Its share: a fraction (0.7) or a percentage (70).",           \
            .otherwise = "0"                                                                                 \
    }

static const struct field side_in[] = {
    {"datafile-id", FIELD_ID, REQUIRED, "Datafile to take.", .of = "datafile"},
    PERCENTAGE_ROW,
    {NULL},
};

static const struct field side_out[] = {
    {"datafile-id", FIELD_STRING, READ_ONLY, "Datafile that it is taken from."},
    {"split-percentage", FIELD_NUMBER, READ_ONLY, "Its share."},
    {"url", FIELD_STRING, READ_ONLY, "The archive made: cbfs://ID/NAME is found at /blobs/ID/NAME."},
    {"images", FIELD_INT, READ_ONLY, "Images or records in it."},
    {NULL},
};

static const struct field dataset_in[] = {
    {"training", FIELD_OBJECT, REQUIRED, "What to learn from.", .fields = side_in},
    {"test", FIELD_OBJECT, REQUIRED, "What to test with.", .also = "testing", .fields = side_in},
    JOB_OPTION_ROWS,
    {NULL},
};

static const struct field dataset_out[] = {
    DOCUMENT_ROWS,
    PROCESSED_ROWS,
    {"training", FIELD_OBJECT, READ_ONLY, "What to learn from.", .fields = side_out},
    {"test", FIELD_OBJECT, READ_ONLY | ALSO_SHOWN, "What to test with.", .also = "testing",
     .fields = side_out},
    {"layers_type", FIELD_STRING, READ_ONLY, "Kind of data layer that its datafiles are for."},
    {"labels", FIELD_ARRAY, READ_ONLY | NULLABLE, "Labels, in the order of their numbers."},
    {"image-shape", FIELD_ARRAY, READ_ONLY | NULLABLE,
     "Channels, height, width of its images, when all are alike."},
    {"skipped", FIELD_INT, READ_ONLY, "Entries that were no images."},
    JOB_OPTION_OUT_ROWS,
    {NULL},
};

const struct resource resource_dataset = {
    .type = "dataset", .collection = "datasets", .fields = dataset_out, .processed = true};

struct side {
    const char *key, *archive;
    struct document datafile;
    const char *file_name, *layers_type; /* the datafile's */
    double percentage;                   /* as sent */
    double share;                        /* 0: taken whole */
};

static void side_release(struct side *side)
{
    document_release(&side->datafile);
}

static enum status side_read(struct request *r, struct response *response, struct side *side,
                             struct error *err)
{
    json_t *in = json_object_get(r->body, side->key);
    CLEANUP(freep) char *pointer = xasprintf("/%s/datafile-id", side->key);
    TRY(resource_find_named(r, response, &resource_datafile, pointer, json_get_string(in, "datafile-id", ""),
                            &side->datafile, err));
    side->file_name = json_get_string(side->datafile.body, "file-name", "");
    side->layers_type = json_get_string(side->datafile.body, "layers_type", "");
    side->percentage = field_number(json_object_get(in, "split-percentage"));
    return OK;
}

static json_t *side_body(const struct side *side, const char *id)
{
    CLEANUP(freep) char *url = blob_url(id, side->archive);
    return json_pack("{s:s, s:f, s:s}", "datafile-id", side->datafile.id, "split-percentage",
                     side->percentage, "url", url);
}

static json_t *side_spec(const struct side *side)
{
    return json_pack("{s:s, s:f}", "input", side->datafile.id, "share", side->share);
}

static json_t *side_input(const struct side *side)
{
    return job_input(side->datafile.id, side->datafile.id, side->file_name, false);
}

/* What the split job is queued with.  New. */
static json_t *split_spec(const struct side *training, const struct side *test, const char *layers_type)
{
    json_t *inputs = json_array();
    json_array_append_new(inputs, side_input(training));
    if (strcmp(training->datafile.id, test->datafile.id) != 0)
        json_array_append_new(inputs, side_input(test));
    return json_pack("{s:{s:s, s:o, s:o}, s:o}", "spec", "layer_type", layers_type, "training",
                     side_spec(training), "test", side_spec(test), "inputs", inputs);
}

static enum status dataset_create(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(side_release) struct side training = {.key = "training", .archive = "training.tar.gz"};
    CLEANUP(side_release) struct side test = {.key = "test", .archive = "testing.tar.gz"};
    TRY(side_read(r, response, &training, err));
    TRY(side_read(r, response, &test, err));
    bool same = !strcmp(training.datafile.id, test.datafile.id);
    if (same && shares_read(training.percentage, test.percentage, &training.share, &test.share, err) != OK)
        return problem_of_field(response, "/training/split-percentage", err);
    if (*training.layers_type && *test.layers_type && strcmp(training.layers_type, test.layers_type) != 0)
        return problem_at(response, "/test/datafile-id", err, INVALID,
                          "test: its datafile is for %s layers, but that of training for %s",
                          test.layers_type, training.layers_type);
    const char *layers_type = *training.layers_type ? training.layers_type : test.layers_type;
    if (training.share > 0 && !strcmp(layers_type, "DATA"))
        return problem_at(response, "/test/datafile-id", err, INVALID,
                          "test: a database is not divided: give it a datafile of its own, and "
                          "split-percentage 0 to both");

    char id[ID_MAX];
    id_new(id);
    CLEANUP(json_decrefp) json_t *spec = split_spec(&training, &test, layers_type);
    CLEANUP(json_decrefp) json_t *body = json_copy(r->body);
    json_object_set_new(body, "training", side_body(&training, id));
    json_object_set_new(body, "test", side_body(&test, id));
    json_object_set_new(body, "layers_type", json_string(layers_type));
    const char *datafiles[] = {training.datafile.id, test.datafile.id};
    int n_datafiles = same ? 1 : 2;
    struct new_job job = {.kind = "split", .spec = spec};
    CLEANUP(freep) const char **after = NULL;
    TRY(job_options_read(r, response, r->body, datafiles, n_datafiles, &job, &after, err));
    struct new_document document = {
        .id = id, .body = body, .job = &job, .refs = datafiles, .n_refs = n_datafiles};
    return resource_create(r, response, &resource_dataset, &document, err);
}

const struct route dataset_routes[] = {
    {"POST", "/datasets", dataset_create, SCOPE_USER, BODY_JSON, "Divide data into training and test data.",
     dataset_in, dataset_out, 201},
    {"GET", "/datasets", resource_list, SCOPE_USER, BODY_NONE, "List datasets.", NULL, list_fields, 200,
     list_query},
    {"GET", "/datasets/{id}", resource_get, SCOPE_USER, BODY_NONE, "One dataset.", NULL, dataset_out, 200},
    {"DELETE", "/datasets/{id}", resource_delete, SCOPE_USER, BODY_NONE, "Delete a dataset.", NULL, NULL,
     204},
    {"GET", "/datasets/{id}/logs", resource_logs, SCOPE_USER, BODY_NONE,
     "What its worker said, as text; Range is honoured.", NULL, NULL, 200, log_query},
    {"POST", "/datasets/{id}/cancel", resource_cancel, SCOPE_USER, BODY_JSON, "Stop making a dataset.",
     cancel_in, cancel_fields, 200},
    {NULL},
};
