/*
 * documents.h - everything that a user makes, and the feed of changes.
 *
 * Each document carries the sequence number of its latest change, counted
 * per owner without gaps; the feed is the documents in that order.  A deleted
 * document stays as a tombstone (state STATE_DELETED, body {}).
 * A document with a job has a state that the queue moves:
 *
 *   WAITING -> READY -> PROCESSING -> FINISHED | FAILED | CANCELLED
 *
 * and body keys that the queue writes at its end: "processing-log" (reason),
 * "progress" (last one reported), "cancelled" (true).  One without a job is STATE_NONE.
 */
#ifndef ET_DOCUMENTS_H
#define ET_DOCUMENTS_H

#include "base/hash.h"
#include "base/json.h"

struct store;

#define OWNER_MAX       80 /* "user:" and at most 64 bytes */
#define DOCUMENT_ID_MAX 80 /* 32 hex digits, or an owner */
#define TYPE_MAX        32
#define POOL_MAX        64
#define REV_MAX         56

enum document_state {
    STATE_NONE,
    STATE_WAITING, /* on a dependency or a time */
    STATE_READY,
    STATE_PROCESSING,
    STATE_FINISHED,
    STATE_FAILED,
    STATE_CANCELLED,
    STATE_DELETED,
};
#define STATE_BIT(state) (1u << (state))

/* The contract's word: "pending", "processing", "finished_successfully", "failed"; "" for NONE, DELETED. */
const char *document_state_word(enum document_state state);
/* Our exact word: "waiting", "ready", "leased", "finished", "failed", "cancelled"; "" as above. */
const char *document_state_name(enum document_state state);
/* The STATE_BITs that a word of either set stands for ("failed": cancelled too); 0: no such word. */
unsigned document_states_of(const char *word);

struct document {
    char id[DOCUMENT_ID_MAX];
    char owner[OWNER_MAX];
    char type[TYPE_MAX];
    int64_t rev; /* N of "N-..." */
    int64_t seq;
    enum document_state state;
    int64_t created_ms, updated_ms;
    json_t *body; /* an object, without _id, _rev, type and state */
};
void document_release(struct document *d);

struct document_list {
    int n;
    struct document *documents;
    bool more; /* there are further ones: go on after the last id (lists) or seq (changes) */
};
void document_list_release(struct document_list *l);

/* "N-" and 32 hex digits of SHA-256 over id and N.  Returns out. */
const char *document_rev(const char *id, int64_t rev, char out[REV_MAX]);
/* N of a revision's text for this id.  Errors: INVALID when it is not one of this id's. */
enum status document_rev_read(const char *id, const char *text, int64_t *ret_rev, struct error *err);

struct blob_ref {
    const char *name;   /* under which the document has it: "solver.prototxt" */
    const char *sha256; /* of a blob in the store */
};

struct new_job {
    const char *kind;      /* "train" */
    const char *pool;      /* NULL: "cpu" */
    int priority;          /* higher first */
    const json_t *spec;    /* NULL: {} */
    int max_attempts;      /* counted attempts; 0: the usual 6 (one and five retries) */
    int64_t backoff_ms;    /* before the first retry, doubling; 0: the usual 5 s */
    bool retry_failed;     /* retry what its worker calls FAILED, too */
    int64_t max_ms;        /* of an attempt: the server ends one that is well over it; 0: no limit */
    int64_t not_before_ms; /* 0: at once */
    const char *const
        *after; /* ids of the owner's documents whose jobs must finish first; an array: all of its */
    int n_after;
    const char *behind; /* one more, whose job must have ended, however it did; NULL: none */
    int64_t position;   /* among jobs of one priority; 0: by age */
};

struct new_document {
    const char *id; /* from id_new(), or "user:NAME" */
    const char *type;
    const json_t *body;
    const struct new_job *job; /* NULL: none */
    const char *const *refs;   /* ids of documents it uses: they cannot be deleted before it */
    int n_refs;
    const struct blob_ref *blobs;
    int n_blobs;
};

struct idempotency; /* idempotency.h */

/*
 * Makes all documents, their jobs and references in one transaction, in
 * order: a later one may name an earlier one.  `after` is resolved there: an
 * unfinished job is waited for, a finished one is not, and if one has failed
 * or was cancelled the new document is made STATE_FAILED, with that reason.
 * An id that exists already with the same owner and type is a repeated
 * request: nothing is made anew and the existing one is returned.
 * ret_documents (may be NULL): as they are now.  idempotency: NULL, or the
 * key whose answer is saved with them.
 *
 * Errors: CONFLICT (the id is another's or a tombstone; the key is taken),
 * NOT_FOUND (a ref, an `after` or a blob that is not there: the message names
 * it), LIMITED (limits.h).
 */
enum status documents_create(struct store *s, const char *owner, const struct new_document *documents, int n,
                             const struct idempotency *idempotency, int64_t now_ms,
                             struct document_list *ret_documents, struct error *err);

enum status document_get(struct store *s, const char *owner, const char *id, struct document *ret_document,
                         struct error *err);

/* The same, and a tombstone too. */
enum status document_get_any(struct store *s, const char *owner, const char *id,
                             struct document *ret_document, struct error *err);
/* How many of the owner's documents are there; tombstones are not counted. */
enum status documents_count(struct store *s, const char *owner, int64_t *ret_n, struct error *err);

struct document_filter {
    const char *owner; /* NULL: all owners */
    const char *type;  /* NULL: all types */
    unsigned states;   /* STATE_BITs; 0: all but deleted */
    const char *after; /* page token: the last id seen; NULL: from the start */
    bool newest_first;
    int limit; /* 0: 100; at most 1000 */
};
enum status documents_list(struct store *s, const struct document_filter *filter,
                           struct document_list *ret_list, struct error *err);

/*
 * Replaces the body.  expected_rev: 0 for any.
 * Errors: NOT_FOUND; CONFLICT when the revision is another by now.
 */
enum status document_update(struct store *s, const char *owner, const char *id, int64_t expected_rev,
                            const json_t *body, int64_t now_ms, struct document *ret_document,
                            struct error *err);

/*
 * Leaves a tombstone; its blob references go at once, its log, metrics and
 * attempts soon after.
 * Errors: NOT_FOUND; CONFLICT when the revision is another, its job is not
 * over, or live documents use it: then their {"id", "type"} are appended to
 * `users`, an array of the caller's (may be NULL).
 */
enum status document_delete(struct store *s, const char *owner, const char *id, int64_t expected_rev,
                            int64_t now_ms, json_t *users, struct document *ret_tombstone, struct error *err);

/* The owner's latest sequence number; 0 when there is nothing yet. */
enum status feed_seq(struct store *s, const char *owner, int64_t *ret_seq, struct error *err);
/* How many of the owner's documents changed after `since`. */
enum status feed_pending(struct store *s, const char *owner, int64_t since, int64_t *ret_n,
                         struct error *err);
/* The owner's documents changed after `since`, tombstones too, in order.  limit as in a filter. */
enum status feed_changes(struct store *s, const char *owner, int64_t since, int limit,
                         struct document_list *ret_list, struct error *err);

#endif
