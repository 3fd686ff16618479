/* metrics.c - a job's points and progress. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

#define LIMIT_MAX 10000

/* SQLite keeps NaN as NULL, so what is not finite has a column of its own. */
enum special { SPECIAL_NONE, SPECIAL_NAN, SPECIAL_PLUS_INFINITY, SPECIAL_MINUS_INFINITY };

static enum special special_of(double value)
{
    if (isnan(value))
        return SPECIAL_NAN;
    if (isinf(value))
        return value > 0 ? SPECIAL_PLUS_INFINITY : SPECIAL_MINUS_INFINITY;
    return SPECIAL_NONE;
}

static double value_of(double value, int64_t special)
{
    switch (special) {
    case SPECIAL_NAN:
        return NAN;
    case SPECIAL_PLUS_INFINITY:
        return INFINITY;
    case SPECIAL_MINUS_INFINITY:
        return -INFINITY;
    default:
        return value;
    }
}

void metric_list_release(struct metric_list *l)
{
    free(l->points);
    *l = (struct metric_list){0};
}

struct adding {
    const char *job;
    int attempt;
    const struct metric_point *points;
    int n;
    const char *progress; /* NULL: none */
};

#define INSERT "INSERT INTO metrics(job, owner, name, step, ord, at, value, special) VALUES"
/* A point that is there already leaves ord unused: it orders, it does not count. */
#define UPDATE                                                                                               \
    " ON CONFLICT (job, name, step) DO UPDATE SET ord = excluded.ord, at = excluded.at,"                     \
    " value = excluded.value, special = excluded.special"                                                    \
    " WHERE metrics.value <> excluded.value OR metrics.special <> excluded.special"
/* As many as a statement has room for: what a point costs is mostly its statement. */
#define TOGETHER 5
static const char insert_one[] = INSERT " ($1, $2, $3, $4, $5, $6, $7, $8)" UPDATE;
static const char insert_together[] =
    INSERT " ($1, $2, $3, $4, $5, $6, $7, $8), ($1, $2, $9, $10, $11, $12, $13, $14),"
           " ($1, $2, $15, $16, $17, $18, $19, $20), ($1, $2, $21, $22, $23, $24, $25, $26),"
           " ($1, $2, $27, $28, $29, $30, $31, $32)" UPDATE;

/* One statement must not write a point twice. */
static bool are_different(const struct metric_point *points, int n)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++)
            if (points[i].step == points[k].step && strcmp(points[i].name, points[k].name) == 0)
                return false;
    return true;
}

static enum status add_points(struct tx *tx, const char *job, const char *owner,
                              const struct metric_point *points, int n, int64_t *ord, struct error *err)
{
    struct value values[2 + 6 * TOGETHER] = {V(job), V(owner)};
    for (int i = 0, m; i < n; i += m) {
        m = n - i >= TOGETHER && are_different(&points[i], TOGETHER) ? TOGETHER : 1;
        struct value *v = &values[2];
        for (const struct metric_point *p = &points[i]; p < &points[i + m]; p++) {
            enum special special = special_of(p->value);
            *v++ = V(p->name);
            *v++ = V(p->step);
            *v++ = V(++*ord);
            *v++ = V(p->at_ms);
            *v++ = V(special ? 0.0 : p->value);
            *v++ = V(special);
        }
        TRY(sql_run(tx->db, NULL, err, m == 1 ? insert_one : insert_together, values, (int)(v - values)));
    }
    return OK;
}

static enum status add(struct tx *tx, void *opaque, struct error *err)
{
    const struct adding *a = opaque;
    ROWS rows = {0};
    TRY(lease_check(tx, a->job, a->attempt, err));
    /* The update locks the owner's row: what is told gets its numbers in the order of the commits. */
    TRY(SQL(tx->db, &rows, err,
            "UPDATE owners SET told = told WHERE owner = (SELECT owner FROM jobs WHERE id = $1)"
            " RETURNING owner, told",
            V(a->job)));
    const char *owner = row_text(&rows, 0, 0);
    int64_t before = row_int(&rows, 0, 1), ord = before;
    TRY(add_points(tx, a->job, owner, a->points, a->n, &ord, err));
    if (a->progress)
        TRY(SQL(tx->db, NULL, err,
                "INSERT INTO progress(job, body, ord, owner) VALUES ($1, $2, $3, $4) ON CONFLICT (job)"
                " DO UPDATE SET body = excluded.body, ord = excluded.ord",
                V(a->job), V(a->progress), V(++ord), V(owner)));
    if (ord > before) {
        TRY(SQL(tx->db, NULL, err, "UPDATE owners SET told = $1 WHERE owner = $2", V(ord), V(owner)));
        tx_stir(tx, "told", owner);
    }
    tx_stir(tx, "job", a->job);
    return OK;
}

enum status metrics_add(struct store *s, const char *job, int attempt, const struct metric_point *points,
                        int n, const json_t *progress, int64_t now_ms, struct error *err)
{
    (void)now_ms;
    for (int i = 0; i < n; i++)
        if (!points[i].name[0] || !memchr(points[i].name, '\0', sizeof(points[i].name)))
            return error_set(err, INVALID, "the name of metric %d is empty or longer than %zu bytes", i,
                             sizeof(points[i].name) - 1);
    if (progress && !json_is_object(progress))
        return error_set(err, INVALID, "progress is an object");
    CLEANUP(freep) char *text = progress ? json_text(progress) : NULL;
    return store_write_about(s, NULL, job, add, &(struct adding){job, attempt, points, n, text}, err);
}

void metric_read_row(const struct rows *rows, int i, struct metric_point *p)
{
    copy_text(p->name, sizeof(p->name), row_text(rows, i, 0));
    p->step = row_int(rows, i, 1);
    p->at_ms = row_int(rows, i, 2);
    p->value = value_of(row_real(rows, i, 3), row_int(rows, i, 4));
    p->ord = row_int(rows, i, 5);
}

enum status metrics_read(struct store *s, const char *job, const char *name, int64_t since, int limit,
                         struct metric_list *ret_list, struct error *err)
{
    limit = limit <= 0 ? LIMIT_MAX : MIN(limit, LIMIT_MAX);
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err,
            "SELECT " METRIC_COLUMNS " FROM metrics WHERE job = $1 AND ord > $2 AND ($3 IS NULL OR name = $3)"
            " ORDER BY ord LIMIT $4",
            V(job), V(since), V(name), V(limit + 1)));
    bool packed = false;
    TRY(pack_read_metrics(s, reader.db, job, name, since, limit, &packed, ret_list, err));
    if (packed)
        return OK;
    struct metric_list list = {.n = MIN(rows.n, limit), .more = rows.n > limit};
    list.points = xcalloc((size_t)list.n, sizeof(*list.points));
    for (int i = 0; i < list.n; i++)
        metric_read_row(&rows, i, &list.points[i]);
    *ret_list = list;
    return OK;
}

void told_list_release(struct told_list *l)
{
    for (int i = 0; i < l->n; i++)
        json_decref(l->items[i].progress);
    free(l->items);
    *l = (struct told_list){0};
}

enum status told_ord(struct store *s, const char *owner, int64_t *ret_ord, struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT told FROM owners WHERE owner = $1", V(owner)));
    *ret_ord = rows.n ? row_int(&rows, 0, 0) : 0;
    return OK;
}

enum status told_read(struct store *s, const char *owner, int64_t since, int limit,
                      struct told_list *ret_list, struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    /* One statement, one state: a progress seen before points of less ord would make them missed. */
    TRY(SQL(reader.db, &rows, err,
            "SELECT " METRIC_COLUMNS
            ", job, CAST(NULL AS TEXT) AS body FROM metrics WHERE owner = $1 AND ord > $2"
            " UNION ALL SELECT '', 0, 0, CAST(0 AS DOUBLE PRECISION), 0, ord, job, body FROM progress"
            " WHERE owner = $1 AND ord > $2 ORDER BY ord LIMIT $3",
            V(owner), V(since), V(limit)));
    CLEANUP(told_list_release) struct told_list list = {0};
    list.items = xcalloc((size_t)rows.n + 1, sizeof(*list.items));
    for (; list.n < rows.n; list.n++) {
        struct told_item *t = &list.items[list.n];
        metric_read_row(&rows, list.n, &t->point);
        copy_text(t->job, sizeof(t->job), row_text(&rows, list.n, 6));
        const char *body = row_text(&rows, list.n, 7);
        if (!row_is_null(&rows, list.n, 7))
            TRY(json_read(body, strlen(body), &t->progress, err));
    }
    *ret_list = list;
    list = (struct told_list){0};
    return OK;
}

/* One seek a name, however many points there are. */
enum status metrics_latest(struct store *s, const char *job, struct metric_list *ret_list, struct error *err)
{
    CLEANUP(metric_list_release) struct metric_list list = {0};
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    char after[sizeof(list.points->name)] = "";
    for (;;) {
        TRY(SQL(reader.db, &rows, err,
                "SELECT " METRIC_COLUMNS " FROM metrics WHERE job = $1"
                " AND name = (SELECT MIN(name) FROM metrics WHERE job = $1 AND name > $2)"
                " ORDER BY step DESC LIMIT 1",
                V(job), V(after)));
        if (!rows.n)
            break;
        list.points = xrealloc(list.points, (size_t)(list.n + 1) * sizeof(*list.points));
        metric_read_row(&rows, 0, &list.points[list.n]);
        copy_text(after, sizeof(after), list.points[list.n++].name);
    }
    bool packed = false;
    TRY(pack_latest_metrics(s, reader.db, job, &packed, ret_list, err));
    if (packed)
        return OK;
    *ret_list = list;
    list = (struct metric_list){0};
    return OK;
}

enum status progress_get(struct store *s, const char *job, json_t **ret_progress, struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    json_t *progress = NULL;
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT body FROM progress WHERE job = $1", V(job)));
    if (rows.n)
        TRY(json_read(row_text(&rows, 0, 0), strlen(row_text(&rows, 0, 0)), &progress, err));
    *ret_progress = progress;
    return OK;
}
