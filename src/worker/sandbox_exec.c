/*
 * sandbox_exec.c - the last step before bubblewrap: `et sandbox-exec`, in the
 * job's folder.  What the worker is must not be what the program is: user,
 * environment, descriptors and limits are set here.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <glob.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "worker/child.h"
#include "worker/sandbox.h"

#define UID_NOBODY     65534
#define UID_BASE       1000000000 /* plus the process id: a user that is nobody else's while this lives */
#define OPEN_FILES_MAX 16384
#define USER_INSIDE    "1000"
#define ARGS_MAX       512
/* The box is seen here by the program's user, who may not be able to walk the path to it. */
#define MEETING_POINT "/mnt"

struct settings {
    bool network, unsafe;
    const char *gpus;   /* names, with commas; NULL: none */
    const char *cgroup; /* to enter; NULL: none */
    long cpus, processes, disk;
    char **program;
};

struct args {
    const char *list[ARGS_MAX];
    int n;
};

static void add(struct args *a, const char *first, ...)
{
    va_list more;
    va_start(more, first);
    for (const char *word = first; word && a->n < ARGS_MAX - 1; word = va_arg(more, const char *))
        a->list[a->n++] = word;
    va_end(more);
}

static int complain(const char *what)
{
    fprintf(stderr, "et: sandbox: %s: %s\n", what, strerror(errno));
    return 1;
}

/* ---- what is inside ---- */

static void add_system(struct args *a)
{
    static const char *const folders[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
    static char targets[ARRAY_SIZE(folders)][64];
    add(a, "--ro-bind", "/usr", "/usr", NULL);
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        ssize_t n = readlink(folders[i], targets[i], sizeof(targets[i]) - 1);
        if (n > 0)
            add(a, "--symlink", targets[i], folders[i], NULL);
        else
            add(a, "--ro-bind-try", folders[i], folders[i], NULL);
    }
}

static void add_etc(struct args *a, bool network)
{
    static const char *const always[] = {
        "/etc/alternatives", "/etc/fonts",        "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
        "/etc/localtime",    "/etc/matplotlibrc", "/etc/mime.types",  "/etc/python3",    "/etc/python3.11",
    };
    static const char *const with_network[] = {
        "/etc/ca-certificates", "/etc/hosts",    "/etc/nsswitch.conf", "/etc/protocols",
        "/etc/resolv.conf",     "/etc/services", "/etc/ssl/certs",     "/etc/ssl/openssl.cnf",
    };
    for (size_t i = 0; i < ARRAY_SIZE(always); i++)
        add(a, "--ro-bind-try", always[i], always[i], NULL);
    for (size_t i = 0; network && i < ARRAY_SIZE(with_network); i++)
        add(a, "--ro-bind-try", with_network[i], with_network[i], NULL);
}

/* A file made of text alone, given to bubblewrap by a descriptor. */
static void add_text(struct args *a, const char *text, const char *path, char number[12])
{
    int ends[2];
    if (pipe(ends))
        return;
    if (fd_write_all(ends[1], text, strlen(text)))
        complain(path);
    close(ends[1]);
    snprintf(number, 12, "%d", ends[0]);
    add(a, "--ro-bind-data", number, path, NULL);
}

static void add_gpus(struct args *a)
{
    static const char *const patterns[] = {"/dev/nvidia*", "/dev/dri", "/dev/kfd"};
    static glob_t found;
    for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
        glob(patterns[i], i ? GLOB_APPEND : 0, NULL, &found);
    for (size_t i = 0; i < found.gl_pathc; i++)
        add(a, "--dev-bind-try", found.gl_pathv[i], found.gl_pathv[i], NULL);
    add(a, "--ro-bind-try", "/sys", "/sys", NULL);
}

/* The sources of the box: where the worker's folder is, or where root has put it. */
struct box {
    char *job, *tmp, *shm;
};

static void add_all(struct args *a, const struct settings *s, const struct box *box)
{
    static char passwd[12], group[12], progress[12], tasks[40];
    snprintf(progress, sizeof(progress), "%d", CHILD_PROGRESS_FD);
    snprintf(tasks, sizeof(tasks), "--nproc=%ld", s->processes * TASKS_A_PROCESS);
    add(a, "bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--uid", USER_INSIDE, "--gid",
        USER_INSIDE, "--hostname", "sandbox", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
        NULL);
    if (s->network)
        add(a, "--share-net", NULL);
    add_system(a);
    add_etc(a, s->network);
    add_text(a, "job:x:" USER_INSIDE ":" USER_INSIDE "::/job:/bin/sh\n", "/etc/passwd", passwd);
    add_text(a, "job:x:" USER_INSIDE ":\n", "/etc/group", group);
    add(a, "--proc", "/proc", "--dev", "/dev", NULL);
    if (s->gpus)
        add_gpus(a);
    add(a, "--bind", box->job, "/job", "--bind", box->tmp, "/tmp", "--bind", box->shm, "/dev/shm", NULL);
    /* What is left of the sandbox's own file systems is memory that nobody counts. */
    add(a, "--remount-ro", "/dev", "--remount-ro", "/", NULL);
    add(a, "--chdir", "/job", "--json-status-fd", progress, "--", NULL);
    /* In the sandbox's own user namespace, so that it counts what is inside and nothing else. */
    add(a, "/usr/bin/prlimit", tasks, "--", NULL);
}

/* ---- who it is ---- */

static uid_t new_owner;

static int give_away(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return lchown(path, new_owner, new_owner);
}

/*
 * Root: the box becomes the new user's, is put where that user can reach it,
 * and root is no more.  -1 with errno.
 */
static int leave_root(void)
{
    pid_t parent = getppid();
    new_owner = UID_BASE + (uid_t)getpid();
    if (lchown("box", new_owner, new_owner) && errno == EINVAL) /* a container that has few users */
        new_owner = UID_NOBODY;
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("box", MEETING_POINT, NULL, MS_BIND, NULL) || nftw("box", give_away, 32, FTW_PHYS) ||
        setgroups(0, NULL) || setresgid(new_owner, new_owner, new_owner) ||
        setresuid(new_owner, new_owner, new_owner))
        return -1;
    /* Forgotten by the kernel at the change of user. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
        return -1;
    return 0;
}

static void limit(int what, rlim_t most)
{
    struct rlimit now;
    if (getrlimit(what, &now))
        return;
    most = MIN(most, now.rlim_max);
    setrlimit(what, &(struct rlimit){most, most});
}

static void set_limits(const struct settings *s)
{
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, OPEN_FILES_MAX);
    limit(RLIMIT_FSIZE, (rlim_t)s->disk);
    /* When the machine's memory runs out, it is this that has to go. */
    CLEANUP(fd_closep) int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (score >= 0 && write(score, "1000", 4) != 4)
        complain("oom_score_adj");
}

/* All that the program knows of the world around it. */
static char **new_environment(const struct settings *s, const char *home, const char *temporary)
{
    static char *list[16];
    int n = 0;
    list[n++] = xstrdup("PATH=/usr/local/bin:/usr/bin:/bin");
    list[n++] = xasprintf("HOME=%s", home);
    list[n++] = xasprintf("TMPDIR=%s", temporary);
    list[n++] = xstrdup("USER=job");
    list[n++] = xstrdup("LOGNAME=job");
    list[n++] = xstrdup("LANG=C.UTF-8");
    list[n++] = xstrdup("PYTHONUNBUFFERED=1");
    list[n++] = xasprintf("OMP_NUM_THREADS=%ld", s->cpus);
    list[n++] = xasprintf("OPENBLAS_NUM_THREADS=%ld", s->cpus);
    list[n++] = xasprintf("CUDA_VISIBLE_DEVICES=%s", s->gpus ? s->gpus : "");
    list[n] = NULL;
    return list;
}

static int run_unsafe(const struct settings *s)
{
    CLEANUP(freep) char *folder = getcwd(NULL, 0);
    if (!folder || chdir("box/job"))
        return complain("box/job");
    CLEANUP(freep) char *home = path_join(folder, "box/job");
    CLEANUP(freep) char *temporary = path_join(folder, "box/tmp");
    set_limits(s);
    execvpe(s->program[0], s->program, new_environment(s, home, temporary));
    return complain(s->program[0]);
}

static int run_boxed(const struct settings *s)
{
    CLEANUP(freep) char *folder = getcwd(NULL, 0);
    if (!folder)
        return complain("the job's folder");
    CLEANUP(freep) char *outside = path_join(folder, "box");
    bool root = !geteuid();
    if (root && leave_root())
        return complain("cannot become another user");
    const char *where = root ? MEETING_POINT : outside;
    struct box box = {path_join(where, "job"), path_join(where, "tmp"), path_join(where, "shm")};
    set_limits(s);
    close_range(CHILD_PROGRESS_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC);
    static struct args args;
    add_all(&args, s, &box);
    for (char **word = s->program; *word; word++)
        add(&args, *word, NULL);
    if (args.n == ARGS_MAX - 1) {
        errno = E2BIG;
        return complain("too many arguments");
    }
    execvpe("bwrap", (char *const *)args.list, new_environment(s, "/job", "/tmp"));
    return complain("bwrap");
}

int sandbox_exec_main(int argc, char **argv)
{
    enum { NETWORK = 1, GPUS, CGROUP, UNSAFE, CPUS, PROCESSES, DISK };
    static const struct option options[] = {
        {"network", no_argument, NULL, NETWORK},     {"gpus", required_argument, NULL, GPUS},
        {"cgroup", required_argument, NULL, CGROUP}, {"unsafe", no_argument, NULL, UNSAFE},
        {"cpus", required_argument, NULL, CPUS},     {"processes", required_argument, NULL, PROCESSES},
        {"disk", required_argument, NULL, DISK},     {0},
    };
    struct settings s = {.cpus = 1, .processes = 1, .disk = 1};
    for (int option; (option = getopt_long(argc, argv, "+", options, NULL)) != -1;) {
        long number = optarg ? strtol(optarg, NULL, 10) : 0;
        switch (option) {
        case NETWORK:
            s.network = true;
            break;
        case GPUS:
            s.gpus = optarg;
            break;
        case CGROUP:
            s.cgroup = optarg;
            break;
        case UNSAFE:
            s.unsafe = true;
            break;
        case CPUS:
            s.cpus = number;
            break;
        case PROCESSES:
            s.processes = number;
            break;
        case DISK:
            s.disk = number;
            break;
        default:
            return 2;
        }
    }
    s.program = argv + optind;
    if (!*s.program || s.processes < 1 || s.disk < 1)
        return 2;
    if (s.cgroup && cgroup_enter(s.cgroup))
        return complain("control group");
    return s.unsafe ? run_unsafe(&s) : run_boxed(&s);
}
