#include "api/listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"

/* "host:port" or "[host]:port" taken apart in place. */
static enum status split_address(char *listen, char **ret_host, char **ret_port, struct error *err)
{
    char *colon = strrchr(listen, ':');
    char *host = listen;
    if (!colon || !colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        strlen(colon + 1) > 5 || strtol(colon + 1, NULL, 10) > 65535)
        return error_set(err, INVALID,
                         "'%s' is no address to listen on: expected ADDR:PORT, as in 127.0.0.1:8080", listen);
    *colon = '\0';
    if (*host == '[' && colon > host + 1 && colon[-1] == ']') {
        host++;
        colon[-1] = '\0';
    }
    *ret_host = host;
    *ret_port = colon + 1;
    return OK;
}

enum status listen_on(const char *address, int *ret_fd, struct error *err)
{
    CLEANUP(freep) char *copy = xstrdup(address);
    char *host = NULL, *port = NULL;
    TRY(split_address(copy, &host, &port, err));
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found;
    int failed = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (failed)
        return error_set(err, INVALID, "cannot listen on '%s': %s", address, gai_strerror(failed));
    CLEANUP(fd_closep) int fd = -1;
    for (struct addrinfo *a = found; a; a = a->ai_next) {
        fd_closep(&fd);
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int one = 1;
        if (fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) &&
            !bind(fd, a->ai_addr, a->ai_addrlen) && !listen(fd, 4096))
            break;
        failed = errno;
        fd_closep(&fd);
    }
    freeaddrinfo(found);
    if (fd < 0)
        return error_set(err,
                         failed == EADDRINUSE ? CONFLICT
                         : failed == EACCES   ? DENIED
                                              : FAILED,
                         "cannot listen on '%s': %s", address, strerror(failed));
    *ret_fd = fd;
    fd = -1;
    return OK;
}

void listen_describe(int fd, char ret_text[LISTEN_TEXT_MAX])
{
    struct sockaddr_storage at;
    socklen_t size = sizeof(at);
    char host[64] = "?", port[8] = "0";
    if (!getsockname(fd, (struct sockaddr *)&at, &size))
        getnameinfo((struct sockaddr *)&at, size, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(ret_text, LISTEN_TEXT_MAX, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}
