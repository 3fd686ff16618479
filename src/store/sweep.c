/*
 * sweep.c - removing blobs that nothing refers to, and finding those that lost their bytes.
 *
 * Marked and swept, not counted: references are rows, so what is unused is a
 * query.  Pieces go while no put moves a file in (blobs_lock), because a
 * path is by content and may be wanted again.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "store/internal.h"

#define PIECE   100
#define CHECKED 1000

struct sweep {
    int64_t before_ms;
    struct rows marked; /* hashes now in state 1, deleting */
};

/* Marks a piece; rows that an earlier sweep left marked are taken up again. */
static enum status mark(struct tx *tx, void *opaque, struct error *err)
{
    struct sweep *w = opaque;
    TRY(SQL(tx->db, NULL, err,
            "UPDATE blobs SET state = 1 WHERE touched_at < $1 AND state = 0"
            " AND hash IN (SELECT hash FROM blobs WHERE touched_at < $1 AND state = 0"
            " AND NOT EXISTS (SELECT 1 FROM blob_refs r WHERE r.hash = blobs.hash) LIMIT $2)",
            V(w->before_ms), V(PIECE)));
    return SQL(tx->db, &w->marked, err, "SELECT hash FROM blobs WHERE state = 1 AND touched_at < $1 LIMIT $2",
               V(w->before_ms), V(PIECE));
}

static enum status forget(struct tx *tx, void *opaque, struct error *err)
{
    const struct sweep *w = opaque;
    for (int i = 0; i < w->marked.n; i++)
        TRY(SQL(tx->db, NULL, err, "DELETE FROM blobs WHERE hash = $1 AND state = 1",
                V(row_text(&w->marked, i, 0))));
    return OK;
}

/* The caller holds blobs_lock, LOCK_EX. */
static enum status sweep_piece(struct store *s, struct sweep *w, struct error *err)
{
    TRY(store_write(s, mark, w, err));
    for (int i = 0; i < w->marked.n; i++) {
        CLEANUP(freep) char *path = blob_path(s, row_text(&w->marked, i, 0));
        if (unlink(path) && errno != ENOENT)
            return blob_failed("remove", errno, err);
    }
    return w->marked.n ? store_write(s, forget, w, err) : OK;
}

static void sweep_release(struct sweep *w)
{
    rows_release(&w->marked);
}

static void closedirp(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

/* A file without a row: its put moved it in and could not record it. */
static enum status remove_stray(struct store *s, const char *path, const char *sha256, int64_t before_ms,
                                int64_t *removed, struct error *err)
{
    struct stat st;
    if (lstat(path, &st) || !S_ISREG(st.st_mode) || (int64_t)st.st_mtime * 1000 >= before_ms)
        return OK;
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT 1 FROM blobs WHERE hash = $1", V(sha256)));
    if (!rows.n && unlink(path) == 0)
        ++*removed;
    return OK;
}

static enum status sweep_folder(struct store *s, const char *objects, const char *name, int64_t before_ms,
                                int64_t *removed, struct error *err)
{
    CLEANUP(freep) char *folder = path_join(objects, name);
    CLEANUP(closedirp) DIR *dir = opendir(folder);
    if (!dir)
        return OK;
    for (struct dirent *entry; (entry = readdir(dir));) {
        CLEANUP(freep) char *path = path_join(folder, entry->d_name);
        CLEANUP(freep) char *sha256 = xasprintf("%s%s", name, entry->d_name);
        TRY(remove_stray(s, path, sha256, before_ms, removed, err));
    }
    return OK;
}

static enum status sweep_strays(struct store *s, int64_t before_ms, int64_t *removed, struct error *err)
{
    CLEANUP(freep) char *objects = path_join(s->blobs, "sha256");
    for (int i = 0; i < 256; i++) {
        char name[3];
        snprintf(name, sizeof(name), "%02x", (unsigned)i);
        CLEANUP(fd_closep) int lock = -1;
        TRY(blobs_lock(s, LOCK_EX, &lock, err));
        TRY(sweep_folder(s, objects, name, before_ms, removed, err));
    }
    return OK;
}

/* -- rows without their file -- */

static bool is_whole(const struct store *s, const char *sha256, int64_t size)
{
    CLEANUP(freep) char *path = blob_path(s, sha256);
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == size;
}

static void tell_damage(struct store *s, const char *sha256)
{
    CLEANUP(freep) char *topic = xasprintf("damage:%s", sha256);
    pthread_mutex_lock(&s->changed_lock);
    if (s->changed)
        s->changed(s->changed_context, topic);
    pthread_mutex_unlock(&s->changed_lock);
}

/* Counts and tells of live blobs whose bytes are not there in their whole length. */
static enum status find_damage(struct store *s, struct error *err)
{
    int64_t damaged = 0;
    char after[HASH_HEX_MAX] = "";
    for (int n = CHECKED; n == CHECKED;) {
        ROWS rows = {0};
        READER reader = {0};
        TRY(reader_take(s, &reader, err));
        TRY(SQL(reader.db, &rows, err,
                "SELECT hash, size FROM blobs WHERE state = 0 AND hash > $1 ORDER BY hash LIMIT $2",
                V((const char *)after), V(CHECKED)));
        reader_give(&reader);
        n = rows.n;
        for (int i = 0; i < n; i++) {
            if (is_whole(s, row_text(&rows, i, 0), row_int(&rows, i, 1)))
                continue;
            damaged++;
            tell_damage(s, row_text(&rows, i, 0));
        }
        if (n)
            copy_text(after, sizeof(after), row_text(&rows, n - 1, 0));
    }
    atomic_store(&s->damaged, damaged);
    return OK;
}

enum status blob_count(struct store *s, struct blob_counts *ret_counts, struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    struct blob_counts counts = {.damaged = atomic_load(&s->damaged)};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err,
            "SELECT state, COUNT(*), CAST(SUM(size) AS BIGINT) FROM blobs GROUP BY state"));
    for (int i = 0; i < rows.n; i++) {
        bool live = row_int(&rows, i, 0) == 0;
        *(live ? &counts.live : &counts.deleting) = row_int(&rows, i, 1);
        *(live ? &counts.live_bytes : &counts.deleting_bytes) = row_int(&rows, i, 2);
    }
    *ret_counts = counts;
    return OK;
}

enum status blob_collect(struct store *s, int64_t now_ms, int64_t grace_ms, int64_t *ret_removed,
                         struct error *err)
{
    CLEANUP(sweep_release) struct sweep w = {.before_ms = now_ms - grace_ms};
    int64_t removed = 0;
    do {
        CLEANUP(fd_closep) int lock = -1;
        TRY(blobs_lock(s, LOCK_EX, &lock, err));
        TRY(sweep_piece(s, &w, err));
        removed += w.marked.n;
    } while (w.marked.n == PIECE);
    TRY(sweep_strays(s, now_ms - 2 * grace_ms, &removed, err));
    if (ret_removed)
        *ret_removed = removed;
    return find_damage(s, err);
}
