#include "api/pictures.h"

#include <ctype.h>
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/pool.h"
#include "api/resource.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/http_client.h"

#define FETCHERS         4
#define FETCHES_MAX      256 /* waiting and under way */
#define FETCH_TIMEOUT_MS 30000

static const char *const suffixes[] = {".jpg", ".jpeg", ".png"};

enum picture_state { FETCHING, THERE, FAILING };

/* Entries are added at the front and never move; those being fetched are not removed. */
struct picture {
    struct picture *next;
    struct pool_job job;
    struct pictures *pictures;
    enum picture_state state;
    char *url;  /* "" for a file of a former process */
    char *path; /* THERE */
    int64_t size, used_ms;
    struct error why; /* FAILING */
    char topic[PICTURE_TOPIC_MAX];
};

struct pictures {
    struct pictures_options options;
    char *folder;
    struct pool *pool;
    atomic_bool stop;
    pthread_mutex_t lock; /* guards what follows */
    struct picture *first;
    int n_fetching;
    int64_t total_bytes;
};

static void picture_free(struct picture *one)
{
    free(one->url);
    free(one->path);
    free(one);
}

char *picture_url(const char *url)
{
    char *trimmed = xstrdup(url);
    trimmed[strcspn(trimmed, "?#")] = '\0';
    return trimmed;
}

/* Which of the suffixes the URL ends in, in any case; NULL. */
static const char *suffix_of(const char *url)
{
    size_t n = strlen(url);
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        size_t m = strlen(suffixes[i]);
        if (n > m && !strcasecmp(url + n - m, suffixes[i]))
            return suffixes[i];
    }
    return NULL;
}

/* ---- files ---- */

static struct picture *picture_add(struct pictures *p, const char *url, int64_t now_ms)
{
    struct picture *one = xcalloc(1, sizeof *one);
    char hash[HASH_HEX_MAX];
    hash_bytes(HASH_SHA256, url, strlen(url), hash);
    snprintf(one->topic, sizeof one->topic, "picture:%s", hash);
    one->pictures = p;
    one->url = xstrdup(url);
    one->used_ms = now_ms;
    one->next = p->first;
    p->first = one;
    return one;
}

static void adopt_file(struct pictures *p, const char *name, int64_t now_ms)
{
    CLEANUP(freep) char *path = path_join(p->folder, name);
    struct stat info;
    if (!suffix_of(name) || stat(path, &info) || !S_ISREG(info.st_mode))
        return;
    struct picture *one = picture_add(p, "", now_ms);
    one->state = THERE;
    one->path = TAKE(path);
    one->size = info.st_size;
    p->total_bytes += one->size;
}

static bool is_shared(const struct pictures *p, const struct picture *one)
{
    for (const struct picture *o = p->first; o; o = o->next)
        if (o != one && o->path && one->path && !strcmp(o->path, one->path))
            return true;
    return false;
}

/* Two URLs may have led to the same bytes: the file goes with the last. */
static void sweep(struct pictures *p, int64_t now_ms)
{
    for (struct picture **link = &p->first; *link;) {
        struct picture *one = *link;
        if (one->state == FETCHING || now_ms - one->used_ms < p->options.keep_ms) {
            link = &one->next;
            continue;
        }
        if (one->path && !is_shared(p, one))
            unlink(one->path);
        p->total_bytes -= one->size;
        *link = one->next;
        picture_free(one);
    }
}

/* ---- fetching ---- */

static enum status download(struct pictures *p, const char *url, struct buf *ret_bytes, struct error *err)
{
    CLEANUP(http_client_freep) struct http_client *client = NULL;
    TRY(http_client_new(&client, err));
    struct http_request request = {
        .url = url,
        .guarded = !p->options.allow_private,
        .follow = true,
        .timeout_ms = FETCH_TIMEOUT_MS,
        .max_bytes = PICTURE_MAX_BYTES,
        .stop = &p->stop,
    };
    struct http_response answer;
    TRY(http_perform(client, &request, &answer, err));
    if (answer.status != 200) {
        enum status status = answer.status >= 500 ? UNAVAILABLE : INVALID;
        error_set(err, status, "cannot fetch '%.200s': the server answers %d", url, answer.status);
        http_response_release(&answer);
        return status;
    }
    *ret_bytes = answer.body;
    return OK;
}

static enum status fetch(struct picture *one, char **ret_path, int64_t *ret_size, struct error *err)
{
    struct pictures *p = one->pictures;
    CLEANUP(buf_release) struct buf bytes;
    buf_init(&bytes, 1);
    struct buf body;
    TRY(download(p, one->url, &body, err));
    buf_release(&bytes);
    bytes = body;
    char hash[HASH_HEX_MAX];
    hash_bytes(HASH_SHA256, bytes.data, bytes.size, hash);
    CLEANUP(freep) char *path = xasprintf("%s/%s%s", p->folder, hash, suffix_of(one->url));
    TRY(file_write(path, bytes.data, bytes.size, 0644, err));
    *ret_path = TAKE(path);
    *ret_size = (int64_t)bytes.size;
    return OK;
}

static void run(struct pool_job *job)
{
    struct picture *one = (struct picture *)((char *)job - offsetof(struct picture, job));
    struct pictures *p = one->pictures;
    struct error why = {0};
    char *path = NULL;
    int64_t size = 0;
    enum status status =
        p->stop ? error_set(&why, UNAVAILABLE, "the server is stopping") : fetch(one, &path, &size, &why);
    pthread_mutex_lock(&p->lock);
    one->state = status == OK ? THERE : FAILING;
    one->path = path;
    one->size = size;
    one->used_ms = clock_now_ms(); /* a slow server must not have used up its life */
    one->why = why;
    p->total_bytes += size;
    p->n_fetching--;
    char topic[PICTURE_TOPIC_MAX];
    memcpy(topic, one->topic, sizeof topic);
    pthread_mutex_unlock(&p->lock);
    p->options.came(p->options.context, topic);
}

static struct picture *find(struct pictures *p, const char *url)
{
    for (struct picture *one = p->first; one; one = one->next)
        if (!strcmp(one->url, url))
            return one;
    return NULL;
}

/* A file that somebody removed is fetched anew. */
static bool is_there(const struct picture *one)
{
    return one->state == THERE && !access(one->path, R_OK);
}

static enum status begin(struct pictures *p, struct picture **one, const char *url, int64_t now_ms,
                         struct error *err)
{
    if (p->n_fetching >= FETCHES_MAX)
        return error_set(err, UNAVAILABLE, "too many pictures are being fetched: try again");
    if (p->total_bytes >= p->options.max_bytes)
        return error_set(err, UNAVAILABLE,
                         "the pictures kept are %lld bytes, the most there may be: try later",
                         (long long)p->total_bytes);
    if (!*one)
        *one = picture_add(p, url, now_ms);
    p->total_bytes -= (*one)->size;
    freep(&(*one)->path);
    (*one)->size = 0;
    (*one)->state = FETCHING;
    (*one)->job.run = run;
    p->n_fetching++;
    pool_add(p->pool, &(*one)->job);
    return OK;
}

static enum status ask(struct pictures *p, const char *url, bool again, int64_t now_ms, char **ret_path,
                       char ret_topic[PICTURE_TOPIC_MAX], struct error *err)
{
    sweep(p, now_ms);
    struct picture *one = find(p, url);
    *ret_path = NULL;
    if (one && one->state == FAILING && again) {
        if (err)
            *err = one->why;
        return one->why.status;
    }
    if (!one || (one->state != FETCHING && !is_there(one)))
        TRY(begin(p, &one, url, now_ms, err));
    one->used_ms = now_ms;
    memcpy(ret_topic, one->topic, sizeof one->topic);
    if (one->state == THERE)
        *ret_path = xstrdup(one->path);
    return OK;
}

enum status picture_get(struct pictures *p, const char *url, bool again, int64_t now_ms, char **ret_path,
                        char ret_topic[PICTURE_TOPIC_MAX], struct error *err)
{
    TRY(url_check(url, p->options.allow_private, err));
    if (!suffix_of(url))
        return error_set(err, INVALID, "'%.200s' is no picture: it must end in .jpg, .jpeg or .png", url);
    pthread_mutex_lock(&p->lock);
    enum status status = ask(p, url, again, now_ms, ret_path, ret_topic, err);
    pthread_mutex_unlock(&p->lock);
    return status;
}

/* ---- as a whole ---- */

enum status pictures_new(const struct pictures_options *options, int64_t now_ms,
                         struct pictures **ret_pictures, struct error *err)
{
    struct pictures *p = xcalloc(1, sizeof *p);
    p->options = *options;
    p->folder = xstrdup(options->folder);
    pthread_mutex_init(&p->lock, NULL);
    enum status status = pool_new(FETCHERS, &p->pool, err);
    if (status != OK)
        return pictures_free(p), status;
    DIR *dir = opendir(p->folder);
    for (struct dirent *e; dir && (e = readdir(dir));)
        adopt_file(p, e->d_name, now_ms);
    if (dir)
        closedir(dir);
    *ret_pictures = p;
    return OK;
}

void pictures_free(struct pictures *p)
{
    if (!p)
        return;
    p->stop = true;
    pool_free(p->pool);
    while (p->first) {
        struct picture *one = p->first;
        p->first = one->next;
        picture_free(one);
    }
    pthread_mutex_destroy(&p->lock);
    free(p->folder);
    free(p);
}
