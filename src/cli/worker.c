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
#include "cli/commands.h"
#include "worker/classify.h"
#include "worker/worker.h"

#define MAX_SLOTS 1024
#define MAX_POOLS 32
#define MAX_GIB 1048576

static const char help[] =
    "usage: et worker --server=URL --token-file=FILE [options]\n\n"
    "Leases jobs from a server and runs each in a process of its own.\n"
    "SIGTERM: training is saved, jobs are given back, exit status 0 within 30 s.\n\n"
    "  --server=URL         the server (or ET_SERVER)\n"
    "  --token-file=FILE    holds a token of scope worker (or ET_TOKEN_FILE; the token itself: ET_TOKEN)\n"
    "  --work=DIR           folder for jobs (or ET_WORK; default $XDG_CACHE_HOME/et/work)\n"
    "  --slots=N            jobs at a time (or ET_SLOTS; default 1)\n"
    "  --pool=NAME          pool to take jobs from, repeated in order of preference; default cpu\n"
    "  --max-fetch=GIB      largest file that a URL may bring (or ET_MAX_FETCH; default 64)\n"
    "  --exit-when-drained  end with exit status 0 once 'et drain' was said and the last job is done\n"
    "  --exit-with-parent   stop when the process that started this one is gone\n"
    "\nexample:\n"
    "  et worker --server=https://et.example.org --token-file=worker-token --slots=2\n";

struct settings {
    struct worker_options worker;
    const char *pools[MAX_POOLS];
    const char *token_file;
    bool exit_with_parent;
};

enum { SERVER = 1, TOKEN_FILE, WORK, SLOTS, POOL, MAX_FETCH, EXIT_WITH_PARENT, EXIT_WHEN_DRAINED };

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
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    const char *slots = getenv("ET_SLOTS"), *max_fetch = getenv("ET_MAX_FETCH");
    s->worker = (struct worker_options){
        .server = getenv("ET_SERVER"), .work_folder = getenv("ET_WORK"), .pools = s->pools};
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
            if (s->worker.n_pools == MAX_POOLS || !*optarg || strpbrk(optarg, ":,= "))
                return command_usage("worker", "--pool takes a name, at most %d times, not '%s'", MAX_POOLS,
                                     optarg);
            s->pools[s->worker.n_pools++] = optarg;
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
    long n_slots = 1, gib = 64;
    int end = slots ? read_number("--slots", slots, MAX_SLOTS, &n_slots) : -1;
    if (end < 0 && max_fetch)
        end = read_number("--max-fetch", max_fetch, MAX_GIB, &gib);
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
    struct settings s = {0};
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
