/*
 * sender.h - sends webhooks: the outbox of the store, as signed requests.
 *
 * A few threads, each with one request at a time.  What a receiver may cost:
 * the timeout of a thread and SENDER_ANSWER_BYTES of memory; an owner
 * holds at most two threads, hooks whose last try failed at most half of
 * them.  Redirects are not followed.  Signed as standardwebhooks.com says:
 *
 *   webhook-id: ID   webhook-timestamp: SECONDS
 *   webhook-signature: v1,BASE64(HMAC-SHA256(secret, "ID.SECONDS.BODY"))
 */
#ifndef ET_SENDER_H
#define ET_SENDER_H

#include "base/base.h"

#define SENDER_THREADS      8
#define SENDER_TIMEOUT_MS   10000 /* the usual one */
#define SENDER_ANSWER_BYTES 1024

struct sender;
struct store;

/* timeout_ms: for a receiver's answer; a server that ends with a request under way leaves it for three times
 * it. */
enum status sender_start(struct store *store, bool allow_private_urls, int64_t timeout_ms,
                         struct sender **ret_sender, struct error *err);
/* Something is due, or will be at another time than it seemed.  Any thread; quick. */
void sender_wake(struct sender *s);
/* Gives up what is under way: it is sent again after the next start.  It may still be woken. */
void sender_stop(struct sender *s);
void sender_free(struct sender *s); /* NULL is fine */

#define WEBHOOK_SECRET_PREFIX "whsec_"
#define WEBHOOK_SIGNATURE_MAX 64
/* A fresh secret: the prefix and 32 random bytes in Base64. */
void webhook_secret_new(char *ret_secret, size_t size);
/* Errors: INVALID unless it is the prefix and Base64 of 24 to 64 bytes. */
enum status webhook_secret_check(const char *secret, struct error *err);
/* "v1,..." */
enum status webhook_sign(const char *secret, const char *id, int64_t seconds, const char *body,
                         char ret_signature[WEBHOOK_SIGNATURE_MAX], struct error *err);

#endif
