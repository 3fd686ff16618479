#include "worker/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"

#define DEPTH_MAX 200 /* of folders; what lies deeper is not seen, and paths end there for most programs */

/* ---- processes ---- */

struct process {
    pid_t pid, parent;
};

/* Reads a small file of /proc into text.  false: the process is gone. */
static bool read_proc(pid_t pid, const char *name, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    return true;
}

/* "12 (name) S 11 ...": the name may hold anything, parentheses too. */
static bool read_parent(pid_t pid, pid_t *ret_parent)
{
    char text[512];
    if (!read_proc(pid, "stat", text, sizeof(text)))
        return false;
    const char *end = strrchr(text, ')');
    int parent;
    if (!end || sscanf(end + 1, " %*c %d", &parent) != 1)
        return false;
    *ret_parent = parent;
    return true;
}

static struct process *read_all(size_t *ret_n)
{
    size_t n = 0, room = 0;
    struct process *all = NULL;
    DIR *dir = opendir("/proc");
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        struct process process = {.pid = (pid_t)pid};
        if (*end || pid < 1 || !read_parent(process.pid, &process.parent))
            continue;
        if (n == room) {
            room = room ? 2 * room : 256;
            all = xrealloc(all, room * sizeof(*all));
        }
        all[n++] = process;
    }
    if (dir)
        closedir(dir);
    *ret_n = n;
    return all;
}

void tree_read(pid_t root, struct tree *ret_tree)
{
    size_t n;
    CLEANUP(freep) struct process *all = read_all(&n);
    *ret_tree = (struct tree){.pids = xcalloc(n + 1, sizeof(pid_t))};
    for (size_t i = 0; i < n; i++)
        if (all[i].pid == root)
            ret_tree->pids[ret_tree->n++] = root;
    for (int done = 0; done < ret_tree->n; done++)
        for (size_t i = 0; i < n; i++)
            if (all[i].parent == ret_tree->pids[done])
                ret_tree->pids[ret_tree->n++] = all[i].pid;
}

void tree_release(struct tree *t)
{
    free(t->pids);
    *t = (struct tree){0};
}

/* The number in kB that follows a key of /proc/PID/status or smaps_rollup, in bytes. */
static int64_t kib_of(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    return at ? 1024 * (int64_t)strtoll(at + strlen(key), NULL, 10) : 0;
}

int64_t tree_memory(const struct tree *t, int64_t enough)
{
    /* Pages that several processes share count once for each: an upper bound. */
    int64_t most = 0;
    char text[4096];
    for (int i = 0; i < t->n; i++)
        if (read_proc(t->pids[i], "status", text, sizeof(text)))
            most += kib_of(text, "\nRssAnon:") + kib_of(text, "\nRssShmem:") + kib_of(text, "\nVmSwap:");
    if (most < enough)
        return most;
    int64_t sum = 0;
    for (int i = 0; i < t->n; i++) {
        if (read_proc(t->pids[i], "smaps_rollup", text, sizeof(text)))
            sum += kib_of(text, "\nPss_Anon:") + kib_of(text, "\nPss_Shmem:") + kib_of(text, "\nSwapPss:");
        else if (read_proc(t->pids[i], "status", text, sizeof(text)))
            sum += kib_of(text, "\nRssAnon:") + kib_of(text, "\nRssShmem:") + kib_of(text, "\nVmSwap:");
    }
    return sum;
}

struct nameless {
    dev_t device;
    int64_t disk, memory;
    size_t n, room;
    struct stat *seen; /* each counts once, however many hold it */
};

static bool note_seen(struct nameless *found, const struct stat *st)
{
    for (size_t i = 0; i < found->n; i++)
        if (found->seen[i].st_dev == st->st_dev && found->seen[i].st_ino == st->st_ino)
            return false;
    if (found->n == found->room) {
        found->room = found->room ? 2 * found->room : 16;
        found->seen = xrealloc(found->seen, found->room * sizeof(*found->seen));
    }
    found->seen[found->n++] = *st;
    return true;
}

static void add_nameless(struct nameless *found, pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        struct stat st;
        if (fstatat(dirfd(dir), entry->d_name, &st, 0) || !S_ISREG(st.st_mode) || st.st_nlink ||
            !note_seen(found, &st))
            continue;
        if (st.st_dev == found->device)
            found->disk += (int64_t)st.st_blocks * 512;
        else if (!major(st.st_dev))
            found->memory += (int64_t)st.st_blocks * 512;
    }
    if (dir)
        closedir(dir);
}

void tree_nameless(const struct tree *t, dev_t device, int64_t *ret_disk, int64_t *ret_memory)
{
    struct nameless found = {.device = device};
    for (int i = 0; i < t->n; i++)
        add_nameless(&found, t->pids[i]);
    free(found.seen);
    *ret_disk = found.disk;
    *ret_memory = found.memory;
}

/* ---- folders ---- */

struct usage {
    dev_t device;
    int64_t bytes, files;
};

static void add_folder(struct usage *u, int fd, int depth)
{
    DIR *dir = fdopendir(fd); /* takes fd */
    if (!dir) {
        close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct stat st;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) || st.st_dev != u->device)
            continue;
        u->bytes += (int64_t)st.st_blocks * 512;
        u->files++;
        if (!S_ISDIR(st.st_mode) || depth == DEPTH_MAX)
            continue;
        int inner = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (inner < 0 && errno == EACCES && !fchmodat(dirfd(dir), entry->d_name, 0700, 0))
            inner = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (inner >= 0)
            add_folder(u, inner, depth + 1);
    }
    closedir(dir);
}

void folder_usage(int folder_fd, int64_t *ret_bytes, int64_t *ret_files)
{
    struct usage u = {0};
    struct stat st;
    int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && !fstat(fd, &st)) {
        u.device = st.st_dev;
        add_folder(&u, fd, 0);
    } else {
        fd_closep(&fd);
    }
    *ret_bytes = u.bytes;
    *ret_files = u.files;
}
