#include "store/sql.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define STATEMENTS_MAX 512 /* power of two, well above the number of statements in the room */

struct connection {
    const struct driver *driver;
    void *link;
    bool failed;
    struct {
        const char *text;
        void *statement;
    } statements[STATEMENTS_MAX];
};

struct rows_block {
    struct rows_block *next;
    size_t used, size;
    char bytes[];
};

enum status connection_open(const struct driver *driver, const char *where, bool read_only,
                            struct connection **ret_connection, struct error *err)
{
    CLEANUP(freep) struct connection *c = xcalloc(1, sizeof(*c));
    c->driver = driver;
    TRY(driver->connect(driver, where, read_only, &c->link, err));
    *ret_connection = TAKE(c);
    return OK;
}

void connection_free(struct connection *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < STATEMENTS_MAX; i++)
        if (c->statements[i].text)
            c->driver->discard(c->link, c->statements[i].statement);
    c->driver->disconnect(c->link);
    free(c);
}

enum status connection_begin(struct connection *c, struct error *err)
{
    c->failed = false;
    return c->driver->begin(c->link, err);
}

enum status connection_commit(struct connection *c, struct error *err)
{
    return c->driver->commit(c->link, err);
}

void connection_rollback(struct connection *c)
{
    c->driver->rollback(c->link);
}

bool connection_failed(const struct connection *c)
{
    return c->failed;
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
        return (struct value){.kind = VALUE_NULL};
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

enum status sql_run(struct connection *c, struct rows *rows, struct error *err, const char *text,
                    const struct value *values, int n)
{
    if (rows)
        rows_release(rows);
    void *statement = NULL;
    enum status status = find_statement(c, text, &statement, err);
    if (status == OK) {
        status = c->driver->bind(c->link, statement, values, n, err);
        if (status == OK)
            status = run_statement(c, rows, statement, err);
        c->driver->reset(c->link, statement);
    }
    if (status != OK)
        c->failed = true;
    return status;
}
