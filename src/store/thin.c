/*
 * thin.c - a long curve as few points, none of its peaks lost.
 *
 * One pass by step, a page at a time: memory is that of what remains.
 */
#include <math.h>
#include <stdlib.h>

#include "store/internal.h"
#include "store/pack.h"

#define POINTS_MIN 5
#define POINTS_MAX 10000
#define PAGE_ROWS  5000

struct thinning {
    int64_t from;
    int n_buckets;
    double width; /* of a bucket, in steps */
    int bucket;   /* the one being filled; -1: none yet */
    struct {
        bool is_set;
        struct metric_point point;
    } least, greatest, last, no_number, first;
    struct thinned out;
    int allocated;
};

static void keep(struct thinning *t, const struct metric_point *p)
{
    struct metric_list *l = &t->out.list;
    if (l->n && l->points[l->n - 1].step == p->step)
        return;
    if (l->n == t->allocated) {
        t->allocated = t->allocated ? 2 * t->allocated : 64;
        l->points = xrealloc(l->points, (size_t)t->allocated * sizeof(*l->points));
    }
    l->points[l->n++] = *p;
}

static int by_step(const void *a, const void *b)
{
    const struct metric_point *p = a, *q = b;
    return p->step < q->step ? -1 : p->step > q->step;
}

static void end_bucket(struct thinning *t)
{
    struct metric_point points[5];
    size_t n = 0;
    if (t->first.is_set)
        points[n++] = t->first.point;
    if (t->least.is_set)
        points[n++] = t->least.point;
    if (t->greatest.is_set)
        points[n++] = t->greatest.point;
    if (t->no_number.is_set)
        points[n++] = t->no_number.point;
    if (t->last.is_set)
        points[n++] = t->last.point;
    if (n)
        qsort(points, n, sizeof(points[0]), by_step);
    for (size_t i = 0; i < n; i++)
        keep(t, &points[i]);
    t->least.is_set = t->greatest.is_set = t->no_number.is_set = t->last.is_set = t->first.is_set = false;
}

#define SET(which, p) ((which).is_set = true, (which).point = *(p))

static void add(struct thinning *t, const struct metric_point *p)
{
    int bucket = (int)MIN(((double)p->step - (double)t->from) / t->width, (double)t->n_buckets - 1);
    if (bucket != t->bucket) {
        end_bucket(t);
        if (t->bucket < 0)
            SET(t->first, p);
        t->bucket = bucket;
    }
    if (isnan(p->value)) {
        if (!t->no_number.is_set)
            SET(t->no_number, p);
    } else {
        if (!t->least.is_set || p->value < t->least.point.value)
            SET(t->least, p);
        if (!t->greatest.is_set || p->value > t->greatest.point.value)
            SET(t->greatest, p);
    }
    SET(t->last, p);
}

static void take_point(struct thinning *t, const struct metric_point *p)
{
    t->out.n_all++;
    t->out.n_nan += isnan(p->value) != 0;
    if (t->n_buckets)
        add(t, p);
    else
        keep(t, p);
}

static enum status run(struct connection *db, const char *job, const char *name, int64_t from, int64_t to,
                       struct thinning *t, struct error *err)
{
    ROWS rows = {0};
    do {
        TRY(SQL(db, &rows, err,
                "SELECT " METRIC_COLUMNS " FROM metrics WHERE job = $1 AND name = $2 AND step >= $3"
                " AND step <= $4 ORDER BY step LIMIT $5",
                V(job), V(name), V(from), V(to), V(PAGE_ROWS)));
        for (int i = 0; i < rows.n; i++) {
            struct metric_point p;
            metric_read_row(&rows, i, &p);
            take_point(t, &p);
            from = p.step;
        }
    } while (rows.n == PAGE_ROWS && from < to && from++ < INT64_MAX);
    end_bucket(t);
    return OK;
}

static enum status run_packed(struct metric_pack *pack, int64_t first, int64_t n, struct thinning *t,
                              struct error *err)
{
    struct metric_point page[256];
    for (int64_t at = first; at < first + n;) {
        int size = (int)MIN((int64_t)ARRAY_SIZE(page), first + n - at);
        TRY(metric_pack_read(pack, at, size, page, err));
        for (int i = 0; i < size; i++)
            take_point(t, &page[i]);
        at += size;
    }
    end_bucket(t);
    return OK;
}

static void thinning_release(struct thinning *t)
{
    metric_list_release(&t->out.list);
}

static void begin(struct thinning *t, int64_t n, int64_t least, int64_t greatest, int points)
{
    *t = (struct thinning){.from = least, .bucket = -1};
    if (n <= points)
        return;
    t->n_buckets = (points - 1) / 4;
    t->width = ((double)greatest - (double)least + 1) / t->n_buckets;
}

static enum status thin_packed(struct metric_pack *pack, const char *name, int64_t from, int64_t to,
                               int points, struct thinned *ret_thinned, struct error *err)
{
    int64_t first, n;
    struct metric_point least = {0}, greatest = {0};
    TRY(metric_pack_range(pack, name, from, to, &first, &n, err));
    if (n) {
        TRY(metric_pack_read(pack, first, 1, &least, err));
        TRY(metric_pack_read(pack, first + n - 1, 1, &greatest, err));
    }
    CLEANUP(thinning_release) struct thinning t;
    begin(&t, n, least.step, greatest.step, points);
    TRY(run_packed(pack, first, n, &t, err));
    *ret_thinned = t.out;
    t.out = (struct thinned){0};
    return OK;
}

enum status metrics_thin(struct store *s, const char *job, const char *name, int64_t from, int64_t to,
                         int points, struct thinned *ret_thinned, struct error *err)
{
    if (points < POINTS_MIN || points > POINTS_MAX)
        return error_set(err, INVALID, "a curve is thinned to %d to %d points, not %d", POINTS_MIN,
                         POINTS_MAX, points);
    CLEANUP(metric_pack_freep) struct metric_pack *pack = NULL;
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(connection_begin(reader.db, err));
    TRY(metric_pack_open(s, reader.db, job, &pack, err));
    if (pack)
        return thin_packed(pack, name, from, to, points, ret_thinned, err);
    TRY(SQL(reader.db, &rows, err,
            "SELECT COUNT(*), MIN(step), MAX(step) FROM metrics WHERE job = $1 AND name = $2 AND step >= $3"
            " AND step <= $4",
            V(job), V(name), V(from), V(to)));
    CLEANUP(thinning_release) struct thinning t;
    begin(&t, row_int(&rows, 0, 0), row_int(&rows, 0, 1), row_int(&rows, 0, 2), points);
    if (row_int(&rows, 0, 0))
        TRY(run(reader.db, job, name, t.from, row_int(&rows, 0, 2), &t, err));
    *ret_thinned = t.out;
    t.out = (struct thinned){0};
    return OK;
}
