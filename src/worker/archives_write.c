#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "worker/archives.h"

struct archive_writer {
    struct archive *archive;
    struct archive_entry *entry;
    char *path;
};

static enum status cannot_write(const struct archive_writer *w, struct error *err)
{
    int number = archive_errno(w->archive);
    enum status status = status_from_errno(number) == NO_SPACE ? NO_SPACE : FAILED;
    const char *text = archive_error_string(w->archive);
    return error_set(err, status, "cannot write '%s': %s", w->path, text ? text : strerror(number));
}

enum status archive_writer_open(const char *path, enum archive_filter filter,
                                struct archive_writer **ret_writer, struct error *err)
{
    CLEANUP(archive_writer_freep) struct archive_writer *w = xcalloc(1, sizeof(*w));
    w->path = xstrdup(path);
    w->archive = archive_write_new();
    w->entry = archive_entry_new();
    if (!w->archive || !w->entry)
        return error_set(err, FAILED, "cannot write '%s': out of memory", path);
    if (filter == ARCHIVE_GZIP) {
        archive_write_add_filter_gzip(w->archive);
        archive_write_set_filter_option(w->archive, "gzip", "timestamp", NULL);
        /* Images and databases hardly shrink: the fastest level costs least. */
        archive_write_set_filter_option(w->archive, "gzip", "compression-level", "1");
    }
    archive_write_set_format_gnutar(w->archive); /* names as they are, of any length */
    if (archive_write_open_filename(w->archive, path) != ARCHIVE_OK)
        return cannot_write(w, err);
    *ret_writer = TAKE(w);
    return OK;
}

enum status archive_writer_begin(struct archive_writer *w, const char *path, int64_t size, struct error *err)
{
    archive_entry_clear(w->entry);
    archive_entry_set_pathname(w->entry, path);
    archive_entry_set_filetype(w->entry, AE_IFREG);
    archive_entry_set_perm(w->entry, 0644);
    archive_entry_set_size(w->entry, size);
    return archive_write_header(w->archive, w->entry) < ARCHIVE_WARN ? cannot_write(w, err) : OK;
}

enum status archive_writer_data(struct archive_writer *w, const void *bytes, size_t size, struct error *err)
{
    return archive_write_data(w->archive, bytes, size) < 0 ? cannot_write(w, err) : OK;
}

enum status archive_writer_finish(struct archive_writer *w, struct error *err)
{
    return archive_write_close(w->archive) != ARCHIVE_OK ? cannot_write(w, err) : OK;
}

void archive_writer_free(struct archive_writer *w)
{
    if (!w)
        return;
    if (w->archive)
        archive_write_free(w->archive);
    if (w->entry)
        archive_entry_free(w->entry);
    free(w->path);
    free(w);
}

void archive_writer_freep(struct archive_writer **w)
{
    archive_writer_free(*w);
    *w = NULL;
}
