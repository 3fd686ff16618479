#include "worker/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"

#define CANCEL_GRACE_MS  10000
#define RELEASE_GRACE_MS 15000
#define READ_AT_ONCE     (1 << 20) /* of a stream, so that one which never ends leaves time for the rest */

extern char **environ;

struct child {
    struct job *job;
    const struct child_options *options;
    pid_t pid;
    int pidfd;
    int out, err, progress; /* read ends; -1 once at their end */
    struct line_reader lines;
    int64_t kept[2];    /* bytes of stdout and stderr in their streams */
    int64_t echoed;     /* bytes of stdout in the log */
    enum status failed; /* of writing down its output, or of the guard's sample */
    struct error error;
    enum job_end asked; /* what SIGTERM or SIGKILL was sent for */
    bool out_of_time;
    int64_t kill_at;  /* monotonic; 0: no SIGKILL is planned */
    int64_t deadline; /* of max_seconds; 0: none */
    int64_t sample_at;
};

static void send_signal(const struct child *c, int number)
{
    if (c->options->guard)
        c->options->guard->signal(c->options->context, c->pid, number);
    else
        kill(-c->pid, number);
}

/* The first failure is the one that is told. */
static void fail(struct child *c, enum status status, const struct error *err)
{
    if (c->failed != OK)
        return;
    c->failed = status;
    c->error = *err;
    send_signal(c, SIGKILL);
}

/* ---- lines ---- */

void line_reader_feed(struct line_reader *r, const char *bytes, size_t size,
                      void (*line)(void *context, const char *line), void *context)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '\n') {
            r->text[r->size] = '\0';
            if (!r->too_long && r->size)
                line(context, r->text);
            r->size = 0;
            r->too_long = false;
        } else if (r->size < sizeof(r->text) - 1) {
            r->text[r->size++] = bytes[i];
        } else {
            r->too_long = true;
        }
    }
}

/* ---- starting ---- */

/* Ours, without the worker's own token and with who the parent is. */
static char **make_environment(void)
{
    size_t n = 0, k = 0;
    while (environ[n])
        n++;
    char **list = xcalloc(n + 2, sizeof(*list));
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "ET_TOKEN=", 9) &&
            strncmp(environ[i], PARENT_VARIABLE "=", sizeof(PARENT_VARIABLE)))
            list[k++] = xstrdup(environ[i]);
    list[k] = xasprintf(PARENT_VARIABLE "=%d", (int)getpid());
    return list;
}

static void free_environment(char **list)
{
    for (char **p = list; *p; p++)
        free(*p);
    free(list);
}

/* The child ignores no signal and blocks none, whatever the worker does. */
static int spawn(pid_t *ret_pid, const char *folder, const char *const *argv, int out, int err, int progress)
{
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    const int reset[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < ARRAY_SIZE(reset); i++)
        sigaddset(&defaults, reset[i]);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, folder);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&actions, progress, CHILD_PROGRESS_FD);
    char **environment = make_environment();
    int number =
        posix_spawn(ret_pid, "/proc/self/exe", &actions, &attributes, (char *const *)argv, environment);
    free_environment(environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return number;
}

static enum status start(struct child *c, struct error *err)
{
    CLEANUP(fd_closep) int out = -1;
    CLEANUP(fd_closep) int errors = -1;
    CLEANUP(fd_closep) int progress = -1;
    struct {
        int *ours, *theirs;
    } pipes[] = {{&c->out, &out}, {&c->err, &errors}, {&c->progress, &progress}};
    for (size_t i = 0; i < ARRAY_SIZE(pipes); i++) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC))
            return error_set(err, FAILED, "cannot make a pipe: %s", strerror(errno));
        *pipes[i].ours = ends[0];
        *pipes[i].theirs = ends[1];
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
    }
    int number = spawn(&c->pid, job_folder(c->job), c->options->argv, out, errors, progress);
    if (number)
        return error_set(err, FAILED, "cannot start '%s': %s", c->options->argv[1], strerror(number));
    c->pidfd = pidfd_open(c->pid, 0);
    if (c->pidfd < 0) {
        int cause = errno;
        kill(-c->pid, SIGKILL);
        waitpid(c->pid, NULL, 0);
        return error_set(err, FAILED, "cannot watch a process: %s", strerror(cause));
    }
    return OK;
}

/* ---- while it runs ---- */

static void on_line(void *context, const char *line)
{
    struct child *c = context;
    if (c->options->line)
        c->options->line(c->options->context, line);
}

typedef enum status (*writer)(struct job *job, const void *bytes, size_t size, struct error *err);

static enum status write_out(struct job *job, const void *bytes, size_t size, struct error *err)
{
    return job_output(job, JOB_STDOUT, bytes, size, err);
}

static enum status write_err(struct job *job, const void *bytes, size_t size, struct error *err)
{
    return job_output(job, JOB_STDERR, bytes, size, err);
}

/* As much as still goes below the limit; `kept` is what is there. */
static void keep(struct child *c, writer write, int64_t *kept, int64_t limit, const char *bytes, size_t size)
{
    struct error err;
    if (*kept >= limit)
        return;
    size = (size_t)MIN((int64_t)size, limit - *kept);
    enum status status = write(c->job, bytes, size, &err);
    *kept += (int64_t)size;
    if (status != OK)
        fail(c, status, &err); /* its output has nowhere to go */
    else if (*kept == limit)
        job_log(c->job, "the output has reached %lld bytes: no more of it is kept here", (long long)limit);
}

/*
 * The log shows both streams of a program that is not ours; standard error
 * always finds room in it.
 */
static void take_output(struct child *c, int stream, const char *bytes, size_t size)
{
    const struct child_guard *guard = c->options->guard;
    int64_t limit = guard ? guard->log_max : INT64_MAX;
    if (stream == JOB_STDERR) {
        keep(c, write_err, &c->kept[JOB_STDERR], limit, bytes, size);
        return;
    }
    keep(c, write_out, &c->kept[JOB_STDOUT], limit, bytes, size);
    if (!guard)
        return;
    guard->output(c->options->context, bytes, size);
    keep(c, job_echo, &c->echoed, limit, bytes, size);
}

/* What is in a pipe now. */
static void drain(struct child *c, int *fd)
{
    char bytes[65536];
    for (size_t total = 0; *fd >= 0 && total < READ_AT_ONCE;) {
        ssize_t n = read(*fd, bytes, sizeof(bytes));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            fd_closep(fd);
            return;
        }
        total += (size_t)n;
        if (fd == &c->progress) {
            line_reader_feed(&c->lines, bytes, (size_t)n, on_line, c);
            continue;
        }
        take_output(c, fd == &c->out ? JOB_STDOUT : JOB_STDERR, bytes, (size_t)n);
    }
}

/* Asks the guard when it is time.  What takes long is done less often. */
static void take_sample(struct child *c, int64_t now)
{
    const struct child_guard *guard = c->options->guard;
    if (!guard || now < c->sample_at || c->failed != OK)
        return;
    struct error err = {0};
    enum status status = guard->sample(c->options->context, c->pid, &err);
    if (status != OK)
        fail(c, status, &err);
    int64_t after = clock_monotonic_ms();
    c->sample_at = after + MAX((int64_t)guard->sample_ms, 4 * (after - now));
}

static int64_t grace_ms(const struct child *c)
{
    const struct child_guard *guard = c->options->guard;
    return guard && guard->grace_ms ? guard->grace_ms : CANCEL_GRACE_MS;
}

/* Sends what is due.  The process is not reaped yet, so its number is still its own. */
static void press(struct child *c, int64_t now)
{
    enum job_end ending = job_ending(c->job);
    if (c->deadline && now >= c->deadline && !c->out_of_time) {
        c->out_of_time = true;
        send_signal(c, SIGTERM);
        c->kill_at = now + grace_ms(c);
    }
    if (ending > c->asked) {
        if (ending >= JOB_KILLED) {
            send_signal(c, SIGKILL);
        } else if (c->asked == JOB_GOES_ON) {
            send_signal(c, SIGTERM);
            c->kill_at = now + (ending == JOB_CANCELLED ? grace_ms(c) : RELEASE_GRACE_MS);
        }
        c->asked = ending;
    }
    if (c->kill_at && now >= c->kill_at) {
        send_signal(c, SIGKILL);
        c->kill_at = 0;
    }
}

static int time_left(const struct child *c, int64_t now)
{
    int64_t until = now + 60000;
    if (c->kill_at)
        until = MIN(until, c->kill_at);
    if (c->deadline && !c->out_of_time)
        until = MIN(until, c->deadline);
    if (c->options->guard && c->failed == OK)
        until = MIN(until, c->sample_at);
    /* The wake descriptor is no longer watched once the job is ending: a worse end is looked for. */
    if (c->asked)
        until = MIN(until, now + 200);
    return (int)MAX(until - now, 0);
}

static int watch(struct child *c)
{
    for (;;) {
        int64_t now = clock_monotonic_ms();
        press(c, now);
        take_sample(c, now);
        struct pollfd fds[] = {
            {.fd = c->pidfd, .events = POLLIN},
            {.fd = c->out, .events = POLLIN},
            {.fd = c->err, .events = POLLIN},
            {.fd = c->progress, .events = POLLIN},
            {.fd = c->asked ? -1 : job_wake_fd(c->job), .events = POLLIN},
        };
        if (poll(fds, ARRAY_SIZE(fds), time_left(c, now)) < 0 && errno != EINTR)
            continue;
        drain(c, &c->out);
        drain(c, &c->err);
        drain(c, &c->progress);
        if (fds[0].revents) {
            int wait_status = 0;
            send_signal(c, SIGKILL); /* what it left behind */
            while (waitpid(c->pid, &wait_status, 0) < 0 && errno == EINTR)
                ;
            drain(c, &c->out);
            drain(c, &c->err);
            drain(c, &c->progress);
            return wait_status;
        }
    }
}

enum status child_verdict(int wait_status, const char *last_line, struct error *err)
{
    char name[SIGNAL_NAME_MAX];
    if (WIFSIGNALED(wait_status)) {
        int number = WTERMSIG(wait_status);
        return error_set(err, FAILED, "killed by signal %d (%s)%s", number, signal_name(number, name),
                         number == SIGKILL ? ", as when memory runs out" : "");
    }
    int code = WEXITSTATUS(wait_status);
    if (!code)
        return OK;
    if (!strncmp(last_line, "et: ", 4))
        last_line += 4;
    if (!*last_line)
        return error_set(err, FAILED, "ended with exit status %d, saying nothing", code);
    bool is_full = strstr(last_line, strerror(ENOSPC)) || strstr(last_line, strerror(EDQUOT));
    return error_set(err, is_full ? NO_SPACE : FAILED, "%s", last_line);
}

enum status child_watch(struct job *job, const struct child_options *options, int *ret_wait_status,
                        bool *ret_asked, struct error *err)
{
    TRY(job_check(job, err));
    CLEANUP(freep) struct child *c = xcalloc(1, sizeof(*c));
    c->job = job;
    c->options = options;
    c->pidfd = c->out = c->err = c->progress = -1;
    int64_t max_seconds = job_lease(job)->max_seconds;
    if (max_seconds)
        c->deadline = clock_monotonic_ms() + MIN(max_seconds, INT32_MAX) * 1000;
    enum status status = start(c, err);
    if (status == OK) {
        *ret_wait_status = watch(c);
        *ret_asked = c->asked != JOB_GOES_ON;
    }
    fd_closep(&c->pidfd);
    fd_closep(&c->out);
    fd_closep(&c->err);
    fd_closep(&c->progress);
    TRY(status);
    if (c->failed)
        return error_set(err, c->failed, "%s", c->error.message);
    if (c->out_of_time && (options->guard || *ret_wait_status))
        return error_set(err, FAILED, "ran longer than its limit of %lld s", (long long)max_seconds);
    return OK;
}

enum status child_run(struct job *job, const struct child_options *options, struct error *err)
{
    int wait_status;
    bool asked;
    TRY(child_watch(job, options, &wait_status, &asked, err));
    char last_line[600];
    job_last_line(job, last_line, sizeof(last_line));
    enum status status = child_verdict(wait_status, last_line, err);
    return status != OK && asked ? error_set(err, CANCELLED, "the job was asked to stop") : status;
}
