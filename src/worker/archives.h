/*
 * archives.h - archives that users send, read without trust, and .tar.gz
 * files that we write (libarchive).
 *
 *   archive_reader_open -> (archive_reader_next -> archive_reader_read...)... -> archive_reader_free
 *
 * The kind is told by content: tar, plain or by gzip, bzip2, xz or zstd, and
 * zip.  An entry with an absolute path, "..", control bytes in its name, or
 * that is a link, device or fifo ends the reading with INVALID and its name;
 * limits end bombs with TOO_LARGE.  What macOS and Windows leave behind
 * (._x, .DS_Store, __MACOSX) is passed over.
 */
#ifndef ET_ARCHIVES_H
#define ET_ARCHIVES_H

#include "base/base.h"

#define ARCHIVE_PATH_MAX 1024

struct archive_limits {
    int64_t max_bytes;   /* expanded; 0: 1 TiB.  Past 1 GiB also at most 200 times the archive's size */
    int64_t max_entries; /* 0: 10 million */
};

struct archive_item {
    const char *path; /* clean: "A/x.png"; lent until the next call */
    bool is_folder;
    int64_t size; /* as the archive says, or -1 when it does not: not to be relied on */
};

struct archive_reader;

/* fd is read from its start and stays the caller's; `name` is for messages. */
enum status archive_reader_open(int fd, const char *name, const struct archive_limits *limits,
                                struct archive_reader **ret_reader, struct error *err);
void archive_reader_free(struct archive_reader *r);
void archive_reader_freep(struct archive_reader **r);

/* The next entry; *ret_more false after the last. */
enum status archive_reader_next(struct archive_reader *r, struct archive_item *ret_item, bool *ret_more,
                                struct error *err);

/* Bytes of the current entry; *ret_size 0 at its end. */
enum status archive_reader_read(struct archive_reader *r, void *bytes, size_t room, size_t *ret_size,
                                struct error *err);

/* All of the current entry, for the caller to free.  Errors: TOO_LARGE past max_bytes. */
enum status archive_reader_read_all(struct archive_reader *r, size_t max_bytes, char **ret_bytes,
                                    size_t *ret_size, struct error *err);

/*
 * Writes the current entry below folder_fd, making the folders on its way;
 * follows no link.  A file that is there is replaced.
 */
enum status archive_reader_extract(struct archive_reader *r, int folder_fd, struct error *err);

/* ---- writing ---- */

struct archive_writer;
enum archive_filter { ARCHIVE_PLAIN, ARCHIVE_GZIP };

/* A new .tar or .tar.gz.  Same entries, same bytes: no times, no owners. */
enum status archive_writer_open(const char *path, enum archive_filter filter,
                                struct archive_writer **ret_writer, struct error *err);
/* One file of exactly size bytes: begin, then data in pieces. */
enum status archive_writer_begin(struct archive_writer *w, const char *path, int64_t size, struct error *err);
enum status archive_writer_data(struct archive_writer *w, const void *bytes, size_t size, struct error *err);
/* Writes the end.  Errors: NO_SPACE, FAILED.  Free it all the same. */
enum status archive_writer_finish(struct archive_writer *w, struct error *err);
void archive_writer_free(struct archive_writer *w);
void archive_writer_freep(struct archive_writer **w);

#endif
