/*
 * peers.c - the other servers on the same database.
 *
 * One thread with one connection, never in a transaction: it tells the topics
 * that stirred here since it last did, all in one notification (one within
 * each writing transaction would make commits wait for each other), and hears
 * what others tell.
 *
 * No notification is missed without being missed: a server numbers its own and
 * sends one at least every BEAT_MS.  A number left out, a server that is
 * silent, this connection lost and made anew: then EVERYTHING_TOPIC stirs, and
 * who waits looks again, at most SILENT_MS after the loss.  So whoever was
 * killed between a commit and its notification has nobody waiting for it,
 * and watchers cost no question each.
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
#include "base/fault.h"
#include "base/log.h"
#include "store/internal.h"

#define TELL_EVERY_MS      5
#define BEAT_MS            1500
#define SILENT_MS          4500
#define CLOCK_TOLERATED_MS 20
#define RETRY_MS           500
#define PAYLOAD_MAX        7900 /* PostgreSQL: less than 8,000 bytes, with a name and a number before it */
#define TOPICS_MAX         4096 /* while the database is away; others look for themselves */
#define NAME_SIZE          16
#define LEAVES             "!" /* among the topics: a server's last words */

/* Another server, as long as it is heard. */
struct peer {
    char name[NAME_SIZE + 1];
    int64_t number; /* of its last notification; it counts from 1 */
    int64_t heard_ms;
};

struct peers {
    struct store *store;
    struct connection *db; /* NULL while it is lost */
    char name[NAME_SIZE + 1];
    int64_t number;                     /* of the last notification, sent or not */
    int64_t told_ms, beat_ms, clock_ms; /* monotonic: of the last notification; of the next ones */
    struct peer *others;
    size_t n_others;
    pthread_t thread;
    int wake;
    pthread_mutex_t lock; /* guards what follows */
    size_t n;
    char *topics[TOPICS_MAX];
    bool overflowed; /* there was no room for a topic */
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
    p->overflowed |= p->n == TOPICS_MAX;
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

/* One notification; it has its number whether it arrives or not. */
static enum status notify(struct peers *p, const char *text, struct error *err)
{
    CLEANUP(freep) char *payload = xasprintf("%s %lld%s", p->name, (long long)++p->number, text);
    if (*text && fault_point("peers.tell"))
        return OK;
    return SQL(p->db, NULL, err, "SELECT pg_notify('et', $1)", V(payload));
}

/* All topics, once each, in as few notifications as they need. */
static enum status tell(struct peers *p, char **topics, size_t n, struct error *err)
{
    CLEANUP(buf_release) struct buf text;
    buf_init(&text, PAYLOAD_MAX);
    qsort(topics, n, sizeof(*topics), compare_names);
    for (size_t i = 0; i < n; i++) {
        if (i && strcmp(topics[i], topics[i - 1]) == 0)
            continue;
        buf_printf(&text, "\n%s", topics[i]);
        if (text.size < PAYLOAD_MAX / 2 && i + 1 < n)
            continue;
        TRY(notify(p, (const char *)text.data, err));
        buf_clear(&text);
    }
    return text.size ? notify(p, (const char *)text.data, err) : OK;
}

/* What waits; a sign of life when it is time for one. */
static enum status tell_waiting(struct peers *p, int64_t now_ms, struct error *err)
{
    char *topics[TOPICS_MAX];
    pthread_mutex_lock(&p->lock);
    size_t n = p->n;
    memcpy(topics, p->topics, n * sizeof(*topics));
    p->n = 0;
    p->number += p->overflowed;
    p->overflowed = false;
    pthread_mutex_unlock(&p->lock);
    if (!n && now_ms < p->beat_ms)
        return OK;
    enum status status = n ? tell(p, topics, n, err) : notify(p, "", err);
    free_topics(topics, n);
    /* Whatever of it has arrived, the rest is missed at the next number. */
    p->number += status != OK;
    p->told_ms = clock_monotonic_ms();
    p->beat_ms = p->told_ms + BEAT_MS;
    return status;
}

static void change(struct store *s, const char *topic)
{
    pthread_mutex_lock(&s->changed_lock);
    if (s->changed)
        s->changed(s->changed_context, topic);
    pthread_mutex_unlock(&s->changed_lock);
}

static void look_at_everything(struct store *s)
{
    if (fault_point("peers.look"))
        return;
    password_forget(s, NULL);
    change(s, EVERYTHING_TOPIC);
}

static void hear_topic(struct store *s, const char *topic)
{
    static const char password[] = PASSWORD_TOPIC ":";
    if (strncmp(topic, password, sizeof(password) - 1) == 0)
        password_forget(s, topic + sizeof(password) - 1);
    change(s, topic);
}

static struct peer *find_peer(struct peers *p, const char *name)
{
    for (size_t i = 0; i < p->n_others; i++)
        if (strcmp(p->others[i].name, name) == 0)
            return &p->others[i];
    p->others = xrealloc(p->others, (p->n_others + 1) * sizeof(*p->others));
    struct peer *peer = &p->others[p->n_others++];
    *peer = (struct peer){0};
    copy_text(peer->name, sizeof(peer->name), name);
    return peer;
}

static void forget_peer(struct peers *p, size_t i)
{
    p->others[i] = p->others[--p->n_others];
}

/* "NAME NUMBER", then a topic a line; what this server said itself is known here. */
static void hear(void *opaque, const char *payload)
{
    struct peers *p = opaque;
    CLEANUP(freep) char *text = xstrdup(payload);
    char *rest = text, *head = strsep(&rest, "\n");
    const char *name = strsep(&head, " ");
    if (!head || strcmp(name, p->name) == 0)
        return;
    struct peer *peer = find_peer(p, name);
    int64_t number = strtoll(head, NULL, 10);
    bool missed = number != peer->number + 1;
    peer->number = number;
    peer->heard_ms = clock_monotonic_ms();
    for (char *topic; (topic = strsep(&rest, "\n"));) {
        if (strcmp(topic, LEAVES) == 0)
            forget_peer(p, (size_t)(peer - p->others));
        else
            hear_topic(p->store, topic);
    }
    if (missed)
        look_at_everything(p->store);
}

/* Servers that were killed, or cannot be heard: what they did last may have been told to nobody. */
static void miss_silent(struct peers *p, int64_t now_ms)
{
    bool missed = false;
    for (size_t i = p->n_others; i-- > 0;)
        if (p->others[i].heard_ms + SILENT_MS <= now_ms) {
            missed = true;
            forget_peer(p, i);
        }
    if (missed)
        look_at_everything(p->store);
}

static enum status compare_clocks(struct peers *p, struct error *err)
{
    ROWS rows = {0};
    int64_t before_ms = clock_now_ms();
    TRY(SQL(p->db, &rows, err, "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"));
    int64_t after_ms = clock_now_ms(), off_ms = row_int(&rows, 0, 0) - (before_ms + after_ms) / 2;
    if (llabs(off_ms) > CLOCK_TOLERATED_MS + (after_ms - before_ms) / 2)
        clock_correct(off_ms);
    p->clock_ms = clock_monotonic_ms() + p->store->compare_ms;
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
        return status;
    }
    p->n_others = 0;
    p->beat_ms = 0;
    look_at_everything(p->store);
    return OK;
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
    int64_t now_ms = clock_monotonic_ms(), next_ms = MIN(p->clock_ms, p->beat_ms);
    if (has_topics)
        next_ms = MIN(next_ms, p->told_ms + TELL_EVERY_MS);
    for (size_t i = 0; i < p->n_others; i++)
        next_ms = MIN(next_ms, p->others[i].heard_ms + SILENT_MS);
    /* With topics in hand there is nothing to be woken for. */
    TRY(connection_wait(p->db, MAX(next_ms - now_ms, (int64_t)0), has_topics ? -1 : p->wake, hear, p, err));
    eventfd_read(p->wake, &ignored);
    now_ms = clock_monotonic_ms();
    miss_silent(p, now_ms);
    if (now_ms >= p->told_ms + TELL_EVERY_MS)
        TRY(tell_waiting(p, now_ms, err));
    return now_ms >= p->clock_ms ? compare_clocks(p, err) : OK;
}

/* The last commits' topics, and that none will come any more. */
static void leave(struct peers *p)
{
    if (p->db && tell_waiting(p, clock_monotonic_ms(), NULL) == OK)
        (void)notify(p, "\n" LEAVES, NULL);
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
    leave(p);
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
    free(p->others);
    pthread_mutex_destroy(&p->lock);
    close(p->wake);
    free(p);
}
