/* limits.c - an owner's limits; lanes.max_running is a copy of `running`. */
#include "store/internal.h"

#define NO_LIMIT 1000000 /* as in the default of lanes.max_running */

static enum status limits_find(struct connection *db, const char *owner, struct limits *ret_limits,
                               struct error *err)
{
    ROWS rows = {0};
    TRY(SQL(db, &rows, err, "SELECT running, queued FROM owner_limits WHERE owner = $1", V(owner)));
    *ret_limits = (struct limits){0};
    if (rows.n)
        *ret_limits = (struct limits){(int)row_int(&rows, 0, 0), (int)row_int(&rows, 0, 1)};
    return OK;
}

enum status limits_get(struct store *s, const char *owner, struct limits *ret_limits, struct error *err)
{
    READER reader = {0};
    TRY(reader_take(s, &reader, err));
    return limits_find(reader.db, owner, ret_limits, err);
}

enum status limit_check(struct tx *tx, const char *owner, int n, struct error *err)
{
    struct limits limits;
    ROWS rows = {0};
    if (n <= 0)
        return OK;
    TRY(limits_find(tx->db, owner, &limits, err));
    if (!limits.queued)
        return OK;
    TRY(SQL(tx->db, &rows, err,
            "SELECT COUNT(*) FROM (SELECT 1 FROM jobs WHERE owner = $1 AND " IS_QUEUED " LIMIT $2) q",
            V(owner), V(limits.queued)));
    int64_t queued = row_int(&rows, 0, 0);
    if (queued + n <= limits.queued)
        return OK;
    return error_set(err, LIMITED, "%lld of at most %d jobs are queued: %d more would be too many",
                     (long long)queued, limits.queued, n);
}

struct setting {
    const char *owner;
    const struct limits *limits;
};

static enum status set(struct tx *tx, void *opaque, struct error *err)
{
    const struct setting *args = opaque;
    const struct limits *l = args->limits;
    ROWS rows = {0};
    TRY(SQL(tx->db, NULL, err,
            "INSERT INTO owner_limits(owner, running, queued) VALUES ($1, NULLIF($2, 0), NULLIF($3, 0))"
            " ON CONFLICT (owner) DO UPDATE SET running = excluded.running, queued = excluded.queued",
            V(args->owner), V(l->running), V(l->queued)));
    TRY(SQL(tx->db, &rows, err, "UPDATE lanes SET max_running = $1 WHERE owner = $2 RETURNING pool, head_job",
            V(l->running ? l->running : NO_LIMIT), V(args->owner)));
    for (int i = 0; i < rows.n; i++)
        if (!row_is_null(&rows, i, 1))
            tx_stir(tx, "pool", row_text(&rows, i, 0));
    return OK;
}

enum status limits_set(struct store *s, const char *owner, const struct limits *limits, struct error *err)
{
    if (limits->running < 0 || limits->running > NO_LIMIT || limits->queued < 0)
        return error_set(err, INVALID, "a limit is a number from 1, or 0 for none");
    return store_write_for(s, owner, set, &(struct setting){owner, limits}, err);
}
