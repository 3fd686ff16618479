/*
 * http.h - HTTP/1.1 below the API: connections, heads, bodies, answers.
 *
 * The only place that knows libmicrohttpd.  A call is one request and its
 * answer; its way, with the thread that each step runs on:
 *
 *   head arrives (network) --> begin (pool) --BODY--> body pieces (pool) --> end (pool)
 *                                 |                      |                  |
 *                                 '-------- ANSWER ------'---- or WAIT -----'
 *   WAIT: nothing happens until http_again(), then again (pool)
 *   ANSWER: the reply is sent (network), then done (network)
 *
 * An answer may be a stream: its head goes out, then its body in pieces,
 *
 *   more (pool) --PIECE--> the piece is sent (network) --> more (pool) ...
 *      |--WAIT--> nothing until http_again(), then again (pool), which answers as more does
 *      '--END--> the body ends        '--CUT--> the connection is cut: the client knows that there is more
 *
 * so a client is told no faster than it reads, and one that has not taken a
 * piece within idle_ms is cut.
 *
 * While a step runs on the pool its connection is suspended: a call is never
 * in two threads.  Request bodies come in pieces of up to HTTP_PIECE bytes, and a
 * client is read no faster than they are taken.
 *
 * Against slow clients: a head has head_ms from its connection's start; a body
 * needs body_rate bytes a second, averaged over body_window_ms.
 */
#ifndef ET_HTTP_H
#define ET_HTTP_H

#include "base/address.h"
#include "base/base.h"

#define HTTP_PIECE          (256 * 1024)
#define HTTP_UNKNOWN_LENGTH (-1)

struct http_server;
struct http_call;

enum http_next { HTTP_ANSWER, HTTP_BODY, HTTP_WAIT, HTTP_PIECE_READY, HTTP_END, HTTP_CUT };

#define HTTP_REPLY_HEADERS 20

struct http_reply {
    int status;
    int n_headers;
    struct {
        char *name, *value;
    } headers[HTTP_REPLY_HEADERS];
    char *bytes;          /* owned; or NULL */
    int fd;               /* owned; -1: none */
    int64_t offset, size; /* of the bytes, or in the file */
    bool streams;         /* the body comes from more(): bytes and size are its current piece */
};
void http_reply_init(struct http_reply *r);
void http_reply_release(struct http_reply *r);
/* Copies both; a header of the same name is replaced.  Control characters in value become spaces. */
void http_reply_header(struct http_reply *r, const char *name, const char *value);

struct http_callbacks {
    /* The head is there and sound.  BODY: http_take_body() was called; also for a request without one. */
    enum http_next (*begin)(void *context, struct http_call *c);
    enum http_next (*body)(void *context, struct http_call *c, const char *bytes, size_t size);
    enum http_next (*end)(void *context, struct http_call *c);
    enum http_next (*again)(void *context, struct http_call *c);
    /* The last piece of a stream is out: puts the next one into the reply's bytes and size (PIECE_READY). */
    enum http_next (*more)(void *context, struct http_call *c);
    /* A head that is refused here: fills the reply of status 400, 413 or 503. */
    void (*refuse)(void *context, struct http_call *c, int status, const char *why);
    /* The call is over (sent: the whole answer went out); its user pointer goes with it. */
    void (*done)(void *context, struct http_call *c, bool sent);
};

struct http_options {
    const char *listen; /* "127.0.0.1:8080", "[::1]:0", "localhost:80" */
    int n_threads;      /* of the pool */
    int max_connections;
    int64_t head_ms, body_window_ms, body_rate, idle_ms;
    const struct http_callbacks *callbacks;
    void *context;
};

/*
 * Binds; connections wait until http_serve.  Errors: INVALID for an address
 * that is none; CONFLICT when it is in use; DENIED for a port that needs
 * privileges.
 */
enum status http_new(const struct http_options *options, struct http_server **ret_server, struct error *err);
/* Once; the options' context must be ready for calls. */
enum status http_serve(struct http_server *s, struct error *err);
const char *http_address(const struct http_server *s); /* "127.0.0.1:41234", as bound */

void http_free(struct http_server *s); /* one that does not serve, or has stopped; NULL is fine */

/* From here on no connection is taken and heads get 503. */
void http_quiesce(struct http_server *s);
/*
 * Waits up to grace_ms for running calls, then cuts connections.  The owner
 * of waiting calls must have woken them.  False: a call never ended; the
 * server must not be freed.
 */
bool http_stop(struct http_server *s, int64_t grace_ms);
int http_connections(const struct http_server *s);

/* The request. */
const char *http_method(const struct http_call *c);
const char *http_uri(const struct http_call *c); /* as sent: path and query, not decoded */
const char *http_header(const struct http_call *c, const char *name);
int64_t http_length(const struct http_call *c); /* of the body; HTTP_UNKNOWN_LENGTH when chunked */
const char *http_client_address(const struct http_call *c, char out[ADDRESS_TEXT_MAX]); /* returns out */
bool http_from_loopback(const struct http_call *c);
bool http_gone(const struct http_call *c);        /* the client has closed its side */
int64_t http_received(const struct http_call *c); /* bytes of the body so far */

/* For the library's reader of forms. */
struct MHD_Connection *http_connection(const struct http_call *c);

/* In begin: a body of up to max_bytes is wanted (more: refuse 413). */
void http_take_body(struct http_call *c, int64_t max_bytes);
struct http_reply *http_reply(struct http_call *c);
void http_set_user(struct http_call *c, void *user);
void *http_user(const struct http_call *c);
/* Any thread, once for each WAIT. */
void http_again(struct http_call *c);

#endif
