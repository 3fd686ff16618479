/* documents.c - making, reading and changing documents, and the feed. */
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

#define LIMIT_USUAL 100
#define LIMIT_MAX   1000

struct state_words {
    const char *contract, *exact;
};
static const struct state_words state_words[] = {
    [STATE_NONE] = {"", ""},
    [STATE_WAITING] = {"pending", "waiting"},
    [STATE_READY] = {"pending", "ready"},
    [STATE_PROCESSING] = {"processing", "leased"},
    [STATE_FINISHED] = {"finished_successfully", "finished"},
    [STATE_FAILED] = {"failed", "failed"},
    [STATE_CANCELLED] = {"failed", "cancelled"},
    [STATE_DELETED] = {"", ""},
};

const char *document_state_word(enum document_state state)
{
    return state_words[state].contract;
}

const char *document_state_name(enum document_state state)
{
    return state_words[state].exact;
}

unsigned document_states_of(const char *word)
{
    unsigned states = 0;
    for (size_t i = 0; *word && i < ARRAY_SIZE(state_words); i++)
        if (strcmp(word, state_words[i].contract) == 0 || strcmp(word, state_words[i].exact) == 0)
            states |= STATE_BIT(i);
    return states;
}

const char *document_rev(const char *id, int64_t rev, char out[REV_MAX])
{
    char text[DOCUMENT_ID_MAX + 24], digest[HASH_HEX_MAX];
    int size = snprintf(text, sizeof(text), "%s %lld", id, (long long)rev);
    hash_bytes(HASH_SHA256, text, (size_t)size, digest);
    snprintf(out, REV_MAX, "%lld-%.32s", (long long)rev, digest);
    return out;
}

enum status document_rev_read(const char *id, const char *text, int64_t *ret_rev, struct error *err)
{
    char expected[REV_MAX];
    char *end = NULL;
    long long rev = strtoll(text, &end, 10);
    if (rev < 1 || *end != '-' || strcmp(text, document_rev(id, rev, expected)) != 0)
        return error_set(err, INVALID, "'%.64s' is not a revision of '%s'", text, id);
    *ret_rev = rev;
    return OK;
}

void document_release(struct document *d)
{
    json_decref(d->body);
    d->body = NULL;
}

void document_list_release(struct document_list *l)
{
    for (int i = 0; i < l->n; i++)
        document_release(&l->documents[i]);
    free(l->documents);
    *l = (struct document_list){0};
}

#define COLUMNS DOCUMENT_COLUMNS

static enum status read_row(const struct rows *rows, int i, struct document *ret_document, struct error *err)
{
    struct document d = {
        .rev = row_int(rows, i, 3),
        .seq = row_int(rows, i, 4),
        .state = (enum document_state)row_int(rows, i, 5),
        .created_ms = row_int(rows, i, 6),
        .updated_ms = row_int(rows, i, 7),
    };
    copy_text(d.id, sizeof(d.id), row_text(rows, i, 0));
    copy_text(d.owner, sizeof(d.owner), row_text(rows, i, 1));
    copy_text(d.type, sizeof(d.type), row_text(rows, i, 2));
    const char *body = row_text(rows, i, 8);
    if (json_read(body, strlen(body), &d.body, err) != OK)
        return error_set(err, FAILED, "document '%s' is damaged", d.id);
    *ret_document = d;
    return OK;
}

enum status document_rows(const struct rows *rows, int limit, struct document_list *ret_list,
                          struct error *err)
{
    CLEANUP(document_list_release) struct document_list list = {.more = rows->n > limit};
    int n = MIN(rows->n, limit);
    list.documents = xcalloc((size_t)n, sizeof(*list.documents));
    for (; list.n < n; list.n++)
        TRY(read_row(rows, list.n, &list.documents[list.n], err));
    *ret_list = list;
    list = (struct document_list){0};
    return OK;
}

static int usable_limit(int limit)
{
    return limit <= 0 ? LIMIT_USUAL : MIN(limit, LIMIT_MAX);
}

static enum status no_document(const char *id, struct error *err)
{
    return error_set(err, NOT_FOUND, "there is no document '%.64s'", id);
}

enum status document_find(struct connection *db, const char *owner, const char *id,
                          struct document *ret_document, struct error *err)
{
    ROWS rows = {0};
    TRY(SQL(db, &rows, err, "SELECT " COLUMNS " FROM documents WHERE id = $1", V(id)));
    if (!rows.n || row_int(&rows, 0, 5) == STATE_DELETED ||
        (owner && strcmp(owner, row_text(&rows, 0, 1)) != 0))
        return no_document(id, err);
    return read_row(&rows, 0, ret_document, err);
}

enum status document_get(struct store *s, const char *owner, const char *id, struct document *ret_document,
                         struct error *err)
{
    READER reader = {0};
    TRY(reader_take(s, &reader, err));
    return document_find(reader.db, owner, id, ret_document, err);
}

enum status document_get_any(struct store *s, const char *owner, const char *id,
                             struct document *ret_document, struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT " COLUMNS " FROM documents WHERE id = $1 AND owner = $2", V(id),
            V(owner)));
    return rows.n ? read_row(&rows, 0, ret_document, err) : no_document(id, err);
}

static enum status count(struct store *s, const char *text, const char *owner, int64_t since, int64_t *ret_n,
                         struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, text, V(owner), V(since)));
    *ret_n = row_int(&rows, 0, 0);
    return OK;
}

enum status documents_count(struct store *s, const char *owner, int64_t *ret_n, struct error *err)
{
    return count(s, "SELECT COUNT(*) FROM documents WHERE owner = $1 AND seq > $2 AND state <> 7", owner, 0,
                 ret_n, err);
}

enum status feed_pending(struct store *s, const char *owner, int64_t since, int64_t *ret_n, struct error *err)
{
    return count(s, "SELECT COUNT(*) FROM documents WHERE owner = $1 AND seq > $2", owner, since, ret_n, err);
}

/* $1 is a mask of STATE_BITs.  Each filter has its statement, so that each finds its index. */
#define LIST(where, direction, limit)                                                                        \
    "SELECT " COLUMNS " FROM documents WHERE ((CAST(1 AS BIGINT) << state) & $1) <> 0 AND id " where         \
    " ORDER BY id " direction " LIMIT " limit
#define LIST_PAIR(where, limit)                                                                              \
    {                                                                                                        \
        LIST("> $2 " where, "ASC", limit), LIST("< $2 " where, "DESC", limit)                                \
    }

static const char *const list_all[] = LIST_PAIR("", "$3");
static const char *const list_of_type[] = LIST_PAIR("AND type = $3", "$4");
static const char *const list_of_owner[] = LIST_PAIR("AND owner = $3", "$4");
static const char *const list_of_both[] = LIST_PAIR("AND owner = $3 AND type = $4", "$5");

static enum status list_rows(struct connection *db, const struct document_filter *f, int64_t states,
                             int limit, struct rows *rows, struct error *err)
{
    int way = f->newest_first;
    const char *after = f->after ? f->after : way ? "\x7f" : "";
    if (f->owner && f->type)
        return SQL(db, rows, err, list_of_both[way], V(states), V(after), V(f->owner), V(f->type), V(limit));
    if (f->owner)
        return SQL(db, rows, err, list_of_owner[way], V(states), V(after), V(f->owner), V(limit));
    if (f->type)
        return SQL(db, rows, err, list_of_type[way], V(states), V(after), V(f->type), V(limit));
    return SQL(db, rows, err, list_all[way], V(states), V(after), V(limit));
}

enum status documents_list(struct store *s, const struct document_filter *filter,
                           struct document_list *ret_list, struct error *err)
{
    int limit = usable_limit(filter->limit);
    unsigned states = filter->states ? filter->states : 0xff & ~STATE_BIT(STATE_DELETED);
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(list_rows(reader.db, filter, states, limit + 1, &rows, err));
    return document_rows(&rows, limit, ret_list, err);
}

enum status feed_seq(struct store *s, const char *owner, int64_t *ret_seq, struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT seq FROM owners WHERE owner = $1", V(owner)));
    *ret_seq = rows.n ? row_int(&rows, 0, 0) : 0;
    return OK;
}

enum status feed_changes(struct store *s, const char *owner, int64_t since, int limit,
                         struct document_list *ret_list, struct error *err)
{
    limit = usable_limit(limit);
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err,
            "SELECT " COLUMNS " FROM documents WHERE owner = $1 AND seq > $2 ORDER BY seq LIMIT $3", V(owner),
            V(since), V(limit + 1)));
    return document_rows(&rows, limit, ret_list, err);
}

/* The next sequence number of an owner who has documents. */
static enum status bump(struct tx *tx, const char *owner, struct error *err)
{
    tx_stir(tx, "feed", owner);
    return SQL(tx->db, NULL, err, "UPDATE owners SET seq = seq + 1 WHERE owner = $1", V(owner));
}

/* The same of one who may have none yet. */
static enum status bump_or_make(struct tx *tx, const char *owner, struct error *err)
{
    tx_stir(tx, "feed", owner);
    return SQL(tx->db, NULL, err,
               "INSERT INTO owners(owner, seq) VALUES ($1, 1)"
               " ON CONFLICT (owner) DO UPDATE SET seq = owners.seq + 1",
               V(owner));
}

/* rows: NULL, or the new sequence number's. */
static enum status write_row(struct tx *tx, struct document *d, int64_t now_ms, struct rows *rows,
                             struct error *err)
{
    CLEANUP(freep) char *body = json_text(d->body);
    d->rev++;
    d->updated_ms = now_ms;
    TRY(bump(tx, d->owner, err));
    tx_stir(tx, "job", d->id);
    return SQL(tx->db, rows, err,
               "UPDATE documents SET rev = $1, seq = (SELECT seq FROM owners WHERE owner = $2), state = $3,"
               " updated = $4, body = $5 WHERE id = $6 RETURNING seq",
               V(d->rev), V(d->owner), V(d->state), V(now_ms), V((const char *)body), V(d->id));
}

enum status document_write(struct tx *tx, struct document *d, int64_t now_ms, struct error *err)
{
    ROWS rows = {0};
    TRY(write_row(tx, d, now_ms, &rows, err));
    d->seq = row_int(&rows, 0, 0);
    return OK;
}

enum status document_write_unread(struct tx *tx, struct document *d, int64_t now_ms, struct error *err)
{
    return write_row(tx, d, now_ms, NULL, err);
}

enum status document_set_state(struct tx *tx, const char *owner, const char *id, enum document_state state,
                               int64_t now_ms, struct error *err)
{
    TRY(bump(tx, owner, err));
    tx_stir(tx, "job", id);
    return SQL(tx->db, NULL, err,
               "UPDATE documents SET rev = rev + 1, seq = (SELECT seq FROM owners WHERE owner = $1),"
               " state = $2, updated = $3 WHERE id = $4",
               V(owner), V(state), V(now_ms), V(id));
}

static enum status insert_row(struct tx *tx, struct document *d, struct error *err)
{
    ROWS rows = {0};
    CLEANUP(freep) char *body = json_text(d->body);
    TRY(SQL(tx->db, &rows, err,
            "INSERT INTO documents(id, owner, type, rev, seq, state, created, updated, body)"
            " SELECT $1, owner, $2, 1, seq, CAST($3 AS INTEGER), CAST($4 AS BIGINT), CAST($5 AS BIGINT), $6"
            " FROM owners WHERE owner = $7 ON CONFLICT (id) DO NOTHING RETURNING seq",
            V(d->id), V(d->type), V(d->state), V(d->created_ms), V(d->updated_ms), V((const char *)body),
            V(d->owner)));
    if (!rows.n)
        return error_set(err, CONFLICT, "there is a document '%s' already", d->id);
    d->seq = row_int(&rows, 0, 0);
    return OK;
}

static enum status insert_references(struct tx *tx, const struct document *d, const struct new_document *new,
                                     int64_t now_ms, struct error *err)
{
    for (int i = 0; i < new->n_refs; i++) {
        ROWS rows = {0};
        TRY(SQL(tx->db, &rows, err, "SELECT 1 FROM documents WHERE id = $1 AND owner = $2 AND state <> 7",
                V(new->refs[i]), V(d->owner)));
        if (!rows.n)
            return no_document(new->refs[i], err);
        TRY(SQL(tx->db, NULL, err, "INSERT INTO doc_refs(doc, needs) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                V(d->id), V(new->refs[i])));
    }
    for (int i = 0; i < new->n_blobs; i++)
        TRY(blob_refer(tx, d->id, new->blobs[i].name, new->blobs[i].sha256, now_ms, err));
    return OK;
}

/* A repeated request: the document that is there. */
static enum status find_repeated(struct tx *tx, const char *owner, const struct new_document *new,
                                 bool *ret_found, struct document *ret_document, struct error *err)
{
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err, "SELECT " COLUMNS " FROM documents WHERE id = $1", V(new->id)));
    *ret_found = rows.n > 0;
    if (!rows.n)
        return OK;
    if (strcmp(row_text(&rows, 0, 1), owner) != 0 || strcmp(row_text(&rows, 0, 2), new->type) != 0 ||
        row_int(&rows, 0, 5) == STATE_DELETED)
        return error_set(err, CONFLICT, "there is a document '%s' already", new->id);
    return read_row(&rows, 0, ret_document, err);
}

enum status document_insert(struct tx *tx, const char *owner, const struct new_document *new, int64_t now_ms,
                            struct document *ret_document, struct error *err)
{
    bool found = false;
    TRY(find_repeated(tx, owner, new, &found, ret_document, err));
    if (found)
        return OK;
    CLEANUP(document_release) struct document d = {.rev = 1, .created_ms = now_ms, .updated_ms = now_ms};
    copy_text(d.id, sizeof(d.id), new->id);
    copy_text(d.owner, sizeof(d.owner), owner);
    copy_text(d.type, sizeof(d.type), new->type);
    TRY(bump_or_make(tx, owner, err));
    /* The caller may use its body on another thread once answered: never share it. */
    d.body = json_deep_copy(new->body);
    if (new->job) {
        CLEANUP(freep) char *reason = NULL;
        TRY(enqueue_resolve(tx, owner, new->job, &d.state, &reason, err));
        if (reason)
            json_object_set_new(d.body, "processing-log", json_string(reason));
    }
    TRY(insert_row(tx, &d, err));
    TRY(insert_references(tx, &d, new, now_ms, err));
    if (new->job && d.state != STATE_FAILED)
        TRY(enqueue_insert(tx, owner, d.id, new->job, d.state, now_ms, err));
    else if (new->job)
        TRY(webhooks_tell(tx, &d, now_ms, err));
    *ret_document = d;
    d.body = NULL;
    return OK;
}

struct creation {
    const char *owner;
    const struct new_document *documents;
    int n;
    const struct idempotency *idempotency;
    int64_t now_ms;
    struct document_list made;
};

static enum status create(struct tx *tx, void *opaque, struct error *err)
{
    struct creation *c = opaque;
    document_list_release(&c->made);
    c->made.documents = xcalloc((size_t)c->n, sizeof(*c->made.documents));
    int n_jobs = 0;
    for (int i = 0; i < c->n; i++)
        n_jobs += c->documents[i].job != NULL;
    TRY(limit_check(tx, c->owner, n_jobs, err));
    for (; c->made.n < c->n; c->made.n++)
        TRY(document_insert(tx, c->owner, &c->documents[c->made.n], c->now_ms, &c->made.documents[c->made.n],
                            err));
    return c->idempotency ? idempotency_answer(tx, c->idempotency, &c->made, c->now_ms, err) : OK;
}

static void creation_release(struct creation *c)
{
    document_list_release(&c->made);
}

static enum status check_new(const char *owner, const struct new_document *d, struct error *err)
{
    if (!d->id[0] || strlen(d->id) >= DOCUMENT_ID_MAX || strlen(owner) >= OWNER_MAX ||
        strlen(d->type) >= TYPE_MAX)
        return error_set(err, INVALID, "the id, owner or type of a document is empty or too long");
    if (!json_is_object(d->body))
        return error_set(err, INVALID, "the body of document '%s' is not an object", d->id);
    if (d->job && d->job->pool && (!*d->job->pool || strlen(d->job->pool) >= POOL_MAX))
        return error_set(err, INVALID, "pool '%.80s' is not a name of 1 to %d bytes", d->job->pool,
                         POOL_MAX - 1);
    return OK;
}

enum status documents_create(struct store *s, const char *owner, const struct new_document *documents, int n,
                             const struct idempotency *idempotency, int64_t now_ms,
                             struct document_list *ret_documents, struct error *err)
{
    for (int i = 0; i < n; i++)
        TRY(check_new(owner, &documents[i], err));
    CLEANUP(creation_release) struct creation c = {owner, documents, n, idempotency, now_ms, {0}};
    TRY(store_write_for(s, owner, create, &c, err));
    if (ret_documents) {
        *ret_documents = c.made;
        c.made = (struct document_list){0};
    }
    return OK;
}

struct change {
    const char *owner, *id;
    int64_t expected_rev;
    const json_t *body; /* update */
    json_t *users;      /* delete */
    int64_t now_ms;
    struct document result;
};

static void change_release(struct change *c)
{
    document_release(&c->result);
}

/* The document, if its revision is still the expected one. */
static enum status find_expected(struct tx *tx, struct change *c, struct error *err)
{
    document_release(&c->result);
    TRY(document_find(tx->db, c->owner, c->id, &c->result, err));
    char rev[REV_MAX];
    if (c->expected_rev && c->expected_rev != c->result.rev)
        return error_set(err, CONFLICT, "document '%s' has changed: its revision is %s", c->id,
                         document_rev(c->id, c->result.rev, rev));
    return OK;
}

static enum status update(struct tx *tx, void *opaque, struct error *err)
{
    struct change *c = opaque;
    TRY(find_expected(tx, c, err));
    json_decref(c->result.body);
    c->result.body = json_deep_copy(c->body);
    return document_write(tx, &c->result, c->now_ms, err);
}

enum status document_update(struct store *s, const char *owner, const char *id, int64_t expected_rev,
                            const json_t *body, int64_t now_ms, struct document *ret_document,
                            struct error *err)
{
    if (!json_is_object(body))
        return error_set(err, INVALID, "the body of document '%.64s' is not an object", id);
    CLEANUP(change_release)
    struct change c = {
        .owner = owner, .id = id, .expected_rev = expected_rev, .body = body, .now_ms = now_ms};
    TRY(store_write_about(s, owner, id, update, &c, err));
    *ret_document = c.result;
    c.result.body = NULL;
    return OK;
}

enum status document_users(struct tx *tx, const char *id, struct rows *rows, struct error *err)
{
    return SQL(tx->db, rows, err,
               "SELECT d.id, d.type FROM doc_refs r JOIN documents d ON d.id = r.doc"
               " WHERE r.needs = $1 AND d.state <> 7 ORDER BY d.id LIMIT 100",
               V(id));
}

/* Errors: CONFLICT with the documents that use this one, in the message and in users. */
static enum status check_unused(struct tx *tx, struct change *c, struct error *err)
{
    ROWS rows = {0};
    TRY(document_users(tx, c->id, &rows, err));
    if (!rows.n)
        return OK;
    for (int i = 0; c->users && i < rows.n; i++)
        json_array_append_new(
            c->users, json_pack("{s:s, s:s}", "id", row_text(&rows, i, 0), "type", row_text(&rows, i, 1)));
    return error_set(err, CONFLICT, "document '%s' is used by %s '%s'%s", c->id, row_text(&rows, 0, 1),
                     row_text(&rows, 0, 0), rows.n > 1 ? " and others" : "");
}

enum status document_bury(struct tx *tx, struct document *d, int64_t now_ms, struct error *err)
{
    const char *id = d->id;
    TRY(SQL(tx->db, NULL, err, "DELETE FROM doc_refs WHERE doc = $1", V(id)));
    TRY(SQL(tx->db, NULL, err, "DELETE FROM blob_refs WHERE doc = $1", V(id)));
    TRY(SQL(tx->db, NULL, err, "DELETE FROM progress WHERE job = $1", V(id)));
    TRY(SQL(tx->db, NULL, err, "DELETE FROM arrays WHERE id = $1", V(id)));
    TRY(SQL(tx->db, NULL, err, "DELETE FROM schedules WHERE id = $1", V(id)));
    TRY(SQL(tx->db, NULL, err, "DELETE FROM members WHERE parent = $1", V(id)));
    TRY(trash_add(tx, id, now_ms, err));
    d->state = STATE_DELETED;
    json_decref(d->body);
    d->body = json_object();
    return document_write(tx, d, now_ms, err);
}

static enum status bury(struct tx *tx, void *opaque, struct error *err)
{
    struct change *c = opaque;
    if (c->users)
        json_array_clear(c->users);
    TRY(find_expected(tx, c, err));
    if (c->result.state >= STATE_WAITING && c->result.state <= STATE_PROCESSING)
        return error_set(err, CONFLICT, "document '%s' has a job that is not over: cancel it first", c->id);
    TRY(check_unused(tx, c, err));
    return document_bury(tx, &c->result, c->now_ms, err);
}

enum status document_delete_within(struct tx *tx, const char *owner, const char *id, int64_t now_ms,
                                   struct error *err)
{
    CLEANUP(change_release) struct change c = {.owner = owner, .id = id, .now_ms = now_ms};
    return bury(tx, &c, err);
}

enum status document_delete(struct store *s, const char *owner, const char *id, int64_t expected_rev,
                            int64_t now_ms, json_t *users, struct document *ret_tombstone, struct error *err)
{
    CLEANUP(change_release)
    struct change c = {
        .owner = owner, .id = id, .expected_rev = expected_rev, .users = users, .now_ms = now_ms};
    TRY(store_write_about(s, owner, id, bury, &c, err));
    if (ret_tombstone) {
        *ret_tombstone = c.result;
        c.result.body = NULL;
    }
    return OK;
}
