#include "engine/data/leveldb_format.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/file.h"

enum { VARINT_MAX = 10, KIND_MAX = 1 };

bool leveldb_take_varint(struct leveldb_span *from, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < VARINT_MAX && from->at < from->end; i++) {
        unsigned char byte = *from->at++;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) {
            *ret_value = value;
            return value <= max;
        }
    }
    return false;
}

bool leveldb_take_bytes(struct leveldb_span *from, uint64_t size, struct leveldb_span *ret_bytes)
{
    if (size > leveldb_span_size(*from))
        return false;
    *ret_bytes = (struct leveldb_span){from->at, from->at + size};
    from->at += size;
    return true;
}

uint64_t leveldb_fixed(const unsigned char *bytes, int n_bytes)
{
    uint64_t value = 0;
    for (int i = n_bytes; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

static uint64_t tag_of(struct leveldb_span key)
{
    return leveldb_fixed(key.end - LEVELDB_TAG_SIZE, LEVELDB_TAG_SIZE);
}

bool leveldb_key_is_good(struct leveldb_span key)
{
    return leveldb_span_size(key) >= LEVELDB_TAG_SIZE && (tag_of(key) & 0xff) <= KIND_MAX;
}

uint64_t leveldb_key_sequence(struct leveldb_span key)
{
    return tag_of(key) >> 8;
}

int leveldb_key_compare(struct leveldb_span a, struct leveldb_span b)
{
    size_t a_size = leveldb_span_size(a) - LEVELDB_TAG_SIZE, b_size = leveldb_span_size(b) - LEVELDB_TAG_SIZE;
    int order = memcmp(a.at, b.at, MIN(a_size, b_size));
    if (order == 0)
        order = (a_size > b_size) - (a_size < b_size);
    if (order == 0)
        order = (tag_of(a) < tag_of(b)) - (tag_of(a) > tag_of(b));
    return order;
}

enum status leveldb_file_map(const char *path, struct leveldb_file *ret_file, struct error *err)
{
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st))
        return error_set(err, status_from_errno(errno), "cannot read '%s': %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return error_set(err, INVALID, "'%s' is no regular file", path);
    const unsigned char *bytes = NULL;
    if (st.st_size > 0) {
        void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
            return error_set(err, status_from_errno(errno), "cannot map '%s': %s", path, strerror(errno));
        bytes = map;
    }
    ret_file->bytes = (struct leveldb_span){bytes, bytes ? bytes + st.st_size : NULL};
    return OK;
}

void leveldb_file_release(struct leveldb_file *file)
{
    if (file->bytes.at)
        munmap((void *)file->bytes.at, leveldb_span_size(file->bytes));
    file->bytes = (struct leveldb_span){0};
}
