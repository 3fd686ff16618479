#include "engine/data/leveldb_log.h"

#include <stdlib.h>

enum { BLOCK_SIZE = 32768, HEADER_SIZE = 7 };
enum { ZEROS, WHOLE, FIRST, MIDDLE, LAST }; /* kinds of fragments */

#define RECORDS_MAX (4ull << 30) /* bytes */

/* A record under way starts where the last one ended. */
struct reading {
    struct leveldb_log *log;
    bool in_record, at_end;
};

static size_t last_end(const struct leveldb_log *log)
{
    return log->n_records ? log->ends[log->n_records - 1] : 0;
}

static void end_record(struct leveldb_log *log)
{
    if (log->n_records == log->allocated) {
        log->allocated = MAX(16, 2 * log->allocated);
        log->ends = xrealloc(log->ends, log->allocated * sizeof(*log->ends));
    }
    log->ends[log->n_records++] = log->bytes.size;
}

static bool add_fragment(struct reading *r, unsigned kind, struct leveldb_span bytes)
{
    bool starts = kind == WHOLE || kind == FIRST, goes_on = kind == MIDDLE || kind == LAST;
    if (!starts && !goes_on)
        return false;
    /* Old writers could leave an empty start of a record behind. */
    if (starts && r->in_record && r->log->bytes.size != last_end(r->log))
        return false;
    if (goes_on && !r->in_record)
        return false;
    buf_append(&r->log->bytes, bytes.at, leveldb_span_size(bytes));
    r->in_record = kind == FIRST || kind == MIDDLE;
    if (!r->in_record)
        end_record(r->log);
    return !r->log->bytes.overflowed;
}

/* A block that is shorter than others is the last. */
static bool read_block(struct reading *r, struct leveldb_span block)
{
    bool is_last = leveldb_span_size(block) < BLOCK_SIZE;
    while (leveldb_span_size(block) >= HEADER_SIZE) {
        uint64_t size = leveldb_fixed(block.at + 4, 2);
        unsigned kind = block.at[6];
        struct leveldb_span bytes;
        block.at += HEADER_SIZE;
        if (!leveldb_take_bytes(&block, size, &bytes))
            return is_last;
        if (kind == ZEROS && size == 0)
            return !r->in_record;
        if (!add_fragment(r, kind, bytes))
            return false;
    }
    return true;
}

static enum status read_blocks(const char *path, struct leveldb_span file, struct reading *r,
                               struct error *err)
{
    while (file.at < file.end) {
        struct leveldb_span block;
        if (!leveldb_take_bytes(&file, MIN(leveldb_span_size(file), BLOCK_SIZE), &block) ||
            !read_block(r, block))
            return error_set(err, INVALID, "'%s' is damaged: its record %zu has a wrong size or kind", path,
                             r->log->n_records + 1);
    }
    r->log->bytes.size = last_end(r->log);
    return OK;
}

enum status leveldb_log_read(const char *path, struct leveldb_log *ret_log, struct error *err)
{
    CLEANUP(leveldb_file_release) struct leveldb_file file = {0};
    CLEANUP(leveldb_log_release) struct leveldb_log log = {0};
    buf_init(&log.bytes, RECORDS_MAX);
    TRY(leveldb_file_map(path, &file, err));
    TRY(read_blocks(path, file.bytes, &(struct reading){.log = &log}, err));
    *ret_log = log;
    log = (struct leveldb_log){0};
    return OK;
}

void leveldb_log_release(struct leveldb_log *log)
{
    buf_release(&log->bytes);
    free(log->ends);
}

struct leveldb_span leveldb_log_record(const struct leveldb_log *log, size_t number)
{
    const unsigned char *bytes = (const unsigned char *)log->bytes.data;
    return (struct leveldb_span){bytes + (number ? log->ends[number - 1] : 0), bytes + log->ends[number]};
}
