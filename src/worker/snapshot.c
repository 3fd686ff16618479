#include "worker/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

/* Field 1000, 64 bytes: (1000 << 3 | 2) as a varint, then the length. */
static const uint8_t seal_head[3] = {0xc2, 0x3e, 64};

struct seal {
    uint8_t head[3];
    char sha256[64];
};

static enum status make_seal(const char *path, struct seal *ret_seal, struct error *err)
{
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, status_from_errno(errno), "cannot open '%s': %s", path, strerror(errno));
    CLEANUP(hash_freep) struct hash *hash = hash_new(HASH_SHA256);
    char part[65536], hex[HASH_HEX_MAX];
    ssize_t n;
    while ((n = read(fd, part, sizeof(part))) > 0)
        hash_update(hash, part, (size_t)n);
    if (n < 0)
        return error_set(err, FAILED, "cannot read '%s': %s", path, strerror(errno));
    hash_finish(TAKE(hash), hex);
    memcpy(ret_seal->head, seal_head, sizeof(seal_head));
    memcpy(ret_seal->sha256, hex, sizeof(ret_seal->sha256));
    return OK;
}

enum status snapshot_seal(const char *model_path, const char *state_path, struct error *err)
{
    struct seal seal;
    TRY(make_seal(model_path, &seal, err));
    CLEANUP(fd_closep) int fd = open(state_path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0 || fd_write_all(fd, &seal, sizeof(seal)))
        return error_set(err, status_from_errno(errno), "cannot write '%s': %s", state_path, strerror(errno));
    return OK;
}

bool snapshot_is_whole(const char *model_path, const char *state_path)
{
    struct seal want, got;
    struct error unread;
    if (make_seal(model_path, &want, &unread) != OK)
        return false;
    CLEANUP(fd_closep) int fd = open(state_path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && lseek(fd, -(off_t)sizeof(got), SEEK_END) >= 0 &&
           read(fd, &got, sizeof(got)) == sizeof(got) && !memcmp(&want, &got, sizeof(got));
}
