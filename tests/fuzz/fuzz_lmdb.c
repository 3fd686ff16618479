/* Any bytes as the data.mdb of an LMDB: an error, or records that can be read twice over. */
#include "as_folder.h"
#include "engine/data/db.h"
#include "fuzz.h"

enum { RECORDS_MAX = 10000 };

static void read_records(struct db *db)
{
    struct error err;
    const void *value;
    size_t size;
    volatile unsigned sum = 0;
    for (int i = 0; i < RECORDS_MAX && !db_at_end(db); i++) {
        db_record(db, &value, &size);
        for (size_t k = 0; k < size; k++)
            sum = sum + ((const unsigned char *)value)[k];
        if (db_next(db, &err) != OK)
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[256];
    struct error err;
    struct db *db;
    if (!folder_make(path))
        return 0;
    folder_put(path, "data.mdb", data, size);
    if (db_open(DB_LMDB, path, &db, &err) == OK) {
        read_records(db);
        if (db_rewind(db, &err) == OK)
            read_records(db);
        db_close(db);
    }
    folder_remove(path);
    return 0;
}
