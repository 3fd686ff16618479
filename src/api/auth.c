/*
 * auth.c - who asks, and may they: passwords, tokens, and the tokens of leases.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/server.h"

static enum status unauthorized(struct exchange *x, struct error *err, const char *why)
{
    problem_http_status(&x->response, 401);
    return error_set(err, DENIED, "%s", why);
}

/* A store that does not answer is not a wrong password. */
static enum status not_verified(struct exchange *x, enum status status, struct error *err, const char *why)
{
    if (status == UNAVAILABLE || status == FAILED || status == NO_SPACE)
        return status;
    return unauthorized(x, err, why);
}

static enum status by_password(struct exchange *x, const char *encoded, struct error *err)
{
    char plain[USER_NAME_MAX + PASSWORD_MAX_BYTES + 2];
    size_t size;
    if (sodium_base642bin((unsigned char *)plain, sizeof(plain) - 1, encoded, strlen(encoded), " ", &size,
                          NULL, sodium_base64_VARIANT_ORIGINAL) ||
        memchr(plain, '\0', size))
        return unauthorized(x, err, "the Authorization header does not hold NAME:PASSWORD in Base64");
    plain[size] = '\0';
    char *colon = strchr(plain, ':');
    if (!colon)
        return unauthorized(x, err, "the Authorization header does not hold NAME:PASSWORD in Base64");
    *colon = '\0';
    struct principal *who = &x->request.who;
    enum status status = user_id(plain, who->owner, err);
    if (status == OK)
        status = user_verify(x->api->store, plain, colon + 1, x->request.now_ms, err);
    sodium_memzero(plain, sizeof(plain));
    if (status != OK) {
        who->owner[0] = '\0';
        return not_verified(x, status, err, "the user name or the password is wrong");
    }
    who->scope = SCOPE_USER;
    return OK;
}

static enum status by_token(struct exchange *x, const char *secret, struct error *err)
{
    struct token token;
    enum status status = token_verify(x->api->store, secret, x->request.now_ms, &token, err);
    if (status != OK)
        return not_verified(x, status, err, "the token is unknown, revoked or expired");
    struct principal *who = &x->request.who;
    snprintf(who->owner, sizeof(who->owner), "%s", token.owner);
    snprintf(who->token_id, sizeof(who->token_id), "%s", token.id);
    who->scope = token.scope == TOKEN_ADMIN    ? SCOPE_ADMIN
                 : token.scope == TOKEN_WORKER ? SCOPE_WORKER
                                               : SCOPE_USER;
    return OK;
}

static enum status by_lease(struct exchange *x, const char *secret, struct error *err)
{
    struct principal *who = &x->request.who;
    const char *job = x->match.args[0], *attempt = x->match.args[1];
    char *end;
    long number = attempt ? strtol(attempt, &end, 10) : 0;
    if (!job || number < 1 || number > INT32_MAX || *end)
        return error_set(err, NOT_FOUND, "there is no such lease");
    who->scope = SCOPE_LEASE;
    enum status status = queue_check_lease(x->api->store, job, (int)number, secret, err);
    who->lease_over = status == CONFLICT;
    if (status == DENIED || status == NOT_FOUND)
        return unauthorized(x, err, "the token is not that of this attempt");
    enum body_kind kind = x->match.route->body;
    if (status == CONFLICT && kind != BODY_RAW && kind != BODY_BYTES)
        return OK;
    return status;
}

/* The word after the scheme, when the header has that scheme; NULL. */
static const char *credentials(const char *header, const char *scheme)
{
    size_t n = strlen(scheme);
    if (!header || strncasecmp(header, scheme, n) || header[n] != ' ')
        return NULL;
    return header + n + strspn(header + n, " ");
}

static enum status allow(struct exchange *x, enum scope scope, struct error *err)
{
    const struct principal *who = &x->request.who;
    switch (scope) {
    case SCOPE_USER:
        if (who->scope == SCOPE_WORKER)
            return error_set(err, DENIED, "a worker's token may only lease jobs: use a user's");
        if (!who->owner[0])
            return error_set(err, DENIED, "the operator's token owns no documents: use a user's");
        return OK;
    case SCOPE_ANY:
        if (who->scope == SCOPE_WORKER)
            return error_set(err, DENIED, "a worker's token may only lease jobs: use a user's");
        return OK;
    case SCOPE_WORKER:
        if (who->scope != SCOPE_WORKER)
            return error_set(err, DENIED, "only a token of scope 'worker' may lease jobs");
        return OK;
    case SCOPE_ADMIN:
    case SCOPE_METRICS:
        if (who->scope != SCOPE_ADMIN)
            return error_set(err, DENIED, "only a token of scope 'admin' may do this");
        return OK;
    case SCOPE_NONE:
    case SCOPE_LEASE:
        return OK;
    }
    return error_set(err, DENIED, "not allowed");
}

/* Asked from this machine itself, not through a proxy on it. */
static bool is_local(const struct exchange *x)
{
    return http_from_loopback(x->call) && !http_header(x->call, "X-Forwarded-For") &&
           !http_header(x->call, "Forwarded");
}

enum status auth_check(struct exchange *x, enum scope scope, struct error *err)
{
    const char *header = http_header(x->call, "Authorization");
    if (scope == SCOPE_NONE || (scope == SCOPE_METRICS && !header && is_local(x)))
        return OK;
    const char *basic = credentials(header, "Basic"), *bearer = credentials(header, "Bearer");
    if (scope == SCOPE_LEASE)
        return bearer
                   ? by_lease(x, bearer, err)
                   : unauthorized(x, err, "this needs the token of the lease: 'Authorization: Bearer TOKEN'");
    if (basic)
        TRY(by_password(x, basic, err));
    else if (bearer)
        TRY(by_token(x, bearer, err));
    else
        return unauthorized(x, err,
                            header ? "the Authorization header is neither Basic nor Bearer"
                                   : "this needs a user name and password, or a token");
    return allow(x, scope, err);
}
