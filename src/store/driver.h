/*
 * driver.h - what a database has to do for us.
 *
 * All SQL is in the domain files, in the dialect that SQLite and PostgreSQL
 * share ($1.. for parameters); a driver connects, prepares, steps, and brackets transactions.
 * A link is one connection, used by one thread at a time.  Drivers write no
 * policy: caching of statements and gathering of rows is done in sql.c.
 */
#ifndef ET_DRIVER_H
#define ET_DRIVER_H

#include "base/base.h"

enum value_kind { VALUE_NULL, VALUE_INT, VALUE_REAL, VALUE_TEXT, VALUE_BYTES };

/*
 * A parameter or a column.  Text and bytes are lent.  A parameter of kind TEXT
 * without bytes is a text that is NULL; of kind NULL, one of any type.
 */
struct value {
    enum value_kind kind;
    int64_t integer;
    double real;
    const void *bytes; /* text is NUL-terminated in columns, size without the NUL */
    size_t size;
};

/* What a failed call says about the link. */
enum trouble {
    TROUBLE_NONE,  /* the same would fail again */
    TROUBLE_AGAIN, /* nothing was changed, and the same may work now: a deadlock, a lock waited for too long
                    */
    TROUBLE_LOST,  /* the link is dead: disconnect, and connect anew */
};

#define ANSWERS_MAX 64

struct driver {
    const char *name; /* "sqlite" */

    /*
     * Writers work at the same time, in this process and in others: what a
     * transaction has to find unchanged it locks (FOR UPDATE), owners first.
     * False: begin is the lock, and there is one writer.
     */
    bool locks_rows;
    const char *const *storage; /* statements to run after a change of the schema, up to NULL; or NULL */

    /* read_only: a reader, which sees what is committed and never waits for the writer. */
    enum status (*connect)(const struct driver *self, const char *where, bool read_only, void **ret_link,
                           struct error *err);
    void (*disconnect)(void *link);

    enum status (*prepare)(void *link, const char *sql, void **ret_statement, struct error *err);
    void (*discard)(void *link, void *statement);

    /* Starts a prepared statement with these parameters; then step until no row comes, or reset. */
    enum status (*bind)(void *link, void *statement, const struct value *values, int n, struct error *err);
    enum status (*step)(void *link, void *statement, bool *ret_row, struct error *err);
    int (*columns)(void *statement);
    void (*column)(void *statement, int index, struct value *ret_value); /* lent until the next step */
    void (*reset)(void *link, void *statement);

    /*
     * Instead of steps, for a statement whose rows nobody wants: within a
     * transaction it may be answered late, and then another call, at the
     * latest the commit, tells its failure.  NULL: step it.
     */
    enum status (*run)(void *link, void *statement, struct error *err);

    /*
     * Within a transaction, instead of the first step, for statements that are
     * asked at once and answered together: send after bind, and reset; later receive, in the order of
     * sending, then step.  At most ANSWERS_MAX are sent and not received.  NULL: step it.
     */
    enum status (*send)(void *link, void *statement, struct error *err);
    enum status (*receive)(void *link, void *statement, struct error *err);

    enum status (*begin)(void *link, struct error *err);
    enum status (*commit)(void *link, struct error *err);
    void (*rollback)(void *link); /* also when nothing is open */

    /* Of the last call that failed.  NULL: none. */
    enum trouble (*trouble)(void *link);
    /* In the transaction that changes the schema: one at a time, as long as it takes.  NULL: begin did it. */
    enum status (*lock_schema)(void *link, struct error *err);

    /*
     * Waits at most timeout_ms for what was sent to the channels that this
     * link listens to, and tells each payload; another thread's byte in wake_fd
     * ends it.  NULL: there are no other servers on this database.
     */
    enum status (*wait)(void *link, int64_t timeout_ms, int wake_fd,
                        void (*heard)(void *context, const char *payload), void *context, struct error *err);
};

extern const struct driver driver_sqlite;
extern const struct driver driver_postgres; /* where: a postgres:// URL, as libpq reads it */

#endif
