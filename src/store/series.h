/*
 * series.h - what a running job tells: metrics, logs, progress.
 *
 * None of it is in the feed.  Metrics and progress have one position for all
 * jobs of an owner (ord) and stir "told:OWNER"; each log has its own (attempt
 * and byte).  Both stir "job:ID".  Writing demands that the
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
    int64_t ord;  /* reading only: position in what the owner's jobs told, by latest write */
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
/* What an owner's jobs told: a point, or (name "") the progress, each as last written. */
struct told_item {
    char job[DOCUMENT_ID_MAX];
    struct metric_point point; /* ord is the progress's, too */
    json_t *progress;          /* NULL: a point */
};
struct told_list {
    int n;
    struct told_item *items;
};
void told_list_release(struct told_list *l);
/* What was told after ord `since`, in order. */
enum status told_read(struct store *s, const char *owner, int64_t since, int limit,
                      struct told_list *ret_list, struct error *err);
enum status told_ord(struct store *s, const char *owner, int64_t *ret_ord, struct error *err);

/*
 * One metric's points, thinned for a plot: the steps from `from` to `to`
 * are cut into equal buckets, and each gives its least, greatest and last
 * point, and its first that is no number; the first point of all is there too.
 * Infinities are least and greatest.  At most `points` (5 to 10000) remain, by
 * step; when there are no more than that, all.
 */
struct thinned {
    struct metric_list list;
    int64_t n_all, n_nan; /* in the range */
};
enum status metrics_thin(struct store *s, const char *job, const char *name, int64_t from, int64_t to,
                         int points, struct thinned *ret_thinned, struct error *err);

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
/* A place in a log: a byte of an attempt.  {0} is the beginning. */
struct log_place {
    int attempt;
    int64_t byte;
};
/*
 * At most max_size bytes of one attempt, from the place on, or of the next
 * attempt when that one is read to its end.  The place moves past them.
 * ret_final (may be NULL): a later attempt has begun, this one gets no more.
 */
enum status log_read_on(struct store *s, const char *job, enum log_stream stream, struct log_place *place,
                        size_t max_size, char **ret_bytes, size_t *ret_size, bool *ret_final,
                        struct error *err);
/* At most max_size bytes from offset, for the caller to free (NUL-terminated, not counted); 0 at the end. */
enum status log_read(struct store *s, const char *job, enum log_stream stream, int64_t offset,
                     size_t max_size, char **ret_bytes, size_t *ret_size, struct error *err);

#endif
