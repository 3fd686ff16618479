/*
 * metrics.c - a job's curves: whole, what is new, or thinned.
 *
 * A series is three columns of one length, so that a plot takes them as they
 * are and a million points do not say a million times "value".
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/resource.h"

static const struct field int_rows[] = {{"*", FIELD_INT, 0, "One."}, {NULL}};
static const struct field value_rows[] = {
    {"*", FIELD_ANY, 0, "A number, or NaN, Infinity, -Infinity as a string."},
    {NULL},
};
static const struct field series_fields[] = {
    {"name", FIELD_STRING, READ_ONLY, "Metric."},
    {"count", FIELD_INT, READ_ONLY, "Points that were looked at."},
    {"nan-count", FIELD_INT, READ_ONLY, "Those of them that are no number."},
    {"steps", FIELD_ARRAY, READ_ONLY, "Iteration of each point.", .fields = int_rows},
    {"values", FIELD_ARRAY, READ_ONLY, "Value of each.", .fields = value_rows},
    {"times", FIELD_ARRAY, READ_ONLY, "Time of each, milliseconds since 1970.", .fields = int_rows},
    {NULL},
};
static const struct field series_rows[] = {
    {"*", FIELD_OBJECT, READ_ONLY, "A metric.", .fields = series_fields},
    {NULL},
};
const struct field metrics_out[] = {
    {"id", FIELD_STRING, READ_ONLY, "Id of the job."},
    {"series", FIELD_ARRAY, READ_ONLY,
     "One a metric. Points are in the order in which they were told; by step when points is given.",
     .fields = series_rows},
    {"last", FIELD_INT, READ_ONLY | NULLABLE,
     "Give this as since to get what comes later; null with points."},
    {"more", FIELD_BOOL, READ_ONLY, "There is more already."},
    {NULL},
};
const struct field metrics_query[] = {
    {"name", FIELD_STRING, 0, "This metric only."},
    {"since", FIELD_INT, 0, "Only what was told after this.", .min = 0, .max = 9007199254740991},
    {"limit", FIELD_INT, 0, "Points wanted at most.", .min = 1, .max = 10000, .otherwise = "10000"},
    {"points", FIELD_INT, 0,
     "Thin each metric to so many points: least, greatest and last of equal ranges of steps, and what is no "
     "number.",
     .min = 5, .max = 10000},
    {"from", FIELD_INT, 0, "With points: first step."},
    {"to", FIELD_INT, 0, "With points: last step."},
    {NULL},
};

json_t *number_or_word(double value)
{
    return isnan(value)   ? json_string("NaN")
           : isinf(value) ? json_string(value > 0 ? "Infinity" : "-Infinity")
                          : json_real(value);
}

/* The series of that name, made when it is not there. */
static json_t *series_of(json_t *all, const char *name)
{
    size_t i;
    json_t *series;
    json_array_foreach(all, i, series)
        if (!strcmp(json_get_string(series, "name", ""), name))
            return series;
    series = json_pack("{s:s, s:i, s:i, s:[], s:[], s:[]}", "name", name, "count", 0, "nan-count", 0, "steps",
                       "values", "times");
    json_array_append_new(all, series);
    return series;
}

static void add_point(json_t *series, const struct metric_point *p)
{
    json_array_append_new(json_object_get(series, "steps"), json_integer(p->step));
    json_array_append_new(json_object_get(series, "values"), number_or_word(p->value));
    json_array_append_new(json_object_get(series, "times"), json_integer(p->at_ms));
}

static void set_counts(json_t *series, int64_t count, int64_t nan_count)
{
    json_object_set_new(series, "count", json_integer(count));
    json_object_set_new(series, "nan-count", json_integer(nan_count));
}

static enum status as_told(struct request *r, const char *job, json_t *series, int64_t *ret_last,
                           bool *ret_more, struct error *err)
{
    int64_t since, limit;
    TRY(query_int(r, "since", 0, INT64_MAX, 0, &since, err));
    TRY(query_int(r, "limit", 1, 10000, 10000, &limit, err));
    CLEANUP(metric_list_release) struct metric_list list = {0};
    TRY(metrics_read(api_store(r->api), job, request_query(r, "name"), since, (int)limit, &list, err));
    for (int i = 0; i < list.n; i++) {
        const struct metric_point *p = &list.points[i];
        json_t *one = series_of(series, p->name);
        add_point(one, p);
        set_counts(one, json_get_int(one, "count", 0) + 1,
                   json_get_int(one, "nan-count", 0) + (isnan(p->value) != 0));
    }
    *ret_last = list.n ? list.points[list.n - 1].ord : since;
    *ret_more = list.more;
    return OK;
}

static void thinned_release(struct thinned *t)
{
    metric_list_release(&t->list);
}

static enum status thinned(struct request *r, const char *job, int64_t points, json_t *series,
                           struct error *err)
{
    struct store *store = api_store(r->api);
    const char *only = request_query(r, "name");
    int64_t from, to;
    TRY(query_int(r, "from", INT64_MIN, INT64_MAX, INT64_MIN, &from, err));
    TRY(query_int(r, "to", INT64_MIN, INT64_MAX, INT64_MAX, &to, err));
    CLEANUP(metric_list_release) struct metric_list names = {0};
    TRY(metrics_latest(store, job, &names, err));
    for (int i = 0; i < names.n; i++) {
        const char *name = names.points[i].name;
        if (only && strcmp(only, name) != 0)
            continue;
        CLEANUP(thinned_release) struct thinned t = {0};
        TRY(metrics_thin(store, job, name, from, to, (int)points, &t, err));
        json_t *one = series_of(series, name);
        for (int k = 0; k < t.list.n; k++)
            add_point(one, &t.list.points[k]);
        set_counts(one, t.n_all, t.n_nan);
    }
    return OK;
}

enum status latest_metrics_json(struct store *store, const char *job, json_t **ret_metrics, struct error *err)
{
    CLEANUP(metric_list_release) struct metric_list latest = {0};
    TRY(metrics_latest(store, job, &latest, err));
    json_t *metrics = json_object();
    for (int i = 0; i < latest.n; i++) {
        const struct metric_point *point = &latest.points[i];
        json_object_set_new(
            metrics, point->name,
            json_pack("{s:I, s:o}", "step", (json_int_t)point->step, "value", number_or_word(point->value)));
    }
    *ret_metrics = metrics;
    return OK;
}

enum status resource_metrics(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(document_release) struct document job = {0};
    TRY(resource_find(r, resource_of_request(r), r->args[0], &job, err));
    int64_t points, last = 0;
    bool more = false;
    TRY(query_int(r, "points", 5, 10000, 0, &points, err));
    CLEANUP(json_decrefp) json_t *series = json_array();
    if (points)
        TRY(thinned(r, job.id, points, series, err));
    else
        TRY(as_told(r, job.id, series, &last, &more, err));
    response_json(response, 200,
                  json_pack("{s:s, s:O, s:o, s:b}", "id", job.id, "series", series, "last",
                            points ? json_null() : json_integer(last), "more", (int)more));
    return OK;
}
