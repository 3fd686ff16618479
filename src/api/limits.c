/*
 * limits.c - how much a user may have under way; the operator says it.
 */
#include <string.h>

#include "api/resource.h"
#include "api/server.h"

static const struct field limits_fields[] = {
    {"running", FIELD_INT, 0, "Jobs that may run at a time in each pool; 0 is no limit.", .max = 1000000,
     .otherwise = "0"},
    {"queued", FIELD_INT, 0, "Jobs that may wait for their turn; 0 is no limit.", .max = 1000000000,
     .otherwise = "0"},
    {NULL},
};

/* The owner of the path's name, when it is the caller's own or an admin asks.  Errors: NOT_FOUND. */
static enum status limited_owner(const struct request *r, char ret_id[OWNER_MAX], struct error *err)
{
    CLEANUP(document_release) struct document user = {0};
    if (user_id(r->args[0], ret_id, NULL) != OK ||
        (r->who.scope != SCOPE_ADMIN && strcmp(ret_id, r->who.owner) != 0) ||
        document_get(api_store(r->api), ret_id, ret_id, &user, NULL) != OK)
        return error_set(err, NOT_FOUND, "there is no user '%.64s'", r->args[0]);
    return OK;
}

static enum status answer(struct request *r, struct response *response, const char *owner, struct error *err)
{
    struct limits limits;
    TRY(limits_get(api_store(r->api), owner, &limits, err));
    response_json(response, 200, json_pack("{s:i, s:i}", "running", limits.running, "queued", limits.queued));
    return OK;
}

static enum status limits_show(struct request *r, struct response *response, struct error *err)
{
    char owner[OWNER_MAX];
    TRY(limited_owner(r, owner, err));
    return answer(r, response, owner, err);
}

static enum status limits_change(struct request *r, struct response *response, struct error *err)
{
    char owner[OWNER_MAX];
    TRY(limited_owner(r, owner, err));
    struct limits limits = {.running = (int)json_get_int(r->body, "running", 0),
                            .queued = (int)json_get_int(r->body, "queued", 0)};
    TRY(limits_set(api_store(r->api), owner, &limits, err));
    return answer(r, response, owner, err);
}

const struct route limit_routes[] = {
    {"GET", "/users/{username}/limits", limits_show, SCOPE_ANY, BODY_NONE, "What a user may have under way.",
     NULL, limits_fields, 200},
    {"PUT", "/users/{username}/limits", limits_change, SCOPE_ADMIN, BODY_JSON,
     "Limit what a user may have under way.", limits_fields, limits_fields, 200},
    {NULL},
};
