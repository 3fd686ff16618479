/* serve.c - `et serve`: the service. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/serve.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/local_worker.h"
#include "cli/settings.h"
#include "store/store.h"
#include "worker/devices.h"

/* Of the 30 s in which SIGTERM must end it: first the worker, then what clients still have under way. */
#define WORKER_GRACE_MS   15000
#define REQUESTS_GRACE_MS 8000
#define DESCRIPTORS_KEPT  512 /* for files, the store and the worker, beside connections */

static const char help[] =
    "usage: et serve [options]\n\n"
    "Runs the service: takes jobs over HTTP, keeps their data, and starts workers.\n\n"
    "  --data DIR               where everything is kept ($XDG_DATA_HOME/et)\n"
    "  --listen ADDR:PORT       where to listen (127.0.0.1:8080); port 0 takes a free one\n"
    "  --workers N              jobs that this machine runs at once (2); 0: none\n"
    "  --database URL           sqlite:PATH or postgres://USER@HOST/NAME (sqlite:DIR/et.db)\n"
    "  --blobs DIR              folder of files, shared by all servers of a database (DIR/blobs)\n"
    "  --registration open|closed  may anyone make a user (open when on loopback only)\n"
    "  --allow-private-urls     users' URLs may lead to private addresses\n"
    "  --pool NAME:cpus=N,memory=SIZE,gpus=N\n"
    "                           a pool that jobs are given to, repeated (cpu: this machine by its workers;\n"
    "                           gpu: one GPU)\n"
    "  --scripts DIR            scripts that users, and Orders of the Boss, may run by name\n"
    "  --script-network         scripts may ask for the network\n"
    "  --unsafe-scripts         run scripts without bubblewrap\n"
    "  --gpus LIST              GPUs of this machine that jobs may have (those of CUDA_VISIBLE_DEVICES, else\n"
    "                           all)\n"
    "  --lease-seconds N        a worker that is silent so long has lost its jobs (20)\n"
    "  --quota BYTES            what a user's files and logs may take together (no limit)\n"
    "  --keep-days N            ended jobs, and what only they use, go after so long (0: never)\n"
    "  --max-upload BYTES       largest body of a request (16G)\n"
    "  --max-connections N      (16384)\n"
    "  --boss-api USER          serve the Boss's API, without a password, in this user's name\n"
    "  --bucket NAME:USER[:CLASSIFIER]  serve a request queue at /NAME, without a password, repeated; by\n"
    "                           workers from outside, or by a classifier of the user's\n"
    "  --order-timeout SECONDS  an Order that a node holds lapses after it (86400)\n"
    "  --item-lease-ms N        a worker that says nothing of its item for so long has lost it (300000)\n"
    "  --item-ms N              a request of a bucket is forgotten after it (1800000)\n"
    "  --config FILE            settings as 'listen = ADDR:PORT' lines\n\n"
    "Each option is also a variable (ET_LISTEN) and a key in the configuration file.\n"
    "When ready it prints 'listening on http://ADDR:PORT'. Logs go to stderr.\n\n"
    "example:\n"
    "  et serve --data /srv/et --listen 0.0.0.0:8080 --registration closed\n";

struct serving {
    struct setting *settings;
    struct api_options api;
    char *data, *database, *blobs, *token_file, *work, *server, *local_pools;
    int lock;
    int workers;
    struct store_options store;
    struct local_worker worker;
};

static void serving_release(struct serving *s)
{
    settings_release(s->settings);
    free(s->data);
    free(s->database);
    free(s->blobs);
    free(s->token_file);
    free(s->work);
    free(s->server);
    free(s->local_pools);
    pools_release(&s->api.pools);
    fd_closep(&s->lock);
}

static char *usual_data(void)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (data && *data == '/')
        return path_join(data, "et");
    return xasprintf("%s/.local/share/et", home && *home ? home : "");
}

static bool is_loopback_only(const char *listen)
{
    return !strncmp(listen, "127.", 4) || !strncmp(listen, "localhost:", 10) || !strncmp(listen, "[::1]:", 6);
}

static enum status read_registration(const struct setting *settings, struct api_options *api,
                                     struct error *err)
{
    const char *word = setting_text(settings, "registration");
    if (word && strcmp(word, "open") && strcmp(word, "closed"))
        return error_set(err, INVALID, "'registration' is '%s': expected open or closed", word);
    api->registration_open = word ? !strcmp(word, "open") : is_loopback_only(api->listen);
    return OK;
}

/*
 * The pools that there are, and those of them that this machine can hold:
 * its own worker offers these.
 */
static enum status read_pools(struct serving *s, int workers, struct error *err)
{
    const char *pools = setting_text(s->settings, "pool");
    const int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    const int64_t memory = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    struct pool_size cpu = {.name = "cpu"};
    if (workers) {
        cpu.cpus = MAX(cores / workers, 1);
        cpu.memory_bytes = memory / workers;
    }
    pools_put(&s->api.pools, &cpu);
    CLEANUP(devices_release) struct devices gpus = {0};
    if (workers)
        TRY(devices_read(setting_text(s->settings, "gpus"), &gpus, err));
    if (gpus.n) {
        struct pool_size gpu = cpu;
        snprintf(gpu.name, sizeof(gpu.name), "gpu");
        gpu.gpus = 1;
        pools_put(&s->api.pools, &gpu);
    }
    if (pools)
        TRY(pools_add_all(&s->api.pools, pools, err));
    struct buf words;
    buf_init(&words, 1 << 16);
    for (int i = 0; i < s->api.pools.n; i++) {
        const struct pool_size *p = &s->api.pools.items[i];
        if (p->gpus > gpus.n || p->cpus > cores || p->memory_bytes > memory)
            continue;
        buf_printf(&words, "%s%s:cpus=%d,gpus=%d", words.size ? " " : "", p->name, p->cpus, p->gpus);
        if (p->memory_bytes)
            buf_printf(&words, ",memory=%lld", (long long)p->memory_bytes);
    }
    s->local_pools = buf_take(&words, NULL);
    return OK;
}

static enum status read_settings(struct serving *s, struct error *err)
{
    const struct setting *settings = s->settings;
    const char *data = setting_text(settings, "data"), *database = setting_text(settings, "database");
    const char *blobs = setting_text(settings, "blobs");
    int64_t workers, connections, lease_seconds, order_seconds;
    s->api.listen = setting_text(settings, "listen");
    s->api.allow_private_urls = setting_is_on(settings, "allow-private-urls");
    TRY(read_registration(settings, &s->api, err));
    TRY(setting_int(settings, "workers", 0, 1024, &workers, err));
    TRY(setting_int(settings, "max-connections", 16, 1000000, &connections, err));
    TRY(setting_int(settings, "lease-seconds", 1, 86400, &lease_seconds, err));
    s->api.lease_ms = 1000 * lease_seconds;
    TRY(setting_int(settings, "head-ms", 1, 3600000, &s->api.head_ms, err));
    TRY(setting_int(settings, "body-window-ms", 1, 3600000, &s->api.body_window_ms, err));
    TRY(setting_int(settings, "body-rate", 1, 1 << 30, &s->api.body_rate, err));
    TRY(setting_int(settings, "idle-ms", 1, 86400000, &s->api.idle_ms, err));
    TRY(setting_int(settings, "webhook-ms", 1, 600000, &s->api.webhook_ms, err));
    TRY(setting_int(settings, "backoff-ms", 1, 86400000, &s->store.backoff_ms, err));
    TRY(setting_size(settings, "max-upload", &s->api.max_upload, err));
    TRY(setting_int(settings, "order-timeout", 1, 365 * 86400, &order_seconds, err));
    TRY(setting_int(settings, "item-ms", 1, 86400000, &s->api.item_ms, err));
    TRY(setting_int(settings, "item-lease-ms", 1, 86400000, &s->api.item_lease_ms, err));
    s->api.buckets = setting_text(settings, "bucket");
    s->api.boss_user = setting_text(settings, "boss-api");
    s->api.order_timeout_ms = 1000 * order_seconds;
    if (setting_text(settings, "quota"))
        TRY(setting_size(settings, "quota", &s->store.quota_bytes, err));
    TRY(setting_int(settings, "keep-days", 0, 36500, &s->store.keep_days, err));
    TRY(setting_int(settings, "blob-grace-ms", 1, INT64_MAX / 2, &s->store.blob_grace_ms, err));
    TRY(setting_int(settings, "sweep-ms", 1, INT64_MAX / 2, &s->store.sweep_ms, err));
    s->workers = (int)workers;
    s->api.max_connections = (int)connections;
    s->api.scripts = setting_text(settings, "scripts");
    s->api.scripts_network = setting_is_on(settings, "script-network");
    TRY(read_pools(s, (int)workers, err));
    s->data = data ? xstrdup(data) : usual_data();
    s->database = database ? xstrdup(database) : xasprintf("sqlite:%s/et.db", s->data);
    s->blobs = blobs ? xstrdup(blobs) : path_join(s->data, "blobs");
    s->token_file = path_join(s->data, "worker-token");
    s->work = path_join(s->data, "work");
    s->api.data = s->data;
    return OK;
}

/* One server a folder: two would count attempts and sweep blobs against each other. */
static enum status lock_data(struct serving *s, struct error *err)
{
    CLEANUP(freep) char *path = path_join(s->data, "lock");
    TRY(dir_make(s->data, err));
    if (chmod(s->data, 0700) && errno != EPERM)
        return error_set(err, status_from_errno(errno), "cannot use '%s': %s", s->data, strerror(errno));
    s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock < 0)
        return error_set(err, status_from_errno(errno), "cannot open '%s': %s", path, strerror(errno));
    char text[32] = "";
    if (flock(s->lock, LOCK_EX | LOCK_NB)) {
        ssize_t n = pread(s->lock, text, sizeof(text) - 1, 0);
        text[n > 0 ? strcspn(text, "\n") : 0] = '\0';
        return error_set(err, CONFLICT,
                         "another 'et serve' (process %s) uses '%s': stop it, or give --data another folder",
                         text, s->data);
    }
    int size = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(s->lock, 0) || pwrite(s->lock, text, (size_t)size, 0) != size)
        return error_set(err, status_from_errno(errno), "cannot write '%s': %s", path, strerror(errno));
    return OK;
}

/* As many descriptors as allowed; fewer connections when that is too few. */
static void raise_descriptors(struct api_options *api)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    rlim_t wanted = (rlim_t)api->max_connections + DESCRIPTORS_KEPT;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = MIN(wanted, limit.rlim_max);
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur < wanted)
        api->max_connections = limit.rlim_cur > 2 * DESCRIPTORS_KEPT
                                   ? (int)(limit.rlim_cur - DESCRIPTORS_KEPT)
                                   : (int)(limit.rlim_cur / 2);
}

/* Tells the service manager, when there is one. */
static void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (!path || (*path != '/' && *path != '@') || strlen(path) >= sizeof(to.sun_path))
        return;
    memcpy(to.sun_path, path, strlen(path));
    if (*path == '@')
        to.sun_path[0] = '\0';
    CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
}

/* Where a worker on this machine reaches a server bound to address. */
static char *local_url(const char *address)
{
    const char *port = strrchr(address, ':');
    if (!strncmp(address, "0.0.0.0:", 8))
        return xasprintf("http://127.0.0.1%s", port);
    if (!strncmp(address, "[::]:", 5))
        return xasprintf("http://[::1]%s", port);
    return xasprintf("http://%s", address);
}

/* Returns at SIGTERM or SIGINT, or (false) when until_ms (0: never) or the worker's end has come. */
static bool wait_for_end(struct serving *s, int signals, int64_t until_ms)
{
    bool stopping = until_ms > 0;
    for (;;) {
        int64_t now_ms = clock_monotonic_ms(), next_ms = until_ms ? until_ms : INT64_MAX;
        if (stopping && (!s->worker.pid || now_ms >= until_ms))
            return false;
        if (!stopping && s->workers) {
            local_worker_tick(&s->worker, now_ms);
            if (!s->worker.pid)
                next_ms = s->worker.again_ms;
        }
        int64_t left_ms = next_ms == INT64_MAX ? -1 : MAX((int64_t)0, next_ms - now_ms);
        struct pollfd wait = {signals, POLLIN, 0};
        if (poll(&wait, 1, (int)MIN(left_ms, (int64_t)60000)) <= 0)
            continue;
        struct signalfd_siginfo info;
        if (read(signals, &info, sizeof(info)) != sizeof(info))
            continue;
        if (info.ssi_signo == SIGCHLD)
            local_worker_reap(&s->worker, clock_monotonic_ms());
        else if (!stopping)
            return true;
    }
}

static void stop_worker(struct serving *s, int signals)
{
    local_worker_signal(&s->worker, SIGTERM);
    wait_for_end(s, signals, clock_monotonic_ms() + WORKER_GRACE_MS);
    local_worker_signal(&s->worker, SIGKILL);
    fd_closep(&s->worker.lifeline);
}

/* Everything between the first request and the last. */
static enum status serve(struct serving *s, int signals, struct error *err)
{
    struct store_options options = s->store;
    options.blobs = s->blobs;
    struct store *store = NULL;
    struct api *api = NULL;
    TRY(store_open(s->database, &options, &store, err));
    enum status status = ensure_operator_tokens(store, s->data, clock_now_ms(), err);
    if (status == OK)
        status = api_start(&s->api, store, &api, err);
    if (status != OK)
        return store_close(store), status;

    s->server = local_url(api_address(api));
    local_worker_init(&s->worker, s->server, s->token_file, s->work, s->workers);
    s->worker.pools = s->local_pools;
    s->worker.scripts = s->api.boss_user ? s->api.scripts : NULL;
    s->worker.gpus = setting_text(s->settings, "gpus");
    s->worker.unsafe_scripts = setting_is_on(s->settings, "unsafe-scripts");
    log_event("serve.started", "version=%s address=%s data=%s workers=%d registration=%s", ET_VERSION,
              api_address(api), s->data, s->workers, s->api.registration_open ? "open" : "closed");
    printf("listening on http://%s\n", api_address(api));
    fflush(stdout);
    notify("READY=1");
    wait_for_end(s, signals, 0);

    notify("STOPPING=1");
    log_event("serve.stopping", "data=%s", s->data);
    stop_worker(s, signals);
    if (!api_stop(api, REQUESTS_GRACE_MS)) {
        log_event("serve.stopped", "data=%s unfinished=true", s->data);
        _exit(EXIT_DONE);
    }
    store_close(store);
    api_free(api);
    log_event("serve.stopped", "data=%s", s->data);
    return OK;
}

/* All threads inherit the mask, so that only the main thread, by its descriptor, sees these. */
static int take_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int command_serve(int argc, char **argv)
{
    struct setting settings[] = {
        {"data"},
        {"listen", .otherwise = "127.0.0.1:8080"},
        {"workers", .otherwise = "2"},
        {"database"},
        {"blobs"},
        {"registration"},
        {"allow-private-urls", .is_switch = true},
        {"pool", .repeats = true},
        {"scripts"},
        {"script-network", .is_switch = true},
        {"unsafe-scripts", .is_switch = true},
        {"gpus"},
        {"lease-seconds", .otherwise = "20"},
        {"max-upload", .otherwise = "16G"},
        {"max-connections", .otherwise = "16384"},
        {"boss-api"},
        {"order-timeout", .otherwise = "86400"},
        {"bucket", .repeats = true},
        /* For tests: times of a bucket's items. */
        {"item-ms", .otherwise = "1800000"},
        {"item-lease-ms", .otherwise = "300000"},
        {"quota"},
        {"keep-days", .otherwise = "0"},
        /* How long unused blobs stay, and how often they are looked for: a day. */
        {"blob-grace-ms", .otherwise = "86400000"},
        {"sweep-ms", .otherwise = "86400000"},
        /* For tests: deadlines against slow clients. */
        {"head-ms", .otherwise = "10000"},
        {"body-window-ms", .otherwise = "30000"},
        {"body-rate", .otherwise = "1024"},
        {"idle-ms", .otherwise = "75000"},
        /* For tests: a receiver's time to answer, and the pause before a job is tried again. */
        {"webhook-ms", .otherwise = "10000"},
        {"backoff-ms", .otherwise = "5000"},
        {NULL},
    };
    CLEANUP(serving_release) struct serving s = {.settings = settings, .lock = -1};
    CLEANUP(fd_closep) int signals = -1;
    struct error err = {0};
    bool wants_help = false;
    enum status status = settings_read(settings, argc, argv, &wants_help, &err);
    if (status == OK && wants_help)
        return fputs(help, stdout), EXIT_DONE;
    if (status == OK)
        status = read_settings(&s, &err);
    if (status == INVALID)
        return command_usage("serve", "%s", err.message);
    signals = take_signals();
    if (status == OK)
        status = lock_data(&s, &err);
    raise_descriptors(&s.api);
    if (status == OK)
        status = serve(&s, signals, &err);
    return status == OK ? EXIT_DONE : command_fail(&err);
}
