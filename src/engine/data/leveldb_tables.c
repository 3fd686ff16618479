#include "engine/data/leveldb_tables.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

enum { FOOTER_SIZE = 48, MAGIC_SIZE = 8, BLOCK_TRAILER_SIZE = 5, VARINT_MAX = 10 };

static const unsigned char magic[MAGIC_SIZE] = {0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb};

struct bytes {
    const unsigned char *at, *end;
};

static bool take_varint(struct bytes *b, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < VARINT_MAX && b->at < b->end; i++) {
        unsigned char byte = *b->at++;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

/* Where a block lies and how long it is: both must be inside the file. */
static bool handle_is_good(struct bytes *b, uint64_t file_size)
{
    uint64_t offset, size;
    return take_varint(b, &offset) && take_varint(b, &size) && offset <= file_size &&
           size <= file_size - offset && file_size - offset - size >= BLOCK_TRAILER_SIZE;
}

/* LevelDB itself tells of tables that are too short or that have another magic. */
static bool footer_is_good(const unsigned char *footer, uint64_t file_size)
{
    struct bytes handles = {footer, footer + FOOTER_SIZE - MAGIC_SIZE};
    return memcmp(footer + FOOTER_SIZE - MAGIC_SIZE, magic, MAGIC_SIZE) != 0 ||
           (handle_is_good(&handles, file_size) && handle_is_good(&handles, file_size));
}

static enum status check_table(const char *folder, const char *name, struct error *err)
{
    CLEANUP(freep) char *path = path_join(folder, name);
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    unsigned char footer[FOOTER_SIZE];
    if (fd < 0 || fstat(fd, &st))
        return error_set(err, status_from_errno(errno), "cannot read '%s': %s", path, strerror(errno));
    if (st.st_size < FOOTER_SIZE || pread(fd, footer, FOOTER_SIZE, st.st_size - FOOTER_SIZE) != FOOTER_SIZE)
        return OK;
    if (!footer_is_good(footer, (uint64_t)st.st_size))
        return error_set(err, INVALID, "leveldb table '%s' is damaged: its index lies outside it", path);
    return OK;
}

static bool is_table(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (strcmp(dot, ".ldb") == 0 || strcmp(dot, ".sst") == 0);
}

static void dir_closep(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

enum status leveldb_tables_check(const char *folder, struct error *err)
{
    CLEANUP(dir_closep) DIR *dir = opendir(folder);
    if (!dir)
        return error_set(err, status_from_errno(errno), "cannot open leveldb '%s': %s", folder,
                         strerror(errno));
    for (const struct dirent *entry; (entry = readdir(dir));)
        if (is_table(entry->d_name))
            TRY(check_table(folder, entry->d_name, err));
    return OK;
}
