/*
 * health.c - is it alive, is it ready, and how does it fare.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "api/server.h"
#include "base/file.h"

static const struct field status_out[] = {
    {"status", FIELD_STRING, REQUIRED, "\"ok\"."},
    {NULL},
};

/* The answer of the request queue's contract: its clients ask here too. */
static enum status healthz(struct request *r, struct response *response, struct error *err)
{
    (void)r, (void)err;
    response_text(response, 200, "text/plain; charset=utf-8", xstrdup("OK"), 2);
    return OK;
}

static enum status readyz(struct request *r, struct response *response, struct error *err)
{
    if (store_check(api_store(r->api), err) != OK) {
        problem_http_status(response, 503);
        return error_context(err, "the store does not answer");
    }
    response_json(response, 200, json_pack("{s:s}", "status", "ok"));
    return OK;
}

/* Field 2 of /proc/self/statm: resident pages. */
static int64_t resident_bytes(void)
{
    CLEANUP(file_closep) FILE *file = fopen("/proc/self/statm", "re");
    long long pages = 0;
    if (!file || fscanf(file, "%*d %lld", &pages) != 1)
        return 0;
    return pages * sysconf(_SC_PAGESIZE);
}

static int64_t open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int64_t n = 0;
    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 3; /* . and .. and the one that reads */
}

static void put(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_one(struct buf *b, const char *name, const char *type, const char *help, int64_t value)
{
    put(b, name, type, help);
    buf_printf(b, "%s %lld\n", name, (long long)value);
}

static void put_requests(struct buf *b, const struct meters *m)
{
    put(b, "et_http_requests_total", "counter", "Answered requests by class of status.");
    for (int i = 1; i < 6; i++)
        buf_printf(b, "et_http_requests_total{status=\"%dxx\"} %lld\n", i,
                   (long long)atomic_load(&m->requests[i]));
    put(b, "et_http_request_seconds_total", "counter", "Time from head to answer, all requests together.");
    buf_printf(b, "et_http_request_seconds_total %.3f\n", (double)atomic_load(&m->milliseconds) / 1000);
    put_one(b, "et_http_received_bytes_total", "counter", "Bytes of bodies received.",
            atomic_load(&m->bytes_in));
    put_one(b, "et_http_sent_bytes_total", "counter", "Bytes of bodies sent.", atomic_load(&m->bytes_out));
    put_one(b, "et_http_requests_running", "gauge", "Requests under way.", atomic_load(&m->running));
    put_one(b, "et_http_requests_waiting", "gauge", "Long polls.", atomic_load(&m->waiting));
}

static enum status put_kept(struct buf *b, struct store *store, struct error *err)
{
    struct blob_counts blobs;
    int64_t pending;
    TRY(blob_count(store, &blobs, err));
    TRY(outbox_count(store, &pending, err));
    put(b, "et_blobs", "gauge", "Blobs by state.");
    buf_printf(b, "et_blobs{state=\"live\"} %lld\net_blobs{state=\"deleting\"} %lld\n", (long long)blobs.live,
               (long long)blobs.deleting);
    put(b, "et_blob_bytes", "gauge", "Their bytes.");
    buf_printf(b, "et_blob_bytes{state=\"live\"} %lld\net_blob_bytes{state=\"deleting\"} %lld\n",
               (long long)blobs.live_bytes, (long long)blobs.deleting_bytes);
    put_one(b, "et_blob_damage", "gauge", "Blobs that had lost their bytes at the last sweep.",
            blobs.damaged);
    put_one(b, "et_webhook_deliveries_pending", "gauge", "Deliveries still to be made.", pending);
    return OK;
}

static enum status metrics(struct request *r, struct response *response, struct error *err)
{
    struct api *api = r->api;
    struct queue_counts jobs;
    TRY(queue_count(api->store, &jobs, err));
    CLEANUP(buf_release) struct buf b;
    buf_init(&b, 64 * 1024);
    put(&b, "et_info", "gauge", "Version of the server.");
    buf_printf(&b, "et_info{version=\"%s\"} 1\n", ET_VERSION);
    put_requests(&b, &api->meters);
    put_one(&b, "et_http_connections", "gauge", "Open connections.", http_connections(api->http));
    put(&b, "et_jobs", "gauge", "Unfinished jobs by state.");
    buf_printf(
        &b,
        "et_jobs{state=\"waiting\"} %lld\net_jobs{state=\"ready\"} %lld\net_jobs{state=\"leased\"} %lld\n",
        (long long)jobs.waiting, (long long)jobs.ready, (long long)jobs.leased);
    TRY(put_kept(&b, api->store, err));
    struct statvfs disk;
    if (api->options.data && !statvfs(api->options.data, &disk))
        put_one(&b, "et_data_free_bytes", "gauge", "Free space where the data is.",
                (int64_t)disk.f_bavail * (int64_t)disk.f_frsize);
    put_one(&b, "process_resident_memory_bytes", "gauge", "Resident memory.", resident_bytes());
    put_one(&b, "process_open_fds", "gauge", "Open descriptors.", open_descriptors());
    put(&b, "process_start_time_seconds", "gauge", "Start, since 1970.");
    buf_printf(&b, "process_start_time_seconds %.3f\n", (double)api->started_ms / 1000);
    size_t size;
    char *text = buf_take(&b, &size);
    response_text(response, 200, "text/plain; version=0.0.4; charset=utf-8", text, size);
    return OK;
}

const struct route health_routes[] = {
    {"GET", "/healthz", healthz, SCOPE_NONE, BODY_NONE, "The process answers: OK.", .success = 200},
    {"GET", "/readyz", readyz, SCOPE_NONE, BODY_NONE, "The store answers too; else 503.", NULL, status_out,
     200},
    {"GET", "/metrics", metrics, SCOPE_METRICS, BODY_NONE,
     "Counters in Prometheus' text form; from this machine, or with an admin token.", NULL, NULL, 200},
    {NULL},
};
