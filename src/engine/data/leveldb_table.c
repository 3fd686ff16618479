#include "engine/data/leveldb_table.h"

#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

enum {
    FOOTER_SIZE = 48,
    MAGIC_SIZE = 8,
    TRAILER_SIZE = 5, /* of a block: how it is compressed, and a checksum */
    RESTART_SIZE = 4,
    SNAPPY_RATIO_MAX = 22, /* it copies at most 64 bytes by 3 */
    KEYS_RATIO_MAX = 64,   /* bytes of a block's keys, written out, to its size */
};

enum { NOT_COMPRESSED, SNAPPY };

static const unsigned char magic[MAGIC_SIZE] = {0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb};

/* A block's entries: each shares the start of its key with the one before. */
struct entries {
    struct leveldb_span rest;
    size_t key_size; /* of the last one */
    uint64_t key_bytes_left;
};

struct entry {
    size_t shared;
    struct leveldb_span key_rest, value;
};

struct checking {
    const char *path;
    const struct leveldb_table *table;
    uint64_t last_sequence;
    struct leveldb_span file;
    const unsigned char *blocks_end; /* of those that were led to so far */
    struct buf key, last_key;
    bool has_key;
    struct error *err;
};

static enum status damaged(const struct checking *c, const char *what)
{
    return error_set(c->err, INVALID, "leveldb table '%s' is damaged: %s", c->path, what);
}

/* What a handle leads to, with its trailer; false when that is outside the file. */
static bool take_handle(struct leveldb_span *from, struct leveldb_span file, struct leveldb_span *ret_block)
{
    uint64_t offset, size;
    struct leveldb_span skipped;
    return leveldb_take_varint(from, UINT64_MAX, &offset) && leveldb_take_varint(from, UINT64_MAX, &size) &&
           size <= UINT32_MAX && leveldb_take_bytes(&file, offset, &skipped) &&
           leveldb_take_bytes(&file, size + TRAILER_SIZE, ret_block);
}

/* *ret_owned: what the caller frees, or NULL. */
static bool uncompress(struct leveldb_span block, struct leveldb_span *ret_content, char **ret_owned)
{
    const char *bytes = (const char *)block.at;
    size_t n = leveldb_span_size(block) - TRAILER_SIZE, size;
    *ret_owned = NULL;
    if (block.at[n] == NOT_COMPRESSED) {
        *ret_content = (struct leveldb_span){block.at, block.at + n};
        return true;
    }
    if (block.at[n] != SNAPPY || snappy_uncompressed_length(bytes, n, &size) != SNAPPY_OK ||
        size > (uint64_t)n * SNAPPY_RATIO_MAX || size > UINT32_MAX)
        return false;
    CLEANUP(freep) char *content = xmalloc(size + 1);
    if (snappy_uncompress(bytes, n, content, &size) != SNAPPY_OK)
        return false;
    *ret_content = (struct leveldb_span){(unsigned char *)content, (unsigned char *)content + size};
    *ret_owned = TAKE(content);
    return true;
}

/* A block ends with the places of entries that share nothing, the first one's first, and their number. */
static bool entries_of(struct leveldb_span content, struct entries *ret_entries)
{
    size_t size = leveldb_span_size(content);
    if (size < RESTART_SIZE)
        return false;
    uint64_t n_restarts = leveldb_fixed(content.end - RESTART_SIZE, RESTART_SIZE);
    if (n_restarts == 0 || n_restarts > size / RESTART_SIZE - 1)
        return false;
    const unsigned char *end = content.end - (n_restarts + 1) * RESTART_SIZE;
    if (leveldb_fixed(end, RESTART_SIZE) != 0)
        return false;
    *ret_entries = (struct entries){{content.at, end}, 0, (uint64_t)size * KEYS_RATIO_MAX};
    return true;
}

static bool take_entry(struct entries *from, struct entry *ret_entry)
{
    uint64_t shared, rest, value;
    if (!leveldb_take_varint(&from->rest, UINT32_MAX, &shared) ||
        !leveldb_take_varint(&from->rest, UINT32_MAX, &rest) ||
        !leveldb_take_varint(&from->rest, UINT32_MAX, &value) || shared > from->key_size ||
        !leveldb_take_bytes(&from->rest, rest, &ret_entry->key_rest) ||
        !leveldb_take_bytes(&from->rest, value, &ret_entry->value))
        return false;
    ret_entry->shared = shared;
    from->key_size = shared + rest;
    if (from->key_size > from->key_bytes_left)
        return false;
    from->key_bytes_left -= from->key_size;
    return true;
}

static struct leveldb_span span_of(const struct buf *b)
{
    const unsigned char *bytes = (const unsigned char *)b->data;
    return (struct leveldb_span){bytes, bytes + b->size};
}

/* The key of a record, which has to come after all before it. */
static enum status check_key(struct checking *c, const struct entry *entry)
{
    struct buf before = c->key;
    c->key = c->last_key;
    c->last_key = before;
    buf_clear(&c->key);
    buf_append(&c->key, c->last_key.data, entry->shared);
    buf_append(&c->key, entry->key_rest.at, leveldb_span_size(entry->key_rest));
    struct leveldb_span key = span_of(&c->key);
    if (!leveldb_key_is_good(key) || leveldb_key_sequence(key) > c->last_sequence)
        return damaged(c, "a key has no sequence number that can be");
    if (c->has_key && leveldb_key_compare(span_of(&c->last_key), key) >= 0)
        return damaged(c, "its keys are not in order");
    c->has_key = true;
    if (leveldb_key_compare(key, c->table->smallest) < 0 || leveldb_key_compare(key, c->table->largest) > 0)
        return damaged(c, "a key lies outside of what the manifest says");
    return OK;
}

static enum status check_records(struct checking *c, struct leveldb_span block)
{
    CLEANUP(freep) char *owned = NULL;
    struct leveldb_span content;
    struct entries entries;
    struct entry entry;
    if (!uncompress(block, &content, &owned) || !entries_of(content, &entries))
        return damaged(c, "a block is no block of records");
    while (entries.rest.at < entries.rest.end) {
        if (!take_entry(&entries, &entry))
            return damaged(c, "a record has absurd sizes");
        TRY(check_key(c, &entry));
    }
    return OK;
}

static enum status check_blocks(struct checking *c, struct leveldb_span index)
{
    CLEANUP(freep) char *owned = NULL;
    struct leveldb_span content, block;
    struct entries entries;
    struct entry entry;
    if (!uncompress(index, &content, &owned) || !entries_of(content, &entries))
        return damaged(c, "its index is no block");
    while (entries.rest.at < entries.rest.end) {
        if (!take_entry(&entries, &entry))
            return damaged(c, "an entry of its index has absurd sizes");
        if (!take_handle(&entry.value, c->file, &block))
            return damaged(c, "its index leads out of it");
        if (block.at < c->blocks_end)
            return damaged(c, "its index leads to a block twice, or back");
        c->blocks_end = block.end;
        TRY(check_records(c, block));
    }
    return OK;
}

static enum status check_file(struct checking *c)
{
    size_t size = leveldb_span_size(c->file);
    if (size != c->table->size)
        return error_set(c->err, INVALID,
                         "leveldb table '%s' is damaged: it has %zu bytes, and %llu by its MANIFEST", c->path,
                         size, (unsigned long long)c->table->size);
    if (size < FOOTER_SIZE || memcmp(c->file.end - MAGIC_SIZE, magic, MAGIC_SIZE) != 0)
        return damaged(c, "it does not end as tables do");
    struct leveldb_span footer = {c->file.end - FOOTER_SIZE, c->file.end - MAGIC_SIZE}, index;
    if (!take_handle(&footer, c->file, &index) || !take_handle(&footer, c->file, &index))
        return damaged(c, "its index lies outside it");
    c->blocks_end = c->file.at;
    return check_blocks(c, index);
}

enum status leveldb_table_check(const char *path, const struct leveldb_table *table, uint64_t last_sequence,
                                struct error *err)
{
    CLEANUP(leveldb_file_release) struct leveldb_file file = {0};
    TRY(leveldb_file_map(path, &file, err));
    struct checking c = {
        .path = path, .table = table, .last_sequence = last_sequence, .file = file.bytes, .err = err};
    buf_init(&c.key, SIZE_MAX - 1);
    buf_init(&c.last_key, SIZE_MAX - 1);
    enum status status = check_file(&c);
    buf_release(&c.key);
    buf_release(&c.last_key);
    return status;
}
