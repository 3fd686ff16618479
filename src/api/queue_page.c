/*
 * queue_page.c - the page of a bucket: web/queue.*, in the binary.
 */
#include <string.h>

#include "api/buckets.h"
#include "api/legacy.h"
#include "api/resource.h"
#include "api/server.h"
#include "queue_page_files.h"

static const struct asset {
    const char *name, *type, *bytes;
    size_t size;
} assets[] = {
    {"queue.js", "text/javascript; charset=utf-8", queue_js, sizeof queue_js},
    {"queue.css", "text/css; charset=utf-8", queue_css, sizeof queue_css},
};

static void respond(struct response *response, const char *type, const char *bytes, size_t size)
{
    char *copy = xmalloc(size);
    memcpy(copy, bytes, size);
    response_text(response, 200, type, copy, size);
    response_header(response, "Content-Security-Policy",
                    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri "
                    "'none'; form-action 'none'; frame-ancestors 'none'");
}

static enum status page(struct request *r, struct response *response, struct error *err)
{
    if (!buckets_has(legacy_buckets(r->api), r->args[0]))
        return error_set(err, NOT_FOUND, "there is no bucket '%.64s'", r->args[0]);
    respond(response, "text/html; charset=utf-8", queue_html, sizeof queue_html);
    return OK;
}

static enum status asset(struct request *r, struct response *response, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(assets); i++) {
        if (!strcmp(assets[i].name, r->args[0])) {
            respond(response, assets[i].type, assets[i].bytes, assets[i].size);
            return OK;
        }
    }
    return error_set(err, NOT_FOUND, "the page has no file '%.64s'", r->args[0]);
}

const struct route queue_page_routes[] = {
    {"GET", "/queue/{bucket}", page, SCOPE_NONE, BODY_NONE, "A page to ask a bucket, and to watch.", NULL,
     NULL, 200},
    {"GET", "/queue/assets/{file}", asset, SCOPE_NONE, BODY_NONE, "Script and style of that page.", NULL,
     NULL, 200},
    {NULL},
};
