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

/* A parameter or a column.  Text and bytes are lent. */
struct value {
    enum value_kind kind;
    int64_t integer;
    double real;
    const void *bytes; /* text is NUL-terminated in columns, size without the NUL */
    size_t size;
};

struct driver {
    const char *name; /* "sqlite" */

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

    enum status (*begin)(void *link, struct error *err);
    enum status (*commit)(void *link, struct error *err);
    void (*rollback)(void *link); /* also when nothing is open */

    /*
     * Waits for changes that other servers made, at most timeout_ms, and calls
     * stirred with each topic.  NULL: there are no other servers.
     */
    enum status (*wait)(void *link, int64_t timeout_ms, void (*stirred)(void *context, const char *topic),
                        void *context, struct error *err);
};

extern const struct driver driver_sqlite;

#endif
