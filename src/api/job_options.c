#include "api/job_options.h"

#include <stdlib.h>
#include <string.h>

#include "api/arrays.h"
#include "base/clock.h"

const struct field id_rows[] = {
    {"*", FIELD_ID, 0, "A document."},
    {NULL},
};

static const struct job_maker *const makers[] = {&training_job_maker, &script_job_maker, &classify_job_maker};

const struct job_maker *job_maker_of(const char *type)
{
    for (size_t i = 0; i < ARRAY_SIZE(makers); i++)
        if (!strcmp(makers[i]->resource->type, type))
            return makers[i];
    return NULL;
}

static enum status check_there(const struct request *r, struct response *response, const char *id, size_t i,
                               struct error *err)
{
    CLEANUP(document_release) struct document document = {0};
    enum status status = document_get(api_store(r->api), r->who.owner, id, &document, err);
    if (status == OK && !strcmp(document.type, resource_schedule.type))
        status = error_set(err, INVALID, "schedule '%s' does not end", id);
    if (status != NOT_FOUND && status != INVALID)
        return status;
    CLEANUP(freep) char *pointer = xasprintf("/after/%zu", i);
    err->status = INVALID;
    return problem_of_field(response, pointer, err);
}

static enum status read_time(const struct request *r, struct response *response, const char *text,
                             int64_t *ret_ms, struct error *err)
{
    int64_t at_ms;
    if (clock_read(text, &at_ms, err) != OK)
        return problem_of_field(response, "/not-before", err);
    *ret_ms = at_ms > r->now_ms ? at_ms : 0;
    return OK;
}

enum status job_options_read(const struct request *r, struct response *response, const json_t *in,
                             const char *const *own, int n_own, struct new_job *job, const char ***ret_after,
                             struct error *err)
{
    const json_t *wanted = json_object_get(in, "after");
    CLEANUP(freep) const char **after = xcalloc((size_t)n_own + json_array_size(wanted) + 1, sizeof(*after));
    int n = 0;
    for (; n < n_own; n++)
        after[n] = own[n];
    for (size_t i = 0; i < json_array_size(wanted); i++) {
        after[n++] = json_string_value(json_array_get(wanted, i));
        TRY(check_there(r, response, after[n - 1], i, err));
    }
    const char *time = json_get_string(in, "not-before", NULL);
    if (time)
        TRY(read_time(r, response, time, &job->not_before_ms, err));
    int64_t retries = json_get_int(in, "retries", -1);
    job->priority = (int)json_get_int(in, "priority", 0);
    job->max_attempts = (int)retries + 1;
    job->retry_failed = json_get_bool(in, "retry-on-failure", false);
    job->backoff_ms = 1000 * json_get_int(in, "retry-delay-seconds", 0);
    job->n_after = n;
    job->after = *ret_after = TAKE(after);
    return OK;
}

void job_plan_release(struct job_plan *p)
{
    json_decref(p->body);
    json_decref(p->spec);
    free(p->after);
    if (p->release_own)
        p->release_own(p->own);
}

enum status job_create_request(struct request *r, struct response *response, const struct job_maker *maker,
                               const json_t *in, struct error *err)
{
    CLEANUP(job_plan_release) struct job_plan plan = {0};
    TRY(maker->plan(r, response, in, &plan, err));
    const json_t *elements = json_object_get(in, "array");
    if (elements)
        return array_create_request(r, response, maker, &plan, elements, err);
    return resource_create(r, response, maker->resource, &plan.document, err);
}
