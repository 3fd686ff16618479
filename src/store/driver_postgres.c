/*
 * driver_postgres.c - PostgreSQL through libpq.
 *
 * Links are in pipeline mode.  A statement is sent; its answer is read when
 * somebody needs it.  Commands are answered in order, so `unread` counts
 * what has been sent and not been read.  After a failure the server skips
 * everything up to the next sync, which is sent with the commit, the rollback
 * and, outside transactions, each statement:
 *
 *   idle --begin--> open --run, step--> open --commit, rollback (sync)--> idle
 */
#include <libpq-fe.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "store/postgres_values.h"

/* Answers are small; so many of them fit the socket's buffers, and the server never waits for us to read. */
#define UNREAD_MAX 64

#define PARAMETERS_MAX 32

/* The server ends a statement after a minute; when it does not, it is gone. */
#define STATEMENT_TIMEOUT "60s"
#define ANSWER_MS         75000

struct postgres_link {
    PGconn *db;
    bool open;    /* in a transaction */
    bool patient; /* the schema is changing: no statement takes too long */
    bool read_only;
    int unread;
    unsigned read; /* answers so far */
    struct {
        const char *text;
        bool wanted;               /* by receive */
    } sent[2 * UNREAD_MAX];        /* the unread ones, as a ring that begins at read */
    PGresult *wanted[ANSWERS_MAX]; /* read and not received, as a ring; NULL: failed */
    unsigned received;
    int n_wanted;
    bool failed; /* skipping up to the next sync, because of: */
    struct error failure;
    enum trouble trouble;
    unsigned names; /* of statements, so far */
};

struct postgres_statement {
    const char *sql;
    char name[16];
    int n;
    bool prepared, sent;
    Oid types[PARAMETERS_MAX];
    struct postgres_parameter parameters[PARAMETERS_MAX];
    PGresult *result; /* of the latest execution, while rows are left */
    int row;
};

/* -- failures -- */

static const struct {
    const char *sqlstate; /* or the class, its first two letters */
    enum status status;
    enum trouble trouble;
} meanings[] = {
    {"53100", NO_SPACE, TROUBLE_NONE},     {"40001", UNAVAILABLE, TROUBLE_AGAIN},
    {"40P01", UNAVAILABLE, TROUBLE_AGAIN}, {"55P03", UNAVAILABLE, TROUBLE_AGAIN},
    {"57014", UNAVAILABLE, TROUBLE_NONE},  {"57", UNAVAILABLE, TROUBLE_LOST},
    {"08", UNAVAILABLE, TROUBLE_LOST},     {"53", UNAVAILABLE, TROUBLE_NONE},
    {"25P03", UNAVAILABLE, TROUBLE_LOST},  {"25006", UNAVAILABLE, TROUBLE_LOST},
};

static enum status lost(struct postgres_link *link, struct error *err)
{
    link->trouble = TROUBLE_LOST;
    return error_set(err, UNAVAILABLE, "the connection to the database was lost");
}

static enum status fail(struct postgres_link *link, const PGresult *result, const char *what,
                        struct error *err)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (!sqlstate)
        return lost(link, err);
    enum status status = FAILED;
    link->trouble = TROUBLE_NONE;
    for (size_t i = 0; i < ARRAY_SIZE(meanings); i++) {
        if (strncmp(sqlstate, meanings[i].sqlstate, strlen(meanings[i].sqlstate)) != 0)
            continue;
        status = meanings[i].status;
        link->trouble = meanings[i].trouble;
        break;
    }
    return error_set(err, status, "database: cannot %s: %s", what, message ? message : sqlstate);
}

static enum trouble postgres_trouble(void *opaque)
{
    const struct postgres_link *link = opaque;
    return PQstatus(link->db) == CONNECTION_BAD ? TROUBLE_LOST : link->trouble;
}

/* -- answers -- */

/* Until PQgetResult does not wait; false when the server has gone, or does not answer. */
static bool wait_for_answer(struct postgres_link *link)
{
    while (PQisBusy(link->db)) {
        struct pollfd wait = {.fd = PQsocket(link->db), .events = POLLIN};
        if (poll(&wait, 1, link->patient ? -1 : ANSWER_MS) == 0 || !PQconsumeInput(link->db))
            return false;
    }
    return true;
}

static void result_clearp(PGresult **result)
{
    PQclear(*result);
}

static void count_sent(struct postgres_link *link, const char *what, bool wanted)
{
    size_t i = (link->read + (unsigned)link->unread++) % ARRAY_SIZE(link->sent);
    link->sent[i].text = what;
    link->sent[i].wanted = wanted;
}

static void keep_wanted(struct postgres_link *link, PGresult *result)
{
    link->wanted[(link->received + (unsigned)link->n_wanted++) % ARRAY_SIZE(link->wanted)] = result;
}

static PGresult *take_wanted(struct postgres_link *link)
{
    link->n_wanted--;
    return link->wanted[link->received++ % ARRAY_SIZE(link->wanted)];
}

static enum status the_failure(const struct postgres_link *link, struct error *err)
{
    if (err)
        *err = link->failure;
    return link->failure.status;
}

/* The next command's answer.  A failure is kept until the next sync. */
static enum status read_answer(struct postgres_link *link, PGresult **ret_result, struct error *err)
{
    CLEANUP(result_clearp) PGresult *result = NULL;
    if (!wait_for_answer(link) || !(result = PQgetResult(link->db)))
        return lost(link, err);
    size_t i = link->read++ % ARRAY_SIZE(link->sent);
    const char *what = link->sent[i].text;
    bool wanted = link->sent[i].wanted;
    link->unread--;
    for (PGresult *end; wait_for_answer(link) && (end = PQgetResult(link->db)); PQclear(end))
        ;
    switch (PQresultStatus(result)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
        if (wanted)
            keep_wanted(link, TAKE(result));
        else if (ret_result)
            *ret_result = TAKE(result);
        return OK;
    case PGRES_PIPELINE_ABORTED:
        if (link->failed)
            break;
        return lost(link, err);
    default:
        fail(link, result, what, &link->failure);
        link->failed = true;
    }
    if (wanted)
        keep_wanted(link, NULL);
    return the_failure(link, err);
}

/* What was sent before and not read; its failures are kept for later. */
static void read_unread(struct postgres_link *link, int but)
{
    while (link->unread > but && postgres_trouble(link) != TROUBLE_LOST)
        read_answer(link, NULL, NULL);
}

static enum status flush(struct postgres_link *link, struct error *err)
{
    if (!PQsendFlushRequest(link->db) || PQflush(link->db) < 0)
        return lost(link, err);
    return OK;
}

/* After PQpipelineSync: everything up to it. */
static enum status read_sync(struct postgres_link *link, struct error *err)
{
    read_unread(link, 0);
    if (postgres_trouble(link) == TROUBLE_LOST || !wait_for_answer(link))
        return lost(link, err);
    CLEANUP(result_clearp) PGresult *result = PQgetResult(link->db);
    if (PQresultStatus(result) != PGRES_PIPELINE_SYNC)
        return lost(link, err);
    return OK;
}

/* The answer of the command just sent; outside a transaction it ends with a sync. */
static enum status answer_of_last(struct postgres_link *link, PGresult **ret_result, struct error *err)
{
    CLEANUP(result_clearp) PGresult *result = NULL;
    if (link->open)
        TRY(flush(link, err));
    else if (!PQpipelineSync(link->db))
        return lost(link, err);
    read_unread(link, 1);
    enum status status = read_answer(link, &result, err);
    if (!link->open) {
        enum status synced = read_sync(link, status == OK ? err : NULL);
        link->failed = false;
        status = status == OK ? synced : status;
    }
    if (status == OK)
        *ret_result = TAKE(result);
    return status;
}

/* A command without parameters or rows, answered later. */
static enum status send_text(struct postgres_link *link, const char *sql, struct error *err)
{
    if (!PQsendQueryParams(link->db, sql, 0, NULL, NULL, NULL, NULL, 1))
        return lost(link, err);
    count_sent(link, sql, false);
    return OK;
}

/* -- links -- */

static void ignore_notice(void *context, const PGresult *result)
{
    (void)context, (void)result;
}

static void drop_wanted(struct postgres_link *link)
{
    while (link->n_wanted)
        PQclear(take_wanted(link));
}

static void postgres_disconnect(void *opaque)
{
    struct postgres_link *link = opaque;
    drop_wanted(link);
    PQfinish(link->db);
    free(link);
}

static void link_closep(struct postgres_link **link)
{
    if (*link)
        postgres_disconnect(*link);
}

static void conninfo_freep(PQconninfoOption **options)
{
    PQconninfoFree(*options);
}

/* Several statements before pipeline mode, one row of the last one's answer. */
static enum status run_setup(struct postgres_link *link, const char *sql, PGresult **ret_result,
                             struct error *err)
{
    CLEANUP(result_clearp) PGresult *result = PQexec(link->db, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        return fail(link, result, "prepare the connection", err);
    if (ret_result)
        *ret_result = TAKE(result);
    return OK;
}

/*
 * The planner is told to use indexes: it takes small tables for small after
 * a thousand dead versions of their rows, too.  A server that was told to
 * lose acknowledged commits is told otherwise.
 */
#define SETUP                                                                                                \
    "SET client_min_messages = error; SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off;" \
    "SET plan_cache_mode = force_generic_plan; SET statement_timeout = '" STATEMENT_TIMEOUT "';"             \
    "SET lock_timeout = '20s'; SET idle_in_transaction_session_timeout = '30s';"                             \
    "SELECT set_config('synchronous_commit', 'on', false)"                                                   \
    " WHERE current_setting('synchronous_commit') = 'off';"
#define SETUP_READER                                                                                         \
    SETUP "SET default_transaction_read_only = on; SET default_transaction_isolation = 'repeatable read'"

/* Ids and names are compared byte by byte. */
static enum status check_database(struct postgres_link *link, struct error *err)
{
    CLEANUP(result_clearp) PGresult *result = NULL;
    TRY(run_setup(link,
                  "SELECT datcollate, pg_encoding_to_char(encoding) FROM pg_database"
                  " WHERE datname = current_database()",
                  &result, err));
    const char *collate = PQgetvalue(result, 0, 0), *encoding = PQgetvalue(result, 0, 1);
    bool by_bytes = !strcmp(collate, "C") || !strcmp(collate, "POSIX") || !strncmp(collate, "C.", 2);
    if (by_bytes && !strcmp(encoding, "UTF8"))
        return OK;
    return error_set(err, UNSUPPORTED,
                     "the database '%s' has locale %s and encoding %s, not C and UTF8: make it with"
                     " createdb --template=template0 --locale=C --encoding=UTF8",
                     PQdb(link->db), collate, encoding);
}

/* The URL's own settings come after ours and win.  It may hold a password: it is in no message. */
static enum status open_connection(struct postgres_link *link, const char *where, struct error *err)
{
    static const char *const usual[][2] = {
        {"connect_timeout", "5"},      {"application_name", "et"},   {"client_encoding", "UTF8"},
        {"keepalives_idle", "10"},     {"keepalives_interval", "5"}, {"keepalives_count", "3"},
        {"tcp_user_timeout", "30000"},
    };
    CLEANUP(conninfo_freep) PQconninfoOption *given = PQconninfoParse(where, NULL);
    if (!given)
        return error_set(err, INVALID,
                         "the URL of the database is not postgres://[USER[:PASSWORD]@][HOST][:PORT]/NAME"
                         "[?SETTING=VALUE&...]");
    const char *names[64] = {NULL}, *values[64] = {NULL};
    size_t n = 0;
    for (; n < ARRAY_SIZE(usual); n++)
        names[n] = usual[n][0], values[n] = usual[n][1];
    for (const PQconninfoOption *o = given; o->keyword && n + 1 < ARRAY_SIZE(names); o++)
        if (o->val)
            names[n] = o->keyword, values[n++] = o->val;
    link->db = PQconnectdbParams(names, values, 0);
    if (PQstatus(link->db) == CONNECTION_OK)
        return OK;
    CLEANUP(freep) char *message = xstrdup(PQerrorMessage(link->db));
    message[strcspn(message, "\n")] = '\0';
    return error_set(err, UNAVAILABLE, "cannot reach the database: %s", message);
}

static enum status postgres_connect(const struct driver *self, const char *where, bool read_only,
                                    void **ret_link, struct error *err)
{
    (void)self;
    CLEANUP(link_closep) struct postgres_link *link = xcalloc(1, sizeof(*link));
    link->read_only = read_only;
    TRY(open_connection(link, where, err));
    PQsetNoticeReceiver(link->db, ignore_notice, NULL);
    TRY(run_setup(link, read_only ? SETUP_READER : SETUP, NULL, err));
    if (!read_only)
        TRY(check_database(link, err));
    if (!PQenterPipelineMode(link->db))
        return lost(link, err);
    *ret_link = TAKE(link);
    return OK;
}

/* -- statements -- */

/* Parameters are $1, $2... by first appearance, as SQLite counts them.  -1: they are not. */
static int count_parameters(const char *sql)
{
    int n = 0;
    bool quoted = false;
    for (const char *s = sql; *s; s++) {
        if (*s == '\'')
            quoted = !quoted;
        if (*s != '$' || quoted)
            continue;
        long number = strtol(s + 1, NULL, 10);
        if (number < 1 || number > n + 1)
            return -1;
        n = MAX(n, (int)number);
    }
    return n;
}

static enum status postgres_prepare(void *opaque, const char *sql, void **ret_statement, struct error *err)
{
    struct postgres_link *link = opaque;
    int n = count_parameters(sql);
    if (n < 0 || n > PARAMETERS_MAX)
        return error_set(err, FAILED, "the parameters are not $1, $2... $%d in order in: %s", PARAMETERS_MAX,
                         sql);
    struct postgres_statement *s = xcalloc(1, sizeof(*s));
    *s = (struct postgres_statement){.sql = sql, .n = n};
    snprintf(s->name, sizeof(s->name), "s%u", link->names++);
    *ret_statement = s;
    return OK;
}

static void postgres_reset(void *link, void *statement)
{
    (void)link;
    struct postgres_statement *s = statement;
    PQclear(s->result);
    s->result = NULL;
    s->sent = false;
    for (int i = 0; i < s->n; i++)
        postgres_parameter_release(&s->parameters[i]);
}

/* The server forgets it with the link. */
static void postgres_discard(void *link, void *statement)
{
    struct postgres_statement *s = statement;
    postgres_reset(link, s);
    free(s);
}

/* A NULL of any type leaves the type as it is: unknown to begin with, and then the server infers it. */
static void declare(struct postgres_link *link, struct postgres_statement *s, int i, enum value_kind kind)
{
    if (kind == VALUE_NULL || s->types[i] == postgres_type(kind))
        return;
    s->types[i] = postgres_type(kind);
    if (s->prepared)
        snprintf(s->name, sizeof(s->name), "s%u", link->names++);
    s->prepared = false;
}

static enum status postgres_bind(void *opaque, void *statement, const struct value *values, int n,
                                 struct error *err)
{
    struct postgres_link *link = opaque;
    struct postgres_statement *s = statement;
    if (n != s->n)
        return error_set(err, FAILED, "%d values given for %d in: %s", n, s->n, s->sql);
    for (int i = 0; i < n; i++) {
        if (values[i].size > INT32_MAX / 4)
            return error_set(err, TOO_LARGE, "a value of %zu bytes is too large for the database",
                             values[i].size);
        declare(link, s, i, values[i].kind);
        postgres_encode(&values[i], &s->parameters[i]);
    }
    return OK;
}

/* Types are known by the first values, so the server is told only then; once, so it may be waited for. */
static enum status prepare_on_server(struct postgres_link *link, struct postgres_statement *s,
                                     struct error *err)
{
    CLEANUP(result_clearp) PGresult *result = NULL;
    if (!PQsendPrepare(link->db, s->name, s->sql, s->n, s->types))
        return lost(link, err);
    count_sent(link, s->sql, false);
    TRY(answer_of_last(link, &result, err));
    s->prepared = true;
    return OK;
}

static enum status send_statement(struct postgres_link *link, struct postgres_statement *s, bool wanted,
                                  struct error *err)
{
    if (link->failed)
        return the_failure(link, err);
    if (!s->prepared)
        TRY(prepare_on_server(link, s, err));
    const char *bytes[PARAMETERS_MAX];
    int sizes[PARAMETERS_MAX], formats[PARAMETERS_MAX];
    for (int i = 0; i < s->n; i++) {
        bytes[i] = s->parameters[i].bytes;
        sizes[i] = s->parameters[i].size;
        formats[i] = 1;
    }
    if (!PQsendQueryPrepared(link->db, s->name, s->n, bytes, sizes, formats, 1))
        return lost(link, err);
    count_sent(link, s->sql, wanted);
    s->sent = true;
    return OK;
}

static enum status postgres_step(void *opaque, void *statement, bool *ret_row, struct error *err)
{
    struct postgres_link *link = opaque;
    struct postgres_statement *s = statement;
    if (!s->sent) {
        TRY(send_statement(link, s, false, err));
        TRY(answer_of_last(link, &s->result, err));
        s->row = -1;
    }
    *ret_row = ++s->row < PQntuples(s->result);
    return OK;
}

/* What has been sent so far; the first failure of it. */
static enum status read_all(struct postgres_link *link, struct error *err)
{
    TRY(flush(link, err));
    read_unread(link, 0);
    if (postgres_trouble(link) == TROUBLE_LOST)
        return lost(link, err);
    return link->failed ? the_failure(link, err) : OK;
}

static enum status postgres_run(void *opaque, void *statement, struct error *err)
{
    struct postgres_link *link = opaque;
    struct postgres_statement *s = statement;
    TRY(send_statement(link, s, false, err));
    if (!link->open)
        return answer_of_last(link, &s->result, err);
    return link->unread < UNREAD_MAX ? OK : read_all(link, err);
}

static enum status postgres_send(void *opaque, void *statement, struct error *err)
{
    struct postgres_link *link = opaque;
    TRY(send_statement(link, statement, true, err));
    return link->unread < UNREAD_MAX ? OK : read_all(link, err);
}

static enum status postgres_receive(void *opaque, void *statement, struct error *err)
{
    struct postgres_link *link = opaque;
    struct postgres_statement *s = statement;
    if (!link->n_wanted)
        TRY(read_all(link, err));
    s->result = take_wanted(link);
    if (!s->result)
        return the_failure(link, err);
    s->sent = true;
    s->row = -1;
    return OK;
}

static int postgres_columns(void *statement)
{
    return PQnfields(((struct postgres_statement *)statement)->result);
}

static void postgres_column(void *statement, int i, struct value *ret_value)
{
    const struct postgres_statement *s = statement;
    if (PQgetisnull(s->result, s->row, i))
        *ret_value = (struct value){.kind = VALUE_NULL};
    else
        postgres_decode(PQftype(s->result, i), PQgetvalue(s->result, s->row, i),
                        (size_t)PQgetlength(s->result, s->row, i), ret_value);
}

/* -- transactions -- */

static enum status postgres_begin(void *opaque, struct error *err)
{
    struct postgres_link *link = opaque;
    link->trouble = TROUBLE_NONE;
    link->failed = false;
    link->open = true;
    drop_wanted(link);
    return send_text(link, "BEGIN", err);
}

static enum status postgres_commit(void *opaque, struct error *err)
{
    struct postgres_link *link = opaque;
    TRY(send_text(link, "COMMIT", err));
    if (!PQpipelineSync(link->db))
        return lost(link, err);
    TRY(read_sync(link, err));
    if (link->failed)
        return the_failure(link, err);
    link->open = link->patient = false;
    return OK;
}

/* What the transaction has sent ends with one sync, and the rollback with another. */
static void postgres_rollback(void *opaque)
{
    struct postgres_link *link = opaque;
    if (!link->open)
        return;
    link->open = link->patient = false;
    if (postgres_trouble(link) == TROUBLE_LOST)
        return;
    enum trouble trouble = link->trouble;
    if (!PQpipelineSync(link->db) || read_sync(link, NULL) != OK)
        return;
    link->failed = false;
    if (PQtransactionStatus(link->db) != PQTRANS_IDLE &&
        (send_text(link, "ROLLBACK", NULL) != OK || !PQpipelineSync(link->db) || read_sync(link, NULL) != OK))
        return;
    link->trouble = trouble;
}

static enum status postgres_lock_schema(void *opaque, struct error *err)
{
    struct postgres_link *link = opaque;
    link->patient = true;
    TRY(send_text(link, "SET LOCAL statement_timeout = 0", err));
    TRY(send_text(link, "SET LOCAL lock_timeout = 0", err));
    return send_text(link, "SELECT pg_advisory_xact_lock(hashtext('et.schema'))", err);
}

/* -- other servers -- */

static enum status postgres_wait(void *opaque, int64_t timeout_ms, int wake_fd,
                                 void (*heard)(void *context, const char *payload), void *context,
                                 struct error *err)
{
    struct postgres_link *link = opaque;
    /* Some may have come with an answer. */
    PGnotify *n = PQnotifies(link->db);
    struct pollfd wait[] = {{.fd = PQsocket(link->db), .events = POLLIN}, {.fd = wake_fd, .events = POLLIN}};
    if (!n && poll(wait, ARRAY_SIZE(wait), (int)timeout_ms) > 0 && wait[0].revents &&
        !PQconsumeInput(link->db))
        return lost(link, err);
    for (n = n ? n : PQnotifies(link->db); n; n = PQnotifies(link->db)) {
        heard(context, n->extra);
        PQfreemem(n);
    }
    return OK;
}

/* Rows that are rewritten all the time: room beside them, and swept by count of dead versions. */
static const char *const storage[] = {
    "ALTER TABLE owners SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0,"
    " autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0)",
    "ALTER TABLE lanes SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0,"
    " autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0)",
    "ALTER TABLE jobs SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0,"
    " autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0)",
    "ALTER TABLE documents SET (autovacuum_vacuum_scale_factor = 0.02)",
    NULL,
};

const struct driver driver_postgres = {
    .name = "postgres",
    .locks_rows = true,
    .storage = storage,
    .connect = postgres_connect,
    .disconnect = postgres_disconnect,
    .prepare = postgres_prepare,
    .discard = postgres_discard,
    .bind = postgres_bind,
    .step = postgres_step,
    .columns = postgres_columns,
    .column = postgres_column,
    .reset = postgres_reset,
    .run = postgres_run,
    .send = postgres_send,
    .receive = postgres_receive,
    .begin = postgres_begin,
    .commit = postgres_commit,
    .rollback = postgres_rollback,
    .trouble = postgres_trouble,
    .lock_schema = postgres_lock_schema,
    .wait = postgres_wait,
};
