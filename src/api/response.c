#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/range.h"
#include "api/server.h"

void response_release(struct response *r)
{
    json_decref(r->problem_members);
    r->problem_members = NULL;
}

void response_header(struct response *r, const char *name, const char *value)
{
    http_reply_header(r->reply, name, value);
}

void response_text(struct response *r, int status, const char *content_type, char *bytes, size_t size)
{
    free(r->reply->bytes);
    r->reply->status = status;
    r->reply->bytes = bytes;
    r->reply->size = (int64_t)size;
    http_reply_header(r->reply, "Content-Type", content_type);
}

void response_json(struct response *r, int status, json_t *json)
{
    char *text = json_text(json);
    json_decref(json);
    response_text(r, status, "application/json; charset=utf-8", text, strlen(text));
}

void response_empty(struct response *r, int status)
{
    r->reply->status = status;
}

void response_blob(struct response *r, const char *sha256, const char *content_type)
{
    snprintf(r->blob, sizeof(r->blob), "%s", sha256);
    r->reply->status = 200;
    http_reply_header(r->reply, "Content-Type", content_type);
}

void response_stream(struct response *r, const char *content_type, stream_source source)
{
    r->reply->status = 200;
    r->reply->streams = true;
    r->source = source;
    r->waiter->is_patient = true;
    http_reply_header(r->reply, "Content-Type", content_type);
    http_reply_header(r->reply, "X-Accel-Buffering", "no"); /* nginx: pass it on as it comes */
}

void response_wait(struct response *r, const char *topic, int64_t deadline_ms)
{
    waiter_topic_add(r->waiter, topic);
    r->waiter->deadline_ms = r->waits ? MIN(r->waiter->deadline_ms, deadline_ms) : deadline_ms;
    r->waits = true;
}

void response_look(struct response *r, int64_t look_ms)
{
    r->waiter->look_ms = look_ms;
}

/* Bytes of a blob never change, so its hash is a strong tag, and a range is good when If-Range names it. */
enum status blob_answer(struct exchange *x, struct error *err)
{
    struct http_reply *reply = x->response.reply;
    char etag[70], range[80];
    snprintf(etag, sizeof(etag), "\"%s\"", x->response.blob);
    http_reply_header(reply, "ETag", etag);
    http_reply_header(reply, "Accept-Ranges", "bytes");
    http_reply_header(reply, "Cache-Control", "private, no-cache");
    http_reply_header(reply, "Content-Security-Policy", "default-src 'none'; sandbox");
    const char *cached = http_header(x->call, "If-None-Match");
    if (cached && etag_matches(cached, etag, true)) {
        reply->status = 304;
        return OK;
    }
    const char *match = http_header(x->call, "If-Match");
    if (match && !etag_matches(match, etag, false)) {
        problem_http_status(&x->response, 412);
        return error_set(err, CONFLICT, "the bytes are not those that If-Match names: they are %s", etag);
    }
    TRY(blob_open(x->api->store, x->response.blob, &reply->fd, &reply->size, err));

    const char *wanted = strcmp(http_method(x->call), "GET") ? NULL : http_header(x->call, "Range");
    const char *if_range = http_header(x->call, "If-Range");
    if (if_range && !etag_matches(if_range, etag, false))
        wanted = NULL;
    int64_t size = reply->size;
    switch (range_read(wanted, size, &reply->offset, &reply->size)) {
    case RANGE_WHOLE:
        break;
    case RANGE_PART:
        reply->status = 206;
        snprintf(range, sizeof(range), "bytes %lld-%lld/%lld", (long long)reply->offset,
                 (long long)(reply->offset + reply->size - 1), (long long)size);
        http_reply_header(reply, "Content-Range", range);
        break;
    case RANGE_UNSATISFIABLE:
        close(reply->fd);
        reply->fd = -1;
        reply->size = 0;
        snprintf(range, sizeof(range), "bytes */%lld", (long long)size);
        http_reply_header(reply, "Content-Range", range);
        problem_http_status(&x->response, 416);
        return error_set(err, INVALID, "the range '%s' is outside of the %lld bytes there are", wanted,
                         (long long)size);
    }
    return OK;
}
