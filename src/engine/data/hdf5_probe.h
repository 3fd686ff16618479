/*
 * hdf5_probe.h - can the HDF5 library read a file at all.
 *
 * A damaged file can end the process inside the library.  So it is walked
 * first, with all its objects and every data set of moderate size read, by a
 * child process: when that one ends badly, only it does.
 */
#ifndef ET_HDF5_PROBE_H
#define ET_HDF5_PROBE_H

#include "base/base.h"

/* INVALID when it is no HDF5 file, or is damaged. */
enum status hdf5_probe(const char *path, struct error *err);

#endif
