#include "engine/data/hdf5_probe.h"

#include <errno.h>
#include <hdf5.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "engine/data/hdf5_chunks.h"

enum { READ_MAX = 64 << 20, TIME_MAX_S = 60, BYTES_PER_S = 32 << 20 };

/* Deflate makes at most 1032 bytes of one. */
#define STORED_RATIO_MAX 1100

/* What a walk ends with, and its process. */
enum { READABLE, DAMAGED, LEADS_ELSEWHERE = 3 };

struct walk {
    hsize_t file_size;
    bool leads_elsewhere;
};

struct dataset {
    hid_t id, type; /* of values in memory: floats for all numbers, as they are read later */
    hid_t space;
    bool is_chunked;
    int n_axes;
    hsize_t dims[H5S_MAX_RANK];
    uint64_t n, size; /* of a value */
};

/* In the child, where nothing needs to be given back. */
static herr_t look_at_link(hid_t group, const char *name, const H5L_info_t *info, void *context)
{
    (void)group, (void)name;
    struct walk *walk = context;
    walk->leads_elsewhere |= info->type != H5L_TYPE_HARD && info->type != H5L_TYPE_SOFT;
    return 0;
}

static herr_t count_link(hid_t group, const char *name, const H5L_info_t *info, void *context)
{
    (void)group, (void)name, (void)info;
    ++*(hsize_t *)context;
    return 0;
}

/* A group says how many links it has, for which memory is taken later. */
static herr_t look_at_group(hid_t place, const char *name)
{
    hid_t group = H5Gopen2(place, name, H5P_DEFAULT);
    H5G_info_t info;
    hsize_t n = 0;
    if (H5Gget_info(group, &info) < 0 ||
        H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, count_link, &n) < 0)
        return -1;
    return n == info.nlinks ? 0 : -1;
}

/* The values from row `first` on.  An error of the library's is its reader's to tell. */
static void read_rows(const struct dataset *d, hsize_t first, hsize_t n_rows)
{
    hsize_t start[H5S_MAX_RANK] = {first}, count[H5S_MAX_RANK];
    memcpy(count, d->dims, sizeof(count));
    count[0] = n_rows;
    H5Sselect_hyperslab(d->space, H5S_SELECT_SET, start, NULL, count, NULL);
    hid_t space = H5Screate_simple(d->n_axes, count, NULL);
    void *values = malloc(d->n / d->dims[0] * n_rows * d->size);
    if (values)
        H5Dread(d->id, d->type, space, d->space, H5P_DEFAULT, values);
    free(values);
}

static void read_values(const struct dataset *d)
{
    uint64_t row_size = d->n_axes ? d->n / d->dims[0] * d->size : d->n * d->size;
    if (d->n * d->size <= READ_MAX) {
        void *values = malloc(d->n * d->size);
        if (values)
            H5Dread(d->id, d->type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
        free(values);
        return;
    }
    hsize_t n_rows = MAX(1, READ_MAX / row_size);
    for (hsize_t row = 0; row < d->dims[0]; row += n_rows)
        read_rows(d, row, MIN(n_rows, d->dims[0] - row));
}

static bool is_elsewhere(hid_t properties)
{
    return H5Pget_external_count(properties) > 0 || H5Pget_layout(properties) == H5D_VIRTUAL;
}

/* More values than the file can hold would cost memory that nothing is in. */
static bool is_stored(const struct dataset *d, hsize_t file_size)
{
    uint64_t stored = MIN(H5Dget_storage_size(d->id), file_size);
    return d->n <= UINT64_MAX / d->size &&
           (d->n * d->size <= READ_MAX || d->n * d->size / STORED_RATIO_MAX <= stored);
}

static herr_t look_at_dataset(hid_t place, const char *name, struct walk *walk)
{
    struct dataset d = {.id = H5Dopen2(place, name, H5P_DEFAULT)};
    hid_t properties = H5Dget_create_plist(d.id), type = H5Dget_type(d.id);
    d.space = H5Dget_space(d.id);
    hssize_t n = H5Sget_simple_extent_npoints(d.space);
    size_t size = H5Tget_size(type);
    H5T_class_t class = H5Tget_class(type);
    d.n_axes = H5Sget_simple_extent_dims(d.space, d.dims, NULL);
    if (n < 0 || d.n_axes < 0 || size == 0)
        return -1;
    walk->leads_elsewhere |= is_elsewhere(properties);
    if (n == 0 || walk->leads_elsewhere || H5Tis_variable_str(type))
        return 0;
    d.is_chunked = H5Pget_layout(properties) == H5D_CHUNKED;
    d.type = class == H5T_FLOAT || class == H5T_INTEGER ? H5T_NATIVE_FLOAT : type;
    d.n = (uint64_t)n;
    d.size = MAX(size, sizeof(float));
    if (!is_stored(&d, walk->file_size) || (d.is_chunked && !hdf5_chunks_are_whole(d.id)))
        return -1;
    if (d.n * d.size <= READ_MAX || d.is_chunked)
        read_values(&d);
    return 0;
}

static herr_t look_at(hid_t place, const char *name, const H5O_info_t *info, void *context)
{
    if (info->type == H5O_TYPE_DATASET)
        return look_at_dataset(place, name, context);
    return info->type == H5O_TYPE_GROUP ? look_at_group(place, name) : 0;
}

int hdf5_probe_walk(const char *path)
{
    static const struct rlimit no_core = {0};
    struct stat st;
    if (stat(path, &st))
        return DAMAGED;
    struct walk walk = {.file_size = (hsize_t)st.st_size};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &no_core);
    alarm(TIME_MAX_S + (unsigned)MIN(walk.file_size / BYTES_PER_S, INT_MAX));
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0 || H5Lvisit(file, H5_INDEX_NAME, H5_ITER_NATIVE, look_at_link, &walk) < 0)
        return DAMAGED;
    bool is_damaged =
        !walk.leads_elsewhere && H5Ovisit(file, H5_INDEX_NAME, H5_ITER_NATIVE, look_at, &walk) < 0;
    return walk.leads_elsewhere ? LEADS_ELSEWHERE : is_damaged ? DAMAGED : READABLE;
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
    if (WIFEXITED(end) && WEXITSTATUS(end) == LEADS_ELSEWHERE)
        return error_set(err, INVALID, "'%s' has values in other files: copy them into it", path);
    if (!WIFEXITED(end) || WEXITSTATUS(end) != READABLE)
        return error_set(err, INVALID, "'%s' is not an HDF5 file, or is damaged", path);
    return OK;
}
