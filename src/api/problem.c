/*
 * problem.c - failures as problem documents (RFC 9457).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/server.h"

int problem_status_of(enum status status)
{
    switch (status) {
    case OK:
        return 200;
    case INVALID:
        return 400;
    case DENIED:
        return 403;
    case NOT_FOUND:
        return 404;
    case CONFLICT:
        return 409;
    case TOO_LARGE:
        return 413;
    case UNSUPPORTED:
        return 415;
    case UNAVAILABLE:
    case CANCELLED:
        return 503;
    case LIMITED:
        return 429;
    case NO_SPACE:
        return 507;
    case FAILED:
        break;
    }
    return 500;
}

const char *http_phrase(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(phrases); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "Error";
}

enum status problem_at(struct response *r, const char *pointer, struct error *err, enum status status,
                       const char *format, ...)
{
    char message[ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    snprintf(r->pointer, sizeof(r->pointer), "%s", pointer);
    r->has_pointer = true;
    return error_set(err, status, "%s", message);
}

void problem_http_status(struct response *r, int http_status)
{
    r->problem_status = http_status;
}

void problem_member(struct response *r, const char *name, json_t *json)
{
    if (!r->problem_members)
        r->problem_members = json_object();
    json_object_set_new(r->problem_members, name, json);
}

/* A message as JSON text can hold it: what is not UTF-8 becomes '?'. */
static json_t *json_of_message(const char *message)
{
    json_t *json = json_string(message);
    if (json)
        return json;
    CLEANUP(freep) char *plain = xstrdup(message);
    for (char *c = plain; *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    return json_string(plain);
}

void problem_reply(struct exchange *x, const struct error *err)
{
    struct response *r = &x->response;
    int status = r->problem_status ? r->problem_status : problem_status_of(err->status);
    json_t *p = r->problem_members ? json_incref(r->problem_members) : json_object();
    json_object_set_new(p, "type", json_string("about:blank"));
    json_object_set_new(p, "title", json_string(http_phrase(status)));
    json_object_set_new(p, "status", json_integer(status));
    json_object_set_new(p, "detail", json_of_message(err->message));
    json_object_set_new(p, "instance", json_of_message(x->path));
    json_object_set_new(p, "request-id", json_string(x->id));
    if (err->line > 0) {
        json_object_set_new(p, "line", json_integer(err->line));
        json_object_set_new(p, "column", json_integer(err->column));
    }
    if (r->has_pointer)
        json_object_set_new(p, "errors",
                            json_pack("[{s:o,s:o}]", "pointer", json_of_message(r->pointer), "detail",
                                      json_of_message(err->message)));
    char *text = json_text(p);
    json_decref(p);
    free(r->reply->bytes);
    r->reply->status = status;
    r->reply->bytes = text;
    r->reply->offset = 0;
    r->reply->size = (int64_t)strlen(text);
    http_reply_header(r->reply, "Content-Type", "application/problem+json; charset=utf-8");
    if (status == 401)
        http_reply_header(r->reply, "WWW-Authenticate",
                          "Basic realm=\"et\", charset=\"UTF-8\", Bearer realm=\"et\"");
    if (status == 503)
        http_reply_header(r->reply, "Retry-After", "5");
}
