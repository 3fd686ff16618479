#include "api/sender.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/http_client.h"
#include "base/log.h"
#include "store/store.h"

#define LOOK_AT_LEAST_MS 60000 /* another server may have written, or died with a claim */
#define RETRY_MS         1000  /* when the store does not answer */
#define OWNER_MAX_BUSY   2
#define FAILING_MAX_BUSY (SENDER_THREADS / 2)

struct lane {
    struct sender *sender;
    struct http_client *client;
    pthread_t thread;
    bool started, busy, failing; /* the last two and owner under the sender's lock */
    char owner[OWNER_MAX];
};

struct sender {
    struct store *store;
    bool allow_private_urls;
    int64_t timeout_ms;
    atomic_bool stopping;     /* the HTTP client reads it too */
    pthread_mutex_t choosing; /* one lane looks for work at a time; taken before lock */
    pthread_mutex_t lock;     /* guards what follows; never held across a call of the store, which wakes us */
    pthread_cond_t changed;
    uint64_t wakes;
    struct lane lanes[SENDER_THREADS];
};

/* ---- choosing ---- */

static bool may_run(struct sender *s, const struct outgoing *o)
{
    int same_owner = 0, failing = 0;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < SENDER_THREADS; i++) {
        same_owner += s->lanes[i].busy && !strcmp(s->lanes[i].owner, o->owner);
        failing += s->lanes[i].busy && s->lanes[i].failing;
    }
    pthread_mutex_unlock(&s->lock);
    return same_owner < OWNER_MAX_BUSY && (!o->failing || failing < FAILING_MAX_BUSY);
}

/*
 * The first due delivery that may run now, claimed; ret_found: is there one.
 * ret_wait_ms: how long nothing can change by itself.
 */
static enum status choose(struct sender *s, struct outgoing *ret_outgoing, bool *ret_found,
                          int64_t *ret_wait_ms, struct error *err)
{
    CLEANUP(outgoing_list_release) struct outgoing_list list = {0};
    int64_t now_ms = clock_now_ms(), next_ms;
    TRY(outbox_due(s->store, now_ms, &list, &next_ms, err));
    *ret_found = false;
    for (int i = 0; i < list.n && !*ret_found; i++) {
        struct outgoing *o = &list.outgoing[i];
        if (!may_run(s, o))
            continue;
        enum status status = outbox_claim(s->store, o, now_ms, 3 * s->timeout_ms, err);
        if (status == CONFLICT)
            continue;
        TRY(status);
        *ret_outgoing = *o;
        *o = (struct outgoing){0};
        *ret_found = true;
    }
    *ret_wait_ms = next_ms == INT64_MAX ? LOOK_AT_LEAST_MS : MIN(next_ms - now_ms, LOOK_AT_LEAST_MS);
    return OK;
}

/* Chooses, and marks the lane busy with it. */
static enum status take(struct lane *lane, struct outgoing *ret_outgoing, bool *ret_found,
                        int64_t *ret_wait_ms, struct error *err)
{
    struct sender *s = lane->sender;
    pthread_mutex_lock(&s->choosing);
    enum status status = choose(s, ret_outgoing, ret_found, ret_wait_ms, err);
    if (status == OK && *ret_found) {
        pthread_mutex_lock(&s->lock);
        lane->busy = true;
        lane->failing = ret_outgoing->failing;
        snprintf(lane->owner, sizeof(lane->owner), "%s", ret_outgoing->owner);
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_unlock(&s->choosing);
    return status;
}

static uint64_t wakes_now(struct sender *s)
{
    pthread_mutex_lock(&s->lock);
    uint64_t wakes = s->wakes;
    pthread_mutex_unlock(&s->lock);
    return wakes;
}

/* Returns when woken since `wakes`, or after wait_ms. */
static void wait_for_work(struct sender *s, uint64_t wakes, int64_t wait_ms)
{
    int64_t until_ms = clock_monotonic_ms() + MAX(wait_ms, (int64_t)1);
    pthread_mutex_lock(&s->lock);
    while (!atomic_load(&s->stopping) && s->wakes == wakes && clock_wait(&s->changed, &s->lock, until_ms))
        ;
    pthread_mutex_unlock(&s->lock);
}

/* ---- sending ---- */

/* What a receiver said, as text: no NUL, no control character, nothing that is no UTF-8. */
static char *plain_text(const char *bytes, size_t size)
{
    char *text = xmalloc(size + 1);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        text[i] = (c >= ' ' && c < 0x7f) || c == '\n' || c == '\t' ? (char)c : '?';
    }
    text[size] = '\0';
    return text;
}

static enum status post(struct lane *lane, const struct outgoing *o, struct http_response *ret_response,
                        struct error *err)
{
    struct sender *s = lane->sender;
    int64_t seconds = clock_now_ms() / 1000;
    char signature[WEBHOOK_SIGNATURE_MAX];
    TRY(webhook_sign(o->secret, o->id, seconds, o->body, signature, err));
    CLEANUP(freep) char *id = xasprintf("webhook-id: %s", o->id);
    CLEANUP(freep) char *at = xasprintf("webhook-timestamp: %lld", (long long)seconds);
    CLEANUP(freep) char *signed_with = xasprintf("webhook-signature: %s", signature);
    const char *headers[] = {"Content-Type: application/json", id, at, signed_with, NULL};
    struct http_request request = {
        .method = "POST",
        .url = o->url,
        .headers = headers,
        .body = o->body,
        .body_size = (int64_t)strlen(o->body),
        .enough_bytes = SENDER_ANSWER_BYTES,
        .timeout_ms = s->timeout_ms,
        .guarded = !s->allow_private_urls,
        .no_redirects = true,
        .stop = &s->stopping,
    };
    (void)fault_point("webhook.send");
    TRY(http_perform(lane->client, &request, ret_response, err));
    (void)fault_point("webhook.sent");
    return OK;
}

static enum delivery_result result_of(int http_status)
{
    if (http_status >= 200 && http_status < 300)
        return DELIVERY_DONE;
    return http_status == 410 ? DELIVERY_GONE : DELIVERY_RETRY;
}

static void send_one(struct lane *lane, const struct outgoing *o)
{
    struct sender *s = lane->sender;
    struct error err = {0};
    struct http_response response = {0};
    struct delivery_outcome outcome = {.result = DELIVERY_RETRY, .answer = "", .error = ""};
    CLEANUP(freep) char *answer = NULL;
    CLEANUP(freep) char *why = NULL;
    enum status status = post(lane, o, &response, &err);
    if (status == CANCELLED)
        return;
    if (status == OK) {
        outcome.http_status = response.status;
        outcome.result = result_of(response.status);
        outcome.retry_after_ms = MIN(response.retry_after_ms, (int64_t)24 * 3600 * 1000);
        outcome.answer = answer = plain_text(response.body.data, response.body.size);
        if (outcome.result != DELIVERY_DONE)
            outcome.error = why = xasprintf("the receiver answered %d%s", response.status,
                                            response.status / 100 == 3 ? ": redirects are not followed" : "");
        http_response_release(&response);
    } else {
        outcome.error = why = plain_text(err.message, strlen(err.message));
    }
    status = outbox_finish(s->store, o, &outcome, clock_now_ms(), &err);
    char text[LOG_VALUE_MAX];
    log_event("webhook.sent", "delivery=%s hook=%s attempt=%d status=%d error=%s", o->id, o->hook,
              o->attempts + 1, outcome.http_status,
              log_value(status == OK ? outcome.error : err.message, text));
}

static void *lane_main(void *opaque)
{
    struct lane *lane = opaque;
    struct sender *s = lane->sender;
    while (!atomic_load(&s->stopping)) {
        CLEANUP(outgoing_release) struct outgoing o = {0};
        bool found = false;
        int64_t wait_ms = RETRY_MS;
        uint64_t wakes = wakes_now(s);
        if (take(lane, &o, &found, &wait_ms, NULL) != OK || !found) {
            wait_for_work(s, wakes, wait_ms);
            continue;
        }
        send_one(lane, &o);
        pthread_mutex_lock(&s->lock);
        lane->busy = false;
        pthread_mutex_unlock(&s->lock);
        sender_wake(s);
    }
    return NULL;
}

/* ---- starting and stopping ---- */

void sender_wake(struct sender *s)
{
    pthread_mutex_lock(&s->lock);
    s->wakes++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void sender_stop(struct sender *s)
{
    atomic_store(&s->stopping, true);
    sender_wake(s);
    for (int i = 0; i < SENDER_THREADS; i++) {
        if (s->lanes[i].started)
            pthread_join(s->lanes[i].thread, NULL);
        s->lanes[i].started = false;
    }
}

void sender_free(struct sender *s)
{
    if (!s)
        return;
    sender_stop(s);
    for (int i = 0; i < SENDER_THREADS; i++)
        http_client_free(s->lanes[i].client);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->choosing);
    free(s);
}

static enum status lane_start(struct lane *lane, struct error *err)
{
    TRY(http_client_new(&lane->client, err));
    int number = pthread_create(&lane->thread, NULL, lane_main, lane);
    if (number)
        return error_set(err, FAILED, "cannot start a thread: %s", strerror(number));
    lane->started = true;
    return OK;
}

enum status sender_start(struct store *store, bool allow_private_urls, int64_t timeout_ms,
                         struct sender **ret_sender, struct error *err)
{
    struct sender *s = xcalloc(1, sizeof(*s));
    s->store = store;
    s->allow_private_urls = allow_private_urls;
    s->timeout_ms = timeout_ms;
    pthread_mutex_init(&s->choosing, NULL);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    for (int i = 0; i < SENDER_THREADS; i++) {
        s->lanes[i].sender = s;
        enum status status = lane_start(&s->lanes[i], err);
        if (status != OK)
            return sender_free(s), status;
    }
    *ret_sender = s;
    return OK;
}
