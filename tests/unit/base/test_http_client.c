#include "../test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/http_client.h"

/*
 * A server on a free loopback port with canned answers; one connection at a
 * time, closed after each answer.
 */
struct server {
    int listener;
    int port;
    pthread_t thread;
    atomic_bool stop_client; /* set when /silent was asked for */
    char seen[65536];        /* head and body of the last request */
    size_t seen_size;
};

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Until the head and as many bytes as its Content-Length says are there. */
static void read_request(struct server *s, int fd)
{
    s->seen_size = 0;
    for (;;) {
        s->seen[s->seen_size] = '\0';
        char *end = strstr(s->seen, "\r\n\r\n");
        char *length = strcasestr(s->seen, "Content-Length:");
        if (end &&
            s->seen_size >= (size_t)(end + 4 - s->seen) + (length ? strtoul(length + 15, NULL, 10) : 0))
            return;
        ssize_t n = recv(fd, s->seen + s->seen_size, sizeof(s->seen) - 1 - s->seen_size, 0);
        if (n <= 0)
            return;
        s->seen_size += (size_t)n;
    }
}

static void answer(struct server *s, int fd)
{
    char path[256] = "", text[512], zeros[65536] = {0};
    sscanf(s->seen, "%*s %255s", path);
    if (!strcmp(path, "/hello")) {
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\nETag: \"e\"\r\n"
                "Connection: close\r\n\r\nhello");
    } else if (!strcmp(path, "/missing")) {
        say(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone");
    } else if (!strcmp(path, "/busy")) {
        say(fd, "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    } else if (!strcmp(path, "/short")) {
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nabc");
    } else if (!strcmp(path, "/short-chunks")) {
        say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nabc");
    } else if (!strcmp(path, "/endless") || !strcmp(path, "/endless-error")) {
        say(fd, strcmp(path, "/endless") ? "HTTP/1.1 500 Oh\r\nConnection: close\r\n\r\n"
                                         : "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        while (send(fd, zeros, sizeof(zeros), MSG_NOSIGNAL) > 0)
            ;
    } else if (!strcmp(path, "/silent")) {
        s->stop_client = true;
        while (recv(fd, zeros, sizeof(zeros), 0) > 0)
            ;
    } else if (!strcmp(path, "/nonsense")) {
        say(fd, "no HTTP at all\r\n\r\n");
    } else if (!strcmp(path, "/big")) {
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\nConnection: close\r\n\r\n");
        for (int i = 0; i < 1024; i++)
            if (send(fd, zeros, sizeof(zeros), MSG_NOSIGNAL) != sizeof(zeros))
                return;
    } else if (!strncmp(path, "/to/", 4)) {
        snprintf(text, sizeof(text),
                 "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 6\r\n"
                 "Connection: close\r\n\r\nbody 1",
                 path + 4);
        say(fd, text);
    } else {
        say(fd, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    }
}

static void *serve(void *context)
{
    struct server *s = context;
    int fd;
    while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
        read_request(s, fd);
        answer(s, fd);
        close(fd);
    }
    return NULL;
}

static int listen_on_loopback(int *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (void *)&address, size), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (void *)&address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

struct fixture {
    struct server server;
    struct http_client *client;
    char url[256];
};

static int set_up(void **state)
{
    struct error err = {0};
    struct fixture *f = xcalloc(1, sizeof(*f));
    f->server.listener = listen_on_loopback(&f->server.port);
    assert_int_equal(pthread_create(&f->server.thread, NULL, serve, &f->server), 0);
    assert_ok(http_client_new(&f->client, &err));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    http_client_free(f->client);
    shutdown(f->server.listener, SHUT_RDWR);
    pthread_join(f->server.thread, NULL);
    close(f->server.listener);
    free(f);
    return 0;
}

static const char *url(struct fixture *f, const char *path)
{
    snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%d%s", f->server.port, path);
    return f->url;
}

static void an_answer_comes_with_its_body_and_headers(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct http_response r;
    assert_ok(http_perform(f->client, &(struct http_request){.url = url(f, "/hello")}, &r, &err));
    assert_int_equal(r.status, 200);
    assert_string_equal(r.body.data, "hello");
    assert_string_equal(r.content_type, "text/plain");
    assert_string_equal(r.etag, "\"e\"");
    http_response_release(&r);
    assert_ok(http_perform(f->client, &(struct http_request){.url = url(f, "/busy")}, &r, &err));
    assert_int_equal(r.status, 503);
    assert_int_equal(r.retry_after_ms, 7000);
    http_response_release(&r);
}

static void bodies_are_sent_from_memory_and_from_a_descriptor(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct http_response r;
    struct http_request post = {.url = url(f, "/x"),
                                .body = "{\"a\":1}",
                                .body_size = 7,
                                .bearer = "secret",
                                .headers = (const char *const[]){"Content-Type: application/json", NULL}};
    assert_ok(http_perform(f->client, &post, &r, &err));
    http_response_release(&r);
    assert_non_null(strstr(f->server.seen, "POST /x HTTP/1.1\r\n"));
    assert_non_null(strstr(f->server.seen, "Authorization: Bearer secret\r\n"));
    assert_non_null(strstr(f->server.seen, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(f->server.seen, "Content-Length: 7\r\n"));
    assert_null(strstr(f->server.seen, "Expect:"));
    assert_non_null(strstr(f->server.seen, "\r\n\r\n{\"a\":1}"));

    FILE *file = tmpfile();
    fputs("0123456789", file);
    fflush(file);
    lseek(fileno(file), 4, SEEK_SET);
    struct http_request put = {.method = "PUT",
                               .url = url(f, "/y"),
                               .body_fd = fileno(file),
                               .body_size = 6,
                               .user = "u",
                               .password = "p"};
    assert_ok(http_perform(f->client, &put, &r, &err));
    http_response_release(&r);
    assert_non_null(strstr(f->server.seen, "PUT /y HTTP/1.1\r\n"));
    assert_non_null(strstr(f->server.seen, "Authorization: Basic dTpw\r\n"));
    assert_non_null(strstr(f->server.seen, "\r\n\r\n456789"));

    put.body_size = 7;
    assert_int_equal(http_perform(f->client, &put, &r, &err), FAILED);
    assert_non_null(strstr(err.message, "became shorter"));
    fclose(file);

    struct http_request empty = {.method = "PUT", .url = url(f, "/z")};
    assert_ok(http_perform(f->client, &empty, &r, &err));
    http_response_release(&r);
    assert_non_null(strstr(f->server.seen, "Content-Length: 0\r\n"));
}

static void what_is_cut_short_is_unavailable(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct http_response r;
    static const char *const paths[] = {"/short", "/short-chunks", "/nonsense"};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct http_request get = {.url = url(f, paths[i])};
        assert_int_equal(http_perform(f->client, &get, &r, &err), UNAVAILABLE);
        assert_non_null(strstr(err.message, paths[i]));
    }
    assert_int_equal(http_perform(f->client, &(struct http_request){.url = url(f, "/short")}, &r, &err),
                     UNAVAILABLE);
    assert_non_null(strstr(err.message, "cut short"));
}

static enum status count_bytes(void *context, const void *bytes, size_t size, struct error *err)
{
    (void)bytes, (void)err;
    *(int64_t *)context += (int64_t)size;
    return OK;
}

static enum status refuse_bytes(void *context, const void *bytes, size_t size, struct error *err)
{
    (void)context, (void)bytes, (void)size;
    return error_set(err, NO_SPACE, "full");
}

static void an_endless_body_ends_at_its_limit(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct http_response r;
    int64_t counted = 0;
    struct http_request get = {.url = url(f, "/endless"), .max_bytes = 1 << 20};
    assert_int_equal(http_perform(f->client, &get, &r, &err), TOO_LARGE);
    assert_non_null(strstr(err.message, "more than 1048576 bytes"));
    get.sink = count_bytes;
    get.context = &counted;
    assert_int_equal(http_perform(f->client, &get, &r, &err), TOO_LARGE);
    assert_true(counted <= 1 << 20);
    get.max_bytes = 0;
    get.sink = NULL;
    assert_int_equal(http_perform(f->client, &get, &r, &err), TOO_LARGE);
}

static void a_sink_gets_a_big_body_and_never_an_error(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct http_response r;
    int64_t counted = 0;
    struct http_request get = {.url = url(f, "/big"), .sink = count_bytes, .context = &counted};
    assert_ok(http_perform(f->client, &get, &r, &err));
    assert_int_equal(counted, 67108864);
    assert_int_equal(r.body.size, 0);
    http_response_release(&r);

    counted = 0;
    get.url = url(f, "/missing");
    assert_ok(http_perform(f->client, &get, &r, &err));
    assert_int_equal(r.status, 404);
    assert_int_equal(counted, 0);
    assert_string_equal(r.body.data, "gone");
    http_response_release(&r);

    get.url = url(f, "/endless-error");
    assert_ok(http_perform(f->client, &get, &r, &err));
    assert_int_equal(r.status, 500);
    assert_int_equal(r.body.size, 65536);
    http_response_release(&r);

    get.url = url(f, "/big");
    get.sink = refuse_bytes;
    assert_int_equal(http_perform(f->client, &get, &r, &err), NO_SPACE);
    assert_string_equal(err.message, "full");
}

static void a_guarded_request_does_not_reach_a_private_address(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct http_response r;
    /* A kept connection to the same place must not help. */
    assert_ok(http_perform(f->client, &(struct http_request){.url = url(f, "/hello")}, &r, &err));
    http_response_release(&r);
    char other[3][256];
    snprintf(other[0], sizeof(other[0]), "http://127.0.0.1:%d/hello", f->server.port);
    snprintf(other[1], sizeof(other[1]), "http://localhost:%d/hello", f->server.port);
    snprintf(other[2], sizeof(other[2]), "http://[::ffff:127.0.0.1]:%d/hello", f->server.port);
    for (size_t i = 0; i < ARRAY_SIZE(other); i++) {
        struct http_request get = {.url = other[i], .guarded = true};
        assert_int_equal(http_perform(f->client, &get, &r, &err), INVALID);
        assert_non_null(strstr(err.message, "not on the public internet"));
    }
}

static int allowed_port;

static bool allow_one_port(const struct sockaddr *address)
{
    struct sockaddr_in v4;
    memcpy(&v4, address, sizeof(v4));
    return address->sa_family == AF_INET && ntohs(v4.sin_port) == allowed_port;
}

static void every_hop_is_guarded(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct http_response r;
    int port;
    CLEANUP(fd_closep) int second = listen_on_loopback(&port);
    allowed_port = f->server.port;
    char path[128];
    snprintf(path, sizeof(path), "/to/http://127.0.0.1:%d/hello", port);
    struct http_request get = {.url = url(f, path), .guarded = true, .allow_address = allow_one_port};
    assert_int_equal(http_perform(f->client, &get, &r, &err), INVALID);
    assert_non_null(strstr(err.message, "the address 127.0.0.1"));

    get.url = url(f, "/to//hello");
    assert_ok(http_perform(f->client, &get, &r, &err));
    assert_int_equal(r.status, 200);
    assert_string_equal(r.body.data, "hello");
    http_response_release(&r);

    get.url = url(f, "/to/file:///etc/passwd");
    assert_int_equal(http_perform(f->client, &get, &r, &err), INVALID);
    get.url = url(f, "/to//to//to//to//to//to//hello");
    assert_int_equal(http_perform(f->client, &get, &r, &err), INVALID);
    assert_non_null(strstr(err.message, "more than 5 times"));
}

static void a_redirect_is_shown_unless_followed(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct http_response r;
    struct http_request get = {.url = url(f, "/to//hello")};
    assert_ok(http_perform(f->client, &get, &r, &err));
    assert_int_equal(r.status, 302);
    assert_string_equal(r.location, "/hello");
    http_response_release(&r);
    get.follow = true;
    assert_ok(http_perform(f->client, &get, &r, &err));
    assert_int_equal(r.status, 200);
    http_response_release(&r);
}

static void what_is_no_url_and_who_is_not_there(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct http_response r;
    static const struct {
        const char *url;
        enum status status;
    } rows[] = {
        {"file:///etc/passwd", INVALID},
        {"ftp://127.0.0.1/x", INVALID},
        {"gopher://127.0.0.1/x", INVALID},
        {"http://", INVALID},
        {"", INVALID},
        {"http://no-such-host.invalid/x", UNAVAILABLE},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct http_request get = {.url = rows[i].url, .guarded = true};
        enum status status = http_perform(f->client, &get, &r, &err);
        if (status != rows[i].status)
            fail_msg("'%s': %s: %s", rows[i].url, status_name(status), err.message);
    }
    int port, closed = listen_on_loopback(&port);
    close(closed);
    char nobody[64];
    snprintf(nobody, sizeof(nobody), "http://127.0.0.1:%d/", port);
    assert_int_equal(http_perform(f->client, &(struct http_request){.url = nobody}, &r, &err), UNAVAILABLE);
}

static void a_stop_and_a_deadline_end_the_wait(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct http_response r;
    struct http_request get = {.url = url(f, "/silent"), .stop = &f->server.stop_client};
    assert_int_equal(http_perform(f->client, &get, &r, &err), CANCELLED);
    assert_int_equal(http_perform(f->client, &get, &r, &err), CANCELLED);
    get.stop = NULL;
    get.timeout_ms = 50;
    assert_int_equal(http_perform(f->client, &get, &r, &err), UNAVAILABLE);
}

#define test_with_server(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_with_server(an_answer_comes_with_its_body_and_headers),
        test_with_server(bodies_are_sent_from_memory_and_from_a_descriptor),
        test_with_server(what_is_cut_short_is_unavailable),
        test_with_server(an_endless_body_ends_at_its_limit),
        test_with_server(a_sink_gets_a_big_body_and_never_an_error),
        test_with_server(a_guarded_request_does_not_reach_a_private_address),
        test_with_server(every_hop_is_guarded),
        test_with_server(a_redirect_is_shown_unless_followed),
        test_with_server(what_is_no_url_and_who_is_not_there),
        test_with_server(a_stop_and_a_deadline_end_the_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
