#include "store/sql.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define RETRY_FIRST_MS 50
#define RETRY_MAX_MS   1000

#define STATEMENTS_MAX 512 /* power of two, well above the number of statements in the room */

struct connection {
    const struct driver *driver;
    char *where;
    bool read_only;
    void *link; /* NULL: not connected, and not before retry_ms (monotonic) again */
    int64_t retry_ms, pause_ms;
    bool open, failed; /* in a transaction; which has failed */
    bool unsure;
    unsigned long writes;
    enum trouble trouble; /* of the last failure */
    struct {
        const char *text;
        void *statement;
    } statements[STATEMENTS_MAX];
    struct {
        void *statement;
        struct rows *rows;
    } sent[ANSWERS_MAX]; /* and not settled */
    int n_sent;
};

struct rows_block {
    struct rows_block *next;
    size_t used, size;
    char bytes[];
};

static void disconnect(struct connection *c)
{
    if (!c->link)
        return;
    for (size_t i = 0; i < STATEMENTS_MAX; i++)
        if (c->statements[i].text)
            c->driver->discard(c->link, c->statements[i].statement);
    memset(c->statements, 0, sizeof(c->statements));
    c->driver->disconnect(c->link);
    c->link = NULL;
}

static enum trouble trouble_of(const struct connection *c)
{
    if (!c->link)
        return TROUBLE_LOST;
    return c->driver->trouble ? c->driver->trouble(c->link) : TROUBLE_NONE;
}

static enum status connect_now(struct connection *c, struct error *err)
{
    enum status status = c->driver->connect(c->driver, c->where, c->read_only, &c->link, err);
    if (status == OK) {
        c->pause_ms = 0;
        return OK;
    }
    c->link = NULL;
    c->pause_ms = c->pause_ms ? MIN(2 * c->pause_ms, RETRY_MAX_MS) : RETRY_FIRST_MS;
    c->retry_ms = clock_monotonic_ms() + c->pause_ms;
    return status;
}

static enum status connect_again(struct connection *c, struct error *err)
{
    if (trouble_of(c) != TROUBLE_LOST)
        return OK;
    disconnect(c);
    if (clock_monotonic_ms() < c->retry_ms)
        return error_set(err, UNAVAILABLE, "the database cannot be reached");
    return connect_now(c, err);
}

enum status connection_open(const struct driver *driver, const char *where, bool read_only,
                            struct connection **ret_connection, struct error *err)
{
    struct connection *c = xcalloc(1, sizeof(*c));
    c->driver = driver;
    c->where = xstrdup(where);
    c->read_only = read_only;
    enum status status = connect_now(c, err);
    if (status == OK)
        *ret_connection = c;
    else
        connection_free(c);
    return status;
}

void connection_free(struct connection *c)
{
    if (!c)
        return;
    disconnect(c);
    free(c->where);
    free(c);
}

enum status connection_begin(struct connection *c, struct error *err)
{
    c->failed = c->unsure = false;
    c->trouble = TROUBLE_NONE;
    c->n_sent = 0;
    enum status status = connect_again(c, err);
    if (status == OK)
        status = c->driver->begin(c->link, err);
    c->open = status == OK;
    if (status != OK)
        c->trouble = trouble_of(c);
    return status;
}

enum status connection_commit(struct connection *c, struct error *err)
{
    assert(!c->n_sent);
    enum status status = c->driver->commit(c->link, err);
    if (status == OK) {
        c->open = false;
        return OK;
    }
    c->trouble = trouble_of(c);
    c->unsure = c->trouble == TROUBLE_LOST;
    return status;
}

void connection_rollback(struct connection *c)
{
    c->open = false;
    if (c->link)
        c->driver->rollback(c->link);
}

bool connection_failed(const struct connection *c)
{
    return c->failed;
}

unsigned long connection_writes(const struct connection *c)
{
    return c->writes;
}

bool connection_may_repeat(const struct connection *c)
{
    return c->trouble != TROUBLE_NONE && !c->unsure;
}

bool connection_is_unsure(const struct connection *c)
{
    return c->unsure;
}

enum status connection_lock_schema(struct connection *c, struct error *err)
{
    return c->driver->lock_schema ? c->driver->lock_schema(c->link, err) : OK;
}

const struct driver *connection_driver(const struct connection *c)
{
    return c->driver;
}

enum status connection_wait(struct connection *c, int64_t timeout_ms, int wake_fd,
                            void (*heard)(void *context, const char *payload), void *context,
                            struct error *err)
{
    return c->driver->wait(c->link, timeout_ms, wake_fd, heard, context, err);
}

void rows_release(struct rows *r)
{
    while (r->blocks) {
        struct rows_block *next = r->blocks->next;
        free(r->blocks);
        r->blocks = next;
    }
    free(r->values);
    *r = (struct rows){0};
}

static const void *rows_keep(struct rows *r, const void *bytes, size_t size)
{
    struct rows_block *block = r->blocks;
    if (!block || block->size - block->used < size + 1) {
        size_t room = MAX(size + 1, (size_t)1000);
        block = xmalloc(sizeof(*block) + room);
        *block = (struct rows_block){.next = r->blocks, .size = room};
        r->blocks = block;
    }
    char *copy = block->bytes + block->used;
    if (size)
        memcpy(copy, bytes, size);
    copy[size] = '\0';
    block->used += size + 1;
    return copy;
}

static void rows_add(struct rows *r, const struct driver *driver, void *statement)
{
    size_t used = (size_t)r->n * (size_t)r->columns;
    if (used + (size_t)r->columns > r->allocated) {
        r->allocated = MAX(2 * r->allocated, (size_t)r->columns);
        r->values = xrealloc(r->values, r->allocated * sizeof(*r->values));
    }
    for (int i = 0; i < r->columns; i++) {
        struct value *v = &r->values[used + (size_t)i];
        driver->column(statement, i, v);
        if (v->kind == VALUE_TEXT || v->kind == VALUE_BYTES)
            v->bytes = rows_keep(r, v->bytes, v->size);
    }
    r->n++;
}

static const struct value *row_value(const struct rows *r, int row, int column)
{
    assert(row >= 0 && row < r->n && column >= 0 && column < r->columns);
    return &r->values[(size_t)row * (size_t)r->columns + (size_t)column];
}

int64_t row_int(const struct rows *r, int row, int column)
{
    const struct value *v = row_value(r, row, column);
    return v->kind == VALUE_REAL ? (int64_t)v->real : v->integer;
}

double row_real(const struct rows *r, int row, int column)
{
    const struct value *v = row_value(r, row, column);
    return v->kind == VALUE_REAL ? v->real : (double)v->integer;
}

const char *row_text(const struct rows *r, int row, int column)
{
    const struct value *v = row_value(r, row, column);
    return v->kind == VALUE_TEXT ? v->bytes : "";
}

const void *row_bytes(const struct rows *r, int row, int column, size_t *ret_size)
{
    const struct value *v = row_value(r, row, column);
    *ret_size = v->size;
    return v->bytes;
}

bool row_is_null(const struct rows *r, int row, int column)
{
    return row_value(r, row, column)->kind == VALUE_NULL;
}

struct value value_int(int64_t i)
{
    return (struct value){.kind = VALUE_INT, .integer = i};
}

struct value value_real(double d)
{
    return (struct value){.kind = VALUE_REAL, .real = d};
}

struct value value_text(const char *s)
{
    if (!s)
        return (struct value){.kind = VALUE_TEXT};
    return (struct value){.kind = VALUE_TEXT, .bytes = s, .size = strlen(s)};
}

struct value value_bytes(const void *bytes, size_t size)
{
    return (struct value){.kind = VALUE_BYTES, .bytes = bytes, .size = size};
}

static enum status find_statement(struct connection *c, const char *text, void **ret_statement,
                                  struct error *err)
{
    size_t i = ((uintptr_t)text * UINT64_C(0x9e3779b97f4a7c15)) >> 40;
    for (i &= STATEMENTS_MAX - 1; c->statements[i].text; i = (i + 1) & (STATEMENTS_MAX - 1)) {
        if (c->statements[i].text == text) {
            *ret_statement = c->statements[i].statement;
            return OK;
        }
    }
    TRY(c->driver->prepare(c->link, text, ret_statement, err));
    c->statements[i].text = text;
    c->statements[i].statement = *ret_statement;
    return OK;
}

static enum status keep_trouble(struct connection *c, enum status status)
{
    if (status != OK) {
        c->trouble = trouble_of(c);
        c->failed = true;
    }
    return status;
}

static enum status run_statement(struct connection *c, struct rows *rows, void *statement, struct error *err)
{
    for (;;) {
        bool is_row = false;
        TRY(c->driver->step(c->link, statement, &is_row, err));
        if (!is_row)
            return OK;
        if (!rows)
            continue;
        rows->columns = c->driver->columns(statement);
        rows_add(rows, c->driver, statement);
    }
}

static enum status run_once(struct connection *c, struct rows *rows, struct error *err, const char *text,
                            const struct value *values, int n)
{
    void *statement = NULL;
    if (!c->open)
        TRY(connect_again(c, err));
    TRY(find_statement(c, text, &statement, err));
    enum status status = c->driver->bind(c->link, statement, values, n, err);
    if (status == OK && !rows && c->driver->run)
        status = c->driver->run(c->link, statement, err);
    else if (status == OK)
        status = run_statement(c, rows, statement, err);
    c->driver->reset(c->link, statement);
    return status;
}

enum status sql_run(struct connection *c, struct rows *rows, struct error *err, const char *text,
                    const struct value *values, int n)
{
    if (rows)
        rows_release(rows);
    c->writes += strncmp(text, "SELECT", 6) != 0;
    enum status status = run_once(c, rows, err, text, values, n);
    if (status == OK)
        return OK;
    /* A reader that was lost while nobody used it has harmed nobody. */
    if (c->read_only && !c->open && c->link && trouble_of(c) == TROUBLE_LOST) {
        if (rows)
            rows_release(rows);
        status = run_once(c, rows, err, text, values, n);
    }
    return keep_trouble(c, status);
}

static enum status send_once(struct connection *c, struct rows *rows, struct error *err, const char *text,
                             const struct value *values, int n)
{
    void *statement = NULL;
    TRY(find_statement(c, text, &statement, err));
    enum status status = c->driver->bind(c->link, statement, values, n, err);
    if (status == OK)
        status = c->driver->send(c->link, statement, err);
    c->driver->reset(c->link, statement);
    if (status != OK)
        return status;
    c->sent[c->n_sent].statement = statement;
    c->sent[c->n_sent++].rows = rows;
    return OK;
}

enum status sql_send(struct connection *c, struct rows *rows, struct error *err, const char *text,
                     const struct value *values, int n)
{
    if (!c->driver->send)
        return sql_run(c, rows, err, text, values, n);
    assert(c->open);
    rows_release(rows);
    c->writes += strncmp(text, "SELECT", 6) != 0;
    if (c->n_sent == ANSWERS_MAX)
        TRY(sql_settle(c, err));
    return keep_trouble(c, send_once(c, rows, err, text, values, n));
}

enum status sql_settle(struct connection *c, struct error *err)
{
    enum status status = OK;
    for (int i = 0; i < c->n_sent && status == OK; i++) {
        void *statement = c->sent[i].statement;
        status = c->driver->receive(c->link, statement, err);
        if (status == OK)
            status = run_statement(c, c->sent[i].rows, statement, err);
        c->driver->reset(c->link, statement);
    }
    c->n_sent = 0;
    return keep_trouble(c, status);
}
