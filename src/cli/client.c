#include "cli/client.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"

char *client_login_path(void)
{
    const char *config = getenv("XDG_CONFIG_HOME");
    if (config && *config)
        return xasprintf("%s/et/login.json", config);
    const char *home = getenv("HOME");
    return xasprintf("%s/.config/et/login.json", home ? home : ".");
}

bool client_option(int option, const char *value, struct client_settings *settings)
{
    switch (option) {
    case CLIENT_OPTION_SERVER:
        settings->server = value;
        return true;
    case CLIENT_OPTION_TOKEN_FILE:
        settings->token_file = value;
        return true;
    case CLIENT_OPTION_JSON:
        settings->as_json = true;
        return true;
    default:
        return false;
    }
}

static enum status read_token_file(const char *path, char **ret_token, struct error *err)
{
    char *token = NULL;
    TRY(file_read(path, 4096, &token, NULL, err));
    token[strcspn(token, " \t\r\n")] = '\0';
    *ret_token = token;
    return OK;
}

/* The login file is used only for what neither flags nor environment say. */
static enum status read_login(struct client *c, struct error *err)
{
    CLEANUP(freep) char *path = client_login_path();
    CLEANUP(freep) char *text = NULL;
    size_t size = 0;
    enum status status = file_read(path, 65536, &text, &size, err);
    if (status == NOT_FOUND)
        return OK;
    TRY(status);
    CLEANUP(json_decrefp) json_t *login = NULL;
    if (json_read(text, size, &login, err) != OK)
        return error_context(err, "file '%s'", path);
    const char *server = json_get_string(login, "server", NULL);
    const char *token = json_get_string(login, "token", NULL);
    if (!c->server && server)
        c->server = xstrdup(server);
    /* A token belongs to the server that gave it. */
    if (!c->token && token && server && c->server && !strcmp(server, c->server))
        c->token = xstrdup(token);
    return OK;
}

enum status client_open(const struct client_settings *settings, bool needs_login, struct client *ret_client,
                        struct error *err)
{
    CLEANUP(client_release) struct client c = {.as_json = settings->as_json};
    const char *server = settings->server ? settings->server : getenv("ET_SERVER");
    if (server && *server)
        c.server = xstrdup(server);
    if (c.server)
        while (*c.server && c.server[strlen(c.server) - 1] == '/')
            c.server[strlen(c.server) - 1] = '\0';
    const char *token = getenv("ET_TOKEN");
    if (settings->token_file)
        TRY(read_token_file(settings->token_file, &c.token, err));
    else if (token && *token)
        c.token = xstrdup(token);
    TRY(read_login(&c, err));
    if (!c.server)
        c.server = xstrdup(CLIENT_DEFAULT_SERVER);
    if (needs_login && !c.token)
        return error_set(err, DENIED, "not logged in to %s; run 'et login' first", c.server);
    TRY(http_client_new(&c.http, err));
    *ret_client = c;
    c = (struct client){0};
    return OK;
}

void client_release(struct client *c)
{
    free(c->server);
    free(c->token);
    http_client_free(c->http);
    *c = (struct client){0};
}

static enum status status_of_http(int http)
{
    switch (http) {
    case 401:
    case 403:
        return DENIED;
    case 404:
        return NOT_FOUND;
    case 409:
    case 412:
        return CONFLICT;
    case 413:
        return TOO_LARGE;
    default:
        return http >= 500 ? UNAVAILABLE : INVALID;
    }
}

/* What a problem document (RFC 9457) says, on one line. */
static enum status problem(const struct http_response *response, const char *server, struct error *err)
{
    enum status status = status_of_http(response->status);
    struct error ignored;
    CLEANUP(json_decrefp) json_t *json = NULL;
    if (json_read(response->body.data, response->body.size, &json, &ignored) == OK) {
        const char *detail = json_get_string(json, "detail", json_get_string(json, "title", NULL));
        if (detail)
            return error_set(err, status, "%s", detail);
    }
    if (response->status == 401)
        return error_set(err, status, "%s does not accept the token; run 'et login' again", server);
    return error_set(err, status, "%s answered with status %d", server, response->status);
}

enum status client_perform(struct client *c, struct http_request *request, const char *path,
                           struct http_response *ret_response, struct error *err)
{
    CLEANUP(freep) char *url = xasprintf("%s%s", c->server, path);
    request->url = url;
    if (!request->user)
        request->bearer = c->token;
    struct http_response response;
    enum status status = http_perform(c->http, request, &response, err);
    if (status == UNAVAILABLE)
        return error_context(err, "cannot reach %s", c->server);
    TRY(status);
    if (response.status >= 400) {
        status = problem(&response, c->server, err);
        http_response_release(&response);
        return status;
    }
    *ret_response = response;
    return OK;
}

static enum status json_answer(struct http_response *response, json_t **ret_json, struct error *err)
{
    enum status status = OK;
    json_t *json = NULL;
    if (response->body.size)
        status = json_read(response->body.data, response->body.size, &json, err);
    else
        json = json_object();
    http_response_release(response);
    if (status != OK)
        return error_context(err, "the server's answer");
    *ret_json = json;
    return OK;
}

enum status client_json(struct client *c, const char *method, const char *path, json_t *body,
                        json_t **ret_json, struct error *err)
{
    CLEANUP(freep) char *text = body ? json_text(body) : NULL;
    char key[64] = "Idempotency-Key: ";
    random_hex(16, key + strlen(key));
    const char *const headers[] = {"Content-Type: application/json", key, NULL};
    struct http_request request = {
        .method = method,
        .headers = headers + (body ? 0 : 1),
        .body = text,
        .body_size = text ? (int64_t)strlen(text) : 0,
    };
    struct http_response response;
    TRY(client_perform(c, &request, path, &response, err));
    return json_answer(&response, ret_json, err);
}

void form_init(struct form *f)
{
    *f = (struct form){.fd = -1};
    random_hex(16, f->boundary);
    const char *folder = getenv("TMPDIR");
    CLEANUP(freep) char *path = xasprintf("%s/et-form-XXXXXX", folder && *folder ? folder : "/tmp");
    f->fd = mkostemp(path, 0);
    if (f->fd < 0)
        error_set(&f->error, status_from_errno(errno), "cannot create '%s': %s", path, strerror(errno));
    else
        unlink(path);
}

void form_release(struct form *f)
{
    fd_closep(&f->fd);
}

static void form_write(struct form *f, const void *bytes, size_t size)
{
    const char *p = bytes;
    while (size && f->error.status == OK) {
        ssize_t n = write(f->fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            error_set(&f->error, status_from_errno(errno), "cannot write a temporary file: %s",
                      strerror(errno));
            return;
        }
        p += n;
        size -= (size_t)n;
        f->size += n;
    }
}

static void form_head(struct form *f, const char *name, const char *file_name)
{
    CLEANUP(freep)
    char *head =
        file_name
            ? xasprintf("--%s\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"%s\"\r\n\r\n",
                        f->boundary, name, file_name)
            : xasprintf("--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n", f->boundary, name);
    form_write(f, head, strlen(head));
}

void form_value(struct form *f, const char *name, const char *value)
{
    form_head(f, name, NULL);
    form_write(f, value, strlen(value));
    form_write(f, "\r\n", 2);
}

void form_file(struct form *f, const char *name, const char *path)
{
    CLEANUP(file_closep) FILE *file = fopen(path, "rbe");
    if (!file) {
        error_set(&f->error, status_from_errno(errno), "cannot open '%s': %s", path, strerror(errno));
        return;
    }
    const char *slash = strrchr(path, '/');
    CLEANUP(freep) char *base = xstrdup(slash ? slash + 1 : path);
    for (char *p = base; *p; p++)
        if (*p == '"' || *p == '\\' || (unsigned char)*p < 0x20)
            *p = '_';
    form_head(f, name, base);
    char part[65536];
    size_t n;
    while ((n = fread(part, 1, sizeof(part), file)) > 0)
        form_write(f, part, n);
    if (ferror(file))
        error_set(&f->error, FAILED, "cannot read '%s': %s", path, strerror(errno));
    form_write(f, "\r\n", 2);
}

enum status form_send(struct form *f, struct client *c, const char *path, json_t **ret_json,
                      struct error *err)
{
    CLEANUP(freep) char *end = xasprintf("--%s--\r\n", f->boundary);
    form_write(f, end, strlen(end));
    if (f->error.status != OK) {
        *err = f->error;
        return err->status;
    }
    if (lseek(f->fd, 0, SEEK_SET) < 0)
        return error_set(err, FAILED, "cannot read a temporary file: %s", strerror(errno));
    char key[64] = "Idempotency-Key: ";
    random_hex(16, key + strlen(key));
    CLEANUP(freep) char *type = xasprintf("Content-Type: multipart/form-data; boundary=%s", f->boundary);
    const char *const headers[] = {type, key, NULL};
    struct http_request request = {
        .method = "POST", .headers = headers, .body_fd = f->fd, .body_size = f->size};
    struct http_response response;
    TRY(client_perform(c, &request, path, &response, err));
    return json_answer(&response, ret_json, err);
}

void client_print(const struct client *c, const json_t *document, const char *format, ...)
{
    if (c->as_json) {
        CLEANUP(freep) char *text = json_text_as(document, JSON_INDENT(2) | JSON_SORT_KEYS);
        puts(text);
        return;
    }
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

const char *client_collection(const char *type)
{
    static const char *const rows[][2] = {
        {"datafile", "datafiles"},
        {"dataset", "datasets"},
        {"solver", "solvers"},
        {"training-job", "training-jobs"},
        {"classifier", "classifiers"},
        {"classify-job", "classify-jobs"},
        {"array", "arrays"},
        {"schedule", "schedules"},
        {"job", "jobs"},
        {"order", "orders"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (!strcmp(type, rows[i][0]))
            return rows[i][1];
    return NULL;
}

enum status client_document(struct client *c, const char *id, json_t **ret_document, struct error *err)
{
    if (!id_is_valid(id))
        return error_set(err, INVALID, "'%s' is no id: 32 hex digits are wanted, as 'et ps' prints them", id);
    CLEANUP(freep) char *path = xasprintf("/elastic-thought/%s", id);
    enum status status = client_json(c, "GET", path, NULL, ret_document, err);
    if (status == NOT_FOUND)
        return error_set(err, NOT_FOUND, "there is no '%s' on %s", id, c->server);
    if (status != OK || strcmp(json_get_string(*ret_document, "type", ""), "array") != 0)
        return status;
    /* Only there are its jobs counted. */
    CLEANUP(json_decrefp) json_t *uncounted = TAKE(*ret_document);
    CLEANUP(freep) char *counted = xasprintf("/arrays/%s", id);
    return client_json(c, "GET", counted, NULL, ret_document, err);
}

static const char *state_word(const json_t *document)
{
    return json_get_string(document, "processing-state", json_get_string(document, "state", ""));
}

bool state_has_ended(const json_t *document)
{
    if (json_object_get(document, "ended"))
        return json_get_bool(document, "ended", false);
    return !strcmp(state_word(document), "failed") || state_is_good(document);
}

bool state_is_good(const json_t *document)
{
    if (json_object_get(document, "ended"))
        return json_get_bool(document, "ended", false) &&
               json_get_int(json_object_get(document, "jobs"), "finished", 0) ==
                   json_get_int(document, "size", -1);
    return !strcmp(state_word(document), "finished_successfully");
}
