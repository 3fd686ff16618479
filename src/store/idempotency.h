/*
 * idempotency.h - answers kept for repeated requests (Idempotency-Key).
 *
 *   begin: IDEMPOTENCY_REPLAY -> send the kept answer
 *          IDEMPOTENCY_NEW    -> do the work; its answer is saved with the write
 *                                (documents_create) or by idempotency_save; then end
 *
 * Keys are kept for 24 hours.  "In progress" is known to the process only:
 * after a crash a key is new again, unless its write was committed, and then
 * the answer was too.
 */
#ifndef ET_IDEMPOTENCY_H
#define ET_IDEMPOTENCY_H

#include "store/documents.h"

#define IDEMPOTENCY_KEY_MAX 256
#define IDEMPOTENCY_KEPT_MS (24 * 3600 * 1000LL)

enum idempotency_result { IDEMPOTENCY_NEW, IDEMPOTENCY_REPLAY };

/*
 * request_hash: hex digest over what makes the request the same (method,
 * path, body).  On REPLAY ret_http_status and ret_body (for the caller to
 * free) are the kept answer; on NEW the key is taken until idempotency_end.
 * Errors: CONFLICT when the same key is being worked on, or came with another
 * request before; INVALID for a key that is empty or too long.
 */
enum status idempotency_begin(struct store *s, const char *owner, const char *key, const char *request_hash,
                              int64_t now_ms, enum idempotency_result *ret_result, int *ret_http_status,
                              char **ret_body, struct error *err);
/* After NEW, however it went: lets go of the key (a saved answer stays). */
void idempotency_end(struct store *s, const char *owner, const char *key);

/* Given to a write, which saves the answer in its own transaction. */
struct idempotency {
    const char *owner, *key, *request_hash;
    /*
     * The answer for the documents as they were made (NULL: the write makes
     * none): sets the status and returns the body, malloc'd.  Runs on the committer thread, perhaps more
     * than once: no side effects, never calls the store.
     */
    char *(*answer)(void *context, const struct document_list *documents, int *ret_http_status);
    void *context;
};

/* For writes that take no struct idempotency.  Errors: CONFLICT when it is saved already. */
enum status idempotency_save(struct store *s, const char *owner, const char *key, const char *request_hash,
                             int http_status, const char *body, int64_t now_ms, struct error *err);

#endif
