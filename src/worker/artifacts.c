#include "worker/artifacts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "worker/archives.h"

#define NAME_MAX_LENGTH 100
#define DEPTH_MAX       32
#define TAKEN           "artifact" /* in the job's folder, where no script ever wrote */

bool artifact_name_is_valid(const char *name)
{
    static const char *const reserved[] = {"script", "std-out.txt", "std-err.txt"};
    size_t n = strlen(name);
    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
        if (!strcmp(name, reserved[i]))
            return false;
    return n && n <= NAME_MAX_LENGTH && *name != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+=-") == n;
}

/* An open folder below another; -1 when there is none of that name that is no link. */
static int open_folder(int at, const char *name)
{
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Names in a folder, sorted, for the same archive each time; the caller frees both. */
static int read_names(int folder, struct dirent ***ret_entries)
{
    int n = scandirat(folder, ".", ret_entries, NULL, alphasort);
    return MAX(n, 0);
}

/* ---- a folder as an archive ---- */

static enum status pack_file(struct archive_writer *w, int folder, const char *name, const char *path,
                             int64_t size, struct error *err)
{
    CLEANUP(fd_closep) int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, FAILED, "cannot open artifact '%s': %s", path, strerror(errno));
    TRY(archive_writer_begin(w, path, size, err));
    char part[65536];
    for (int64_t left = size; left > 0;) {
        ssize_t n = read(fd, part, (size_t)MIN(left, (int64_t)sizeof(part)));
        if (n <= 0)
            return error_set(err, FAILED, "cannot read artifact '%s': %s", path,
                             n ? strerror(errno) : "it ends early");
        TRY(archive_writer_data(w, part, (size_t)n, err));
        left -= n;
    }
    return OK;
}

static enum status pack(struct archive_writer *w, int folder, const char *prefix, int depth,
                        struct error *err)
{
    struct dirent **entries = NULL;
    int n = read_names(folder, &entries);
    enum status status = OK;
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        struct stat st;
        CLEANUP(freep) char *path = xasprintf("%s%s%s", prefix, *prefix ? "/" : "", name);
        if (status == OK && strcmp(name, ".") && strcmp(name, "..") &&
            !fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW)) {
            CLEANUP(fd_closep) int inner = S_ISDIR(st.st_mode) ? open_folder(folder, name) : -1;
            if (inner >= 0 && depth < DEPTH_MAX)
                status = pack(w, inner, path, depth + 1, err);
            else if (S_ISREG(st.st_mode))
                status = pack_file(w, folder, name, path, st.st_size, err);
        }
        free(entries[i]);
    }
    free(entries);
    return status;
}

static enum status put_folder(struct job *job, int folder, const char *blob_name, struct error *err)
{
    CLEANUP(freep) char *path = path_join(job_folder(job), TAKEN);
    CLEANUP(archive_writer_freep) struct archive_writer *w = NULL;
    TRY(archive_writer_open(path, ARCHIVE_GZIP, &w, err));
    TRY(pack(w, folder, "", 0, err));
    TRY(archive_writer_finish(w, err));
    return job_put_blob(job, TAKEN, blob_name, err);
}

/* ---- one artifact ---- */

/* Moved away first: what is opened then by its path is surely this file. */
static enum status put_file(struct job *job, int folder, const char *name, struct error *err)
{
    CLEANUP(freep) char *path = path_join(job_folder(job), TAKEN);
    if (renameat(folder, name, AT_FDCWD, path))
        return error_set(err, FAILED, "cannot take artifact '%s': %s", name, strerror(errno));
    chmod(path, 0600);
    return job_put_blob(job, TAKEN, name, err);
}

static enum status put(struct job *job, int folder, const char *name, json_t *names, struct error *err)
{
    struct stat st;
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW))
        return OK;
    bool is_folder = S_ISDIR(st.st_mode);
    CLEANUP(freep) char *blob_name = is_folder ? xasprintf("%s.tar.gz", name) : xstrdup(name);
    if (!artifact_name_is_valid(blob_name) || !(is_folder || S_ISREG(st.st_mode))) {
        job_log(job, "an artifact is not kept: '%.100s' is no file, or its name is none for an artifact",
                name);
        return OK;
    }
    if (json_array_size(names) == ARTIFACTS_MAX)
        return error_set(err, FAILED, "left more than %d artifacts", ARTIFACTS_MAX);
    CLEANUP(fd_closep) int inner = is_folder ? open_folder(folder, name) : -1;
    TRY(is_folder ? put_folder(job, inner, blob_name, err) : put_file(job, folder, name, err));
    json_array_append_new(names, json_string(blob_name));
    return OK;
}

enum status artifacts_put(struct job *job, const char *folder, json_t **ret_names, struct error *err)
{
    CLEANUP(json_decrefp) json_t *names = json_array();
    CLEANUP(freep) char *path = path_join(job_folder(job), folder);
    CLEANUP(fd_closep) int fd = open_folder(AT_FDCWD, path);
    struct dirent **entries = NULL;
    int n = fd < 0 ? 0 : read_names(fd, &entries);
    enum status status = OK;
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        if (status == OK && strcmp(name, ".") && strcmp(name, ".."))
            status = put(job, fd, name, names, err);
        free(entries[i]);
    }
    free(entries);
    if (status == OK)
        *ret_names = json_incref(names);
    return status;
}
