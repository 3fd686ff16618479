/*
 * why.c - what a job waits for, in a sentence and in parts.
 */
#include <stdlib.h>
#include <string.h>

#include "api/resource.h"
#include "base/buf.h"
#include "base/clock.h"

#define SENTENCE_MAX 4096

static const struct field needed_fields[] = {
    {"id", FIELD_STRING, READ_ONLY, "Document."},
    {"type", FIELD_STRING, READ_ONLY, "Its kind."},
    {"state", FIELD_STRING, READ_ONLY, "Where it stands.", .words = "waiting|ready|leased"},
    {NULL},
};
static const struct field needed_rows[] = {
    {"*", FIELD_OBJECT, READ_ONLY, "A document.", .fields = needed_fields}, {NULL}};
static const struct field why_out[] = {
    {"id", FIELD_STRING, READ_ONLY, "Id of the document."},
    {"state", FIELD_STRING, READ_ONLY, "Where it stands.",
     .words = "waiting|ready|leased|finished|failed|cancelled"},
    {"why", FIELD_STRING, READ_ONLY, "All of this in a sentence."},
    {"needs", FIELD_ARRAY, READ_ONLY, "Documents that it waits for.", .fields = needed_rows},
    {"not-before", FIELD_STRING, READ_ONLY | NULLABLE, "Time that it waits for."},
    {"pool", FIELD_STRING, READ_ONLY, "Kind of machine that it needs.", .otherwise = "\"\""},
    {"place", FIELD_INT, READ_ONLY | NULLABLE, "In its pool by fair share, priority and age, from 1."},
    {"ready", FIELD_INT, READ_ONLY | NULLABLE, "Jobs of all users that are ready in its pool."},
    {"running", FIELD_INT, READ_ONLY | NULLABLE, "One's own jobs that run in its pool."},
    {"limit", FIELD_INT, READ_ONLY | NULLABLE, "How many of one's own may."},
    {"workers", FIELD_INT, READ_ONLY | NULLABLE, "Workers that serve its pool now."},
    {"slots", FIELD_INT, READ_ONLY | NULLABLE, "Jobs that they run at a time."},
    {"starts", FIELD_STRING, READ_ONLY | NULLABLE, "Estimate of its start."},
    {"worker", FIELD_STRING, READ_ONLY | NULLABLE, "That runs it."},
    {NULL},
};

/* "12 s", "5 min", "3 h" from now. */
static void add_duration(struct buf *out, int64_t ms)
{
    int64_t s = MAX(ms, (int64_t)0) / 1000;
    if (s < 120)
        buf_printf(out, "%lld s", (long long)s);
    else if (s < 7200)
        buf_printf(out, "%lld min", (long long)s / 60);
    else
        buf_printf(out, "%lld h", (long long)s / 3600);
}

static void say_waiting(struct buf *out, const struct job *job, const struct why *w, int64_t now_ms)
{
    char text[CLOCK_TEXT_MAX];
    buf_puts(out, "it waits ");
    for (int i = 0; i < w->n_needs && i < 3; i++)
        buf_printf(out, "%s%s %s (%s)",
                   i                      ? ", "
                   : w->needs[i].whatever ? "for the end of "
                                          : "for ",
                   w->needs[i].type, w->needs[i].id, document_state_name(w->needs[i].state));
    if (w->n_needs > 3)
        buf_printf(out, " and %d more", w->n_needs - 3);
    if (job->not_before_ms > now_ms) {
        buf_printf(out, "%suntil %s, ", w->n_needs ? ", and " : "", clock_text(job->not_before_ms, text));
        add_duration(out, job->not_before_ms - now_ms);
        buf_puts(out, " from now");
    } else if (!w->n_needs) {
        buf_puts(out, "for a moment only");
    }
    if (job->counted)
        buf_printf(out, "; attempt %d of %d ended: %s", job->counted, job->max_attempts, w->last_reason);
}

static void say_ready(struct buf *out, const struct job *job, const struct why *w,
                      const struct pool_size *pool, int64_t now_ms)
{
    buf_printf(out, "it is ready, at place %lld of %lld in pool '%s'", (long long)w->place,
               (long long)w->ready, job->pool);
    if (pool && pool->gpus)
        buf_printf(out, ", which gives it %d %s", pool->gpus, pool->gpus == 1 ? "GPU" : "GPUs");
    if (pools_is_bf16_name(job->pool))
        buf_puts(out, ", which is for processors that have bf16");
    if (!w->workers) {
        buf_puts(out, "; no worker serves that pool now");
        if (w->drained)
            buf_printf(out, ": %d %s drained", w->drained, w->drained == 1 ? "is" : "are");
        return;
    }
    if (w->max_running && w->running >= w->max_running) {
        buf_printf(out, "; %d of your jobs run there, and %d may", w->running, w->max_running);
        return;
    }
    buf_printf(out, "; %d of %d slots are busy", w->busy, w->slots);
    if (w->start_ms > now_ms) {
        buf_puts(out, "; it may start in about ");
        add_duration(out, w->start_ms - now_ms);
    } else if (w->start_ms) {
        buf_puts(out, "; it starts when a worker next asks");
    } else {
        buf_puts(out, "; nothing is known of how long jobs take there");
    }
}

static void say_running(struct buf *out, const struct job *job, int64_t now_ms)
{
    buf_printf(out, "it runs on worker '%s' since ", job->worker ? job->worker : "");
    add_duration(out, now_ms - job->leased_ms);
    buf_printf(out, ", attempt %d", job->attempt);
    if (job->cancel)
        buf_puts(out, "; it is asked to stop");
}

static json_t *time_json(int64_t at_ms)
{
    char text[CLOCK_TEXT_MAX];
    return at_ms ? json_string(clock_text(at_ms, text)) : json_null();
}

static json_t *needs_json(const struct why *w)
{
    json_t *needs = json_array();
    for (int i = 0; i < w->n_needs; i++)
        json_array_append_new(needs,
                              json_pack("{s:s, s:s, s:s}", "id", w->needs[i].id, "type", w->needs[i].type,
                                        "state", document_state_name(w->needs[i].state)));
    return needs;
}

static enum status explain_unfinished(struct request *r, const struct job *job, json_t *answer,
                                      struct buf *out, struct error *err)
{
    CLEANUP(why_release) struct why w = {0};
    TRY(queue_why(api_store(r->api), job, r->now_ms, &w, err));
    if (job->state == STATE_WAITING)
        say_waiting(out, job, &w, r->now_ms);
    else if (job->state == STATE_READY)
        say_ready(out, job, &w, pools_find(api_pools(r->api), job->pool), r->now_ms);
    else
        say_running(out, job, r->now_ms);
    json_object_set_new(answer, "state", json_string(document_state_name(job->state)));
    json_object_set_new(answer, "needs", needs_json(&w));
    json_object_set_new(answer, "not-before",
                        time_json(job->state == STATE_WAITING ? job->not_before_ms : 0));
    json_object_set_new(answer, "pool", json_string(job->pool));
    if (w.place) {
        json_object_set_new(answer, "place", json_integer(w.place));
        json_object_set_new(answer, "ready", json_integer(w.ready));
    }
    json_object_set_new(answer, "running", json_integer(w.running));
    json_object_set_new(answer, "limit", w.max_running ? json_integer(w.max_running) : json_null());
    json_object_set_new(answer, "workers", json_integer(w.workers));
    json_object_set_new(answer, "slots", json_integer(w.slots));
    json_object_set_new(answer, "starts", time_json(w.start_ms));
    json_object_set_new(answer, "worker", job->worker ? json_string(job->worker) : json_null());
    return OK;
}

static void explain_ended(const struct document *d, struct buf *out)
{
    const char *reason = json_get_string(d->body, "processing-log", "");
    switch (d->state) {
    case STATE_FAILED:
    case STATE_CANCELLED:
        buf_printf(out, "it is over: it %s%s%s",
                   d->state == STATE_FAILED ? "failed"
                   : *reason                ? "was "
                                            : "was cancelled",
                   d->state == STATE_FAILED && *reason ? ": " : "", reason);
        break;
    default:
        buf_puts(out, "it is over: it finished well");
    }
}

static enum status why_get(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(document_release) struct document document = {0};
    CLEANUP(job_release) struct job job = {0};
    TRY(resource_find(r, resource_of_request(r), r->args[0], &document, err));
    CLEANUP(json_decrefp)
    json_t *answer =
        json_pack("{s:s, s:s}", "id", document.id, "state",
                  document.state == STATE_NONE ? "finished" : document_state_name(document.state));
    CLEANUP(buf_release) struct buf sentence;
    buf_init(&sentence, SENTENCE_MAX);
    enum status status = queue_job(api_store(r->api), document.id, &job, err);
    if (status == OK)
        TRY(explain_unfinished(r, &job, answer, &sentence, err));
    else if (status == NOT_FOUND)
        explain_ended(&document, &sentence);
    else
        return status;
    json_object_set_new(answer, "why", json_string(sentence.data));
    response_json(response, 200, fields_encode(why_out, answer));
    return OK;
}

#define WHY(collection)                                                                                      \
    {                                                                                                        \
        "GET", "/" collection "/{id}/why", why_get, SCOPE_USER, BODY_NONE, "What it waits for.", NULL,       \
            why_out, 200                                                                                     \
    }
const struct route why_routes[] = {
    WHY("datafiles"), WHY("datasets"), WHY("training-jobs"), WHY("classify-jobs"), WHY("jobs"),
    WHY("orders"),    {NULL},
};
