#include "cli/local_worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

#define PAUSE_MIN_MS 200
#define PAUSE_MAX_MS 30000
/* One that lived this long was well: the pause begins anew. */
#define WELL_MS 30000

extern char **environ;

void local_worker_init(struct local_worker *w, const char *server, const char *token_file, const char *folder,
                       int slots)
{
    *w = (struct local_worker){.server = server,
                               .token_file = token_file,
                               .folder = folder,
                               .slots = slots,
                               .lifeline = -1,
                               .pause_ms = PAUSE_MIN_MS};
}

static enum status spawn(struct local_worker *w, struct error *err)
{
    char slots[16];
    snprintf(slots, sizeof(slots), "%d", w->slots);
    const char *argv[20] = {"et",     "worker",  "--server", w->server, "--token-file",      w->token_file,
                            "--work", w->folder, "--slots",  slots,     "--exit-with-parent"};
    int n = 11;
    if (w->pools) {
        argv[n++] = "--pool";
        argv[n++] = w->pools;
    }
    if (w->scripts) {
        argv[n++] = "--scripts";
        argv[n++] = w->scripts;
    }
    if (w->gpus) {
        argv[n++] = "--gpus";
        argv[n++] = w->gpus;
    }
    if (w->unsafe_scripts)
        argv[n++] = "--unsafe-scripts";
    CLEANUP(fd_closep) int read_end = -1;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return error_set(err, FAILED, "%s", strerror(errno));
    read_end = ends[0];
    fd_closep(&w->lifeline);
    w->lifeline = ends[1];

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, read_end, STDIN_FILENO);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none, usual;
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int failed = posix_spawn(&w->pid, "/proc/self/exe", &actions, &attributes, (char *const *)argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (failed) {
        w->pid = 0;
        return error_set(err, FAILED, "%s", strerror(failed));
    }
    return OK;
}

static void plan_again(struct local_worker *w, int64_t now_ms)
{
    if (now_ms - w->started_ms >= WELL_MS)
        w->pause_ms = PAUSE_MIN_MS;
    w->again_ms = now_ms + w->pause_ms;
    w->pause_ms = MIN(w->pause_ms * 2, PAUSE_MAX_MS);
}

void local_worker_tick(struct local_worker *w, int64_t now_ms)
{
    struct error err = {0};
    if (w->pid || now_ms < w->again_ms)
        return;
    w->started_ms = now_ms;
    if (spawn(w, &err) == OK) {
        log_event("worker.started", "pid=%d slots=%d", (int)w->pid, w->slots);
        return;
    }
    char text[LOG_VALUE_MAX];
    log_event("worker.failed", "error=%s", log_value(err.message, text));
    plan_again(w, now_ms);
}

void local_worker_reap(struct local_worker *w, int64_t now_ms)
{
    int how;
    if (!w->pid || waitpid(w->pid, &how, WNOHANG) != w->pid)
        return;
    if (WIFSIGNALED(how))
        log_event("worker.ended", "pid=%d signal=%d", (int)w->pid, WTERMSIG(how));
    else
        log_event("worker.ended", "pid=%d status=%d", (int)w->pid, WEXITSTATUS(how));
    w->pid = 0;
    fd_closep(&w->lifeline);
    plan_again(w, now_ms);
}

void local_worker_signal(struct local_worker *w, int signal_number)
{
    if (w->pid)
        kill(w->pid, signal_number);
}
