/*
 * usage.c - what an owner's things take, and for how long they are kept.
 */
#include "store/usage.h"

#include <string.h>

#include "api/resource.h"
#include "api/server.h"

#define DAYS_MAX 36500

static const struct field usage_fields[] = {
    {"owner", FIELD_STRING, READ_ONLY, "Whose."},
    {"blob-bytes", FIELD_INT, READ_ONLY, "Files and models, each counted once."},
    {"log-bytes", FIELD_INT, READ_ONLY, "What jobs printed."},
    {"metric-points", FIELD_INT, READ_ONLY, "What jobs measured."},
    {"documents", FIELD_INT, READ_ONLY, "Documents that are not deleted."},
    {"quota", FIELD_INT, READ_ONLY | NULLABLE, "Bytes that blobs and logs may take; null: no limit."},
    {"keep-days", FIELD_INT, READ_ONLY | NULLABLE, "Ended jobs go after so many days; null: never."},
    {NULL},
};
static const struct field usage_rows[] = {{"*", FIELD_OBJECT, 0, "An owner.", .fields = usage_fields},
                                          {NULL}};
static const struct field usage_out[] = {
    {"items", FIELD_ARRAY, READ_ONLY, "You; for the operator, every owner.", .fields = usage_rows},
    {NULL},
};
static const struct field keep_in[] = {
    {"keep-days", FIELD_INT, REQUIRED | NULLABLE,
     "Delete ended jobs, and what only they use, after so many days; 0: never; null: as the server does.",
     .max = DAYS_MAX},
    {NULL},
};
static const struct field quota_in[] = {
    {"bytes", FIELD_INT, REQUIRED | NULLABLE, "For blobs and logs; 0: no limit; null: as the server says.",
     .max = 9e15},
    {NULL},
};

static json_t *limit_json(int64_t value)
{
    return value ? json_integer(value) : json_null();
}

static json_t *usage_json(const struct usage *u)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:o}", "owner", u->owner, "blob-bytes",
                     (json_int_t)u->blob_bytes, "log-bytes", (json_int_t)u->log_bytes, "metric-points",
                     (json_int_t)u->metric_points, "documents", (json_int_t)u->documents, "quota",
                     limit_json(u->quota_bytes), "keep-days", limit_json(u->keep_days));
}

static enum status usage_all(struct request *r, struct response *response, struct error *err)
{
    CLEANUP(usage_list_release) struct usage_list list = {0};
    TRY(usage_list(api_store(r->api), &list, err));
    json_t *items = json_array();
    for (int i = 0; i < list.n; i++)
        json_array_append_new(items, usage_json(&list.usages[i]));
    response_json(response, 200, json_pack("{s:o}", "items", items));
    return OK;
}

static enum status usage_handler(struct request *r, struct response *response, struct error *err)
{
    if (r->who.scope == SCOPE_ADMIN)
        return usage_all(r, response, err);
    struct usage usage;
    TRY(usage_get(api_store(r->api), r->who.owner, &usage, err));
    response_json(response, 200, json_pack("{s:[o]}", "items", usage_json(&usage)));
    return OK;
}

enum status user_of_path(const struct request *r, char ret_owner[OWNER_MAX], struct error *err)
{
    CLEANUP(document_release) struct document user = {0};
    bool may = r->who.scope == SCOPE_ADMIN;
    if (user_id(r->args[0], ret_owner, NULL) != OK || (!may && strcmp(ret_owner, r->who.owner) != 0))
        return error_set(err, NOT_FOUND, "there is no user '%.64s'", r->args[0]);
    enum status status = document_get(api_store(r->api), ret_owner, ret_owner, &user, err);
    return status == NOT_FOUND ? error_set(err, NOT_FOUND, "there is no user '%.64s'", r->args[0]) : status;
}

/* The body's number; -1 for null: the server's. */
static int64_t limit_of(const json_t *body, const char *name)
{
    return json_get_int(body, name, -1);
}

static enum status respond_usage(struct request *r, struct response *response, const char *owner,
                                 struct error *err)
{
    struct usage usage;
    TRY(usage_get(api_store(r->api), owner, &usage, err));
    response_json(response, 200, usage_json(&usage));
    return OK;
}

static enum status keep_set(struct request *r, struct response *response, struct error *err)
{
    char owner[OWNER_MAX];
    TRY(user_of_path(r, owner, err));
    TRY(owner_keep_set(api_store(r->api), owner, limit_of(r->body, "keep-days"), err));
    return respond_usage(r, response, owner, err);
}

static enum status quota_set(struct request *r, struct response *response, struct error *err)
{
    char owner[OWNER_MAX];
    TRY(user_of_path(r, owner, err));
    TRY(owner_quota_set(api_store(r->api), owner, limit_of(r->body, "bytes"), err));
    return respond_usage(r, response, owner, err);
}

const struct route usage_routes[] = {
    {"GET", "/usage", usage_handler, SCOPE_ANY, BODY_NONE,
     "What you use; for the operator, what everybody does.", NULL, usage_out, 200},
    {"PUT", "/users/{username}/retention", keep_set, SCOPE_ANY, BODY_JSON,
     "For how long ended jobs are kept; your own, or as the operator anybody's.", keep_in, usage_fields, 200},
    {"PUT", "/users/{username}/quota", quota_set, SCOPE_ADMIN, BODY_JSON, "How many bytes a user may use.",
     quota_in, usage_fields, 200},
    {NULL},
};
