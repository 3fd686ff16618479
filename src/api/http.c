#include "api/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/acceptor.h"
#include "api/head.h"
#include "api/listen.h"
#include "api/loop.h"
#include "api/peers.h"
#include "api/pool.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"

/* Holds a head, and the library clears half of it: ten thousand watchers pay for each byte. */
#define CONNECTION_BYTES (24 * 1024)
#define HEAD_LINES_MAX   100
/* A refused body of up to this many bytes is read and dropped, and the connection lives on. */
#define SWALLOW_MAX  (1024 * 1024)
#define STREAM_BLOCK 1024 /* for HTTP/1.0; chunks go straight into the connection's memory */
/* One that is longer is answered at once; then the client has this long to read that before the connection is
 * cut. */
#define DRAIN_MS 10000

#define NETWORK_THREADS_MAX 4

/* Connections stay with the one that they are given to. */
struct network_thread {
    struct http_server *server;
    struct MHD_Daemon *daemon;
    struct loop *loop;
    bool started; /* a connection did, since it was last set */
};

struct http_server {
    struct http_options options;
    struct network_thread network[NETWORK_THREADS_MAX];
    int n_network, next; /* threads; who gets the next connection */
    struct acceptor *acceptor;
    struct pool *pool;
    struct peers *peers;
    char address[LISTEN_TEXT_MAX];

    pthread_mutex_t lock;
    pthread_cond_t changed; /* n_calls or n_suspended */
    int n_calls, n_suspended;
    bool closing; /* nothing may suspend any more */
    atomic_bool quiet;
};

/*
 *   HEAD -> BEGIN -> BODY <-> PIECE,  BODY -> END -> ANSWERED
 *   without a body: HEAD -> WHOLE -> BEGIN -> ANSWERED; the library closes a
 *   connection that is answered at its head, so one waits for the second call
 *   refused with a body under way: -> SWALLOW -> ANSWERED, or DRAIN (already answered)
 *   a stream is ANSWERED from its head on
 */
enum step {
    STEP_HEAD,
    STEP_WHOLE,
    STEP_BEGIN,
    STEP_BODY,
    STEP_PIECE,
    STEP_END,
    STEP_SWALLOW,
    STEP_DRAIN,
    STEP_ANSWERED
};

struct http_call {
    struct pool_job job;
    struct http_server *server;
    struct loop *loop;
    struct MHD_Connection *connection;
    struct peer *conn;
    char *uri;
    char method[16];
    enum step step;
    enum http_next next; /* what the last job said */
    int64_t length, max_body, received;
    bool counted; /* in server->n_calls */
    char *piece;
    size_t piece_size;
    struct http_reply reply;
    void *user;
};

void http_reply_init(struct http_reply *r)
{
    *r = (struct http_reply){.fd = -1};
}

void http_reply_release(struct http_reply *r)
{
    for (int i = 0; i < r->n_headers; i++) {
        free(r->headers[i].name);
        free(r->headers[i].value);
    }
    free(r->bytes);
    fd_closep(&r->fd);
    http_reply_init(r);
}

void http_reply_header(struct http_reply *r, const char *name, const char *value)
{
    char *copy = xstrdup(value);
    for (char *c = copy; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
    for (int i = 0; i < r->n_headers; i++) {
        if (!strcasecmp(r->headers[i].name, name)) {
            free(r->headers[i].value);
            r->headers[i].value = copy;
            return;
        }
    }
    if (r->n_headers == HTTP_REPLY_HEADERS)
        abort();
    r->headers[r->n_headers].name = xstrdup(name);
    r->headers[r->n_headers++].value = copy;
}

/* ---- Jobs: a step of a call on the pool, with its connection suspended. ---- */

static void resume(struct http_call *c)
{
    struct http_server *s = c->server;
    struct loop *loop = c->loop;
    MHD_resume_connection(c->connection);
    loop_wake(loop);
    pthread_mutex_lock(&s->lock);
    s->n_suspended--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* After WAIT the call is no longer ours: another thread may have woken it already. */
static void job_over(struct http_call *c, enum http_next next)
{
    if (next == HTTP_WAIT)
        return;
    c->next = next;
    if (next == HTTP_BODY)
        peer_phase(c->conn, PHASE_BODY, 0);
    resume(c);
}

static struct http_call *call_of(struct pool_job *job)
{
    return (struct http_call *)((char *)job - offsetof(struct http_call, job));
}

static void run_begin(struct pool_job *job)
{
    struct http_call *c = call_of(job);
    job_over(c, c->server->options.callbacks->begin(c->server->options.context, c));
}

static enum http_next give_piece(struct http_call *c)
{
    size_t size = c->piece_size;
    c->piece_size = 0;
    return c->server->options.callbacks->body(c->server->options.context, c, c->piece, size);
}

static void run_piece(struct pool_job *job)
{
    struct http_call *c = call_of(job);
    job_over(c, give_piece(c));
}

static void run_more(struct pool_job *job)
{
    struct http_call *c = call_of(job);
    job_over(c, c->server->options.callbacks->more(c->server->options.context, c));
}

static void run_end(struct pool_job *job)
{
    struct http_call *c = call_of(job);
    enum http_next next = c->piece_size ? give_piece(c) : HTTP_BODY;
    if (next == HTTP_BODY)
        next = c->server->options.callbacks->end(c->server->options.context, c);
    job_over(c, next);
}

static void run_again(struct pool_job *job)
{
    struct http_call *c = call_of(job);
    job_over(c, c->server->options.callbacks->again(c->server->options.context, c));
}

void http_again(struct http_call *c)
{
    c->job.run = run_again;
    pool_add(c->server->pool, &c->job);
}

static enum MHD_Result suspend_for(struct http_call *c, enum step step, void (*run)(struct pool_job *))
{
    struct http_server *s = c->server;
    pthread_mutex_lock(&s->lock);
    bool closing = s->closing;
    if (!closing)
        s->n_suspended++;
    pthread_mutex_unlock(&s->lock);
    if (closing)
        return MHD_NO;
    c->step = step;
    c->job.run = run;
    peer_phase(c->conn, PHASE_BUSY, 0);
    MHD_suspend_connection(c->connection);
    pool_add(s->pool, &c->job);
    return MHD_YES;
}

/* ---- Answers. ---- */

/* The library asks for bytes of a stream: those of the piece at hand, or the call goes to look for more. */
static ssize_t read_stream(void *context, uint64_t position, char *out, size_t max)
{
    (void)position;
    struct http_call *c = context;
    struct http_reply *r = &c->reply;
    if (c->next == HTTP_PIECE_READY) {
        size_t n = MIN((size_t)(r->size - r->offset), max);
        memcpy(out, r->bytes + r->offset, n);
        if (!r->offset)
            peer_phase(c->conn, PHASE_PIECE, clock_monotonic_ms() + c->server->options.idle_ms);
        r->offset += (int64_t)n;
        if (r->offset == r->size) {
            freep(&r->bytes);
            r->offset = r->size = 0;
            c->next = HTTP_WAIT;
        }
        return (ssize_t)n;
    }
    if (c->next == HTTP_END)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (c->next == HTTP_CUT || suspend_for(c, STEP_ANSWERED, run_more) != MHD_YES)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    return 0;
}

static enum MHD_Result queue_reply(struct http_call *c)
{
    struct http_reply *r = &c->reply;
    struct MHD_Response *response;
    if (r->streams) {
        c->next = HTTP_WAIT;
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, c, NULL);
    } else if (r->fd >= 0 && r->size > 0) {
        response = MHD_create_response_from_fd_at_offset64((uint64_t)r->size, r->fd, (uint64_t)r->offset);
        if (response)
            r->fd = -1;
    } else if (r->bytes && r->size > 0) {
        response = MHD_create_response_from_buffer_with_free_callback((size_t)r->size, r->bytes, free);
        if (response)
            r->bytes = NULL;
    } else {
        response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    }
    if (!response)
        return MHD_NO;
    for (int i = 0; i < r->n_headers; i++)
        MHD_add_response_header(response, r->headers[i].name, r->headers[i].value);
    if (atomic_load(&c->server->quiet))
        MHD_add_response_header(response, "Connection", "close");
    peer_phase(c->conn, PHASE_SEND, 0);
    c->step = STEP_ANSWERED;
    enum MHD_Result result = MHD_queue_response(c->connection, (unsigned)r->status, response);
    MHD_destroy_response(response);
    return result;
}

/* Writes the answer past the library, which takes none while a body arrives, and ends our side. */
static void send_now(struct http_call *c)
{
    const struct http_reply *r = &c->reply;
    const char *phrase = MHD_get_reason_phrase_for((unsigned)r->status);
    struct buf b;
    buf_init(&b, 128 * 1024);
    buf_printf(&b, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %lld\r\n", r->status, phrase,
               (long long)(r->bytes ? r->size : 0));
    for (int i = 0; i < r->n_headers; i++)
        buf_printf(&b, "%s: %s\r\n", r->headers[i].name, r->headers[i].value);
    buf_puts(&b, "\r\n");
    if (r->bytes && r->size > 0)
        buf_append(&b, r->bytes, (size_t)r->size);
    if (!b.overflowed && send(c->conn->fd, b.data, b.size, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
        shutdown(c->conn->fd, SHUT_WR);
    buf_release(&b);
}

/* The call is refused, or over, before its body has all arrived; `more`: it is still arriving. */
static enum MHD_Result answer_early(struct http_call *c, bool first, bool more)
{
    const char *expect = http_header(c, "Expect");
    if (!more || (first && expect && !strcasecmp(expect, "100-continue")))
        return queue_reply(c);
    if (c->length != HTTP_UNKNOWN_LENGTH && c->length - c->received <= SWALLOW_MAX) {
        c->step = STEP_SWALLOW;
        peer_phase(c->conn, PHASE_BODY, 0);
        return MHD_YES;
    }
    send_now(c);
    c->step = STEP_DRAIN;
    peer_phase(c->conn, PHASE_DRAIN, clock_monotonic_ms() + DRAIN_MS);
    return MHD_YES;
}

/* ---- The library's calls, on a network thread. ---- */

struct lines {
    struct head_line lines[HEAD_LINES_MAX];
    int n;
};

static enum MHD_Result collect_line(void *context, enum MHD_ValueKind kind, const char *name,
                                    size_t name_size, const char *value, size_t value_size)
{
    (void)kind;
    struct lines *l = context;
    if (l->n == HEAD_LINES_MAX)
        return MHD_NO;
    l->lines[l->n++] = (struct head_line){name, value, name_size, value_size};
    return MHD_YES;
}

static enum MHD_Result take_head(struct http_call *c, const char *method, const char *version)
{
    struct http_server *s = c->server;
    snprintf(c->method, sizeof(c->method), "%s", method);
    pthread_mutex_lock(&s->lock);
    s->n_calls++;
    pthread_mutex_unlock(&s->lock);
    c->counted = true;

    struct lines l = {.n = 0};
    int n = MHD_get_connection_values_n(c->connection, MHD_HEADER_KIND, collect_line, &l);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    struct head head = {.version = version,
                        .method = method,
                        .size = info ? info->header_size : 0,
                        .n_lines = l.n,
                        .lines = l.lines};
    int status = 400;
    const char *fault = n > l.n ? "it has more than 100 headers" : head_fault(&head, &c->length);
    if (!fault)
        fault = target_fault(c->uri);
    if (!fault && atomic_load(&s->quiet)) {
        fault = "the server is stopping";
        status = 503;
    }
    if (fault) {
        s->options.callbacks->refuse(s->options.context, c, status, fault);
        http_reply_header(&c->reply, "Connection", "close");
        return queue_reply(c);
    }
    if (c->length != 0)
        return suspend_for(c, STEP_BEGIN, run_begin);
    c->step = STEP_WHOLE;
    return MHD_YES;
}

static enum MHD_Result take_bytes(struct http_call *c, const char *bytes, size_t *size)
{
    atomic_fetch_add(&c->conn->window_bytes, (long long)*size);
    size_t n = MIN(*size, HTTP_PIECE - c->piece_size);
    if (c->received + (int64_t)n > c->max_body) {
        c->server->options.callbacks->refuse(c->server->options.context, c, 413, NULL);
        enum MHD_Result result = answer_early(c, false, true);
        c->received += (int64_t)*size;
        *size = 0;
        return result;
    }
    if (!c->piece)
        c->piece = xmalloc(HTTP_PIECE);
    memcpy(c->piece + c->piece_size, bytes, n);
    c->piece_size += n;
    c->received += (int64_t)n;
    *size -= n;
    return c->piece_size == HTTP_PIECE ? suspend_for(c, STEP_PIECE, run_piece) : MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *bytes, size_t *size,
                                  void **call)
{
    (void)context, (void)connection, (void)url;
    struct http_call *c = *call;
    if (!c)
        return MHD_NO;
    switch (c->step) {
    case STEP_HEAD:
        return take_head(c, method, version);
    case STEP_WHOLE:
        return suspend_for(c, STEP_BEGIN, run_begin);
    case STEP_BEGIN:
        if (c->next == HTTP_ANSWER)
            return answer_early(c, true, c->length != 0);
        c->step = STEP_BODY;
        peer_phase(c->conn, PHASE_BODY, 0);
        return MHD_YES;
    case STEP_PIECE:
        if (c->next == HTTP_ANSWER) {
            enum MHD_Result result = answer_early(c, false, *size > 0);
            c->received += (int64_t)*size;
            *size = 0;
            return result;
        }
        c->step = STEP_BODY;
        peer_phase(c->conn, PHASE_BODY, 0);
        /* fall through */
    case STEP_BODY:
        return *size ? take_bytes(c, bytes, size) : suspend_for(c, STEP_END, run_end);
    case STEP_END:
        return queue_reply(c);
    case STEP_SWALLOW:
        if (!*size)
            return queue_reply(c);
        atomic_fetch_add(&c->conn->window_bytes, (long long)*size);
        *size = 0;
        return MHD_YES;
    case STEP_DRAIN:
        if (!*size)
            return MHD_NO;
        *size = 0;
        return MHD_YES;
    case STEP_ANSWERED:
        break;
    }
    return MHD_YES;
}

static struct peer *conn_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* The first line of a request is there; the library has not yet taken its URI apart. */
static void *on_first_line(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct network_thread *t = context;
    struct peer *conn = conn_of(connection);
    if (!conn || !uri)
        return NULL;
    struct http_call *c = xcalloc(1, sizeof(*c));
    c->server = t->server;
    c->loop = t->loop;
    c->connection = connection;
    c->conn = conn;
    c->uri = xstrdup(uri);
    http_reply_init(&c->reply);
    int64_t deadline_ms = clock_monotonic_ms() + c->server->options.head_ms;
    peer_phase(conn, PHASE_HEAD, MIN(deadline_ms, (int64_t)atomic_load(&conn->deadline_ms)));
    return c;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **call,
                         enum MHD_RequestTerminationCode why)
{
    (void)connection;
    struct http_server *s = ((struct network_thread *)context)->server;
    struct http_call *c = *call;
    *call = NULL;
    if (!c)
        return;
    s->options.callbacks->done(s->options.context, c,
                               why == MHD_REQUEST_TERMINATED_COMPLETED_OK || c->step == STEP_DRAIN);
    peer_phase(c->conn, PHASE_IDLE, clock_monotonic_ms() + s->options.idle_ms);
    if (c->counted) {
        pthread_mutex_lock(&s->lock);
        s->n_calls--;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
    }
    http_reply_release(&c->reply);
    free(c->piece);
    free(c->uri);
    free(c);
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    if (address->sa_family != AF_INET6)
        return false;
    const struct in6_addr *a = &((const struct sockaddr_in6 *)address)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct network_thread *t = context;
    struct http_server *s = t->server;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        t->started = true;
        int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        const struct sockaddr *from =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
        *socket_context = peer_open(s->peers, fd, is_loopback(from));
        return;
    }
    if (*socket_context)
        peer_close(s->peers, *socket_context);
    *socket_context = NULL;
    acceptor_left(s->acceptor);
}

static void add_connection(void *context, int fd, const struct sockaddr *from, socklen_t n_from)
{
    struct network_thread *t = context;
    t->started = false;
    MHD_add_connection(t->daemon, fd, from, n_from);
    if (!t->started)
        acceptor_left(t->server->acceptor);
}

static void hand_to_next(void *context, int fd, const struct sockaddr *from, socklen_t n_from)
{
    struct http_server *s = context;
    loop_give(s->network[s->next].loop, fd, from, n_from);
    s->next = (s->next + 1) % s->n_network;
}

/* ---- Start and stop. ---- */

void http_free(struct http_server *s)
{
    if (!s)
        return;
    acceptor_free(s->acceptor);
    pool_free(s->pool);
    peers_free(s->peers);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free((char *)s->options.listen);
    free(s);
}

enum status http_new(const struct http_options *options, struct http_server **ret_server, struct error *err)
{
    struct http_server *s = xcalloc(1, sizeof(*s));
    s->options = *options;
    s->options.listen = xstrdup(options->listen);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    int fd = -1;
    enum status status = listen_on(options->listen, &fd, err);
    s->acceptor = acceptor_new(&(struct acceptor_options){
        .listen_fd = fd, .max = options->max_connections, .hand = hand_to_next, .context = s});
    if (status == OK)
        status = pool_new(options->n_threads, &s->pool, err);
    if (status == OK)
        status = peers_new(options->head_ms, options->body_window_ms, options->body_rate, &s->peers, err);
    if (status != OK)
        return http_free(s), status;
    listen_describe(fd, s->address);
    *ret_server = s;
    return OK;
}

static void network_thread_stop(struct network_thread *t)
{
    loop_stop(t->loop);
    MHD_stop_daemon(t->daemon);
    *t = (struct network_thread){0};
}

static enum status network_thread_start(struct http_server *s, struct network_thread *t, struct error *err)
{
    t->server = s;
    t->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request, t,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)s->options.max_connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)MAX((int64_t)1, (s->options.idle_ms + 999) / 1000),
        /* serve.c ignores SIGPIPE; the library need not avoid sendfile. */
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
        /* Being strict is head.c's: what the library refuses at this point it answers twice. */
        MHD_OPTION_STRICT_FOR_CLIENT, 0, MHD_OPTION_URI_LOG_CALLBACK, on_first_line, t,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, t, MHD_OPTION_NOTIFY_CONNECTION, on_connection, t,
        MHD_OPTION_END);
    if (!t->daemon)
        return error_set(err, FAILED, "cannot start the HTTP server: %s", strerror(errno));
    return loop_start(t->daemon, add_connection, t, &t->loop, err);
}

enum status http_serve(struct http_server *s, struct error *err)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    s->n_network = (int)MAX(2L, MIN(cores, (long)NETWORK_THREADS_MAX));
    enum status status = OK;
    for (int i = 0; status == OK && i < s->n_network; i++)
        status = network_thread_start(s, &s->network[i], err);
    if (status == OK)
        status = acceptor_start(s->acceptor, err);
    for (int i = 0; status != OK && i < s->n_network; i++)
        network_thread_stop(&s->network[i]);
    return status;
}

const char *http_address(const struct http_server *s)
{
    return s->address;
}

void http_quiesce(struct http_server *s)
{
    if (atomic_exchange(&s->quiet, true))
        return;
    acceptor_stop(s->acceptor);
}

bool http_stop(struct http_server *s, int64_t grace_ms)
{
    http_quiesce(s);
    int64_t end_ms = clock_monotonic_ms() + grace_ms, cut_ms = end_ms - grace_ms / 2;
    bool cut = false;
    pthread_mutex_lock(&s->lock);
    while (s->n_calls > 0 && clock_monotonic_ms() < end_ms) {
        if (!cut && clock_monotonic_ms() >= cut_ms) {
            peers_cut(s->peers);
            cut = true;
        }
        clock_wait(&s->changed, &s->lock, cut ? end_ms : cut_ms);
    }
    s->closing = s->n_suspended == 0;
    bool closing = s->closing;
    pthread_mutex_unlock(&s->lock);
    if (!closing)
        return false;
    for (int i = 0; i < s->n_network; i++)
        network_thread_stop(&s->network[i]);
    return true;
}

int http_connections(const struct http_server *s)
{
    return peers_count(s->peers);
}

/* ---- What a call can be asked. ---- */

const char *http_method(const struct http_call *c)
{
    return c->method;
}

const char *http_uri(const struct http_call *c)
{
    return c->uri;
}

const char *http_header(const struct http_call *c, const char *name)
{
    return MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND, name);
}

int64_t http_length(const struct http_call *c)
{
    return c->length;
}

const char *http_client_address(const struct http_call *c, char out[ADDRESS_TEXT_MAX])
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return address_text(info->client_addr, out);
}

bool http_from_loopback(const struct http_call *c)
{
    return c->conn->loopback;
}

bool http_gone(const struct http_call *c)
{
    return peer_is_gone(c->conn);
}

int64_t http_received(const struct http_call *c)
{
    return c->received;
}

struct MHD_Connection *http_connection(const struct http_call *c)
{
    return c->connection;
}

void http_take_body(struct http_call *c, int64_t max_bytes)
{
    c->max_body = max_bytes;
}

struct http_reply *http_reply(struct http_call *c)
{
    return &c->reply;
}

void http_set_user(struct http_call *c, void *user)
{
    c->user = user;
}

void *http_user(const struct http_call *c)
{
    return c->user;
}
