#include "worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/size.h"
#include "worker/tree.h"

#define FILES_MAX 500000 /* in the box */
#define OWN_TASKS 8      /* ours and bubblewrap's, beside the program's */
#define GONE_MS   10000  /* that the kernel may take to end what was killed */

static bool is_in_path(const char *name)
{
    const char *path = getenv("PATH");
    CLEANUP(freep) char *folders = xstrdup(path && *path ? path : "/usr/bin:/bin");
    char *rest = folders;
    for (char *folder; (folder = strsep(&rest, ":"));) {
        CLEANUP(freep) char *file = path_join(*folder ? folder : ".", name);
        if (!access(file, X_OK))
            return true;
    }
    return false;
}

enum status sandbox_init(struct sandbox *s, const struct sandbox_options *options, struct error *err)
{
    if (!options->unsafe && !is_in_path("bwrap"))
        return error_set(err, UNSUPPORTED,
                         "this worker cannot run scripts: bubblewrap (bwrap) is not installed there; "
                         "a worker started with --unsafe-scripts runs them without it");
    CLEANUP(freep) char *path = path_join(options->folder, "box");
    int box = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (box < 0)
        return error_set(err, FAILED, "cannot open '%s': %s", path, strerror(errno));
    *s = (struct sandbox){.options = *options, .box = box, .init_fd = -1, .exit_code = -1};
    const struct cgroup_limits limits = {
        .memory_bytes = options->memory_bytes,
        .tasks = options->processes * TASKS_A_PROCESS + OWN_TASKS,
        .cpus = options->cpus,
    };
    struct error unmade;
    char text[LOG_VALUE_MAX];
    if (options->cgroups && options->cgroups->base &&
        cgroup_make(options->cgroups, options->name, &limits, &s->cgroup, &unmade) != OK)
        log_event("sandbox.no-cgroup", "name=%s reason=%s", options->name, log_value(unmade.message, text));
    return OK;
}

void sandbox_release(struct sandbox *s)
{
    fd_closep(&s->box);
    fd_closep(&s->init_fd);
    if (s->cgroup)
        cgroup_remove(s->cgroup);
    freep(&s->cgroup);
}

/* ---- starting ---- */

void sandbox_command(const struct sandbox *s, const char *const *argv, struct sandbox_command *ret_command)
{
    size_t n = 0, k = 0;
    while (argv[n])
        n++;
    const struct sandbox_options *o = &s->options;
    struct sandbox_command c = {.argv = xcalloc(n + 16, sizeof(*c.argv))};
    c.words[0] = xasprintf("--cpus=%d", o->cpus);
    c.words[1] = xasprintf("--processes=%d", o->processes);
    c.words[2] = xasprintf("--disk=%lld", (long long)o->disk_bytes);
    c.argv[k++] = "et";
    c.argv[k++] = "sandbox-exec";
    c.words[3] = o->gpus ? xasprintf("--gpus=%s", o->gpus) : NULL;
    c.words[4] = s->cgroup ? xasprintf("--cgroup=%s", s->cgroup) : NULL;
    for (size_t i = 0; i < ARRAY_SIZE(c.words); i++)
        if (c.words[i])
            c.argv[k++] = c.words[i];
    if (o->network)
        c.argv[k++] = "--network";
    if (o->unsafe)
        c.argv[k++] = "--unsafe";
    c.argv[k++] = "--";
    for (size_t i = 0; i < n; i++)
        c.argv[k++] = argv[i];
    *ret_command = c;
}

void sandbox_command_release(struct sandbox_command *c)
{
    free(c->argv);
    for (size_t i = 0; i < ARRAY_SIZE(c->words); i++)
        free(c->words[i]);
    *c = (struct sandbox_command){0};
}

/* bubblewrap says {"child-pid": N, ...} when it has begun, and {"exit-code": N} when the program has ended.
 */
void sandbox_line(struct sandbox *s, const char *line)
{
    CLEANUP(json_decrefp) json_t *json = NULL;
    if (json_read(line, strlen(line), &json, NULL) != OK)
        return;
    int64_t pid = json_get_int(json, "child-pid", 0), code = json_get_int(json, "exit-code", -1);
    if (!s->init && pid > 1) {
        s->init = (pid_t)pid;
        s->init_fd = pidfd_open(s->init, 0);
    }
    if (code >= 0)
        s->exit_code = (int)code;
}

/* ---- watching ---- */

enum status sandbox_sample_disk(const struct sandbox *s, int64_t nameless_bytes, struct error *err)
{
    int64_t bytes, files;
    char text[SIZE_TEXT_MAX];
    folder_usage(s->box, &bytes, &files);
    if (bytes + nameless_bytes > s->options.disk_bytes)
        return error_set(err, FAILED, "wrote more than its %s of disk",
                         size_text(s->options.disk_bytes, text));
    if (files > FILES_MAX)
        return error_set(err, FAILED, "made more than its %d files", FILES_MAX);
    return OK;
}

enum status sandbox_sample(const struct sandbox *s, pid_t pid, struct error *err)
{
    pid_t root = s->options.unsafe ? pid : s->init;
    if (!root)
        return OK;
    CLEANUP(tree_release) struct tree tree = {0};
    struct stat st;
    int64_t nameless_disk = 0, nameless_memory = 0;
    char text[SIZE_TEXT_MAX];
    tree_read(root, &tree);
    int n = tree.n - (s->options.unsafe ? 0 : 1);
    if (n > s->options.processes)
        return error_set(err, FAILED, "started more than its %d processes", s->options.processes);
    if (!fstat(s->box, &st))
        tree_nameless(&tree, st.st_dev, &nameless_disk, &nameless_memory);
    int64_t limit = s->options.memory_bytes;
    if (nameless_memory > limit || tree_memory(&tree, limit) > limit)
        return error_set(err, FAILED, "used more than its %s of memory", size_text(limit, text));
    return sandbox_sample_disk(s, nameless_disk, err);
}

/*
 * bubblewrap's own two processes are no part of the program: the outer one
 * would take all with it at SIGTERM, the inner one takes no notice.
 */
void sandbox_signal(const struct sandbox *s, pid_t pid, int number)
{
    pid_t root = s->options.unsafe ? pid : s->init;
    if (number == SIGKILL && s->init_fd >= 0)
        pidfd_send_signal(s->init_fd, SIGKILL, NULL, 0);
    if (number == SIGKILL || !root || s->options.unsafe)
        kill(-pid, s->options.unsafe ? number : SIGKILL);
    if (!root || (number == SIGKILL && !s->options.unsafe))
        return;
    CLEANUP(tree_release) struct tree tree = {0};
    tree_read(root, &tree);
    for (int i = 1; i < tree.n; i++)
        kill(tree.pids[i], number);
}

/* ---- the end ---- */

enum status sandbox_check_memory(const struct sandbox *s, struct error *err)
{
    char text[SIZE_TEXT_MAX];
    if (!s->cgroup || !cgroup_ran_out_of_memory(s->cgroup))
        return OK;
    return error_set(err, FAILED, "used more than its %s of memory",
                     size_text(s->options.memory_bytes, text));
}

enum status sandbox_end(struct sandbox *s, int wait_status, int *ret_status, int *ret_signal,
                        struct error *err)
{
    struct pollfd gone = {.fd = s->init_fd, .events = POLLIN};
    if (s->init_fd >= 0 && poll(&gone, 1, GONE_MS) < 1)
        return error_set(err, FAILED, "the program's processes do not end");
    if (s->options.unsafe) {
        *ret_signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
        *ret_status = WIFSIGNALED(wait_status) ? 0 : WEXITSTATUS(wait_status);
        return OK;
    }
    if (s->exit_code < 0 && !WIFSIGNALED(wait_status))
        return error_set(err, UNSUPPORTED, "this worker cannot make a sandbox");
    int code = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : s->exit_code;
    bool by_signal = code > 128 && code < 128 + NSIG;
    *ret_signal = by_signal ? code - 128 : 0;
    *ret_status = by_signal ? 0 : code;
    return OK;
}
