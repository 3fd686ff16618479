#include "api/buckets.h"

#include <limits.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/bucket_classifier.h"
#include "api/items.h"
#include "api/legacy.h"
#include "api/pictures.h"
#include "api/resource.h"
#include "api/server.h"
#include "base/address.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#define NAME_MAX_BYTES 64
#define ITEMS_MAX      10000
#define SPOOL_MAX      (2LL << 30)
#define ITEM_MS        (30 * 60 * 1000)
#define ITEM_LEASE_MS  (5 * 60 * 1000)
#define POLL_MS        (24 * 3600 * 1000LL) /* a worker that waits so long is told to ask again */
#define HEARTBEAT_MS   15000
#define USER_PART      5 /* characters of the client's address in a request's id */
#define HASH_PART      7 /* of the hash of the picture's path */
#define ROUTES         5

struct bucket {
    char *name, *path; /* "cats-request", "/cats-request" */
    char owner[OWNER_MAX];
    struct items *items;
    struct pictures *pictures;
    struct bucket_classifier *classifier; /* NULL: workers from outside serve it */
    struct route routes[ROUTES + 1];
    char *paths[ROUTES];
};

struct buckets {
    int n;
    struct bucket *list;
};

static struct bucket *bucket_of(const struct request *r)
{
    const struct buckets *b = legacy_buckets(r->api);
    const char *first = r->route->path + 1;
    size_t size = strcspn(first, "/");
    for (int i = 0; i < b->n; i++)
        if (strlen(b->list[i].name) == size && !strncmp(b->list[i].name, first, size))
            return &b->list[i];
    abort();
}

/* ---- answers ---- */

static void answer(struct response *response, json_t *json /* taken */)
{
    char *text = json_text_as(json, JSON_COMPACT);
    json_decref(json);
    response_text(response, 200, "text/plain; charset=utf-8", text, strlen(text));
}

static enum status say_error(const struct bucket *b, struct response *response, const char *message)
{
    answer(response, item_error(b->path, message));
    return OK;
}

static void stir(struct api *api, const char *kind, const char *name)
{
    CLEANUP(freep) char *topic = xasprintf("%s:%s", kind, name);
    api_stir(api, topic);
}

static void wait_for(struct response *response, const char *kind, const char *name, int64_t deadline_ms)
{
    CLEANUP(freep) char *topic = xasprintf("%s:%s", kind, name);
    response_wait(response, topic, deadline_ms);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- ids ---- */

/* First characters of the client's address without dots; behind a proxy of the one that it names. */
static void user_part(const struct request *r, char out[USER_PART + 1])
{
    char address[ADDRESS_TEXT_MAX];
    const char *forwarded = request_header(r, "X-Forwarded-For");
    const char *from =
        forwarded && *forwarded ? forwarded + strspn(forwarded, " ") : request_client_address(r, address);
    size_t n = 0;
    for (const char *c = from; *c && *c != ',' && n < USER_PART; c++)
        if (*c != '.')
            out[n++] = *c > ' ' && *c < 0x7f && *c != '"' && *c != '\\' ? *c : '_';
    out[n] = '\0';
}

/* "/cats-request-12700-", which all requests of this client begin with; for the caller to free. */
static char *request_prefix(const struct bucket *b, const struct request *r)
{
    char user[USER_PART + 1];
    user_part(r, user);
    return xasprintf("%s-%s-", b->path, user);
}

static char *request_id_of(const char *prefix, const char *image_path)
{
    unsigned char hash[crypto_hash_sha512_BYTES];
    char encoded[sodium_base64_ENCODED_LEN(crypto_hash_sha512_BYTES, sodium_base64_VARIANT_ORIGINAL)];
    crypto_hash_sha512(hash, (const unsigned char *)image_path, strlen(image_path));
    sodium_bin2base64(encoded, sizeof encoded, hash, sizeof hash, sodium_base64_VARIANT_ORIGINAL);
    return xasprintf("%s%.*s", prefix, HASH_PART, encoded);
}

/* ---- the browser's side ---- */

struct wish {
    char *url;
    bool create;
    int weight;
};

static void wish_release(struct wish *w)
{
    free(w->url);
}

static enum status wish_read(const struct request *r, struct wish *ret_wish, struct error *err)
{
    CLEANUP(json_decrefp) json_t *body = NULL;
    TRY(json_read(r->bytes, r->n_bytes, &body, err));
    const char *url = json_get_string(body, "data_from_frontend", "");
    const json_t *create = json_object_get(body, "create_request"), *weight = json_object_get(body, "weight");
    if (create && !json_is_boolean(create))
        return error_set(err, INVALID, "'create_request' must be true or false");
    if (!*url && json_is_true(create))
        return error_set(err, INVALID, "'data_from_frontend' is missing: expected the URL of a picture");
    if (weight && (!json_is_integer(weight) || json_integer_value(weight) < 0 ||
                   json_integer_value(weight) > ITEM_WEIGHT_MAX))
        return error_set(err, INVALID, "'weight' must be a whole number from 0 to %d", ITEM_WEIGHT_MAX);
    *ret_wish = (struct wish){.url = picture_url(url),
                              .create = json_is_true(create),
                              .weight = (int)json_get_int(body, "weight", ITEM_WEIGHT)};
    return OK;
}

static enum status create(struct bucket *b, struct request *r, struct response *response,
                          const struct wish *w, struct error *err)
{
    CLEANUP(freep) char *path = NULL;
    char topic[PICTURE_TOPIC_MAX];
    TRY(picture_get(b->pictures, w->url, r->waited, r->now_ms, &path, topic, err));
    if (!path && r->last)
        return error_set(err, UNAVAILABLE, "the server is stopping");
    if (!path) {
        response_wait(response, topic, r->arrived_ms + POLL_MS);
        return OK;
    }
    CLEANUP(freep) char *prefix = request_prefix(b, r);
    CLEANUP(freep) char *id = request_id_of(prefix, path);
    CLEANUP(freep)
    char *value = xasprintf("[BACKEND - ACK] Requested \"%s\" (request ID: %s)", path, id);
    const struct new_item new = {
        .request_id = id, .url = w->url, .path = path, .value = value, .weight = w->weight};
    json_t *item = NULL;
    bool made;
    TRY(items_add(b->items, &new, now_ns(), &item, &made, err));
    answer(response, item);
    if (made)
        stir(r->api, "bucket", b->name);
    return OK;
}

static enum status bucket_post(struct request *r, struct response *response, struct error *err)
{
    (void)err;
    struct bucket *b = bucket_of(r);
    struct error why = {0};
    CLEANUP(wish_release) struct wish wish = {0};
    enum status status = wish_read(r, &wish, &why);
    if (status == OK && wish.create)
        status = create(b, r, response, &wish, &why);
    if (status != OK)
        return say_error(b, response, why.message);
    if (wish.create)
        return OK;
    CLEANUP(freep) char *prefix = request_prefix(b, r);
    CLEANUP(json_decrefp) json_t *gone = items_forget(b->items, prefix, wish.url, r->now_ms);
    size_t i;
    json_t *id;
    json_array_foreach(gone, i, id)
        stir(r->api, "item", json_string_value(id));
    response_text(response, 200, "text/plain; charset=utf-8", xstrdup(""), 0);
    return OK;
}

static enum status say_not_found(const struct bucket *b, struct response *response, const char *id)
{
    CLEANUP(freep) char *message = xasprintf("cannot find request ID \"%.200s\"", id);
    return say_error(b, response, message);
}

static enum status bucket_get(struct request *r, struct response *response, struct error *err)
{
    (void)err;
    struct bucket *b = bucket_of(r);
    const char *id = request_header(r, "Request-Id");
    if (!id || !*id)
        return say_error(b, response, "expected \"Request-Id\" from header, got \"\"");
    json_t *item = items_find(b->items, id, r->now_ms, NULL, NULL);
    if (!item)
        return say_not_found(b, response, id);
    answer(response, item);
    return OK;
}

struct watching {
    char id[REQUEST_ID_MAX];
    uint64_t version; /* told last; 0: none */
    int64_t beat_ms;  /* last sign of life, monotonic */
};

static void put_event(json_t *item /* taken */, struct buf *out)
{
    CLEANUP(freep) char *text = json_text_as(item, JSON_COMPACT);
    json_decref(item);
    buf_puts(out, "data: ");
    buf_puts(out, text);
    buf_puts(out, "\n\n");
}

static enum stream_next next_event(struct request *r, struct response *response, struct buf *out)
{
    struct bucket *b = bucket_of(r);
    struct watching *w = r->state;
    uint64_t version = 0;
    bool done = false;
    json_t *item = items_find(b->items, w->id, r->now_ms, &version, &done);
    int64_t now_ms = clock_monotonic_ms();
    if (!item) {
        CLEANUP(freep) char *message = xasprintf("cannot find request ID \"%s\"", w->id);
        put_event(item_error(b->path, message), out);
        return STREAM_END;
    }
    if (version != w->version) {
        w->version = version;
        w->beat_ms = now_ms;
        put_event(item, out);
        return done ? STREAM_END : STREAM_MORE;
    }
    json_decref(item);
    if (done || r->last)
        return STREAM_END;
    if (now_ms - w->beat_ms >= HEARTBEAT_MS) {
        w->beat_ms = now_ms;
        buf_puts(out, ":\n\n");
        return STREAM_MORE;
    }
    wait_for(response, "item", w->id, w->beat_ms + HEARTBEAT_MS);
    return STREAM_MORE;
}

static enum status bucket_events(struct request *r, struct response *response, struct error *err)
{
    (void)err;
    struct bucket *b = bucket_of(r);
    const char *id = request_query(r, "request_id");
    if (!id || !*id || strlen(id) >= REQUEST_ID_MAX)
        return say_error(b, response, "expected \"request_id\" in the query");
    struct watching *w = r->state = xcalloc(1, sizeof *w);
    snprintf(w->id, sizeof w->id, "%s", id);
    for (char *c = w->id; *c; c++)
        if (*c == ' ') /* a plus that was not escaped */
            *c = '+';
    w->beat_ms = clock_monotonic_ms();
    json_t *item = items_find(b->items, w->id, r->now_ms, NULL, NULL);
    if (!item)
        return say_not_found(b, response, w->id);
    json_decref(item);
    response_stream(response, "text/event-stream", next_event);
    return OK;
}

/* ---- the worker's side ---- */

/* Until one is added, or a lease ends. */
static void wait_for_item(struct bucket *b, const struct request *r, struct response *response)
{
    int64_t lapse_ms = items_next_lapse(b->items);
    wait_for(response, "bucket", b->name, r->arrived_ms + POLL_MS);
    if (lapse_ms != INT64_MAX)
        response_look(response, clock_monotonic_ms() + MAX(lapse_ms - r->now_ms, (int64_t)0));
}

static enum status queue_get(struct request *r, struct response *response, struct error *err)
{
    (void)err;
    struct bucket *b = bucket_of(r);
    bool is_asking = !strcmp(r->method, "GET");
    if (!is_asking || request_client_gone(r)) {
        response_empty(response, 200);
        return OK;
    }
    json_t *item = r->last ? NULL : items_take(b->items, r->now_ms);
    if (item)
        answer(response, item);
    else if (r->last)
        say_error(b, response, "there is no request: ask again");
    else
        wait_for_item(b, r, response);
    return OK;
}

static enum status queue_post(struct request *r, struct response *response, struct error *err)
{
    (void)err;
    struct bucket *b = bucket_of(r);
    struct error why = {0};
    CLEANUP(json_decrefp) json_t *posted = NULL;
    json_t *item = NULL;
    enum status status = json_read(r->bytes, r->n_bytes, &posted, &why);
    if (status == OK)
        status = items_post(b->items, posted, r->now_ms, &item, &why);
    if (status != OK)
        return say_error(b, response, why.message);
    answer(response, item);
    stir(r->api, "item", json_get_string(posted, "request_id", ""));
    return OK;
}

/* ---- making them ---- */

static void add_route(struct bucket *b, int index, const char *method, const char *tail, handler handle,
                      enum body_kind body, const char *summary)
{
    b->paths[index] = xasprintf("%s%s", b->path, tail);
    b->routes[index] = (struct route){.method = method,
                                      .path = b->paths[index],
                                      .handle = handle,
                                      .scope = SCOPE_NONE,
                                      .body = body,
                                      .summary = summary,
                                      .success = 200};
}

static void add_routes(struct bucket *b)
{
    add_route(b, 0, "POST", "", bucket_post, BODY_BYTES, "Bucket: request, or forget, a picture by its URL.");
    add_route(b, 1, "GET", "", bucket_get, BODY_NONE, "Bucket: the item that the header Request-Id names.");
    add_route(b, 2, "GET", "/queue", queue_get, BODY_NONE, "Bucket: the next item, when there is one.");
    add_route(b, 3, "POST", "/queue", queue_post, BODY_BYTES, "Bucket: a worker's progress or result.");
    add_route(b, 4, "GET", "/events", bucket_events, BODY_NONE,
              "Bucket: an item as it changes, as Server-Sent Events.");
}

static bool is_taken(const struct route *const *tables, const char *name)
{
    for (; *tables; tables++) {
        for (const struct route *r = *tables; r->method; r++) {
            size_t size = strcspn(r->path + 1, "/");
            if (strlen(name) == size && !strncmp(r->path + 1, name, size))
                return true;
        }
    }
    return false;
}

static enum status check_name(const struct buckets *all, const struct route *const *tables, const char *name,
                              struct error *err)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t size = strlen(name);
    if (!size || size > NAME_MAX_BYTES || strspn(name, allowed) != size || *name == '.' || *name == '_')
        return error_set(
            err, INVALID,
            "bucket '%.80s' is not 1 to %d of A-Z a-z 0-9 . _ -, beginning with a letter or digit", name,
            NAME_MAX_BYTES);
    if (is_taken(tables, name))
        return error_set(err, INVALID, "bucket '%s' has the name of another path: choose another", name);
    if (buckets_has(all, name))
        return error_set(err, INVALID, "there are two buckets '%s'", name);
    return OK;
}

static void picture_came(void *context, const char *topic)
{
    api_stir(context, topic);
}

static enum status open_folder(struct bucket *b, struct api *api, const struct api_options *options,
                               struct error *err)
{
    CLEANUP(freep) char *wanted = xasprintf("%s/buckets/%s", options->data, b->name);
    TRY(dir_make(wanted, err));
    char folder[PATH_MAX];
    if (!realpath(wanted, folder))
        return error_set(err, FAILED, "cannot find the folder '%s'", wanted);
    int64_t item_ms = options->item_ms ? options->item_ms : ITEM_MS, at_ms = clock_now_ms();
    const struct items_options items = {
        .bucket = b->path,
        .folder = folder,
        .max_items = ITEMS_MAX,
        .item_ms = item_ms,
        .lease_ms = options->item_lease_ms ? options->item_lease_ms : ITEM_LEASE_MS,
    };
    TRY(items_new(&items, at_ms, &b->items, err));
    const struct pictures_options pictures = {
        .folder = folder,
        .allow_private = options->allow_private_urls,
        .keep_ms = 2 * item_ms, /* an item's picture outlives it */
        .max_bytes = SPOOL_MAX,
        .came = picture_came,
        .context = api,
    };
    return pictures_new(&pictures, at_ms, &b->pictures, err);
}

static enum status add_classifier(struct bucket *b, struct api *api, const char *id, struct error *err)
{
    if (!id)
        return OK;
    const struct bucket_classifier_options options = {
        .api = api, .items = b->items, .bucket = b->name, .owner = b->owner, .classifier = id};
    return bucket_classifier_new(&options, &b->classifier, err);
}

/* One "NAME:USER" or "NAME:USER:CLASSIFIER". */
static enum status bucket_open(struct buckets *all, struct api *api, const struct api_options *options,
                               const struct route *const *tables, const char *text, struct error *err)
{
    CLEANUP(freep) char *name = xstrdup(text); /* user and classifier are parts of it */
    char *user = strchr(name, ':');
    if (!user)
        return error_set(err, INVALID, "bucket '%.200s' is not NAME:USER or NAME:USER:CLASSIFIER", text);
    *user++ = '\0';
    char *classifier = strchr(user, ':');
    if (classifier)
        *classifier++ = '\0';
    TRY(check_name(all, tables, name, err));
    all->list = xrealloc(all->list, ((size_t)all->n + 1) * sizeof *all->list);
    struct bucket *b = &all->list[all->n++];
    *b = (struct bucket){.name = xstrdup(name)};
    b->path = xasprintf("/%s", b->name);
    add_routes(b);
    if (legacy_user(api->store, user, b->owner, err) != OK || open_folder(b, api, options, err) != OK ||
        add_classifier(b, api, classifier, err) != OK)
        return error_context(err, "bucket '%s'", b->name);
    log_event("bucket.enabled", "bucket=%s user=%s classifier=%s", b->name, user,
              classifier ? classifier : "");
    return OK;
}

enum status buckets_new(struct api *api, const struct api_options *options, const struct route *const *tables,
                        struct buckets **ret_buckets, struct error *err)
{
    struct buckets *all = xcalloc(1, sizeof *all);
    CLEANUP(freep) char *list = xstrdup(options->buckets ? options->buckets : "");
    enum status status = OK;
    char *rest = NULL;
    for (char *text = strtok_r(list, " ,", &rest); text && status == OK; text = strtok_r(NULL, " ,", &rest))
        status = bucket_open(all, api, options, tables, text, err);
    if (status != OK)
        return buckets_free(all), status;
    *ret_buckets = all;
    return OK;
}

enum status buckets_start(struct buckets *all, struct error *err)
{
    for (int i = 0; i < all->n; i++)
        if (all->list[i].classifier)
            TRY(bucket_classifier_start(all->list[i].classifier, err));
    return OK;
}

void buckets_stop(struct buckets *all)
{
    for (int i = 0; i < all->n; i++)
        bucket_classifier_stop(all->list[i].classifier);
}

void buckets_free(struct buckets *all)
{
    if (!all)
        return;
    for (int i = 0; i < all->n; i++) {
        struct bucket *b = &all->list[i];
        bucket_classifier_free(b->classifier);
        pictures_free(b->pictures);
        items_free(b->items);
        for (int k = 0; k < ROUTES; k++)
            free(b->paths[k]);
        free(b->path);
        free(b->name);
    }
    free(all->list);
    free(all);
}

int buckets_count(const struct buckets *b)
{
    return b->n;
}

const struct route *buckets_routes(const struct buckets *b, int index)
{
    return b->list[index].routes;
}

bool buckets_has(const struct buckets *b, const char *name)
{
    for (int i = 0; i < b->n; i++)
        if (!strcmp(b->list[i].name, name))
            return true;
    return false;
}
