#include "store/template.h"

#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

#define ID_DIGITS (ID_MAX - 1)

static json_t *strings_json(const char *const *strings, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_string(strings[i]));
    return list;
}

static json_t *job_json(const struct new_job *j)
{
    json_t *spec = j->spec ? json_incref((json_t *)(uintptr_t)j->spec) : json_object();
    return json_pack("{s:s, s:s, s:i, s:o, s:i, s:I, s:b, s:I, s:I, s:o}", "kind", j->kind, "pool",
                     j->pool ? j->pool : "cpu", "priority", j->priority, "spec", spec, "max-attempts",
                     j->max_attempts, "backoff-ms", (json_int_t)j->backoff_ms, "retry-failed",
                     (int)j->retry_failed, "max-ms", (json_int_t)j->max_ms, "not-before-ms",
                     (json_int_t)j->not_before_ms, "after", strings_json(j->after, j->n_after));
}

char *template_text(const struct new_document *d)
{
    CLEANUP(json_decrefp)
    json_t *json = json_pack("{s:s, s:O, s:o, s:[], s:o}", "type", d->type, "body", d->body, "refs",
                             strings_json(d->refs, d->n_refs), "blobs", "job", job_json(d->job));
    for (int i = 0; i < d->n_blobs; i++)
        json_array_append_new(json_object_get(json, "blobs"),
                              json_pack("[s, s]", d->blobs[i].name, d->blobs[i].sha256));
    CLEANUP(freep) char *text = json_text(json);
    return xasprintf("%s%s", d->id, text);
}

static int lend_strings(const json_t *list, const char **out)
{
    int n = 0;
    for (; n < (int)json_array_size(list); n++)
        out[n] = json_string_value(json_array_get(list, (size_t)n));
    return n;
}

static void read_job(struct instance *i, const json_t *job, const char **after)
{
    i->job = (struct new_job){
        .kind = json_get_string(job, "kind", ""),
        .pool = json_get_string(job, "pool", "cpu"),
        .priority = (int)json_get_int(job, "priority", 0),
        .spec = json_object_get(job, "spec"),
        .max_attempts = (int)json_get_int(job, "max-attempts", 0),
        .backoff_ms = json_get_int(job, "backoff-ms", 0),
        .retry_failed = json_get_bool(job, "retry-failed", false),
        .max_ms = json_get_int(job, "max-ms", 0),
        .not_before_ms = json_get_int(job, "not-before-ms", 0),
        .after = after,
    };
    i->job.n_after = lend_strings(json_object_get(job, "after"), after);
}

static void read_document(struct instance *i)
{
    const json_t *refs = json_object_get(i->json, "refs"), *blobs = json_object_get(i->json, "blobs");
    const json_t *job = json_object_get(i->json, "job");
    size_t n_refs = json_array_size(refs), n_blobs = json_array_size(blobs);
    i->strings = xcalloc(n_refs + json_array_size(json_object_get(job, "after")) + 1, sizeof(*i->strings));
    i->blobs = xcalloc(n_blobs + 1, sizeof(*i->blobs));
    for (size_t b = 0; b < n_blobs; b++) {
        const json_t *pair = json_array_get(blobs, b);
        i->blobs[b] = (struct blob_ref){json_string_value(json_array_get(pair, 0)),
                                        json_string_value(json_array_get(pair, 1))};
    }
    i->document = (struct new_document){
        .id = i->id,
        .type = json_get_string(i->json, "type", ""),
        .body = json_object_get(i->json, "body"),
        .job = &i->job,
        .refs = i->strings,
        .n_refs = lend_strings(refs, i->strings),
        .blobs = i->blobs,
        .n_blobs = (int)n_blobs,
    };
    read_job(i, job, i->strings + n_refs);
}

static void put_id(char *text, const char *placeholder, const char *id)
{
    for (char *at = text; (at = strstr(at, placeholder)); at += ID_DIGITS)
        memcpy(at, id, ID_DIGITS);
}

static enum status apply_patch(struct instance *i, const json_t *patch, const char *placeholder,
                               struct error *err)
{
    CLEANUP(freep) char *text = json_text(patch);
    CLEANUP(json_decrefp) json_t *own = NULL;
    put_id(text, placeholder, i->id);
    if (json_read(text, strlen(text), &own, err) != OK)
        return error_set(err, FAILED, "a template's parameters are damaged");
    const json_t *body = json_object_get(own, "body"), *spec = json_object_get(own, "spec");
    if (body)
        merge_patch(json_object_get(i->json, "body"), body);
    if (spec)
        merge_patch(json_object_get(json_object_get(i->json, "job"), "spec"), spec);
    return OK;
}

enum status template_instance(const char *text, const json_t *patch, struct instance *ret_instance,
                              struct error *err)
{
    struct instance *i = ret_instance;
    if (strlen(text) <= ID_DIGITS)
        return error_set(err, FAILED, "a template is damaged");
    CLEANUP(freep) char *own = xstrdup(text + ID_DIGITS);
    char placeholder[ID_MAX];
    memcpy(placeholder, text, ID_DIGITS);
    placeholder[ID_DIGITS] = '\0';
    *i = (struct instance){0};
    id_new(i->id);
    put_id(own, placeholder, i->id);
    if (json_read(own, strlen(own), &i->json, err) != OK)
        return error_set(err, FAILED, "a template is damaged");
    if (patch)
        TRY(apply_patch(i, patch, placeholder, err));
    read_document(i);
    return OK;
}

void instance_release(struct instance *i)
{
    json_decref(i->json);
    free(i->strings);
    free(i->blobs);
    *i = (struct instance){0};
}
