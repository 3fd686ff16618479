/* blobs.c - a folder of bytes by content, and the documents' references to them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "store/internal.h"

struct blob_writer {
    struct store *store;
    int fd;
    char *path;
    struct hash *sha256, *sha1;
    int64_t size;
};

/* -- the folder:  tmp/RANDOM while written, then sha256/ab/cdef... -- */

enum status blob_failed(const char *what, int number, struct error *err)
{
    enum status status = status_from_errno(number);
    return error_set(err, status == NO_SPACE ? NO_SPACE : FAILED, "cannot %s a blob: %s", what,
                     strerror(number));
}

static bool is_sha256(const char *s)
{
    return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

static char *folder_of(const struct store *s, const char *sha256)
{
    return xasprintf("%s/sha256/%.2s", s->blobs, sha256);
}

char *blob_path(const struct store *s, const char *sha256)
{
    return xasprintf("%s/sha256/%.2s/%s", s->blobs, sha256, sha256 + 2);
}

enum status blobs_lock(const struct store *s, int how, int *ret_fd, struct error *err)
{
    CLEANUP(freep) char *path = path_join(s->blobs, "lock");
    CLEANUP(fd_closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    while (fd >= 0 && flock(fd, how))
        if (errno != EINTR)
            return blob_failed("lock the folder for", errno, err);
    if (fd < 0)
        return blob_failed("lock the folder for", errno, err);
    *ret_fd = fd;
    fd = -1;
    return OK;
}

static int sync_folder(const char *path)
{
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -1 : fsync(fd);
}

static void closedirp(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

/* What puts cut short by a crash have left; one under way holds a lock on its file. */
static enum status clean_temporary(const char *path, struct error *err)
{
    CLEANUP(closedirp) DIR *dir = opendir(path);
    if (!dir)
        return error_set(err, FAILED, "cannot open folder '%s': %s", path, strerror(errno));
    for (struct dirent *entry; (entry = readdir(dir));) {
        CLEANUP(fd_closep)
        int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct stat st;
        if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && flock(fd, LOCK_EX | LOCK_NB) == 0)
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    return OK;
}

enum status blobs_open(struct store *s, struct error *err)
{
    CLEANUP(freep) char *objects = path_join(s->blobs, "sha256");
    CLEANUP(freep) char *temporary = path_join(s->blobs, "tmp");
    TRY(dir_make(objects, err));
    TRY(dir_make(temporary, err));
    if (sync_folder(s->blobs))
        return error_set(err, FAILED, "cannot sync folder '%s': %s", s->blobs, strerror(errno));
    return clean_temporary(temporary, err);
}

/* -- putting -- */

enum status blob_begin(struct store *s, struct blob_writer **ret_writer, struct error *err)
{
    char name[33];
    random_hex(16, name);
    CLEANUP(blob_abortp) struct blob_writer *w = xcalloc(1, sizeof(*w));
    w->store = s;
    w->path = xasprintf("%s/tmp/%s", s->blobs, name);
    w->sha256 = hash_new(HASH_SHA256);
    w->sha1 = hash_new(HASH_SHA1);
    w->fd = open(w->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (w->fd < 0)
        return blob_failed("create", errno, err);
    if (flock(w->fd, LOCK_EX | LOCK_NB))
        return blob_failed("lock", errno, err);
    *ret_writer = TAKE(w);
    return OK;
}

enum status blob_write(struct blob_writer *w, const void *bytes, size_t size, struct error *err)
{
    const char *rest = bytes;
    for (size_t left = size; left;) {
        ssize_t n = fault_point("blob.write") ? (errno = ENOSPC, -1) : write(w->fd, rest, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return blob_failed("write", errno, err);
        rest += n;
        left -= (size_t)n;
    }
    hash_update(w->sha256, bytes, size);
    hash_update(w->sha1, bytes, size);
    w->size += (int64_t)size;
    return OK;
}

void blob_abort(struct blob_writer *w)
{
    if (!w)
        return;
    if (w->path)
        unlink(w->path);
    fd_closep(&w->fd);
    hash_free(w->sha256);
    hash_free(w->sha1);
    free(w->path);
    free(w);
}

void blob_abortp(struct blob_writer **w)
{
    blob_abort(*w);
    *w = NULL;
}

/* The file gets its final name, on disk. */
static enum status move_in(struct blob_writer *w, const char *sha256, struct error *err)
{
    CLEANUP(freep) char *folder = folder_of(w->store, sha256);
    CLEANUP(freep) char *path = blob_path(w->store, sha256);
    CLEANUP(freep) char *parent = path_join(w->store->blobs, "sha256");
    if (mkdir(folder, 0700) == 0 ? sync_folder(parent) : errno != EEXIST)
        return blob_failed("make a folder for", errno, err);
    if (rename(w->path, path))
        return blob_failed("move", errno, err);
    free(TAKE(w->path));
    if (sync_folder(folder))
        return blob_failed("sync the folder of", errno, err);
    return OK;
}

struct recording {
    const struct blob *blob;
    int64_t now_ms;
};

static enum status record(struct tx *tx, void *opaque, struct error *err)
{
    const struct recording *r = opaque;
    char location[80];
    snprintf(location, sizeof(location), "sha256/%.2s/%s", r->blob->sha256, r->blob->sha256 + 2);
    return SQL(
        tx->db, NULL, err,
        "INSERT INTO blobs(hash, size, created, state, touched_at, location) VALUES ($1, $2, $3, 0, $4, $5)"
        " ON CONFLICT (hash) DO UPDATE SET state = 0, touched_at = excluded.touched_at",
        V(r->blob->sha256), V(r->blob->size), V(r->now_ms), V(r->now_ms), V((const char *)location));
}

static enum status place(struct blob_writer *w, const struct blob *blob, int64_t now_ms, struct error *err)
{
    TRY(move_in(w, blob->sha256, err));
    (void)fault_point("blob.moved");
    return store_write(w->store, record, &(struct recording){blob, now_ms}, err);
}

enum status blob_commit(struct blob_writer *writer, const char *expected_sha256, int64_t now_ms,
                        struct blob *ret_blob, struct error *err)
{
    CLEANUP(blob_abortp) struct blob_writer *w = writer;
    struct blob blob = {.size = w->size};
    hash_finish(TAKE(w->sha256), blob.sha256);
    char sha1[HASH_HEX_MAX];
    hash_finish(TAKE(w->sha1), sha1);
    copy_text(blob.sha1, sizeof(blob.sha1), sha1);
    if (expected_sha256 && strcasecmp(expected_sha256, blob.sha256) != 0)
        return error_set(err, INVALID, "the bytes that came have sha256 %s, not %.64s", blob.sha256,
                         expected_sha256);
    if (fault_point("blob.commit"))
        return blob_failed("commit", ENOSPC, err);
    /* After an error of fsync the file's state is unknown: never tried again. */
    if (fsync(w->fd))
        return blob_failed("sync", errno, err);
    CLEANUP(fd_closep) int lock = -1;
    TRY(blobs_lock(w->store, LOCK_SH, &lock, err));
    TRY(place(w, &blob, now_ms, err));
    *ret_blob = blob;
    return OK;
}

enum status blob_put(struct store *s, const void *bytes, size_t size, int64_t now_ms, struct blob *ret_blob,
                     struct error *err)
{
    CLEANUP(blob_abortp) struct blob_writer *w = NULL;
    TRY(blob_begin(s, &w, err));
    TRY(blob_write(w, bytes, size, err));
    return blob_commit(TAKE(w), NULL, now_ms, ret_blob, err);
}

enum status blob_open(struct store *s, const char *sha256, int *ret_fd, int64_t *ret_size, struct error *err)
{
    if (!is_sha256(sha256))
        return error_set(err, NOT_FOUND, "there is no blob '%.64s'", sha256);
    CLEANUP(freep) char *path = blob_path(s, sha256);
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 && errno == ENOENT)
        return error_set(err, NOT_FOUND, "there is no blob '%s'", sha256);
    if (fd < 0 || fstat(fd, &st))
        return blob_failed("open", errno, err);
    *ret_size = st.st_size;
    *ret_fd = fd;
    fd = -1;
    return OK;
}

/* -- references -- */

enum status blob_refer(struct tx *tx, const char *document, const char *name, const char *sha256,
                       int64_t now_ms, struct error *err)
{
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err,
            "UPDATE blobs SET touched_at = $1 WHERE hash = $2 AND state = 0 RETURNING size", V(now_ms),
            V(sha256)));
    if (!rows.n)
        return error_set(err, NOT_FOUND, "there is no blob '%.64s' for '%.64s'", sha256, name);
    return SQL(tx->db, NULL, err,
               "INSERT INTO blob_refs(doc, name, hash) VALUES ($1, $2, $3)"
               " ON CONFLICT (doc, name) DO UPDATE SET hash = excluded.hash",
               V(document), V(name), V(sha256));
}

struct referring {
    const char *owner, *document;
    int attempt; /* 0: without a lease */
    const char *name, *sha256;
    int64_t now_ms;
};

static enum status refer(struct tx *tx, void *opaque, struct error *err)
{
    const struct referring *r = opaque;
    CLEANUP(document_release) struct document d = {0};
    if (r->attempt)
        TRY(lease_check(tx, r->document, r->attempt, err));
    else
        TRY(document_find(tx->db, r->owner, r->document, &d, err));
    return blob_refer(tx, r->document, r->name, r->sha256, r->now_ms, err);
}

enum status blob_ref_set(struct store *s, const char *job, int attempt, const char *name, const char *sha256,
                         int64_t now_ms, struct error *err)
{
    if (attempt < 1)
        return error_set(err, CONFLICT, "attempt %d at job '%.64s' is over", attempt, job);
    return store_write_about(s, NULL, job, refer,
                             &(struct referring){NULL, job, attempt, name, sha256, now_ms}, err);
}

enum status blob_ref_set_for(struct store *s, const char *owner, const char *document, const char *name,
                             const char *sha256, int64_t now_ms, struct error *err)
{
    return store_write_about(s, owner, document, refer,
                             &(struct referring){owner, document, 0, name, sha256, now_ms}, err);
}

static void read_blob(const struct rows *rows, int i, struct blob *ret_blob)
{
    *ret_blob = (struct blob){.size = row_int(rows, i, 2)};
    copy_text(ret_blob->sha256, sizeof(ret_blob->sha256), row_text(rows, i, 1));
}

enum status blob_read(struct store *s, const char *sha256, int64_t max_bytes, char **ret_bytes,
                      size_t *ret_size, struct error *err)
{
    CLEANUP(fd_closep) int fd = -1;
    int64_t size;
    TRY(blob_open(s, sha256, &fd, &size, err));
    if (size > max_bytes)
        return error_set(err, TOO_LARGE, "a blob of %lld bytes; at most %lld are read", (long long)size,
                         (long long)max_bytes);
    CLEANUP(freep) char *bytes = xmalloc((size_t)size + 1);
    size_t have = 0;
    while (have < (size_t)size) {
        ssize_t n = pread(fd, bytes + have, (size_t)size - have, (off_t)have);
        if (n <= 0)
            return blob_failed("read", n ? errno : EIO, err);
        have += (size_t)n;
    }
    bytes[have] = 0;
    *ret_bytes = TAKE(bytes);
    *ret_size = have;
    return OK;
}

enum status blob_ref_get(struct store *s, const char *document, const char *name, struct blob *ret_blob,
                         struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err,
            "SELECT r.name, r.hash, b.size FROM blob_refs r JOIN blobs b ON b.hash = r.hash"
            " WHERE r.doc = $1 AND r.name = $2",
            V(document), V(name)));
    if (!rows.n)
        return error_set(err, NOT_FOUND, "document '%.64s' has no '%.64s' yet", document, name);
    read_blob(&rows, 0, ret_blob);
    return OK;
}

void blob_list_release(struct blob_list *l)
{
    for (int i = 0; i < l->n; i++)
        free(l->blobs[i].name);
    free(l->blobs);
    *l = (struct blob_list){0};
}

enum status blob_refs(struct store *s, const char *document, struct blob_list *ret_list, struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err,
            "SELECT r.name, r.hash, b.size FROM blob_refs r JOIN blobs b ON b.hash = r.hash WHERE r.doc = $1"
            " ORDER BY r.name",
            V(document)));
    struct blob_list list = {.n = rows.n, .blobs = xcalloc((size_t)rows.n, sizeof(*list.blobs))};
    for (int i = 0; i < rows.n; i++) {
        list.blobs[i].name = xstrdup(row_text(&rows, i, 0));
        read_blob(&rows, i, &list.blobs[i].blob);
    }
    *ret_list = list;
    return OK;
}
