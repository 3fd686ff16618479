#include "engine/data/hdf5_chunks.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/base.h"

enum { FILTERS_MAX = 32, CHECKSUM_SIZE = 4 };

struct chunks {
    hid_t dataset, space;
    int n_axes, n_filters;
    hsize_t dims[H5S_MAX_RANK], chunk[H5S_MAX_RANK];
    H5Z_filter_t filters[FILTERS_MAX];
    uint64_t size;        /* of each, in memory */
    bool edges_are_plain; /* chunks that the dataset's end cuts have no filters */
};

static bool describe(hid_t dataset, struct chunks *c)
{
    hid_t properties = H5Dget_create_plist(dataset), type = H5Dget_type(dataset);
    c->dataset = dataset;
    c->space = H5Dget_space(dataset);
    c->n_axes = H5Sget_simple_extent_dims(c->space, c->dims, NULL);
    c->n_filters = H5Pget_nfilters(properties);
    c->size = H5Tget_size(type);
    unsigned options = 0;
    H5Pget_chunk_opts(properties, &options);
    c->edges_are_plain = options & H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS;
    if (c->n_axes < 1 || H5Pget_chunk(properties, H5S_MAX_RANK, c->chunk) != c->n_axes || c->size == 0 ||
        c->n_filters < 0 || c->n_filters > FILTERS_MAX)
        return false;
    for (int i = 0; i < c->n_axes; i++) {
        if (c->chunk[i] == 0 || c->size > UINT32_MAX / c->chunk[i])
            return false;
        c->size *= c->chunk[i];
    }
    for (int i = 0; i < c->n_filters; i++) {
        size_t n_values = 0;
        unsigned flags;
        c->filters[i] = H5Pget_filter2(properties, (unsigned)i, &flags, &n_values, NULL, 0, NULL, NULL);
    }
    return true;
}

/* How many bytes `from` inflates to; one more than most when it is more, 0 when it cannot be. */
static uint64_t inflated_size(const unsigned char *from, uint64_t size, uint64_t most)
{
    CLEANUP(freep) unsigned char *out = malloc(most + 1);
    uLongf out_size = most + 1;
    if (!out)
        return 0;
    int result = uncompress(out, &out_size, from, size);
    return result == Z_OK ? out_size : result == Z_BUF_ERROR && out_size > most ? most + 1 : 0;
}

/* The size of a chunk that is stored so, its filters undone from the last to the first. */
static bool is_whole(const struct chunks *c, const unsigned char *bytes, uint64_t stored, unsigned mask)
{
    uint64_t size = stored;
    bool is_as_stored = true;
    for (int i = c->n_filters; i-- > 0;) {
        if (mask & 1u << i)
            continue;
        if (c->filters[i] == H5Z_FILTER_FLETCHER32) {
            if (size < CHECKSUM_SIZE)
                return false;
            size -= CHECKSUM_SIZE;
        } else if (c->filters[i] == H5Z_FILTER_DEFLATE && is_as_stored) {
            size = inflated_size(bytes, size, c->size + CHECKSUM_SIZE);
            is_as_stored = false;
        } else if (c->filters[i] == H5Z_FILTER_SHUFFLE && !is_as_stored) {
            continue;
        } else if (c->filters[i] == H5Z_FILTER_SHUFFLE) {
            is_as_stored = false;
        } else {
            return true;
        }
    }
    return size == c->size;
}

static bool is_at_edge(const struct chunks *c, const hsize_t at[])
{
    for (int i = 0; i < c->n_axes; i++)
        if (c->chunk[i] > c->dims[i] - at[i])
            return true;
    return false;
}

static bool check_chunk(const struct chunks *c, const hsize_t at[])
{
    hsize_t stored = 0;
    haddr_t address = HADDR_UNDEF;
    unsigned mask = 0;
    if (H5Dget_chunk_info_by_coord(c->dataset, at, &mask, &address, &stored) < 0)
        return false;
    if (c->edges_are_plain && is_at_edge(c, at))
        mask = UINT_MAX;
    if (address == HADDR_UNDEF)
        return true; /* never written */
    CLEANUP(freep) unsigned char *bytes = malloc(stored + 1);
    uint32_t read_mask;
    return bytes && H5Dread_chunk(c->dataset, H5P_DEFAULT, at, &read_mask, bytes) >= 0 &&
           is_whole(c, bytes, stored, mask);
}

/* The next chunk's place; false after the last. */
static bool advance(const struct chunks *c, hsize_t at[])
{
    for (int i = c->n_axes; i-- > 0;) {
        at[i] += c->chunk[i];
        if (at[i] < c->dims[i])
            return true;
        at[i] = 0;
    }
    return false;
}

bool hdf5_chunks_are_whole(hid_t dataset)
{
    struct chunks chunks = {0};
    hsize_t at[H5S_MAX_RANK] = {0};
    if (!describe(dataset, &chunks))
        return false;
    do {
        if (!check_chunk(&chunks, at))
            return false;
    } while (advance(&chunks, at));
    return true;
}
