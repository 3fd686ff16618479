/* as_folder.h - fuzz input for what reads folders: files by the names they must have, gone afterwards. */
#ifndef ET_FUZZ_AS_FOLDER_H
#define ET_FUZZ_AS_FOLDER_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"

/* An empty folder; false when none can be made. */
static inline bool folder_make(char path[256])
{
    const char *parent = getenv("TMPDIR");
    snprintf(path, 256, "%s/fuzz-XXXXXX", parent ? parent : "/tmp");
    return mkdtemp(path);
}

static inline void folder_put(const char *path, const char *name, const void *bytes, size_t size)
{
    CLEANUP(freep) char *file = path_join(path, name);
    CLEANUP(fd_closep) int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || fd_write_all(fd, bytes, size))
        abort();
}

/* The folder and the files in it. */
static inline void folder_remove(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        CLEANUP(freep) char *file = path_join(path, entry->d_name);
        unlink(file);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

#endif
