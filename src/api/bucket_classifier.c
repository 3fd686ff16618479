#include "api/bucket_classifier.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "api/items.h"
#include "api/pictures.h"
#include "api/resource.h"
#include "api/server.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#define PENDING_MAX      64 /* classify jobs at a time */
#define PROGRESS_QUEUED  10
#define PROGRESS_RUNNING 50

/* An item whose classify job is under way. */
struct pending {
    char *request_id, *key;
    char job[ID_MAX];
    char sha1[HASH_HEX_MAX];
    int progress;
};

struct bucket_classifier {
    struct api *api;
    struct items *items;
    char *bucket, *owner, *classifier;
    pthread_t thread;
    bool runs;
    struct pending list[PENDING_MAX];
    int n;

    struct waiter waiter;
    pthread_mutex_t lock; /* guards woken */
    pthread_cond_t changed;
    bool woken;
};

static void on_wake(struct waiter *w)
{
    struct bucket_classifier *c =
        (struct bucket_classifier *)((char *)w - offsetof(struct bucket_classifier, waiter));
    pthread_mutex_lock(&c->lock);
    c->woken = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static bool on_ask_gone(struct waiter *w)
{
    (void)w;
    return false;
}

/* ---- items ---- */

static void tell(struct bucket_classifier *c, const struct pending *p, int progress, const char *value,
                 const char *error)
{
    CLEANUP(json_decrefp)
    json_t *said = json_pack("{s:s, s:s, s:i, s:o, s:o}", "request_id", p->request_id, "key", p->key,
                             "progress", progress, "value", json_of_bytes(value, strlen(value)), "error",
                             json_of_bytes(error, strlen(error)));
    CLEANUP(json_decrefp) json_t *now = NULL;
    struct error err;
    if (items_post(c->items, said, clock_now_ms(), &now, &err) != OK)
        return; /* forgotten meanwhile */
    CLEANUP(freep) char *topic = xasprintf("item:%s", p->request_id);
    api_stir(c->api, topic);
}

static struct pending *find(struct bucket_classifier *c, const char *request_id)
{
    for (int i = 0; i < c->n; i++)
        if (!strcmp(c->list[i].request_id, request_id))
            return &c->list[i];
    return NULL;
}

static void drop(struct bucket_classifier *c, int index)
{
    free(c->list[index].request_id);
    free(c->list[index].key);
    c->list[index] = c->list[--c->n];
}

/* The picture of the item as a blob, and a classify job for it. */
static enum status queue(struct bucket_classifier *c, const char *path, struct pending *p, struct error *err)
{
    struct store *store = api_store(c->api);
    CLEANUP(freep) char *bytes = NULL;
    size_t size;
    struct blob blob;
    TRY(file_read(path, PICTURE_MAX_BYTES, &bytes, &size, err));
    TRY(blob_put(store, bytes, size, clock_now_ms(), &blob, err));
    struct upload picture = {.size = (int64_t)size};
    memcpy(picture.sha256, blob.sha256, sizeof picture.sha256);
    hash_bytes(HASH_SHA1, bytes, size, p->sha1);
    snprintf(picture.sha1, sizeof picture.sha1, "%s", p->sha1);
    return classify_picture(store, c->owner, c->classifier, &picture, clock_now_ms(), p->job, err);
}

/* Taken again after its lease: its job is under way still. */
static void begin(struct bucket_classifier *c, const json_t *item)
{
    const char *id = json_get_string(item, "request_id", ""), *key = json_get_string(item, "key", "");
    struct pending *known = find(c, id);
    if (known && !strcmp(known->key, key))
        return;
    struct pending p = {.request_id = xstrdup(id), .key = xstrdup(key), .progress = PROGRESS_QUEUED};
    struct error err = {0};
    if (queue(c, json_get_string(item, "value", ""), &p, &err) != OK) {
        tell(c, &p, 0, "", err.message);
        free(p.request_id);
        free(p.key);
        return;
    }
    tell(c, &p, PROGRESS_QUEUED, "[WORKER - ACK] queued", "");
    c->list[c->n++] = p;
}

/* ---- jobs ---- */

static void tell_label(struct bucket_classifier *c, const struct pending *p, const struct document *job)
{
    static const char wrong[] = "error: ";
    const char *label = json_get_string(json_object_get(job->body, "results"), p->sha1, "");
    if (!strncmp(label, wrong, strlen(wrong))) {
        tell(c, p, 100, "", label + strlen(wrong));
        return;
    }
    CLEANUP(freep) char *value = xasprintf("[WORKER - ACK] it's a '%s'!", label);
    tell(c, p, 100, value, "");
}

/* Is the item's job over?  Then the browser has been told. */
static bool is_over(struct bucket_classifier *c, struct pending *p)
{
    CLEANUP(document_release) struct document job = {0};
    struct error err = {0};
    enum status status = document_get(api_store(c->api), c->owner, p->job, &job, &err);
    if (status != OK && status != NOT_FOUND)
        return false;
    if (status == NOT_FOUND || job.state == STATE_DELETED) {
        tell(c, p, 100, "", "its classify job was deleted");
        return true;
    }
    if (job.state == STATE_FINISHED) {
        tell_label(c, p, &job);
        return true;
    }
    if (job.state == STATE_FAILED || job.state == STATE_CANCELLED) {
        tell(c, p, 100, "", json_get_string(job.body, "processing-log", "the classify job failed"));
        return true;
    }
    if (job.state == STATE_PROCESSING && p->progress < PROGRESS_RUNNING) {
        p->progress = PROGRESS_RUNNING;
        tell(c, p, PROGRESS_RUNNING, "[WORKER - ACK] classifying", "");
    }
    return false;
}

static void look(struct bucket_classifier *c)
{
    while (c->n < PENDING_MAX) {
        CLEANUP(json_decrefp) json_t *item = items_take(c->items, clock_now_ms());
        if (!item)
            break;
        begin(c, item);
    }
    for (int i = c->n; i-- > 0;)
        if (is_over(c, &c->list[i]))
            drop(c, i);
}

static void wait_for_change(struct bucket_classifier *c, uint64_t stamp)
{
    CLEANUP(freep) char *items = xasprintf("bucket:%s", c->bucket);
    CLEANUP(freep) char *feed = xasprintf("feed:%s", c->owner);
    c->waiter.n_topics = 0;
    c->waiter.deadline_ms = INT64_MAX;
    waiter_topic_add(&c->waiter, items);
    waiter_topic_add(&c->waiter, feed);
    c->woken = false;
    if (!waits_add(c->api->waits, &c->waiter, stamp))
        return;
    pthread_mutex_lock(&c->lock);
    while (!c->woken)
        pthread_cond_wait(&c->changed, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

static void *run(void *context)
{
    struct bucket_classifier *c = context;
    for (;;) {
        uint64_t stamp = waits_stamp(c->api->waits);
        if (atomic_load(&c->api->stopping))
            return NULL;
        look(c);
        wait_for_change(c, stamp);
    }
}

/* ---- as a whole ---- */

enum status bucket_classifier_new(const struct bucket_classifier_options *options,
                                  struct bucket_classifier **ret_classifier, struct error *err)
{
    TRY(classifier_check(api_store(options->api), options->owner, options->classifier, err));
    struct bucket_classifier *c = xcalloc(1, sizeof *c);
    c->api = options->api;
    c->items = options->items;
    c->bucket = xstrdup(options->bucket);
    c->owner = xstrdup(options->owner);
    c->classifier = xstrdup(options->classifier);
    c->waiter.wake = on_wake;
    c->waiter.is_gone = on_ask_gone;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    *ret_classifier = c;
    return OK;
}

enum status bucket_classifier_start(struct bucket_classifier *c, struct error *err)
{
    int failed = pthread_create(&c->thread, NULL, run, c);
    if (failed)
        return error_set(err, FAILED, "cannot start a thread: %s", strerror(failed));
    c->runs = true;
    return OK;
}

void bucket_classifier_stop(struct bucket_classifier *c)
{
    if (!c || !c->runs)
        return;
    pthread_join(c->thread, NULL);
    c->runs = false;
}

void bucket_classifier_free(struct bucket_classifier *c)
{
    if (!c)
        return;
    while (c->n)
        drop(c, 0);
    free(c->bucket);
    free(c->owner);
    free(c->classifier);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
