#include "worker/job.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "worker/snapshot.h"

#define SENT_SNAPSHOT  "sent-snapshot.tar" /* snapshot.tar is what the job began with */
#define PAUSE_FIRST_MS 100
#define PAUSE_MAX_MS   5000
#define SEND_EVERY_MS  100          /* between two sendings of the same kind */
#define SEND_LOG_BYTES (256 * 1024) /* of log at a time */
#define POINTS_MAX     10000        /* that wait; past it every other is dropped */
#define RETRY_BEAT_MS  1000
#define TAIL_BYTES     4096

static const char *const stream_names[] = {"stdout", "stderr"};
static const char *const stream_files[] = {"std-out.txt", "std-err.txt"};

struct stream {
    int fd;          /* the file in the job's folder, appended to */
    int64_t written; /* guarded by lock */
    int64_t sent;    /* the courier's */
    bool refused;    /* the server takes no more of it */
};

struct job {
    const struct job_host *host;
    struct lease lease;
    char *folder;
    const char *gpus;
    struct http_client *http[3]; /* the job's own thread, heart, courier */
    pthread_t heart, courier;
    bool has_heart, has_courier;

    atomic_bool stop;     /* ending is not GOES_ON */
    atomic_bool over;     /* ABANDONED or LOST: no more exchanges */
    atomic_bool finished; /* the heart ends */
    atomic_bool telling;  /* the outcome is on its way: beats find nothing out any more */
    int wake;             /* eventfd, raised with `stop` */

    pthread_mutex_t lock;
    pthread_cond_t stirred; /* monotonic clock */
    enum job_end ending;
    bool drain; /* the courier ends when nothing waits */
    struct stream streams[2];
    char tail[TAIL_BYTES]; /* end of stderr */
    size_t tail_size;
    json_t *points;                        /* array of metrics that wait */
    json_t *progress;                      /* NULL: none waits */
    char *snapshot_model, *snapshot_state; /* file names; NULL: none waits */
};

enum { OWN, HEART, COURIER };

/* ---- waiting ---- */

static void stir(struct job *job)
{
    pthread_cond_broadcast(&job->stirred);
}

/* A pause that the end of all exchanges cuts short. */
static void pause_for(struct job *job, int64_t ms)
{
    int64_t until = clock_monotonic_ms() + ms;
    pthread_mutex_lock(&job->lock);
    while (!job->over && clock_monotonic_ms() < until)
        clock_wait(&job->stirred, &job->lock, until);
    pthread_mutex_unlock(&job->lock);
}

/* ---- stopping ---- */

void job_end(struct job *job, enum job_end why)
{
    pthread_mutex_lock(&job->lock);
    if (why > job->ending) {
        job->ending = why;
        job->over = why >= JOB_ABANDONED;
        job->finished = job->finished || job->over;
        job->stop = true;
        eventfd_write(job->wake, 1);
        stir(job);
    }
    pthread_mutex_unlock(&job->lock);
}

enum job_end job_ending(const struct job *job)
{
    struct job *j = (struct job *)job;
    pthread_mutex_lock(&j->lock);
    enum job_end ending = j->ending;
    pthread_mutex_unlock(&j->lock);
    return ending;
}

enum status job_check(const struct job *job, struct error *err)
{
    return job->stop ? error_set(err, CANCELLED, "the job was asked to stop") : OK;
}

const atomic_bool *job_stop_flag(const struct job *job)
{
    return &job->stop;
}

int job_wake_fd(const struct job *job)
{
    return job->wake;
}

const struct lease *job_lease(const struct job *job)
{
    return &job->lease;
}

const struct job_host *job_host(const struct job *job)
{
    return job->host;
}

void job_set_gpus(struct job *job, const char *names)
{
    job->gpus = names;
}

const char *job_gpus(const struct job *job)
{
    return job->gpus ? job->gpus : "";
}

const char *job_folder(const struct job *job)
{
    return job->folder;
}

struct http_client *job_http(struct job *job)
{
    return job->http[OWN];
}

/* ---- the server ---- */

static enum status call_by(struct job *job, int who, const struct lease_call *call, json_t **ret_json,
                           struct error *err)
{
    struct lease_call each = *call;
    each.stop = &job->over;
    bool told = false;
    for (int64_t pause = PAUSE_FIRST_MS;; pause = MIN(2 * pause, PAUSE_MAX_MS)) {
        enum status status =
            lease_send(job->http[who], job->host->server_url, &job->lease, &each, ret_json, err);
        if (status == CONFLICT)
            job_end(job, JOB_LOST);
        if (status != UNAVAILABLE) {
            if (told && status == OK)
                log_event("worker.server-back", "job=%s attempt=%d", job->lease.job, job->lease.attempt);
            return status == CONFLICT ? error_set(err, CANCELLED, "the attempt is over") : status;
        }
        char reason[LOG_VALUE_MAX];
        if (!told)
            log_event("worker.server-away", "job=%s attempt=%d reason=%s", job->lease.job, job->lease.attempt,
                      log_value(err->message, reason));
        told = true;
        pause_for(job, pause);
        if (job->over)
            return error_set(err, CANCELLED, "the server did not answer before the job had to end");
    }
}

enum status job_call(struct job *job, const struct lease_call *call, json_t **ret_json, struct error *err)
{
    return call_by(job, OWN, call, ret_json, err);
}

struct download {
    int fd;
    struct hash *hash;
    int64_t size;
    const char *name;
};

static enum status write_download(void *context, const void *bytes, size_t size, struct error *err)
{
    struct download *d = context;
    if (fd_write_all(d->fd, bytes, size))
        return error_set(err, status_from_errno(errno), "cannot write '%s': %s", d->name, strerror(errno));
    hash_update(d->hash, bytes, size);
    d->size += (int64_t)size;
    return OK;
}

/* One try from the beginning. */
static enum status download_once(struct job *job, const char *name, const char *path,
                                 char sha256[HASH_HEX_MAX], struct error *err)
{
    CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_set(err, status_from_errno(errno), "cannot create '%s': %s", path, strerror(errno));
    struct download d = {.fd = fd, .name = name, .hash = hash_new(HASH_SHA256)};
    CLEANUP(freep) char *url_path = xasprintf("inputs/%s", name);
    struct lease_call get = {
        .method = "GET", .path = url_path, .sink = write_download, .context = &d, .stop = &job->stop};
    enum status status = lease_send(job->http[OWN], job->host->server_url, &job->lease, &get, NULL, err);
    hash_finish(d.hash, sha256);
    return status;
}

enum status job_get_input(struct job *job, const char *name, const char *file_name, struct error *err)
{
    const struct lease_input *input = lease_find_input(&job->lease, name);
    if (!input)
        return error_set(err, NOT_FOUND, "the job has no input '%s'", name);
    CLEANUP(freep) char *path = path_join(job->folder, file_name);
    for (int64_t pause = PAUSE_FIRST_MS;; pause = MIN(2 * pause, PAUSE_MAX_MS)) {
        TRY(job_check(job, err));
        char sha256[HASH_HEX_MAX];
        enum status status = download_once(job, name, path, sha256, err);
        if (status == OK && input->sha256[0] && strcmp(sha256, input->sha256))
            status = error_set(err, UNAVAILABLE, "input '%s' came with other bytes than were stored", name);
        if (status == CONFLICT)
            job_end(job, JOB_LOST);
        if (status != UNAVAILABLE)
            return status == CONFLICT ? error_set(err, CANCELLED, "the attempt is over") : status;
        pause_for(job, pause);
    }
}

static enum status put_file(struct job *job, int who, const char *file_name, const char *blob_name,
                            struct error *err)
{
    CLEANUP(freep) char *path = path_join(job->folder, file_name);
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, FAILED, "cannot open '%s': %s", path, strerror(errno));
    CLEANUP(hash_freep) struct hash *hash = hash_new(HASH_SHA256);
    char part[65536], sha256[HASH_HEX_MAX];
    int64_t size = 0;
    ssize_t n;
    while ((n = read(fd, part, sizeof(part))) > 0) {
        hash_update(hash, part, (size_t)n);
        size += n;
    }
    if (n < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return error_set(err, FAILED, "cannot read '%s': %s", path, strerror(errno));
    hash_finish(TAKE(hash), sha256);
    if (fault_point("worker.upload"))
        return error_set(err, NO_SPACE, "cannot upload '%s': armed to fail", blob_name);
    CLEANUP(freep) char *url_path = xasprintf("blobs/%s", blob_name);
    struct lease_call put = {
        .method = "PUT", .path = url_path, .body_fd = fd, .body_size = size, .sha256 = sha256};
    return call_by(job, who, &put, NULL, err);
}

enum status job_put_blob(struct job *job, const char *file_name, const char *blob_name, struct error *err)
{
    return put_file(job, OWN, file_name, blob_name, err);
}

/* ---- what is to be carried ---- */

static void keep_tail(struct job *job, const char *bytes, size_t size)
{
    if (size >= TAIL_BYTES) {
        memcpy(job->tail, bytes + size - TAIL_BYTES, TAIL_BYTES);
        job->tail_size = TAIL_BYTES;
        return;
    }
    size_t keep = MIN(job->tail_size, TAIL_BYTES - size);
    memmove(job->tail, job->tail + job->tail_size - keep, keep);
    memcpy(job->tail + keep, bytes, size);
    job->tail_size = keep + size;
}

static enum status write_stream(struct job *job, enum job_stream stream, const void *bytes, size_t size,
                                bool is_childs, struct error *err)
{
    enum status status = OK;
    pthread_mutex_lock(&job->lock);
    struct stream *s = &job->streams[stream];
    if (fd_write_all(s->fd, bytes, size)) {
        status = error_set(err, status_from_errno(errno), "cannot write '%s': %s", stream_files[stream],
                           strerror(errno));
    } else {
        s->written += (int64_t)size;
        if (stream == JOB_STDERR && is_childs)
            keep_tail(job, bytes, size);
        stir(job);
    }
    pthread_mutex_unlock(&job->lock);
    return status;
}

enum status job_output(struct job *job, enum job_stream stream, const void *bytes, size_t size,
                       struct error *err)
{
    return write_stream(job, stream, bytes, size, true, err);
}

enum status job_echo(struct job *job, const void *bytes, size_t size, struct error *err)
{
    return write_stream(job, JOB_STDERR, bytes, size, false, err);
}

void job_log(struct job *job, const char *format, ...)
{
    char line[2048];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line) - 1, format, args);
    va_end(args);
    size_t size = MIN((size_t)MAX(n, 0), sizeof(line) - 2);
    line[size++] = '\n';
    struct error unwritten; /* what follows on the same disk will tell */
    write_stream(job, JOB_STDERR, line, size, false, &unwritten);
}

void job_last_line(const struct job *job, char *out, size_t size)
{
    struct job *j = (struct job *)job;
    pthread_mutex_lock(&j->lock);
    const char *end = j->tail + j->tail_size, *start;
    while (end > j->tail && (unsigned char)end[-1] <= ' ')
        end--;
    for (start = end; start > j->tail && start[-1] != '\n';)
        start--;
    size_t n = MIN((size_t)(end - start), size - 1);
    memcpy(out, start, n);
    out[n] = '\0';
    pthread_mutex_unlock(&j->lock);
}

static json_t *json_number(double value)
{
    if (isnan(value))
        return json_string("NaN");
    if (isinf(value))
        return json_string(value > 0 ? "Infinity" : "-Infinity");
    return json_real(value);
}

void job_metric(struct job *job, const char *name, int64_t step, double value)
{
    pthread_mutex_lock(&job->lock);
    size_t n = json_array_size(job->points);
    if (n >= POINTS_MAX)
        for (size_t i = n; i-- > 0;)
            if (i % 2)
                json_array_remove(job->points, i);
    json_array_append_new(job->points,
                          json_pack("{s:s, s:I, s:o, s:I}", "name", name, "step", (json_int_t)step, "value",
                                    json_number(value), "at", (json_int_t)clock_now_ms()));
    stir(job);
    pthread_mutex_unlock(&job->lock);
}

void job_progress(struct job *job, json_t *progress)
{
    pthread_mutex_lock(&job->lock);
    json_decref(job->progress);
    job->progress = progress;
    stir(job);
    pthread_mutex_unlock(&job->lock);
}

static void remove_file(const struct job *job, const char *name)
{
    CLEANUP(freep) char *path = path_join(job->folder, name);
    unlink(path);
}

void job_snapshot(struct job *job, const char *model_file, const char *state_file)
{
    pthread_mutex_lock(&job->lock);
    if (job->snapshot_model && strcmp(job->snapshot_model, model_file)) {
        remove_file(job, job->snapshot_model);
        remove_file(job, job->snapshot_state);
    }
    free(job->snapshot_model);
    free(job->snapshot_state);
    job->snapshot_model = xstrdup(model_file);
    job->snapshot_state = xstrdup(state_file);
    stir(job);
    pthread_mutex_unlock(&job->lock);
}

/* ---- the courier ---- */

/* The next piece of a stream.  The server says where it stands. */
static void send_log(struct job *job, int stream, int64_t written)
{
    struct stream *s = &job->streams[stream];
    size_t size = (size_t)MIN(written - s->sent, SEND_LOG_BYTES);
    CLEANUP(freep) char *bytes = xmalloc(size);
    ssize_t n = pread(s->fd, bytes, size, s->sent);
    struct error err = {0};
    CLEANUP(json_decrefp) json_t *answer = NULL;
    enum status status = n > 0 ? OK : error_set(&err, FAILED, "cannot read '%s' again", stream_files[stream]);
    if (status == OK) {
        CLEANUP(freep)
        char *path = xasprintf("log?stream=%s&offset=%lld", stream_names[stream], (long long)s->sent);
        struct lease_call put = {.method = "PUT", .path = path, .body = bytes, .body_size = n, .also = 416};
        status = call_by(job, COURIER, &put, &answer, &err);
    }
    int64_t offset = json_get_int(answer, "offset", -1);
    if (status == OK && offset >= 0 && offset <= written && offset != s->sent) {
        s->sent = offset;
        return;
    }
    if (job->over)
        return;
    char reason[LOG_VALUE_MAX];
    log_event("worker.log-refused", "job=%s attempt=%d stream=%s reason=%s", job->lease.job,
              job->lease.attempt, stream_names[stream],
              log_value(status ? err.message : "the offset does not move", reason));
    s->refused = true;
}

static void send_metrics(struct job *job, json_t *points, json_t *progress)
{
    CLEANUP(json_decrefp) json_t *body = json_pack("{s:o}", "points", points);
    if (progress)
        json_object_set_new(body, "progress", progress);
    struct lease_call post = {.method = "POST", .path = "metrics", .json = body};
    struct error err = {0};
    char reason[LOG_VALUE_MAX];
    if (call_by(job, COURIER, &post, NULL, &err) != OK && !job->over)
        log_event("worker.metrics-refused", "job=%s attempt=%d reason=%s", job->lease.job, job->lease.attempt,
                  log_value(err.message, reason));
}

static void send_snapshot(struct job *job, const char *model, const char *state)
{
    struct error err = {0};
    char reason[LOG_VALUE_MAX];
    CLEANUP(freep) char *model_path = path_join(job->folder, model);
    CLEANUP(freep) char *state_path = path_join(job->folder, state);
    CLEANUP(freep) char *tar_path = path_join(job->folder, SENT_SNAPSHOT);
    enum status status = snapshot_pack(model_path, state_path, tar_path, &err);
    if (status == OK)
        status = put_file(job, COURIER, SENT_SNAPSHOT, SNAPSHOT_TAR, &err);
    if (status == OK)
        log_event("worker.snapshot", "job=%s attempt=%d file=%s", job->lease.job, job->lease.attempt, state);
    else if (!job->over)
        log_event("worker.snapshot-refused", "job=%s attempt=%d reason=%s", job->lease.job,
                  job->lease.attempt, log_value(err.message, reason));
    unlink(model_path);
    unlink(state_path);
    unlink(tar_path);
}

/* What waits, moved out of the job under its lock. */
struct load {
    int64_t written[2];
    json_t *points, *progress;
    char *model, *state;
};

static bool take_load(struct job *job, struct load *load)
{
    *load = (struct load){.written = {job->streams[0].written, job->streams[1].written}};
    bool any = false;
    for (int i = 0; i < 2; i++)
        any = any || (!job->streams[i].refused && load->written[i] > job->streams[i].sent);
    if (json_array_size(job->points) || job->progress) {
        load->points = job->points;
        load->progress = TAKE(job->progress);
        job->points = json_array();
        any = true;
    }
    if (job->snapshot_model) {
        load->model = TAKE(job->snapshot_model);
        load->state = TAKE(job->snapshot_state);
        any = true;
    }
    return any;
}

static void deliver(struct job *job, struct load *load)
{
    for (int i = 0; i < 2; i++)
        while (!job->over && !job->streams[i].refused && load->written[i] > job->streams[i].sent)
            send_log(job, i, load->written[i]);
    if (load->points)
        send_metrics(job, load->points, load->progress);
    if (load->model)
        send_snapshot(job, load->model, load->state);
    free(load->model);
    free(load->state);
}

static void *run_courier(void *context)
{
    struct job *job = context;
    int64_t not_before = 0;
    pthread_mutex_lock(&job->lock);
    while (!job->over) {
        int64_t now = clock_monotonic_ms();
        struct load load;
        if (now < not_before && !job->drain) {
            clock_wait(&job->stirred, &job->lock, not_before);
        } else if (take_load(job, &load)) {
            pthread_mutex_unlock(&job->lock);
            deliver(job, &load);
            pthread_mutex_lock(&job->lock);
            not_before = now + SEND_EVERY_MS;
        } else if (job->drain) {
            break;
        } else {
            clock_wait(&job->stirred, &job->lock, now + 60000);
        }
    }
    pthread_mutex_unlock(&job->lock);
    return NULL;
}

/* ---- the heart ---- */

/* One try.  false: the server did not answer. */
static bool beat(struct job *job)
{
    CLEANUP(json_decrefp) json_t *body = json_object();
    CLEANUP(json_decrefp) json_t *answer = NULL;
    struct lease_call post = {.method = "POST",
                              .path = "heartbeat",
                              .json = body,
                              .timeout_ms = job->lease.lease_ms,
                              .stop = &job->finished};
    struct error err = {0};
    if (fault_point("worker.heartbeat"))
        return true;
    enum status status =
        lease_send(job->http[HEART], job->host->server_url, &job->lease, &post, &answer, &err);
    if (job->telling)
        return status != UNAVAILABLE;
    if (status == CONFLICT || status == DENIED || status == NOT_FOUND)
        job_end(job, JOB_LOST);
    else if (status == OK && json_get_bool(answer, "cancel", false))
        job_end(job, json_get_bool(answer, "force", false) ? JOB_KILLED : JOB_CANCELLED);
    return status != UNAVAILABLE;
}

static void *run_heart(void *context)
{
    struct job *job = context;
    int64_t next = clock_monotonic_ms() + job->lease.heartbeat_ms;
    pthread_mutex_lock(&job->lock);
    while (!job->finished) {
        if (clock_monotonic_ms() < next) {
            clock_wait(&job->stirred, &job->lock, next);
            continue;
        }
        pthread_mutex_unlock(&job->lock);
        int64_t pause = beat(job) ? job->lease.heartbeat_ms : MIN(job->lease.heartbeat_ms, RETRY_BEAT_MS);
        next = clock_monotonic_ms() + pause;
        pthread_mutex_lock(&job->lock);
    }
    pthread_mutex_unlock(&job->lock);
    return NULL;
}

/* ---- life ---- */

static enum status make_folder(struct job *job, struct error *err)
{
    job->folder = xasprintf("%s/%s-%d", job->host->folder, job->lease.job, job->lease.attempt);
    TRY(dir_remove(job->folder, err));
    TRY(dir_make(job->folder, err));
    for (int i = 0; i < 2; i++) {
        CLEANUP(freep) char *path = path_join(job->folder, stream_files[i]);
        job->streams[i].fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (job->streams[i].fd < 0)
            return error_set(err, status_from_errno(errno), "cannot create '%s': %s", path, strerror(errno));
    }
    return OK;
}

/* The courier ends when all that waits is sent, or cannot be. */
static void stop_courier(struct job *job)
{
    pthread_mutex_lock(&job->lock);
    job->drain = true;
    stir(job);
    pthread_mutex_unlock(&job->lock);
    if (job->has_courier)
        pthread_join(job->courier, NULL);
    job->has_courier = false;
}

static void stop_heart(struct job *job)
{
    pthread_mutex_lock(&job->lock);
    job->finished = true;
    stir(job);
    pthread_mutex_unlock(&job->lock);
    if (job->has_heart)
        pthread_join(job->heart, NULL);
    job->has_heart = false;
}

static void stop_threads(struct job *job)
{
    stop_courier(job);
    stop_heart(job);
}

enum status job_start(const struct job_host *host, struct lease *lease, struct job **ret_job,
                      struct error *err)
{
    CLEANUP(job_freep) struct job *job = xcalloc(1, sizeof(*job));
    job->host = host;
    job->streams[0].fd = job->streams[1].fd = -1;
    pthread_mutex_init(&job->lock, NULL);
    pthread_cond_init(&job->stirred, NULL);
    job->points = json_array();
    job->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (job->wake < 0)
        return error_set(err, FAILED, "cannot make an eventfd: %s", strerror(errno));
    for (int i = 0; i < 3; i++)
        TRY(http_client_new(&job->http[i], err));
    job->lease = *lease;
    enum status status = make_folder(job, err);
    if (status == OK && pthread_create(&job->heart, NULL, run_heart, job))
        status = error_set(err, FAILED, "cannot start a thread");
    job->has_heart = status == OK;
    if (status == OK && pthread_create(&job->courier, NULL, run_courier, job))
        status = error_set(err, FAILED, "cannot start a thread");
    job->has_courier = job->has_heart && status == OK;
    if (status == OK) {
        *lease = (struct lease){0};
        *ret_job = TAKE(job);
        return OK;
    }
    job_end(job, JOB_ABANDONED);
    stop_threads(job);
    job->lease = (struct lease){0}; /* still the caller's */
    return status;
}

static void send_outcome(struct job *job, const char *outcome, const char *reason, json_t *result)
{
    CLEANUP(json_decrefp)
    json_t *body = json_pack("{s:s, s:s, s:O}", "outcome", outcome, "reason", reason, "result", result);
    if (!body) /* a reason that is no UTF-8 */
        body = json_pack("{s:s, s:s, s:O}", "outcome", outcome, "reason", "(not readable)", "result", result);
    struct lease_call post = {.method = "POST", .path = "finish", .json = body};
    struct error err = {0};
    char text[LOG_VALUE_MAX];
    if (fault_point("worker.finish"))
        return;
    if (job_call(job, &post, NULL, &err) != OK)
        log_event("worker.finish-refused", "job=%s attempt=%d outcome=%s reason=%s", job->lease.job,
                  job->lease.attempt, outcome, log_value(err.message, text));
    (void)fault_point("worker.finished");
}

void job_finish(struct job *job, const char *outcome, const char *reason, json_t *result, bool keep_logs)
{
    stop_courier(job);
    struct error err = {0};
    char text[LOG_VALUE_MAX];
    for (int i = 0; i < 2 && keep_logs && !job->over; i++)
        if (put_file(job, OWN, stream_files[i], stream_files[i], &err) != OK)
            log_event("worker.log-refused", "job=%s attempt=%d stream=%s reason=%s", job->lease.job,
                      job->lease.attempt, stream_names[i], log_value(err.message, text));
    /* A finish may take longer than the lease, so the heart beats until it is answered; a beat may then meet
     * the finished attempt. */
    job->telling = true;
    if (!job->over)
        send_outcome(job, outcome, reason, result);
    stop_heart(job);
}

void job_free(struct job *job)
{
    if (!job)
        return;
    stop_threads(job);
    struct error unremoved; /* the next start of a worker tries again */
    if (job->folder)
        dir_remove(job->folder, &unremoved);
    for (int i = 0; i < 2; i++)
        fd_closep(&job->streams[i].fd);
    for (int i = 0; i < 3; i++)
        http_client_free(job->http[i]);
    fd_closep(&job->wake);
    json_decref(job->points);
    json_decref(job->progress);
    free(job->snapshot_model);
    free(job->snapshot_state);
    lease_release(&job->lease);
    free(job->folder);
    pthread_cond_destroy(&job->stirred);
    pthread_mutex_destroy(&job->lock);
    free(job);
}

void job_freep(struct job **job)
{
    job_free(*job);
    *job = NULL;
}
