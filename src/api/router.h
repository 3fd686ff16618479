/*
 * router.h - a request's target: path to route, and the query.
 */
#ifndef ET_ROUTER_H
#define ET_ROUTER_H

#include "base/base.h"

struct route;

#define ROUTE_ARGS 4

enum route_result {
    ROUTE_FOUND,
    ROUTE_NO_PATH,
    ROUTE_NO_METHOD, /* the path is there with other methods: allow */
    ROUTE_BAD_PATH,  /* a broken escape, or %00 */
};

struct route_match {
    const struct route *route;
    const struct route *other; /* of the path, whatever its method; NULL: no such path */
    char *args[ROUTE_ARGS];    /* decoded, owned */
    char allow[64];            /* "GET, HEAD, OPTIONS" */
};

/*
 * path: as sent, without the query.  HEAD finds the route of GET.  Of several
 * that match, the one with the first literal segment wins: /a/_changes before
 * /a/{id}.
 */
enum route_result route_find(const struct route *const *tables, const char *method, const char *path,
                             struct route_match *ret_match);
void route_match_release(struct route_match *m);

#define QUERY_MAX 32
struct query {
    int n;
    struct {
        char *name, *value;
    } pairs[QUERY_MAX];
};
/* text: after the '?'; NULL is fine.  Errors: INVALID (broken escape, too many). */
enum status query_read(const char *text, struct query *ret_query, struct error *err);
void query_release(struct query *q);
const char *query_get(const struct query *q, const char *name);

/* Percent-decodes size bytes; NULL for a broken escape or a NUL.  New. */
char *uri_decode(const char *s, size_t size, bool plus_is_space);

#endif
