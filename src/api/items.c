#include "api/items.h"

#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"

#define VALUE_MAX    (64 * 1024)
#define FILE_MAX     (256 * 1024)
#define FILE_SUFFIX  ".json"
#define NS_IN_MS     1000000
#define NS_IN_SECOND 1000000000

enum item_state { READY, LEASED, DONE };

struct item {
    char *request_id, *url, *path, *value, *error, *key;
    int weight, progress;
    bool canceled;
    int64_t created_ns;
    enum item_state state;
    int64_t leased_until_ms;
    uint64_t version;
};

struct items {
    struct items_options options;
    char *bucket, *folder;
    pthread_mutex_t lock; /* guards what follows */
    struct item *list;
    int n, allocated;
    uint64_t version;
    int64_t last_ns; /* created_ns of the newest: no two share a key */
};

static void item_release(struct item *i)
{
    free(i->request_id);
    free(i->url);
    free(i->path);
    free(i->value);
    free(i->error);
    free(i->key);
}

static void unlockp(pthread_mutex_t **lock)
{
    pthread_mutex_unlock(*lock);
}
#define LOCKED(items)                                                                                        \
    CLEANUP(unlockp) pthread_mutex_t *locked_ = &(items)->lock;                                              \
    pthread_mutex_lock(locked_)

/* ---- the contract's words ---- */

char *item_key(const char *bucket, int weight, int64_t created_ns)
{
    return xasprintf("%s/%05d%035llX", bucket, ITEM_WEIGHT_MAX - weight, (unsigned long long)created_ns);
}

/* RFC 3339 with as many digits of the second as there are, as Go writes it. */
static void time_text(int64_t at_ns, char out[48])
{
    time_t seconds = at_ns / NS_IN_SECOND;
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(out, 48, "%Y-%m-%dT%H:%M:%S", &tm);
    int64_t rest = at_ns % NS_IN_SECOND;
    if (rest) {
        n += (size_t)snprintf(out + n, 48 - n, ".%09lld", (long long)rest);
        while (out[n - 1] == '0')
            n--;
    }
    snprintf(out + n, 48 - n, "Z");
}

static json_t *item_json(const struct items *s, const struct item *i, const char *value)
{
    char created[48];
    time_text(i->created_ns, created);
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:b, s:s, s:s}", "bucket", s->bucket, "created_at", created,
                     "key", i->key, "value", value, "progress", i->progress, "canceled", (int)i->canceled,
                     "error", i->error, "request_id", i->request_id);
}

json_t *item_error(const char *bucket, const char *message)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:b, s:o, s:s}", "bucket", bucket, "created_at",
                     "0001-01-01T00:00:00Z", "key", "", "value", "", "progress", 0, "canceled", 0, "error",
                     json_of_bytes(message, strlen(message)), "request_id", "");
}

/* ---- files ---- */

static char *file_path(const struct items *s, const struct item *i)
{
    char name[HASH_HEX_MAX];
    hash_bytes(HASH_SHA256, i->request_id, strlen(i->request_id), name);
    return xasprintf("%s/%.32s" FILE_SUFFIX, s->folder, name);
}

static enum status item_save(const struct items *s, const struct item *i, struct error *err)
{
    CLEANUP(json_decrefp)
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:b, s:I, s:b}", "request_id", i->request_id, "url",
                  i->url, "path", i->path, "value", i->value, "error", i->error, "weight", i->weight,
                  "progress", i->progress, "canceled", (int)i->canceled, "created_ns",
                  (json_int_t)i->created_ns, "done", (int)(i->state == DONE));
    CLEANUP(freep) char *text = json_text(json);
    CLEANUP(freep) char *path = file_path(s, i);
    return file_write(path, text, strlen(text), 0600, err);
}

static void item_unsave(const struct items *s, const struct item *i)
{
    CLEANUP(freep) char *path = file_path(s, i);
    unlink(path);
}

static struct item *item_append(struct items *s)
{
    if (s->n == s->allocated) {
        s->allocated = s->allocated ? 2 * s->allocated : 64;
        s->list = xrealloc(s->list, (size_t)s->allocated * sizeof *s->list);
    }
    struct item *i = &s->list[s->n++];
    *i = (struct item){.version = ++s->version};
    return i;
}

static void item_load(struct items *s, const json_t *json)
{
    struct item *i = item_append(s);
    i->request_id = xstrdup(json_get_string(json, "request_id", ""));
    i->url = xstrdup(json_get_string(json, "url", ""));
    i->path = xstrdup(json_get_string(json, "path", ""));
    i->value = xstrdup(json_get_string(json, "value", ""));
    i->error = xstrdup(json_get_string(json, "error", ""));
    i->weight = (int)json_get_int(json, "weight", ITEM_WEIGHT);
    i->progress = (int)json_get_int(json, "progress", 0);
    i->canceled = json_get_bool(json, "canceled", false);
    i->created_ns = json_get_int(json, "created_ns", 0);
    i->state = json_get_bool(json, "done", false) ? DONE : READY;
    i->key = item_key(s->bucket, i->weight, i->created_ns);
    s->last_ns = MAX(s->last_ns, i->created_ns);
}

static enum status load(struct items *s, struct error *err)
{
    DIR *dir = opendir(s->folder);
    if (!dir)
        return error_set(err, FAILED, "cannot read the folder '%s'", s->folder);
    for (struct dirent *e; (e = readdir(dir));) {
        size_t n = strlen(e->d_name), suffix = strlen(FILE_SUFFIX);
        if (n <= suffix || strcmp(e->d_name + n - suffix, FILE_SUFFIX) != 0)
            continue;
        CLEANUP(freep) char *path = path_join(s->folder, e->d_name);
        CLEANUP(freep) char *text = NULL;
        CLEANUP(json_decrefp) json_t *json = NULL;
        size_t size;
        bool is_whole = file_read(path, FILE_MAX, &text, &size, NULL) == OK &&
                        json_read(text, size, &json, NULL) == OK && *json_get_string(json, "request_id", "");
        if (is_whole)
            item_load(s, json);
        else
            unlink(path);
    }
    closedir(dir);
    return OK;
}

/* ---- the list ---- */

static void item_remove(struct items *s, int index)
{
    item_unsave(s, &s->list[index]);
    item_release(&s->list[index]);
    s->list[index] = s->list[--s->n];
}

/* What time has done by now. */
static void settle(struct items *s, int64_t now_ms)
{
    for (int k = s->n; k-- > 0;) {
        struct item *i = &s->list[k];
        if (now_ms - i->created_ns / NS_IN_MS >= s->options.item_ms)
            item_remove(s, k);
        else if (i->state == LEASED && now_ms >= i->leased_until_ms)
            i->state = READY;
    }
}

static struct item *find(struct items *s, const char *request_id)
{
    for (int k = 0; k < s->n; k++)
        if (!strcmp(s->list[k].request_id, request_id))
            return &s->list[k];
    return NULL;
}

enum status items_new(const struct items_options *options, int64_t now_ms, struct items **ret_items,
                      struct error *err)
{
    struct items *s = xcalloc(1, sizeof *s);
    s->options = *options;
    s->bucket = xstrdup(options->bucket);
    s->folder = xstrdup(options->folder);
    pthread_mutex_init(&s->lock, NULL);
    enum status status = load(s, err);
    if (status != OK)
        return items_free(s), status;
    settle(s, now_ms);
    *ret_items = s;
    return OK;
}

void items_free(struct items *s)
{
    if (!s)
        return;
    for (int k = 0; k < s->n; k++)
        item_release(&s->list[k]);
    free(s->list);
    free(s->bucket);
    free(s->folder);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

enum status items_add(struct items *s, const struct new_item *new, int64_t now_ns, json_t **ret_item,
                      bool *ret_made, struct error *err)
{
    LOCKED(s);
    settle(s, now_ns / NS_IN_MS);
    struct item *i = find(s, new->request_id);
    *ret_made = !i;
    if (!i) {
        if (s->n >= s->options.max_items)
            return error_set(err, UNAVAILABLE, "the queue is full: it holds %d requests", s->n);
        i = item_append(s);
        i->request_id = xstrdup(new->request_id);
        i->url = xstrdup(new->url);
        i->path = xstrdup(new->path);
        i->value = xstrdup(new->value);
        i->error = xstrdup("");
        i->weight = new->weight;
        i->created_ns = s->last_ns = MAX(now_ns, s->last_ns + 1);
        i->key = item_key(s->bucket, i->weight, i->created_ns);
        enum status status = item_save(s, i, err);
        if (status != OK) {
            item_remove(s, s->n - 1);
            return status;
        }
    }
    *ret_item = item_json(s, i, i->value);
    return OK;
}

json_t *items_find(struct items *s, const char *request_id, int64_t now_ms, uint64_t *ret_version,
                   bool *ret_done)
{
    LOCKED(s);
    settle(s, now_ms);
    const struct item *i = find(s, request_id);
    if (!i)
        return NULL;
    if (ret_version)
        *ret_version = i->version;
    if (ret_done)
        *ret_done = i->state == DONE;
    return item_json(s, i, i->value);
}

json_t *items_take(struct items *s, int64_t now_ms)
{
    LOCKED(s);
    settle(s, now_ms);
    struct item *next = NULL;
    for (int k = 0; k < s->n; k++) {
        struct item *i = &s->list[k];
        if (i->state == READY && (!next || strcmp(i->key, next->key) < 0))
            next = i;
    }
    if (!next)
        return NULL;
    next->state = LEASED;
    next->leased_until_ms = now_ms + s->options.lease_ms;
    return item_json(s, next, next->path);
}

int64_t items_next_lapse(struct items *s)
{
    LOCKED(s);
    int64_t first_ms = INT64_MAX;
    for (int k = 0; k < s->n; k++)
        if (s->list[k].state == LEASED)
            first_ms = MIN(first_ms, s->list[k].leased_until_ms);
    return first_ms;
}

/* ---- what workers say ---- */

static enum status check_string(const json_t *posted, const char *name, size_t max, struct error *err)
{
    const json_t *value = json_object_get(posted, name);
    if (value && !json_is_null(value) && !json_is_string(value))
        return error_set(err, INVALID, "'%s' must be a string", name);
    if (json_string_length(value) > max)
        return error_set(err, INVALID, "'%s' is longer than %zu bytes", name, max);
    return OK;
}

static enum status check_posted(const json_t *posted, struct error *err)
{
    if (!json_is_object(posted))
        return error_set(err, INVALID, "the body is no object: expected an item");
    TRY(check_string(posted, "request_id", REQUEST_ID_MAX, err));
    if (!*json_get_string(posted, "request_id", ""))
        return error_set(err, INVALID, "invalid item: 'request_id' is missing");
    TRY(check_string(posted, "key", 2 * REQUEST_ID_MAX, err));
    TRY(check_string(posted, "value", VALUE_MAX, err));
    TRY(check_string(posted, "error", VALUE_MAX, err));
    const json_t *progress = json_object_get(posted, "progress");
    double number = json_number_value(progress);
    if (progress && (!json_is_number(progress) || number < 0 || number > 100 || number != floor(number)))
        return error_set(err, INVALID, "'progress' must be a whole number from 0 to 100");
    const json_t *canceled = json_object_get(posted, "canceled");
    if (canceled && !json_is_boolean(canceled))
        return error_set(err, INVALID, "'canceled' must be true or false");
    return OK;
}

static void take_string(char **to, const json_t *posted, const char *name)
{
    const char *text = json_get_string(posted, name, NULL);
    if (!text)
        return;
    free(*to);
    *to = xstrdup(text);
}

enum status items_post(struct items *s, const json_t *posted, int64_t now_ms, json_t **ret_item,
                       struct error *err)
{
    TRY(check_posted(posted, err));
    LOCKED(s);
    settle(s, now_ms);
    const char *id = json_get_string(posted, "request_id", ""), *key = json_get_string(posted, "key", "");
    struct item *i = find(s, id);
    if (!i || (*key && strcmp(key, i->key) != 0))
        return error_set(err, NOT_FOUND, "unknown request ID \"%s\"", id);
    if (i->state != DONE) {
        take_string(&i->value, posted, "value");
        take_string(&i->error, posted, "error");
        i->progress = (int)json_number_value(json_object_get(posted, "progress"));
        i->canceled = json_get_bool(posted, "canceled", false);
        i->version = ++s->version;
        i->leased_until_ms = now_ms + s->options.lease_ms;
        i->state = i->progress == 100 || i->canceled || *i->error ? DONE : LEASED;
        if (i->state == DONE)
            TRY(item_save(s, i, err));
    }
    *ret_item = item_json(s, i, i->value);
    return OK;
}

json_t *items_forget(struct items *s, const char *prefix, const char *url, int64_t now_ms)
{
    LOCKED(s);
    settle(s, now_ms);
    json_t *ids = json_array();
    for (int k = s->n; k-- > 0;) {
        const struct item *i = &s->list[k];
        if (strncmp(i->request_id, prefix, strlen(prefix)) != 0 || strcmp(i->url, url) != 0)
            continue;
        json_array_append_new(ids, json_string(i->request_id));
        item_remove(s, k);
    }
    return ids;
}
