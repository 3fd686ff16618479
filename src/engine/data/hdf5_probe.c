#include "engine/data/hdf5_probe.h"

#include <errno.h>
#include <hdf5.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

enum { READ_MAX = 64 << 20, TIME_MAX_S = 60 };

/* In the child, where nothing needs to be given back.  An error of the library's is its reader's to tell. */
static herr_t look_at(hid_t place, const char *name, const H5O_info_t *info, void *context)
{
    (void)context;
    if (info->type != H5O_TYPE_DATASET)
        return 0;
    hid_t dataset = H5Dopen2(place, name, H5P_DEFAULT);
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    hssize_t n = H5Sget_simple_extent_npoints(space);
    size_t size = H5Tget_size(type);
    if (n < 0 || size == 0)
        return -1;
    if ((uint64_t)n > READ_MAX / size || H5Tis_variable_str(type))
        return 0;
    void *values = malloc((size_t)n * size + 1);
    if (values)
        H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    return 0;
}

int hdf5_probe_walk(const char *path)
{
    static const struct rlimit no_core = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &no_core);
    alarm(TIME_MAX_S);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    return file < 0 || H5Ovisit(file, H5_INDEX_NAME, H5_ITER_NATIVE, look_at, NULL) < 0;
}

static const char *probing_program;

void hdf5_probe_by(const char *program)
{
    probing_program = program;
}

/* The child of a program that has not said how: it must have one thread, for locks of others would stay
 * locked. */
static pid_t fork_walk(const char *path)
{
    pid_t child = fork();
    if (child == 0)
        _exit(hdf5_probe_walk(path));
    return child;
}

static pid_t spawn_walk(const char *path)
{
    char *const arguments[] = {(char *)"et", (char *)HDF5_PROBE_COMMAND, (char *)path, NULL};
    pid_t child;
    errno = posix_spawn(&child, probing_program, NULL, NULL, arguments, environ);
    return errno ? -1 : child;
}

enum status hdf5_probe(const char *path, struct error *err)
{
    pid_t child = probing_program ? spawn_walk(path) : fork_walk(path);
    int end;
    if (child < 0)
        return error_set(err, status_from_errno(errno), "cannot look at '%s': %s", path, strerror(errno));
    while (waitpid(child, &end, 0) < 0)
        if (errno != EINTR)
            return error_set(err, status_from_errno(errno), "cannot look at '%s': %s", path, strerror(errno));
    if (!WIFEXITED(end) || WEXITSTATUS(end))
        return error_set(err, INVALID, "'%s' is not an HDF5 file, or is damaged", path);
    return OK;
}
