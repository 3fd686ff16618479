/* tokens.c - Bearer tokens: told once, kept as a hash. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "store/internal.h"

static const char *const scope_words[] = {
    "", [TOKEN_USER] = "user", [TOKEN_WORKER] = "worker", [TOKEN_ADMIN] = "admin"};

const char *token_scope_word(enum token_scope scope)
{
    return scope_words[scope];
}

enum token_scope token_scope_of(const char *word)
{
    for (int i = TOKEN_USER; i <= TOKEN_ADMIN; i++)
        if (strcmp(word, scope_words[i]) == 0)
            return (enum token_scope)i;
    return 0;
}

void token_list_release(struct token_list *l)
{
    free(l->tokens);
    *l = (struct token_list){0};
}

struct creation {
    struct token token;
    char hash[HASH_HEX_MAX];
    bool replaces; /* operator's: the others of the same owner, scope and name go */
    const struct idempotency *idempotency;
};

static enum status create(struct tx *tx, void *opaque, struct error *err)
{
    const struct creation *c = opaque;
    const struct token *t = &c->token;
    if (c->replaces)
        TRY(SQL(tx->db, NULL, err, "DELETE FROM tokens WHERE owner = $1 AND scope = $2 AND name = $3",
                V(t->owner), V(t->scope), V(t->name)));
    TRY(SQL(tx->db, NULL, err,
            "INSERT INTO tokens(id, owner, scope, name, hash, created, expires)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7)",
            V(t->id), V(t->owner), V(t->scope), V(t->name), V(c->hash), V(t->created_ms), V(t->expires_ms)));
    if (!c->idempotency)
        return OK;
    struct idempotency key = *c->idempotency;
    key.context = (void *)t;
    return idempotency_answer(tx, &key, NULL, t->created_ms, err);
}

static void make_secret(char ret_secret[TOKEN_SECRET_MAX])
{
    unsigned char bytes[32];
    randombytes_buf(bytes, sizeof(bytes));
    memcpy(ret_secret, "et_", 3);
    sodium_bin2base64(ret_secret + 3, TOKEN_SECRET_MAX - 3, bytes, sizeof(bytes),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(bytes, sizeof(bytes));
}

static enum status make_token(struct store *s, struct creation *c, char ret_secret[TOKEN_SECRET_MAX],
                              struct error *err)
{
    char secret[TOKEN_SECRET_MAX];
    make_secret(secret);
    id_new(c->token.id);
    hash_bytes(HASH_SHA256, secret, strlen(secret), c->hash);
    TRY(store_write(s, create, c, err));
    memcpy(ret_secret, secret, sizeof(secret));
    return OK;
}

enum status token_create(struct store *s, const char *owner, enum token_scope scope, const char *name,
                         int64_t expires_ms, int64_t now_ms, struct token *ret_token,
                         char ret_secret[TOKEN_SECRET_MAX], struct error *err)
{
    return token_create_once(s, owner, scope, name, expires_ms, NULL, now_ms, ret_token, ret_secret, err);
}

enum status token_create_once(struct store *s, const char *owner, enum token_scope scope, const char *name,
                              int64_t expires_ms, const struct idempotency *idempotency, int64_t now_ms,
                              struct token *ret_token, char ret_secret[TOKEN_SECRET_MAX], struct error *err)
{
    struct creation c = {.idempotency = idempotency,
                         .token = {.scope = scope, .created_ms = now_ms, .expires_ms = expires_ms}};
    if (strlen(name) >= sizeof(c.token.name) || strlen(owner) >= sizeof(c.token.owner))
        return error_set(err, INVALID, "a token's name has at most %zu bytes", sizeof(c.token.name) - 1);
    if (expires_ms && expires_ms <= now_ms)
        return error_set(err, INVALID, "the token would have expired already");
    copy_text(c.token.name, sizeof(c.token.name), name);
    copy_text(c.token.owner, sizeof(c.token.owner), owner);
    TRY(make_token(s, &c, ret_secret, err));
    *ret_token = c.token;
    return OK;
}

#define COLUMNS "id, owner, scope, name, created, expires"

static void read_row(const struct rows *rows, int i, struct token *t)
{
    *t = (struct token){.scope = (enum token_scope)row_int(rows, i, 2),
                        .created_ms = row_int(rows, i, 4),
                        .expires_ms = row_int(rows, i, 5)};
    copy_text(t->id, sizeof(t->id), row_text(rows, i, 0));
    copy_text(t->owner, sizeof(t->owner), row_text(rows, i, 1));
    copy_text(t->name, sizeof(t->name), row_text(rows, i, 3));
}

enum status token_verify(struct store *s, const char *secret, int64_t now_ms, struct token *ret_token,
                         struct error *err)
{
    char hash[HASH_HEX_MAX];
    hash_bytes(HASH_SHA256, secret, strlen(secret), hash);
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err,
            "SELECT " COLUMNS " FROM tokens WHERE hash = $1 AND (expires = 0 OR expires > $2)", V(hash),
            V(now_ms)));
    if (!rows.n)
        return error_set(err, DENIED, "the token is unknown, revoked or expired");
    read_row(&rows, 0, ret_token);
    return OK;
}

enum status token_list(struct store *s, const char *owner, struct token_list *ret_list, struct error *err)
{
    READER reader = {0};
    ROWS rows = {0};
    TRY(reader_take(s, &reader, err));
    TRY(SQL(reader.db, &rows, err, "SELECT " COLUMNS " FROM tokens WHERE owner = $1 ORDER BY id", V(owner)));
    struct token_list list = {.n = rows.n, .tokens = xcalloc((size_t)rows.n, sizeof(*list.tokens))};
    for (int i = 0; i < rows.n; i++)
        read_row(&rows, i, &list.tokens[i]);
    *ret_list = list;
    return OK;
}

struct revocation {
    const char *owner, *id;
};

static enum status revoke_one(struct tx *tx, void *opaque, struct error *err)
{
    const struct revocation *r = opaque;
    ROWS rows = {0};
    TRY(SQL(tx->db, &rows, err,
            "DELETE FROM tokens WHERE id = $1 AND ($2 IS NULL OR owner = $2) RETURNING id", V(r->id),
            V(r->owner)));
    return rows.n ? OK : error_set(err, NOT_FOUND, "there is no token '%.64s'", r->id);
}

enum status token_revoke(struct store *s, const char *owner, const char *id, struct error *err)
{
    return store_write(s, revoke_one, &(struct revocation){owner, id}, err);
}

/* Does the file hold a valid secret of this scope? */
static bool file_is_valid(struct store *s, const char *path, enum token_scope scope, int64_t now_ms)
{
    CLEANUP(freep) char *text = NULL;
    size_t size = 0;
    struct token token;
    if (file_read(path, 256, &text, &size, NULL) != OK)
        return false;
    text[strcspn(text, "\r\n")] = '\0';
    return token_verify(s, text, now_ms, &token, NULL) == OK && token.scope == scope;
}

/* Servers that share a database have a token each: which one is told by the folder and the machine. */
static void name_operator_token(const struct store *s, const char *dir, const char *file,
                                char ret_name[TOKEN_NAME_MAX])
{
    char host[65] = "", digest[HASH_HEX_MAX];
    gethostname(host, sizeof(host) - 1);
    CLEANUP(freep) char *absolute = realpath(dir, NULL);
    CLEANUP(freep) char *place = xasprintf("%s:%s", host, absolute ? absolute : dir);
    hash_bytes(HASH_SHA256, place, strlen(place), digest);
    if (s->peers)
        snprintf(ret_name, TOKEN_NAME_MAX, "%s %.16s", file, digest);
    else
        copy_text(ret_name, TOKEN_NAME_MAX, file);
}

static enum status ensure(struct store *s, const char *dir, const char *file, enum token_scope scope,
                          int64_t now_ms, struct error *err)
{
    CLEANUP(freep) char *path = path_join(dir, file);
    if (file_is_valid(s, path, scope, now_ms))
        return OK;
    char line[TOKEN_SECRET_MAX + 1];
    struct creation c = {.token = {.scope = scope, .created_ms = now_ms}, .replaces = true};
    name_operator_token(s, dir, file, c.token.name);
    TRY(make_token(s, &c, line, err));
    size_t size = strlen(line);
    line[size] = '\n';
    return file_write(path, line, size + 1, 0600, err);
}

enum status ensure_operator_tokens(struct store *s, const char *dir, int64_t now_ms, struct error *err)
{
    TRY(ensure(s, dir, "worker-token", TOKEN_WORKER, now_ms, err));
    return ensure(s, dir, "admin-token", TOKEN_ADMIN, now_ms, err);
}
