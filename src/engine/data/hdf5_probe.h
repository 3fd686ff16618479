/*
 * hdf5_probe.h - can the HDF5 library read a file at all.
 *
 * A damaged file can end the process inside the library.  So it is walked
 * first, with all its objects and every data set that is of moderate size or
 * in chunks read, by a child process: when that one ends badly, only it does.
 * What leads to other files is refused: those would not have been walked.
 */
#ifndef ET_HDF5_PROBE_H
#define ET_HDF5_PROBE_H

#include "base/base.h"

/* The hidden command whose one argument is a path: its exit status is that of hdf5_probe_walk. */
#define HDF5_PROBE_COMMAND "hdf5-probe"

/* The program that has the command; said once, before any thread.  Unsaid, the child is forked. */
void hdf5_probe_by(const char *program);
/* Reads the file as said above, and leaves it open: for a process that ends with it.  0: it can be read. */
int hdf5_probe_walk(const char *path);

/* INVALID when it is no HDF5 file, is damaged, says to hold more than it does, or leads to other files. */
enum status hdf5_probe(const char *path, struct error *err);

#endif
