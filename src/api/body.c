/*
 * body.c - what a client sends, as its route takes it: JSON and values in
 * memory, files to the blob store as they come.
 */
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/form.h"
#include "api/server.h"
#include "base/buf.h"
#include "base/size.h"

#define POST_PROCESSOR_BYTES (64 * 1024)
#define PARTS_MAX            4096
#define FILES_MAX            8 /* in a document, each of another name */

struct body {
    struct exchange *x;
    enum body_kind kind;
    bool multipart;
    struct buf text;            /* JSON, bytes, or the value of the part that is arriving */
    struct blob_writer *writer; /* of the file that is arriving */
    struct quota_hold *hold;    /* of all files, until the answer; NULL: none came yet */
    bool held_ahead;            /* all that the body's length says */

    struct MHD_PostProcessor *parts;
    bool in_part, part_is_file;
    char *part, *file_name; /* of the part that is arriving */
    int64_t part_size;
    int n_parts;
    size_t values_size;
    size_t json_max;
    int large_mib;      /* held of what all may have over the usual */
    char *document;     /* text of the part `document` */
    enum status status; /* of the first failure inside the part callback */
    struct error err;
};

static bool has_name(const char *const *names, const char *name)
{
    for (; names && *names; names++)
        if (!strcmp(*names, name))
            return true;
    return false;
}

/* The last element of a path as any system writes it, without control characters. */
static char *plain_file_name(const char *s)
{
    const char *last = s ? s : "";
    for (const char *c = last; *c; c++)
        if (*c == '/' || *c == '\\')
            last = c + 1;
    char *name = xstrdup(!strcmp(last, ".") || !strcmp(last, "..") ? "" : last);
    for (char *c = name; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '_';
    return name;
}

/* ---- Files, within the quota of whose document they are for. ---- */

static enum status owner_of_upload(struct exchange *x, char ret_owner[OWNER_MAX], struct error *err)
{
    if (x->match.route->scope != SCOPE_LEASE) {
        snprintf(ret_owner, OWNER_MAX, "%.*s", OWNER_MAX - 1, x->request.who.owner);
        return OK;
    }
    CLEANUP(job_release) struct job job = {0};
    TRY(queue_job(x->api->store, x->match.args[0], &job, err));
    snprintf(ret_owner, OWNER_MAX, "%s", job.owner);
    return OK;
}

/* A worker is not to try again: its answer is 413, not 507. */
static enum status over_quota(struct body *b, struct error *err)
{
    struct exchange *x = b->x;
    int64_t used, quota;
    quota_figures(b->hold, &used, &quota);
    problem_member(&x->response, "used", json_integer(used));
    problem_member(&x->response, "quota", json_integer(quota));
    if (x->match.route->scope == SCOPE_LEASE)
        err->status = TOO_LARGE;
    return err->status;
}

static enum status hold_bytes(struct body *b, int64_t bytes, struct error *err)
{
    enum status status = quota_add(b->hold, bytes, err);
    return status == NO_SPACE ? over_quota(b, err) : status;
}

static enum status file_begin(struct body *b, struct error *err)
{
    if (!b->hold) {
        char owner[OWNER_MAX];
        TRY(owner_of_upload(b->x, owner, err));
        TRY(quota_begin(b->x->api->store, owner, &b->hold, err));
    }
    return blob_begin(b->x->api->store, &b->writer, err);
}

static enum status file_bytes(struct body *b, const char *bytes, size_t size, struct error *err)
{
    TRY(hold_bytes(b, (int64_t)size, err));
    return blob_write(b->writer, bytes, size, err);
}

/* ---- Parts of a form, in the order in which they arrive. ---- */

static enum status file_over(struct body *b, struct error *err)
{
    struct request *r = &b->x->request;
    struct blob blob;
    TRY(blob_commit(TAKE(b->writer), NULL, r->now_ms, &blob, err));
    r->uploads = xrealloc(r->uploads, ((size_t)r->n_uploads + 1) * sizeof(*r->uploads));
    struct upload *u = &r->uploads[r->n_uploads++];
    *u = (struct upload){.part = TAKE(b->part), .file_name = TAKE(b->file_name), .size = blob.size};
    memcpy(u->sha256, blob.sha256, sizeof(u->sha256));
    memcpy(u->sha1, blob.sha1, sizeof(u->sha1));
    return OK;
}

static enum status value_over(struct body *b, struct error *err)
{
    struct request *r = &b->x->request;
    if (memchr(b->text.data, '\0', b->text.size))
        return error_set(err, INVALID, "the form's part '%s' holds a NUL byte", b->part);
    b->values_size += b->text.size;
    char *text = buf_take(&b->text, NULL);
    if (b->kind == BODY_DOCUMENT) {
        b->document = text;
        return OK;
    }
    r->values = xrealloc(r->values, ((size_t)r->n_values + 1) * sizeof(*r->values));
    r->values[r->n_values++] = (struct form_value){TAKE(b->part), text};
    return OK;
}

static enum status part_over(struct body *b, struct error *err)
{
    if (!b->in_part)
        return OK;
    b->in_part = false;
    enum status status = b->part_is_file ? file_over(b, err) : value_over(b, err);
    freep(&b->part);
    freep(&b->file_name);
    return status;
}

static enum status part_begin(struct body *b, const char *name, const char *file_name, struct error *err)
{
    const struct route *route = b->x->match.route;
    if (!name)
        return error_set(err, INVALID, "a part of the form has no name");
    int n_max = b->kind == BODY_DOCUMENT ? FILES_MAX : PARTS_MAX;
    if (++b->n_parts > n_max)
        return error_set(err, TOO_LARGE, "the form has more than %d parts", n_max);
    bool is_file = has_name(route->files, name);
    bool is_value = b->kind == BODY_DOCUMENT ? !strcmp(name, "document")
                                             : !route->in || fields_find(route->in, name) != NULL;
    if (!is_file && !is_value)
        return problem_at(&b->x->response, "", err, INVALID,
                          "the form's part '%.100s' is none that is taken here", name);
    if (is_file && b->kind == BODY_DOCUMENT && !file_name)
        return error_set(err, INVALID,
                         "the form's part '%s' has no file name: send a file, as curl -F %s=@FILE does", name,
                         name);
    if (b->kind == BODY_DOCUMENT && !is_file && b->document)
        return error_set(err, INVALID, "the form has two parts 'document'");
    if (is_file)
        TRY(file_begin(b, err));
    else
        buf_clear(&b->text);
    b->in_part = true;
    b->part_is_file = is_file;
    b->part = xstrdup(name);
    b->file_name = plain_file_name(file_name);
    b->part_size = 0;
    return OK;
}

/* What JSON becomes in memory is many times its size: all large ones together are bounded. */
static enum status hold_large(struct body *b, size_t size, struct error *err)
{
    int more = (int)(size / JSON_BODY_MAX) - b->large_mib;
    if (more <= 0)
        return OK;
    if (atomic_fetch_add(&b->x->api->large_mib, more) + more > LARGE_MIB_MAX) {
        atomic_fetch_sub(&b->x->api->large_mib, more);
        return error_set(err, UNAVAILABLE, "too many large requests are under way: try again");
    }
    b->large_mib += more;
    return OK;
}

static enum status text_bytes(struct body *b, const char *bytes, size_t size, struct error *err)
{
    char text[SIZE_TEXT_MAX];
    size_t whole = b->values_size + b->text.size + size;
    if (whole > b->json_max)
        return error_set(err, TOO_LARGE, "the %s over %s%s", b->multipart ? "form's values are" : "body is",
                         size_text((int64_t)b->json_max, text), b->multipart ? ": send files as files" : "");
    if (whole > JSON_BODY_MAX)
        TRY(hold_large(b, whole, err));
    buf_append(&b->text, bytes, size);
    return OK;
}

static enum status part_bytes(struct body *b, const char *bytes, size_t size, struct error *err)
{
    b->part_size += (int64_t)size;
    if (b->part_is_file)
        return size ? file_bytes(b, bytes, size, err) : OK;
    return text_bytes(b, bytes, size, err);
}

/* An empty first call at offset 0 may be followed by another one, with the bytes, of the same part. */
static enum MHD_Result on_part(void *context, enum MHD_ValueKind kind, const char *name,
                               const char *file_name, const char *type, const char *encoding,
                               const char *bytes, uint64_t offset, size_t size)
{
    (void)kind, (void)type, (void)encoding;
    struct body *b = context;
    bool same = false;
    if (b->in_part && b->part_size == 0 && name && !strcmp(b->part, name)) {
        CLEANUP(freep) char *plain = plain_file_name(file_name);
        same = !strcmp(plain, b->file_name);
    }
    if (offset == 0 && !same) {
        b->status = part_over(b, &b->err);
        if (b->status == OK)
            b->status = part_begin(b, name, file_name, &b->err);
    }
    if (b->status == OK)
        b->status = part_bytes(b, bytes, size, &b->err);
    return b->status == OK ? MHD_YES : MHD_NO;
}

/* ---- The whole body. ---- */

static bool is_type(const char *content_type, const char *type)
{
    size_t n = strlen(type);
    return !strncasecmp(content_type, type, n) && (!content_type[n] || strchr("; \t", content_type[n]));
}

/*
 * `curl -d` calls its JSON a form.  A browser may send that across sites
 * without asking first, but always with an Origin: from there it is refused.
 */
static bool is_json(const struct body *b, const char *type)
{
    return !type || is_type(type, "application/json") ||
           (is_type(type, "application/x-www-form-urlencoded") && !http_header(b->x->call, "Origin"));
}

static enum status check_type(struct body *b, const char *type, struct error *err)
{
    bool form_taken = b->kind == BODY_DOCUMENT || b->kind == BODY_FORM;
    bool json_taken = form_taken || b->kind == BODY_JSON;
    if (!form_taken && !json_taken)
        return OK;
    b->multipart = form_taken && type && is_type(type, "multipart/form-data");
    if (b->multipart || (json_taken && is_json(b, type)))
        return OK;
    return error_set(err, UNSUPPORTED, "the body is %.100s: expected %s%s%s", type ? type : "of no type",
                     json_taken ? "application/json" : "", json_taken && form_taken ? " or " : "",
                     form_taken ? "multipart/form-data" : "");
}

/* The library's reader of forms wants the connection for its Content-Type only. */
static enum status begin_parts(struct body *b, struct error *err)
{
    b->parts = MHD_create_post_processor(http_connection(b->x->call), POST_PROCESSOR_BYTES, on_part, b);
    if (!b->parts)
        return error_set(err, INVALID, "the body's Content-Type names no boundary of two or more characters");
    return OK;
}

enum status body_begin(struct exchange *x, int64_t *ret_max, struct error *err)
{
    struct body *b = xcalloc(1, sizeof(*b));
    b->x = x;
    b->kind = x->match.route->body;
    b->json_max = (size_t)MAX(x->match.route->json_max, JSON_BODY_MAX);
    buf_init(&b->text, b->json_max);
    x->body = b;
    if (http_length(x->call) != 0)
        TRY(check_type(b, http_header(x->call, "Content-Type"), err));
    if (b->multipart)
        TRY(begin_parts(b, err));
    bool said = http_length(x->call) != 0 || http_header(x->call, "Content-Length");
    if (b->kind == BODY_RAW && said) {
        TRY(file_begin(b, err));
        /* What is said to come does not even begin when it does not fit. */
        b->held_ahead = http_length(x->call) > 0;
        if (b->held_ahead)
            TRY(hold_bytes(b, http_length(x->call), err));
    }
    *ret_max = b->multipart || b->kind == BODY_RAW ? x->api->options.max_upload : (int64_t)b->json_max;
    return OK;
}

enum status body_write(struct exchange *x, const char *bytes, size_t size, struct error *err)
{
    struct body *b = x->body;
    if (b->kind == BODY_NONE)
        return OK;
    if (b->kind == BODY_RAW)
        return b->held_ahead ? blob_write(b->writer, bytes, size, err) : file_bytes(b, bytes, size, err);
    if (!b->multipart)
        return text_bytes(b, bytes, size, err);
    if (MHD_post_process(b->parts, bytes, size) == MHD_YES)
        return OK;
    if (b->status == OK)
        return error_set(err, INVALID, "the body is no well-formed multipart/form-data");
    if (err)
        *err = b->err;
    return b->status;
}

static enum status end_parts(struct body *b, struct error *err)
{
    bool whole = MHD_destroy_post_processor(TAKE(b->parts)) == MHD_YES;
    if (!whole)
        return error_set(err, INVALID, "the form is cut short: its last boundary is missing");
    return part_over(b, err);
}

/* By the route's table; in a document, files stand for the fields of their names. */
static enum status decode(struct body *b, const json_t *json, struct error *err)
{
    struct exchange *x = b->x;
    struct request *r = &x->request;
    const struct route *route = x->match.route;
    if (!route->in) {
        if (!json_is_object(json))
            return problem_at(&x->response, "", err, INVALID, "the body is no object: expected {...}");
        r->body = json_incref((json_t *)json);
        return OK;
    }
    const char *names[FILES_MAX + 1] = {NULL};
    for (int i = 0; i < r->n_uploads && b->kind == BODY_DOCUMENT; i++) {
        if (has_name(names, r->uploads[i].part))
            return error_set(err, INVALID, "the form has two files '%s'", r->uploads[i].part);
        names[i] = r->uploads[i].part;
    }
    const struct fields_how how = {.partial = !strcmp(route->method, "PATCH"), .elsewhere = names};
    enum status status = fields_decode(route->in, &how, json, &r->body, x->response.pointer, err);
    x->response.has_pointer = status != OK;
    return status;
}

static enum status end_form(struct body *b, struct error *err)
{
    struct request *r = &b->x->request;
    CLEANUP(json_decrefp) json_t *json = NULL;
    TRY(end_parts(b, err));
    if (!b->x->match.route->in)
        return OK;
    TRY(form_object(r->values, r->n_values, b->x->match.route->in, &json, err));
    return decode(b, json, err);
}

static enum status end_json(struct body *b, struct error *err)
{
    const char *text = b->multipart ? b->document : b->text.data;
    size_t size = b->multipart ? (text ? strlen(text) : 0) : b->text.size;
    CLEANUP(json_decrefp) json_t *json = NULL;
    if (size)
        TRY(json_read(text, size, &json, err));
    else
        json = json_object();
    return decode(b, json, err);
}

enum status body_end(struct exchange *x, struct error *err)
{
    struct body *b = x->body;
    struct request *r = &x->request;
    struct blob blob;
    switch (b->kind) {
    case BODY_NONE:
        return OK;
    case BODY_RAW:
        if (!b->writer)
            return OK;
        TRY(blob_commit(TAKE(b->writer), http_header(x->call, "ET-Sha256"), r->now_ms, &blob, err));
        memcpy(r->raw.sha256, blob.sha256, sizeof(r->raw.sha256));
        memcpy(r->raw.sha1, blob.sha1, sizeof(r->raw.sha1));
        r->raw.size = blob.size;
        return OK;
    case BODY_BYTES:
        r->bytes = b->text.data;
        r->n_bytes = b->text.size;
        return OK;
    case BODY_FORM:
        return b->multipart ? end_form(b, err) : end_json(b, err);
    case BODY_DOCUMENT:
        if (b->multipart)
            TRY(end_parts(b, err));
        return end_json(b, err);
    case BODY_JSON:
        return end_json(b, err);
    }
    return OK;
}

void body_free(struct body *b)
{
    if (!b)
        return;
    if (b->parts)
        MHD_destroy_post_processor(b->parts);
    blob_abort(b->writer);
    quota_end(b->hold);
    atomic_fetch_sub(&b->x->api->large_mib, b->large_mib);
    buf_release(&b->text);
    free(b->part);
    free(b->file_name);
    free(b->document);
    free(b);
}
