#include "store/schema.h"

#include <stdio.h>

/*
 * jobs: unfinished ones only (state 0 waiting, 1 ready, 2 leased).  attempt
 * fences and always grows; counted is what goes against max_attempts.
 * lanes: per pool and owner, `running` and a copy of the best ready job.
 * metrics: ord is the position of the latest write; special 1 NaN, 2 +Inf, 3 -Inf.
 * logs: base is where an attempt's stream begins in all attempts' bytes.
 * trash: deleted documents whose metrics and log are still to go.
 * blobs: state 0 live, 1 deleting.
 *
 * Step 2, watching: metrics.ord and progress.ord count per owner from
 * owners.told, so that one number says how much of all of an owner's jobs a
 * watcher has seen.  locals: replicators' notes to themselves, per user.
 *
 * Keeping: deliveries: state 0 pending, 1 delivered, 2 failed; seq orders a hook's, next is when (outbox.c).
 * to_pack: ended jobs whose log and metrics are to move into blobs; packed 1: their rows are still to go.
 * owner_limits: NULL is the server's usual.  leaving: owners of whom everything goes.
 */
static const char *const step_1[] = {
    "CREATE TABLE owners (owner TEXT PRIMARY KEY, seq BIGINT NOT NULL DEFAULT 0)",
    "CREATE TABLE documents (id TEXT PRIMARY KEY, owner TEXT NOT NULL, type TEXT NOT NULL, rev BIGINT NOT"
    " NULL, seq BIGINT NOT NULL, state SMALLINT NOT NULL, created BIGINT NOT NULL, updated BIGINT NOT NULL,"
    " body TEXT NOT NULL)",
    "CREATE UNIQUE INDEX documents_feed ON documents(owner, seq)",
    "CREATE INDEX documents_list ON documents(owner, type, id)",
    "CREATE TABLE doc_refs (doc TEXT NOT NULL, needs TEXT NOT NULL, PRIMARY KEY (needs, doc))",
    "CREATE INDEX doc_refs_doc ON doc_refs(doc)",

    "CREATE TABLE jobs (id TEXT PRIMARY KEY, owner TEXT NOT NULL, pool TEXT NOT NULL, state SMALLINT NOT"
    " NULL, priority INTEGER NOT NULL, waits INTEGER NOT NULL, not_before BIGINT NOT NULL, attempt INTEGER"
    " NOT NULL, counted INTEGER NOT NULL, max_attempts INTEGER NOT NULL, kind TEXT NOT NULL, spec TEXT NOT"
    " NULL, worker TEXT, request TEXT, leased BIGINT, expires BIGINT, lease_ms BIGINT, cancel SMALLINT NOT"
    " NULL DEFAULT 0, cancelled_by TEXT)",
    "CREATE INDEX jobs_ready ON jobs(pool, owner, priority DESC, id) WHERE state = 1",
    "CREATE INDEX jobs_due ON jobs(not_before) WHERE state = 0 AND waits = 0",
    "CREATE INDEX jobs_lapse ON jobs(expires) WHERE state = 2",
    "CREATE INDEX jobs_request ON jobs(request, worker) WHERE state = 2",
    "CREATE TABLE lanes (pool TEXT NOT NULL, owner TEXT NOT NULL, running INTEGER NOT NULL DEFAULT 0,"
    " max_running INTEGER NOT NULL DEFAULT 1000000, head_priority INTEGER, head_job TEXT,"
    " PRIMARY KEY (pool, owner))",
    "CREATE INDEX lanes_next ON lanes(pool, running, head_priority DESC, head_job)"
    " WHERE head_job IS NOT NULL AND running < max_running",
    "CREATE TABLE deps (job TEXT NOT NULL, needs TEXT NOT NULL, PRIMARY KEY (needs, job))",
    "CREATE INDEX deps_job ON deps(job)",
    "CREATE TABLE attempts (job TEXT NOT NULL, attempt INTEGER NOT NULL, worker TEXT, started BIGINT,"
    " ended BIGINT, outcome SMALLINT NOT NULL, reason TEXT, PRIMARY KEY (job, attempt))",

    "CREATE TABLE metrics (job TEXT NOT NULL, name TEXT NOT NULL, step BIGINT NOT NULL, ord BIGINT NOT NULL,"
    " at BIGINT NOT NULL, value DOUBLE PRECISION NOT NULL, special SMALLINT NOT NULL DEFAULT 0,"
    " PRIMARY KEY (job, name, step))",
    "CREATE UNIQUE INDEX metrics_ord ON metrics(job, ord)",
    "CREATE TABLE progress (job TEXT PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE logs (job TEXT NOT NULL, stream SMALLINT NOT NULL, attempt INTEGER NOT NULL,"
    " base BIGINT NOT NULL, length BIGINT NOT NULL, PRIMARY KEY (job, stream, attempt))",
    "CREATE TABLE log_chunks (job TEXT NOT NULL, attempt INTEGER NOT NULL, stream SMALLINT NOT NULL,"
    " pos BIGINT NOT NULL, bytes BYTEA NOT NULL, PRIMARY KEY (job, attempt, stream, pos))",

    "CREATE TABLE trash (job TEXT PRIMARY KEY)",

    "CREATE TABLE blobs (hash TEXT PRIMARY KEY, size BIGINT NOT NULL, created BIGINT NOT NULL,"
    " state SMALLINT NOT NULL, touched_at BIGINT NOT NULL, location TEXT NOT NULL)",
    "CREATE INDEX blobs_touched ON blobs(touched_at)",
    "CREATE TABLE blob_refs (doc TEXT NOT NULL, name TEXT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (doc,"
    " name))",
    "CREATE INDEX blob_refs_hash ON blob_refs(hash)",

    "CREATE TABLE passwords (owner TEXT PRIMARY KEY, hash TEXT NOT NULL)",
    "CREATE TABLE tokens (id TEXT PRIMARY KEY, owner TEXT NOT NULL, scope SMALLINT NOT NULL, name TEXT NOT"
    " NULL, hash TEXT NOT NULL, created BIGINT NOT NULL, expires BIGINT NOT NULL)",
    "CREATE UNIQUE INDEX tokens_hash ON tokens(hash)",
    "CREATE INDEX tokens_owner ON tokens(owner, id)",
    "CREATE TABLE idempotency (owner TEXT NOT NULL, key TEXT NOT NULL, request TEXT NOT NULL,"
    " status INTEGER NOT NULL, body TEXT NOT NULL, created BIGINT NOT NULL, PRIMARY KEY (owner, key))",
    "CREATE INDEX idempotency_created ON idempotency(created)",
    NULL,
};

static const char *const step_2[] = {
    "ALTER TABLE owners ADD COLUMN told BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE metrics ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
    "UPDATE metrics SET owner = COALESCE((SELECT d.owner FROM documents d WHERE d.id = metrics.job), '')",
    "CREATE INDEX metrics_told ON metrics(owner, ord)",
    "ALTER TABLE progress ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE progress ADD COLUMN ord BIGINT NOT NULL DEFAULT 0",
    "UPDATE progress SET owner = COALESCE((SELECT d.owner FROM documents d WHERE d.id = progress.job), '')",
    "CREATE INDEX progress_told ON progress(owner, ord)",
    "UPDATE owners SET told = COALESCE((SELECT MAX(m.ord) FROM metrics m WHERE m.owner = owners.owner), 0)",

    "CREATE TABLE locals (owner TEXT NOT NULL, id TEXT NOT NULL, rev BIGINT NOT NULL, updated BIGINT NOT"
    " NULL, body TEXT NOT NULL, PRIMARY KEY (owner, id))",
    NULL,
};

static const char *const step_keeping[] = {
    "CREATE TABLE webhooks (id TEXT PRIMARY KEY, owner TEXT NOT NULL, url TEXT NOT NULL, events TEXT NOT NULL,"
    " secret TEXT NOT NULL, enabled SMALLINT NOT NULL, why_disabled TEXT NOT NULL, failing SMALLINT NOT NULL,"
    " seq BIGINT NOT NULL, created BIGINT NOT NULL)",
    "CREATE INDEX webhooks_owner ON webhooks(owner, id)",
    "CREATE TABLE deliveries (id TEXT PRIMARY KEY, hook TEXT NOT NULL, owner TEXT NOT NULL, seq BIGINT NOT"
    " NULL, event TEXT NOT NULL, body TEXT NOT NULL, state SMALLINT NOT NULL, attempts INTEGER NOT NULL,"
    " claimed SMALLINT NOT NULL, created BIGINT NOT NULL, tried BIGINT NOT NULL, next BIGINT, status INTEGER"
    " NOT NULL, answer TEXT NOT NULL, error TEXT NOT NULL)",
    "CREATE UNIQUE INDEX deliveries_hook ON deliveries(hook, seq)",
    "CREATE INDEX deliveries_pending ON deliveries(hook, seq) WHERE state = 0",
    "CREATE INDEX deliveries_due ON deliveries(next) WHERE next IS NOT NULL",
    "CREATE INDEX deliveries_owner ON deliveries(owner, created)",

    "CREATE TABLE to_pack (job TEXT PRIMARY KEY, at BIGINT NOT NULL, packed SMALLINT NOT NULL)",
    "CREATE INDEX to_pack_at ON to_pack(at)",
    "CREATE TABLE metric_packs (job TEXT PRIMARY KEY, hash TEXT NOT NULL, points BIGINT NOT NULL)",

    "CREATE INDEX documents_ended ON documents(owner, updated, id) WHERE state IN (4, 5, 6)",
    "CREATE TABLE owner_limits (owner TEXT PRIMARY KEY, keep_days INTEGER, bytes BIGINT)",
    "CREATE TABLE leaving (owner TEXT PRIMARY KEY, since BIGINT NOT NULL)",
    NULL,
};

/*
 * jobs.position orders an owner's jobs of one priority: milliseconds of making
 * times 65536, unless moved.  jobs.ends: when the server itself ends an
 * attempt that its worker should have ended.  deps.whatever: freed by any
 * end of the job needed, not by a good one only.
 * workers: those that asked for jobs.
 * arrays: `made` of `total` documents are there, each from the template and
 * an element of parameters.  members: the documents of an array or a schedule.
 * schedules: next NULL is never; last is its latest document.
 */
static const char *const step_queue[] = {
    "ALTER TABLE jobs ADD COLUMN position BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE jobs ADD COLUMN backoff_ms BIGINT NOT NULL DEFAULT 5000",
    "ALTER TABLE jobs ADD COLUMN retry_failed SMALLINT NOT NULL DEFAULT 0",
    "ALTER TABLE jobs ADD COLUMN max_ms BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE jobs ADD COLUMN ends BIGINT",
    "UPDATE jobs SET position = (SELECT d.created * 65536 FROM documents d WHERE d.id = jobs.id)",
    "DROP INDEX jobs_ready",
    "CREATE INDEX jobs_ready ON jobs(pool, owner, priority DESC, position, id) WHERE state = 1",
    "CREATE INDEX jobs_queued ON jobs(owner) WHERE state < 2",
    "CREATE INDEX jobs_ends ON jobs(ends) WHERE state = 2 AND ends IS NOT NULL",
    "ALTER TABLE lanes ADD COLUMN head_position BIGINT",
    "DROP INDEX lanes_next",
    "CREATE INDEX lanes_next ON lanes(pool, running, head_priority DESC, head_position, head_job)"
    " WHERE head_job IS NOT NULL AND running < max_running",
    "ALTER TABLE deps ADD COLUMN whatever SMALLINT NOT NULL DEFAULT 0",
    "ALTER TABLE attempts ADD COLUMN pool TEXT",
    "CREATE INDEX attempts_recent ON attempts(pool, ended) WHERE outcome = 1",

    "CREATE TABLE workers (name TEXT PRIMARY KEY, seen BIGINT NOT NULL, slots INTEGER NOT NULL,"
    " pools TEXT NOT NULL, drained SMALLINT NOT NULL DEFAULT 0)",
    "ALTER TABLE owner_limits ADD COLUMN running INTEGER",
    "ALTER TABLE owner_limits ADD COLUMN queued INTEGER",
    "CREATE TABLE arrays (id TEXT PRIMARY KEY, owner TEXT NOT NULL, template TEXT NOT NULL,"
    " parameters TEXT NOT NULL, total INTEGER NOT NULL, made INTEGER NOT NULL DEFAULT 0)",
    "CREATE INDEX arrays_unmade ON arrays(id) WHERE made < total",
    "CREATE TABLE members (parent TEXT NOT NULL, ord BIGINT NOT NULL, doc TEXT NOT NULL,"
    " PRIMARY KEY (parent, ord))",
    "CREATE TABLE schedules (id TEXT PRIMARY KEY, owner TEXT NOT NULL, template TEXT NOT NULL,"
    " next BIGINT, runs BIGINT NOT NULL DEFAULT 0, last TEXT)",
    "CREATE INDEX schedules_due ON schedules(next) WHERE next IS NOT NULL",
    NULL,
};

/* One index of what nobody holds, for an owner's limit and for the lane's best job, instead of one each. */
static const char *const step_queued[] = {
    "DROP INDEX jobs_ready",
    "DROP INDEX jobs_queued",
    "CREATE INDEX jobs_queued ON jobs(owner, pool, state, priority DESC, position, id) WHERE worker IS NULL",
    "DROP INDEX jobs_request",
    "CREATE INDEX jobs_request ON jobs(request, worker, id) WHERE state = 2",
    NULL,
};

/* One row a version: step i brings version i to i + 1.  Steps are never changed once released. */
static const char *const *const steps[] = {step_1, step_2, step_keeping, step_queue, step_queued};

static enum status run_step(struct connection *db, int step, struct error *err)
{
    for (const char *const *text = steps[step]; *text; text++)
        TRY(SQL(db, NULL, err, *text));
    char version[16];
    snprintf(version, sizeof(version), "%d", step + 1);
    return SQL(db, NULL, err,
               "INSERT INTO meta(key, value) VALUES ('schema', $1)"
               " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
               V(version));
}

static enum status migrate_open(struct connection *db, struct error *err)
{
    ROWS rows = {0};
    TRY(connection_lock_schema(db, err));
    TRY(SQL(db, NULL, err, "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)"));
    TRY(SQL(db, &rows, err, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'schema'"));
    int64_t version = rows.n ? row_int(&rows, 0, 0) : 0;
    if (version > (int64_t)ARRAY_SIZE(steps))
        return error_set(err, UNSUPPORTED,
                         "the database has schema %lld, a newer et wrote it; this one knows %zu",
                         (long long)version, ARRAY_SIZE(steps));
    bool is_old = version < (int64_t)ARRAY_SIZE(steps);
    for (; version < (int64_t)ARRAY_SIZE(steps); version++)
        TRY(run_step(db, (int)version, err));
    const char *const *storage = is_old ? connection_driver(db)->storage : NULL;
    for (; storage && *storage; storage++)
        TRY(SQL(db, NULL, err, *storage));
    return connection_commit(db, err);
}

enum status schema_migrate(struct connection *db, struct error *err)
{
    TRY(connection_begin(db, err));
    enum status status = migrate_open(db, err);
    if (status != OK)
        connection_rollback(db);
    return status;
}
