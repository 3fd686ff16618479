/*
 * tokens.c - tokens for scripts and workers: made, listed, revoked.
 */
#include <string.h>

#include "api/server.h"
#include "base/clock.h"

static const struct field token_in[] = {
    {"name", FIELD_STRING, 0, "What you call it.", .max = 127, .otherwise = "\"\""},
    {"scope", FIELD_STRING, 0, "What it may do; worker and admin: for an admin only.",
     .words = "user|worker|admin", .otherwise = "\"user\""},
    {"expires-in", FIELD_INT, 0, "Seconds until it ends; absent: never.", .min = 1, .max = 3153600000},
    {NULL},
};

#define TOKEN_ROWS                                                                                           \
    {"id", FIELD_STRING, REQUIRED, "Id, to revoke it."},                                                     \
        {"name", FIELD_STRING, REQUIRED, "What its owner calls it."},                                        \
        {"scope", FIELD_STRING, REQUIRED, "What it may do.", .words = "user|worker|admin"},                  \
        {"created-at", FIELD_STRING, REQUIRED, "Time, RFC 3339."},                                           \
    {                                                                                                        \
        "expires-at", FIELD_STRING, REQUIRED | NULLABLE, "Time, RFC 3339; null: never."                      \
    }

static const struct field token_out[] = {
    TOKEN_ROWS,
    {"token", FIELD_STRING, REQUIRED | NULLABLE,
     "The secret, told here only; null when this answer is a repeated one."},
    {NULL},
};
static const struct field listed_fields[] = {TOKEN_ROWS, {NULL}};
static const struct field listed_rows[] = {{"*", FIELD_OBJECT, 0, "A token.", .fields = listed_fields},
                                           {NULL}};
static const struct field list_out[] = {
    {"tokens", FIELD_ARRAY, REQUIRED, "Your tokens.", .fields = listed_rows},
    {NULL},
};

static json_t *token_json(const struct token *token)
{
    char created[CLOCK_TEXT_MAX], expires[CLOCK_TEXT_MAX];
    return json_pack("{s:s,s:s,s:s,s:s,s:o}", "id", token->id, "name", token->name, "scope",
                     token_scope_word(token->scope), "created-at", clock_text(token->created_ms, created),
                     "expires-at",
                     token->expires_ms ? json_string(clock_text(token->expires_ms, expires)) : json_null());
}

/* The answer that is kept for an Idempotency-Key: the secret is in no second place. */
static char *kept_answer(void *context, const struct document_list *made, int *ret_http_status)
{
    (void)made;
    json_t *json = token_json(context);
    json_object_set_new(json, "token", json_null());
    char *text = json_text(json);
    json_decref(json);
    *ret_http_status = 201;
    return text;
}

static enum status tokens_create(struct request *r, struct response *response, struct error *err)
{
    enum token_scope scope = token_scope_of(json_get_string(r->body, "scope", "user"));
    bool ownerless = !r->who.owner[0];
    if (scope != TOKEN_USER && r->who.scope != SCOPE_ADMIN)
        return error_set(err, DENIED, "only an admin may make a token of scope '%s'",
                         token_scope_word(scope));
    if (scope == TOKEN_USER && ownerless)
        return problem_at(response, "/scope", err, INVALID,
                          "a token of scope 'user' needs a user: ask as that user");
    int64_t seconds = json_get_int(r->body, "expires-in", 0);
    struct token token;
    char secret[TOKEN_SECRET_MAX];
    struct idempotency once = {.owner = r->who.owner,
                               .key = r->idempotency_key,
                               .request_hash = r->request_hash,
                               .answer = kept_answer};
    TRY(token_create_once(api_store(r->api), r->who.owner, scope, json_get_string(r->body, "name", ""),
                          seconds ? r->now_ms + seconds * 1000 : 0, r->idempotency_key ? &once : NULL,
                          r->now_ms, &token, secret, err));
    json_t *json = token_json(&token);
    json_object_set_new(json, "token", json_string(secret));
    response_json(response, 201, json);
    return OK;
}

static enum status tokens_list(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(token_list_release) struct token_list list = {0};
    TRY(token_list(api_store(r->api), r->who.owner, &list, err));
    json_t *tokens = json_array();
    for (int i = 0; i < list.n; i++)
        json_array_append_new(tokens, token_json(&list.tokens[i]));
    response_json(response, 200, json_pack("{s:o}", "tokens", tokens));
    return OK;
}

static enum status tokens_revoke(struct request *r, struct response *response, struct error *err)
{
    TRY(token_revoke(api_store(r->api), r->who.owner, r->args[0], err));
    response_empty(response, 204);
    return OK;
}

const struct route token_routes[] = {
    {"POST", "/tokens", tokens_create, SCOPE_ANY, BODY_JSON, "Make a token; its secret is told once.",
     token_in, token_out, 201},
    {"GET", "/tokens", tokens_list, SCOPE_ANY, BODY_NONE, "Your tokens, without secrets.", NULL, list_out,
     200},
    {"DELETE", "/tokens/{id}", tokens_revoke, SCOPE_ANY, BODY_NONE, "Revoke a token.", NULL, NULL, 204},
    {NULL},
};
