#include "worker/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

#define LEFT_S    60 /* a group that is empty after so long is left over */
#define OWN_GROUP "et-own"
#define TEXT_MAX  65536
#define MOVES_MAX 10     /* rounds of moving processes that start others meanwhile */
#define PERIOD_US 100000 /* of cpu.max */
#define GONE_MS   5000   /* that the kernel may take to end what was killed */

/* ---- files of a group ---- */

/* The whole text, for the caller to free; NULL with errno. */
static char *read_text(const char *folder, const char *name)
{
    CLEANUP(freep) char *path = path_join(folder, name);
    CLEANUP(freep) char *text = NULL;
    struct error unread;
    return file_read(path, TEXT_MAX, &text, NULL, &unread) == OK ? TAKE(text) : NULL;
}

static int write_text(const char *folder, const char *name, const char *text)
{
    CLEANUP(freep) char *path = path_join(folder, name);
    CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return -1;
    return write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

static enum status put(const char *folder, const char *name, const char *text, struct error *err)
{
    if (!write_text(folder, name, text))
        return OK;
    return error_set(err, UNSUPPORTED, "cannot write '%s/%s': %s", folder, name, strerror(errno));
}

static bool has_word(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = words; *p; p += strcspn(p, " \n"), p += *p != '\0')
        if (!strncmp(p, word, n) && strchr(" \n", p[n]))
            return true;
    return false;
}

/* ---- the base ---- */

/*
 * Has whoever manages the groups given us this one?  systemd says so in an attribute; below the
 * root of a container there is nobody else; and others than root could not write into it.
 */
static bool is_delegated(const char *path, bool is_root)
{
    static const char *const attributes[] = {"user.delegate", "trusted.delegate"};
    char value[8] = "";
    for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
        if (getxattr(path, attributes[i], value, sizeof(value) - 1) > 0 && *value == '1')
            return true;
    return is_root || geteuid();
}

/* "0::/user.slice/x" of /proc/self/cgroup, below where version 2 is mounted. */
static enum status find_own(char **ret_path, struct error *err)
{
    CLEANUP(freep) char *own = read_text("/proc/self", "cgroup");
    char *at = own && !strncmp(own, "0::", 3) ? own : own ? strstr(own, "\n0::") : NULL;
    if (!at)
        return error_set(err, UNSUPPORTED, "this process is in no control group of version 2");
    at = strchr(at, '/');
    at[strcspn(at, "\n")] = '\0';
    char *last = strrchr(at, '/');
    if (!strcmp(last + 1, OWN_GROUP)) /* a worker before this one has moved here */
        *last = '\0';
    CLEANUP(freep) char *path = xasprintf("/sys/fs/cgroup%s", strcmp(at, "/") ? at : "");
    if (!is_delegated(path, !*at || !strcmp(at, "/")))
        return error_set(err, UNSUPPORTED,
                         "control group '%s' is not delegated (a systemd unit's is with Delegate=yes)", path);
    *ret_path = TAKE(path);
    return OK;
}

/* Groups of scripts whose worker was killed go when they are empty; a new one may be about to be entered. */
static void remove_left(const char *base)
{
    DIR *dir = opendir(base);
    struct stat st;
    int64_t old = clock_now_ms() / 1000 - LEFT_S;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (!strncmp(entry->d_name, "et-", 3) && strcmp(entry->d_name, OWN_GROUP) &&
            !fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) && st.st_mtime < old)
            unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
    if (dir)
        closedir(dir);
}

/* The kernel hands down controllers only from a group without processes. */
static enum status move_out(const char *base, struct error *err)
{
    CLEANUP(freep) char *own = path_join(base, OWN_GROUP);
    CLEANUP(freep) char *type = read_text(base, "cgroup.type");
    if (!type) /* the machine's root may have both */
        return OK;
    if (mkdir(own, 0755) && errno != EEXIST)
        return error_set(err, UNSUPPORTED, "cannot make '%s': %s", own, strerror(errno));
    for (int round = 0; round < MOVES_MAX; round++) {
        CLEANUP(freep) char *processes = read_text(base, "cgroup.procs");
        char *rest = processes;
        bool moved = false;
        for (char *pid; (pid = strsep(&rest, "\n"));)
            moved = (*pid && strcmp(pid, "0") && !write_text(own, "cgroup.procs", pid)) || moved;
        if (!moved)
            return OK;
    }
    return OK;
}

enum status cgroups_open(const char *base, struct cgroups *ret_groups, struct error *err)
{
    CLEANUP(freep) char *path = base ? xstrdup(base) : NULL;
    if (!path)
        TRY(find_own(&path, err));
    CLEANUP(freep) char *controllers = read_text(path, "cgroup.controllers");
    if (!controllers)
        return error_set(err, UNSUPPORTED, "'%s' is no control group of version 2", path);
    if (!has_word(controllers, "memory") || !has_word(controllers, "pids"))
        return error_set(err, UNSUPPORTED, "control group '%s' has no memory and pids to hand down: '%.*s'",
                         path, (int)strcspn(controllers, "\n"), controllers);
    if (access(path, W_OK))
        return error_set(err, UNSUPPORTED, "control group '%s' is not ours to divide: %s", path,
                         strerror(errno));
    remove_left(path);
    TRY(move_out(path, err));
    TRY(put(path, "cgroup.subtree_control",
            has_word(controllers, "cpu") ? "+memory +pids +cpu" : "+memory +pids", err));
    ret_groups->base = TAKE(path);
    return OK;
}

void cgroups_close(struct cgroups *g)
{
    freep(&g->base);
}

/* ---- one group ---- */

static enum status set_limits(const char *path, const struct cgroup_limits *limits, struct error *err)
{
    char text[64];
    snprintf(text, sizeof(text), "%lld", (long long)limits->memory_bytes);
    TRY(put(path, "memory.max", text, err));
    (void)write_text(path, "memory.oom.group", "1");
    (void)write_text(path, "memory.swap.max", "0"); /* absent where the kernel does not count swap */
    snprintf(text, sizeof(text), "%d", limits->tasks);
    TRY(put(path, "pids.max", text, err));
    if (!limits->cpus)
        return OK;
    snprintf(text, sizeof(text), "%lld %d", (long long)limits->cpus * PERIOD_US, PERIOD_US);
    (void)write_text(path, "cpu.max", text); /* absent where cpu is not handed down */
    return OK;
}

enum status cgroup_make(const struct cgroups *g, const char *name, const struct cgroup_limits *limits,
                        char **ret_path, struct error *err)
{
    CLEANUP(freep) char *path = xasprintf("%s/et-%s", g->base, name);
    if (mkdir(path, 0755) && errno != EEXIST)
        return error_set(err, UNSUPPORTED, "cannot make '%s': %s", path, strerror(errno));
    enum status status = set_limits(path, limits, err);
    if (status != OK) {
        rmdir(path);
        return status;
    }
    *ret_path = TAKE(path);
    return OK;
}

int cgroup_enter(const char *path)
{
    return write_text(path, "cgroup.procs", "0");
}

bool cgroup_ran_out_of_memory(const char *path)
{
    CLEANUP(freep) char *events = read_text(path, "memory.events");
    const char *at = events ? strstr(events, "oom_kill ") : NULL;
    return at && strtol(at + strlen("oom_kill "), NULL, 10) > 0;
}

static void kill_all(const char *path)
{
    if (!write_text(path, "cgroup.kill", "1"))
        return;
    CLEANUP(freep) char *processes = read_text(path, "cgroup.procs"); /* before Linux 5.14 */
    char *rest = processes;
    for (char *pid; (pid = strsep(&rest, "\n"));)
        if (strtol(pid, NULL, 10) > 1)
            kill((pid_t)strtol(pid, NULL, 10), SIGKILL);
}

void cgroup_remove(const char *path)
{
    int64_t until = clock_monotonic_ms() + GONE_MS;
    kill_all(path);
    CLEANUP(freep) char *events = path_join(path, "cgroup.events");
    CLEANUP(fd_closep) int fd = open(events, O_RDONLY | O_CLOEXEC);
    char text[256];
    while (rmdir(path) && errno == EBUSY && fd >= 0 && clock_monotonic_ms() < until) {
        struct pollfd changed = {.fd = fd, .events = POLLPRI};
        poll(&changed, 1, 100);
        if (pread(fd, text, sizeof(text), 0) < 0)
            return;
    }
}
