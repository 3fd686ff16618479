#include "store/driver_faulty.h"

#include <stdlib.h>

struct faulty_link {
    struct driver_faulty *f;
    void *inner;
};

static enum status count(struct driver_faulty *f, const char *what, struct error *err)
{
    long call = atomic_fetch_add(&f->calls, 1) + 1;
    if (call == atomic_load(&f->fail_at))
        return error_set(err, f->status, "call %ld of the database (%s) was made to fail", call, what);
    return OK;
}

static enum status faulty_connect(const struct driver *self, const char *where, bool read_only,
                                  void **ret_link, struct error *err)
{
    struct driver_faulty *f = (struct driver_faulty *)(uintptr_t)self;
    TRY(count(f, "connect", err));
    CLEANUP(freep) struct faulty_link *link = xcalloc(1, sizeof(*link));
    link->f = f;
    TRY(f->inner->connect(f->inner, where, read_only, &link->inner, err));
    *ret_link = TAKE(link);
    return OK;
}

static void faulty_disconnect(void *opaque)
{
    struct faulty_link *link = opaque;
    link->f->inner->disconnect(link->inner);
    free(link);
}

static enum status faulty_prepare(void *opaque, const char *sql, void **ret_statement, struct error *err)
{
    struct faulty_link *link = opaque;
    TRY(count(link->f, "prepare", err));
    return link->f->inner->prepare(link->inner, sql, ret_statement, err);
}

static void faulty_discard(void *opaque, void *statement)
{
    struct faulty_link *link = opaque;
    link->f->inner->discard(link->inner, statement);
}

static enum status faulty_bind(void *opaque, void *statement, const struct value *values, int n,
                               struct error *err)
{
    struct faulty_link *link = opaque;
    TRY(count(link->f, "bind", err));
    return link->f->inner->bind(link->inner, statement, values, n, err);
}

static enum status faulty_step(void *opaque, void *statement, bool *ret_row, struct error *err)
{
    struct faulty_link *link = opaque;
    TRY(count(link->f, "step", err));
    return link->f->inner->step(link->inner, statement, ret_row, err);
}

static enum status faulty_run(void *opaque, void *statement, struct error *err)
{
    struct faulty_link *link = opaque;
    TRY(count(link->f, "run", err));
    return link->f->inner->run(link->inner, statement, err);
}

static enum status faulty_send(void *opaque, void *statement, struct error *err)
{
    struct faulty_link *link = opaque;
    TRY(count(link->f, "send", err));
    return link->f->inner->send(link->inner, statement, err);
}

static enum status faulty_receive(void *opaque, void *statement, struct error *err)
{
    struct faulty_link *link = opaque;
    TRY(count(link->f, "receive", err));
    return link->f->inner->receive(link->inner, statement, err);
}

static enum trouble faulty_trouble(void *opaque)
{
    struct faulty_link *link = opaque;
    return link->f->inner->trouble(link->inner);
}

static enum status faulty_lock_schema(void *opaque, struct error *err)
{
    struct faulty_link *link = opaque;
    TRY(count(link->f, "lock_schema", err));
    return link->f->inner->lock_schema(link->inner, err);
}

static enum status faulty_wait(void *opaque, int64_t timeout_ms, int wake_fd,
                               void (*heard)(void *context, const char *payload), void *context,
                               struct error *err)
{
    struct faulty_link *link = opaque;
    return link->f->inner->wait(link->inner, timeout_ms, wake_fd, heard, context, err);
}

static void faulty_reset(void *opaque, void *statement)
{
    struct faulty_link *link = opaque;
    link->f->inner->reset(link->inner, statement);
}

static enum status faulty_begin(void *opaque, struct error *err)
{
    struct faulty_link *link = opaque;
    TRY(count(link->f, "begin", err));
    return link->f->inner->begin(link->inner, err);
}

static enum status faulty_commit(void *opaque, struct error *err)
{
    struct faulty_link *link = opaque;
    TRY(count(link->f, "commit", err));
    return link->f->inner->commit(link->inner, err);
}

static void faulty_rollback(void *opaque)
{
    struct faulty_link *link = opaque;
    link->f->inner->rollback(link->inner);
}

void driver_faulty_init(struct driver_faulty *f, const struct driver *inner)
{
    f->inner = inner;
    atomic_init(&f->calls, 0);
    atomic_init(&f->fail_at, 0);
    f->status = FAILED;
    f->driver = (struct driver){
        .name = "faulty",
        .locks_rows = inner->locks_rows,
        .storage = inner->storage,
        .connect = faulty_connect,
        .disconnect = faulty_disconnect,
        .prepare = faulty_prepare,
        .discard = faulty_discard,
        .bind = faulty_bind,
        .step = faulty_step,
        .columns = inner->columns,
        .column = inner->column,
        .reset = faulty_reset,
        .run = inner->run ? faulty_run : NULL,
        .send = inner->send ? faulty_send : NULL,
        .receive = inner->receive ? faulty_receive : NULL,
        .begin = faulty_begin,
        .commit = faulty_commit,
        .rollback = faulty_rollback,
        .trouble = inner->trouble ? faulty_trouble : NULL,
        .lock_schema = inner->lock_schema ? faulty_lock_schema : NULL,
        .wait = inner->wait ? faulty_wait : NULL,
    };
}
