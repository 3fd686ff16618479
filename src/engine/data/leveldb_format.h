/*
 * leveldb_format.h - the parts that all files of a LevelDB are made of.
 *
 * Keys are internal ones: the user's bytes, then eight of which the lowest
 * is the kind (deletion or value) and the others the sequence number.
 * Source: LevelDB's doc/table_format.md and doc/log_format.md.
 */
#ifndef ET_LEVELDB_FORMAT_H
#define ET_LEVELDB_FORMAT_H

#include "base/base.h"

enum { LEVELDB_TAG_SIZE = 8, LEVELDB_N_LEVELS = 7 };

#define LEVELDB_SEQUENCE_MAX ((1ull << 56) - 1)

struct leveldb_span {
    const unsigned char *at, *end;
};

static inline size_t leveldb_span_size(struct leveldb_span span)
{
    return (size_t)(span.end - span.at);
}

/* A number that starts a span, seven bits a byte; false when there is none, or one above max. */
bool leveldb_take_varint(struct leveldb_span *from, uint64_t max, uint64_t *ret_value);

/* The next size bytes; false when fewer are left. */
bool leveldb_take_bytes(struct leveldb_span *from, uint64_t size, struct leveldb_span *ret_bytes);

/* n_bytes (up to 8) as a number, low byte first. */
uint64_t leveldb_fixed(const unsigned char *bytes, int n_bytes);

/* Whether LevelDB can take these bytes for a key. */
bool leveldb_key_is_good(struct leveldb_span key);
uint64_t leveldb_key_sequence(struct leveldb_span key);

/* Good keys, as LevelDB sorts them: by the user's bytes, then the latest first. */
int leveldb_key_compare(struct leveldb_span a, struct leveldb_span b);

/* A file's bytes, mapped to be read; empty for an empty file. */
struct leveldb_file {
    struct leveldb_span bytes;
};

/* Errors: NOT_FOUND; INVALID for what is no regular file. */
enum status leveldb_file_map(const char *path, struct leveldb_file *ret_file, struct error *err);
void leveldb_file_release(struct leveldb_file *file);

#endif
