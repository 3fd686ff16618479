/*
 * server.h - inside the API: one request on its way from the head to the answer.
 *
 *   exchange.c  the steps: route, who, body, handler, waiting, answer
 *   auth.c      who asks, and may they
 *   body.c      what they sent
 *   response.c  what handlers answer; problem.c when they fail
 *   waits.c     who waits for what
 */
#ifndef ET_SERVER_H
#define ET_SERVER_H

#include <stdatomic.h>

#include "api/api.h"
#include "api/http.h"
#include "api/legacy.h"
#include "api/router.h"
#include "api/sender.h"
#include "api/serve.h"
#include "api/waits.h"

#define JSON_BODY_MAX (1024 * 1024)
#define LARGE_MIB_MAX 32 /* of larger ones together, where routes take them */

/* Counted for /metrics. */
struct meters {
    atomic_llong requests[6]; /* by status class: [2] is 2xx */
    atomic_llong running;     /* requests between head and answer */
    atomic_llong waiting;     /* long polls */
    atomic_llong bytes_in, bytes_out, milliseconds;
};

struct api {
    struct api_options options;
    struct store *store;
    struct http_server *http;
    struct waits *waits;
    struct sender *sender;             /* of webhooks */
    const struct route *const *tables; /* of all that this server answers: routes.c, and legacy's */
    struct legacy *legacy;
    struct meters meters;
    atomic_int large_mib; /* of JSON over the usual, that is being worked on */
    atomic_bool stopping;
    atomic_ullong n_requests;
    int64_t started_ms; /* since 1970 */
    char *openapi;      /* the document's text, made once */
};

struct response {
    struct http_reply *reply;
    char blob[65]; /* response_blob: sent at the end; "" else */
    struct waiter *waiter;
    bool waits;
    stream_source source; /* response_stream; NULL else */
    enum stream_next end; /* of a stream whose last piece is on its way */

    /* When the handler fails. */
    char pointer[FIELD_POINTER_MAX];
    bool has_pointer;
    int problem_status;
    json_t *problem_members;
};

struct body; /* body.c */

struct exchange {
    struct request request;
    struct response response;
    struct waiter waiter;
    struct api *api;
    struct http_call *call;
    struct body *body;
    int64_t body_max;
    struct route_match match;
    struct query query;
    char *path;      /* as sent, without the query */
    char id[32];     /* of the request, for the log and problems */
    uint64_t stamp;  /* of the waits, when the handler began */
    bool idempotent; /* the key is ours until the end */
    char request_hash[65];
    int64_t sent;       /* bytes of the answer's body */
    int64_t allowed_ms; /* when the caller was last found allowed, monotonic */
};

struct exchange *exchange_of(const struct request *r);

/*
 * Fills request->who for a route of that scope, or says 401, 403 or 404.
 */
enum status auth_check(struct exchange *x, enum scope scope, struct error *err);

/* The body, as the route takes it.  write: INVALID, TOO_LARGE, NO_SPACE... end fills the request. */
enum status body_begin(struct exchange *x, int64_t *ret_max, struct error *err);
enum status body_write(struct exchange *x, const char *bytes, size_t size, struct error *err);
enum status body_end(struct exchange *x, struct error *err);
void body_free(struct body *b); /* an upload under way leaves nothing; NULL is fine */

/* The problem document of err as the reply. */
void problem_reply(struct exchange *x, const struct error *err);
int problem_status_of(enum status status);
const char *http_phrase(int status);

/* response_blob's answer, with what the client asked for: range, cached already. */
enum status blob_answer(struct exchange *x, struct error *err);

/* /openapi.json, from tables of routes and their fields.  New. */
char *openapi_text(const struct route *const *tables);

void response_release(struct response *r);

extern const struct http_callbacks exchange_callbacks;
extern const struct route user_routes[], token_routes[], blob_routes[], health_routes[], docs_routes[],
    boss_routes[], queue_page_routes[], usage_routes[], webhook_routes[];

#endif
