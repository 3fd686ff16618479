/*
 * blobs.c - download of a document's files.
 */
#include <string.h>

#include "api/server.h"
#include "base/buf.h"

static const char *type_of(const char *name)
{
    static const struct {
        const char *end, *type;
    } types[] = {
        {".prototxt", "text/plain; charset=utf-8"},
        {".txt", "text/plain; charset=utf-8"},
        {".json", "application/json; charset=utf-8"},
        {".gz", "application/gzip"},
        {".tgz", "application/gzip"},
        {".zip", "application/zip"},
        {".tar", "application/x-tar"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".jpeg", "image/jpeg"},
    };
    size_t n = strlen(name);
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        size_t m = strlen(types[i].end);
        if (n > m && !strcmp(name + n - m, types[i].end))
            return types[i].type;
    }
    return "application/octet-stream";
}

/* filename* as RFC 8187 writes it: all but the plainest characters escaped. */
static void name_download(struct response *response, const char *name)
{
    struct buf b;
    buf_init(&b, 4096);
    buf_puts(&b, "attachment; filename*=UTF-8''");
    for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
        bool plain = (*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z') ||
                     strchr("-._~", *c);
        if (plain)
            buf_putc(&b, (char)*c);
        else
            buf_printf(&b, "%%%02X", *c);
    }
    if (!b.overflowed)
        response_header(response, "Content-Disposition", b.data);
    buf_release(&b);
}

static enum status blobs_get(struct request *r, struct response *response, struct error *err)
{
    struct store *store = api_store(r->api);
    CLEANUP(document_release) struct document document = {0};
    struct blob blob;
    TRY(document_get(store, r->who.owner, r->args[0], &document, err));
    TRY(blob_ref_get(store, r->args[0], r->args[1], &blob, err));
    name_download(response, r->args[1]);
    response_blob(response, blob.sha256, type_of(r->args[1]));
    return OK;
}

const struct route blob_routes[] = {
    {"GET", "/blobs/{id}/{name}", blobs_get, SCOPE_USER, BODY_NONE,
     "Bytes of a document's file: cbfs://ID/NAME. Range and If-None-Match are honoured.", NULL, NULL, 200},
    {NULL},
};
