/* Forged LevelDBs: every checksum is right, and what lies under them is not. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../../leveldb_seal.h"
#include "data_test.h"

enum { FORGED_TABLE = 6, GOOD_TABLE = 5, TAG_SIZE = 8, IS_VALUE = 1, SEQUENCE = 600, LAST_SEQUENCE = 1000 };

/* What is wrong; 0 and NULL: nothing. */
struct forgery {
    const char *what;
    /* the forged table's record */
    uint32_t said_key_size, said_value_size, said_shared;
    bool key_without_tag;
    size_t key_size; /* without the tag */
    unsigned n_restarts, restart;
    /* more records of the same key behind it, and how their sequence numbers fall */
    int n_older, older_by;
    /* its blocks */
    uint64_t said_block_offset, said_block_size, said_index_size;
    unsigned n_handles;
    const char *snappy; /* instead of the records */
    /* what the MANIFEST says of it */
    uint64_t added_size, next_file, log_number, level, table_number, last_sequence;
    const char *largest, *comparator;
    bool overlaps; /* the other table, at its level */
    bool short_smallest, short_largest, short_pointer, added_twice;
    /* other files */
    const char *current, *extra_file, *fifo;
    uint64_t batches[2]; /* the sequence numbers of two in a log */
    int n_records;       /* of what is right */
};

static void put_varint(struct buf *b, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        buf_putc(b, (char)(value | 0x80));
    buf_putc(b, (char)value);
}

static void put_fixed32(struct buf *b, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        buf_putc(b, (char)(value >> 8 * i));
}

static void put_tag(struct buf *b, int sequence)
{
    put_fixed32(b, (uint32_t)sequence << 8 | IS_VALUE);
    put_fixed32(b, 0);
}

/* size: of the key without its tag, which is filled up. */
static void put_key(struct buf *b, const char *name, size_t size, bool tagged)
{
    buf_puts(b, name);
    for (size_t i = strlen(name); i < size; i++)
        buf_putc(b, 'k');
    if (tagged)
        put_tag(b, SEQUENCE);
}

static void put_prefixed_key(struct buf *b, const char *name, size_t size, bool tagged)
{
    put_varint(b, MAX(size, strlen(name)) + (tagged ? TAG_SIZE : 0));
    put_key(b, name, size, tagged);
}

/* Ends a block that started at `start`, and says where it is. */
static void end_block(struct buf *table, size_t start, char type, struct buf *ret_handle)
{
    uint8_t checksum[4];
    put_varint(ret_handle, start);
    put_varint(ret_handle, table->size - start);
    buf_putc(table, type);
    leveldb_put_checksum(checksum, table->data + start, table->size - start);
    buf_append(table, checksum, sizeof(checksum));
}

static void put_restarts(struct buf *table, const struct forgery *f)
{
    put_fixed32(table, f->restart);
    put_fixed32(table, f->n_restarts ? f->n_restarts : 1);
}

static void put_record(struct buf *table, const char *name, const struct forgery *f)
{
    CLEANUP(buf_release) struct buf key;
    buf_init(&key, 1 << 20);
    put_key(&key, name, f->key_size, !f->key_without_tag);
    put_varint(table, f->said_shared);
    put_varint(table, f->said_key_size ? f->said_key_size : key.size);
    put_varint(table, f->said_value_size ? f->said_value_size : 1);
    buf_append(table, key.data, key.size);
    buf_putc(table, 'v');
    for (int i = 1; i <= f->n_older; i++) {
        put_varint(table, key.size - TAG_SIZE);
        put_varint(table, TAG_SIZE);
        put_varint(table, 0);
        put_tag(table, SEQUENCE - i * f->older_by);
    }
}

static void put_index(struct buf *table, const char *name, const struct buf *block, const struct forgery *f)
{
    CLEANUP(buf_release) struct buf handle;
    buf_init(&handle, 64);
    if (f->said_block_offset || f->said_block_size) {
        put_varint(&handle, f->said_block_offset);
        put_varint(&handle, f->said_block_size);
    } else {
        buf_append(&handle, block->data, block->size);
    }
    for (unsigned i = 0; i < MAX(f->n_handles, 1); i++) {
        put_varint(table, 0);
        put_varint(table, strlen(name) + TAG_SIZE);
        put_varint(table, handle.size);
        put_key(table, name, 0, true);
        buf_append(table, handle.data, handle.size);
    }
    put_restarts(table, &(struct forgery){0});
}

static void make_table(struct buf *table, const char *name, const struct forgery *f)
{
    static const char magic[] = {0x57, (char)0xfb, (char)0x80, (char)0x8b, 0x24, 0x75, 0x47, (char)0xdb};
    CLEANUP(buf_release) struct buf block, index;
    buf_init(&block, 64);
    buf_init(&index, 64);
    if (f->snappy) {
        buf_puts(table, f->snappy);
    } else {
        put_record(table, name, f);
        put_restarts(table, f);
    }
    end_block(table, 0, f->snappy ? 1 : 0, &block);
    size_t index_start = table->size;
    put_index(table, name, &block, f);
    end_block(table, index_start, 0, &index);
    CLEANUP(buf_release) struct buf footer;
    buf_init(&footer, LEVELDB_FOOTER);
    put_varint(&footer, 0);
    put_varint(&footer, 0);
    if (f->said_index_size) {
        put_varint(&footer, index_start);
        put_varint(&footer, f->said_index_size);
    } else {
        buf_append(&footer, index.data, index.size);
    }
    while (footer.size < LEVELDB_FOOTER - sizeof(magic))
        buf_putc(&footer, 0);
    buf_append(&footer, magic, sizeof(magic));
    buf_append(table, footer.data, footer.size);
}

static void put_new_file(struct buf *edit, uint64_t number, uint64_t size, const char *name,
                         const struct forgery *f)
{
    size_t key_size = MAX(f->key_size, strlen(name));
    put_varint(edit, 7);
    put_varint(edit, f->level);
    put_varint(edit, number);
    put_varint(edit, size);
    put_prefixed_key(edit, name, key_size, !f->short_smallest);
    put_prefixed_key(edit, f->largest ? f->largest : "c", 0, !f->short_largest);
}

/* A whole record, in a log's first block. */
static void put_log_record(struct buf *log, const struct buf *bytes)
{
    put_fixed32(log, 0);
    buf_putc(log, (char)bytes->size);
    buf_putc(log, (char)(bytes->size >> 8));
    buf_putc(log, 1);
    buf_append(log, bytes->data, bytes->size);
    leveldb_seal_log((uint8_t *)log->data, log->size);
}

static void make_manifest(struct buf *manifest, uint64_t good_size, uint64_t forged_size,
                          const struct forgery *f)
{
    const char *comparator = f->comparator ? f->comparator : "leveldb.BytewiseComparator";
    CLEANUP(buf_release) struct buf edit;
    buf_init(&edit, 1 << 20);
    put_varint(&edit, 1);
    put_varint(&edit, strlen(comparator));
    buf_puts(&edit, comparator);
    put_varint(&edit, 2);
    put_varint(&edit, f->log_number ? f->log_number : 3);
    put_varint(&edit, 3);
    put_varint(&edit, f->next_file ? f->next_file : 9);
    put_varint(&edit, 4);
    put_varint(&edit, f->last_sequence ? f->last_sequence : LAST_SEQUENCE);
    if (f->short_pointer) {
        put_varint(&edit, 5);
        put_varint(&edit, 0);
        put_prefixed_key(&edit, "p", 0, false);
    }
    put_new_file(&edit, GOOD_TABLE, good_size, "a",
                 &(struct forgery){.level = f->overlaps ? f->level : 0, .largest = f->overlaps ? "c" : "a"});
    for (int i = 0; i < (f->added_twice ? 2 : 1); i++)
        put_new_file(&edit, f->table_number ? f->table_number : FORGED_TABLE, forged_size + f->added_size,
                     "b", f);
    put_log_record(manifest, &edit);
}

/* Two batches, each of which sets "z" to nothing. */
static void make_log(struct buf *log, const uint64_t sequences[2])
{
    static const char put[] = {1, 1, 'z', 0};
    for (int i = 0; i < 2; i++) {
        CLEANUP(buf_release) struct buf batch;
        buf_init(&batch, 64);
        put_fixed32(&batch, (uint32_t)sequences[i]);
        put_fixed32(&batch, (uint32_t)(sequences[i] >> 32));
        put_fixed32(&batch, 1);
        buf_append(&batch, put, sizeof(put));
        put_log_record(log, &batch);
    }
}

static void write_buf(const char *folder, const char *name, const struct buf *bytes)
{
    struct error err;
    CLEANUP(freep) char *path = path_join(folder, name);
    assert_ok(file_write(path, bytes->data, bytes->size, 0644, &err));
}

static void make_forged_db(const char *folder, const struct forgery *f)
{
    CLEANUP(buf_release) struct buf good, forged, manifest, log;
    buf_init(&good, 1 << 20);
    buf_init(&forged, 1 << 20);
    buf_init(&manifest, 1 << 16);
    buf_init(&log, 1 << 10);
    make_table(&good, "a", &(struct forgery){0});
    make_table(&forged, "b", f);
    make_manifest(&manifest, good.size, forged.size, f);
    write_buf(folder, "000005.ldb", &good);
    write_buf(folder, "000006.ldb", &forged);
    write_buf(folder, "MANIFEST-000002", &manifest);
    write_text(folder, "CURRENT", f->current ? f->current : "MANIFEST-000002\n");
    if (f->batches[0]) {
        make_log(&log, f->batches);
        write_buf(folder, "000007.log", &log);
    }
    if (f->extra_file)
        write_text(folder, f->extra_file, "");
    CLEANUP(freep) char *fifo = path_join(folder, f->fifo ? f->fifo : "");
    if (f->fifo)
        assert_int_equal(mkfifo(fifo, 0600), 0);
}

/* Reads all; the number of records, or -1 for what is refused as invalid. */
static int read_all(const char *path)
{
    struct error err;
    struct db *db;
    enum status status = db_open(DB_LEVELDB, path, &db, &err);
    int n = 0;
    if (status == OK) {
        while (status == OK && !db_at_end(db) && n < 1000) {
            n++;
            status = db_next(db, &err);
        }
        db_close(db);
    }
    if (status != OK && status != INVALID)
        fail_msg("%s", err.message);
    return status == OK ? n : -1;
}

static void the_checksum_is_the_standards(void **state)
{
    (void)state;
    assert_int_equal(leveldb_crc32c("123456789", 9), 0xe3069283u);
}

static void a_forged_leveldb_is_refused_rather_than_followed(void **state)
{
    (void)state;
    static const struct forgery rows[] = {
        {"a key and a value whose sizes add up to little", .said_key_size = 0xfffffff0u,
         .said_value_size = 0x18},
        {"a value longer than its block", .said_value_size = 0x7fffffff},
        {"a key that goes on with more than the last one had", .said_shared = 1},
        {"a key without a sequence number", .key_without_tag = true},
        {"keys that are long written out", .key_size = 10000, .n_older = 500, .older_by = 1},
        {"keys out of order", .n_older = 1, .older_by = -1},
        {"a key twice", .n_older = 1, .older_by = 0},
        {"a last key before the first", .largest = "a"},
        {"a key after the last", .n_older = 1, .older_by = 1, .largest = "b"},
        {"a sequence number past the last", .last_sequence = SEQUENCE - 1},
        {"a sequence number of eight bytes", .last_sequence = UINT64_MAX},
        {"another order of keys", .comparator = "reverse"},
        {"restart points past their block", .n_restarts = 1u << 30},
        {"a first restart point elsewhere", .restart = 3},
        {"a block far past the end", .said_block_offset = 1ull << 40, .said_block_size = 10},
        {"a block of a terabyte", .said_block_offset = 0, .said_block_size = 1ull << 40},
        {"a block whose size with its trailer is none", .said_block_size = UINT64_MAX - 4},
        {"an index of a terabyte", .said_index_size = 1ull << 40},
        {"a block that is led to twice", .n_handles = 2},
        {"a snappy block that says 4 GB", .snappy = "\xff\xff\xff\xff\x0f zzz"},
        {"a snappy block that is none", .snappy = "\x08zzzz"},
        {"a table shorter than the MANIFEST says", .added_size = 1},
        {"a table longer than the MANIFEST says", .added_size = UINT64_MAX},
        {"a table's first key without a sequence number", .short_smallest = true},
        {"a table's last key without a sequence number", .short_largest = true},
        {"a compaction pointer without a sequence number", .short_pointer = true},
        {"a table added twice", .added_twice = true},
        {"a level past the last", .level = 7},
        {"tables of a level that overlap", .level = 2, .overlaps = true},
        {"a table with a number that is still to be given", .next_file = FORGED_TABLE},
        {"numbers of files that start again from 0", .next_file = UINT64_MAX},
        {"a log whose number is the last", .log_number = UINT64_MAX},
        {"a table whose number is the last", .table_number = UINT64_MAX, .next_file = UINT64_MAX},
        {"a log's name with the last number", .extra_file = "18446744073709551615.log"},
        {"a CURRENT elsewhere", .current = "../../../../../../dev/zero\n"},
        {"a CURRENT without a line's end", .current = "MANIFEST-000002"},
        {"an empty CURRENT", .current = ""},
        {"a log with a write twice", .batches = {2000, 2000}},
        {"a log whose sequence numbers run out", .batches = {2000, (1ull << 56) - 1}},
        {"a log that is a pipe", .fifo = "000007.log"},
        {"a table that is a pipe", .fifo = "000008.ldb"},
    };
    const char *only = getenv("ET_TEST_ROW");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (only && strtoul(only, NULL, 10) != i)
            continue;
        CLEANUP(freep) char *folder = test_folder();
        make_forged_db(folder, &rows[i]);
        if (read_all(folder) != -1)
            fail_msg("%s: not refused", rows[i].what);
        dir_remove(folder, NULL);
    }
}

static void what_is_made_like_a_forgery_but_right_is_read(void **state)
{
    (void)state;
    static const struct forgery rows[] = {
        {"nothing", .n_records = 2},
        {"a key of 20,000 bytes", .key_size = 20000, .n_records = 2},
        {"a table at a deeper level", .level = 3, .n_records = 2},
        {"older records of a key", .n_older = 20, .older_by = 1, .n_records = 2},
        {"a log", .batches = {2000, 2001}, .n_records = 3},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(freep) char *folder = test_folder();
        make_forged_db(folder, &rows[i]);
        if (read_all(folder) != rows[i].n_records)
            fail_msg("%s: not read", rows[i].what);
        dir_remove(folder, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checksum_is_the_standards),
        cmocka_unit_test(what_is_made_like_a_forgery_but_right_is_read),
        cmocka_unit_test(a_forged_leveldb_is_refused_rather_than_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
