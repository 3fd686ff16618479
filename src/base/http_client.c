#include "base/http_client.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"

#define CONNECT_TIMEOUT_MS 5000L
#define STALL_SECONDS      30L
#define STOP_POLL_MS       100
#define MAX_REDIRECTS      5L
#define BODY_MAX           ((int64_t)16 << 20)
#define ERROR_BODY_MAX     65536
#define EXPECT_FROM_BYTES  (1 << 20) /* a larger body waits for "100 Continue": a refusal comes cheap */

/* A handle for requests, and the one that keeps their connections and waits. */
struct lane {
    CURL *easy;
    CURLM *multi;
};

/*
 * Two lanes, because connections are reused: a guarded request must never
 * travel on one that was opened without the check.
 */
struct http_client {
    struct lane open, guarded;
};

/* One request under way: what the callbacks share. */
struct transfer {
    const struct http_request *request;
    struct http_response response;
    struct error error;
    enum status failed;             /* what a callback stopped the transfer with */
    bool cut;                       /* the body passed what is wanted: the rest is not read */
    int64_t received;               /* bytes of body */
    int64_t sent;                   /* bytes of the request's body */
    int64_t body_start;             /* place of body_fd; -1: cannot seek */
    char refused[ADDRESS_TEXT_MAX]; /* the address that the guard refused; "" */
};

static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static bool lane_init(struct lane *l)
{
    l->easy = curl_easy_init();
    l->multi = curl_multi_init();
    return l->easy && l->multi;
}

static void lane_release(struct lane *l)
{
    curl_easy_cleanup(l->easy);
    if (l->multi)
        curl_multi_cleanup(l->multi);
}

enum status http_client_new(struct http_client **ret_client, struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_curl);
    CLEANUP(http_client_freep) struct http_client *c = xcalloc(1, sizeof(*c));
    if (!lane_init(&c->open) || !lane_init(&c->guarded))
        return error_set(err, FAILED, "cannot start an HTTP client");
    *ret_client = TAKE(c);
    return OK;
}

void http_client_free(struct http_client *c)
{
    if (!c)
        return;
    lane_release(&c->open);
    lane_release(&c->guarded);
    free(c);
}

void http_client_freep(struct http_client **c)
{
    http_client_free(*c);
    *c = NULL;
}

void http_response_release(struct http_response *r)
{
    buf_release(&r->body);
}

/* ---- what curl calls ---- */

static void copy_value(char *out, size_t size, const char *value, size_t length)
{
    length = MIN(length, size - 1);
    memcpy(out, value, length);
    out[length] = '\0';
}

static bool header_is(const char *line, size_t size, const char *name, const char **ret_value,
                      size_t *ret_length)
{
    size_t n = strlen(name);
    if (size <= n || strncasecmp(line, name, n) || line[n] != ':')
        return false;
    const char *value = line + n + 1, *end = line + size;
    while (value < end && isspace((unsigned char)*value))
        value++;
    while (end > value && isspace((unsigned char)end[-1]))
        end--;
    *ret_value = value;
    *ret_length = (size_t)(end - value);
    return true;
}

/* One header line; a status line begins a new answer (100, a redirect's target). */
static size_t on_header(char *line, size_t one, size_t size, void *context)
{
    (void)one;
    struct transfer *t = context;
    struct http_response *r = &t->response;
    const char *value;
    size_t length;
    if (size > 5 && !strncasecmp(line, "HTTP/", 5)) {
        const char *space = memchr(line, ' ', size);
        r->status = space && line + size - space > 3 ? (int)strtol(space + 1, NULL, 10) : 0;
        r->content_type[0] = r->etag[0] = r->location[0] = '\0';
        r->retry_after_ms = 0;
    } else if (header_is(line, size, "content-type", &value, &length)) {
        copy_value(r->content_type, sizeof(r->content_type), value, length);
    } else if (header_is(line, size, "etag", &value, &length)) {
        copy_value(r->etag, sizeof(r->etag), value, length);
    } else if (header_is(line, size, "location", &value, &length)) {
        copy_value(r->location, sizeof(r->location), value, length);
    }
    return size;
}

static bool is_success(const struct transfer *t)
{
    return t->response.status >= 200 && t->response.status < 300;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *context)
{
    (void)one;
    struct transfer *t = context;
    const struct http_request *q = t->request;
    bool to_sink = q->sink && is_success(t);
    if (q->sink && !to_sink) {
        size_t room = ERROR_BODY_MAX - t->response.body.size;
        buf_append(&t->response.body, bytes, MIN(size, room));
        t->cut = size > room;
        return t->cut ? 0 : size;
    }
    if (q->enough_bytes && !q->sink) {
        int64_t room = q->enough_bytes - t->received;
        buf_append(&t->response.body, bytes, (size_t)MIN((int64_t)size, room));
        t->received += MIN((int64_t)size, room);
        t->cut = (int64_t)size >= room;
        return t->cut ? 0 : size;
    }
    int64_t max = q->max_bytes ? q->max_bytes : to_sink ? INT64_MAX : BODY_MAX;
    if ((int64_t)size > max - t->received) {
        t->failed = error_set(&t->error, TOO_LARGE, "the answer of '%s' has more than %lld bytes", q->url,
                              (long long)max);
        return 0;
    }
    t->received += (int64_t)size;
    if (!to_sink) {
        buf_append(&t->response.body, bytes, size);
        return size;
    }
    t->failed = q->sink(q->context, bytes, size, &t->error);
    return t->failed ? 0 : size;
}

static size_t on_send(char *out, size_t one, size_t room, void *context)
{
    struct transfer *t = context;
    const struct http_request *q = t->request;
    int64_t want = MIN((int64_t)(one * room), q->body_size - t->sent);
    if (want <= 0)
        return 0;
    if (q->body) {
        memcpy(out, (const char *)q->body + t->sent, (size_t)want);
    } else {
        ssize_t n;
        do
            n = t->body_start < 0 ? read(q->body_fd, out, (size_t)want)
                                  : pread(q->body_fd, out, (size_t)want, t->body_start + t->sent);
        while (n < 0 && errno == EINTR);
        if (n <= 0) {
            t->failed = error_set(&t->error, FAILED, "cannot read what to send to '%s': %s", q->url,
                                  n ? strerror(errno) : "it became shorter");
            return CURL_READFUNC_ABORT;
        }
        want = n;
    }
    t->sent += want;
    return (size_t)want;
}

/* curl sends a body again when a kept connection turns out to be closed. */
static int on_rewind(void *context, curl_off_t offset, int origin)
{
    struct transfer *t = context;
    if (origin != SEEK_SET || (!t->request->body && t->body_start < 0))
        return CURL_SEEKFUNC_CANTSEEK;
    t->sent = offset;
    return CURL_SEEKFUNC_OK;
}

/* Called for each address of each hop, after its name was resolved: nothing can change in between. */
static curl_socket_t on_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    struct transfer *t = context;
    const struct http_request *q = t->request;
    if (!(q->allow_address ? q->allow_address : address_is_public)(&address->addr)) {
        address_text(&address->addr, t->refused);
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- one request ---- */

static void set_body(CURL *easy, struct transfer *t)
{
    const struct http_request *q = t->request;
    bool has_body = q->body || q->body_size > 0;
    const char *method = q->method ? q->method : has_body ? "POST" : "GET";
    if (has_body) {
        t->body_start = q->body ? 0 : lseek(q->body_fd, 0, SEEK_CUR);
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->body_size);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_send);
        curl_easy_setopt(easy, CURLOPT_READDATA, t);
        curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_rewind);
        curl_easy_setopt(easy, CURLOPT_SEEKDATA, t);
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    } else if (!strcmp(method, "HEAD")) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (!strcmp(method, "POST") || !strcmp(method, "PUT")) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, ""); /* says Content-Length: 0 */
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L);
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    } else {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    }
}

static struct curl_slist *make_headers(const struct http_request *q)
{
    struct curl_slist *list = NULL;
    if (q->body_size <= EXPECT_FROM_BYTES)
        list = curl_slist_append(list, "Expect:");
    for (const char *const *h = q->headers; h && *h; h++)
        list = curl_slist_append(list, *h);
    return list;
}

static void set_options(CURL *easy, struct transfer *t, struct curl_slist *headers, char *message)
{
    const struct http_request *q = t->request;
    curl_easy_reset(easy); /* of the options; connections are kept */
    curl_easy_setopt(easy, CURLOPT_URL, q->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "et/" ET_VERSION);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    if (q->may_be_silent) {
        curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
        curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, STALL_SECONDS);
        curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, STALL_SECONDS / 3);
    } else {
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, STALL_SECONDS);
    }
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)q->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    if (q->bearer) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, q->bearer);
    } else if (q->user) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(easy, CURLOPT_USERNAME, q->user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, q->password ? q->password : "");
    }
    if ((q->guarded || q->follow) && !q->no_redirects) {
        curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
        curl_easy_setopt(easy, CURLOPT_MAXREDIRS, MAX_REDIRECTS);
    }
    if (q->guarded) {
        curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* a proxy would connect in our place, unchecked */
        curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
        curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, t);
    }
    set_body(easy, t);
}

static enum status describe_failure(CURLcode code, const struct transfer *t, const char *message,
                                    struct error *err)
{
    const char *url = t->request->url;
    const char *text = *message ? message : curl_easy_strerror(code);
    if (t->failed) {
        *err = t->error;
        return t->failed;
    }
    switch (code) {
    case CURLE_ABORTED_BY_CALLBACK:
        return error_set(err, CANCELLED, "the request to '%s' was given up", url);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return error_set(err, INVALID, "'%s' is not a URL of http or https: %s", url, text);
    case CURLE_TOO_MANY_REDIRECTS:
        return error_set(err, INVALID, "'%s' redirects more than %ld times", url, MAX_REDIRECTS);
    case CURLE_PARTIAL_FILE:
        return error_set(err, UNAVAILABLE, "the answer of '%s' was cut short: %s", url, text);
    case CURLE_OPERATION_TIMEDOUT:
        return error_set(err, UNAVAILABLE, "'%s' does not answer in time: %s", url, text);
    default:
        break;
    }
    if (t->refused[0])
        return error_set(err, INVALID,
                         "'%s' leads to the address %s, which is not on the public internet: refused", url,
                         t->refused);
    return error_set(err, UNAVAILABLE, "cannot reach '%s': %s", url, text);
}

/* The request from its first to its last byte.  A stop is noticed within STOP_POLL_MS. */
static CURLcode run_request(const struct lane *l, const atomic_bool *stop)
{
    int n_running = 0;
    CURLMcode trouble = curl_multi_add_handle(l->multi, l->easy);
    if (trouble)
        return CURLE_FAILED_INIT;
    do {
        trouble = curl_multi_perform(l->multi, &n_running);
        if (!trouble && n_running)
            trouble = curl_multi_poll(l->multi, NULL, 0, stop ? STOP_POLL_MS : 1000, NULL);
    } while (!trouble && n_running && !(stop && *stop));
    CURLcode code = trouble ? CURLE_FAILED_INIT : CURLE_ABORTED_BY_CALLBACK;
    CURLMsg *message;
    int n_left;
    while ((message = curl_multi_info_read(l->multi, &n_left)))
        if (message->msg == CURLMSG_DONE)
            code = message->data.result;
    curl_multi_remove_handle(l->multi, l->easy);
    return code;
}

enum status http_perform(struct http_client *c, const struct http_request *request,
                         struct http_response *ret_response, struct error *err)
{
    struct error unwanted;
    err = err ? err : &unwanted;
    if (request->stop && *request->stop)
        return error_set(err, CANCELLED, "the request to '%s' was given up", request->url);
    const struct lane *lane = request->guarded ? &c->guarded : &c->open;
    CURL *easy = lane->easy;
    struct transfer t = {.request = request};
    buf_init(&t.response.body, (size_t)(request->max_bytes ? request->max_bytes : BODY_MAX));
    if (request->sink)
        t.response.body.max = ERROR_BODY_MAX;
    char message[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = make_headers(request);
    set_options(easy, &t, headers, message);
    CURLcode code = run_request(lane, request->stop);
    long connects = 0;
    curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connects);
    if (code == CURLE_UNSUPPORTED_PROTOCOL && connects && !t.response.status)
        code = CURLE_WEIRD_SERVER_REPLY; /* the answer was no HTTP: not the URL's fault */
    curl_off_t retry_after = 0;
    curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after);
    curl_easy_reset(easy); /* forgets the pointers into this frame */
    curl_slist_free_all(headers);
    if (code == CURLE_WRITE_ERROR && t.cut)
        code = CURLE_OK;
    if (code == CURLE_OK) {
        t.response.retry_after_ms =
            retry_after > 0 && retry_after < INT32_MAX ? (int64_t)retry_after * 1000 : 0;
        *ret_response = t.response;
        return OK;
    }
    buf_release(&t.response.body);
    return describe_failure(code, &t, message, err);
}

static void curl_freep(char **text)
{
    curl_free(*text);
}

char *url_escape(const char *text)
{
    CLEANUP(curl_freep) char *escaped = curl_easy_escape(NULL, text, 0);
    return xstrdup(escaped ? escaped : "");
}
