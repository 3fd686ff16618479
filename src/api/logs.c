#include <stdio.h>
#include <stdlib.h>

#include "api/range.h"
#include "api/resource.h"
#include "base/buf.h"

#define PIECE (1 << 20)

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

enum status resource_logs(struct request *r, struct response *response, struct error *err)
{
    struct store *store = api_store(r->api);
    CLEANUP(document_release) struct document document = {0};
    TRY(resource_find(r, resource_of_request(r), r->args[0], &document, err));
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
