/*
 * hdf5_chunks.h - do the chunks of a dataset hold what they should.
 *
 * The HDF5 library takes a chunk for whole whatever its filters made of it,
 * and reads past the end of a short one.
 * Source: HDF5 File Format Specification 3.0, IV.A.2.l and III.A.1.
 */
#ifndef ET_HDF5_CHUNKS_H
#define ET_HDF5_CHUNKS_H

#include <hdf5.h>
#include <stdbool.h>

/*
 * For a process that ends with the dataset, whose memory is not given back.
 * Chunks behind filters other than shuffle, deflate and fletcher32 pass.
 */
bool hdf5_chunks_are_whole(hid_t dataset);

#endif
