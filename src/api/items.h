/*
 * items.h - the items of one request queue (contract of deephardway):
 *
 *   items_add --> READY --items_take--> LEASED --items_post(progress 100, error, canceled)--> DONE
 *                   ^------- no post for lease_ms -------'
 *
 * The next one is that of the greatest weight, then the oldest.  A post counts
 * whoever holds the item by then.  All are forgotten item_ms after their
 * making.  An item outlives the process: it is a small file, written when it is
 * made and when it is done; one that was leased is READY again after a restart.
 *
 * All functions may be called from any thread.  Items are handed out as the
 * contract's JSON: new objects, with every field.
 */
#ifndef ET_ITEMS_H
#define ET_ITEMS_H

#include "base/json.h"

#define ITEM_WEIGHT     100 /* of a request that names none */
#define ITEM_WEIGHT_MAX 99999
#define REQUEST_ID_MAX  128

struct items;

struct items_options {
    const char *bucket; /* "/cats-request" */
    const char *folder; /* of the items' files; there already */
    int max_items;
    int64_t item_ms, lease_ms;
};

/* Reads those that a former process left.  What is damaged is removed. */
enum status items_new(const struct items_options *options, int64_t now_ms, struct items **ret_items,
                      struct error *err);
void items_free(struct items *s); /* NULL is fine */

struct new_item {
    const char *request_id;
    const char *url;  /* of the picture, trimmed */
    const char *path; /* of the file that a worker gets */
    const char *value;
    int weight;
};
/*
 * Makes the item, or finds the one that the request has already.
 * Errors: UNAVAILABLE when there are max_items; NO_SPACE, FAILED.
 */
enum status items_add(struct items *s, const struct new_item *item, int64_t now_ns, json_t **ret_item,
                      bool *ret_made, struct error *err);

/* NULL: no such item (any more).  ret_version (may be NULL) grows with each change of an item. */
json_t *items_find(struct items *s, const char *request_id, int64_t now_ms, uint64_t *ret_version,
                   bool *ret_done);

/* Leases the next one: its value is the picture's path.  NULL: none is ready. */
json_t *items_take(struct items *s, int64_t now_ms);
/* When the first of the leases ends that nothing renews; INT64_MAX: there is none. */
int64_t items_next_lapse(struct items *s);

/*
 * What a worker says of an item: value, progress, canceled, error.  Renews
 * the lease.  One that is done stays as it is.  *ret_item: as it is now.
 * Errors: NOT_FOUND; INVALID (no request id, or a field of another kind).
 */
enum status items_post(struct items *s, const json_t *posted, int64_t now_ms, json_t **ret_item,
                       struct error *err);

/* Forgets the requests of this picture whose ids begin so; an array of those ids, new. */
json_t *items_forget(struct items *s, const char *prefix, const char *url, int64_t now_ms);

/* Of an error: every field, and the time that means none.  New. */
json_t *item_error(const char *bucket, const char *message);

/* "/cats-request/99899" and 35 hex digits of the time.  For the caller to free. */
char *item_key(const char *bucket, int weight, int64_t created_ns);

#endif
