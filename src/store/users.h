/*
 * users.h - who may do what: users with passwords, and tokens.
 *
 * A user is a document of type "user" with id and owner "user:NAME".  The
 * password (argon2id, libsodium) and the tokens (hashed) have tables of
 * their own and are never in a body.
 */
#ifndef ET_USERS_H
#define ET_USERS_H

#include "store/documents.h"

#define USER_NAME_MAX      65
#define PASSWORD_MAX_BYTES 1024

/* "user:NAME".  Errors: INVALID unless NAME is 1-64 of [A-Za-z0-9._-]. */
enum status user_id(const char *name, char ret_id[OWNER_MAX], struct error *err);

/*
 * password NULL: nobody can log in with one.  body: further fields ("email"); NULL: {}.
 * Errors: INVALID (name, empty or over-long password), CONFLICT (the name is taken).
 */
enum status user_create(struct store *s, const char *name, const char *password, const json_t *body,
                        int64_t now_ms, struct document *ret_document /* may be NULL */, struct error *err);
/* The same, and the key's answer is saved with it.  idempotency: NULL for none. */
struct idempotency;
enum status user_create_once(struct store *s, const char *name, const char *password, const json_t *body,
                             const struct idempotency *idempotency, int64_t now_ms,
                             struct document *ret_document, struct error *err);
enum status user_set_password(struct store *s, const char *name, const char *password, int64_t now_ms,
                              struct error *err);
/*
 * Errors: DENIED, the same and after the same time for a wrong password and
 * an unknown name.  At most four are computed at once; a right one is
 * remembered for a minute.
 */
enum status user_verify(struct store *s, const char *name, const char *password, int64_t now_ms,
                        struct error *err);

/*
 * The user can log in no more, from now on; all that they own goes soon, jobs
 * that run too.  The name is never given again.
 * Errors: NOT_FOUND.
 */
enum status user_delete(struct store *s, const char *name, int64_t now_ms, struct error *err);

enum token_scope { TOKEN_USER = 1, TOKEN_WORKER, TOKEN_ADMIN };
/* "user", "worker", "admin", and back; 0: no such word. */
const char *token_scope_word(enum token_scope scope);
enum token_scope token_scope_of(const char *word);

#define TOKEN_NAME_MAX   128
#define TOKEN_SECRET_MAX 47 /* "et_" and 43 characters */

struct token {
    char id[ID_MAX];
    char owner[OWNER_MAX]; /* "" for the operator's */
    enum token_scope scope;
    char name[TOKEN_NAME_MAX]; /* what its owner calls it */
    int64_t created_ms;
    int64_t expires_ms; /* 0: never */
};
struct token_list {
    int n;
    struct token *tokens;
};
void token_list_release(struct token_list *l);

/* The secret is told here and never again.  Errors: INVALID for a name over 127 bytes or a time that is past.
 */
enum status token_create(struct store *s, const char *owner, enum token_scope scope, const char *name,
                         int64_t expires_ms, int64_t now_ms, struct token *ret_token,
                         char ret_secret[TOKEN_SECRET_MAX], struct error *err);
/* The same, and the key's answer is saved with it: answer's context is the const struct token. */
enum status token_create_once(struct store *s, const char *owner, enum token_scope scope, const char *name,
                              int64_t expires_ms, const struct idempotency *idempotency, int64_t now_ms,
                              struct token *ret_token, char ret_secret[TOKEN_SECRET_MAX], struct error *err);
/* Errors: DENIED when it is unknown, revoked or expired. */
enum status token_verify(struct store *s, const char *secret, int64_t now_ms, struct token *ret_token,
                         struct error *err);
enum status token_list(struct store *s, const char *owner, struct token_list *ret_list, struct error *err);
enum status token_revoke(struct store *s, const char *owner, const char *id, struct error *err);

/*
 * Sees to it that DIR/worker-token and DIR/admin-token (0600) hold valid
 * secrets; one that is missing or no longer valid is made anew, and the one
 * it replaces is revoked.
 */
enum status ensure_operator_tokens(struct store *s, const char *dir, int64_t now_ms, struct error *err);

#endif
