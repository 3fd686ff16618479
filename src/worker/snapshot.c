#include "worker/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "worker/archives.h"

static enum status pack_file(struct archive_writer *w, const char *path, const char *name, struct error *err)
{
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st))
        return error_set(err, status_from_errno(errno), "cannot open '%s': %s", path, strerror(errno));
    TRY(archive_writer_begin(w, name, st.st_size, err));
    char part[65536];
    ssize_t n;
    while ((n = read(fd, part, sizeof(part))) > 0)
        TRY(archive_writer_data(w, part, (size_t)n, err));
    return n < 0 ? error_set(err, FAILED, "cannot read '%s': %s", path, strerror(errno)) : OK;
}

enum status snapshot_pack(const char *model_path, const char *state_path, const char *tar_path,
                          struct error *err)
{
    CLEANUP(archive_writer_freep) struct archive_writer *w = NULL;
    TRY(archive_writer_open(tar_path, ARCHIVE_PLAIN, &w, err)); /* weights do not shrink */
    TRY(pack_file(w, model_path, SNAPSHOT_MODEL, err));
    TRY(pack_file(w, state_path, SNAPSHOT_STATE, err));
    return archive_writer_finish(w, err);
}

enum status snapshot_unpack(const char *tar_path, const char *folder, struct error *err)
{
    CLEANUP(fd_closep) int tar = open(tar_path, O_RDONLY | O_CLOEXEC);
    CLEANUP(fd_closep) int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tar < 0 || folder_fd < 0)
        return error_set(err, status_from_errno(errno), "cannot open '%s': %s", tar < 0 ? tar_path : folder,
                         strerror(errno));
    CLEANUP(archive_reader_freep) struct archive_reader *r = NULL;
    TRY(archive_reader_open(tar, SNAPSHOT_TAR, &(struct archive_limits){0}, &r, err));
    int n_found = 0;
    for (;;) {
        struct archive_item item;
        bool more;
        TRY(archive_reader_next(r, &item, &more, err));
        if (!more)
            break;
        if (strcmp(item.path, SNAPSHOT_MODEL) && strcmp(item.path, SNAPSHOT_STATE))
            return error_set(err, INVALID, "'%s' is no part of a snapshot", item.path);
        TRY(archive_reader_extract(r, folder_fd, err));
        n_found++;
    }
    return n_found == 2 ? OK : error_set(err, INVALID, "a snapshot has two files, this one has %d", n_found);
}
