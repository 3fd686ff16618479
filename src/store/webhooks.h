/*
 * webhooks.h - who wants to be told by HTTP when jobs end, and what has been told.
 *
 *   a job ends --> PENDING --delivery_finish(DELIVERED)--> DELIVERED
 *                    |  ^--delivery_finish(RETRY)
 *                    '-----delivery_finish(FAILED, GONE), tries used up--> FAILED
 *   delivery_resend: DELIVERED, FAILED --> PENDING
 *
 * A delivery is written in the transaction that ends the job, so none is
 * lost; it is sent at least once, each time under the same id.  Of a hook's
 * pending deliveries only the oldest is ever due: a hook hears of things in
 * order.  A new one that is due stirs "outbox:HOOK".
 */
#ifndef ET_WEBHOOKS_H
#define ET_WEBHOOKS_H

#include "store/documents.h"

#define WEBHOOKS_PER_OWNER  20
#define WEBHOOK_SECRET_MAX  128 /* "whsec_" and Base64 */
#define WEBHOOK_TRIES       10
#define DELIVERY_EVENT_MAX  64
#define DELIVERY_ANSWER_MAX 1024

struct webhook {
    char id[ID_MAX];
    char owner[OWNER_MAX];
    char *url;
    char *events; /* "training-job.finished dataset.*", separated by spaces; "*" is any */
    bool enabled;
    char *why_disabled; /* "" unless the receiver did it */
    int64_t created_ms;
};
void webhook_release(struct webhook *w);

struct webhook_list {
    int n;
    struct webhook *webhooks;
};
void webhook_list_release(struct webhook_list *l);

struct idempotency;
/*
 * hook: id, url and events are read.  idempotency: NULL, or the key whose
 * answer is saved with it (its documents are NULL).
 * Errors: CONFLICT when the owner has WEBHOOKS_PER_OWNER already.
 */
enum status webhook_create(struct store *s, const char *owner, const struct webhook *hook, const char *secret,
                           const struct idempotency *idempotency, int64_t now_ms, struct error *err);
enum status webhook_list(struct store *s, const char *owner, struct webhook_list *ret_list,
                         struct error *err);
enum status webhook_get(struct store *s, const char *owner, const char *id, struct webhook *ret_hook,
                        struct error *err);
/* url, events: NULL keeps them; enabled: -1 keeps it.  Enabled again, a hook hears what is still pending. */
enum status webhook_change(struct store *s, const char *owner, const char *id, const char *url,
                           const char *events, int enabled, int64_t now_ms, struct error *err);
/* Its deliveries go too. */
enum status webhook_delete(struct store *s, const char *owner, const char *id, struct error *err);
/* Delivers "webhook.ping".  Errors: NOT_FOUND; CONFLICT when it is disabled. */
enum status webhook_ping(struct store *s, const char *owner, const char *id, int64_t now_ms,
                         char ret_delivery[ID_MAX], struct error *err);

enum delivery_state { DELIVERY_PENDING, DELIVERY_DELIVERED, DELIVERY_FAILED };

struct delivery {
    char id[ID_MAX]; /* the webhook-id that the receiver sees */
    char hook[ID_MAX];
    char event[DELIVERY_EVENT_MAX];
    enum delivery_state state;
    int attempts; /* made so far */
    int64_t created_ms;
    int64_t tried_ms;     /* 0: not yet */
    int64_t next_ms;      /* 0: none, or behind an older one */
    int http_status;      /* of the last answer; 0: none came */
    char *answer, *error; /* its first bytes; why it failed; "" */
};
void delivery_release(struct delivery *d);
struct delivery_list {
    int n;
    struct delivery *deliveries;
    bool more;
};
void delivery_list_release(struct delivery_list *l);

/* A hook's deliveries, newest first, from before the delivery `after` (NULL: the newest).  limit as in a
 * document_filter. */
enum status delivery_list(struct store *s, const char *owner, const char *hook, const char *after, int limit,
                          struct delivery_list *ret_list, struct error *err);
/* Once more, with new tries, after what is pending.  Errors: NOT_FOUND; CONFLICT (pending; hook disabled). */
enum status delivery_resend(struct store *s, const char *owner, const char *hook, const char *id,
                            int64_t now_ms, struct error *err);

/* -- for the sender -- */

/* One to send now. */
struct outgoing {
    char id[ID_MAX], hook[ID_MAX], owner[OWNER_MAX];
    bool failing; /* the hook's last try failed */
    int attempts; /* before this one */
    char *url, *body;
    char secret[WEBHOOK_SECRET_MAX];
};
void outgoing_release(struct outgoing *o);
struct outgoing_list {
    int n;
    struct outgoing *outgoing;
};
void outgoing_list_release(struct outgoing_list *l);

/* The deliveries that are due, at most one a hook, oldest first; at most 256.  ret_next_ms: when the next
 * will be; INT64_MAX: none is to come. */
enum status outbox_due(struct store *s, int64_t now_ms, struct outgoing_list *ret_list, int64_t *ret_next_ms,
                       struct error *err);
/* Takes one for claim_ms: until then it is not due, unless the server starts anew.  Errors: CONFLICT: taken.
 */
enum status outbox_claim(struct store *s, const struct outgoing *o, int64_t now_ms, int64_t claim_ms,
                         struct error *err);

enum delivery_result {
    DELIVERY_DONE,
    DELIVERY_RETRY,
    DELIVERY_GIVE_UP,
    DELIVERY_GONE, /* disables the hook */
};
struct delivery_outcome {
    enum delivery_result result;
    int http_status;
    const char *answer, *error; /* text without NUL; "" */
    int64_t retry_after_ms;     /* the least time to wait, when the receiver said so */
};
/* A delivery that is gone meanwhile: OK. */
enum status outbox_finish(struct store *s, const struct outgoing *o, const struct delivery_outcome *outcome,
                          int64_t now_ms, struct error *err);
/* The pause after so many tries: 5 s at first, all of them within a day. */
int64_t webhook_pause_ms(int attempts);

/* Deliveries not over yet. */
enum status outbox_count(struct store *s, int64_t *ret_pending, struct error *err);

#endif
