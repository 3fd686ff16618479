#include "api/resource.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/http_client.h"

#define PROTOTXT_MAX     (1 << 20)
#define FETCH_TIMEOUT_MS 10000
#define FETCHES_MAX      4 /* at a time: a slow server holds up no more threads than these */

static enum status read_upload(const struct request *r, const struct upload *upload, char **ret_bytes,
                               size_t *ret_size, struct error *err)
{
    if (upload->size > PROTOTXT_MAX)
        return error_set(err, INVALID, "%lld bytes; a prototxt has at most %d", (long long)upload->size,
                         PROTOTXT_MAX);
    return blob_read(api_store(r->api), upload->sha256, PROTOTXT_MAX, ret_bytes, ret_size, err);
}

static void fetch_end(atomic_int **under_way)
{
    atomic_fetch_sub(*under_way, 1);
}

static enum status read_url(const struct request *r, const char *url, char **ret_bytes, size_t *ret_size,
                            struct error *err)
{
    static atomic_int fetches;
    bool private = api_allows_private_urls(r->api);
    TRY(url_check(url, private, err));
    CLEANUP(fetch_end) atomic_int *under_way = &fetches;
    if (atomic_fetch_add(under_way, 1) >= FETCHES_MAX)
        return error_set(err, UNAVAILABLE,
                         "too many URLs are being read: try again, or send the text itself");
    CLEANUP(http_client_freep) struct http_client *client = NULL;
    TRY(http_client_new(&client, err));
    struct http_request request = {
        .url = url, .guarded = !private, .timeout_ms = FETCH_TIMEOUT_MS, .max_bytes = PROTOTXT_MAX};
    CLEANUP(http_response_release) struct http_response answer = {0};
    if (http_perform(client, &request, &answer, err) != OK) {
        err->status = INVALID;
        return error_context(err, "'%.200s' cannot be read", url);
    }
    if (answer.status != 200)
        return error_set(err, INVALID, "'%.200s' cannot be read: the server answers %d", url, answer.status);
    *ret_bytes = buf_take(&answer.body, ret_size);
    return OK;
}

enum status specification_fetch(const struct request *r, struct response *response, const char *url_field,
                                const char *inline_field, char **ret_bytes, size_t *ret_size,
                                struct error *err)
{
    const struct upload *upload = request_upload(r, url_field);
    const char *text = json_get_string(r->body, inline_field, NULL);
    const char *url = json_get_string(r->body, url_field, NULL);
    CLEANUP(freep) char *pointer = xasprintf("/%s", upload || !text ? url_field : inline_field);
    enum status status;
    if (upload) {
        status = read_upload(r, upload, ret_bytes, ret_size, err);
    } else if (text) {
        *ret_bytes = xstrdup(text);
        *ret_size = strlen(text);
        status = OK;
    } else if (url) {
        status = read_url(r, url, ret_bytes, ret_size, err);
    } else {
        status = error_set(err, INVALID,
                           "missing: give a URL, a file part of this name, or the text itself as "
                           "'%s'",
                           inline_field);
    }
    return status == OK ? OK : problem_of_field(response, pointer, err);
}
