/*
 * http_client.h - requests to other servers, by libcurl.
 *
 * One client a thread; it keeps its connections.  Nothing waits for ever:
 * connecting takes at most 5 s, and a transfer under 1 byte/s for 30 s ends,
 * unless it may be silent: then the system's keep-alive finds a dead server.
 */
#ifndef ET_HTTP_CLIENT_H
#define ET_HTTP_CLIENT_H

#include <sys/socket.h>

#include <stdatomic.h>

#include "base/buf.h"

struct http_client;

struct http_request {
    const char *method; /* "GET"; NULL: GET, or POST when there is a body */
    const char *url;
    const char *const *headers;  /* "Name: value", ends with NULL; may be NULL */
    const char *bearer;          /* token, or NULL */
    const char *user, *password; /* Basic, or NULL */

    /* The body: bytes, or a descriptor read from its current place to body_size bytes. */
    const void *body;
    int64_t body_size;
    int body_fd; /* used when body is NULL and body_size is not 0 */

    /* Where the answer's body goes: called in pieces; anything but OK stops the transfer. NULL:
     * response.body. */
    enum status (*sink)(void *context, const void *bytes, size_t size, struct error *err);
    void *context;
    int64_t max_bytes; /* of the answer; 0: 16 MiB without a sink, else no limit */

    int64_t enough_bytes; /* of the answer: what comes after them is not read; 0: all of it is (no sink) */

    bool may_be_silent; /* a stream: no limit to the time between two bytes */
    int64_t timeout_ms; /* whole request; 0: none but the stall limit */
    bool guarded;       /* a URL that a user gave: http and https only, at most 5 redirects,
                           no address that is private, loopback, link-local or multicast,
                           checked at connect time for every hop */
    bool (*allow_address)(const struct sockaddr *address); /* the guard's rule; NULL: address_is_public() */
    bool follow;             /* follow up to 5 redirects; a guarded request always does */
    bool no_redirects;       /* but not this one: a redirect is an answer like any other */
    const atomic_bool *stop; /* becomes true: give up soon with CANCELLED; may be NULL */
};

struct http_response {
    int status;      /* 200 */
    struct buf body; /* without a sink, or when status is 400 or more (64 KiB at most) */
    char content_type[128];
    char etag[128];
    char location[1024];
    int64_t retry_after_ms; /* 0: not said */
};

enum status http_client_new(struct http_client **ret_client, struct error *err);
void http_client_free(struct http_client *c);
void http_client_freep(struct http_client **c);

/*
 * OK when any complete HTTP answer came, whatever its status.
 * Errors: UNAVAILABLE (cannot connect, stalled, cut short), INVALID (a URL
 * that is none, or refused by the guard: the message says why), TOO_LARGE,
 * CANCELLED, or what the sink returned.  Release the response on OK only.
 */
enum status http_perform(struct http_client *c, const struct http_request *request,
                         struct http_response *ret_response, struct error *err);
void http_response_release(struct http_response *r);

/* Text as one element of a URL's path: all but letters, digits and -._~ as %XX.  For the caller to free. */
char *url_escape(const char *text);

#endif
