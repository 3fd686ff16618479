/*
 * queue.c - rates of one queue: jobs taken in, then jobs leased and finished.
 *
 *   bench_queue store URL BLOBS     our store, in this process
 *   bench_queue raw URL BLOBS       the store's statements in batches of 64 a transaction, on one connection
 *   bench_queue http ADDR:PORT TOKEN_FILE   our server, through its API
 *   bench_queue beanstalkd ADDR:PORT
 * with --clients N --seconds S, and for a store --finished N ended jobs first (then no measurement when
 * --seconds is 0) and --owners N, whose jobs they are.  Prints "enqueues cycles" a second.
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "store/internal.h"

#define CLIENTS_MAX 256
#define BATCH       64
#define POOL        "bench" /* a server on the same database gives others */

struct client;

struct queue {
    void (*open)(struct client *c);
    int (*enqueue)(struct client *c); /* both: how many were done */
    int (*cycle)(struct client *c);   /* 0: no job is left */
    void (*close)(struct client *c);
};

struct client {
    const struct queue *queue;
    const char *where, *token_file;
    struct store *store;
    int index, n, owners;
    int64_t end_ms, done;
    int (*work)(struct client *c);
    pthread_t thread;
    CURL *curl;
    struct buf answer;
    char *token;
    FILE *line; /* beanstalkd's connection */
};

static void die(const char *what, const struct error *err)
{
    fprintf(stderr, "bench_queue: %s: %s\n", what, err ? err->message : "unexpected answer");
    exit(1);
}

/* A document of about 250 bytes, as those of the notes' measurements. */
static const char body_text[] =
    "{\"processing-log\": \"\", \"solver-id\": \"0123456789abcdef0123456789abcdef\", \"threads\": 1, \"padding\": "
    "\"................................................................................................\"}";

/* -- our store -- */

static void store_client_open(struct client *c)
{
    (void)c;
}

/* Clients begin at different ones. */
static void next_owner(struct client *c, char ret_owner[32])
{
    snprintf(ret_owner, 32, "user:bench%d", (7 * c->index + c->n++) % c->owners);
}

static int store_enqueue(struct client *c)
{
    struct error err;
    char id[ID_MAX], owner[32];
    id_new(id);
    next_owner(c, owner);
    CLEANUP(json_decrefp) json_t *body = json_loads(body_text, 0, NULL);
    struct new_job job = {.kind = "train", .pool = POOL};
    struct new_document d = {.id = id, .type = "job", .body = body, .job = &job};
    if (documents_create(c->store, owner, &d, 1, NULL, clock_now_ms(), NULL, &err) != OK)
        die("enqueue", &err);
    return 1;
}

static int store_cycle(struct client *c)
{
    struct error err;
    char request[33], worker[24];
    const char *pool = POOL;
    random_hex(16, request);
    snprintf(worker, sizeof(worker), "bench-%d", c->index);
    struct lease_request r = {.request_id = request,
                              .worker = worker,
                              .pools = &pool,
                              .n_pools = 1,
                              .slots = 1,
                              .lease_ms = 600000};
    CLEANUP(job_list_release) struct job_list list = {0};
    if (queue_lease(c->store, &r, clock_now_ms(), &list, &err) != OK)
        die("lease", &err);
    if (!list.n)
        return 0;
    const struct job *job = &list.jobs[0];
    struct finish f = {.job = job->id, .owner = job->owner, .attempt = job->attempt, .outcome = OUTCOME_DONE};
    if (queue_finish(c->store, &f, clock_now_ms(), &err) != OK)
        die("finish", &err);
    return 1;
}

static void nothing_to_close(struct client *c)
{
    (void)c;
}

static const struct queue queue_store = {store_client_open, store_enqueue, store_cycle, nothing_to_close};

/* -- its statements without anything around them -- */

static enum status raw_enqueue_batch(struct tx *tx, void *opaque, struct error *err)
{
    struct client *c = opaque;
    CLEANUP(json_decrefp) json_t *body = json_loads(body_text, 0, NULL);
    struct new_job job = {.kind = "train", .pool = POOL};
    for (int i = 0; i < BATCH; i++) {
        char id[ID_MAX], owner[32];
        id_new(id);
        next_owner(c, owner);
        struct new_document d = {.id = id, .type = "job", .body = body, .job = &job};
        CLEANUP(document_release) struct document made = {0};
        TRY(limit_check(tx, owner, 1, err));
        TRY(document_insert(tx, owner, &d, clock_now_ms(), &made, err));
    }
    return OK;
}

static int raw_enqueue(struct client *c)
{
    struct error err;
    if (store_write(c->store, raw_enqueue_batch, c, &err) != OK)
        die("enqueue", &err);
    return BATCH;
}

struct batch {
    struct leasing leasing[BATCH];
    struct attempt_end finishing[BATCH];
    struct finish finish[BATCH];
    struct job_list jobs[BATCH];
    struct write_item items[BATCH], *list[BATCH];
    int n;
};

static enum status raw_lease_batch(struct tx *tx, void *opaque, struct error *err)
{
    struct batch *b = opaque;
    return lease_many(tx, b->list, BATCH, err);
}

static enum status raw_finish_batch(struct tx *tx, void *opaque, struct error *err)
{
    struct batch *b = opaque;
    return finish_many(tx, b->list, (size_t)b->n, err);
}

static int raw_cycle(struct client *c)
{
    struct error err;
    struct batch b = {0};
    struct lease_request requests[BATCH];
    char ids[BATCH][33], workers[BATCH][24];
    const char *pool = POOL;
    for (int i = 0; i < BATCH; i++) {
        random_hex(16, ids[i]);
        snprintf(workers[i], sizeof(workers[i]), "bench-%d", i);
        requests[i] = (struct lease_request){.request_id = ids[i],
                                             .worker = workers[i],
                                             .pools = &pool,
                                             .n_pools = 1,
                                             .slots = 1,
                                             .lease_ms = 600000};
        b.leasing[i] = (struct leasing){.request = &requests[i], .now_ms = clock_now_ms()};
        b.items[i].args = &b.leasing[i];
        b.list[i] = &b.items[i];
    }
    if (store_write(c->store, raw_lease_batch, &b, &err) != OK)
        die("lease", &err);
    for (int i = 0; i < BATCH; i++) {
        if (leasing_jobs(c->store, &b.leasing[i], &b.jobs[i], &err) != OK)
            die("lease", &err);
        if (!b.jobs[i].n)
            continue;
        const struct job *job = &b.jobs[i].jobs[0];
        b.finish[b.n] = (struct finish){.job = job->id, .attempt = job->attempt, .outcome = OUTCOME_DONE};
        b.finishing[b.n] = (struct attempt_end){.finish = &b.finish[b.n], .now_ms = clock_now_ms()};
        b.items[b.n].args = &b.finishing[b.n];
        b.n++;
    }
    if (b.n && store_write(c->store, raw_finish_batch, &b, &err) != OK)
        die("finish", &err);
    for (int i = 0; i < BATCH; i++) {
        job_list_release(&b.jobs[i]);
        leasing_release(&b.leasing[i]);
        attempt_end_release(&b.finishing[i]);
    }
    return b.n;
}

static const struct queue queue_raw = {store_client_open, raw_enqueue, raw_cycle, nothing_to_close};

/* -- our server -- */

static size_t keep_answer(char *bytes, size_t size, size_t n, void *context)
{
    buf_append(context, bytes, size * n);
    return size * n;
}

static void http_open(struct client *c)
{
    struct error err;
    size_t size = 0;
    if (file_read(c->token_file, 256, &c->token, &size, &err) != OK)
        die("token", &err);
    c->token[strcspn(c->token, "\n")] = '\0';
    c->curl = curl_easy_init();
    buf_init(&c->answer, 1 << 20);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, keep_answer);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &c->answer);
    curl_easy_setopt(c->curl, CURLOPT_TCP_NODELAY, 1L);
}

static long post(struct client *c, const char *path, const char *bearer, const char *body)
{
    CLEANUP(freep) char *url = xasprintf("http://%s%s", c->where, path);
    CLEANUP(freep) char *authorization = xasprintf("Authorization: Bearer %s", bearer);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (bearer)
        headers = curl_slist_append(headers, authorization);
    buf_clear(&c->answer);
    curl_easy_setopt(c->curl, CURLOPT_URL, url);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c->curl, CURLOPT_USERPWD, bearer ? NULL : "bench:bench-password");
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body);
    long status = 0;
    if (curl_easy_perform(c->curl) == CURLE_OK)
        curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    return status;
}

/* A datafile to be fetched: a document with a job that waits for nothing. */
static int http_enqueue(struct client *c)
{
    if (post(c, "/datafiles", NULL, "{\"url\": \"http://192.0.2.1/pictures.tar.gz\"}") != 201)
        die(c->answer.data, NULL);
    return 1;
}

static int http_cycle(struct client *c)
{
    char request[33];
    random_hex(16, request);
    CLEANUP(freep)
    char *wanted = xasprintf("{\"request_id\": \"%s\", \"worker\": \"bench-%d\", \"pools\": [\"cpu\"],"
                             " \"slots\": 1, \"wait_ms\": 0}",
                             request, c->index);
    long status = post(c, "/leases", c->token, wanted);
    if (status == 204)
        return 0;
    CLEANUP(json_decrefp) json_t *answer = json_loads(c->answer.data, 0, NULL);
    json_t *job = json_array_get(json_object_get(answer, "jobs"), 0);
    const char *id = json_string_value(json_object_get(job, "job"));
    if (status != 200 || !id)
        die(c->answer.data, NULL);
    CLEANUP(freep) char *path = xasprintf("/leases/%s/%d/finish", id, (int)json_get_int(job, "attempt", 0));
    if (post(c, path, json_get_string(job, "token", ""), "{\"outcome\": \"failed\", \"reason\": \"\"}") !=
        200)
        die(c->answer.data, NULL);
    return 1;
}

static void http_close(struct client *c)
{
    curl_easy_cleanup(c->curl);
    buf_release(&c->answer);
    free(c->token);
}

static const struct queue queue_http = {http_open, http_enqueue, http_cycle, http_close};

/* -- beanstalkd: its protocol is lines -- */

static void beanstalkd_open(struct client *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    const char *port = strchr(c->where, ':');
    CLEANUP(freep) char *host = xasprintf("%.*s", (int)(port - c->where), c->where);
    to.sin_port = htons((uint16_t)strtol(port + 1, NULL, 10));
    inet_pton(AF_INET, host, &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) || !(c->line = fdopen(fd, "r+")))
        die("beanstalkd", NULL);
}

static void ask(struct client *c, char answer[128])
{
    fflush(c->line);
    fseek(c->line, 0, SEEK_CUR);
    if (!fgets(answer, 128, c->line))
        die("beanstalkd", NULL);
}

static int beanstalkd_put(struct client *c)
{
    char answer[128];
    fseek(c->line, 0, SEEK_CUR);
    fprintf(c->line, "put 0 0 600 %zu\r\n%s\r\n", strlen(body_text), body_text);
    ask(c, answer);
    return strncmp(answer, "INSERTED", 8) == 0;
}

static int beanstalkd_cycle(struct client *c)
{
    char answer[128], body[sizeof(body_text) + 2];
    fseek(c->line, 0, SEEK_CUR);
    fputs("reserve-with-timeout 0\r\n", c->line);
    ask(c, answer);
    long long id = 0;
    if (sscanf(answer, "RESERVED %lld", &id) != 1)
        return 0;
    if (fread(body, 1, sizeof(body_text) + 1, c->line) != sizeof(body_text) + 1)
        die("beanstalkd", NULL);
    fseek(c->line, 0, SEEK_CUR);
    fprintf(c->line, "delete %lld\r\n", id);
    ask(c, answer);
    return 1;
}

static void beanstalkd_close(struct client *c)
{
    fclose(c->line);
}

static const struct queue queue_beanstalkd = {beanstalkd_open, beanstalkd_put, beanstalkd_cycle,
                                              beanstalkd_close};

/* -- measuring -- */

static void *run_client(void *opaque)
{
    struct client *c = opaque;
    for (int done = 1; done && clock_monotonic_ms() < c->end_ms; c->done += done)
        done = c->work(c);
    return NULL;
}

static double rate(struct client *clients, int n, int (*work)(struct client *), double seconds)
{
    int64_t start_ms = clock_monotonic_ms(), done = 0;
    for (int i = 0; i < n; i++) {
        clients[i].work = work;
        clients[i].done = 0;
        clients[i].end_ms = start_ms + (int64_t)(1000 * seconds);
        pthread_create(&clients[i].thread, NULL, run_client, &clients[i]);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(clients[i].thread, NULL);
        done += clients[i].done;
    }
    return 1000.0 * (double)done / (double)MAX(clock_monotonic_ms() - start_ms, (int64_t)1);
}

/* Ended jobs as the store leaves them: a document each, and an attempt. */
static void add_finished(const char *url, int64_t n)
{
    struct error err;
    struct connection *db = NULL;
    bool is_sqlite = strncmp(url, "sqlite:", 7) == 0;
    if (connection_open(is_sqlite ? &driver_sqlite : &driver_postgres, is_sqlite ? url + 7 : url, false, &db,
                        &err) != OK)
        die("open", &err);
    for (int64_t first = 0; first < n; first += 10000) {
        ROWS rows = {0};
        if (SQL(db, &rows, &err,
                "WITH RECURSIVE n(i) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < $2)"
                " INSERT INTO documents(id, owner, type, rev, seq, state, created, updated, body)"
                " SELECT 'old' || i, 'user:old' || (i % 100), 'job', 3, i, 4, i, i, $3 FROM n RETURNING 1",
                V(first), V(MIN(first + 10000, n) - 1), V(body_text)) != OK ||
            SQL(db, &rows, &err,
                "WITH RECURSIVE n(i) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < $2)"
                " INSERT INTO attempts(job, attempt, worker, started, ended, outcome, reason)"
                " SELECT 'old' || i, 1, 'bench', i, i, 1, '' FROM n RETURNING 1",
                V(first), V(MIN(first + 10000, n) - 1)) != OK)
            die("fill", &err);
    }
    connection_free(db);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"clients", required_argument, NULL, 'c'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"finished", required_argument, NULL, 'f'},
                                            {"owners", required_argument, NULL, 'o'},
                                            {NULL}};
    int n_clients = 8, owners = 100;
    double seconds = 2;
    int64_t finished = 0;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 'c')
            n_clients = (int)MIN(MAX(strtol(optarg, NULL, 10), 1), CLIENTS_MAX);
        else if (o == 's')
            seconds = strtod(optarg, NULL);
        else if (o == 'o')
            owners = (int)MAX(strtol(optarg, NULL, 10), 1);
        else if (o == 'f')
            finished = strtoll(optarg, NULL, 10);
        else
            return 2;
    }
    char **rest = argv + optind;
    bool is_raw = argc - optind == 3 && !strcmp(rest[0], "raw");
    bool is_store = is_raw || (argc - optind == 3 && !strcmp(rest[0], "store"));
    bool is_http = argc - optind == 3 && !strcmp(rest[0], "http");
    if (!is_store && !is_http && (argc - optind != 2 || strcmp(rest[0], "beanstalkd")))
        return fputs(
                   "usage: bench_queue store|raw URL BLOBS | http ADDR:PORT TOKEN_FILE | beanstalkd ADDR:PORT\n",
                   stderr),
               2;

    static struct client clients[CLIENTS_MAX];
    struct error err;
    struct store *store = NULL;
    struct store_options store_options = {.blobs = is_store ? rest[2] : NULL, .now_ms = clock_now_ms()};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (is_store && store_open(rest[1], &store_options, &store, &err) != OK)
        die(rest[0], &err);
    if (is_store && finished)
        add_finished(rest[1], finished);
    if (seconds > 0) {
        for (int i = 0; i < n_clients; i++) {
            clients[i] = (struct client){.queue = is_raw     ? &queue_raw
                                                  : is_store ? &queue_store
                                                  : is_http  ? &queue_http
                                                             : &queue_beanstalkd,
                                         .where = rest[1],
                                         .token_file = is_http ? rest[2] : NULL,
                                         .store = store,
                                         .index = i,
                                         .owners = owners};
            clients[i].queue->open(&clients[i]);
        }
        double enqueues = rate(clients, n_clients, clients[0].queue->enqueue, seconds);
        printf("%.0f %.0f\n", enqueues, rate(clients, n_clients, clients[0].queue->cycle, seconds));
        for (int i = 0; i < n_clients; i++)
            clients[i].queue->close(&clients[i]);
    }
    store_close(store);
    return 0;
}
