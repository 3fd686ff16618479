/*
 * file.h - whole files and folders: read, write, make, remove.
 */
#ifndef ET_FILE_H
#define ET_FILE_H

#include <stdio.h>

#include "base/buf.h"

void fd_closep(int *fd);       /* CLEANUP; negative is none */
void file_closep(FILE **file); /* CLEANUP; NULL is none */

/* Writes all of it, however many calls that takes.  0, or -1 with errno. */
int fd_write_all(int fd, const void *data, size_t size);

/*
 * The bytes of path, for the caller to free, NUL-terminated (not counted).
 * Errors: NOT_FOUND; TOO_LARGE past max_bytes; FAILED.
 */
enum status file_read(const char *path, size_t max_bytes, char **ret_bytes, size_t *ret_size,
                      struct error *err);

/*
 * Writes path through a temporary name beside it, fsync and rename: readers
 * see the old bytes or the new, never half.  A device or a pipe, such as
 * /dev/stdout, is written to instead.  Errors: NO_SPACE, FAILED.
 */
enum status file_write(const char *path, const void *bytes, size_t size, unsigned mode, struct error *err);

enum status dir_make(const char *path, struct error *err); /* with parents; existing is fine */
enum status dir_remove(const char *path,
                       struct error *err); /* with all inside; follows no link; absent is fine */

/* NO_SPACE for ENOSPC and EDQUOT, NOT_FOUND for ENOENT, DENIED for EACCES and EPERM, else FAILED. */
enum status status_from_errno(int number);

/* dir and name joined with one slash, for the caller to free. */
char *path_join(const char *dir, const char *name);

#endif
