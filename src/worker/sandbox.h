/*
 * sandbox.h - where a program that is not ours runs: bubblewrap around it,
 * and the worker watching.
 *
 *   worker --posix_spawn--> et sandbox-exec --exec--> bwrap --> its init --> the program
 *
 * Inside are /usr (read-only), a few files of /etc, a /proc and /dev of its
 * own, and the box: /job, /tmp and /dev/shm.  No network unless allowed, no
 * environment of the worker's, no way to become more; a worker that is root
 * gives the program a user of its own, which nobody else is.  With the init
 * everything inside dies.  Descriptors are limited; processes, memory and
 * disk are sampled, and too much of one ends it.  Where control groups can be
 * made the kernel limits memory, processes and processors, too.
 */
#ifndef ET_SANDBOX_H
#define ET_SANDBOX_H

#include <sys/types.h>

#include "base/base.h"
#include "worker/cgroup.h"

#define SANDBOX_SAMPLE_MS 200
#define TASKS_A_PROCESS   4 /* threads count as processes to the kernel */

struct sandbox_options {
    const char *folder; /* holds box/ */
    bool unsafe;        /* no bubblewrap: limits only */
    bool network;
    const char *gpus; /* names of those that are its own, with commas; NULL: it sees none */
    int cpus;         /* threads that the program is told to use */
    int processes;
    int64_t memory_bytes, disk_bytes;
    const struct cgroups *cgroups; /* base NULL: its limits are sampled alone */
    const char *name;              /* of its control group, no other's */
};

struct sandbox {
    struct sandbox_options options;
    int box;       /* descriptor of box/ */
    pid_t init;    /* first process inside, as seen from here; 0: not known yet */
    int init_fd;   /* its pidfd; -1 */
    int exit_code; /* what bubblewrap told; -1: nothing */
    char *cgroup;  /* NULL: none */
};

/* Errors: UNSUPPORTED when there is no bubblewrap; FAILED. */
enum status sandbox_init(struct sandbox *s, const struct sandbox_options *options, struct error *err);
void sandbox_release(struct sandbox *s);

/* Command line of the child that runs argv in it (an array to free; it lends argv's strings). */
struct sandbox_command {
    const char **argv;
    char *words[5]; /* owned */
};
void sandbox_command(const struct sandbox *s, const char *const *argv, struct sandbox_command *ret_command);
void sandbox_command_release(struct sandbox_command *c);

/* A line on the child's CHILD_PROGRESS_FD. */
void sandbox_line(struct sandbox *s, const char *line);

/* Does it keep within its limits?  pid is the child.  Errors: FAILED, "used more than its 512 MiB of memory".
 */
enum status sandbox_sample(const struct sandbox *s, pid_t pid, struct error *err);
/* The same of the disk alone, with bytes that are in no folder. */
enum status sandbox_sample_disk(const struct sandbox *s, int64_t nameless_bytes, struct error *err);

/* The same of what the kernel has done for lack of memory. */
enum status sandbox_check_memory(const struct sandbox *s, struct error *err);

/* SIGTERM to the program's processes, or SIGKILL to all; pid is the child. */
void sandbox_signal(const struct sandbox *s, pid_t pid, int number);

/*
 * The child has ended: waits until nothing of it is left, and tells how the
 * program ended: *ret_signal 0 and its status, or the signal's number.
 * Errors: UNSUPPORTED when the sandbox could not be made.
 */
enum status sandbox_end(struct sandbox *s, int wait_status, int *ret_status, int *ret_signal,
                        struct error *err);

/* The hidden command `et sandbox-exec`, run in the job's folder.  Returns an exit status, or not at all. */
int sandbox_exec_main(int argc, char **argv);

#endif
