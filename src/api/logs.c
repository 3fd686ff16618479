#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/range.h"
#include "api/resource.h"
#include "base/buf.h"
#include "base/clock.h"

#define PIECE          (1 << 20)
#define FOLLOW_LOOK_MS 30000

const struct field log_query[] = {
    {"follow", FIELD_BOOL, 0, "Go on until the job is over; Range says where to begin.",
     .otherwise = "false"},
    {NULL},
};

/* size bytes of the log from offset; a log only grows, so they are there. */
static enum status read_log(struct store *store, const char *job, int64_t offset, int64_t size,
                            char **ret_bytes, struct error *err)
{
    struct buf text;
    buf_init(&text, (size_t)size + 1);
    enum status status = OK;
    while (status == OK && (int64_t)text.size < size) {
        CLEANUP(freep) char *piece = NULL;
        size_t n = 0;
        status = log_read(store, job, LOG_STDERR, offset + (int64_t)text.size,
                          (size_t)MIN(size - (int64_t)text.size, PIECE), &piece, &n, err);
        if (status == OK && !n)
            status = error_set(err, FAILED, "the log ends early");
        else if (status == OK)
            buf_append(&text, piece, n);
    }
    if (status == OK)
        *ret_bytes = buf_take(&text, NULL);
    buf_release(&text);
    return status;
}

bool job_is_over(const struct request *r, const char *id)
{
    CLEANUP(document_release) struct document d = {0};
    enum status status = document_get(api_store(r->api), r->who.owner, id, &d, NULL);
    return status == NOT_FOUND || (status == OK && (d.state < STATE_WAITING || d.state > STATE_PROCESSING));
}

/* Where a follower stands: request->state. */
struct follower {
    char job[DOCUMENT_ID_MAX];
    int64_t offset;
};

static enum stream_next more_of_log(struct request *r, struct response *response, struct buf *out)
{
    struct follower *f = r->state;
    struct store *store = api_store(r->api);
    for (bool over = false;; over = true) {
        CLEANUP(freep) char *bytes = NULL;
        size_t size = 0;
        if (log_read(store, f->job, LOG_STDERR, f->offset, STREAM_PIECE_BYTES, &bytes, &size, NULL) != OK)
            return STREAM_CUT;
        if (size) {
            f->offset += (int64_t)size;
            buf_append(out, bytes, size);
            return STREAM_MORE;
        }
        if (over) /* and it was before this last look */
            return STREAM_END;
        if (r->last)
            return STREAM_CUT;
        if (!job_is_over(r, f->job))
            break;
    }
    CLEANUP(freep) char *topic = xasprintf("job:%s", f->job);
    response_wait(response, topic, clock_monotonic_ms() + FOLLOW_LOOK_MS);
    return STREAM_MORE;
}

/* The log as it grows, until its job is over; Range says where to begin. */
static enum status follow(struct request *r, struct response *response, const char *job, struct error *err)
{
    int64_t size, offset = 0, length;
    TRY(log_size(api_store(r->api), job, LOG_STDERR, &size, err));
    const char *range = request_header(r, "Range");
    enum range_result wanted = range_read(range, size, &offset, &length);
    char at_end[40];
    snprintf(at_end, sizeof at_end, "bytes=%lld-", (long long)size);
    if (wanted == RANGE_UNSATISFIABLE && range && (!strcmp(range, at_end) || strstr(range, "=-")))
        offset = size;
    else if (wanted == RANGE_UNSATISFIABLE) {
        problem_http_status(response, 416);
        return error_set(err, INVALID, "the log has %lld bytes so far", (long long)size);
    }
    struct follower *f = r->state = xcalloc(1, sizeof *f);
    snprintf(f->job, sizeof f->job, "%s", job);
    f->offset = wanted == RANGE_WHOLE ? 0 : offset;
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)f->offset);
    response_stream(response, "text/plain; charset=utf-8", more_of_log);
    response_header(response, "ET-Log-Offset", text);
    return OK;
}

enum status resource_logs(struct request *r, struct response *response, struct error *err)
{
    struct store *store = api_store(r->api);
    CLEANUP(document_release) struct document document = {0};
    TRY(resource_find(r, resource_of_request(r), r->args[0], &document, err));
    bool follows;
    TRY(query_bool(r, "follow", &follows, err));
    if (follows)
        return follow(r, response, document.id, err);
    int64_t size, offset = 0, length;
    TRY(log_size(store, document.id, LOG_STDERR, &size, err));
    length = size;
    char range[80];
    enum range_result wanted = range_read(request_header(r, "Range"), size, &offset, &length);
    if (wanted == RANGE_UNSATISFIABLE) {
        snprintf(range, sizeof range, "bytes */%lld", (long long)size);
        response_header(response, "Content-Range", range);
        problem_http_status(response, 416);
        return error_set(err, INVALID, "the log has %lld bytes so far", (long long)size);
    }
    char *bytes = NULL;
    TRY(read_log(store, document.id, offset, length, &bytes, err));
    response_text(response, wanted == RANGE_PART ? 206 : 200, "text/plain; charset=utf-8", bytes,
                  (size_t)length);
    response_header(response, "Accept-Ranges", "bytes");
    response_header(response, "Cache-Control", "no-store");
    if (wanted == RANGE_PART) {
        snprintf(range, sizeof range, "bytes %lld-%lld/%lld", (long long)offset,
                 (long long)(offset + length - 1), (long long)size);
        response_header(response, "Content-Range", range);
    }
    return OK;
}
