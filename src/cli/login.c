/*
 * login.c - `et login`: trades a name and a password for a token and keeps it.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/client.h"
#include "cli/commands.h"

static const char help[] =
    "usage: et login [options] [URL]\n\n"
    "Logs in to the server at URL (as --server does: http://127.0.0.1:8080 when not given).\n"
    "Asks for the password (or reads it from --password-file, or from standard input\n"
    "when that is no terminal), gets a token and keeps it in ~/.config/et/login.json.\n\n"
    "      --user NAME            your name (default: $USER)\n"
    "      --register EMAIL       make the account first\n"
    "      --password-file FILE   first line is the password\n" CLIENT_OPTIONS_HELP "\nexample:\n"
    "  et login http://trainer:8080 --user ada --register ada@example.org\n";

/* Reads one line without showing it on a terminal. */
static enum status read_password(const char *path, char **ret_password, struct error *err)
{
    CLEANUP(file_closep) FILE *file = NULL;
    if (path) {
        file = fopen(path, "re");
        if (!file)
            return error_set(err, NOT_FOUND, "cannot open '%s'", path);
    }
    FILE *from = file ? file : stdin;
    bool hidden = !file && isatty(STDIN_FILENO);
    struct termios before;
    if (hidden) {
        fputs("password: ", stderr);
        tcgetattr(STDIN_FILENO, &before);
        struct termios quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    CLEANUP(freep) char *line = NULL;
    size_t size = 0;
    ssize_t n = getline(&line, &size, from);
    if (hidden) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        fputc('\n', stderr);
    }
    if (n <= 0)
        return error_set(err, INVALID, "no password was given");
    line[strcspn(line, "\r\n")] = '\0';
    *ret_password = TAKE(line);
    return OK;
}

static enum status register_user(struct client *c, const char *user, const char *email, const char *password,
                                 struct error *err)
{
    CLEANUP(json_decrefp)
    json_t *body = json_pack("{s:s, s:s, s:s}", "username", user, "email", email, "password", password);
    CLEANUP(json_decrefp) json_t *answer = NULL;
    if (!body)
        return error_set(err, INVALID, "name, address and password must be UTF-8");
    return client_json(c, "POST", "/users", body, &answer, err);
}

static enum status get_token(struct client *c, const char *user, const char *password, char **ret_token,
                             struct error *err)
{
    char host[128] = "";
    gethostname(host, sizeof(host) - 1);
    CLEANUP(freep) char *name = xasprintf("et login on %s", host);
    CLEANUP(json_decrefp) json_t *body = json_pack("{s:s, s:s}", "name", name, "scope", "user");
    CLEANUP(freep) char *text = json_text(body);
    const char *const headers[] = {"Content-Type: application/json", NULL};
    struct http_request request = {.method = "POST",
                                   .headers = headers,
                                   .user = user,
                                   .password = password,
                                   .body = text,
                                   .body_size = (int64_t)strlen(text)};
    struct http_response response;
    enum status status = client_perform(c, &request, "/tokens", &response, err);
    if (status == DENIED)
        return error_set(err, DENIED, "%s knows no user '%s' with this password", c->server, user);
    TRY(status);
    CLEANUP(json_decrefp) json_t *answer = NULL;
    status = json_read(response.body.data, response.body.size, &answer, err);
    http_response_release(&response);
    TRY(status);
    const char *token = json_get_string(answer, "token", NULL);
    if (!token)
        return error_set(err, FAILED, "%s answered without a token", c->server);
    *ret_token = xstrdup(token);
    return OK;
}

static enum status keep(const char *server, const char *user, const char *token, struct error *err)
{
    CLEANUP(freep) char *path = client_login_path();
    CLEANUP(freep) char *folder = xstrdup(path);
    *strrchr(folder, '/') = '\0';
    TRY(dir_make(folder, err));
    CLEANUP(json_decrefp)
    json_t *login = json_pack("{s:s, s:s, s:s}", "server", server, "user", user, "token", token);
    CLEANUP(freep) char *text = json_text(login);
    return file_write(path, text, strlen(text), 0600, err);
}

static enum status login(struct client *c, const char *user, const char *email, const char *password_file,
                         struct error *err)
{
    CLEANUP(freep) char *password = NULL;
    TRY(read_password(password_file, &password, err));
    if (email)
        TRY(register_user(c, user, email, password, err));
    CLEANUP(freep) char *token = NULL;
    TRY(get_token(c, user, password, &token, err));
    TRY(keep(c->server, user, token, err));
    CLEANUP(json_decrefp) json_t *said = json_pack("{s:s, s:s}", "server", c->server, "user", user);
    client_print(c, said, "logged in to %s as %s", c->server, user);
    return OK;
}

int command_login(int argc, char **argv)
{
    enum { USER = 1, REGISTER, PASSWORD_FILE };
    static const struct option options[] = {{"user", required_argument, NULL, USER},
                                            {"register", required_argument, NULL, REGISTER},
                                            {"password-file", required_argument, NULL, PASSWORD_FILE},
                                            {"help", no_argument, NULL, 'h'},
                                            CLIENT_OPTIONS,
                                            {NULL, 0, NULL, 0}};
    struct client_settings settings = {0};
    const char *user = getenv("USER"), *email = NULL, *password_file = NULL;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (option == USER)
            user = optarg;
        else if (option == REGISTER)
            email = optarg;
        else if (option == PASSWORD_FILE)
            password_file = optarg;
        else if (option == 'h')
            return fputs(help, stdout), EXIT_DONE;
        else if (!client_option(option, optarg, &settings))
            return EXIT_USAGE;
    }
    const char *url = optind < argc ? argv[optind++] : NULL;
    if (optind < argc)
        return command_usage("login", "'%s' is one argument too many", argv[optind]);
    if (url && strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return command_usage("login", "'%s' is no URL of a server, such as http://trainer:8080", url);
    if (url && settings.server)
        return command_usage("login", "the server is named twice: '%s' and --server '%s'", url,
                             settings.server);
    if (url)
        settings.server = url;
    if (!user || !*user)
        return command_usage("login", "--user NAME is needed");
    struct error err = {0};
    CLEANUP(client_release) struct client c = {0};
    if (client_open(&settings, false, &c, &err) != OK || login(&c, user, email, password_file, &err) != OK)
        return command_fail(&err);
    return EXIT_DONE;
}
