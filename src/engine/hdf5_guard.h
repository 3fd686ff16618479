/*
 * hdf5_guard.h - one thread at a time inside the HDF5 library.
 *
 * Debian's HDF5 is not safe for threads, and a prefetch thread may read
 * HDF5Data while the solver writes a snapshot.  Whoever calls H5* holds the
 * guard; it also keeps the library from printing its error stack.
 */
#ifndef ET_HDF5_GUARD_H
#define ET_HDF5_GUARD_H

struct hdf5_guard {
    char unused;
};

struct hdf5_guard hdf5_enter(void);
void hdf5_leave(struct hdf5_guard *guard);

/* From here to the end of the block. */
#define HDF5_GUARD() \
    struct hdf5_guard hdf5_guard_ __attribute__((cleanup(hdf5_leave), unused)) = hdf5_enter()

#endif
