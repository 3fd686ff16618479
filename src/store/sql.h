/*
 * sql.h - running statements: parameters by type, rows gathered in memory.
 *
 *   ROWS rows = {0};
 *   TRY(SQL(db, &rows, err, "SELECT seq FROM owners WHERE owner = $1", V(owner)));
 *   if (rows.n) seq = row_int(&rows, 0, 0);
 *
 * A statement that has rows is run to its end before SQL returns.  Statements are
 * prepared once a connection, known by the address of their text: it must be
 * a literal.
 */
#ifndef ET_SQL_H
#define ET_SQL_H

#include "store/driver.h"

struct connection;

enum status connection_open(const struct driver *driver, const char *where, bool read_only,
                            struct connection **ret_connection, struct error *err);
void connection_free(struct connection *c); /* NULL is fine */

/*
 * A connection that was lost is made anew when it is needed next, with a
 * pause between attempts that doubles up to a second; UNAVAILABLE meanwhile.
 */
enum status connection_begin(struct connection *c, struct error *err);
enum status connection_commit(struct connection *c, struct error *err);
void connection_rollback(struct connection *c);
/* Has a statement failed since the last begin?  Then the transaction is to be rolled back. */
bool connection_failed(const struct connection *c);
/* Statements so far that were no SELECT. */
unsigned long connection_writes(const struct connection *c);
/* Of a transaction that failed: it surely changed nothing, and the same may work now. */
bool connection_may_repeat(const struct connection *c);
/* The connection was lost during the commit: it may have happened. */
bool connection_is_unsure(const struct connection *c);
/* In the transaction that changes the schema: one at a time. */
enum status connection_lock_schema(struct connection *c, struct error *err);
const struct driver *connection_driver(const struct connection *c);

/* As driver's: sends and listens. */
enum status connection_wait(struct connection *c, int64_t timeout_ms, int wake_fd,
                            void (*heard)(void *context, const char *payload), void *context,
                            struct error *err);

struct rows {
    int n, columns;
    struct value *values; /* n x columns */
    size_t allocated;
    struct rows_block *blocks;
};
void rows_release(struct rows *r);
#define ROWS CLEANUP(rows_release) struct rows

/* The column as a number, 0 for NULL; as text, "" for NULL, lent by the rows. */
int64_t row_int(const struct rows *r, int row, int column);
double row_real(const struct rows *r, int row, int column);
const char *row_text(const struct rows *r, int row, int column);
const void *row_bytes(const struct rows *r, int row, int column, size_t *ret_size);
bool row_is_null(const struct rows *r, int row, int column);

struct value value_int(int64_t i);
struct value value_real(double d);
struct value value_text(const char *s); /* NULL is NULL */
struct value value_bytes(const void *bytes, size_t size);

#define V(x)                                                                                                 \
    _Generic((x), char * : value_text, const char * : value_text, double : value_real, default : value_int)(x)

/* rows: emptied first; NULL when none are wanted: then a failure may be told only by a later call. */
enum status sql_run(struct connection *c, struct rows *rows, struct error *err, const char *text,
                    const struct value *values, int n);
#define SQL(c, rows, err, text, ...)                                                                         \
    sql_run((c), (rows), (err), (text), (const struct value[]){__VA_ARGS__},                                 \
            (int)(sizeof((const struct value[]){__VA_ARGS__}) / sizeof(struct value)))

/*
 * The same within a transaction, but the rows are there, at the latest, after
 * sql_settle: a server that is asked several things is waited for once.  Until
 * then the rows stay where they are.  A failure may be told only by sql_settle.
 */
enum status sql_send(struct connection *c, struct rows *rows, struct error *err, const char *text,
                     const struct value *values, int n);
#define SQL_SEND(c, rows, err, text, ...)                                                                    \
    sql_send((c), (rows), (err), (text), (const struct value[]){__VA_ARGS__},                                \
             (int)(sizeof((const struct value[]){__VA_ARGS__}) / sizeof(struct value)))
enum status sql_settle(struct connection *c, struct error *err);

#endif
