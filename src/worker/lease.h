/*
 * lease.h - the worker's side of docs/worker-protocol.md: one request a call,
 * no retries (job.h has those).
 */
#ifndef ET_LEASE_H
#define ET_LEASE_H

#include "base/http_client.h"
#include "base/json.h"

struct lease_input {
    const char *name, *sha256; /* lent by the lease; sha256 "" when not said */
    int64_t size;
};

/* One attempt at one job, as the server handed it out.  Strings are lent by `json`. */
struct lease {
    json_t *json;
    const char *job, *token, *kind, *pool;
    int attempt;
    int64_t heartbeat_ms, lease_ms, max_seconds;
    bool allow_private_urls;
    const json_t *spec; /* an object */
    int n_inputs;
    struct lease_input *inputs;
};

/* Reads one element of `jobs`.  Errors: INVALID, what is missing. */
enum status lease_read(json_t *json, struct lease *ret_lease, struct error *err);
void lease_release(struct lease *l);
const struct lease_input *lease_find_input(const struct lease *l, const char *name); /* NULL: none */

struct lease_server {
    const char *url;   /* without a slash at its end */
    const char *token; /* of scope worker */
};

struct lease_request {
    char request_id[33];
    const char *worker;
    int n_pools;
    const char *const *pools;
    int n_all_pools; /* that there are, open to jobs now or not; 0: those */
    const char *const *all_pools;
    int slots;     /* jobs wanted at most */
    int all_slots; /* that there are */
    int64_t wait_ms;
    bool tell_drained; /* be answered at once when the worker is drained */
};

/*
 * POST /leases.  *ret_jobs: an array, empty when there is no work.
 * *ret_drained: there will be none (only where tell_drained was asked).
 * Errors: UNAVAILABLE (ask again with the same request_id), DENIED, CANCELLED.
 */
enum status lease_ask(struct http_client *http, const struct lease_server *server,
                      const struct lease_request *request, const atomic_bool *stop, json_t **ret_jobs,
                      bool *ret_drained, struct error *err);

/* A request below /leases/JOB/ATTEMPT/. */
struct lease_call {
    const char *method, *path; /* "POST", "heartbeat" */
    const json_t *json;        /* a body as JSON, or */
    const void *body;          /* bytes, or */
    int body_fd;               /* body_size bytes from the descriptor's place */
    int64_t body_size;
    const char *sha256; /* of the body, to be checked by the server; or NULL */
    int also;           /* a further status that counts as success; 0: none */
    enum status (*sink)(void *context, const void *bytes, size_t size, struct error *err);
    void *context;
    const char *range; /* "bytes=100-", or NULL */
    int64_t timeout_ms;
    const atomic_bool *stop;
};

/*
 * *ret_json (may be NULL): the answer, NULL when it is no JSON; owned by the
 * caller.  Errors: CONFLICT (409: the attempt is over), UNAVAILABLE (no
 * answer, 5xx, 408, 429), DENIED, NOT_FOUND, TOO_LARGE, NO_SPACE (507),
 * INVALID, CANCELLED, or what the sink said.
 */
enum status lease_send(struct http_client *http, const char *server_url, const struct lease *lease,
                       const struct lease_call *call, json_t **ret_json, struct error *err);

#endif
