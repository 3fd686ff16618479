/*
 * series.h - what a running job tells: metrics, logs, progress.
 *
 * None of it is in the feed; each job's have a position of their own (ord of
 * a metric, byte of a log) and stir "job:ID".  Writing demands that the
 * attempt is the current one: CONFLICT otherwise.  Repeating a write is safe.
 */
#ifndef ET_SERIES_H
#define ET_SERIES_H

#include "store/documents.h"

struct metric_point {
    char name[64];
    int64_t step;
    int64_t at_ms;
    double value; /* NaN and infinities too */
    int64_t ord;  /* reading only: position among the job's points, by latest write, from 1 */
};
struct metric_list {
    int n;
    struct metric_point *points;
    bool more;
};
void metric_list_release(struct metric_list *l);

/*
 * Stores points (one that is there, by name and step, is overwritten and
 * gets a new ord if its value differs) and, unless NULL, progress (an object).
 * Errors: INVALID for an empty or over-long name.
 */
enum status metrics_add(struct store *s, const char *job, int attempt, const struct metric_point *points,
                        int n, const json_t *progress, int64_t now_ms, struct error *err);
/* Points with ord > since, by ord.  name NULL: all.  limit 0: 10000, the most. */
enum status metrics_read(struct store *s, const char *job, const char *name, int64_t since, int limit,
                         struct metric_list *ret_list, struct error *err);
/* The point of the highest step of each name, by name. */
enum status metrics_latest(struct store *s, const char *job, struct metric_list *ret_list, struct error *err);

/* The last progress reported, an object for the caller to decref; NULL when there is none. */
enum status progress_get(struct store *s, const char *job, json_t **ret_progress, struct error *err);

enum log_stream { LOG_STDOUT = 1, LOG_STDERR = 2 };
#define LOG_CHUNK_MAX (1 << 20)

/*
 * Appends bytes that begin at offset of this attempt's stream.  What lies
 * below the stored length is ignored; past it nothing is stored.
 * ret_length: the stored length now; less than offset means "send from there".
 * Errors: TOO_LARGE over LOG_CHUNK_MAX; INVALID for a negative offset.
 */
enum status log_append(struct store *s, const char *job, int attempt, enum log_stream stream, int64_t offset,
                       const void *bytes, size_t size, int64_t *ret_length, struct error *err);
/* Bytes of a stream, all attempts one after the other. */
enum status log_size(struct store *s, const char *job, enum log_stream stream, int64_t *ret_size,
                     struct error *err);
/* At most max_size bytes from offset, for the caller to free (NUL-terminated, not counted); 0 at the end. */
enum status log_read(struct store *s, const char *job, enum log_stream stream, int64_t offset,
                     size_t max_size, char **ret_bytes, size_t *ret_size, struct error *err);

#endif
