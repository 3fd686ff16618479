/*
 * Any bytes as the files of a LevelDB: an error, or records that can be read.
 *
 * Each file is a byte for its name, two bytes for its length (low one first)
 * and its content.  The name's highest bit asks for checksums that are right,
 * which no search would find.
 */
#include "../leveldb_seal.h"
#include "as_folder.h"
#include "engine/data/db.h"
#include "fuzz.h"

enum { RECORDS_MAX = 10000, HEAD_SIZE = 3, SEALED = 0x80, FIRST_TABLE = 3 };

static const char *const names[] = {"CURRENT", "MANIFEST-000002", "000003.log", "000005.ldb", "000006.sst"};

static void put_file(const char *path, uint8_t kind, const uint8_t *data, size_t size)
{
    unsigned name = (kind & ~SEALED) % (sizeof(names) / sizeof(*names));
    CLEANUP(freep) uint8_t *bytes = xmalloc(size + 1);
    if (size)
        memcpy(bytes, data, size);
    if (kind & SEALED && name >= FIRST_TABLE)
        leveldb_seal_table(bytes, size);
    else if (kind & SEALED && name > 0)
        leveldb_seal_log(bytes, size);
    folder_put(path, names[name], bytes, size);
}

static void put_files(const char *path, const uint8_t *data, size_t size)
{
    while (size >= HEAD_SIZE) {
        size_t length = data[1] | (size_t)data[2] << 8;
        if (length > size - HEAD_SIZE)
            length = size - HEAD_SIZE;
        put_file(path, data[0], data + HEAD_SIZE, length);
        data += HEAD_SIZE + length;
        size -= HEAD_SIZE + length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[256];
    struct error err;
    struct db *db;
    const void *value;
    size_t value_size;
    if (!folder_make(path))
        return 0;
    put_files(path, data, size);
    if (db_open(DB_LEVELDB, path, &db, &err) == OK) {
        for (int i = 0; i < RECORDS_MAX && !db_at_end(db); i++) {
            db_record(db, &value, &value_size);
            if (db_next(db, &err) != OK)
                break;
        }
        db_close(db);
    }
    folder_remove(path);
    return 0;
}
