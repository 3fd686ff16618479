/*
 * users.c - users: registration, and one's own data.
 */
#include <string.h>

#include "api/resource.h"
#include "api/server.h"

static const struct field user_in[] = {
    {"username", FIELD_STRING, REQUIRED, "Name to log in with: 1 to 64 of letters, digits and . _ -",
     .min = 1, .max = 64},
    {"password", FIELD_STRING, REQUIRED | WRITE_ONLY, "Password.", .min = 1, .max = PASSWORD_MAX_BYTES},
    {"email", FIELD_STRING, 0, "Address.", .max = 320},
    {NULL},
};

static const struct field user_change[] = {
    {"password", FIELD_STRING, WRITE_ONLY, "New password.", .min = 1, .max = PASSWORD_MAX_BYTES},
    {"email", FIELD_STRING, 0, "Address.", .max = 320},
    {NULL},
};

static json_t *user_body(const char *name, const json_t *in)
{
    json_t *body = json_pack("{s:s}", "username", name);
    if (json_object_get(in, "email"))
        json_object_set(body, "email", json_object_get(in, "email"));
    return body;
}

/* Where registration is closed the operator makes users. */
static enum status may_register(struct request *r, struct error *err)
{
    struct exchange *x = exchange_of(r);
    if (x->api->options.registration_open)
        return OK;
    if (!request_header(r, "Authorization"))
        return error_set(err, DENIED, "registration is closed: ask the operator for a user");
    return auth_check(x, SCOPE_ADMIN, err);
}

/* The answer that is kept for an Idempotency-Key. */
static char *created_answer(void *context, const struct document_list *made, int *ret_http_status)
{
    (void)context;
    json_t *shown = resource_encode(&resource_user, &made->documents[0]);
    char *text = json_text(shown);
    json_decref(shown);
    *ret_http_status = 201;
    return text;
}

static enum status users_create(struct request *r, struct response *response, struct error *err)
{
    TRY(may_register(r, err));
    const char *name = json_get_string(r->body, "username", ""),
               *password = json_get_string(r->body, "password", "");
    char id[OWNER_MAX];
    if (user_id(name, id, err) != OK)
        return problem_at(response, "/username", err, INVALID,
                          "'username' is '%.64s': expected 1 to 64 of letters, digits and . _ -", name);
    CLEANUP(json_decrefp) json_t *body = user_body(name, r->body);
    CLEANUP(document_release) struct document document = {0};
    struct idempotency once = {.owner = r->who.owner,
                               .key = r->idempotency_key,
                               .request_hash = r->request_hash,
                               .answer = created_answer};
    enum status status = user_create_once(api_store(r->api), name, password, body,
                                          r->idempotency_key ? &once : NULL, r->now_ms, &document, err);
    if (status == CONFLICT)
        return problem_at(response, "/username", err, CONFLICT, "the user name '%s' is taken", name);
    if (status != OK)
        return status;
    resource_respond(response, 201, &resource_user, &document);
    return OK;
}

/* The path's name must be the caller's own; another's is answered like an unknown one. */
static enum status own_name(const struct request *r, struct error *err)
{
    char id[OWNER_MAX];
    if (user_id(r->args[0], id, NULL) != OK || strcmp(id, r->who.owner))
        return error_set(err, NOT_FOUND, "there is no user '%.64s'", r->args[0]);
    return OK;
}

static enum status users_get(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(document_release) struct document document = {0};
    TRY(own_name(r, err));
    TRY(document_get(api_store(r->api), r->who.owner, r->who.owner, &document, err));
    resource_respond(response, 200, &resource_user, &document);
    return OK;
}

static enum status users_change(struct request *r, struct response *response, struct error *err)
{
    struct store *store = api_store(r->api);
    CLEANUP(document_release) struct document document = {0}, changed = {0};
    TRY(own_name(r, err));
    TRY(document_get(store, r->who.owner, r->who.owner, &document, err));
    if (json_object_get(r->body, "email")) {
        json_object_set(document.body, "email", json_object_get(r->body, "email"));
        TRY(document_update(store, r->who.owner, r->who.owner, document.rev, document.body, r->now_ms,
                            &changed, err));
    }
    const char *password = json_get_string(r->body, "password", NULL);
    if (password)
        TRY(user_set_password(store, r->args[0], password, r->now_ms, err));
    resource_respond(response, 200, &resource_user, changed.body ? &changed : &document);
    return OK;
}

static enum status users_delete(struct request *r, struct response *response, struct error *err)
{
    char owner[OWNER_MAX];
    TRY(user_of_path(r, owner, err));
    TRY(user_delete(api_store(r->api), r->args[0], r->now_ms, err));
    response_empty(response, 204);
    return OK;
}

const struct route user_routes[] = {
    {"POST", "/users", users_create, SCOPE_NONE, BODY_JSON, "Register a user.", user_in, .success = 201},
    {"GET", "/users/{username}", users_get, SCOPE_USER, BODY_NONE, "Your own user.", .success = 200},
    {"PATCH", "/users/{username}", users_change, SCOPE_USER, BODY_JSON, "Change your password or address.",
     user_change, .success = 200},
    {"DELETE", "/users/{username}", users_delete, SCOPE_ANY, BODY_NONE,
     "Delete a user and all that is theirs: yourself, or as the operator anybody.", .success = 204},
    {NULL},
};
