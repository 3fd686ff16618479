/*
 * serve.h - the API as a whole: start it on a store, stop it.
 */
#ifndef ET_SERVE_H
#define ET_SERVE_H

#include "base/pools.h"

struct api;
struct store;

struct api_options {
    const char *listen;      /* "127.0.0.1:8080"; port 0: a free one */
    const char *data;        /* folder whose free space /metrics tells; NULL: none */
    bool allow_private_urls; /* users' URLs may lead to private addresses */
    struct pools pools;      /* that jobs are given to; none: cpu and gpu, of any size */
    const char *scripts;     /* folder of scripts that users may run by name; NULL: none */
    bool scripts_network;    /* scripts may ask for the network */
    bool registration_open;  /* anyone may POST /users */
    int64_t lease_ms;        /* a worker that is silent so long has lost its jobs; 0: 20 s */
    int64_t max_upload;      /* bytes of one request's body; 0: 16 GiB */
    int max_connections;     /* 0: 16384 */
    int64_t head_ms;         /* a request's head must be there; 0: 10 s */
    int64_t body_window_ms;  /* a body must bring body_rate bytes a second over this time; 0: 30 s */
    int64_t body_rate;       /* 0: 1024 */
    int64_t idle_ms;         /* a connection without a request lives; 0: 75 s */
    int64_t webhook_ms;      /* for the answer of a webhook's receiver; 0: 10 s */

    const char *boss_user;    /* serves the Boss in this user's name; NULL: not at all */
    int64_t order_timeout_ms; /* an Order that a node holds lapses after it */
    const char *buckets;      /* request queues: "NAME:USER[:CLASSIFIER]" by spaces; NULL: none; need data */
    int64_t item_ms;          /* their items expire after it; 0: 30 min */
    int64_t item_lease_ms;    /* a worker that posts no progress for so long has lost its item; 0: 5 min */
};

/*
 * Serves on the store, which must outlive it; takes store_on_change.
 * Strings are copied.  Errors: as http_start's.
 */
enum status api_start(const struct api_options *options, struct store *store, struct api **ret_api,
                      struct error *err);
const char *api_address(const struct api *api); /* "127.0.0.1:41234" */

/*
 * Takes no more requests, answers those that wait, lets running ones end
 * within grace_ms, and cuts the rest.  False: one never ended; the process
 * should end without store_close or api_free.
 */
bool api_stop(struct api *api, int64_t grace_ms);
void api_free(
    struct api *api); /* once stopped, and after store_close: until then the store tells it of changes */

#endif
