/*
 * schedules.h - jobs that are made again and again.
 *
 * A schedule is a document whose body has "cron" (base/cron.h), "overlap" and
 * "paused"; each time that comes, store_tick makes a document from its
 * template.  The body then tells "last-run", "last-id", "runs" and "note",
 * what went wrong the last time, and always "next-run".  Times that pass
 * while no server runs, or while it is paused, are made up for by one run or
 * none at all, in this order.
 *
 * overlap, when the job before has not ended: "skip" this time; "queue": the
 * new one waits for the end of that, unless that has not even begun.
 */
#ifndef ET_SCHEDULES_H
#define ET_SCHEDULES_H

#include "store/documents.h"

/* Errors: as documents_create; INVALID for a body that is not as above. */
enum status schedule_create(struct store *s, const char *owner, const struct new_document *schedule,
                            const struct new_document *template, int64_t now_ms,
                            struct document *ret_document, struct error *err);

/* Changes "cron", "overlap" or "paused": those that are in `change`.  Errors: NOT_FOUND, INVALID. */
enum status schedule_change(struct store *s, const char *owner, const char *id, const json_t *change,
                            int64_t now_ms, struct document *ret_document, struct error *err);

#endif
