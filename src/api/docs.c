/*
 * docs.c - /docs: the API on one page, from the tables of routes and fields.
 * Plain HTML without scripts, so that its policy can forbid everything but
 * its own style.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "api/server.h"
#include "base/buf.h"
#include "base/hash.h"

#define PAGE_MAX (4 * 1024 * 1024)

static const char style[] =
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "h2{margin-top:2.5rem;border-bottom:1px solid "
    "#ccc}code,td:first-child{font-family:ui-monospace,monospace}"
    "section{margin:1.2rem 0 1.8rem}h3{font-size:1rem;margin:0}h3 b{color:#06c}p{margin:.2rem 0}"
    "table{border-collapse:collapse;margin:.4rem 0;width:100%}td{border-top:1px solid #eee;padding:.15rem "
    ".6rem "
    ".15rem 0;vertical-align:top}caption{text-align:left;font-weight:bold;font-size:.9rem}"
    "@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}h3 "
    "b{color:#7bf}td{border-color:#333}}";

static const char *type_word(const struct field *f)
{
    static const char *const words[] = {
        [FIELD_STRING] = "string",  [FIELD_INT] = "integer",
        [FIELD_NUMBER] = "number",  [FIELD_BOOL] = "true or false",
        [FIELD_NUMERIC] = "number", [FIELD_ID] = "id",
        [FIELD_URL] = "URL",        [FIELD_OBJECT] = "object",
        [FIELD_ARRAY] = "array",    [FIELD_ANY] = "anything",
    };
    return words[f->type];
}

/* Rows of a table and of those within it, names joined by dots. */
static void put_fields(struct buf *b, const struct field *table, const char *prefix, bool input)
{
    for (const struct field *f = table; f->name; f++) {
        if (f->flags & (input ? READ_ONLY : WRITE_ONLY))
            continue;
        CLEANUP(freep) char *name = xasprintf("%s%s", prefix, f->name);
        buf_puts(b, "<tr><td>");
        buf_puts_xml(b, name);
        buf_printf(b, "</td><td>%s%s</td><td>", type_word(f),
                   input && (f->flags & REQUIRED) ? ", required" : "");
        buf_puts_xml(b, f->text ? f->text : "");
        if (f->words) {
            buf_puts(b, " One of <code>");
            buf_puts_xml(b, f->words);
            buf_puts(b, "</code>.");
        }
        if (f->also) {
            buf_puts(b, " Also spelled <code>");
            buf_puts_xml(b, f->also);
            buf_puts(b, "</code>.");
        }
        if (input && f->otherwise) {
            buf_puts(b, " Otherwise <code>");
            buf_puts_xml(b, f->otherwise);
            buf_puts(b, "</code>.");
        }
        buf_puts(b, "</td></tr>");
        CLEANUP(freep) char *inner = xasprintf("%s.", name);
        if (f->fields)
            put_fields(b, f->fields, inner, input);
    }
}

static void put_table(struct buf *b, const char *title, const struct field *table, bool input)
{
    if (!table || !table->name)
        return;
    buf_printf(b, "<table><caption>%s</caption>", title);
    put_fields(b, table, "", input);
    buf_puts(b, "</table>");
}

static const char *scope_words(enum scope scope)
{
    switch (scope) {
    case SCOPE_NONE:
        return "Open to all.";
    case SCOPE_USER:
        return "Needs a user: Basic, or a Bearer token.";
    case SCOPE_ANY:
        return "Needs a user, or a Bearer token of scope admin.";
    case SCOPE_WORKER:
        return "Needs a Bearer token of scope worker.";
    case SCOPE_ADMIN:
        return "Needs a Bearer token of scope admin.";
    case SCOPE_METRICS:
        return "From the server's own machine, or with a Bearer token of scope admin.";
    case SCOPE_LEASE:
        return "Needs the Bearer token of the lease.";
    }
    return "";
}

static const char *body_words(enum body_kind body)
{
    switch (body) {
    case BODY_NONE:
    case BODY_JSON:
        return "";
    case BODY_DOCUMENT:
        return " The body is JSON, or a form: the JSON as its part <code>document</code>, and files.";
    case BODY_FORM:
        return " The body is a form (multipart/form-data), or JSON without files.";
    case BODY_RAW:
    case BODY_BYTES:
        return " The body is the bytes.";
    }
    return "";
}

static void put_route(struct buf *b, const struct route *r)
{
    buf_printf(b, "<section><h3><b>%s</b> <code>", r->method);
    buf_puts_xml(b, r->path);
    buf_puts(b, "</code></h3><p>");
    buf_puts_xml(b, r->summary);
    buf_printf(b, "</p><p>%s%s Answers %d.</p>", scope_words(r->scope), body_words(r->body), r->success);
    for (const char *const *f = r->files; f && *f; f++) {
        buf_puts(b, "<p>Takes a file part <code>");
        buf_puts_xml(b, *f);
        buf_puts(b, "</code>.</p>");
    }
    put_table(b, "Query", r->query, true);
    put_table(b, "Body", r->in, true);
    put_table(b, "Answer", r->out, false);
    buf_puts(b, "</section>");
}

static char *page_text(const struct route *const *tables, size_t *ret_size)
{
    struct buf b;
    buf_init(&b, PAGE_MAX);
    buf_printf(
        &b,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
        "content=\"width=device-width\"><title>et: the API</title><style>%s</style></head><body><h1>et %s: "
        "the "
        "API</h1><p>For programs: <a href=\"/openapi.json\">/openapi.json</a> (OpenAPI 3.1). Failures are "
        "problem documents (RFC 9457). A POST may carry an <code>Idempotency-Key</code>.</p>",
        style, ET_VERSION);
    const char *section = "";
    size_t length = 0;
    for (const struct route *const *t = tables; *t; t++) {
        for (const struct route *r = *t; r->method; r++) {
            size_t n = strcspn(r->path + 1, "/");
            if (n != length || strncmp(section, r->path + 1, n)) {
                section = r->path + 1;
                length = n;
                buf_printf(&b, "<h2>%.*s</h2>", (int)n, section);
            }
            put_route(&b, r);
        }
    }
    buf_puts(&b, "</body></html>\n");
    char *text = buf_take(&b, ret_size);
    buf_release(&b);
    return text;
}

static void allow_style_only(struct response *response)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    char encoded[sodium_base64_ENCODED_LEN(crypto_hash_sha256_BYTES, sodium_base64_VARIANT_ORIGINAL)];
    crypto_hash_sha256(hash, (const unsigned char *)style, sizeof(style) - 1);
    sodium_bin2base64(encoded, sizeof(encoded), hash, sizeof(hash), sodium_base64_VARIANT_ORIGINAL);
    CLEANUP(freep)
    char *policy = xasprintf("default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action "
                             "'none'; frame-ancestors 'none'",
                             encoded);
    response_header(response, "Content-Security-Policy", policy);
}

static enum status docs(struct request *r, struct response *response, struct error *err)
{
    (void)err;
    size_t size;
    char *text = page_text(r->api->tables, &size);
    allow_style_only(response);
    response_text(response, 200, "text/html; charset=utf-8", text, size);
    return OK;
}

static enum status openapi(struct request *r, struct response *response, struct error *err)
{
    (void)err;
    response_text(response, 200, "application/json; charset=utf-8", xstrdup(r->api->openapi),
                  strlen(r->api->openapi));
    return OK;
}

const struct route docs_routes[] = {
    {"GET", "/openapi.json", openapi, SCOPE_NONE, BODY_NONE, "This API, for programs (OpenAPI 3.1).", NULL,
     NULL, 200},
    {"GET", "/docs", docs, SCOPE_NONE, BODY_NONE, "This API, for people.", NULL, NULL, 200},
    {NULL},
};
