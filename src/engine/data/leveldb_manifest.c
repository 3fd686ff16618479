#include "engine/data/leveldb_manifest.h"

#include <stdlib.h>
#include <string.h>

/* The kinds of an edit's entries. */
enum {
    COMPARATOR = 1,
    LOG_NUMBER = 2,
    NEXT_FILE = 3,
    LAST_SEQUENCE = 4,
    COMPACTION_POINTER = 5,
    TABLE_TAKEN = 6,
    TABLE_ADDED = 7,
    PREVIOUS_LOG_NUMBER = 9,
};

#define FILE_NUMBER_MAX (1ull << 62)

static const char comparator[] = "leveldb.BytewiseComparator";

/* A table added or taken: by number, then in the order in which LevelDB does it. */
struct change {
    struct leveldb_table table;
    size_t edit;
    bool added; /* an edit's tables are taken before others are added */
};

struct reading {
    struct leveldb_manifest *manifest;
    struct change *changes;
    size_t n_changes, allocated;
    uint64_t next_file;
    bool has_next_file, has_log_number, has_last_sequence;
};

static void reading_release(struct reading *r)
{
    free(r->changes);
}

static void note_change(struct reading *r, const struct change *change)
{
    if (r->n_changes == r->allocated) {
        r->allocated = MAX(16, 2 * r->allocated);
        r->changes = xrealloc(r->changes, r->allocated * sizeof(*r->changes));
    }
    r->changes[r->n_changes++] = *change;
}

static bool take_prefixed(struct leveldb_span *from, struct leveldb_span *ret_bytes)
{
    uint64_t size;
    return leveldb_take_varint(from, UINT32_MAX, &size) && leveldb_take_bytes(from, size, ret_bytes);
}

static bool take_key(struct leveldb_span *from, struct leveldb_span *ret_key)
{
    return take_prefixed(from, ret_key) && leveldb_key_is_good(*ret_key);
}

static bool take_level(struct leveldb_span *from, unsigned *ret_level)
{
    uint64_t level;
    if (!leveldb_take_varint(from, LEVELDB_N_LEVELS - 1, &level))
        return false;
    *ret_level = (unsigned)level;
    return true;
}

static bool take_number(struct leveldb_span *from, uint64_t *ret_number)
{
    return leveldb_take_varint(from, FILE_NUMBER_MAX, ret_number);
}

static bool take_table(struct leveldb_span *from, bool added, size_t edit, struct reading *r)
{
    struct change change = {.edit = edit, .added = added};
    struct leveldb_table *table = &change.table;
    if (!take_level(from, &table->level) || !take_number(from, &table->number))
        return false;
    if (added && (!leveldb_take_varint(from, INT64_MAX, &table->size) || !take_key(from, &table->smallest) ||
                  !take_key(from, &table->largest) || table->number == 0 ||
                  leveldb_key_compare(table->smallest, table->largest) > 0))
        return false;
    note_change(r, &change);
    return true;
}

static bool take_entry(struct leveldb_span *from, size_t edit, struct reading *r)
{
    struct leveldb_span bytes;
    unsigned level;
    uint64_t kind;
    if (!leveldb_take_varint(from, UINT32_MAX, &kind))
        return false;
    switch (kind) {
    case COMPARATOR:
        return take_prefixed(from, &bytes) && leveldb_span_size(bytes) == strlen(comparator) &&
               memcmp(bytes.at, comparator, strlen(comparator)) == 0;
    case LOG_NUMBER:
        r->has_log_number = true;
        return take_number(from, &r->manifest->log_number);
    case PREVIOUS_LOG_NUMBER:
        return take_number(from, &r->manifest->previous_log_number);
    case NEXT_FILE:
        r->has_next_file = true;
        return take_number(from, &r->next_file);
    case LAST_SEQUENCE:
        r->has_last_sequence = true;
        return leveldb_take_varint(from, LEVELDB_SEQUENCE_MAX, &r->manifest->last_sequence);
    case COMPACTION_POINTER:
        return take_level(from, &level) && take_key(from, &bytes);
    case TABLE_TAKEN:
    case TABLE_ADDED:
        return take_table(from, kind == TABLE_ADDED, edit, r);
    default:
        return false;
    }
}

static enum status read_edits(const char *path, struct reading *r, struct error *err)
{
    for (size_t i = 0; i < r->manifest->log.n_records; i++) {
        struct leveldb_span edit = leveldb_log_record(&r->manifest->log, i);
        while (edit.at < edit.end)
            if (!take_entry(&edit, i, r))
                return error_set(err, INVALID, "'%s' is damaged: its record %zu is no edit", path, i + 1);
    }
    if (!r->has_next_file || !r->has_log_number || !r->has_last_sequence)
        return error_set(err, INVALID, "'%s' is damaged: it lacks the next numbers", path);
    if (r->next_file == 0 || r->manifest->log_number >= r->next_file ||
        r->manifest->previous_log_number >= r->next_file)
        return error_set(err, INVALID, "'%s' is damaged: it gives numbers a second time", path);
    return OK;
}

static int compare_changes(const void *left, const void *right)
{
    const struct change *a = left, *b = right;
    if (a->table.number != b->table.number)
        return a->table.number < b->table.number ? -1 : 1;
    if (a->edit != b->edit)
        return a->edit < b->edit ? -1 : 1;
    return a->added - b->added;
}

/* Of the n changes of one table: whether it is there at last. */
static bool follow_table(const struct change *changes, size_t n, bool *ret_is_there,
                         struct leveldb_table *ret_table)
{
    const struct leveldb_table *now = NULL;
    unsigned levels = 0; /* a table goes down the levels, never back */
    for (size_t i = 0; i < n; i++) {
        const struct leveldb_table *table = &changes[i].table;
        if (!changes[i].added) {
            if (now && now->level == table->level)
                now = NULL;
            continue;
        }
        if (now || levels & 1u << table->level)
            return false;
        levels |= 1u << table->level;
        now = table;
    }
    *ret_is_there = now;
    if (now)
        *ret_table = *now;
    return true;
}

static enum status follow_tables(const char *path, struct reading *r, struct error *err)
{
    struct leveldb_manifest *m = r->manifest;
    m->tables = xcalloc(r->n_changes + 1, sizeof(*m->tables));
    if (r->n_changes)
        qsort(r->changes, r->n_changes, sizeof(*r->changes), compare_changes);
    for (size_t i = 0, n; i < r->n_changes; i += n) {
        uint64_t number = r->changes[i].table.number;
        bool is_there;
        for (n = 1; i + n < r->n_changes && r->changes[i + n].table.number == number; n++)
            ;
        if (!follow_table(&r->changes[i], n, &is_there, &m->tables[m->n_tables]))
            return error_set(err, INVALID, "'%s' is damaged: it adds table %llu twice", path,
                             (unsigned long long)number);
        m->n_tables += is_there;
        if (is_there && number >= r->next_file)
            return error_set(err, INVALID, "'%s' is damaged: it gives numbers a second time", path);
    }
    return OK;
}

static int compare_tables(const void *left, const void *right)
{
    const struct leveldb_table *a = left, *b = right;
    if (a->level != b->level)
        return a->level < b->level ? -1 : 1;
    int order = leveldb_key_compare(a->smallest, b->smallest);
    return order ? order : (a->number > b->number) - (a->number < b->number);
}

/* Only those of level 0 may: they are logs in the order of their keys. */
static enum status check_overlaps(const char *path, struct leveldb_manifest *m, struct error *err)
{
    qsort(m->tables, m->n_tables, sizeof(*m->tables), compare_tables);
    for (size_t i = 1; i < m->n_tables; i++) {
        const struct leveldb_table *last = &m->tables[i - 1], *table = &m->tables[i];
        if (table->level > 0 && last->level == table->level &&
            leveldb_key_compare(last->largest, table->smallest) >= 0)
            return error_set(err, INVALID, "'%s' is damaged: tables %llu and %llu of level %u overlap", path,
                             (unsigned long long)last->number, (unsigned long long)table->number,
                             table->level);
    }
    return OK;
}

static enum status read_manifest(const char *path, struct leveldb_manifest *m, struct error *err)
{
    CLEANUP(reading_release) struct reading r = {.manifest = m};
    TRY(read_edits(path, &r, err));
    TRY(follow_tables(path, &r, err));
    return check_overlaps(path, m, err);
}

enum status leveldb_manifest_read(const char *path, struct leveldb_manifest *ret_manifest, struct error *err)
{
    struct leveldb_manifest manifest = {0};
    TRY(leveldb_log_read(path, &manifest.log, err));
    enum status status = read_manifest(path, &manifest, err);
    if (status == OK)
        *ret_manifest = manifest;
    else
        leveldb_manifest_release(&manifest);
    return status;
}

void leveldb_manifest_release(struct leveldb_manifest *manifest)
{
    leveldb_log_release(&manifest->log);
    free(manifest->tables);
}
