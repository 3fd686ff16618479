/*
 * hdf5_file.h - HDF5 files of float arrays: data sets of training data,
 * weights, outputs.
 *
 * HDF5's own messages are kept off stderr; what went wrong comes back as an
 * error that names the file.
 */
#ifndef ET_HDF5_FILE_H
#define ET_HDF5_FILE_H

#include <hdf5.h>

#include "netdef/netdef.h"

/* CLEANUPs; negative is none. */
void hdf5_file_closep(hid_t *file);
void hdf5_group_closep(hid_t *group);

/* Does path begin as HDF5 files do. */
bool hdf5_is_hdf5(const char *path);

/* Errors: NOT_FOUND; INVALID when it is not HDF5 or is damaged. */
enum status hdf5_open(const char *path, hid_t *ret_file, struct error *err);
/* An existing file is emptied.  Errors: NO_SPACE, NOT_FOUND, DENIED, FAILED. */
enum status hdf5_create(const char *path, hid_t *ret_file, struct error *err);
/* Closes and reports what could not be written. */
enum status hdf5_finish(hid_t *file, const char *path, struct error *err);

bool hdf5_has(hid_t place, const char *name);

/* Of a data set of numbers; path is for messages. */
enum status hdf5_dataset_shape(hid_t place, const char *path, const char *name, struct shape *ret_shape,
                               struct error *err);
/* Any float or integer type, converted; values takes shape_count floats. */
enum status hdf5_read_floats(hid_t place, const char *path, const char *name, float *values,
                             struct error *err);
enum status hdf5_write_floats(hid_t place, const char *path, const char *name, const struct shape *shape,
                              const float *values, struct error *err);

/* A group below place: opened, or made. */
enum status hdf5_group_open(hid_t place, const char *path, const char *name, hid_t *ret_group,
                            struct error *err);
enum status hdf5_group_make(hid_t place, const char *path, const char *name, hid_t *ret_group,
                            struct error *err);

/* Number of links in a group, and the name of one (for the caller to free; NULL when it cannot be read). */
int hdf5_n_links(hid_t group);
char *hdf5_link_name(hid_t group, int index);

#endif
