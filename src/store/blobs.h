/*
 * blobs.h - bytes by content: files, models, logs.
 *
 * A blob is named by the SHA-256 of its bytes and written once.  It is there
 * for readers only when all its bytes are on disk: a put that is cut short
 * leaves nothing.  What no document refers to is swept after a grace period.
 */
#ifndef ET_BLOBS_H
#define ET_BLOBS_H

#include "store/documents.h"

struct blob {
    char sha256[65];
    char sha1[41]; /* after blob_commit only; else "" */
    int64_t size;
};

/*
 * A put under way: begin, write, and commit or abort.  Writer functions are
 * for one thread at a time.  After a failed write only abort is allowed.
 * Errors: NO_SPACE when the disk or quota is full.
 */
struct blob_writer;
enum status blob_begin(struct store *s, struct blob_writer **ret_writer, struct error *err);
enum status blob_write(struct blob_writer *w, const void *bytes, size_t size, struct error *err);
/*
 * Frees the writer in every case.  expected_sha256: NULL, or hex (any case)
 * that it must have.  Errors: INVALID when it differs.
 */
enum status blob_commit(struct blob_writer *w, const char *expected_sha256, int64_t now_ms,
                        struct blob *ret_blob, struct error *err);
void blob_abort(struct blob_writer *w); /* frees the writer, leaves nothing; NULL is fine */
void blob_abortp(struct blob_writer **w);

/* Bytes at hand, in one call. */
enum status blob_put(struct store *s, const void *bytes, size_t size, int64_t now_ms, struct blob *ret_blob,
                     struct error *err);

/* A descriptor at the start of the bytes, for the caller to close.  Errors: NOT_FOUND. */
enum status blob_open(struct store *s, const char *sha256, int *ret_fd, int64_t *ret_size, struct error *err);

/* All bytes, for the caller to free; a NUL follows them.  Errors: NOT_FOUND, TOO_LARGE. */
enum status blob_read(struct store *s, const char *sha256, int64_t max_bytes, char **ret_bytes,
                      size_t *ret_size, struct error *err);

/* The blob that a document has under a name.  Errors: NOT_FOUND.  The owner check is the caller's. */
enum status blob_ref_get(struct store *s, const char *document, const char *name, struct blob *ret_blob,
                         struct error *err);

struct named_blob {
    char *name;
    struct blob blob;
};
struct blob_list {
    int n;
    struct named_blob *blobs;
};
void blob_list_release(struct blob_list *l);
/* All of a document's, by name. */
enum status blob_refs(struct store *s, const char *document, struct blob_list *ret_list, struct error *err);

/*
 * Gives the leased job's document a blob under a name, at once; replaces.
 * Errors: CONFLICT when the attempt is not the current one; NOT_FOUND for the blob.
 */
enum status blob_ref_set(struct store *s, const char *job, int attempt, const char *name, const char *sha256,
                         int64_t now_ms, struct error *err);

/* The same for a document without a lease (an upload that belongs to it).  Errors: NOT_FOUND. */
enum status blob_ref_set_for(struct store *s, const char *owner, const char *document, const char *name,
                             const char *sha256, int64_t now_ms, struct error *err);

#define BLOB_GRACE_MS (24 * 3600 * 1000LL)
/*
 * Removes blobs that nothing refers to and nobody put for grace_ms, and files
 * that no row knows.  Then looks at every blob for its bytes: one that lost
 * them is counted, and stirs "damage:SHA256".  ret_removed may be NULL.
 */
enum status blob_collect(struct store *s, int64_t now_ms, int64_t grace_ms, int64_t *ret_removed,
                         struct error *err);

/* For the gauges of /metrics; damaged: at the last collection. */
struct blob_counts {
    int64_t live, live_bytes, deleting, deleting_bytes, damaged;
};
enum status blob_count(struct store *s, struct blob_counts *ret_counts, struct error *err);

#endif
