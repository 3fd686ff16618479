#include "engine/data/hdf5_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "engine/data/hdf5_probe.h"

/* Errors are reported through struct error; HDF5's printing is a setting of each thread. */
static void be_quiet(void)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

/*
 * What a call that failed leaves on its thread's stack of errors goes with the
 * next call.  After the last one of a thread nobody would free it.
 */
static void forget_errors(void)
{
    H5Eclear2(H5E_DEFAULT);
}

void hdf5_file_closep(hid_t *file)
{
    if (*file >= 0)
        H5Fclose(*file);
    *file = -1;
}

void hdf5_group_closep(hid_t *group)
{
    if (*group >= 0)
        H5Gclose(*group);
    *group = -1;
}

static void space_closep(hid_t *space)
{
    if (*space >= 0)
        H5Sclose(*space);
}

static void dataset_closep(hid_t *dataset)
{
    if (*dataset >= 0)
        H5Dclose(*dataset);
}

static void type_closep(hid_t *type)
{
    if (*type >= 0)
        H5Tclose(*type);
}

bool hdf5_is_hdf5(const char *path)
{
    be_quiet();
    bool is = H5Fis_hdf5(path) > 0;
    forget_errors();
    return is;
}

enum status hdf5_open(const char *path, hid_t *ret_file, struct error *err)
{
    be_quiet();
    struct stat st;
    if (stat(path, &st) || access(path, R_OK))
        return error_set(err, status_from_errno(errno), "cannot open '%s': %s", path, strerror(errno));
    TRY(hdf5_probe(path, err));
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0) {
        forget_errors();
        return error_set(err, INVALID, "'%s' is not an HDF5 file, or is damaged", path);
    }
    *ret_file = file;
    return OK;
}

enum status hdf5_create(const char *path, hid_t *ret_file, struct error *err)
{
    be_quiet();
    errno = 0;
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    if (file < 0) {
        /* HDF5 does not pass errno on in every case: ask the file system itself. */
        CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        int number = fd < 0 ? errno : EBUSY;
        forget_errors();
        return error_set(err, status_from_errno(number), "cannot create '%s': %s", path, strerror(number));
    }
    *ret_file = file;
    return OK;
}

static enum status write_error(const char *path, int number, struct error *err)
{
    if (!number)
        return error_set(err, FAILED, "cannot write '%s'", path);
    return error_set(err, status_from_errno(number), "cannot write '%s': %s", path, strerror(number));
}

enum status hdf5_finish(hid_t *file, const char *path, struct error *err)
{
    be_quiet();
    errno = 0;
    herr_t result = H5Fflush(*file, H5F_SCOPE_GLOBAL);
    int number = errno;
    if (H5Fclose(*file) < 0 && result >= 0) {
        result = -1;
        number = errno;
    }
    *file = -1;
    return result < 0 ? write_error(path, number, err) : OK;
}

bool hdf5_has(hid_t place, const char *name)
{
    be_quiet();
    return H5Lexists(place, name, H5P_DEFAULT) > 0;
}

static enum status open_dataset(hid_t place, const char *path, const char *name, hid_t *ret_dataset,
                                struct error *err)
{
    be_quiet();
    hid_t dataset = H5Lexists(place, name, H5P_DEFAULT) > 0 ? H5Dopen2(place, name, H5P_DEFAULT) : -1;
    if (dataset < 0)
        return error_set(err, INVALID, "'%s' has no dataset '%s'", path, name);
    *ret_dataset = dataset;
    return OK;
}

enum status hdf5_dataset_shape(hid_t place, const char *path, const char *name, struct shape *ret_shape,
                               struct error *err)
{
    CLEANUP(dataset_closep) hid_t dataset = -1;
    TRY(open_dataset(place, path, name, &dataset, err));
    CLEANUP(type_closep) hid_t type = H5Dget_type(dataset);
    H5T_class_t class = H5Tget_class(type);
    if (class != H5T_FLOAT && class != H5T_INTEGER)
        return error_set(err, INVALID, "dataset '%s' of '%s' holds no numbers", name, path);
    CLEANUP(space_closep) hid_t space = H5Dget_space(dataset);
    int n_axes = H5Sget_simple_extent_ndims(space);
    hsize_t dims[H5S_MAX_RANK] = {0};
    if (n_axes < 0 || n_axes > SHAPE_MAX_AXES || H5Sget_simple_extent_dims(space, dims, NULL) < 0)
        return error_set(err, INVALID, "dataset '%s' of '%s' has no shape of at most %d axes", name, path,
                         SHAPE_MAX_AXES);
    struct shape shape = {.n_axes = n_axes};
    uint64_t count = 1;
    for (int i = 0; i < n_axes; i++) {
        if (dims[i] > INT_MAX || (count *= dims[i]) > INT_MAX)
            return error_set(err, TOO_LARGE, "dataset '%s' of '%s' has more than %d elements", name, path,
                             INT_MAX);
        shape.dim[i] = (int)dims[i];
    }
    *ret_shape = shape;
    return OK;
}

enum status hdf5_read_floats(hid_t place, const char *path, const char *name, float *values,
                             struct error *err)
{
    CLEANUP(dataset_closep) hid_t dataset = -1;
    TRY(open_dataset(place, path, name, &dataset, err));
    if (H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
        return error_set(err, INVALID, "dataset '%s' of '%s' cannot be read", name, path);
    return OK;
}

enum status hdf5_write_floats(hid_t place, const char *path, const char *name, const struct shape *shape,
                              const float *values, struct error *err)
{
    be_quiet();
    hsize_t dims[SHAPE_MAX_AXES];
    for (int i = 0; i < shape->n_axes; i++)
        dims[i] = (hsize_t)shape->dim[i];
    CLEANUP(space_closep)
    hid_t space = shape->n_axes ? H5Screate_simple(shape->n_axes, dims, NULL) : H5Screate(H5S_SCALAR);
    CLEANUP(dataset_closep)
    hid_t dataset = H5Dcreate2(place, name, H5T_NATIVE_FLOAT, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (dataset < 0)
        return error_set(err, FAILED, "cannot make dataset '%s' in '%s'", name, path);
    errno = 0;
    if (H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
        return write_error(path, errno, err);
    return OK;
}

enum status hdf5_group_open(hid_t place, const char *path, const char *name, hid_t *ret_group,
                            struct error *err)
{
    be_quiet();
    hid_t group = H5Lexists(place, name, H5P_DEFAULT) > 0 ? H5Gopen2(place, name, H5P_DEFAULT) : -1;
    if (group < 0)
        return error_set(err, INVALID, "'%s' has no group '%s'", path, name);
    *ret_group = group;
    return OK;
}

enum status hdf5_group_make(hid_t place, const char *path, const char *name, hid_t *ret_group,
                            struct error *err)
{
    be_quiet();
    hid_t group = H5Gcreate2(place, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (group < 0)
        return error_set(err, FAILED, "cannot make group '%s' in '%s'%s", name, path,
                         strchr(name, '/') ? ": HDF5 keeps '/' for groups in groups" : "");
    *ret_group = group;
    return OK;
}

int hdf5_n_links(hid_t group)
{
    be_quiet();
    H5G_info_t info;
    return H5Gget_info(group, &info) < 0 || info.nlinks > INT_MAX ? 0 : (int)info.nlinks;
}

char *hdf5_link_name(hid_t group, int index)
{
    be_quiet();
    ssize_t size =
        H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_NATIVE, (hsize_t)index, NULL, 0, H5P_DEFAULT);
    if (size < 0)
        return NULL;
    char *name = xmalloc((size_t)size + 1);
    if (H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_NATIVE, (hsize_t)index, name, (size_t)size + 1,
                           H5P_DEFAULT) < 0) {
        free(name);
        return NULL;
    }
    return name;
}
