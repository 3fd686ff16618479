#include "cli/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

void packed_releasep(struct packed *p)
{
    if (p->folder)
        dir_remove(p->folder, NULL);
    freep(&p->folder);
    freep(&p->path);
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static void archive_closep(struct archive **a)
{
    archive_write_free(*a);
}

static void fts_closep(FTS **walk)
{
    if (*walk)
        fts_close(*walk);
}

static enum status pack_file(struct archive *archive, const char *path, const char *name, int64_t size,
                             struct error *err)
{
    CLEANUP(file_closep) FILE *file = fopen(path, "rbe");
    if (!file)
        return error_set(err, status_from_errno(errno), "cannot open '%s': %s", path, strerror(errno));
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, size);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    int result = archive_write_header(archive, entry);
    archive_entry_free(entry);
    char part[65536];
    size_t n;
    while (result == ARCHIVE_OK && (n = fread(part, 1, sizeof(part), file)) > 0)
        if (archive_write_data(archive, part, n) < 0)
            result = ARCHIVE_FATAL;
    if (result != ARCHIVE_OK)
        return error_set(err, status_from_errno(archive_errno(archive)), "cannot pack '%s': %s", path,
                         archive_error_string(archive));
    return OK;
}

static enum status pack_all(struct archive *archive, const char *folder, int *ret_count, struct error *err)
{
    char *const roots[] = {(char *)folder, NULL};
    CLEANUP(fts_closep) FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    if (!walk)
        return error_set(err, status_from_errno(errno), "cannot read '%s': %s", folder, strerror(errno));
    for (FTSENT *e; (e = fts_read(walk));) {
        if (e->fts_level > 0 && e->fts_name[0] == '.') {
            fts_set(walk, e, FTS_SKIP);
        } else if (e->fts_info == FTS_F) {
            const char *name = e->fts_path + strlen(folder);
            name += strspn(name, "/");
            TRY(pack_file(archive, e->fts_accpath, name, e->fts_statp->st_size, err));
            ++*ret_count;
        } else if (e->fts_info == FTS_ERR || e->fts_info == FTS_DNR || e->fts_info == FTS_NS) {
            return error_set(err, status_from_errno(e->fts_errno), "cannot read '%s': %s", e->fts_path,
                             strerror(e->fts_errno));
        }
    }
    return OK;
}

enum status pack_folder(const char *folder, struct packed *ret_packed, struct error *err)
{
    CLEANUP(packed_releasep) struct packed packed = {0};
    const char *temporary = getenv("TMPDIR");
    CLEANUP(freep)
    char *pattern = xasprintf("%s/et-pack-XXXXXX", temporary && *temporary ? temporary : "/tmp");
    if (!mkdtemp(pattern))
        return error_set(err, status_from_errno(errno), "cannot make folder '%s': %s", pattern,
                         strerror(errno));
    packed.folder = TAKE(pattern);
    const char *slash = strrchr(folder, '/');
    const char *base = slash && slash[1] ? slash + 1 : slash ? "data" : folder;
    packed.path = xasprintf("%s/%s.tar.gz", packed.folder, base);

    CLEANUP(archive_closep) struct archive *archive = archive_write_new();
    archive_write_add_filter_gzip(archive);
    archive_write_set_filter_option(archive, "gzip", "compression-level", "1");
    archive_write_set_filter_option(archive, "gzip", "timestamp", NULL);
    archive_write_set_format_pax_restricted(archive);
    if (archive_write_open_filename(archive, packed.path) != ARCHIVE_OK)
        return error_set(err, FAILED, "cannot create '%s': %s", packed.path, archive_error_string(archive));
    int count = 0;
    TRY(pack_all(archive, folder, &count, err));
    if (!count)
        return error_set(err, INVALID, "folder '%s' has no files", folder);
    if (archive_write_close(archive) != ARCHIVE_OK)
        return error_set(err, status_from_errno(archive_errno(archive)), "cannot write '%s': %s", packed.path,
                         archive_error_string(archive));
    *ret_packed = packed;
    packed = (struct packed){0};
    return OK;
}
