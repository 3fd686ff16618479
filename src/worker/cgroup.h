/*
 * cgroup.h - a control group (cgroup v2) for each script, where this process may make them.
 *
 *   BASE/                 ours: that of this process, or the one named
 *   BASE/et-own/          the worker, and what else was in the base
 *   BASE/et-JOB-ATTEMPT/  a script: memory.max, memory.swap.max, pids.max, cpu.max
 *
 * The kernel then holds the limits; without it they are sampled (sandbox.h).
 */
#ifndef ET_CGROUP_H
#define ET_CGROUP_H

#include <sys/types.h>

#include "base/base.h"

struct cgroups {
    char *base; /* NULL: none can be made */
};
/*
 * base NULL: that of this process.  Moves the processes that are in it to a group of their own,
 * and hands its controllers down.
 * That of this process is taken only where it is delegated to us.
 * Errors: UNSUPPORTED, why none can be made here; then limits are sampled alone.
 */
enum status cgroups_open(const char *base, struct cgroups *ret_groups, struct error *err);
void cgroups_close(struct cgroups *g);

struct cgroup_limits {
    int64_t memory_bytes;
    int tasks; /* threads count */
    int cpus;  /* 0: no limit */
};
/* Makes a group; *ret_path for the caller to free, after cgroup_remove(). */
enum status cgroup_make(const struct cgroups *g, const char *name, const struct cgroup_limits *limits,
                        char **ret_path, struct error *err);
/* Moves the calling process into it; for a child before it becomes somebody else.  -1 with errno. */
int cgroup_enter(const char *path);
/* Has the kernel ended something in it for lack of memory? */
bool cgroup_ran_out_of_memory(const char *path);
/* Ends all that is in it, and removes it. */
void cgroup_remove(const char *path);

#endif
