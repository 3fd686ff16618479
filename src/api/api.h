/*
 * api.h - between the HTTP server (server.c) and the resources.
 *
 * A resource is one file with handlers and field tables; routes.c is the one
 * table of routes.  A handler runs on a pool thread, after authentication
 * and after the whole body has arrived (files have gone straight to the blob
 * store by then), and fills a response.  It never blocks to wait: it says
 * response_wait() and is called again when its topic stirs.
 */
#ifndef ET_API_H
#define ET_API_H

#include "api/fields.h"
#include "base/address.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/pools.h"
#include "store/store.h"

struct api;

enum scope {
    SCOPE_NONE,   /* open to all */
    SCOPE_USER,   /* Basic, or a Bearer token of scope user or admin that has an owner */
    SCOPE_WORKER, /* POST /leases */
    SCOPE_ADMIN,
    SCOPE_LEASE, /* the token of one attempt: args[0] is the job, args[1] the attempt, and the token is right;
                    that the attempt is still current is checked for BODY_RAW and BODY_BYTES only, else by
                    the handler */
    SCOPE_METRICS, /* loopback, or admin */
    SCOPE_ANY,     /* a user, or the operator's admin token, whose owner is "" */
};

enum body_kind {
    BODY_NONE,
    BODY_JSON,     /* at most 1 MiB; request->body is an object */
    BODY_DOCUMENT, /* JSON as above, or multipart: a part `document` (the JSON) and files */
    BODY_FORM,     /* multipart: values and files; or JSON as above (classify) */
    BODY_RAW,      /* any bytes, streamed to the blob store: request->raw */
    BODY_BYTES,    /* any bytes, at most 1 MiB, in memory: request->bytes */
};

/* A file that arrived: in the blob store, not yet referenced by anything. */
struct upload {
    char *part;      /* name of the part: "url" */
    char *file_name; /* as the client said, reduced to its last path element; may be "" */
    char sha256[65];
    char sha1[41];
    int64_t size;
};
/* A plain value in a form. */
struct form_value {
    char *part, *value;
};

struct principal {
    enum scope scope;
    char owner[160];      /* "user:NAME"; of a worker's token: "" */
    char token_id[40];    /* "" for Basic */
    bool lease_over; /* SCOPE_LEASE: the token is the attempt's, but that is not the current one */
};

struct request {
    struct api *api;
    const struct route *route;
    const char *method, *path;
    const char *args[4]; /* the {..} of the route's path, decoded, in order */
    struct principal who;
    json_t *body; /* borrowed; NULL when there is none; checked and cleaned by route->in */
    int n_uploads;
    struct upload *uploads;
    int n_values;
    struct form_value *values;
    struct upload raw; /* BODY_RAW; sha256 "" when there was no body, not even an empty one */
    const char *bytes; /* BODY_BYTES; NUL-terminated (not counted) */
    size_t n_bytes;
    /*
     * Idempotency-Key of a POST and the hash of the request; NULL: none.  The
     * server replays and saves the answer after the handler; a handler that
     * calls documents_create may have it saved in that transaction instead.
     */
    const char *idempotency_key, *request_hash;
    int64_t now_ms;
    int64_t arrived_ms; /* monotonic: for handlers that wait */
    bool waited;        /* this is a further call after response_wait */
    bool last;          /* and the last: the deadline is over, or the server stops; waiting again is 204 */
    void *state;        /* the handler's own across waits, freed with free() */
};
/* The upload of that part, or NULL. */
const struct upload *request_upload(const struct request *r, const char *part);
const char *request_query(const struct request *r, const char *name);                    /* NULL: absent */
const char *request_header(const struct request *r, const char *name);                   /* NULL: absent */
const char *request_client_address(const struct request *r, char out[ADDRESS_TEXT_MAX]); /* returns out */
bool request_client_gone(const struct request *r); /* asked before handing out something that would be lost */

struct response;
void response_json(struct response *r, int status, json_t *json /* taken */);
void response_text(struct response *r, int status, const char *content_type, char *bytes /* taken */,
                   size_t size);
/* A blob by hash, with Range, ETag, If-None-Match and HEAD done by the server. */
void response_blob(struct response *r, const char *sha256, const char *content_type);
void response_empty(struct response *r, int status);
void response_header(struct response *r, const char *name, const char *value);
/*
 * Nothing to say yet: call the handler again when `topic` stirs or at
 * deadline_ms (monotonic), whichever comes first.  Then request->waited is
 * true.  Several calls wait for any of several topics, till the earliest
 * deadline.  A stir while the handler ran is not missed.
 * Topics: "feed:OWNER", "told:OWNER", "pool:NAME", "job:ID", "worker:NAME" (store_on_change).
 */
void response_wait(struct response *r, const char *topic, int64_t deadline_ms);
/* Beside it: call the handler again at look_ms (monotonic) in any case; that is no deadline. */
void response_look(struct response *r, int64_t look_ms);
/*
 * An answer whose body is made as it goes out.  The source is called after
 * the head is sent, and again each time that what it appended to `out` has
 * gone out: so it runs no faster than the client reads, and keeps in
 * request->state where it stands.  With nothing to say it calls
 * response_wait() and appends nothing; the deadline is the time of its next
 * heartbeat.  When request->last is true (the server stops) it ends or cuts.
 *
 * END: the body is whole (after what was appended).  CUT: the client shall
 * see that it is not.
 */
enum stream_next { STREAM_MORE, STREAM_END, STREAM_CUT };
typedef enum stream_next (*stream_source)(struct request *request, struct response *response,
                                          struct buf *out);
void response_stream(struct response *r, const char *content_type, stream_source source);
#define STREAM_PIECE_BYTES (64 * 1024) /* enough for one call; out takes up to STREAM_PIECE_MAX */
#define STREAM_PIECE_MAX   (64 * 1024 * 1024)
/* Any thread: wakes who waits for the topic. */
void api_stir(struct api *api, const char *topic);

struct store *api_store(struct api *api);
bool api_allows_private_urls(const struct api *api);
int64_t api_lease_ms(const struct api *api);
const struct pools *api_pools(const struct api *api);
const char *api_scripts(const struct api *api); /* folder of installed scripts; NULL: none */
bool api_scripts_network(const struct api *api);

/*
 * A handler returns OK with the response filled, or an error that becomes a
 * problem document (RFC 9457): INVALID 400, DENIED 403, NOT_FOUND 404,
 * CONFLICT 409, TOO_LARGE 413, UNSUPPORTED 415, LIMITED 429, UNAVAILABLE 503, NO_SPACE
 * 507, FAILED 500.  problem_* say more exact things where they are needed;
 * they count only when the handler returns an error.
 */
/* error_set, and the JSON pointer of the field of the body that is wrong: "/training/datafile-id". */
enum status problem_at(struct response *r, const char *pointer, struct error *err, enum status status,
                       const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Another HTTP status than the error's own: 412, 416, 422. */
void problem_http_status(struct response *r, int http_status);
/* One more member of the problem document: "used-by": [ids].  Takes json. */
void problem_member(struct response *r, const char *name, json_t *json);

typedef enum status (*handler)(struct request *request, struct response *response, struct error *err);

struct route {
    const char *method, *path; /* "POST", "/training-jobs/{id}/cancel" */
    handler handle;
    enum scope scope;
    enum body_kind body;
    const char *summary;       /* "Queue a training job." */
    const struct field *in;    /* accepted body, decoded before the handler runs (PATCH: all optional);
                                  NULL: none, or the handler's own */
    const struct field *out;   /* answer; NULL: said in summary */
    int success;               /* 201 */
    const struct field *query; /* query parameters: FIELD_INT ones are checked; NULL: none */
    const char *const *files;  /* names of file parts taken (BODY_DOCUMENT, BODY_FORM), NULL-terminated; in a
                                  BODY_DOCUMENT a file stands for the field of its name */
    int json_max;              /* bytes of the body's JSON at most; 0: 1 MiB */
    bool cors; /* open to the pages of other sites, with the headers that say so; OPTIONS is 200 */
};
/* Resources' tables, put together in routes.c; each ends with a row whose method is NULL. */
extern const struct route *const route_tables[];

#endif
