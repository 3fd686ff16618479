#include "engine/data/leveldb_check.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "engine/data/leveldb_log.h"
#include "engine/data/leveldb_manifest.h"
#include "engine/data/leveldb_table.h"

enum { DIGITS_MAX = 18, BATCH_HEADER_SIZE = 12 };

static const char manifest_prefix[] = "MANIFEST-";

static void dir_closep(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

/* How many digits a name starts with. */
static size_t n_digits(const char *name)
{
    return strspn(name, "0123456789");
}

/* CURRENT holds the MANIFEST's name and a line's end. */
static enum status find_manifest(const char *folder, char **ret_path, struct error *err)
{
    CLEANUP(freep) char *path = path_join(folder, "CURRENT");
    CLEANUP(leveldb_file_release) struct leveldb_file current = {0};
    size_t prefix = strlen(manifest_prefix);
    TRY(leveldb_file_map(path, &current, err));
    size_t size = leveldb_span_size(current.bytes);
    char name[sizeof(manifest_prefix) + DIGITS_MAX + 1] = "";
    if (size > 0 && size < sizeof(name))
        memcpy(name, current.bytes.at, size);
    size_t digits = strncmp(name, manifest_prefix, prefix) == 0 ? n_digits(name + prefix) : 0;
    if (digits == 0 || prefix + digits + 1 != size || name[size - 1] != '\n')
        return error_set(err, INVALID, "leveldb '%s' is damaged: its CURRENT names no MANIFEST", folder);
    name[size - 1] = '\0';
    *ret_path = path_join(folder, name);
    return OK;
}

/*
 * Batches of writes, numbered one after the other: LevelDB ends the process
 * when two are the same.
 */
static enum status check_log(const char *path, struct error *err)
{
    CLEANUP(leveldb_log_release) struct leveldb_log log = {0};
    TRY(leveldb_log_read(path, &log, err));
    uint64_t next = 0;
    for (size_t i = 0; i < log.n_records; i++) {
        struct leveldb_span batch = leveldb_log_record(&log, i);
        if (leveldb_span_size(batch) < BATCH_HEADER_SIZE)
            return error_set(err, INVALID, "'%s' is damaged: its record %zu is no batch", path, i + 1);
        uint64_t sequence = leveldb_fixed(batch.at, 8), n = leveldb_fixed(batch.at + 8, 4);
        if (sequence < next || sequence > LEVELDB_SEQUENCE_MAX - n)
            return error_set(err, INVALID, "'%s' is damaged: its record %zu is out of sequence", path, i + 1);
        next = sequence + n;
    }
    return OK;
}

static enum status check_entry(const char *folder, const char *name, const struct leveldb_manifest *manifest,
                               struct error *err)
{
    CLEANUP(freep) char *path = path_join(folder, name);
    struct stat st;
    if (stat(path, &st))
        return errno == ENOENT
                   ? OK
                   : error_set(err, status_from_errno(errno), "cannot read '%s': %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return error_set(err, INVALID, "leveldb '%s' is damaged: its '%s' is no regular file", folder, name);
    size_t digits = n_digits(name);
    if (digits == 0 || strcmp(name + digits, ".log") != 0)
        return OK;
    uint64_t number = strtoull(name, NULL, 10);
    if (digits > DIGITS_MAX || number == 0)
        return error_set(err, INVALID, "leveldb '%s' is damaged: '%s' has no number that can be", folder,
                         name);
    if (number >= manifest->log_number || number == manifest->previous_log_number)
        return check_log(path, err);
    return OK;
}

static enum status check_entries(const char *folder, const struct leveldb_manifest *manifest,
                                 struct error *err)
{
    CLEANUP(dir_closep) DIR *dir = opendir(folder);
    if (!dir)
        return error_set(err, status_from_errno(errno), "cannot open leveldb '%s': %s", folder,
                         strerror(errno));
    for (const struct dirent *entry; (entry = readdir(dir));)
        TRY(check_entry(folder, entry->d_name, manifest, err));
    return OK;
}

/* Tables of old LevelDBs end in .sst. */
static enum status check_table(const char *folder, const struct leveldb_table *table, uint64_t last_sequence,
                               struct error *err)
{
    CLEANUP(freep) char *path = xasprintf("%s/%06llu.ldb", folder, (unsigned long long)table->number);
    CLEANUP(freep) char *old_path = xasprintf("%s/%06llu.sst", folder, (unsigned long long)table->number);
    bool is_old = access(path, R_OK) && !access(old_path, R_OK);
    return leveldb_table_check(is_old ? old_path : path, table, last_sequence, err);
}

enum status leveldb_check(const char *folder, struct error *err)
{
    CLEANUP(freep) char *path = NULL;
    CLEANUP(leveldb_manifest_release) struct leveldb_manifest manifest = {0};
    TRY(find_manifest(folder, &path, err));
    TRY(leveldb_manifest_read(path, &manifest, err));
    TRY(check_entries(folder, &manifest, err));
    for (size_t i = 0; i < manifest.n_tables; i++)
        TRY(check_table(folder, &manifest.tables[i], manifest.last_sequence, err));
    return OK;
}
