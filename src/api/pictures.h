/*
 * pictures.h - pictures that users name by URL, fetched once and kept as
 * files for a while: DIR/<sha256 of the bytes>.jpg.
 *
 * Threads of its own fetch, so that no request's thread waits for another
 * server.
 */
#ifndef ET_PICTURES_H
#define ET_PICTURES_H

#include "base/base.h"

#define PICTURE_MAX_BYTES (15 * 1024 * 1024)
#define PICTURE_TOPIC_MAX 80

struct pictures;

struct pictures_options {
    const char *folder; /* there already; files that are in it count as used just now */
    bool allow_private; /* URLs may lead to private addresses */
    int64_t keep_ms;    /* after its last use */
    int64_t max_bytes;  /* of all files together */
    /* Called from any thread when a picture has come or failed. */
    void (*came)(void *context, const char *topic);
    void *context;
};

enum status pictures_new(const struct pictures_options *options, int64_t now_ms,
                         struct pictures **ret_pictures, struct error *err);
void pictures_free(struct pictures *p); /* waits for what is being fetched; NULL is fine */

/* The URL without query and fragment, for the caller to free. */
char *picture_url(const char *url);

/*
 * The file of a picture, path for the caller to free.  *ret_path NULL: it is
 * being fetched; ask again, with `again`, when ret_topic stirs.
 *
 * Errors: INVALID, with the reason: no URL, not .jpg, .jpeg or .png, a private
 * address, not found, over 15 MB; UNAVAILABLE: the other server's doing, or
 * too much at once.  A new question fetches anew.
 */
enum status picture_get(struct pictures *p, const char *url, bool again, int64_t now_ms, char **ret_path,
                        char ret_topic[PICTURE_TOPIC_MAX], struct error *err);

#endif
