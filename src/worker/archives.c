#include "worker/archives.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"

#define BLOCK_BYTES     65536
#define DEPTH_MAX       32
#define RATIO_MAX       200
#define RATIO_FROM      ((int64_t)1 << 30)
#define DEFAULT_BYTES   ((int64_t)1 << 40)
#define DEFAULT_ENTRIES 10000000

struct archive_reader {
    struct archive *archive;
    char *name;
    int64_t max_bytes, max_entries;
    int64_t n_entries, n_bytes;
    char path[ARCHIVE_PATH_MAX + 1]; /* of the current entry, clean; "" before the first */
    bool is_folder;
    bool in_entry; /* its data is not read to the end */
    /* The folder that was written to last, open: entries come folder by folder. */
    int folder_fd, folder_of;
    char folder[ARCHIVE_PATH_MAX + 1];
};

/* ---- opening ---- */

enum status archive_reader_open(int fd, const char *name, const struct archive_limits *limits,
                                struct archive_reader **ret_reader, struct error *err)
{
    struct stat st;
    if (lseek(fd, 0, SEEK_SET) < 0 || fstat(fd, &st))
        return error_set(err, FAILED, "cannot read '%s': %s", name, strerror(errno));
    if (!st.st_size)
        return error_set(err, INVALID, "'%s' is not an archive: it is empty", name);
    CLEANUP(archive_reader_freep) struct archive_reader *r = xcalloc(1, sizeof(*r));
    r->name = xstrdup(name);
    r->folder_fd = r->folder_of = -1;
    r->max_entries = limits && limits->max_entries ? limits->max_entries : DEFAULT_ENTRIES;
    r->max_bytes = limits && limits->max_bytes ? limits->max_bytes : DEFAULT_BYTES;
    int64_t by_ratio = st.st_size < INT64_MAX / RATIO_MAX ? st.st_size * RATIO_MAX : INT64_MAX;
    r->max_bytes = MIN(r->max_bytes, MAX(by_ratio, RATIO_FROM));
    r->archive = archive_read_new();
    if (!r->archive)
        return error_set(err, FAILED, "cannot read '%s': out of memory", name);
    archive_read_support_filter_gzip(r->archive);
    archive_read_support_filter_bzip2(r->archive);
    archive_read_support_filter_xz(r->archive);
    archive_read_support_filter_zstd(r->archive);
    archive_read_support_format_tar(r->archive);
    archive_read_support_format_zip(r->archive);
    if (archive_read_open_fd(r->archive, fd, BLOCK_BYTES) != ARCHIVE_OK)
        return error_set(
            err, INVALID,
            "'%s' is not an archive (tar, tar.gz, tar.bz2, tar.xz, tar.zst or zip) or is cut short: %s", name,
            archive_error_string(r->archive));
    *ret_reader = TAKE(r);
    return OK;
}

void archive_reader_free(struct archive_reader *r)
{
    if (!r)
        return;
    if (r->archive)
        archive_read_free(r->archive);
    fd_closep(&r->folder_fd);
    free(r->name);
    free(r);
}

void archive_reader_freep(struct archive_reader **r)
{
    archive_reader_free(*r);
    *r = NULL;
}

/* ---- entries ---- */

static enum status refuse(const struct archive_reader *r, const char *entry, const char *why,
                          struct error *err)
{
    return error_set(err, INVALID, "archive '%s': entry '%.300s' %s: refused", r->name, entry, why);
}

static enum status damaged(const struct archive_reader *r, struct error *err)
{
    const char *text = archive_error_string(r->archive);
    text = text ? text : "unknown error";
    if (!r->path[0])
        return error_set(err, INVALID,
                         "'%s' is not an archive (tar, tar.gz, tar.bz2, tar.xz, tar.zst or zip), "
                         "or is damaged from its start: %s",
                         r->name, text);
    return error_set(err, INVALID, "archive '%s' is cut short or damaged at or after entry '%.300s': %s",
                     r->name, r->path, text);
}

/* "./A//x.png" -> "A/x.png"; "" for the archive's own root. */
static enum status clean_path(const struct archive_reader *r, const char *raw, char out[ARCHIVE_PATH_MAX + 1],
                              struct error *err)
{
    if (raw[0] == '/')
        return refuse(r, raw, "has an absolute path", err);
    for (const unsigned char *p = (const unsigned char *)raw; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            return refuse(r, "", "with a control character in its name", err);
    size_t n = 0;
    int depth = 0;
    for (const char *part = raw; *part;) {
        size_t length = strcspn(part, "/");
        bool is_dot = length == 1 && part[0] == '.';
        if (length == 2 && !memcmp(part, "..", 2))
            return refuse(r, raw, "has '..' in its path", err);
        if (length > 255)
            return refuse(r, raw, "has a name of more than 255 bytes", err);
        if (length && !is_dot) {
            if (++depth > DEPTH_MAX)
                return refuse(r, raw, "lies more than 32 folders deep", err);
            if (n + length + 1 > ARCHIVE_PATH_MAX)
                return refuse(r, raw, "has a path of more than 1024 bytes", err);
            if (n)
                out[n++] = '/';
            memcpy(out + n, part, length);
            n += length;
        }
        part += length + (part[length] == '/');
    }
    out[n] = '\0';
    return OK;
}

static bool is_junk(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    return !strncmp(name, "._", 2) || !strcmp(name, ".DS_Store") || !strcmp(name, "Thumbs.db") ||
           !strcmp(path, "__MACOSX") || !strncmp(path, "__MACOSX/", 9);
}

static enum status check_kind(const struct archive_reader *r, struct archive_entry *entry, const char *raw,
                              struct error *err)
{
    if (archive_entry_hardlink(entry))
        return refuse(r, raw, "is a hard link", err);
    if (archive_entry_symlink(entry))
        return refuse(r, raw, "is a symbolic link", err);
    switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
    case AE_IFDIR:
        return OK;
    case AE_IFLNK:
        return refuse(r, raw, "is a symbolic link", err);
    case AE_IFCHR:
    case AE_IFBLK:
        return refuse(r, raw, "is a device", err);
    case AE_IFIFO:
        return refuse(r, raw, "is a fifo", err);
    default:
        return refuse(r, raw, "is neither a file nor a folder", err);
    }
}

/* By pieces, so that what nobody reads counts against the limits too. */
static enum status pass_over(struct archive_reader *r, struct error *err)
{
    char part[BLOCK_BYTES];
    size_t n;
    do
        TRY(archive_reader_read(r, part, sizeof(part), &n, err));
    while (n);
    return OK;
}

enum status archive_reader_next(struct archive_reader *r, struct archive_item *ret_item, bool *ret_more,
                                struct error *err)
{
    for (;;) {
        if (r->in_entry)
            TRY(pass_over(r, err));
        struct archive_entry *entry;
        int got = archive_read_next_header(r->archive, &entry);
        if (got == ARCHIVE_EOF) {
            *ret_more = false;
            return OK;
        }
        if (got != ARCHIVE_OK && got != ARCHIVE_WARN)
            return damaged(r, err);
        if (++r->n_entries > r->max_entries)
            return error_set(err, TOO_LARGE, "archive '%s' has more than %lld entries", r->name,
                             (long long)r->max_entries);
        const char *raw = archive_entry_pathname(entry);
        if (!raw) /* a name that the locale cannot express */
            raw = archive_entry_pathname_utf8(entry);
        if (!raw || !raw[0])
            return refuse(r, "", "without a name", err);
        char path[ARCHIVE_PATH_MAX + 1];
        TRY(clean_path(r, raw, path, err));
        TRY(check_kind(r, entry, raw, err));
        bool is_folder = archive_entry_filetype(entry) == AE_IFDIR;
        if (archive_entry_is_encrypted(entry) > 0)
            return refuse(r, raw, "is encrypted", err);
        if (!is_folder && (!path[0] || raw[strlen(raw) - 1] == '/'))
            return refuse(r, raw, "is a file with a folder's name", err);
        int64_t size = archive_entry_size_is_set(entry) ? archive_entry_size(entry) : -1;
        if (size > r->max_bytes - r->n_bytes)
            return error_set(err, TOO_LARGE,
                             "archive '%s': with entry '%.300s' it expands to more than %lld bytes", r->name,
                             raw, (long long)r->max_bytes);
        r->in_entry = true;
        if (!path[0] || is_junk(path))
            continue;
        memcpy(r->path, path, strlen(path) + 1);
        r->is_folder = is_folder;
        *ret_item =
            (struct archive_item){.path = r->path, .is_folder = is_folder, .size = is_folder ? 0 : size};
        *ret_more = true;
        return OK;
    }
}

enum status archive_reader_read(struct archive_reader *r, void *bytes, size_t room, size_t *ret_size,
                                struct error *err)
{
    la_ssize_t n = r->in_entry ? archive_read_data(r->archive, bytes, room) : 0;
    if (n < 0)
        return damaged(r, err);
    r->in_entry = n > 0;
    r->n_bytes += n;
    if (r->n_bytes > r->max_bytes)
        return error_set(err, TOO_LARGE,
                         "archive '%s': with entry '%.300s' it expands to more than %lld bytes", r->name,
                         r->path, (long long)r->max_bytes);
    *ret_size = (size_t)n;
    return OK;
}

enum status archive_reader_read_all(struct archive_reader *r, size_t max_bytes, char **ret_bytes,
                                    size_t *ret_size, struct error *err)
{
    struct buf all;
    buf_init(&all, max_bytes);
    char part[BLOCK_BYTES];
    size_t n = 0;
    enum status status;
    do {
        status = archive_reader_read(r, part, sizeof(part), &n, err);
        if (status == OK)
            buf_append(&all, part, n);
    } while (status == OK && n && !all.overflowed);
    if (status == OK && all.overflowed)
        status = error_set(err, TOO_LARGE, "'%.300s' has more than %zu bytes", r->path, max_bytes);
    if (status == OK)
        *ret_bytes = buf_take(&all, ret_size);
    buf_release(&all);
    return status;
}

/* ---- extracting ---- */

/* Opens the folder `path` (clean, "" for the root) below root_fd, made where it is not there; -1 and errno.
 */
static int descend(int root_fd, const char *path)
{
    int at = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (at >= 0 && *path) {
        char name[256]; /* clean_path() let nothing longer through */
        size_t length = strcspn(path, "/");
        memcpy(name, path, length);
        name[length] = '\0';
        path += length + (path[length] == '/');
        bool is_there = !mkdirat(at, name, 0777) || errno == EEXIST;
        int next = is_there ? openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
        int number = errno;
        close(at);
        errno = number;
        at = next;
    }
    return at;
}

static enum status open_folder(struct archive_reader *r, int root_fd, const char *path, struct error *err)
{
    if (r->folder_fd >= 0 && r->folder_of == root_fd && !strcmp(r->folder, path))
        return OK;
    fd_closep(&r->folder_fd);
    r->folder_fd = descend(root_fd, path);
    if (r->folder_fd < 0 && errno == ENOTDIR)
        return refuse(r, r->path, "lies in a folder that another entry made a file", err);
    if (r->folder_fd < 0)
        return error_set(err, status_from_errno(errno), "cannot make the folder of '%s': %s", r->path,
                         strerror(errno));
    r->folder_of = root_fd;
    memmove(r->folder, path, strlen(path) + 1);
    return OK;
}

static enum status write_entry(struct archive_reader *r, int fd, struct error *err)
{
    char part[BLOCK_BYTES];
    for (;;) {
        size_t n;
        TRY(archive_reader_read(r, part, sizeof(part), &n, err));
        if (!n)
            return OK;
        if (fd_write_all(fd, part, n))
            return error_set(err, status_from_errno(errno), "cannot write '%s': %s", r->path,
                             strerror(errno));
    }
}

enum status archive_reader_extract(struct archive_reader *r, int folder_fd, struct error *err)
{
    if (r->is_folder)
        return open_folder(r, folder_fd, r->path, err);
    char folder[ARCHIVE_PATH_MAX + 1] = "";
    const char *slash = strrchr(r->path, '/');
    const char *name = slash ? slash + 1 : r->path;
    if (slash)
        memcpy(folder, r->path, (size_t)(slash - r->path));
    TRY(open_folder(r, folder_fd, folder, err));
    if (unlinkat(r->folder_fd, name, 0) && errno == EISDIR)
        return refuse(r, r->path, "is a file where another entry made a folder", err);
    CLEANUP(fd_closep)
    int fd = openat(r->folder_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_set(err, status_from_errno(errno), "cannot create '%s': %s", r->path, strerror(errno));
    return write_entry(r, fd, err);
}
