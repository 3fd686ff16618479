#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"

void fd_closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void file_closep(FILE **file)
{
    if (*file)
        fclose(*file);
    *file = NULL;
}

enum status status_from_errno(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
        return NO_SPACE;
    case ENOENT:
        return NOT_FOUND;
    case EACCES:
    case EPERM:
        return DENIED;
    default:
        return FAILED;
    }
}

enum status file_read(const char *path, size_t max_bytes, char **ret_bytes, size_t *ret_size,
                      struct error *err)
{
    CLEANUP(file_closep) FILE *file = fopen(path, "rbe");
    if (!file)
        return error_set(err, status_from_errno(errno), "cannot open '%s': %s", path, strerror(errno));
    struct buf bytes;
    buf_init(&bytes, max_bytes);
    char part[65536];
    size_t n;
    while ((n = fread(part, 1, sizeof(part), file)) > 0 && !bytes.overflowed)
        buf_append(&bytes, part, n);
    enum status status = OK;
    if (bytes.overflowed)
        status = error_set(err, TOO_LARGE, "'%s' has more than %zu bytes", path, max_bytes);
    else if (ferror(file))
        status = error_set(err, FAILED, "cannot read '%s': %s", path, strerror(errno));
    else
        *ret_bytes = buf_take(&bytes, ret_size);
    buf_release(&bytes);
    return status;
}

int fd_write_all(int fd, const void *data, size_t size)
{
    const char *bytes = data;
    while (size) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        bytes += n;
        size -= (size_t)n;
    }
    return 0;
}

static bool is_device_or_pipe(const char *path)
{
    struct stat st;
    return !stat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static enum status write_in_place(const char *path, const void *bytes, size_t size, struct error *err)
{
    CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || fd_write_all(fd, bytes, size))
        return error_set(err, status_from_errno(errno), "cannot write '%s': %s", path, strerror(errno));
    return OK;
}

enum status file_write(const char *path, const void *bytes, size_t size, unsigned mode, struct error *err)
{
    if (is_device_or_pipe(path))
        return write_in_place(path, bytes, size, err);
    char suffix[17];
    random_hex(8, suffix);
    CLEANUP(freep) char *temporary = xasprintf("%s.%s", path, suffix);
    CLEANUP(fd_closep) int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return error_set(err, status_from_errno(errno), "cannot create '%s': %s", path, strerror(errno));
    if (fd_write_all(fd, bytes, size) || fsync(fd) || rename(temporary, path)) {
        int number = errno;
        unlink(temporary);
        return error_set(err, status_from_errno(number), "cannot write '%s': %s", path, strerror(number));
    }
    return OK;
}

enum status dir_make(const char *path, struct error *err)
{
    CLEANUP(freep) char *part = xstrdup(path);
    for (char *slash = part + 1;; slash++) {
        slash = strchr(slash, '/');
        if (slash)
            *slash = '\0';
        if (mkdir(part, 0777) && errno != EEXIST)
            return error_set(err, status_from_errno(errno), "cannot make folder '%s': %s", part,
                             strerror(errno));
        if (!slash)
            return OK;
        *slash = '/';
    }
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

enum status dir_remove(const char *path, struct error *err)
{
    if (nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS) && errno != ENOENT)
        return error_set(err, status_from_errno(errno), "cannot remove '%s': %s", path, strerror(errno));
    return OK;
}

char *path_join(const char *dir, const char *name)
{
    size_t n = strlen(dir);
    return xasprintf("%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
}
