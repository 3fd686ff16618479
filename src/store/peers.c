/*
 * peers.c - the other servers on the same database.
 *
 * One thread with one connection, never in a transaction: it tells the topics
 * that stirred here since it last did, all in one notification (one within
 * each writing transaction would make commits wait for each other), and hears
 * what others tell.  A notification is a hint: who misses one looks again
 * after a while (WAITS_FALLBACK_MS, TICK_BESIDE_OTHERS_MS).
 *
 * Every minute it compares this machine's clock with the database's, by which
 * all servers go.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/internal.h"

#define TELL_EVERY_MS      5
#define CLOCK_EVERY_MS     60000
#define CLOCK_TOLERATED_MS 20
#define RETRY_MS           500
#define PAYLOAD_MAX        7900 /* PostgreSQL: less than 8,000 bytes */
#define TOPICS_MAX         4096 /* while the database is away; others look for themselves */
#define NAME_SIZE          16

struct peers {
    struct store *store;
    struct connection *db; /* NULL while it is lost */
    char name[NAME_SIZE + 1];
    int64_t told_ms, clock_ms; /* monotonic: of the last notification; of the next comparison */
    pthread_t thread;
    int wake;
    pthread_mutex_t lock; /* guards what follows */
    size_t n;
    char *topics[TOPICS_MAX];
    bool stopping;
};

void peers_tell(struct peers *p, const char *const *topics, size_t n)
{
    if (!p || !n)
        return;
    pthread_mutex_lock(&p->lock);
    bool was_empty = !p->n;
    for (size_t i = 0; i < n && p->n < TOPICS_MAX; i++)
        if (i == 0 || strcmp(topics[i], topics[i - 1]) != 0)
            p->topics[p->n++] = xstrdup(topics[i]);
    pthread_mutex_unlock(&p->lock);
    if (was_empty)
        eventfd_write(p->wake, 1);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void free_topics(char **topics, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(topics[i]);
}

/* All topics, once each, in as few notifications as they need. */
static enum status tell(struct peers *p, char **topics, size_t n, struct error *err)
{
    CLEANUP(buf_release) struct buf payload;
    buf_init(&payload, PAYLOAD_MAX + NAME_SIZE);
    qsort(topics, n, sizeof(*topics), compare_names);
    for (size_t i = 0; i < n; i++) {
        if (i && strcmp(topics[i], topics[i - 1]) == 0)
            continue;
        if (!payload.size)
            buf_puts(&payload, p->name);
        buf_printf(&payload, "\n%s", topics[i]);
        if (payload.size < PAYLOAD_MAX / 2 && i + 1 < n)
            continue;
        TRY(SQL(p->db, NULL, err, "SELECT pg_notify('et', $1)", V((const char *)payload.data)));
        buf_clear(&payload);
    }
    return payload.size ? SQL(p->db, NULL, err, "SELECT pg_notify('et', $1)", V((const char *)payload.data))
                        : OK;
}

static enum status tell_waiting(struct peers *p, struct error *err)
{
    char *topics[TOPICS_MAX];
    pthread_mutex_lock(&p->lock);
    size_t n = p->n;
    memcpy(topics, p->topics, n * sizeof(*topics));
    p->n = 0;
    pthread_mutex_unlock(&p->lock);
    enum status status = n ? tell(p, topics, n, err) : OK;
    free_topics(topics, n);
    p->told_ms = clock_monotonic_ms();
    return status;
}

static void hear_topic(struct store *s, const char *topic)
{
    static const char password[] = PASSWORD_TOPIC ":";
    if (strncmp(topic, password, sizeof(password) - 1) == 0)
        password_forget(s, topic + sizeof(password) - 1);
    pthread_mutex_lock(&s->changed_lock);
    if (s->changed)
        s->changed(s->changed_context, topic);
    pthread_mutex_unlock(&s->changed_lock);
}

/* NAME, then a topic a line; what this server said itself is known here. */
static void hear(void *opaque, const char *payload)
{
    struct peers *p = opaque;
    CLEANUP(freep) char *text = xstrdup(payload);
    char *rest = text;
    const char *name = strsep(&rest, "\n");
    if (strcmp(name, p->name) == 0)
        return;
    for (char *topic; (topic = strsep(&rest, "\n"));)
        hear_topic(p->store, topic);
}

static enum status compare_clocks(struct peers *p, struct error *err)
{
    ROWS rows = {0};
    int64_t before_ms = clock_now_ms();
    TRY(SQL(p->db, &rows, err, "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"));
    int64_t after_ms = clock_now_ms(), off_ms = row_int(&rows, 0, 0) - (before_ms + after_ms) / 2;
    if (llabs(off_ms) > CLOCK_TOLERATED_MS + (after_ms - before_ms) / 2)
        clock_correct(off_ms);
    p->clock_ms = clock_monotonic_ms() + CLOCK_EVERY_MS;
    return OK;
}

static enum status connect_peers(struct peers *p, struct error *err)
{
    TRY(connection_open(p->store->driver, p->store->where, false, &p->db, err));
    enum status status = SQL(p->db, NULL, err, "LISTEN et");
    if (status == OK)
        status = compare_clocks(p, err);
    if (status != OK) {
        connection_free(p->db);
        p->db = NULL;
    }
    return status;
}

static bool is_stopping(struct peers *p, bool *ret_has_topics)
{
    pthread_mutex_lock(&p->lock);
    bool stopping = p->stopping;
    *ret_has_topics = p->n > 0;
    pthread_mutex_unlock(&p->lock);
    return stopping;
}

static enum status work(struct peers *p, bool has_topics, struct error *err)
{
    eventfd_t ignored;
    int64_t now_ms = clock_monotonic_ms(), next_ms = p->clock_ms;
    if (has_topics)
        next_ms = MIN(next_ms, p->told_ms + TELL_EVERY_MS);
    /* With topics in hand there is nothing to be woken for. */
    TRY(connection_wait(p->db, MAX(next_ms - now_ms, (int64_t)0), has_topics ? -1 : p->wake, hear, p, err));
    eventfd_read(p->wake, &ignored);
    now_ms = clock_monotonic_ms();
    if (now_ms >= p->told_ms + TELL_EVERY_MS)
        TRY(tell_waiting(p, err));
    return now_ms >= p->clock_ms ? compare_clocks(p, err) : OK;
}

static void *peers_main(void *opaque)
{
    struct peers *p = opaque;
    bool has_topics = false;
    while (!is_stopping(p, &has_topics)) {
        struct error err;
        char reason[LOG_VALUE_MAX];
        enum status status = p->db ? work(p, has_topics, &err) : connect_peers(p, &err);
        if (status == OK)
            continue;
        if (p->db)
            log_event("database.lost", "reason=%s", log_value(err.message, reason));
        connection_free(p->db);
        p->db = NULL;
        struct pollfd wait = {.fd = p->wake, .events = POLLIN};
        eventfd_t ignored;
        poll(&wait, 1, RETRY_MS);
        eventfd_read(p->wake, &ignored);
    }
    return NULL;
}

enum status peers_start(struct store *s, struct peers **ret_peers, struct error *err)
{
    *ret_peers = NULL;
    if (!s->driver->wait)
        return OK;
    struct peers *p = xcalloc(1, sizeof(*p));
    p->store = s;
    random_hex(NAME_SIZE / 2, p->name);
    pthread_mutex_init(&p->lock, NULL);
    p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    enum status status = p->wake < 0 ? error_set(err, FAILED, "cannot make an eventfd: %s", strerror(errno))
                                     : connect_peers(p, err);
    int number = 0;
    if (status == OK && (number = pthread_create(&p->thread, NULL, peers_main, p)))
        status = error_set(err, FAILED, "cannot start a thread: %s", strerror(number));
    if (status == OK) {
        *ret_peers = p;
        return OK;
    }
    connection_free(p->db);
    close(p->wake);
    free(p);
    return status;
}

void peers_stop(struct peers *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_mutex_unlock(&p->lock);
    eventfd_write(p->wake, 1);
    pthread_join(p->thread, NULL);
    connection_free(p->db);
    free_topics(p->topics, p->n);
    pthread_mutex_destroy(&p->lock);
    close(p->wake);
    free(p);
}
