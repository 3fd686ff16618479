/*
 * schedules.c - jobs that are made at times that come again.
 */
#include <string.h>

#include "api/arrays.h"
#include "api/server.h"
#include "base/cron.h"

#define CRON_ROW(flags)                                                                                      \
    {                                                                                                        \
        "cron", FIELD_STRING, flags, "Five fields as in crontab, in UTC; or @daily.", .max = 200             \
    }
#define OVERLAP "When the job before has not ended: skip this time, or queue one behind it."

static const struct field schedule_in[] = {
    CRON_ROW(REQUIRED),
    {"timezone", FIELD_STRING, 0, "Of the times.", .words = "UTC", .otherwise = "\"UTC\""},
    {"overlap", FIELD_STRING, 0, OVERLAP, .words = "skip|queue", .otherwise = "\"skip\""},
    {"paused", FIELD_BOOL, 0, "Make none for now.", .otherwise = "false"},
    {"type", FIELD_STRING, 0, "Of its jobs.", .words = JOB_MAKER_TYPES, .otherwise = "\"training-job\""},
    {"job", FIELD_OBJECT, REQUIRED, "What would be sent to make one job of that type."},
    {NULL},
};
static const struct field schedule_change_in[] = {
    CRON_ROW(0),
    {"overlap", FIELD_STRING, 0, OVERLAP, .words = "skip|queue"},
    {"paused", FIELD_BOOL, 0, "Make none for now."},
    {NULL},
};
static const struct field schedule_out[] = {
    DOCUMENT_ROWS,
    CRON_ROW(READ_ONLY),
    {"timezone", FIELD_STRING, READ_ONLY, "Of the times."},
    {"overlap", FIELD_STRING, READ_ONLY, OVERLAP},
    {"paused", FIELD_BOOL, READ_ONLY, "It makes none for now."},
    {"of", FIELD_STRING, READ_ONLY, "Type of its jobs."},
    {"job", FIELD_OBJECT, READ_ONLY, "What each is made from."},
    {"next-run", FIELD_STRING, READ_ONLY | NULLABLE, "Time of the next, RFC 3339."},
    {"last-run", FIELD_STRING, READ_ONLY | NULLABLE, "Time of the last."},
    {"last-id", FIELD_STRING, READ_ONLY | NULLABLE, "The last."},
    {"runs", FIELD_INT, READ_ONLY, "How many it has made.", .otherwise = "0"},
    {"note", FIELD_STRING, READ_ONLY, "Why the last time made none.", .otherwise = "\"\""},
    {NULL},
};
const struct resource resource_schedule = {
    .type = "schedule", .collection = "schedules", .fields = schedule_out};

static const char *const schedule_files[] = {"script", NULL};

static enum status check_cron(struct response *response, const char *text, struct error *err)
{
    struct cron cron;
    return cron_read(text, &cron, err) == OK ? OK : problem_of_field(response, "/cron", err);
}

/* What is wrong with the job is wrong at /job. */
static void point_into_job(struct response *response)
{
    char inner[FIELD_POINTER_MAX];
    snprintf(inner, sizeof(inner), "%s", response->has_pointer ? response->pointer : "");
    snprintf(response->pointer, sizeof(response->pointer), "/job%.*s", FIELD_POINTER_MAX - 5, inner);
    response->has_pointer = true;
}

static enum status plan_job(struct request *r, struct response *response, const struct job_maker *maker,
                            struct job_plan *plan, json_t **ret_job, struct error *err)
{
    CLEANUP(json_decrefp) json_t *job = NULL;
    response->has_pointer = false;
    enum status status =
        fields_decode(maker->in, NULL, json_object_get(r->body, "job"), &job, response->pointer, err);
    if (status == OK && r->n_uploads && maker != &script_job_maker)
        status = error_set(err, INVALID, "a %s takes no script", maker->resource->type);
    response->has_pointer = status != OK;
    if (status == OK && (json_object_get(job, "array") || json_object_get(job, "not-before")))
        status = error_set(err, INVALID, "a repeated job has neither array nor not-before");
    if (status == OK)
        status = maker->plan(r, response, job, plan, err);
    if (status != OK)
        point_into_job(response);
    else
        *ret_job = TAKE(job);
    return status;
}

static enum status schedule_make(struct request *r, struct response *response, struct error *err)
{
    const struct job_maker *maker = job_maker_of(json_get_string(r->body, "type", ""));
    CLEANUP(json_decrefp) json_t *job = NULL;
    CLEANUP(job_plan_release) struct job_plan plan = {0};
    TRY(check_cron(response, json_get_string(r->body, "cron", ""), err));
    TRY(plan_job(r, response, maker, &plan, &job, err));
    char id[ID_MAX];
    id_new(id);
    CLEANUP(json_decrefp) json_t *body = json_copy(r->body);
    json_object_del(body, "type");
    json_object_set_new(body, "of", json_string(maker->resource->type));
    const struct new_document document = {.id = id,
                                          .type = resource_schedule.type,
                                          .body = body,
                                          .refs = plan.document.refs,
                                          .n_refs = plan.document.n_refs,
                                          .blobs = plan.document.blobs,
                                          .n_blobs = plan.document.n_blobs};
    CLEANUP(document_release) struct document made = {0};
    TRY(schedule_create(api_store(r->api), r->who.owner, &document, &plan.document, r->now_ms, &made, err));
    resource_respond(response, 201, &resource_schedule, &made);
    CLEANUP(freep) char *location = xasprintf("/schedules/%s", id);
    response_header(response, "Location", location);
    return OK;
}

static enum status schedule_alter(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(document_release) struct document document = {0}, changed = {0};
    TRY(resource_find(r, &resource_schedule, r->args[0], &document, err));
    const char *cron = json_get_string(r->body, "cron", NULL);
    if (cron)
        TRY(check_cron(response, cron, err));
    TRY(schedule_change(api_store(r->api), r->who.owner, document.id, r->body, r->now_ms, &changed, err));
    resource_respond(response, 200, &resource_schedule, &changed);
    return OK;
}

const struct route schedule_routes[] = {
    {"POST", "/schedules", schedule_make, SCOPE_USER, BODY_DOCUMENT, "Make a job at times that come again.",
     schedule_in, schedule_out, 201, .files = schedule_files},
    {"GET", "/schedules", resource_list, SCOPE_USER, BODY_NONE, "List schedules.", NULL, list_fields, 200,
     list_query},
    {"GET", "/schedules/{id}", resource_get, SCOPE_USER, BODY_NONE, "One schedule.", NULL, schedule_out, 200},
    {"PATCH", "/schedules/{id}", schedule_alter, SCOPE_USER, BODY_JSON,
     "Change when a schedule makes jobs, or pause it.", schedule_change_in, schedule_out, 200},
    {"GET", "/schedules/{id}/jobs", members_get, SCOPE_USER, BODY_NONE,
     "Jobs that it has made, oldest first.", NULL, list_fields, 200, members_query},
    {"DELETE", "/schedules/{id}", resource_delete, SCOPE_USER, BODY_NONE, "Delete a schedule; its jobs stay.",
     NULL, NULL, 204},
    {NULL},
};
