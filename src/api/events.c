/*
 * events.c - GET /events: all that a user may watch, as Server-Sent Events.
 *
 *   document   a change as in _changes, with the document
 *   metric     {"job", "points": [{"name", "step", "value", "at"}]}
 *   progress   {"job", "progress": {...}}, the latest only
 *   log        {"job", "attempt", "offset", "text"}: whole lines of standard error, of jobs asked for
 *
 * An event's id says where each of the three sequences stands after it,
 *
 *   SEQ/ORD/ATTEMPT:BYTE[,ATTEMPT:BYTE...]     one ATTEMPT:BYTE for each job in ?log=, in that order
 *
 * so a watcher that comes back with it (Last-Event-ID, or ?since=) misses
 * nothing.  Order is exact within each sequence, not across.  What is left
 * out at the end of an id begins now; a log begins at its first byte.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/changes.h"
#include "api/resource.h"
#include "base/clock.h"

#define LOGS_MAX         6 /* with the two of the owner all the topics that one can wait for */
#define HEARTBEAT_MS     15000
#define HEARTBEAT_MIN_MS 1000
#define DOCUMENTS_A_TIME 20
#define TOLD_A_TIME      500
#define LOG_A_TIME       (32 * 1024)
#define ID_TEXT_MAX      320

enum { DOCUMENT = 1, METRIC = 2, PROGRESS = 4, LOG = 8, ALL = 15 };
static const char *const type_words[] = {"document", "metric", "progress", "log"};

struct followed_log {
    char job[DOCUMENT_ID_MAX];
    struct log_place place;
};

/* Where a watcher stands: request->state. */
struct events {
    unsigned types;
    int64_t seq, ord;
    int n_logs;
    struct followed_log logs[LOGS_MAX];
    int64_t heartbeat_ms, beat_ms; /* beat: last sign of life, monotonic */
    bool greeted;
};

/* ---- ids ---- */

static const char *id_text(const struct events *e, char out[ID_TEXT_MAX])
{
    size_t n = (size_t)snprintf(out, ID_TEXT_MAX, "%lld/%lld/", (long long)e->seq, (long long)e->ord);
    for (int i = 0; i < e->n_logs; i++)
        n += (size_t)snprintf(out + n, ID_TEXT_MAX - n, "%s%d:%lld", i ? "," : "", e->logs[i].place.attempt,
                              (long long)e->logs[i].place.byte);
    if (!e->n_logs)
        snprintf(out + n, ID_TEXT_MAX - n, "0:0");
    return out;
}

static bool take_number(const char **s, int64_t *ret_n)
{
    char *end;
    errno = 0;
    long long n = **s >= '0' && **s <= '9' ? strtoll(*s, &end, 10) : -1;
    if (n < 0 || errno)
        return false;
    *s = end;
    *ret_n = n;
    return true;
}

/* What an id names replaces what is in e. */
static bool id_read(const char *s, struct events *e)
{
    if (!take_number(&s, &e->seq))
        return false;
    if (!*s)
        return true;
    if (*s++ != '/' || !take_number(&s, &e->ord))
        return false;
    for (int i = 0; *s; i++) {
        int64_t attempt, byte;
        if (*s++ != (i ? ',' : '/') || !take_number(&s, &attempt) || *s++ != ':' || !take_number(&s, &byte) ||
            attempt > INT32_MAX)
            return false;
        if (i < e->n_logs)
            e->logs[i].place = (struct log_place){(int)attempt, byte};
    }
    return true;
}

/* ---- the query ---- */

/* The words of a comma-separated list, one a call; false at its end. */
static bool next_word(const char **list, const char **ret_word, size_t *ret_size)
{
    *list += strspn(*list, ",");
    *ret_word = *list;
    *ret_size = strcspn(*list, ",");
    *list += *ret_size;
    return *ret_size > 0;
}

static enum status read_types(const struct request *r, struct events *e, struct error *err)
{
    const char *list = request_query(r, "types"), *word;
    size_t size;
    e->types = list ? 0 : ALL;
    while (list && next_word(&list, &word, &size)) {
        size_t i = 0;
        while (i < ARRAY_SIZE(type_words) &&
               (strlen(type_words[i]) != size || strncmp(type_words[i], word, size) != 0))
            i++;
        if (i == ARRAY_SIZE(type_words))
            return error_set(err, INVALID, "types are document, metric, progress and log, not '%.*s'",
                             (int)MIN(size, (size_t)40), word);
        e->types |= 1u << i;
    }
    return OK;
}

static enum status read_logs(const struct request *r, struct events *e, struct error *err)
{
    const char *list = request_query(r, "log"), *word;
    size_t size;
    while (list && next_word(&list, &word, &size)) {
        CLEANUP(document_release) struct document d = {0};
        if (e->n_logs == LOGS_MAX)
            return error_set(err, INVALID, "at most %d logs can be followed at once", LOGS_MAX);
        struct followed_log *log = &e->logs[e->n_logs++];
        snprintf(log->job, sizeof log->job, "%.*s", (int)MIN(size, sizeof log->job - 1), word);
        TRY(document_get(api_store(r->api), r->who.owner, log->job, &d, err));
    }
    return OK;
}

static enum status read_query(const struct request *r, struct events *e, struct error *err)
{
    struct store *store = api_store(r->api);
    const char *last = request_header(r, "Last-Event-ID"), *since = request_query(r, "since");
    TRY(read_types(r, e, err));
    TRY(read_logs(r, e, err));
    TRY(query_int(r, "heartbeat", HEARTBEAT_MIN_MS, INT32_MAX, HEARTBEAT_MS, &e->heartbeat_ms, err));
    TRY(feed_seq(store, r->who.owner, &e->seq, err));
    TRY(told_ord(store, r->who.owner, &e->ord, err));
    const char *from = last && *last ? last : since;
    if (from && strcmp(from, "now") != 0 && !id_read(from, e))
        return error_set(
            err, INVALID,
            "%s is '%.80s': expected the id of an event, as 12/345/1:6789, or the beginning of one",
            last && *last ? "Last-Event-ID" : "since", from);
    return OK;
}

/* ---- events ---- */

static void put_event(const struct events *e, const char *type, json_t *data /* taken */, struct buf *out)
{
    char id[ID_TEXT_MAX];
    CLEANUP(freep) char *text = json_text(data);
    json_decref(data);
    buf_printf(out, "id: %s\nevent: %s\ndata: ", id_text(e, id), type);
    buf_puts(out, text);
    buf_puts(out, "\n\n");
}

static enum status put_documents(const struct request *r, struct events *e, struct buf *out)
{
    CLEANUP(document_list_release) struct document_list list = {0};
    TRY(feed_changes(api_store(r->api), r->who.owner, e->seq, DOCUMENTS_A_TIME, &list, NULL));
    for (int i = 0; i < list.n && out->size < STREAM_PIECE_BYTES; i++) {
        e->seq = list.documents[i].seq;
        put_event(e, "document", change_encode(&list.documents[i], true), out);
    }
    return OK;
}

/* Neighbouring points of one job are one event. */
static enum status put_told(const struct request *r, struct events *e, struct buf *out)
{
    CLEANUP(told_list_release) struct told_list list = {0};
    TRY(told_read(api_store(r->api), r->who.owner, e->ord, TOLD_A_TIME, &list, NULL));
    for (int i = 0; i < list.n;) {
        const struct told_item *t = &list.items[i];
        e->ord = t->point.ord;
        if (t->progress) {
            if (e->types & PROGRESS)
                put_event(e, "progress", json_pack("{s:s, s:O}", "job", t->job, "progress", t->progress),
                          out);
            i++;
            continue;
        }
        json_t *points = json_array();
        for (; i < list.n && !list.items[i].progress && !strcmp(list.items[i].job, t->job); i++) {
            const struct metric_point *p = &list.items[i].point;
            e->ord = p->ord;
            json_array_append_new(points, json_pack("{s:s, s:I, s:o, s:I}", "name", p->name, "step",
                                                    (json_int_t)p->step, "value", number_or_word(p->value),
                                                    "at", (json_int_t)p->at_ms));
        }
        if (e->types & METRIC)
            put_event(e, "metric", json_pack("{s:s, s:o}", "job", t->job, "points", points), out);
        else
            json_decref(points);
    }
    return OK;
}

/* The size of the whole lines at the beginning of a text. */
static size_t whole_lines(const char *text, size_t size)
{
    const char *end = memrchr(text, '\n', size);
    return end ? (size_t)(end - text) + 1 : 0;
}

static enum status put_log(const struct request *r, struct events *e, struct followed_log *log,
                           struct buf *out)
{
    struct store *store = api_store(r->api);
    struct log_place place = log->place;
    CLEANUP(freep) char *text = NULL;
    size_t size;
    bool final;
    bool over = job_is_over(r, log->job); /* before reading: what is read then is all */
    TRY(log_read_on(store, log->job, LOG_STDERR, &place, LOG_A_TIME, &text, &size, &final, NULL));
    size_t whole = whole_lines(text, size);
    if (!whole && (final || over || size == LOG_A_TIME))
        whole = size; /* a last line without its end, or a very long one */
    place.byte -= (int64_t)(size - whole);
    if (!whole)
        return OK;
    log->place = place;
    put_event(e, "log",
              json_pack("{s:s, s:i, s:I, s:o}", "job", log->job, "attempt", place.attempt, "offset",
                        (json_int_t)(place.byte - (int64_t)whole), "text", json_of_bytes(text, whole)),
              out);
    return OK;
}

static void wait_for_more(struct request *r, struct response *response, const struct events *e)
{
    CLEANUP(freep) char *feed = xasprintf("feed:%s", r->who.owner);
    CLEANUP(freep) char *told = xasprintf("told:%s", r->who.owner);
    int64_t deadline_ms = e->beat_ms + e->heartbeat_ms;
    response_wait(response, feed, deadline_ms);
    if (e->types & (METRIC | PROGRESS))
        response_wait(response, told, deadline_ms);
    for (int i = 0; i < e->n_logs && e->types & LOG; i++) {
        CLEANUP(freep) char *topic = xasprintf("job:%s", e->logs[i].job);
        response_wait(response, topic, deadline_ms);
    }
}

static enum stream_next more_events(struct request *r, struct response *response, struct buf *out)
{
    struct events *e = r->state;
    char id[ID_TEXT_MAX];
    if (r->last)
        return STREAM_END;
    if (!e->greeted) {
        buf_printf(out, "retry: 1000\nid: %s\n\n", id_text(e, id));
        e->greeted = true;
    }
    if (e->types & DOCUMENT && put_documents(r, e, out) != OK)
        return STREAM_CUT;
    if (e->types & (METRIC | PROGRESS) && put_told(r, e, out) != OK)
        return STREAM_CUT;
    for (int i = 0; i < e->n_logs && e->types & LOG && out->size < STREAM_PIECE_BYTES; i++)
        if (put_log(r, e, &e->logs[i], out) != OK)
            return STREAM_CUT;
    int64_t now_ms = clock_monotonic_ms();
    if (!out->size && now_ms >= e->beat_ms + e->heartbeat_ms)
        buf_puts(out, ":\n\n");
    if (out->size)
        e->beat_ms = now_ms;
    else
        wait_for_more(r, response, e);
    return STREAM_MORE;
}

static enum status events(struct request *r, struct response *response, struct error *err)
{
    r->state = xcalloc(1, sizeof(struct events));
    TRY(read_query(r, r->state, err));
    response_stream(response, "text/event-stream", more_events);
    return OK;
}

static const struct field events_query[] = {
    {"types", FIELD_STRING, 0, "Some of document, metric, progress, log; absent: all."},
    {"log", FIELD_STRING, 0, "Ids of jobs whose log is followed, with commas."},
    {"since", FIELD_STRING, 0, "The id of the last event known, as Last-Event-ID; or now."},
    {"heartbeat", FIELD_INT, 0, "Milliseconds between signs of life.", .min = HEARTBEAT_MIN_MS,
     .max = INT32_MAX, .otherwise = "15000"},
    {NULL},
};

const struct route event_routes[] = {
    {"GET", "/events", events, SCOPE_USER, BODY_NONE,
     "What happens to the caller's documents and jobs, as Server-Sent Events.", NULL, NULL, 200,
     events_query},
    {NULL},
};
