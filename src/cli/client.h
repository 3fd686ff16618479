/*
 * client.h - what the client's commands share: the server and who we are,
 * one request, and documents printed for people or as JSON.
 *
 * Server and token come from --server and --token-file, else ET_SERVER and
 * ET_TOKEN, else the file that `et login` wrote.
 */
#ifndef ET_CLIENT_H
#define ET_CLIENT_H

#include <stdio.h>

#include "base/http_client.h"
#include "base/json.h"

#define CLIENT_DEFAULT_SERVER "http://127.0.0.1:8080"

struct client {
    char *server; /* no slash at the end */
    char *token;  /* NULL: not logged in */
    struct http_client *http;
    bool as_json; /* --json */
};

/*
 * The options that every client command takes: --server, --token-file,
 * --json.  Put CLIENT_OPTIONS into the getopt_long table and give what it
 * returns to client_option(), which tells whether it was one of them.
 */
enum { CLIENT_OPTION_SERVER = 1000, CLIENT_OPTION_TOKEN_FILE, CLIENT_OPTION_JSON };
#define CLIENT_OPTIONS                                                                                       \
    {"server", required_argument, NULL, CLIENT_OPTION_SERVER},                                               \
        {"token-file", required_argument, NULL, CLIENT_OPTION_TOKEN_FILE},                                   \
    {                                                                                                        \
        "json", no_argument, NULL, CLIENT_OPTION_JSON                                                        \
    }

#define CLIENT_OPTIONS_HELP                                                                                  \
    "      --server URL       the server (ET_SERVER; else as logged in, else " CLIENT_DEFAULT_SERVER ")\n"   \
    "      --token-file FILE  a token (ET_TOKEN; else as logged in)\n"                                       \
    "      --json             print JSON\n"

struct client_settings {
    const char *server, *token_file;
    bool as_json;
};
bool client_option(int option, const char *value, struct client_settings *settings);

/* Errors: NOT_FOUND for a token file that is not there; DENIED when `login` is needed and nobody is logged
 * in. */
enum status client_open(const struct client_settings *settings, bool needs_login, struct client *ret_client,
                        struct error *err);
void client_release(struct client *c);

/*
 * One JSON request; `body` may be NULL and stays the caller's.  An answer of
 * 400 or more is an error with the problem's own text: 401 and 403 DENIED,
 * 404 NOT_FOUND, 409 CONFLICT, 5xx UNAVAILABLE, else INVALID.
 */
enum status client_json(struct client *c, const char *method, const char *path, json_t *body,
                        json_t **ret_json, struct error *err);

/* The same answer rules for a request that the caller has filled, but for server and token. */
enum status client_perform(struct client *c, struct http_request *request, const char *path,
                           struct http_response *ret_response, struct error *err);

/* A multipart/form-data body, spooled to an unlinked temporary file. */
struct form {
    int fd;
    int64_t size;
    char boundary[33];
    struct error error; /* the first failure; form_send returns it */
};
void form_init(struct form *f);
void form_release(struct form *f);
void form_value(struct form *f, const char *name, const char *value);
void form_file(struct form *f, const char *name, const char *path);
enum status form_send(struct form *f, struct client *c, const char *path, json_t **ret_json,
                      struct error *err);

/* Prints a document: indented JSON, or `text` followed by a newline. */
void client_print(const struct client *c, const json_t *document, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The collection that a document of this type lives in: "training-job" -> "training-jobs"; NULL: unknown. */
const char *client_collection(const char *type);
/* Any document of the caller's by its id. */
enum status client_document(struct client *c, const char *id, json_t **ret_document, struct error *err);

/* By processing-state, or an array's counts: ended, and well or not. */
bool state_has_ended(const json_t *document);
bool state_is_good(const json_t *document);

/* Where `et login` keeps server and token; for the caller to free. */
char *client_login_path(void);

#endif
