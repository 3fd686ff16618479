#include "api/resource.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/address.h"

#define NAME_MAX_BYTES 100

static void curl_url_freep(CURLU **url)
{
    curl_url_cleanup(*url);
}

static void curl_stringp(char **s)
{
    curl_free(*s);
}

/* A literal address, IPv6 in brackets; false when host is a name. */
static bool host_address(const char *host, struct sockaddr_storage *ret_address)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
    char bare[INET6_ADDRSTRLEN + 1];
    size_t length = strlen(host);
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
    } else if (host[0] == '[' && length > 2 && length - 2 < sizeof bare) {
        memcpy(bare, host + 1, length - 2);
        bare[strcspn(bare, "]%")] = 0;
        bare[length - 2] = 0;
        if (inet_pton(AF_INET6, bare, &v6->sin6_addr) != 1)
            return false;
        v6->sin6_family = AF_INET6;
    } else {
        return false;
    }
    *ret_address = address;
    return true;
}

enum status url_check(const char *url, bool allow_private, struct error *err)
{
    CLEANUP(curl_url_freep) CURLU *parsed = curl_url();
    CLEANUP(curl_stringp) char *scheme = NULL;
    CLEANUP(curl_stringp) char *host = NULL;
    CURLUcode code = curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
    if (code == CURLUE_OK)
        code = curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0);
    if (code != CURLUE_OK)
        return error_set(err, INVALID, "'%.200s' is not a URL: %s", url, curl_url_strerror(code));
    if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        return error_set(err, INVALID, "'%.200s' begins with %.20s://; http:// and https:// are fetched", url,
                         scheme);
    if (curl_url_get(parsed, CURLUPART_HOST, &host, 0) != CURLUE_OK || !*host)
        return error_set(err, INVALID, "'%.200s' names no host", url);
    if (allow_private)
        return OK;
    struct sockaddr_storage address;
    if (!strcasecmp(host, "localhost") ||
        (host_address(host, &address) && !address_is_public((const struct sockaddr *)&address)))
        return error_set(err, INVALID,
                         "'%.200s' leads to a private address, and the service fetches from public "
                         "ones only",
                         url);
    return OK;
}

char *blob_name_from(const char *file_name)
{
    const char *slash = strrchr(file_name, '/');
    CLEANUP(freep) char *name = xstrdup(slash ? slash + 1 : file_name);
    size_t length = strlen(name);
    if (length > NAME_MAX_BYTES) /* the end says what it is: ".tar.gz" */
        memmove(name, name + length - NAME_MAX_BYTES, NAME_MAX_BYTES + 1);
    for (char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
            *p = '_';
    if (name[0] == '.')
        name[0] = '_';
    return name[0] ? TAKE(name) : xstrdup("data");
}

char *url_file_name(const char *url)
{
    CLEANUP(curl_url_freep) CURLU *parsed = curl_url();
    CLEANUP(curl_stringp) char *path = NULL;
    if (curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK ||
        curl_url_get(parsed, CURLUPART_PATH, &path, CURLU_URLDECODE) != CURLUE_OK)
        return xstrdup("data");
    return blob_name_from(path);
}
