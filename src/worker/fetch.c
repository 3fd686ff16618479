/* fetch.c - a job that copies a user's URL to the blob store. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "worker/kinds.h"

#define SLOW_AFTER_MS 60000
#define SLOW_BYTES    1024 /* a second, on average since the start */

struct target {
    int fd;
    const char *name, *url;
    int64_t size, started_at;
};

static enum status write_piece(void *context, const void *bytes, size_t size, struct error *err)
{
    struct target *t = context;
    int64_t elapsed_ms = clock_monotonic_ms() - t->started_at;
    t->size += (int64_t)size;
    if (elapsed_ms > SLOW_AFTER_MS && t->size < elapsed_ms / 1000 * SLOW_BYTES)
        return error_set(err, UNAVAILABLE, "'%s' sends less than %d bytes a second", t->url, SLOW_BYTES);
    if (fd_write_all(t->fd, bytes, size))
        return error_set(err, status_from_errno(errno), "cannot write '%s': %s", t->name, strerror(errno));
    return OK;
}

enum status job_fetch_url(struct job *job, const char *url, const char *file_name, int64_t max_bytes,
                          struct error *err)
{
    CLEANUP(freep) char *path = path_join(job_folder(job), file_name);
    CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_set(err, status_from_errno(errno), "cannot create '%s': %s", file_name, strerror(errno));
    struct target target = {fd, file_name, url, 0, clock_monotonic_ms()};
    struct http_request get = {
        .url = url,
        .sink = write_piece,
        .context = &target,
        .max_bytes = max_bytes,
        .guarded = !job_lease(job)->allow_private_urls,
        .follow = true,
        .stop = job_stop_flag(job),
    };
    struct http_response response;
    TRY(http_perform(job_http(job), &get, &response, err));
    int status = response.status;
    http_response_release(&response);
    if (status >= 200 && status < 300)
        return OK;
    bool is_passing = status >= 500 || status == 408 || status == 429;
    return error_set(err, is_passing ? UNAVAILABLE : INVALID, "'%s' answered %d", url, status);
}

enum status job_run_fetch(struct job *job, json_t **ret_result, struct error *err)
{
    const json_t *spec = job_lease(job)->spec;
    const char *url = json_get_string(spec, "url", NULL), *name = json_get_string(spec, "name", NULL);
    if (!url || !name)
        return error_set(err, INVALID, "a fetch job needs 'url' and 'name'");
    TRY(job_fetch_url(job, url, "fetched", job_host(job)->max_fetch_bytes, err));
    TRY(job_put_blob(job, "fetched", name, err));
    *ret_result = json_object();
    return OK;
}
