/* worker.c - `et worker`: leases jobs from a server and runs them. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/size.h"
#include "cli/commands.h"
#include "worker/classify.h"
#include "worker/sandbox.h"
#include "worker/worker.h"

#define MAX_SLOTS     1024
#define MAX_POOLS     16
#define MAX_PROCESSES 100000
#define MAX_GRACE     3600
#define MAX_GIB       1048576

static const char help[] =
    "usage: et worker --server=URL --token-file=FILE [options]\n\n"
    "Leases jobs from a server and runs each in a process of its own.\n"
    "SIGTERM: training is saved, jobs are given back, exit status 0 within 30 s.\n\n"
    "  --server=URL         the server (or ET_SERVER)\n"
    "  --token-file=FILE    holds a token of scope worker (or ET_TOKEN_FILE; the token itself: ET_TOKEN)\n"
    "  --work=DIR           folder for jobs (or ET_WORK; default $XDG_CACHE_HOME/et/work)\n"
    "  --slots=N            jobs at a time (or ET_SLOTS; default 1)\n"
    "  --pool=NAME[:cpus=N,memory=SIZE,gpus=N]\n"
    "                       pool to take jobs from, and what a job in it may use; repeated in order of\n"
    "                       preference (or ET_POOL; default cpu, with cores and memory divided by slots)\n"
    "  --gpus=LIST          GPUs that jobs may have, each one at a time (or ET_GPUS; default those of\n"
    "                       CUDA_VISIBLE_DEVICES, else all of /dev/nvidia0, /dev/nvidia1...)\n"
    "  --cgroup=DIR         control group (v2) to divide among scripts; none: limits are sampled alone (or\n"
    "                       ET_CGROUP; default the worker's own, where it is delegated)\n"
    "  --max-fetch=GIB      largest file that a URL may bring (or ET_MAX_FETCH; default 64)\n"
    "  --scripts=DIR        run Orders of a Boss: their scripts are files in this folder (or ET_SCRIPTS)\n"
    "  --script-disk=SIZE   what a script may write (or ET_SCRIPT_DISK; default 8G)\n"
    "  --script-log=SIZE    what is kept of each stream that it prints (or ET_SCRIPT_LOG; default 64M)\n"
    "  --script-processes=N that it may have at a time (or ET_SCRIPT_PROCESSES; default 512)\n"
    "  --script-grace=N     seconds from SIGTERM to SIGKILL of one that is cancelled or out of time (or\n"
    "                       ET_SCRIPT_GRACE; default 10)\n"
    "  --unsafe-scripts     run scripts without bubblewrap: as this worker's user, with its files\n"
    "                       (or ET_UNSAFE_SCRIPTS=1)\n"
    "  --exit-when-drained  end with exit status 0 once 'et drain' was said and the last job is done\n"
    "  --exit-with-parent   stop when the process that started this one is gone\n"
    "\nexample:\n"
    "  et worker --server=https://et.example.org --token-file=worker-token --slots=2\n";

struct settings {
    struct worker_options worker;
    struct pools pools;
    const char *token_file;
    bool exit_with_parent;
};

static void settings_free(struct settings *s)
{
    pools_release(&s->pools);
}

enum {
    SERVER = 1,
    TOKEN_FILE,
    WORK,
    SLOTS,
    POOL,
    MAX_FETCH,
    EXIT_WITH_PARENT,
    EXIT_WHEN_DRAINED,
    SCRIPT_DISK,
    SCRIPT_LOG,
    SCRIPT_PROCESSES,
    SCRIPTS,
    UNSAFE_SCRIPTS,
    GPUS,
    CGROUP,
    SCRIPT_GRACE
};

/* A number from 1 to max.  An exit status, or -1 to go on. */
static int read_number(const char *flag, const char *text, long max, long *ret_number)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < 1 || n > max)
        return command_usage("worker", "%s takes a number from 1 to %ld, not '%s'", flag, max, text);
    *ret_number = n;
    return -1;
}

struct script_settings {
    const char *disk, *log, *processes, *unsafe, *grace; /* as given; NULL: the usual */
};

/* An exit status, or -1 to go on. */
static int read_scripts(const struct script_settings *given, struct script_limits *limits)
{
    long processes = 0, grace = 0;
    if ((given->disk && !size_read(given->disk, &limits->disk_bytes)) ||
        (given->log && !size_read(given->log, &limits->log_bytes)))
        return command_usage("worker", "--script-disk and --script-log take bytes, as 16G, 512M or 1000");
    int end = given->processes
                  ? read_number("--script-processes", given->processes, MAX_PROCESSES, &processes)
                  : -1;
    if (end < 0 && given->grace)
        end = read_number("--script-grace", given->grace, MAX_GRACE, &grace);
    limits->grace_ms = 1000 * grace;
    limits->processes = (int)processes;
    limits->unsafe =
        given->unsafe && *given->unsafe && strcmp(given->unsafe, "0") && strcmp(given->unsafe, "false");
    return end;
}

/* An exit status, or -1 to go on. */
static int read_settings(int argc, char **argv, struct settings *s)
{
    static const struct option options[] = {
        {"server", required_argument, NULL, SERVER},
        {"token-file", required_argument, NULL, TOKEN_FILE},
        {"work", required_argument, NULL, WORK},
        {"slots", required_argument, NULL, SLOTS},
        {"pool", required_argument, NULL, POOL},
        {"max-fetch", required_argument, NULL, MAX_FETCH},
        {"exit-when-drained", no_argument, NULL, EXIT_WHEN_DRAINED},
        {"exit-with-parent", no_argument, NULL, EXIT_WITH_PARENT},
        {"script-disk", required_argument, NULL, SCRIPT_DISK},
        {"script-log", required_argument, NULL, SCRIPT_LOG},
        {"script-processes", required_argument, NULL, SCRIPT_PROCESSES},
        {"scripts", required_argument, NULL, SCRIPTS},
        {"unsafe-scripts", no_argument, NULL, UNSAFE_SCRIPTS},
        {"gpus", required_argument, NULL, GPUS},
        {"script-grace", required_argument, NULL, SCRIPT_GRACE},
        {"cgroup", required_argument, NULL, CGROUP},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    const char *folder = getenv("ET_SCRIPTS"), *slots = getenv("ET_SLOTS"),
               *max_fetch = getenv("ET_MAX_FETCH");
    s->worker = (struct worker_options){.server = getenv("ET_SERVER"), .work_folder = getenv("ET_WORK")};
    struct script_settings scripts = {getenv("ET_SCRIPT_DISK"), getenv("ET_SCRIPT_LOG"),
                                      getenv("ET_SCRIPT_PROCESSES"), getenv("ET_UNSAFE_SCRIPTS"),
                                      getenv("ET_SCRIPT_GRACE")};
    struct error err = {0};
    const char *cgroup = getenv("ET_CGROUP");
    s->worker.gpus = getenv("ET_GPUS");
    s->token_file = getenv("ET_TOKEN_FILE");
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (option) {
        case SERVER:
            s->worker.server = optarg;
            break;
        case TOKEN_FILE:
            s->token_file = optarg;
            break;
        case WORK:
            s->worker.work_folder = optarg;
            break;
        case SLOTS:
            slots = optarg;
            break;
        case MAX_FETCH:
            max_fetch = optarg;
            break;
        case POOL:
            if (pools_add_all(&s->pools, optarg, &err) != OK)
                return command_usage("worker", "%s", err.message);
            break;
        case SCRIPT_DISK:
            scripts.disk = optarg;
            break;
        case SCRIPT_LOG:
            scripts.log = optarg;
            break;
        case SCRIPT_PROCESSES:
            scripts.processes = optarg;
            break;
        case SCRIPTS:
            folder = optarg;
            break;
        case GPUS:
            s->worker.gpus = optarg;
            break;
        case SCRIPT_GRACE:
            scripts.grace = optarg;
            break;
        case CGROUP:
            cgroup = optarg;
            break;
        case UNSAFE_SCRIPTS:
            scripts.unsafe = "1";
            break;
        case EXIT_WHEN_DRAINED:
            s->worker.exit_when_drained = true;
            break;
        case EXIT_WITH_PARENT:
            s->exit_with_parent = true;
            break;
        case 'h':
            fputs(help, stdout);
            return EXIT_DONE;
        default:
            return command_usage("worker", "wrong options");
        }
    }
    if (optind < argc)
        return command_usage("worker", "'%s' is one word too many", argv[optind]);
    if (!s->worker.server || !*s->worker.server)
        return command_usage("worker", "worker needs --server");
    if (strncmp(s->worker.server, "http://", 7) != 0 && strncmp(s->worker.server, "https://", 8) != 0)
        return command_usage("worker", "'%s' is no URL of a server, such as http://trainer:8080",
                             s->worker.server);
    long n_slots = 1, gib = 64;
    int end = slots ? read_number("--slots", slots, MAX_SLOTS, &n_slots) : -1;
    if (end < 0 && max_fetch)
        end = read_number("--max-fetch", max_fetch, MAX_GIB, &gib);
    if (end < 0)
        end = read_scripts(&scripts, &s->worker.scripts);
    const char *pools = getenv("ET_POOL");
    if (pools && !s->pools.n && pools_add_all(&s->pools, pools, &err) != OK)
        return command_usage("worker", "%s", err.message);
    if (s->pools.n > MAX_POOLS)
        return command_usage("worker", "a worker has at most %d pools", MAX_POOLS);
    s->worker.cgroup = cgroup && !strcmp(cgroup, "none") ? "" : cgroup && *cgroup ? cgroup : NULL;
    s->worker.pools = &s->pools;
    s->worker.scripts.folder = folder && *folder ? folder : NULL;
    s->worker.slots = (int)n_slots;
    s->worker.max_fetch_bytes = (int64_t)gib << 30;
    return end;
}

static enum status read_token(const struct settings *s, char **ret_token, struct error *err)
{
    const char *given = getenv("ET_TOKEN");
    CLEANUP(freep) char *token = NULL;
    if (s->token_file)
        TRY(file_read(s->token_file, 4096, &token, &(size_t){0}, err));
    else if (given)
        token = xstrdup(given);
    else
        return error_set(err, INVALID, "a token is needed: --token-file, or ET_TOKEN in the environment");
    token[strcspn(token, " \r\n")] = '\0';
    if (!*token)
        return error_set(err, INVALID, "the token is empty");
    *ret_token = TAKE(token);
    return OK;
}

static char *default_folder(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME"), *temporary = getenv("TMPDIR");
    if (cache && *cache)
        return path_join(cache, "et/work");
    if (home && *home)
        return path_join(home, ".cache/et/work");
    return path_join(temporary && *temporary ? temporary : "/tmp", "et-work");
}

/* ---- signals ---- */

/* Waits for the signals that all other threads block; asks now and then whether the parent is there. */
struct watch {
    struct worker *worker;
    sigset_t signals;
    pid_t parent; /* 0: it does not matter */
};

/* A parent that keeps a pipe to our standard input is gone when the pipe has hung up, even if it went before
 * we looked. */
static bool parent_is_gone(pid_t parent)
{
    struct pollfd lifeline = {.fd = STDIN_FILENO};
    struct stat st;
    bool is_pipe = !fstat(STDIN_FILENO, &st) && S_ISFIFO(st.st_mode);
    return getppid() != parent || (is_pipe && poll(&lifeline, 1, 0) == 1 && (lifeline.revents & POLLHUP));
}

static void *watch_signals(void *context)
{
    const struct watch *w = context;
    for (;;) {
        int number = sigtimedwait(&w->signals, NULL, &(struct timespec){.tv_sec = 1});
        if (number == SIGUSR1)
            return NULL;
        if (number > 0 || (w->parent && parent_is_gone(w->parent)))
            worker_stop(w->worker);
    }
}

static enum status run(struct worker *worker, pid_t parent, struct error *err)
{
    struct watch watch = {.worker = worker, .parent = parent};
    pthread_t thread;
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&watch.signals);
    sigaddset(&watch.signals, SIGTERM);
    sigaddset(&watch.signals, SIGINT);
    sigaddset(&watch.signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &watch.signals, NULL);
    if (pthread_create(&thread, NULL, watch_signals, &watch))
        return error_set(err, FAILED, "cannot start a thread");
    enum status status = worker_run(worker, err);
    pthread_kill(thread, SIGUSR1);
    pthread_join(thread, NULL);
    return status;
}

int command_worker(int argc, char **argv)
{
    pid_t parent = getppid();
    CLEANUP(settings_free) struct settings s = {0};
    int end = read_settings(argc, argv, &s);
    if (end >= 0)
        return end;
    struct error err = {0};
    CLEANUP(freep) char *token = NULL;
    CLEANUP(freep) char *folder = s.worker.work_folder ? xstrdup(s.worker.work_folder) : default_folder();
    CLEANUP(worker_freep) struct worker *worker = NULL;
    if (read_token(&s, &token, &err) != OK)
        return command_fail(&err);
    s.worker.token = token;
    s.worker.work_folder = folder;
    if (worker_new(&s.worker, &worker, &err) != OK ||
        run(worker, s.exit_with_parent ? parent : 0, &err) != OK)
        return command_fail(&err);
    return EXIT_DONE;
}

int command_classify_images(int argc, char **argv)
{
    if (argc != 2)
        return command_usage("classify-images", "classify-images takes one file: its specification in JSON");
    return classify_main(argv[1]);
}

int command_sandbox_exec(int argc, char **argv)
{
    return sandbox_exec_main(argc, argv);
}
