/*
 * changes.c - the feed of changes: a page, a long poll, or a stream.
 *
 *   normal       what there is
 *   longpoll     the same, as soon as there is something
 *   continuous   a line a change, until the client goes; then where it ended
 *   eventsource  the same as Server-Sent Events
 *
 * With a heartbeat an empty line (a comment) is sent each time that so many
 * milliseconds passed without a change.
 */
#include "api/changes.h"

#include <stdlib.h>
#include <string.h>

#include "api/resource.h"
#include "base/clock.h"

#define CHANGES_MAX      1000
#define TIMEOUT_MS       60000
#define TIMEOUT_MAX_MS   300000
#define HEARTBEAT_MS     60000 /* heartbeat=true */
#define HEARTBEAT_MIN_MS 1000
#define PAGE_OF_STREAM   50

static const struct field rev_fields[] = {
    {"rev", FIELD_STRING, READ_ONLY, "Revision."},
    {NULL},
};
static const struct field rev_rows[] = {
    {"*", FIELD_OBJECT, READ_ONLY, "Its latest revision.", .fields = rev_fields},
    {NULL},
};
static const struct field change_fields[] = {
    {"seq", FIELD_INT, READ_ONLY, "Number of the change."},
    {"id", FIELD_STRING, READ_ONLY, "Document that changed."},
    {"changes", FIELD_ARRAY, READ_ONLY, "Its latest revision.", .fields = rev_rows},
    {"deleted", FIELD_BOOL, READ_ONLY, "It is gone."},
    {"doc", FIELD_OBJECT, READ_ONLY, "The document, with include_docs=true."},
    {NULL},
};
static const struct field change_rows[] = {
    {"*", FIELD_OBJECT, READ_ONLY, "A document's latest change.", .fields = change_fields},
    {NULL},
};
static const struct field changes_out[] = {
    {"results", FIELD_ARRAY, READ_ONLY, "Changes after since, oldest first.", .fields = change_rows},
    {"last_seq", FIELD_INT, READ_ONLY, "Go on from here."},
    {"pending", FIELD_INT, READ_ONLY, "Further ones that there are."},
    {NULL},
};

static const struct field changes_query_fields[] = {
    {"feed", FIELD_STRING, 0, "A page; a page as soon as there is a change; or all as they come.",
     .words = "normal|longpoll|continuous|eventsource", .otherwise = "\"normal\""},
    {"since", FIELD_STRING, 0, "Number of the last change known; or now.", .otherwise = "\"0\""},
    {"limit", FIELD_INT, 0, "Changes wanted at most."},
    {"include_docs", FIELD_BOOL, 0, "With the documents.", .otherwise = "false"},
    {"timeout", FIELD_INT, 0, "Milliseconds without a change after which the answer ends.",
     .otherwise = "60000"},
    {"heartbeat", FIELD_STRING, 0, "Milliseconds between signs of life, or true; then there is no timeout."},
    {"style", FIELD_STRING, 0, "Taken, and of no effect: there are no conflicts.",
     .words = "main_only|all_docs"},
    {NULL},
};

enum feed { FEED_NORMAL, FEED_LONGPOLL, FEED_CONTINUOUS, FEED_EVENTSOURCE };
static const char *const feed_words[] = {"normal", "longpoll", "continuous", "eventsource"};

/* Where a feed stands: request->state. */
struct changes {
    enum feed feed;
    bool with_documents, has_limit;
    int64_t since, limit; /* left to send */
    int64_t timeout_ms;   /* 0: none */
    int64_t heartbeat_ms; /* 0: none */
    int64_t active_ms;    /* of the last change or the beginning, monotonic */
    int64_t beat_ms;      /* of the last sign of life */
};

json_t *change_encode(const struct document *d, bool with_document)
{
    char rev[REV_MAX];
    json_t *change = json_pack("{s:I, s:s, s:[{s:s}]}", "seq", (json_int_t)d->seq, "id", d->id, "changes",
                               "rev", document_rev(d->id, d->rev, rev));
    if (d->state == STATE_DELETED)
        json_object_set_new(change, "deleted", json_true());
    if (with_document)
        json_object_set_new(change, "doc", document_encode(d));
    return change;
}

static enum status read_feed(const struct request *r, struct changes *c, struct error *err)
{
    const char *word = request_query(r, "feed");
    for (size_t i = 0; word && i < ARRAY_SIZE(feed_words); i++)
        if (!strcmp(word, feed_words[i])) {
            c->feed = (enum feed)i;
            return OK;
        }
    return word ? error_set(err, INVALID, "feed is normal, longpoll, continuous or eventsource, not '%.40s'",
                            word)
                : OK;
}

static enum status read_since(const struct request *r, struct changes *c, struct error *err)
{
    const char *since = request_query(r, "since"), *last = request_header(r, "Last-Event-ID");
    if (c->feed == FEED_EVENTSOURCE && last) {
        char *end;
        long long n = strtoll(last, &end, 10);
        if (*last && !*end && n >= 0) {
            c->since = n;
            return OK;
        }
    }
    if (since && !strcmp(since, "now"))
        return feed_seq(api_store(r->api), r->who.owner, &c->since, err);
    return query_int(r, "since", 0, INT64_MAX, 0, &c->since, err);
}

/* What CouchDB would leave out, a client that asked for it must not get. */
static enum status refuse_filters(const struct request *r, struct error *err)
{
    static const char *const filters[] = {"filter", "doc_ids", "view"};
    bool descending;
    for (size_t i = 0; i < ARRAY_SIZE(filters); i++)
        if (request_query(r, filters[i]))
            return error_set(err, INVALID, "%s is not possible: the feed is unfiltered", filters[i]);
    TRY(query_bool(r, "descending", &descending, err));
    return descending ? error_set(err, INVALID, "descending is not possible: the feed is in its order") : OK;
}

static enum status read_query(const struct request *r, struct changes *c, struct error *err)
{
    const char *beat = request_query(r, "heartbeat");
    TRY(refuse_filters(r, err));
    TRY(read_feed(r, c, err));
    TRY(read_since(r, c, err));
    TRY(query_bool(r, "include_docs", &c->with_documents, err));
    c->has_limit = request_query(r, "limit") != NULL;
    TRY(query_int(r, "limit", 0, INT64_MAX, CHANGES_MAX, &c->limit, err));
    c->limit = MAX(c->limit, 1); /* as CouchDB does */
    if (beat && !strcmp(beat, "true"))
        c->heartbeat_ms = HEARTBEAT_MS;
    else if (beat && strcmp(beat, "false"))
        TRY(query_int(r, "heartbeat", 1, INT32_MAX, 0, &c->heartbeat_ms, err));
    if (c->heartbeat_ms)
        c->heartbeat_ms = MAX(c->heartbeat_ms, HEARTBEAT_MIN_MS);
    bool has_timeout = request_query(r, "timeout") != NULL;
    TRY(query_int(r, "timeout", 0, INT64_MAX, TIMEOUT_MS, &c->timeout_ms, err));
    c->timeout_ms = MIN(c->timeout_ms, TIMEOUT_MAX_MS);
    if (c->heartbeat_ms && !has_timeout)
        c->timeout_ms = INT32_MAX; /* 24 days */
    c->active_ms = c->beat_ms = r->arrived_ms;
    return OK;
}

static enum status page(struct request *r, struct changes *c, const struct document_list *list,
                        json_t **ret_page, struct error *err)
{
    int64_t last = list->n ? list->documents[list->n - 1].seq : c->since, pending = 0;
    if (list->more)
        TRY(feed_pending(api_store(r->api), r->who.owner, last, &pending, err));
    json_t *results = json_array();
    for (int i = 0; i < list->n; i++)
        json_array_append_new(results, change_encode(&list->documents[i], c->with_documents));
    *ret_page = json_pack("{s:o, s:I, s:I}", "results", results, "last_seq", (json_int_t)last, "pending",
                          (json_int_t)pending);
    return OK;
}

static void put_line(struct buf *out, json_t *json /* taken */, const char *before, const char *after)
{
    CLEANUP(freep) char *text = json_text(json);
    json_decref(json);
    buf_puts(out, before);
    buf_puts(out, text);
    buf_puts(out, after);
}

static void put_change(const struct changes *c, const struct document *d, struct buf *out)
{
    CLEANUP(freep) char *id = xasprintf("\nid: %lld\n\n", (long long)d->seq);
    if (c->feed == FEED_EVENTSOURCE)
        put_line(out, change_encode(d, c->with_documents), "data: ", id);
    else
        put_line(out, change_encode(d, c->with_documents), "", "\n");
}

/* What ends a stream that was not cut. */
static enum stream_next put_end(const struct changes *c, struct buf *out)
{
    if (c->feed == FEED_CONTINUOUS)
        put_line(out, json_pack("{s:I, s:i}", "last_seq", (json_int_t)c->since, "pending", 0), "", "\n");
    return STREAM_END;
}

/* Nothing new: a sign of life when it is due, or waiting for that or for a change. */
static enum stream_next idle(struct request *r, struct response *response, struct changes *c, struct buf *out)
{
    int64_t now_ms = clock_monotonic_ms(), deadline_ms = c->active_ms + c->timeout_ms;
    if (c->heartbeat_ms) {
        if (now_ms >= c->beat_ms + c->heartbeat_ms) {
            c->beat_ms = now_ms;
            buf_puts(out, c->feed == FEED_EVENTSOURCE ? ":\n\n" : "\n");
            return STREAM_MORE;
        }
        deadline_ms = MIN(deadline_ms, c->beat_ms + c->heartbeat_ms);
    }
    CLEANUP(freep) char *topic = xasprintf("feed:%s", r->who.owner);
    response_wait(response, topic, deadline_ms);
    return STREAM_MORE;
}

static bool is_over(const struct request *r, const struct changes *c)
{
    return r->last || clock_monotonic_ms() >= c->active_ms + c->timeout_ms;
}

/* continuous, eventsource */
static enum stream_next more_changes(struct request *r, struct response *response, struct buf *out)
{
    struct changes *c = r->state;
    CLEANUP(document_list_release) struct document_list list = {0};
    int limit = (int)MIN(c->limit, PAGE_OF_STREAM);
    if (!limit)
        return put_end(c, out);
    if (feed_changes(api_store(r->api), r->who.owner, c->since, limit, &list, NULL) != OK)
        return STREAM_CUT;
    for (int i = 0; i < list.n && out->size < STREAM_PIECE_BYTES; i++) {
        put_change(c, &list.documents[i], out);
        c->since = list.documents[i].seq;
        c->limit -= c->has_limit;
    }
    if (list.n) {
        c->active_ms = c->beat_ms = clock_monotonic_ms();
        return STREAM_MORE;
    }
    return is_over(r, c) ? put_end(c, out) : idle(r, response, c, out);
}

/* longpoll with a heartbeat: signs of life, then the page. */
static enum stream_next more_of_longpoll(struct request *r, struct response *response, struct buf *out)
{
    struct changes *c = r->state;
    CLEANUP(document_list_release) struct document_list list = {0};
    if (feed_changes(api_store(r->api), r->who.owner, c->since, (int)MIN(c->limit, CHANGES_MAX), &list,
                     NULL) != OK)
        return STREAM_CUT;
    if (!list.n && !is_over(r, c))
        return idle(r, response, c, out);
    json_t *json = NULL;
    if (page(r, c, &list, &json, NULL) != OK)
        return STREAM_CUT;
    put_line(out, json, "", "\n");
    return STREAM_END;
}

static enum status changes(struct request *r, struct response *response, struct error *err)
{
    struct changes *c = r->state;
    if (!c) {
        c = r->state = xcalloc(1, sizeof *c);
        TRY(read_query(r, c, err));
    }
    if (c->feed == FEED_CONTINUOUS || c->feed == FEED_EVENTSOURCE) {
        response_stream(response,
                        c->feed == FEED_EVENTSOURCE ? "text/event-stream" : "application/json; charset=utf-8",
                        more_changes);
        return OK;
    }
    if (c->feed == FEED_LONGPOLL && c->heartbeat_ms) {
        response_stream(response, "application/json; charset=utf-8", more_of_longpoll);
        return OK;
    }
    CLEANUP(document_list_release) struct document_list list = {0};
    TRY(feed_changes(api_store(r->api), r->who.owner, c->since, (int)MIN(c->limit, CHANGES_MAX), &list, err));
    if (!list.n && c->feed == FEED_LONGPOLL && !is_over(r, c)) {
        CLEANUP(freep) char *topic = xasprintf("feed:%s", r->who.owner);
        response_wait(response, topic, c->active_ms + c->timeout_ms);
        return OK;
    }
    json_t *json = NULL;
    TRY(page(r, c, &list, &json, err));
    response_json(response, 200, json);
    return OK;
}

const struct route change_routes[] = {
    {"GET", "/elastic-thought/_changes", changes, SCOPE_USER, BODY_NONE, "Documents that changed.", NULL,
     changes_out, 200, changes_query_fields},
    {NULL},
};
