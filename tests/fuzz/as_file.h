/* as_file.h - fuzz input for what reads files: the bytes as a file that has no name. */
#ifndef ET_FUZZ_AS_FILE_H
#define ET_FUZZ_AS_FILE_H

#include <stdio.h>
#include <sys/mman.h>

#include "base/file.h"

/* A path to read the bytes by, as long as *ret_fd is open. */
static inline const char *as_file(const uint8_t *data, size_t size, char path[64], int *ret_fd)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || fd_write_all(fd, data, size))
        return NULL;
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    *ret_fd = fd;
    return path;
}

#endif
