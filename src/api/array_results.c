/*
 * array_results.c - what came of the parameter sets of an array: for each its
 * state and its result, without the rest of its document.
 */
#include <string.h>

#include "api/arrays.h"

#define RESULTS_MAX   10000
#define RESULTS_BYTES (32 << 20) /* of one page, about */
#define PIECE         250

static const struct field result_fields[] = {
    {"index", FIELD_INT, READ_ONLY, "Of the parameter set, from 0."},
    {"id", FIELD_STRING, READ_ONLY, "Of its job."},
    {"state", FIELD_STRING, READ_ONLY, "Where it stands.",
     .words = "waiting|ready|leased|finished|failed|cancelled"},
    {"parameters", FIELD_OBJECT, READ_ONLY, "As the job has them."},
    {"result", FIELD_OBJECT, READ_ONLY | NULLABLE,
     "Of a script its result; of training accuracy and last progress; of classification the labels."},
    {"metrics", FIELD_OBJECT, READ_ONLY | NULLABLE, "Each metric's latest point, when they are asked for."},
    {"processing-log", FIELD_STRING, READ_ONLY, "Reason of a failure.", .otherwise = "\"\""},
    {NULL},
};
static const struct field result_rows[] = {
    {"*", FIELD_OBJECT, READ_ONLY, "A parameter set.", .fields = result_fields},
    {NULL},
};
const struct field array_results_fields[] = {
    {"items", FIELD_ARRAY, READ_ONLY, "In the order of the parameter sets.", .fields = result_rows},
    {"next_page_token", FIELD_STRING, READ_ONLY | NULLABLE, "Gives the next page; null on the last."},
    {NULL},
};
const struct field array_results_query[] = {
    {"limit", FIELD_INT, 0, "Parameter sets wanted at most; a page of over 32 MiB ends earlier.", .min = 1,
     .max = RESULTS_MAX, .otherwise = "10000"},
    {"page_token", FIELD_STRING, 0, "From the page before."},
    {"metrics", FIELD_BOOL, 0, "With the latest point of each metric.", .otherwise = "false"},
    {NULL},
};

/* New, or NULL. */
static json_t *result_of(const struct document *d)
{
    if (!strcmp(d->type, resource_job.type))
        return json_incref(json_object_get(d->body, "result"));
    if (!strcmp(d->type, resource_classify_job.type))
        return json_incref(json_object_get(d->body, "results"));
    json_t *progress = json_object_get(d->body, "progress"), *accuracy = json_object_get(d->body, "accuracy");
    if (!progress && !accuracy)
        return NULL;
    json_t *result = progress ? json_copy(progress) : json_object();
    if (accuracy)
        json_object_set(result, "accuracy", accuracy);
    return result;
}

static enum status item_of(struct request *r, const struct document *d, bool with_metrics, json_t **ret_item,
                           struct error *err)
{
    CLEANUP(json_decrefp)
    json_t *item = json_pack("{s:s, s:s}", "id", d->id, "state", document_state_name(d->state));
    static const char *const same[] = {"parameters", "processing-log"};
    for (size_t i = 0; i < ARRAY_SIZE(same); i++)
        if (json_object_get(d->body, same[i]))
            json_object_set(item, same[i], json_object_get(d->body, same[i]));
    json_object_set(item, "index", json_object_get(d->body, "array-index"));
    json_t *result = result_of(d), *metrics = NULL;
    if (result)
        json_object_set_new(item, "result", result);
    if (with_metrics) {
        TRY(latest_metrics_json(api_store(r->api), d->id, &metrics, err));
        json_object_set_new(item, "metrics", metrics);
    }
    *ret_item = fields_encode(result_fields, item);
    return OK;
}

enum status array_results_get(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(document_release) struct document array = {0};
    CLEANUP(json_decrefp) json_t *items = json_array();
    int64_t limit, next;
    size_t bytes = 0;
    TRY(resource_find(r, &resource_array, r->args[0], &array, err));
    TRY(query_int(r, "limit", 1, RESULTS_MAX, RESULTS_MAX, &limit, err));
    TRY(query_int(r, "page_token", 0, INT64_MAX, 0, &next, err));
    bool with_metrics;
    TRY(query_bool(r, "metrics", &with_metrics, err));
    while (next >= 0 && (int64_t)json_array_size(items) < limit && bytes < RESULTS_BYTES) {
        CLEANUP(document_list_release) struct document_list list = {0};
        int64_t left = limit - (int64_t)json_array_size(items);
        TRY(members_list(api_store(r->api), array.id, next, (int)MIN(left, PIECE), &list, &next, err));
        for (int i = 0; i < list.n; i++) {
            json_t *item = NULL;
            TRY(item_of(r, &list.documents[i], with_metrics, &item, err));
            bytes += json_dumpb(item, NULL, 0, JSON_COMPACT);
            json_array_append_new(items, item);
        }
    }
    CLEANUP(freep) char *token = next >= 0 ? xasprintf("%lld", (long long)next) : NULL;
    response_json(response, 200, json_pack("{s:O, s:s?}", "items", items, "next_page_token", token));
    return OK;
}
