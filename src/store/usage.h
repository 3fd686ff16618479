/*
 * usage.h - what an owner's things take, how much they may, and how long they are kept.
 *
 * A blob counts once for each owner, however many documents have it.  The
 * quota is on blobs and logs together.  What is being uploaded counts from
 * its first byte: a quota_hold is taken for each upload and lasts until the
 * blob is referred to, or given up.
 */
#ifndef ET_USAGE_H
#define ET_USAGE_H

#include "store/documents.h"

struct usage {
    char owner[OWNER_MAX];
    int64_t blob_bytes, log_bytes, metric_points, documents;
    int64_t quota_bytes; /* 0: none */
    int64_t keep_days;   /* 0: for ever */
};
struct usage_list {
    int n;
    struct usage *usages;
};
void usage_list_release(struct usage_list *l);

enum status usage_get(struct store *s, const char *owner, struct usage *ret_usage, struct error *err);
/* Of all owners, by name. */
enum status usage_list(struct store *s, struct usage_list *ret_list, struct error *err);

/* -1: the server's usual; 0: none, for ever. */
enum status owner_quota_set(struct store *s, const char *owner, int64_t bytes, struct error *err);
enum status owner_keep_set(struct store *s, const char *owner, int64_t days, struct error *err);

struct quota_hold;
/* Begins an upload in the owner's name. */
enum status quota_begin(struct store *s, const char *owner, struct quota_hold **ret_hold, struct error *err);
/* So many bytes more.  Errors: NO_SPACE: they would pass the quota; the message has use and quota. */
enum status quota_add(struct quota_hold *h, int64_t bytes, struct error *err);
/* As they were when quota_add said no. */
void quota_figures(const struct quota_hold *h, int64_t *ret_used, int64_t *ret_quota);
void quota_end(struct quota_hold *h); /* NULL is fine */

#endif
