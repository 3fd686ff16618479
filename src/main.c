/*
 * main.c - et, one binary: the table of commands.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/process.h"
#include "cli/command.h"
#include "engine/data/hdf5_probe.h"

/*
 * OpenMP's threads spin while they wait for each other; by default so long
 * that two jobs on the same cores, or one beside its data feed, lose most of
 * their time to it (bench/README.md).  A short spin loses nothing.  libgomp
 * reads its environment when it is loaded, hence the second start; children
 * inherit the variable and start once.
 */
static void spin_briefly(int argc, char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY"))
        return;
    setenv("GOMP_SPINCOUNT", "3000", 1);
    if (command_runs_nets(argc, argv))
        execv("/proc/self/exe", argv);
}

/*
 * Copies of large parameters go back to the system as soon as they are freed.
 * glibc would raise the size from which it does so with each that is freed,
 * and a snapshot would leave its copies in the heap.
 */
static void return_large_blocks(void)
{
    enum { LARGE = 4 << 20 };
    mallopt(M_MMAP_THRESHOLD, LARGE);
    mallopt(M_TRIM_THRESHOLD, 2 * LARGE);
}

int main(int argc, char **argv)
{
    process_die_with_parent();
    return_large_blocks();
    spin_briefly(argc, argv);
    hdf5_probe_by("/proc/self/exe");
    /* A link named `caffe` runs Caffe's own command line. */
    const char *slash = strrchr(argv[0], '/');
    const char *called = slash ? slash + 1 : argv[0];
    return command_run(called, argc, argv);
}
