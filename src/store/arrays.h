/*
 * arrays.h - many jobs by one request: an array document, and for each
 * element a document of its own, made from one template.
 *
 * The request is kept whole in one transaction; the elements follow in
 * pieces, the first of them before the answer.  What is left after some
 * seconds, or when the server dies, store_tick goes on with, so that an array
 * is all there in the end, or was never accepted.
 */
#ifndef ET_ARRAYS_H
#define ET_ARRAYS_H

#include "store/documents.h"

#define ARRAY_MAX 50000

struct new_array {
    const struct new_document *document; /* the array's own; no job */
    const struct new_document *element;  /* what each is made from, with its job */
    const json_t *patches; /* one an element: {"body": {}, "spec": {}}, merged into body and spec */
};
/*
 * Accepts the array and makes its elements.  Each has in its body "array-id"
 * and "array-index", from 0.  What fails once the array is accepted is tried
 * again by store_tick and is no error.
 * Errors: as documents_create; LIMITED; INVALID over ARRAY_MAX elements.
 */
enum status array_create(struct store *s, const char *owner, const struct new_array *array,
                         const struct idempotency *idempotency, int64_t now_ms, struct document *ret_document,
                         struct error *err);

struct array_counts {
    int64_t total, made;
    int64_t in[STATE_DELETED + 1]; /* of those made, by state */
};
/* Errors: NOT_FOUND. */
enum status array_count(struct store *s, const char *id, struct array_counts *ret_counts, struct error *err);

/*
 * The documents of an array, or those that a schedule has made, from number
 * `from`; deleted ones are left out.  ret_next: where the next page begins;
 * -1: there is none.
 */
enum status members_list(struct store *s, const char *parent, int64_t from, int limit,
                         struct document_list *ret_list, int64_t *ret_next, struct error *err);

/* Cancels, or kills, all elements that have not ended; those not made yet never will be. */
enum status array_cancel(struct store *s, const char *owner, const char *id, const char *who, bool force,
                         int64_t now_ms, struct error *err);

/*
 * Deletes the array and its elements.
 * Errors: CONFLICT while one has not ended or is used; those before it are gone then.
 */
enum status array_delete(struct store *s, const char *owner, const char *id, int64_t now_ms,
                         struct error *err);

#endif
