#include "worker/worker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "engine/precision.h"
#include "worker/cgroup.h"
#include "worker/devices.h"
#include "worker/kinds.h"

#define POLL_MS          20000
#define GPU_POLL_MS      1000 /* while GPUs are taken: one that comes free opens its pools */
#define PAUSE_FIRST_MS   100
#define PAUSE_MAX_MS     5000
#define ABANDON_AFTER_MS 25000 /* from worker_stop() */

struct slot {
    struct worker *worker;
    struct job *job; /* NULL: free */
    char *gpus;      /* that the job has; NULL: none */
    pthread_t thread;
    bool ended; /* to be joined */
};

struct worker {
    struct worker_options options;
    char *server, *token, *name, *folder;
    int lock_fd; /* of folder */
    struct job_host host;
    struct pools pools;
    const char **pool_names, **open_names; /* all of them; those that a job can be taken from now */
    bool twins_first;                      /* at the next asking: pools of bf16 before their twins */
    struct devices devices;                /* guarded by lock */
    struct cgroups cgroups;
    struct http_client *http;
    atomic_bool stop;
    int64_t stopped_at; /* monotonic */
    pthread_mutex_t lock;
    pthread_cond_t stirred; /* monotonic clock */
    struct slot *slots;
    int n_running;
    char request_id[33];
};

/* ---- the folder ---- */

/* true when nobody holds the lock of this worker's folder any more. */
static bool is_dead(const char *folder)
{
    CLEANUP(freep) char *path = path_join(folder, "lock");
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 || !flock(fd, LOCK_EX | LOCK_NB);
}

static void remove_dead(const char *work_folder)
{
    DIR *dir = opendir(work_folder);
    if (!dir)
        return;
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        CLEANUP(freep) char *path = path_join(work_folder, entry->d_name);
        struct error err;
        char text[LOG_VALUE_MAX];
        if (strncmp(entry->d_name, "worker-", 7) || !is_dead(path))
            continue;
        if (dir_remove(path, &err) == OK)
            log_event("worker.cleaned", "folder=%s", log_value(path, text));
        else
            log_event("worker.not-cleaned", "reason=%s", log_value(err.message, text));
    }
    closedir(dir);
}

/* Under a lock of the whole work folder, so that none is taken for dead before it holds its own. */
static enum status make_folder(struct worker *w, struct error *err)
{
    const char *work = w->options.work_folder;
    TRY(dir_make(work, err));
    CLEANUP(freep) char *all_path = path_join(work, "lock");
    CLEANUP(fd_closep) int all = open(all_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (all < 0 || flock(all, LOCK_EX))
        return error_set(err, status_from_errno(errno), "cannot lock '%s': %s", all_path, strerror(errno));
    remove_dead(work);
    char suffix[17];
    random_hex(8, suffix);
    w->folder = xasprintf("%s/worker-%s", work, suffix);
    TRY(dir_make(w->folder, err));
    CLEANUP(freep) char *path = path_join(w->folder, "lock");
    w->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (w->lock_fd < 0 || flock(w->lock_fd, LOCK_EX | LOCK_NB))
        return error_set(err, status_from_errno(errno), "cannot lock '%s': %s", path, strerror(errno));
    return OK;
}

/* ---- life ---- */

static char *make_name(void)
{
    char host[200] = "host";
    if (gethostname(host, sizeof(host) - 1))
        host[0] = '\0';
    return xasprintf("%s-%d", host, (int)getpid());
}

static char *without_slash(const char *url)
{
    size_t n = strlen(url);
    while (n && url[n - 1] == '/')
        n--;
    return strndup(url, n);
}

/* Behind each pool its twin, which has what it has, where the processor can compute in bf16. */
static void add_pool(struct worker *w, const struct pool_size *pool)
{
    struct error no_bf16;
    struct pool_size twin = *pool;
    CLEANUP(freep) char *name = pools_bf16_name(pool->name);
    pools_put(&w->pools, pool);
    if (precision_check(PRECISION_BF16, &no_bf16) != OK || pools_is_bf16_name(pool->name))
        return;
    snprintf(twin.name, sizeof(twin.name), "%s", name);
    pools_put(&w->pools, &twin);
}

/* What each job may use: the pools offered, or the machine by its slots. */
static void share_out(struct worker *w)
{
    const struct worker_options *o = &w->options;
    cpu_set_t set;
    int cores = sched_getaffinity(0, sizeof(set), &set) ? 1 : CPU_COUNT(&set);
    int64_t memory = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    w->host = (struct job_host){
        .server_url = w->server,
        .folder = w->folder,
        .threads = MAX(cores / o->slots, 1),
        .max_fetch_bytes = o->max_fetch_bytes,
        .scripts = o->scripts,
        .pools = &w->pools,
        .cgroups = &w->cgroups,
    };
    if (!w->host.scripts.memory_bytes)
        w->host.scripts.memory_bytes = memory / o->slots;
    for (int i = 0; o->pools && i < o->pools->n; i++)
        add_pool(w, &o->pools->items[i]);
    if (!w->pools.n)
        add_pool(w, &(struct pool_size){.name = "cpu"});
    if (o->scripts.folder)
        pools_put(&w->pools, &(struct pool_size){.name = "boss"});
    w->pool_names = xcalloc((size_t)w->pools.n, sizeof(*w->pool_names));
    w->open_names = xcalloc((size_t)w->pools.n, sizeof(*w->open_names));
    for (int i = 0; i < w->pools.n; i++)
        w->pool_names[i] = w->pools.items[i].name;
}

/* A pool whose jobs could never have their GPUs would hold them for ever. */
static enum status check_devices(const struct worker *w, struct error *err)
{
    for (int i = 0; i < w->pools.n; i++)
        if (w->pools.items[i].gpus > w->devices.n)
            return error_set(err, INVALID,
                             "pool '%s' gives a job %d GPUs, and this worker has %d: --gpus names them",
                             w->pools.items[i].name, w->pools.items[i].gpus, w->devices.n);
    return OK;
}

static void open_cgroups(struct worker *w)
{
    struct error err;
    char text[LOG_VALUE_MAX];
    const char *base = w->options.cgroup;
    if (base && !*base)
        return;
    if (cgroups_open(base, &w->cgroups, &err) == OK)
        log_event("worker.cgroups", "base=%s", log_value(w->cgroups.base, text));
    else
        log_event("worker.no-cgroups", "reason=%s", log_value(err.message, text));
}

enum status worker_new(const struct worker_options *options, struct worker **ret_worker, struct error *err)
{
    CLEANUP(worker_freep) struct worker *w = xcalloc(1, sizeof(*w));
    w->options = *options;
    w->lock_fd = -1;
    w->server = without_slash(options->server);
    w->token = xstrdup(options->token);
    w->name = make_name();
    w->slots = xcalloc((size_t)options->slots, sizeof(*w->slots));
    for (int i = 0; i < options->slots; i++)
        w->slots[i].worker = w;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->stirred, NULL);
    TRY(http_client_new(&w->http, err));
    TRY(make_folder(w, err));
    share_out(w);
    TRY(devices_read(w->options.gpus, &w->devices, err));
    TRY(check_devices(w, err));
    open_cgroups(w);
    random_hex(16, w->request_id);
    *ret_worker = TAKE(w);
    return OK;
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    struct error unremoved; /* the next worker does it */
    if (w->folder)
        dir_remove(w->folder, &unremoved);
    fd_closep(&w->lock_fd);
    http_client_free(w->http);
    pthread_cond_destroy(&w->stirred);
    pthread_mutex_destroy(&w->lock);
    free(w->slots);
    free(w->pool_names);
    free(w->open_names);
    devices_release(&w->devices);
    cgroups_close(&w->cgroups);
    pools_release(&w->pools);
    free(w->server);
    free(w->token);
    free(w->name);
    free(w->folder);
    free(w);
}

void worker_freep(struct worker **w)
{
    worker_free(*w);
    *w = NULL;
}

void worker_stop(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    if (!w->stop) {
        w->stop = true;
        w->stopped_at = clock_monotonic_ms();
        for (int i = 0; i < w->options.slots; i++)
            if (w->slots[i].job)
                job_end(w->slots[i].job, JOB_RELEASED);
    }
    pthread_cond_broadcast(&w->stirred);
    pthread_mutex_unlock(&w->lock);
}

/* ---- one job ---- */

static const char *choose_outcome(const struct job *job, enum status status)
{
    enum job_end ending = job_ending(job);
    if (status == OK)
        return "done";
    if (status == CANCELLED && (ending == JOB_CANCELLED || ending == JOB_KILLED))
        return "cancelled";
    if (status == CANCELLED && ending == JOB_RELEASED)
        return "released";
    return status == UNAVAILABLE || status == NO_SPACE || status == CANCELLED ? "retry" : "failed";
}

static void *run_job(void *context)
{
    struct slot *slot = context;
    struct job *job = slot->job;
    const struct lease *lease = job_lease(job);
    struct error err = {0};
    CLEANUP(json_decrefp) json_t *result = NULL;
    const struct job_kind *kind = job_kind_find(lease->kind);
    enum status status =
        kind ? kind->run(job, &result, &err)
             : error_set(&err, UNSUPPORTED, "this worker runs no jobs of kind '%s'", lease->kind);
    const char *outcome = choose_outcome(job, status);
    if (!result)
        result = json_object();
    if (status != OK)
        job_log(job, "%s: %s", outcome, err.message);
    job_finish(job, outcome, status == OK ? "" : err.message, result, kind && kind->keeps_logs);
    char reason[LOG_VALUE_MAX];
    log_event("worker.job-ended", "job=%s attempt=%d kind=%s outcome=%s%s%s", lease->job, lease->attempt,
              lease->kind, job_ending(job) >= JOB_ABANDONED ? "lost" : outcome,
              status == OK ? "" : " reason=", status == OK ? "" : log_value(err.message, reason));
    pthread_mutex_lock(&slot->worker->lock);
    slot->ended = true;
    pthread_cond_broadcast(&slot->worker->stirred);
    pthread_mutex_unlock(&slot->worker->lock);
    return NULL;
}

/* Joins the threads that have ended.  With the lock held, which it lets go meanwhile. */
static void reap(struct worker *w)
{
    for (int i = 0; i < w->options.slots; i++) {
        struct slot *slot = &w->slots[i];
        if (!slot->ended)
            continue;
        struct job *job = TAKE(slot->job);
        CLEANUP(freep) char *gpus = TAKE(slot->gpus);
        slot->ended = false;
        pthread_mutex_unlock(&w->lock);
        pthread_join(slot->thread, NULL);
        job_free(job);
        pthread_mutex_lock(&w->lock);
        devices_give(&w->devices, gpus);
        w->n_running--;
    }
}

/* A lease that was handed out twice (the first answer was lost, yet came) runs once. */
static bool runs_already(struct worker *w, const struct lease *lease)
{
    for (int i = 0; i < w->options.slots; i++) {
        const struct job *job = w->slots[i].job;
        if (job && !strcmp(job_lease(job)->job, lease->job) && job_lease(job)->attempt == lease->attempt)
            return true;
    }
    return false;
}

static struct slot *find_free(struct worker *w)
{
    for (int i = 0; i < w->options.slots; i++)
        if (!w->slots[i].job)
            return &w->slots[i];
    return NULL;
}

/* A job that cannot even begin here, its disk being full, may begin elsewhere: no need to wait for its lease.
 */
static void give_back(struct worker *w, const struct lease *lease, const char *reason)
{
    CLEANUP(json_decrefp)
    json_t *body = json_pack("{s:s, s:s, s:{}}", "outcome", "retry", "reason", reason, "result");
    struct lease_call post = {
        .method = "POST", .path = "finish", .json = body, .timeout_ms = lease->lease_ms, .stop = &w->stop};
    struct error lapses;
    lease_send(w->http, w->server, lease, &post, NULL, &lapses);
}

/* With the lock held. */
static void give_up(struct slot *slot)
{
    devices_give(&slot->worker->devices, slot->gpus);
    freep(&slot->gpus);
    slot->job = NULL;
}

/* The lock is not needed: only this thread fills slots. */
static enum status start_job(struct worker *w, json_t *json, struct error *err)
{
    CLEANUP(lease_release) struct lease lease = {0};
    TRY(lease_read(json, &lease, err));
    struct slot *slot = find_free(w);
    if (runs_already(w, &lease))
        return OK;
    if (!slot)
        return error_set(err, FAILED, "job '%s' came without a free slot", lease.job);
    struct job *job;
    enum status status = job_start(&w->host, &lease, &job, err);
    if (status != OK) {
        give_back(w, &lease, err->message);
        return status;
    }
    log_event("worker.job-started", "job=%s attempt=%d kind=%s", job_lease(job)->job, job_lease(job)->attempt,
              job_lease(job)->kind);
    const struct pool_size *pool = pools_find(&w->pools, job_lease(job)->pool);
    pthread_mutex_lock(&w->lock);
    slot->gpus = pool && pool->gpus ? devices_take(&w->devices, pool->gpus) : NULL;
    job_set_gpus(job, slot->gpus);
    slot->job = job;
    if (w->stop)
        job_end(job, JOB_RELEASED);
    bool started = !pthread_create(&slot->thread, NULL, run_job, slot);
    if (started)
        w->n_running++;
    else
        give_up(slot);
    pthread_mutex_unlock(&w->lock);
    if (started)
        return OK;
    job_end(job, JOB_ABANDONED);
    job_free(job);
    return error_set(err, FAILED, "cannot start a thread");
}

/* ---- leasing ---- */

/* Two pools of one name but for the precision: neither is preferred to the other for ever. */
static void take_turns(struct worker *w, int n_open)
{
    w->twins_first = !w->twins_first;
    for (int i = 1; w->twins_first && i < n_open; i++) {
        const char *pool = w->open_names[i - 1], *twin = w->open_names[i];
        if (pools_is_bf16_name(twin) && !strncmp(pool, twin, strlen(pool))) {
            w->open_names[i - 1] = twin;
            w->open_names[i] = pool;
        }
    }
}

/*
 * The pools whose jobs could have their GPUs now.  *ret_one: only one job may be asked for at a
 * time, for each has its GPUs before the next is taken.
 */
static int open_pools(struct worker *w, bool *ret_one)
{
    int n = 0;
    pthread_mutex_lock(&w->lock);
    int n_gpus = devices_free(&w->devices);
    pthread_mutex_unlock(&w->lock);
    *ret_one = false;
    for (int i = 0; i < w->pools.n; i++) {
        const struct pool_size *pool = &w->pools.items[i];
        if (pool->gpus > n_gpus)
            continue;
        w->open_names[n++] = pool->name;
        *ret_one = *ret_one || pool->gpus;
    }
    take_turns(w, n);
    return n;
}

/* Asks once.  UNAVAILABLE: the same request has to be repeated. */
static enum status ask(struct worker *w, int n_free, bool *ret_drained, struct error *err)
{
    bool one;
    int n_open = open_pools(w, &one);
    struct lease_server server = {w->server, w->token};
    struct lease_request request = {
        .worker = w->name,
        .n_pools = n_open,
        .pools = w->open_names,
        .n_all_pools = w->pools.n,
        .all_pools = w->pool_names,
        .slots = one ? 1 : n_free,
        .all_slots = w->options.slots,
        .wait_ms = n_open < w->pools.n ? GPU_POLL_MS : POLL_MS,
        .tell_drained = w->options.exit_when_drained,
    };
    memcpy(request.request_id, w->request_id, sizeof(request.request_id));
    CLEANUP(json_decrefp) json_t *jobs = NULL;
    TRY(lease_ask(w->http, &server, &request, &w->stop, &jobs, ret_drained, err));
    random_hex(16, w->request_id);
    if (json_array_size(jobs) && fault_point("worker.lease"))
        return OK;
    size_t i;
    json_t *job;
    json_array_foreach(jobs, i, job) {
        struct error why = {0};
        char reason[LOG_VALUE_MAX];
        if (start_job(w, job, &why) != OK)
            log_event("worker.job-not-started", "reason=%s", log_value(why.message, reason));
    }
    return OK;
}

/* With the lock held. */
static bool any_pool_is_open(const struct worker *w)
{
    for (int i = 0; i < w->pools.n; i++)
        if (w->pools.items[i].gpus <= devices_free(&w->devices))
            return true;
    return false;
}

static enum status lease_jobs(struct worker *w, struct error *err)
{
    int64_t pause = PAUSE_FIRST_MS;
    bool told = false, drained = false;
    pthread_mutex_lock(&w->lock);
    while (!w->stop && !drained) {
        reap(w);
        int n_free = w->options.slots - w->n_running;
        if (!n_free || !any_pool_is_open(w)) {
            clock_wait(&w->stirred, &w->lock, clock_monotonic_ms() + 60000);
            continue;
        }
        pthread_mutex_unlock(&w->lock);
        enum status status = ask(w, n_free, &drained, err);
        if (status == DENIED)
            return status;
        char reason[LOG_VALUE_MAX];
        if (status != OK && status != CANCELLED && !told)
            log_event("worker.server-away", "reason=%s", log_value(err->message, reason));
        if (status == OK && told)
            log_event("worker.server-back", "server=%s", w->server);
        told = status != OK;
        pthread_mutex_lock(&w->lock);
        int64_t until = clock_monotonic_ms() + pause;
        while (status != OK && !w->stop && clock_monotonic_ms() < until)
            clock_wait(&w->stirred, &w->lock, until);
        pause = status == OK ? PAUSE_FIRST_MS : MIN(2 * pause, PAUSE_MAX_MS);
    }
    pthread_mutex_unlock(&w->lock);
    return OK;
}

/* Until all jobs have ended; past the time they are abandoned, which ends them at once. */
static void wait_for_jobs(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    while (reap(w), w->n_running) {
        if (!w->stop) { /* drained */
            clock_wait(&w->stirred, &w->lock, clock_monotonic_ms() + 60000);
            continue;
        }
        int64_t until = w->stopped_at + ABANDON_AFTER_MS;
        if (clock_monotonic_ms() < until) {
            clock_wait(&w->stirred, &w->lock, until);
            continue;
        }
        for (int i = 0; i < w->options.slots; i++)
            if (w->slots[i].job)
                job_end(w->slots[i].job, JOB_ABANDONED);
        clock_wait(&w->stirred, &w->lock, clock_monotonic_ms() + 1000);
    }
    pthread_mutex_unlock(&w->lock);
}

enum status worker_run(struct worker *w, struct error *err)
{
    char text[LOG_VALUE_MAX];
    log_event("worker.started", "name=%s server=%s slots=%d folder=%s", w->name, w->server, w->options.slots,
              log_value(w->folder, text));
    enum status status = lease_jobs(w, err);
    if (status != OK)
        worker_stop(w);
    wait_for_jobs(w);
    log_event("worker.stopped", "name=%s", w->name);
    return status;
}
